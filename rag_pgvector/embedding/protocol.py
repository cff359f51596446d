"""What an embedder is, and the checks of what goes into one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.errors import EmbeddingError

__all__ = ["Embedder", "Vectors", "aembed_queries", "as_texts", "embed_queries"]

Vectors: TypeAlias = NDArray[np.float32]


class Embedder(Protocol):
    """Text to vectors of one length. Every method may be called from several threads at once.

    An embedder may also have ``token_offsets(text) -> list[(start, end)]``: the spans of the model's tokens in the
    text; chunking counts with it, or with ``count_tokens(text) -> int``, which is to give as many. ``max_tokens``: how
    many of them the model reads; no chunk is made longer. And ``embed_queries(texts) -> (n, dimensions)`` (with
    ``aembed_queries``), which ``search_many`` calls once for all of its questions; without it, ``embed_query`` is
    called for each.
    """

    @property
    def name(self) -> str:
        """The model as its publisher names it. Stored beside the vectors, so that it says which model made them."""

    @property
    def dimensions(self) -> int:
        """The length of every vector. Asking may load the model, or embed one text to see."""

    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        """The vectors of texts to be found, ``(n, dimensions)`` float32. Raises EmbeddingError."""

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question, ``(dimensions,)`` float32. Raises EmbeddingError."""

    async def aembed_documents(self, texts: Iterable[str]) -> Vectors:
        """``embed_documents`` that leaves the event loop free."""

    async def aembed_query(self, text: str) -> Vectors:
        """``embed_query`` that leaves the event loop free."""


def embed_queries(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """The vectors of several questions, ``(n, dimensions)``, in one call where the embedder has one for it."""
    many = getattr(embedder, "embed_queries", None)
    return many(texts) if many is not None else np.stack([embedder.embed_query(text) for text in texts])


async def aembed_queries(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """``embed_queries`` that leaves the event loop free."""
    many = getattr(embedder, "aembed_queries", None)
    return await many(texts) if many is not None else np.stack([await embedder.aembed_query(text) for text in texts])


def as_texts(texts: Iterable[str]) -> list[str]:
    """The texts of any iterable, a pandas Series for one, as plain strings. Raises EmbeddingError for other things."""
    if isinstance(texts, str):
        raise EmbeddingError(f"embed_documents() takes a list of texts, not one text: use [{texts[:40]!r}]")
    found = list(texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise EmbeddingError(f"text {i} is {text!r:.80} ({type(text).__name__}): only strings can be embedded")
    return [str(text) for text in found]
