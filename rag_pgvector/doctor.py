"""Is this database fit for rag_pgvector? One survey (a plan), and the findings that follow from it (no I/O)."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from psycopg import sql

from rag_pgvector.audit import Audit, index_findings, isolation_findings
from rag_pgvector.config import CollectionConfig
from rag_pgvector.finding import Finding
from rag_pgvector.index import INDEX_PAYS_ROWS
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import SCHEMA, Table

__all__ = ["CollectionState", "Finding", "IndexState", "Survey", "diagnose", "survey"]

IndexState = Literal["valid", "invalid", "wanted", "missing", "not_needed"]

#: Extensions that rank by BM25 themselves: Timescale's, ParadeDB's, TensorChord's. None is needed and none is used, see
#: docs/design.md.
KEYWORD_EXTENSIONS = ("pg_textsearch", "pg_search", "vchord_bm25")
_MIN_VECTOR = (0, 8)
_GOOD_VECTOR = (0, 8, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionState:
    """What one collection holds.

    Attributes:
        rows: Chunks, or ``None`` where the table is gone or may not be read (``reason`` says which).
        null_embeddings: Chunks that dense search does not see, since they have no embedding.
        documents: Sources that chunks were cut from; ``None`` where row-level security hides them.
        index: The vector index: ``valid``, ``invalid`` (the leftover of an interrupted build), ``wanted`` (asked for by
            a role that may not create it), ``missing``, or ``not_needed`` by the collection's configuration.
        reason: Why there are no counts, or "".
    """

    name: str
    table: str
    dimensions: int
    distance: str
    storage: str
    embedder: str | None
    documents: int | None
    rows: int | None
    null_embeddings: int | None
    index: IndexState
    reason: Literal["", "no such table", "permission denied", "row-level security"] = ""
    tenancy: Literal["single", "multi"] = "single"


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The server, its extensions, the schema and the collections, as the connection's role sees them.

    ``keyword_extensions`` are those of ``KEYWORD_EXTENSIONS`` that the database has, with their versions.
    """

    server_version: str
    role: str
    vector_version: str | None
    vector_available: str | None
    revision: str | None
    collections: Sequence[CollectionState]
    read_only: bool = False
    keyword_extensions: Mapping[str, str] = field(default_factory=dict)


# ----------------------------------------------------------------------------------------------------------- survey


def survey() -> Plan[Survey]:
    """Look at everything and change nothing. Counts rows, which takes a while for millions of them."""
    rows = yield Execute(
        sql.SQL(
            "SELECT current_setting('server_version'), current_user::text, "
            "(SELECT extversion FROM pg_extension WHERE extname = 'vector'), "
            "(SELECT default_version FROM pg_available_extensions WHERE name = 'vector'), "
            "to_regclass('rag.alembic_version') IS NOT NULL, to_regclass('rag.collections') IS NOT NULL, "
            "current_setting('transaction_read_only') = 'on', "
            "(SELECT json_object_agg(extname, extversion) FROM pg_extension WHERE extname = ANY(%s::text[]))"
        ),
        (list(KEYWORD_EXTENSIONS),),
    )
    server, role, vector, available, versioned, has_collections, read_only, ranking = rows[0]
    revision = None
    if versioned:
        rows = yield Execute(sql.SQL("SELECT version_num FROM rag.alembic_version"))
        revision = rows[0][0] if rows else None
    collections = (yield from _collections()) if has_collections else []
    return Survey(
        server_version=server.split(" ")[0],
        role=role,
        vector_version=vector,
        vector_available=available,
        revision=revision,
        collections=collections,
        read_only=read_only,
        keyword_extensions=ranking or {},
    )


def _collections() -> Plan[list[CollectionState]]:
    rows = yield Execute(
        sql.SQL(
            "SELECT c.name, c.table_name, c.dimensions, c.distance, c.storage, c.embedder, c.index_wanted, c.tenancy, "
            "to_jsonb(c) ->> 'index_method', to_jsonb(c) ->> 'quantization', "  # older revisions lack them
            "(SELECT count(*) FROM rag.documents d WHERE d.collection_id = c.id), "
            "CASE WHEN t.oid IS NULL THEN 'no such table' WHEN NOT has_table_privilege(t.oid, 'SELECT') "
            "THEN 'permission denied' WHEN row_security_active(t.oid) THEN 'row-level security' ELSE '' END "
            "FROM rag.collections c LEFT JOIN pg_class t "
            "ON t.relname = c.table_name AND t.relnamespace = to_regnamespace('rag') "
            'ORDER BY c.name COLLATE "C"'
        )
    )
    states = []
    for (
        name,
        table,
        dimensions,
        distance,
        storage,
        embedder,
        wanted,
        tenancy,
        method,
        bits,
        documents,
        reason,
    ) in rows:
        count: int | None = None
        unembedded: int | None = None
        if not reason:
            query = sql.SQL("SELECT count(*), count(*) - count(embedding) FROM {}").format(
                sql.Identifier(SCHEMA, table)
            )
            count, unembedded = (yield Execute(query, prepare=False))[0]
        config = CollectionConfig(dimensions=dimensions, storage=storage, index=method or "hnsw", quantization=bits)
        states.append(
            CollectionState(
                name=name,
                table=table,
                dimensions=dimensions,
                distance=distance,
                storage=storage,
                embedder=embedder,
                documents=None if reason == "row-level security" else documents,
                rows=count,
                null_embeddings=unembedded,
                index=(yield from _index_state(Table(0, name, table, config), wanted)),
                reason=reason,
                tenancy=tenancy,
            )
        )
    return states


def _index_state(table: Table, wanted: bool) -> Plan[IndexState]:
    if table.config.index == "none":
        return "not_needed"
    rows = yield Execute(
        sql.SQL("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"),
        (table.index_identifier.as_string(None),),
    )
    if not rows:
        return "wanted" if wanted else "missing"
    return "valid" if rows[0][0] else "invalid"


# --------------------------------------------------------------------------------------------------------- findings


def diagnose(found: Survey, *, needed_revision: str, audit: Audit | None = None) -> list[Finding]:
    """What the survey tells, errors first; and the audit, which is made of a schema of the needed revision."""
    findings = [*_vector(found), *_schema(found, needed_revision)]
    if audit is not None:
        findings += index_findings(audit)
        if any(state.tenancy == "multi" for state in found.collections):
            findings += isolation_findings(audit)
    elif found.read_only and found.revision == needed_revision:
        findings.append(_unexamined(found))
    for state in found.collections:
        findings += _collection(state)
    return sorted(findings, key=lambda finding: finding.level != "error")


def _unexamined(found: Survey) -> Finding:
    multi = any(state.tenancy == "multi" for state in found.collections)
    return Finding(
        level="error" if multi else "warning",  # what was not proven is not to pass for sound
        check="read_only",
        what="policies, grants and functions were not examined: nothing can be written here",
        why="they are compared with temporary tables, which a standby or a read-only transaction cannot make",
        remedy="run doctor on the primary server; searching works here",
    )


def _vector(found: Survey) -> Iterator[Finding]:
    version = found.vector_version
    if version is None and found.vector_available is None:
        yield Finding(
            level="error",
            check="pgvector",
            what=f"pgvector is not installed on this server (PostgreSQL {found.server_version})",
            why="collections are tables with a column of its type vector",
            remedy="install the package postgresql-NN-pgvector (>= 0.8) on the server",
        )
    elif version is None:
        if found.revision is not None:  # else the schema's finding says what creates both
            yield Finding(
                level="error",
                check="pgvector",
                what=f"the extension vector ({found.vector_available}) was dropped from this database",
                why="its type and the columns of that type went with it",
                remedy="restore the database from a backup, or drop the collections and ingest again",
            )
    elif _numbers(version) < _MIN_VECTOR:
        yield Finding(
            level="error",
            check="pgvector",
            what=f"pgvector is {version}",
            why="filtered searches need the iterative scan of 0.8",
            remedy="install pgvector >= 0.8 on the server, then run ALTER EXTENSION vector UPDATE",
        )
    elif _numbers(version) < _GOOD_VECTOR:
        yield Finding(
            level="warning",
            check="pgvector",
            what=f"pgvector is {version}",
            why="0.8.4 mends index corruption after vacuum and a memory error in parallel builds (CVE-2026-3172)",
            remedy="install pgvector >= 0.8.4 on the server, then run ALTER EXTENSION vector UPDATE",
        )


def _schema(found: Survey, needed: str) -> Iterator[Finding]:
    if found.revision is None:
        yield Finding(
            level="warning",
            check="schema",
            what="rag_pgvector's tables are not there yet",
            why="the first ingestion creates them where the role may",
            remedy="nothing, or run: rag-pgvector db upgrade (a DBA may read it before: rag-pgvector db sql)",
        )
    elif found.revision != needed:
        yield Finding(
            level="error",
            check="schema",
            what=f"the schema is at revision {found.revision}, this package needs {needed}",
            why="collections cannot be opened",
            remedy="run: rag-pgvector db upgrade (or upgrade the package, if the schema is newer)",
        )


def _collection(state: CollectionState) -> Iterator[Finding]:
    if state.reason == "no such table":
        yield Finding(
            level="error",
            check="table",
            what=f"the table rag.{state.table} is gone",
            why="the collection is listed in rag.collections, and every use of it fails",
            remedy="restore the table from a backup, or delete its row in rag.collections and ingest again",
            collection=state.name,
        )
        return
    if state.reason == "row-level security":
        yield Finding(
            level="warning",
            check="rows",
            what="its rows were not counted",
            why="row-level security keeps this role from the rows of all tenants",
            remedy="set ADMIN_DATABASE_URL to a superuser or a role with BYPASSRLS, and run doctor again",
            collection=state.name,
        )
        if state.index == "invalid":
            yield from _index(state, 0)
        return
    if state.rows is None:
        yield Finding(
            level="error",
            check="table",
            what=f"this role may not read the table rag.{state.table}",
            why="searching the collection fails",
            remedy="grant SELECT, INSERT, UPDATE and DELETE on it, or connect as the application's role",
            collection=state.name,
        )
        return
    if state.null_embeddings:
        yield Finding(
            level="warning",
            check="embeddings",
            what=f"{state.null_embeddings} of {state.rows} chunks have no embedding",
            why="a search by vector does not see them",
            remedy="ingest their sources again, or add the chunks again",
            collection=state.name,
        )
    yield from _index(state, state.rows)


def _index(state: CollectionState, rows: int) -> Iterator[Finding]:
    build = f"run: rag-pgvector index build --collection {shlex.quote(state.name)}"
    if state.index == "invalid":
        yield Finding(
            level="error",
            check="index",
            what="the vector index is invalid: its building was interrupted",
            why="searches do not use it, and every write still pays for it",
            remedy=f"{build}: it is dropped and built anew",
            collection=state.name,
        )
    elif state.index == "wanted":
        yield Finding(
            level="warning",
            check="index",
            what=f"a vector index is wanted; the role that asked may not create it ({rows} rows)",
            why="every search compares all rows: right, but slower than it could be",
            remedy=f"set ADMIN_DATABASE_URL to the owner of the tables, then {build}",
            collection=state.name,
        )
    elif state.index == "missing" and rows >= INDEX_PAYS_ROWS:
        yield Finding(
            level="warning",
            check="index",
            what=f"there is no vector index for {rows} rows",
            why=f"every search compares all rows; from {INDEX_PAYS_ROWS} rows on an index pays",
            remedy=build,
            collection=state.name,
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())
