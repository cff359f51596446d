"""Plans for the records of ingestions: when each ran and what it did, and what could not be taken in.

Nothing is resumed from them: what is done is told by the hash beside each document, which is written with it. A run
that was killed stays "running" for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import sql

from rag_pgvector.plan import Execute, Plan
from rag_pgvector.records import json_text
from rag_pgvector.table import Table

__all__ = ["FailureRecord", "IngestRun", "begin", "end", "list_failures", "list_runs"]

#: Older ones are deleted when a run begins.
KEPT = 1_000
_MAX_REASON = 2_000

_OWNER = sql.SQL("collection_id = %s AND tenant_id = %s AND scope = %s")
_INSERT = sql.SQL(
    "INSERT INTO rag.ingest_runs (collection_id, tenant_id, scope, mode, model, options) "
    "VALUES (%s, %s, %s, %s, %s, %s::jsonb) RETURNING id"
)
_END = sql.SQL(
    "UPDATE rag.ingest_runs SET state = %s, source_hash = %s, loaders = %s::jsonb, counts = %s::jsonb, error = %s, "
    "finished_at = now() WHERE {} AND id = %s"
).format(_OWNER)
_FORGET = sql.SQL("DELETE FROM rag.ingest_failures WHERE {} AND file = ANY(%s::text[])").format(_OWNER)
_FAILURES = sql.SQL(
    "INSERT INTO rag.ingest_failures "
    "(collection_id, tenant_id, scope, key, file, path, source, place, reason, options) SELECT %s, %s, %s, * "
    "FROM unnest(%s::bytea[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[]) "
    "ON CONFLICT (collection_id, tenant_id, scope, key) DO UPDATE SET file = excluded.file, path = excluded.path, "
    "reason = excluded.reason, options = excluded.options, failed_at = now()"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRun:
    """One call of ``ingest``.

    Attributes:
        state: "running" (or killed), "done", or "failed" with ``error``.
        model: The embedder's name.
        options: How texts were divided ("chunking") and tables read ("table").
        source_hash: Of the hashes of all files that were read to their end: equal for two runs over equal input.
        loaders: How many documents each loader gave.
        counts: As in IngestReport; "seconds" is the duration.
    """

    id: UUID
    state: Literal["running", "done", "failed"]
    mode: str
    model: str | None
    options: Mapping[str, Any]
    source_hash: bytes | None
    loaders: Mapping[str, int]
    counts: Mapping[str, float]
    error: str | None
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRecord:
    """A file, or a row or part of one, that the last run that read it could not take in.

    Attributes:
        file: The source of the file; ``source`` may be a part of it (an archive's member, a sheet).
        path: Where the file was; None for a document that a program gave.
        where: The place in it ("line 3"), or "".
        options: How it was read, as in IngestRun.
        failed_at: When; None until it is stored.
    """

    file: str
    path: str | None
    source: str
    where: str
    reason: str
    options: Mapping[str, Any]
    failed_at: datetime | None = None


def _owner(table: Table) -> tuple[int, str, str]:
    table.require_native("records of ingestions")
    return table.collection_id, table.tenant, table.scope


def begin(table: Table, *, mode: str, model: str, options: Mapping[str, Any]) -> Plan[UUID]:
    """Record that a run begins."""
    owner = _owner(table)
    rows = yield Execute(_INSERT, (*owner, mode, model, json_text(options, "the options of a run")))
    old = sql.SQL(
        "DELETE FROM rag.ingest_runs WHERE {} AND started_at < (SELECT started_at FROM rag.ingest_runs WHERE {} "
        "ORDER BY started_at DESC OFFSET %s LIMIT 1)"
    ).format(_OWNER, _OWNER)
    yield Execute(old, (*owner, *owner, KEPT - 1))
    run: UUID = rows[0][0]
    return run


def end(
    table: Table,
    run: UUID,
    *,
    error: str | None,
    source_hash: bytes,
    loaders: Mapping[str, int],
    counts: Mapping[str, Any],
    files: Sequence[str],
    failures: Sequence[FailureRecord],
) -> Plan[None]:
    """Record what a run did. ``failures`` take the place of those that were known of ``files``. One transaction."""
    owner = _owner(table)
    state = "done" if error is None else "failed"
    settled = [state, source_hash, json_text(loaders, "loaders"), json_text(counts, "counts")]
    yield Execute(_END, (*settled, error and _storable(error), *owner, run))
    yield Execute(_FORGET, (*owner, sorted(set(files))))
    keyed = {hashlib.sha256(f"{each.source}\0{each.where}".encode()).digest(): each for each in failures}
    if keyed:
        rows = [(key, keyed[key]) for key in sorted(keyed)]  # in one order, so that two runs do not deadlock
        columns = [
            [key for key, _ in rows],
            [each.file for _, each in rows],
            [each.path for _, each in rows],
            [each.source for _, each in rows],
            [each.where for _, each in rows],
            [_storable(each.reason) for _, each in rows],
            [json_text(each.options, "the options of a run") for _, each in rows],
        ]
        yield Execute(_FAILURES, (*owner, *columns))


def _storable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()[:_MAX_REASON]


def list_runs(table: Table, limit: int) -> Plan[list[IngestRun]]:
    """The newest runs of the bound tenant and scope, newest first."""
    query = sql.SQL(
        "SELECT id, state, mode, model, options, source_hash, loaders, counts, error, started_at, finished_at "
        "FROM rag.ingest_runs WHERE {} ORDER BY started_at DESC, id LIMIT %s"
    ).format(_OWNER)
    rows = yield Execute(query, (*_owner(table), limit))
    return [
        IngestRun(
            id=r[0],
            state=r[1],
            mode=r[2],
            model=r[3],
            options=r[4],
            source_hash=None if r[5] is None else bytes(r[5]),
            loaders=r[6],
            counts=r[7],
            error=r[8],
            started_at=r[9],
            finished_at=r[10],
        )
        for r in rows
    ]


def list_failures(table: Table) -> Plan[list[FailureRecord]]:
    """What could not be taken in and was not since, by file and source."""
    query = sql.SQL(
        "SELECT file, path, source, place, reason, options, failed_at FROM rag.ingest_failures WHERE {} "
        'ORDER BY file COLLATE "C", source COLLATE "C", length(place), place COLLATE "C"'
    ).format(_OWNER)
    rows = yield Execute(query, _owner(table))
    return [
        FailureRecord(file=r[0], path=r[1], source=r[2], where=r[3], reason=r[4], options=r[5], failed_at=r[6])
        for r in rows
    ]
