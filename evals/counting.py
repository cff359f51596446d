"""How often an embedder is asked: what an evaluation costs where embeddings are paid for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np

from rag_pgvector.embedding.protocol import TokenVectors, Vectors, as_texts
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
        #: Vector and tokens' vectors by text; without ``remember``, those of the last call.
        self._tokens: dict[str, tuple[Any, Any]] = {}
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

    def token_vectors(self, texts: Iterable[str]) -> TokenVectors | None:
        many = getattr(self.inner, "token_vectors", None)
        found = as_texts(texts)
        if many is None or not found:
            return None
        known = self._tokens
        if self._known is None and not known.keys() >= set(found):
            known = self._tokens = {}
        new = [text for text in dict.fromkeys(found) if text not in known]
        made: TokenVectors | None = many(new) if new else (np.empty((0, self.dimensions), dtype=np.float32), [])
        if made is None:
            return None
        if new:
            self._count(len(new))
            known.update(zip(new, zip(*made, strict=True), strict=True))
        return np.stack([known[text][0] for text in found]), [known[text][1] for text in found]

    async def atoken_vectors(self, texts: Iterable[str]) -> TokenVectors | None:
        return await asyncio.to_thread(self.token_vectors, texts)

    async def aembed_documents(self, texts: Iterable[str]) -> Vectors:
        found = as_texts(texts)
        self._count(len(found))
        return await self.inner.aembed_documents(found)

    async def aembed_query(self, text: str) -> Vectors:
        self._count(1)
        return await self.inner.aembed_query(text)
