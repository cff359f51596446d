"""The half of a LangChain store that writes. Every call is all or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from rag_pgvector.arguments import as_ids
from rag_pgvector.filters import parse_filter
from rag_pgvector.langchain.documents import chunks_of, parts_of
from rag_pgvector.langchain.opening import OpenedStore
from rag_pgvector.types import Chunk

__all__ = ["WritingStore", "as_texts"]


class WritingStore(OpenedStore):
    """Adding and deleting. ``**kwargs`` takes what LangChain passes around (``batch_size``), which has no meaning."""

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[Any] | None = None,
        *,
        tenant: str | None = None,
        scope: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed texts and store them, all or none of them; returns their ids. A row of the same id is replaced.

        Any iterable will do, and is read once. Raises ConfigError, ChunkError, EmbeddingError, TenantError,
        DatabaseError.
        """
        collection = self._for(tenant, scope)
        return collection.add(chunks_of(collection._table.layout, texts, metadatas, ids))

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[Any] | None = None,
        *,
        tenant: str | None = None,
        scope: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        collection = self._for(tenant, scope)
        return await collection.aadd(chunks_of(collection._table.layout, texts, metadatas, ids))

    def add_documents(
        self,
        documents: Iterable[Document],
        ids: Iterable[Any] | None = None,
        *,
        tenant: str | None = None,
        scope: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """``add_texts`` for documents; ``ids`` go before the documents' own."""
        return self.add_texts(*parts_of(documents, ids), tenant=tenant, scope=scope)

    async def aadd_documents(
        self,
        documents: Iterable[Document],
        ids: Iterable[Any] | None = None,
        *,
        tenant: str | None = None,
        scope: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        return await self.aadd_texts(*parts_of(documents, ids), tenant=tenant, scope=scope)

    def add_embeddings(
        self,
        texts: Iterable[str],
        embeddings: Sequence[Any],
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[Any] | None = None,
        *,
        tenant: str | None = None,
        scope: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store texts with embeddings that are there already, one for each text."""
        collection = self._for(tenant, scope)
        return collection.add(self._embedded(texts, embeddings, metadatas, ids))

    async def aadd_embeddings(
        self,
        texts: Iterable[str],
        embeddings: Sequence[Any],
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[Any] | None = None,
        *,
        tenant: str | None = None,
        scope: str | None = None,
        **kwargs: Any,
    ) -> list[str]:
        collection = self._for(tenant, scope)
        return await collection.aadd(self._embedded(texts, embeddings, metadatas, ids))

    def _embedded(self, texts: Any, embeddings: Any, metadatas: Any, ids: Any) -> list[Chunk]:
        return chunks_of(self._collection._table.layout, texts, metadatas, ids, list(embeddings))

    def delete(
        self,
        ids: Sequence[Any] | None = None,
        filter: Mapping[str, Any] | None = None,
        *,
        tenant: str | None = None,
        scope: str | None = None,
        **kwargs: Any,
    ) -> bool | None:
        """Delete by id, by filter, or only what satisfies both. False, and nothing is done, if neither is given.

        ``ids=None`` never means all rows: ``collection.drop()`` removes them. Raises FilterError.
        """
        collection = self._for(tenant, scope)
        if ids is None and parse_filter(filter) is None:
            return False
        collection.delete(as_texts(ids), filter=filter)
        return True

    async def adelete(
        self,
        ids: Sequence[Any] | None = None,
        filter: Mapping[str, Any] | None = None,
        *,
        tenant: str | None = None,
        scope: str | None = None,
        **kwargs: Any,
    ) -> bool | None:
        collection = self._for(tenant, scope)
        if ids is None and parse_filter(filter) is None:
            return False
        await collection.adelete(as_texts(ids), filter=filter)
        return True


def as_texts(ids: Sequence[Any] | None) -> list[str] | None:
    """Ids as text: a table may have whole numbers for ids."""
    if ids is None or isinstance(ids, (str, bytes)):
        return as_ids(ids)  # type: ignore[arg-type]  # it refuses them
    return as_ids([str(id_) for id_ in ids])
