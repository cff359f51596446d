"""The half of a collection that keeps documents: stored texts, written together with the chunks cut from them."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from rag_pgvector import documents, read, schema, write
from rag_pgvector.arguments import as_chunks, as_ids
from rag_pgvector.bound import BoundEmbedder
from rag_pgvector.errors import ChunkError, DatabaseError
from rag_pgvector.fence import fenced
from rag_pgvector.plan import Plan
from rag_pgvector.planner import EXACT_ROWS, Estimates
from rag_pgvector.table import Table
from rag_pgvector.totals import ColumnTotals, totals, totals_by
from rag_pgvector.types import Chunk, Document, WriteCounts

if TYPE_CHECKING:
    from rag_pgvector.database import Database

__all__ = ["DocumentStore"]

T = TypeVar("T")


def _may_be_gone(error: DatabaseError) -> bool:
    """Whether a statement may have failed because its table was dropped, or stands for another collection by now:
    classes 22 (data), 23 (constraint) and 42 (names, types, rights)."""
    return (error.sqlstate or "")[:2] in ("22", "23", "42")


class DocumentStore:
    """What ``Collection`` stands on: a table, the way to run plans on it, and its documents."""

    def __init__(self, db: Database, table: Table, embedder: BoundEmbedder, estimates: Estimates | None = None) -> None:
        self._db = db
        self._table = table
        self._embedder = embedder
        self._estimates = estimates or Estimates()

    def _run(self, make_plan: Callable[[], Plan[T]], *, atomic: bool = False, retry: bool = False) -> T:
        try:
            return self._db.run(fenced(self._table, make_plan, atomic=atomic), atomic=atomic, retry=retry)
        except DatabaseError as error:
            if _may_be_gone(error) and self._db.run(lambda: schema.is_gone(self._table), retry=True):
                raise schema.dropped(self._table) from error
            raise

    async def _arun(self, make_plan: Callable[[], Plan[T]], *, atomic: bool = False, retry: bool = False) -> T:
        try:
            return await self._db.arun(fenced(self._table, make_plan, atomic=atomic), atomic=atomic, retry=retry)
        except DatabaseError as error:
            if _may_be_gone(error) and await self._db.arun(lambda: schema.is_gone(self._table), retry=True):
                raise schema.dropped(self._table) from error
            raise

    def _note_write(self, rows: int) -> None:
        if rows >= EXACT_ROWS:
            self._estimates.forget()

    def put_document(self, document: Document, chunks: Iterable[Chunk]) -> WriteCounts:
        """Store a document and make ``chunks`` its chunks, all or nothing: those it no longer has are deleted.

        Nothing is embedded here: a chunk without an embedding keeps the stored one if its text is the same, and else
        stays without, unseen by dense search, until it gets one.
        """
        records = self._document_records(document, chunks)
        counts = self._run(lambda: documents.put_document(self._table, document, records), atomic=True, retry=True)
        self._note_write(len(records))
        return counts

    async def aput_document(self, document: Document, chunks: Iterable[Chunk]) -> WriteCounts:
        records = await asyncio.to_thread(self._document_records, document, chunks)
        counts = await self._arun(
            lambda: documents.put_document(self._table, document, records), atomic=True, retry=True
        )
        self._note_write(len(records))
        return counts

    def _put_documents(self, given: Sequence[tuple[Document, Sequence[Chunk]]]) -> WriteCounts:
        """``put_document`` for several whose chunks have ids, in one transaction. ChunkError if two share one."""
        sized = [(document, len({chunk.id for chunk in chunks})) for document, chunks in given]
        records = self._rows([chunk for document, chunks in given for chunk in self._own(document, chunks)])
        if len(records) < sum(size for _, size in sized):
            raise ChunkError("two documents have a chunk of the same id")
        counts = self._run(lambda: documents.put_documents(self._table, sized, records), atomic=True, retry=True)
        self._note_write(len(records))
        return counts

    def _document_records(self, document: Document, chunks: Iterable[Chunk]) -> builtins.list[write.Record]:
        return self._rows(self._own(document, chunks))

    def _own(self, document: Document, chunks: Iterable[Chunk]) -> builtins.list[Chunk]:
        self._table.require_native("documents")
        documents.check(document)
        return [
            replace(
                chunk,
                id=write.new_id() if chunk.id is None else chunk.id,
                document_id=document.id,
                source=document.source,
            )
            for chunk in as_chunks(chunks)
        ]

    def _rows(self, own: Sequence[Chunk]) -> builtins.list[write.Record]:
        model = self._embedder.model_if_used
        return write.prepare(own, self._table, [model] * len(own))

    def embedding_hash(self, text: str) -> bytes:
        """What ``embedded_hashes`` tells of an ``embedded_text`` that this collection's embedder has embedded."""
        return write.embedding_hash(text, self._embedder.model())

    def embedded_hashes(self, document_id: str) -> dict[str, bytes]:
        """Per chunk id, what its embedding was made of; ``embedding_hash(chunk.embedded_text)`` if it is current."""
        return self._run(lambda: documents.embedded_hashes(self._table, document_id), retry=True)

    async def aembedded_hashes(self, document_id: str) -> dict[str, bytes]:
        return await self._arun(lambda: documents.embedded_hashes(self._table, document_id), retry=True)

    def document_embeddings(self, document_id: str, ids: Sequence[str]) -> dict[str, builtins.list[float]]:
        """The stored vectors of these chunks of a document, by chunk id; those without one are left out."""
        wanted = as_ids(ids) or []
        return self._run(lambda: documents.embeddings(self._table, document_id, wanted), retry=True)

    async def adocument_embeddings(self, document_id: str, ids: Sequence[str]) -> dict[str, builtins.list[float]]:
        wanted = as_ids(ids) or []
        return await self._arun(lambda: documents.embeddings(self._table, document_id, wanted), retry=True)

    def documents(self, *, exact_scope: bool = False) -> builtins.list[Document]:
        """All documents by source, their texts left empty.

        An object that is bound to a tenant sees those of all its scopes; ``exact_scope`` leaves only those that it
        would write itself: of the bound scope, or of none.
        """
        return self._run(lambda: documents.list_documents(self._table, exact_scope=exact_scope), retry=True)

    async def adocuments(self, *, exact_scope: bool = False) -> builtins.list[Document]:
        return await self._arun(lambda: documents.list_documents(self._table, exact_scope=exact_scope), retry=True)

    def tables(self) -> builtins.list[Document]:
        """The documents that are tables (they have a column profile), their texts left empty."""
        return self._run(lambda: documents.list_documents(self._table, tables_only=True), retry=True)

    async def atables(self) -> builtins.list[Document]:
        return await self._arun(lambda: documents.list_documents(self._table, tables_only=True), retry=True)

    def document(self, document_id: str) -> Document | None:
        """One document with its text, or None."""
        return self._run(lambda: documents.get_document(self._table, document_id), retry=True)

    async def adocument(self, document_id: str) -> Document | None:
        return await self._arun(lambda: documents.get_document(self._table, document_id), retry=True)

    def texts(self, document_ids: Sequence[str]) -> dict[str, str]:
        """The stored texts of these documents by id; unknown ids are left out."""
        return self._run(lambda: documents.texts(self._table, document_ids), retry=True)

    async def atexts(self, document_ids: Sequence[str]) -> dict[str, str]:
        return await self._arun(lambda: documents.texts(self._table, document_ids), retry=True)

    def totals(
        self, column: str, *, document_id: str | Sequence[str] | None = None, filter: Mapping[str, Any] | None = None
    ) -> ColumnTotals:
        """Sum, mean, least, greatest and number of the values of one key of the metadata, over the rows of a table."""
        condition = read.where(self._table, filter=filter, document_id=document_id)
        return self._run(lambda: totals(self._table, condition, column), retry=True)

    async def atotals(
        self, column: str, *, document_id: str | Sequence[str] | None = None, filter: Mapping[str, Any] | None = None
    ) -> ColumnTotals:
        condition = read.where(self._table, filter=filter, document_id=document_id)
        return await self._arun(lambda: totals(self._table, condition, column), retry=True)

    def totals_by(
        self,
        column: str,
        by: str,
        *,
        document_id: str | Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> dict[str | None, ColumnTotals]:
        """The same for each value of another key, as text; ``None`` for the rows that have none."""
        condition = read.where(self._table, filter=filter, document_id=document_id)
        return self._run(lambda: totals_by(self._table, condition, column, by), retry=True)

    async def atotals_by(
        self,
        column: str,
        by: str,
        *,
        document_id: str | Sequence[str] | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> dict[str | None, ColumnTotals]:
        condition = read.where(self._table, filter=filter, document_id=document_id)
        return await self._arun(lambda: totals_by(self._table, condition, column, by), retry=True)

    def delete_document(self, document_id: str, *, exact_scope: bool = False) -> int:
        """Delete a document and its chunks, all or nothing; returns how many chunks went.

        An object that is bound to a tenant reaches those of all its scopes; ``exact_scope`` only what it would write.
        """
        plan = partial(documents.delete_document, self._table, document_id, exact_scope=exact_scope)
        return self._run(plan, atomic=True)

    async def adelete_document(self, document_id: str, *, exact_scope: bool = False) -> int:
        plan = partial(documents.delete_document, self._table, document_id, exact_scope=exact_scope)
        return await self._arun(plan, atomic=True)
