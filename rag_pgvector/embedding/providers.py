"""The embedder that the settings name."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rag_pgvector.embedding.adapters import as_embedder
from rag_pgvector.embedding.local import SentenceTransformerEmbedder
from rag_pgvector.embedding.protocol import Embedder
from rag_pgvector.errors import ConfigError

if TYPE_CHECKING:
    from rag_pgvector.settings import Settings

__all__ = ["default_embedder", "resolve_embedder"]

_LOCAL = ("local", "sentence-transformers")
_lock = threading.Lock()


def default_embedder(settings: Settings) -> Embedder:
    """The embedder of EMBEDDING_PROVIDER and EMBEDDING_MODEL; without them all-MiniLM-L6-v2 on this machine.

    Settings that name the same model get the same embedder, so that a process loads it once. Raises ConfigError for a
    provider that does not exist, and where EMBEDDING_DIMENSIONS is not what the model gives.
    """
    provider = settings.embedding_provider
    if provider is not None and provider.lower() not in _LOCAL:
        raise ConfigError(
            f"EMBEDDING_PROVIDER={provider!r} does not exist in this version; use 'local' or pass embedder="
        )
    with _lock:
        embedder = _shared(settings.embedding_model)
    wanted = settings.embedding_dimensions
    if wanted is not None and wanted != embedder.dimensions:
        raise ConfigError(
            f"EMBEDDING_DIMENSIONS={wanted}, but {embedder.name} gives {embedder.dimensions}: leave it out, or name "
            "another EMBEDDING_MODEL"
        )
    return embedder


def resolve_embedder(given: Any = None) -> Embedder:
    """``given`` as an embedder (see ``as_embedder``), or the one of the settings for None."""
    if given is not None:
        return as_embedder(given)
    from rag_pgvector.settings import load_settings

    return default_embedder(load_settings())


@lru_cache(maxsize=4)
def _shared(model: str | None) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder() if model is None else SentenceTransformerEmbedder(model)
