"""LangChain's DocumentIndex (beta) over a collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.indexing import UpsertResponse
from langchain_core.indexing.base import DeleteResponse, DocumentIndex
from psycopg import sql

from rag_pgvector import read
from rag_pgvector.arguments import as_ids
from rag_pgvector.collection import Collection
from rag_pgvector.errors import ConfigError
from rag_pgvector.langchain.documents import chunks_of, document_of, parts_of
from rag_pgvector.langchain.retriever import PGRetriever, bound_to
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import Table

__all__ = ["PGDocumentIndex"]


class PGDocumentIndex(PGRetriever, DocumentIndex):
    """A PGRetriever that also stores, gets and deletes. Every call is atomic, so that nothing ever half fails.

    The methods take ``tenant=`` and ``scope=`` as the searches do.
    """

    def upsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        """Store documents under their ids, or under new ones."""
        collection = self._bound(kwargs)
        ids = collection.add(chunks_of(collection._table.layout, *parts_of(items, None)))
        return UpsertResponse(succeeded=ids, failed=[])

    async def aupsert(self, items: Sequence[Document], /, **kwargs: Any) -> UpsertResponse:
        collection = self._bound(kwargs)
        ids = await collection.aadd(chunks_of(collection._table.layout, *parts_of(items, None)))
        return UpsertResponse(succeeded=ids, failed=[])

    def delete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        """Delete by id. Raises ConfigError without ids."""
        wanted, collection = _given(ids), self._bound(kwargs)
        return _deleted(collection._run(lambda: _delete(collection._table, wanted), atomic=True))

    async def adelete(self, ids: list[str] | None = None, **kwargs: Any) -> DeleteResponse:
        wanted, collection = _given(ids), self._bound(kwargs)
        return _deleted(await collection._arun(lambda: _delete(collection._table, wanted), atomic=True))

    def get(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        """The documents of these ids, in the order asked; missing ones are left out."""
        return [document_of(chunk) for chunk in self._bound(kwargs).get(ids)]

    async def aget(self, ids: Sequence[str], /, **kwargs: Any) -> list[Document]:
        return [document_of(chunk) for chunk in await self._bound(kwargs).aget(ids)]

    def _bound(self, kwargs: dict[str, Any]) -> Collection:
        if unknown := kwargs.keys() - {"tenant", "scope", "batch_size"}:  # index() gives a batch_size
            raise ConfigError(f"unknown argument {min(unknown)!r}: use tenant and scope")
        return bound_to(self.collection, (self.tenant, self.scope), (kwargs.get("tenant"), kwargs.get("scope")))


def _given(ids: Sequence[str] | None) -> list[str]:
    wanted = as_ids(ids)
    if wanted is None:
        raise ConfigError("delete() needs ids: to remove everything, drop the collection")
    return wanted


def _delete(table: Table, ids: list[str]) -> Plan[list[str]]:
    """Delete by id; returns what was there, in the order asked."""
    condition = read.where(table, ids=ids)
    assert condition is not None
    query = sql.SQL("DELETE FROM {} WHERE {} RETURNING {}::text").format(
        table.identifier, condition[0], table.layout.column(table.layout.id)
    )
    rows = yield Execute(query, condition[1])
    gone = {row[0] for row in rows}
    return [id_ for id_ in dict.fromkeys(ids) if id_ in gone]


def _deleted(ids: list[str]) -> DeleteResponse:
    return DeleteResponse(succeeded=ids, num_deleted=len(ids), failed=[], num_failed=0)
