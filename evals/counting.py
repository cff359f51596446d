"""How often an embedder is asked: what an evaluation costs where embeddings are paid for."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from rag_pgvector.embedding.protocol import Vectors, as_texts
from rag_pgvector.evals.wrapping import WrappingEmbedder

__all__ = ["CountingEmbedder"]


class CountingEmbedder(WrappingEmbedder):
    """An embedder that counts its calls and texts. Give it to ``Database.collection(embedder=...)``.

    ``inner``: whatever ``Database.collection`` takes; ``None`` is the embedder of the settings. ``remember``: a text is
    embedded once; many questions about few documents go faster, and times mean nothing. Without it only the last call
    is remembered: an answer that is asked for once more costs nothing.
    """

    def __init__(self, inner: Any = None, *, remember: bool = False) -> None:
        super().__init__(inner)
        self._known: dict[str, Any] | None = {} if remember else None
        self._last: tuple[list[str], Vectors] | None = None
        self._lock = threading.Lock()
        self.calls = 0
        self.texts = 0

    def _count(self, texts: int) -> None:
        with self._lock:
            self.calls += 1
            self.texts += texts

    def embed_documents(self, texts: Iterable[str]) -> Vectors:
        found = as_texts(texts)
        if self._known is None or not found:
            last = self._last
            if last is not None and last[0] == found:
                return last[1].copy()
            self._count(len(found))
            vectors = self.inner.embed_documents(found)
            self._last = (found, vectors.copy())
            return vectors
        new = [text for text in dict.fromkeys(found) if text not in self._known]
        if new:
            self._count(len(new))
            self._known.update(zip(new, self.inner.embed_documents(new), strict=True))
        return np.stack([self._known[text] for text in found])

    def embed_query(self, text: str) -> Vectors:
        self._count(1)
        return self.inner.embed_query(text)

    async def aembed_documents(self, texts: Iterable[str]) -> Vectors:
        found = as_texts(texts)
        self._count(len(found))
        return await self.inner.aembed_documents(found)

    async def aembed_query(self, text: str) -> Vectors:
        self._count(1)
        return await self.inner.aembed_query(text)
