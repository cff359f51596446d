"""Our embedders as LlamaIndex's: the same model makes the same vectors, whichever front door is used."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from rag_pgvector.embedding import Embedder, resolve_embedder

__all__ = ["RagEmbedding"]


class RagEmbedding(BaseEmbedding):  # type: ignore[misc]  # LlamaIndex is not checked
    """A LlamaIndex embedding on an embedder of ours.

    Args:
        embedder: What ``Database.collection(embedder=...)`` takes; None is the one of the settings (all-MiniLM-L6-v2).
    """

    _embedder: Embedder = PrivateAttr()

    def __init__(self, embedder: Any = None, **options: Any) -> None:
        found = resolve_embedder(embedder)
        super().__init__(**{"model_name": found.name, **options})
        self._embedder = found

    @classmethod
    def class_name(cls) -> str:
        return "RagEmbedding"

    @property
    def embedder(self) -> Embedder:
        """The embedder, for the ``embedder=`` of a collection."""
        return self._embedder

    def _get_query_embedding(self, query: str) -> list[float]:
        return _numbers(self._embedder.embed_query(query))

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return _numbers(await self._embedder.aembed_query(query))

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [_numbers(vector) for vector in self._embedder.embed_documents(texts)]

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return [_numbers(vector) for vector in await self._embedder.aembed_documents(texts)]


def _numbers(vector: Any) -> list[float]:
    return [float(x) for x in vector]
