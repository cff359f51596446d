"""What embedders that stand around another one share."""

from __future__ import annotations

from typing import Any

from rag_pgvector.embedding import Embedder, resolve_embedder

__all__ = ["WrappingEmbedder"]


class WrappingEmbedder:
    """An embedder around another, which is loaded when it is first needed. Subclasses embed.

    ``inner``: whatever ``Database.collection`` takes; ``None`` is the embedder of the settings.
    """

    def __init__(self, inner: Any = None) -> None:
        self._given = inner
        self._inner: Embedder | None = None

    @property
    def inner(self) -> Embedder:
        """The embedder that is asked; loaded when it is first needed."""
        if self._inner is None:
            self._inner = resolve_embedder(self._given)
        return self._inner

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def dimensions(self) -> int:
        return self.inner.dimensions

    def __getattr__(self, name: str) -> Any:
        # What an embedder may have besides (token_offsets, max_tokens). What embeds is the subclass's alone.
        if name.startswith("_") or "embed" in name:
            raise AttributeError(name)
        return getattr(self.inner, name)
