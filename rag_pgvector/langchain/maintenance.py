"""What a LangChain store does beside writing and searching: reading rows, and its indexes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from psycopg import sql

from rag_pgvector import read
from rag_pgvector.arguments import check_page
from rag_pgvector.collection import Collection
from rag_pgvector.errors import ConfigError
from rag_pgvector.filters import Fields, compile_filter, parse_filter
from rag_pgvector.langchain import tables
from rag_pgvector.langchain.documents import document_of
from rag_pgvector.langchain.indexes import HNSWIndex
from rag_pgvector.langchain.opening import OpenedStore
from rag_pgvector.langchain.writing import as_texts
from rag_pgvector.plan import Plan
from rag_pgvector.types import Chunk

__all__ = ["MaintainedStore"]

#: No limit, in a statement that has one.
_ALL = 2**62
_INCLUDED = ("metadatas", "documents", "embeddings")


class MaintainedStore(OpenedStore):
    """Reading by id or condition, and index verbs."""

    # --------------------------------------------------------------------------------------------------- reading

    def get_by_ids(self, ids: Sequence[Any], *, tenant: str | None = None, scope: str | None = None) -> list[Document]:
        """The documents of these ids in the order asked; missing ones are left out."""
        return [document_of(chunk) for chunk in self._for(tenant, scope).get(as_texts(ids) or [])]

    async def aget_by_ids(
        self, ids: Sequence[Any], *, tenant: str | None = None, scope: str | None = None
    ) -> list[Document]:
        return [document_of(chunk) for chunk in await self._for(tenant, scope).aget(as_texts(ids) or [])]

    def get(
        self,
        ids: Sequence[Any] | None = None,
        where: Mapping[str, Any] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        where_document: Mapping[str, Any] | None = None,
        include: Sequence[str] | None = None,
        *,
        tenant: str | None = None,
        scope: str | None = None,
    ) -> dict[str, Any]:
        """Rows by id, by a filter on the metadata, by a filter on the text, or by all three; by id, a page at a time.

        Args:
            where_document: Operators on the text: ``{"$like": "%pgvector%"}``.
            include: Of ``metadatas``, ``documents`` and ``embeddings``; ``None`` is the first two.

        Returns ``{"ids": [...], "metadatas": [...], "documents": [...]}``, as Chroma does.
        """
        collection = self._for(tenant, scope)
        fields = _included(include)
        plan = _page(collection, ids, where, limit, offset, where_document, "embeddings" in fields)
        return _as_columns(collection._run(plan, retry=True), fields)

    async def aget(
        self,
        ids: Sequence[Any] | None = None,
        where: Mapping[str, Any] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        where_document: Mapping[str, Any] | None = None,
        include: Sequence[str] | None = None,
        *,
        tenant: str | None = None,
        scope: str | None = None,
    ) -> dict[str, Any]:
        collection = self._for(tenant, scope)
        fields = _included(include)
        plan = _page(collection, ids, where, limit, offset, where_document, "embeddings" in fields)
        return _as_columns(await collection._arun(plan, retry=True), fields)

    # --------------------------------------------------------------------------------------------------- indexes
    # They serve all tenants of a collection, so that none is named here.

    def apply_vector_index(self, index: Any = None, name: str | None = None, *, concurrently: bool = False) -> None:
        """Create a vector index: an HNSWIndex or IVFFlatIndex; without an argument HNSW by the store's distance.

        ``ExactNearestNeighbor`` drops the one of the default name. ``concurrently`` lets others write meanwhile.
        """
        table = self._collection._table
        if index is None and name is None and table.layout.native:
            self._collection.build_index()
            return
        wanted = HNSWIndex(distance_strategy=self.distance_strategy) if index is None else index
        if getattr(wanted, "index_type", None) == "exactnearestneighbor":
            MaintainedStore.drop_vector_index(self, name)
            return
        called = name or wanted.name or table.index_name
        self._run_ddl(
            lambda: tables.create_index(table, wanted, called, concurrently=concurrently), concurrently=concurrently
        )

    async def aapply_vector_index(
        self, index: Any = None, name: str | None = None, *, concurrently: bool = False
    ) -> None:
        await asyncio.to_thread(MaintainedStore.apply_vector_index, self, index, name, concurrently=concurrently)

    def reindex(self, index_name: str | None = None) -> None:
        """Build an index anew. Raises ConfigError where the table has none of that name."""
        table = self._collection._table
        self._run_ddl(lambda: tables.reindex(table, index_name or table.index_name))

    async def areindex(self, index_name: str | None = None) -> None:
        await asyncio.to_thread(MaintainedStore.reindex, self, index_name)

    def drop_vector_index(self, index_name: str | None = None) -> None:
        """Drop an index of this table, where there is one of that name."""
        table = self._collection._table
        self._run_ddl(lambda: tables.drop_index(table, index_name or table.index_name))

    async def adrop_vector_index(self, index_name: str | None = None) -> None:
        await asyncio.to_thread(MaintainedStore.drop_vector_index, self, index_name)

    def is_valid_index(self, index_name: str | None = None) -> bool:
        """Whether the table has an index of that name that searches can use."""
        table = self._collection._table
        return self._collection.database.run(lambda: tables.index_is_valid(table, index_name or table.index_name))

    async def ais_valid_index(self, index_name: str | None = None) -> bool:
        table = self._collection._table
        return await self._collection.database.arun(
            lambda: tables.index_is_valid(table, index_name or table.index_name)
        )

    def apply_hybrid_search_index(self, concurrently: bool = False) -> None:
        """Create the index for the full-text half of hybrid search. Raises ConfigError without a HybridSearchConfig."""
        config = self.hybrid_search_config
        if config is None or not config.index_type or not config.index_name:
            raise ConfigError("the store has no HybridSearchConfig with an index_name and an index_type: give it one")
        table = self._collection._table
        self._run_ddl(
            lambda: tables.create_text_index(table, config.index_name, config.index_type, concurrently=concurrently),
            concurrently=concurrently,
        )

    async def aapply_hybrid_search_index(self, concurrently: bool = False) -> None:
        await asyncio.to_thread(MaintainedStore.apply_hybrid_search_index, self, concurrently)


def _included(include: Sequence[str] | None) -> tuple[str, ...]:
    if include is None:
        return _INCLUDED[:2]
    unknown = [include] if isinstance(include, str) else [name for name in include if name not in (*_INCLUDED, "ids")]
    if unknown:
        raise ConfigError(f"include={include!r:.80}: give a list of any of {', '.join(_INCLUDED)}")
    return tuple(name for name in _INCLUDED if name in include)


def _page(
    collection: Collection,
    ids: Sequence[Any] | None,
    where: Mapping[str, Any] | None,
    limit: int | None,
    offset: int | None,
    where_document: Mapping[str, Any] | None,
    embeddings: bool,
) -> Callable[[], Plan[list[Chunk]]]:
    most, first = _ALL if limit is None else limit, 0 if offset is None else offset
    check_page(most, first)
    table = collection._table
    condition = read.where(table, filter=where, ids=as_texts(ids))
    if where_document is not None:
        text = {"content": (table.layout.column(table.layout.content), "text")}
        parsed = parse_filter({"content": where_document})
        assert parsed is not None
        matches, values = compile_filter(parsed, Fields(None, {}, text))
        if condition is None:
            condition = (matches, values)
        else:
            condition = (sql.SQL("{} AND {}").format(condition[0], matches), [*condition[1], *values])
    return lambda: read.list_chunks(table, condition, limit=most, offset=first, embeddings=embeddings)


def _as_columns(chunks: Sequence[Chunk], fields: Sequence[str]) -> dict[str, Any]:
    documents = [document_of(chunk) for chunk in chunks]
    columns: dict[str, Any] = {"ids": [str(chunk.id) for chunk in chunks]}
    if "metadatas" in fields:
        columns["metadatas"] = [document.metadata for document in documents]
    if "documents" in fields:
        columns["documents"] = [chunk.content for chunk in chunks]
    if "embeddings" in fields:
        columns["embeddings"] = [chunk.embedding for chunk in chunks]
    return columns
