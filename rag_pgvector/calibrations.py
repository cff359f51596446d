"""Calibrations of a collection's confidence in the database: one per tenant, scope and mode of answering."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from psycopg import sql

from rag_pgvector.document_store import DocumentStore
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.read import owned
from rag_pgvector.table import Table

__all__ = ["Calibrated", "StoredCalibration"]


class StoredCalibration(NamedTuple):
    """A stored calibration, and the collection as it is now.

    Attributes:
        content: As ``rag-pgvector calibrate`` wrote it, its ``fingerprint`` included.
        fingerprint: What that must agree with: ``embedder``, ``chunking`` (of the last ingestion, if any),
            ``documents`` and ``chunks`` (how many).
    """

    content: Mapping[str, Any]
    fingerprint: Mapping[str, Any]


_OWN = sql.SQL("collection_id = %s AND tenant_id = %s AND scope = %s")
_CORPUS = sql.SQL(
    "(SELECT count(*) FROM rag.documents WHERE collection_id = %s AND tenant_id = %s AND (%s = '' OR scope = %s)), "
    "(SELECT coalesce(sum(chunks), 0)::bigint FROM rag.documents "
    "WHERE collection_id = %s AND tenant_id = %s AND (%s = '' OR scope = %s)), "
    "(SELECT options -> 'chunking' FROM rag.ingest_runs WHERE collection_id = %s AND tenant_id = %s "
    "AND (%s = '' OR scope = %s) ORDER BY started_at DESC, id LIMIT 1)"
)
# The corpus is looked at only where there is a calibration: else every question would count the documents.
_GET = sql.SQL("SELECT content, {} FROM rag.calibrations WHERE {} AND mode = %s").format(_CORPUS, _OWN)
_NOW = sql.SQL("SELECT NULL, {}").format(_CORPUS)
_PUT = sql.SQL(
    "INSERT INTO rag.calibrations (collection_id, tenant_id, scope, mode, content) VALUES (%s, %s, %s, %s, %s::jsonb) "
    "ON CONFLICT (collection_id, tenant_id, scope, mode) DO UPDATE SET content = excluded.content, created_at = now()"
)
_DELETE = sql.SQL("DELETE FROM rag.calibrations WHERE {} AND mode = %s").format(_OWN)
_OF_TENANT = sql.SQL("SELECT scope, mode, content FROM rag.calibrations WHERE {} ORDER BY scope, mode")


def _owner(table: Table) -> tuple[Any, ...]:
    return (table.collection_id, table.tenant, table.scope or "")


def _corpus_params(table: Table) -> tuple[Any, ...]:
    return (*_owner(table), table.scope or "") * 3


def get(table: Table, mode: str) -> Plan[tuple[Any, ...] | None]:
    """Content, documents, chunks and chunking; None where there is no calibration."""
    if not table.layout.native:
        return None
    table.require_tenant()
    rows = yield Execute(_GET, (*_corpus_params(table), *_owner(table), mode))
    return rows[0] if rows else None


def corpus(table: Table) -> Plan[tuple[Any, ...]]:
    """The same of a collection without a calibration."""
    table.require_tenant()
    rows = yield Execute(_NOW, _corpus_params(table))
    return rows[0]


def put(table: Table, mode: str, content: Mapping[str, Any] | None) -> Plan[None]:
    """Keep a calibration instead of the one there is, or (None) none."""
    table.require_native("calibration")
    table.require_tenant()
    if content is None:
        yield Execute(_DELETE, (*_owner(table), mode))
    else:
        yield Execute(_PUT, (*_owner(table), mode, json.dumps(content, allow_nan=False)))


def of_tenant(table: Table) -> Plan[list[dict[str, Any]]]:
    """Scope, mode and content of all calibrations of the bound tenant, or of the bound scope, for an export."""
    parts, params = owned(table)
    condition = sql.SQL(" AND ").join([*parts, sql.SQL("collection_id = %s")])
    rows = yield Execute(_OF_TENANT.format(condition), [*params, table.collection_id])
    return [{"scope": scope, "mode": mode, "content": content} for scope, mode, content in rows]


class Calibrated(DocumentStore):
    """The part of a collection that keeps how sure its answers may be."""

    def calibration(self, mode: str = "extractive") -> StoredCalibration | None:
        """The calibration of the bound tenant (and scope) for a mode of answering, as it is stored, or None."""
        return self._stored(self._run(partial(get, self._table, mode), retry=True))

    async def acalibration(self, mode: str = "extractive") -> StoredCalibration | None:
        return self._stored(await self._arun(partial(get, self._table, mode), retry=True))

    def set_calibration(self, content: Mapping[str, Any] | None, mode: str = "extractive") -> None:
        """Keep what ``rag_pgvector.evals.calibrate`` made, or (None) go back to the shipped prior."""
        self._run(partial(put, self._table, mode, content), retry=True)

    async def aset_calibration(self, content: Mapping[str, Any] | None, mode: str = "extractive") -> None:
        await self._arun(partial(put, self._table, mode, content), retry=True)

    def corpus_fingerprint(self) -> Mapping[str, Any]:
        """What a calibration made now would be bound to (``StoredCalibration.fingerprint``)."""
        return self._fingerprint(self._run(partial(corpus, self._table), retry=True))

    async def acorpus_fingerprint(self) -> Mapping[str, Any]:
        return self._fingerprint(await self._arun(partial(corpus, self._table), retry=True))

    def _stored(self, row: tuple[Any, ...] | None) -> StoredCalibration | None:
        return None if row is None else StoredCalibration(row[0], self._fingerprint(row))

    def _fingerprint(self, row: tuple[Any, ...]) -> Mapping[str, Any]:
        return {"embedder": self._embedder.embedder.name, "documents": row[1], "chunks": row[2], "chunking": row[3]}
