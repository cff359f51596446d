"""Plans for a collection's vector index: build, rebuild, drop, look."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from psycopg import sql

from rag_pgvector.errors import CollectionNotFoundError, ConfigError
from rag_pgvector.index_kinds import IndexKind, index_kind, lists_for
from rag_pgvector.index_memory import BuildMemory, advise, build_bytes, likely_rows
from rag_pgvector.plan import Batch, Execute, Plan
from rag_pgvector.table import Table
from rag_pgvector.types import IndexProgress, IndexReport, IndexState, IndexStatus

__all__ = [
    "INDEX_PAYS_ROWS",
    "BuildOptions",
    "build",
    "create_index_sql",
    "drop",
    "progress",
    "release",
    "set_wanted",
    "status",
]

logger = logging.getLogger("rag_pgvector")

#: From so many rows on, a load ends with building the index: exact search then takes about 8 ms, the index under 1.
INDEX_PAYS_ROWS = 10_000
_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How to build.

    Attributes:
        min_rows: Leave a smaller collection without.
        rebuild: Replace a valid index; it serves until the new one stands.
        memory: For ``maintenance_work_mem``, in bytes; ``None`` leaves the server's.
        parallel: Whether the server may use several processes, which share memory in /dev/shm.
        shared_free: Bytes free in the server's /dev/shm, where that can be known.
        session: Whether settings can be made: not through a pooler, which would keep them for others.
    """

    min_rows: int = 0
    rebuild: bool = False
    memory: int | None = None
    parallel: bool = True
    shared_free: int | None = None
    session: bool = True


def build(table: Table, options: BuildOptions | None = None) -> Plan[IndexReport]:
    """Build the index where there is none, and rebuild one that an interrupted build left invalid.

    Not in a transaction: the index is built CONCURRENTLY, so that reading and writing go on. Of several builders one
    works and the others wait for it.
    """
    options = options or BuildOptions()
    kind = index_kind(table.config)
    if kind is None:
        return IndexReport(state="not_needed", name="", reason="index='none': every search compares all rows")
    while options.rebuild or not (yield from _is_valid(table, table.index_name)):
        if (yield from _claim(table)):
            report = yield from _build(table, kind, options)
            yield from release(table)
            return report
    return IndexReport(state="valid", name=table.index_name, reason="it was there")


def drop(table: Table) -> Plan[IndexReport]:
    """Drop the index and whatever interrupted builds left of it. Searches are exact from then on."""
    while not (yield from _claim(table)):
        pass
    there = (yield from _is_valid(table, table.index_name)) is not None
    for name in (table.index_name, *table.index_leftovers):
        yield _drop(table, name)
    yield from set_wanted(table, False)
    yield from release(table)
    return IndexReport(state="missing", name=table.index_name, reason="dropped" if there else "there was none")


# ------------------------------------------------------------------------------------------------------------ builders

#: A claim is a row, not a lock. PgBouncer gives every statement another connection, so that a session's advisory lock
#: is taken on one and never given back; and a statement that waits for a lock holds a snapshot, which CREATE INDEX
#: CONCURRENTLY waits for. A claim that is older than this counts only as long as somebody works on the table.
_CLAIM_SECONDS = 15

_CLAIM = sql.SQL(
    "UPDATE rag.collections c SET index_build_at = clock_timestamp() WHERE c.id = %s AND (c.index_build_at IS NULL OR "
    "(c.index_build_at < clock_timestamp() - make_interval(secs => %s) AND NOT EXISTS (SELECT FROM pg_locks l "
    "WHERE l.locktype = 'relation' AND l.relation = to_regclass(%s) AND l.mode = 'ShareUpdateExclusiveLock' "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())))) RETURNING true"
)


def _claim(table: Table) -> Plan[bool]:
    """Become the builder; False after having waited a little for another one. Raises CollectionNotFoundError."""
    if not table.layout.native:  # a peer's table is not in rag.collections
        return True
    rows = yield Execute(_CLAIM, (table.collection_id, _CLAIM_SECONDS, table.identifier.as_string(None)), prepare=False)
    if rows:
        return True
    wait = sql.SQL("SELECT pg_sleep(%s) FROM rag.collections WHERE id = %s")
    rows = yield Execute(wait, (_POLL_SECONDS, table.collection_id), prepare=False)
    if not rows:
        raise CollectionNotFoundError(f"collection {table.collection!r} was dropped by somebody else: create it again")
    return False


def release(table: Table) -> Plan[None]:
    """Let others build. After a failure, too: else they wait until the claim is too old."""
    query = sql.SQL("UPDATE rag.collections SET index_build_at = NULL WHERE id = %s")
    yield Execute(query, (table.collection_id,), prepare=False)


def _build(table: Table, kind: IndexKind, options: BuildOptions) -> Plan[IndexReport]:
    name = table.index_name
    valid = yield from _is_valid(table, name)
    if valid and not options.rebuild:
        return IndexReport(state="valid", name=name, reason="it was there")
    fenced, rows = yield from _size(table)
    if options.min_rows:
        if fenced:  # sees nobody's rows, but may ask for statistics of all of them
            yield Execute(sql.SQL("ANALYZE {} (tenant_id)").format(table.identifier), prepare=False)
            rows = (yield from _size(table))[1]
        else:
            query = sql.SQL("SELECT count(*) FROM (SELECT FROM {} WHERE embedding IS NOT NULL LIMIT %s) AS embedded")
            rows = (yield Execute(query.format(table.identifier), (options.min_rows,)))[0][0]
        if rows < options.min_rows:
            few = "few" if table.multi else rows  # how many the others have is nobody's business
            reason = f"{few} rows are searched exactly (index from {options.min_rows})"
            return IndexReport(state="not_needed", name=name, reason=reason)
    # For the planner, and for what follows; the vectors' own statistics are costly and never used.
    columns = sql.SQL("tenant_id, id, document_id") if table.layout.native else table.key
    yield Execute(sql.SQL("ANALYZE {} ({})").format(table.identifier, columns), prepare=False)
    rows = (yield from _size(table))[1]
    memory = yield from _memory(options)
    advice = advise(table.config, kind, rows, memory)
    for warning in advice.warnings:
        logger.warning("%s", warning)
    lists = table.config.ivfflat_lists or lists_for(rows)
    # IF NOT EXISTS would silently keep what an interrupted build left.
    for leftover in (*table.index_leftovers, *([name] if valid is False else [])):
        yield _drop(table, leftover)
    if options.session:
        yield Execute(sql.SQL("SET lock_timeout = 0"), prepare=False)
        yield Execute(sql.SQL("SET statement_timeout = 0"), prepare=False)
        if options.memory is not None:
            kilobytes = sql.Literal(options.memory // 1024)
            yield Execute(sql.SQL("SET maintenance_work_mem = {}").format(kilobytes), prepare=False)
        if not advice.parallel:
            yield Execute(sql.SQL("SET max_parallel_maintenance_workers = 0"), prepare=False)
    new, old = table.index_leftovers
    yield Execute(create_index_sql(table, name=new if valid else name, lists=lists), prepare=False)
    if valid:
        yield Batch([_rename(table, name, old), _rename(table, new, name)])
        yield _drop(table, old)
    yield from set_wanted(table, False)
    return IndexReport(state="valid", name=name, reason="rebuilt" if valid else "built", warnings=advice.warnings)


def _size(table: Table) -> Plan[tuple[bool, int]]:
    """Whether row-level security keeps this role from counting, and about how many rows there are."""
    query = sql.SQL("SELECT row_security_active(oid), reltuples FROM pg_class WHERE oid = to_regclass(%s)")
    rows = yield Execute(query, (table.identifier.as_string(None),))
    return (bool(rows[0][0]), max(0, int(rows[0][1]))) if rows else (False, 0)


def _memory(options: BuildOptions) -> Plan[BuildMemory]:
    rows = yield Execute(
        sql.SQL(
            "SELECT pg_size_bytes(current_setting('maintenance_work_mem')), "
            "current_setting('max_parallel_maintenance_workers')::int, current_setting('dynamic_shared_memory_type')"
        )
    )
    setting, workers, kind = rows[0]
    return BuildMemory(
        limit=options.memory if options.memory is not None and options.session else setting,
        workers=workers if options.parallel else 0,
        shared_free=options.shared_free if kind == "posix" else None,
    )


# ------------------------------------------------------------------------------------------------------------ looking


def status(table: Table) -> Plan[IndexStatus]:
    """How the index is now. Changes nothing, and reads no row."""
    kind = index_kind(table.config)
    rows = yield Execute(
        sql.SQL(
            "SELECT c.reltuples, pg_table_size(c.oid), pg_relation_size(c.oid), i.indisvalid, "
            "pg_relation_size(i.indexrelid), x.reloptions, r.index_wanted, p.phase, "
            "pg_size_bytes(current_setting('maintenance_work_mem')), "
            "ARRAY(SELECT l.relname::text FROM unnest(%s::text[]) AS name JOIN pg_class l "
            "ON l.relname = name AND l.relnamespace = c.relnamespace) "
            "FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indexrelid = to_regclass(%s) "
            "LEFT JOIN pg_class x ON x.oid = i.indexrelid LEFT JOIN rag.collections r ON r.id = %s "
            "LEFT JOIN pg_stat_progress_create_index p ON p.relid = c.oid WHERE c.oid = to_regclass(%s)"
        ),
        (
            list(table.index_leftovers),
            table.index_identifier.as_string(None),
            table.collection_id,
            table.identifier.as_string(None),
        ),
    )
    if not rows:
        raise CollectionNotFoundError(f"table {table.name!r} of collection {table.collection!r} is gone: see doctor")
    tuples, table_bytes, row_bytes, valid, index_bytes, parameters, wanted, phase, memory, leftovers = rows[0]
    estimate = int(tuples) if tuples >= 0 else likely_rows(row_bytes, table.config)
    state: IndexState
    if kind is None:
        state = "not_needed"
    elif phase is not None:
        state = "building"
    elif valid is None:
        state = "wanted" if wanted else "missing"
    else:
        state = "valid" if valid else "invalid"
    return IndexStatus(
        state=state,
        name="" if kind is None else table.index_name,
        method=table.config.index,
        holds=table.config.index_holds,
        rows=None if tuples < 0 else int(tuples),
        table_bytes=table_bytes,
        index_bytes=index_bytes,
        parameters=tuple(parameters or ()),
        phase=phase,
        leftovers=tuple(leftovers),
        build_bytes=0 if kind is None else build_bytes(table.config, kind, estimate),
        maintenance_work_mem=memory,
    )


def progress(table: Table) -> Plan[IndexProgress | None]:
    """How far a build is, or None where nobody builds. Ask on another connection than the builder's."""
    rows = yield Execute(
        sql.SQL(
            "SELECT p.phase, p.blocks_done, p.blocks_total, p.tuples_done, c.reltuples "
            "FROM pg_stat_progress_create_index p JOIN pg_class c ON c.oid = p.relid WHERE p.relid = to_regclass(%s)"
        ),
        (table.identifier.as_string(None),),
        prepare=False,
    )
    if not rows:
        return None
    phase, blocks, all_blocks, tuples, estimate = rows[0]
    if all_blocks:
        return IndexProgress(phase, blocks, all_blocks)
    return IndexProgress(phase, tuples, max(tuples, int(estimate), 0))


# ------------------------------------------------------------------------------------------------------------- pieces


def _is_valid(table: Table, name: str) -> Plan[bool | None]:
    """True, False for the leftover of an interrupted build, None where there is no index."""
    rows = yield Execute(
        sql.SQL("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"),
        (sql.Identifier(table.layout.schema, name).as_string(None),),
    )
    return rows[0][0] if rows else None


def _drop(table: Table, name: str) -> Execute:
    index = sql.Identifier(table.layout.schema, name)
    return Execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(index), prepare=False)


def _rename(table: Table, name: str, to: str) -> Execute:
    index = sql.Identifier(table.layout.schema, name)
    return Execute(sql.SQL("ALTER INDEX {} RENAME TO {}").format(index, sql.Identifier(to)), prepare=False)


def create_index_sql(table: Table, *, name: str | None = None, lists: int | None = None) -> sql.Composed:
    """The statement that builds the index. Raises ConfigError for a collection that has none."""
    kind = index_kind(table.config)
    if kind is None:
        raise ConfigError(f"collection {table.collection!r} has index='none'")
    return sql.SQL("CREATE INDEX CONCURRENTLY {} ON {} USING {} ({} {}) WITH ({})").format(
        sql.Identifier(name or table.index_name),
        table.identifier,
        sql.SQL(kind.method),
        kind.expression(table.layout.embedding_column),
        sql.Identifier(kind.opclass),
        kind.parameters(table.config, lists or table.config.ivfflat_lists or lists_for(0)),
    )


def set_wanted(table: Table, wanted: bool) -> Plan[None]:
    """Record that an index was asked for by a role that may not create it."""
    yield Execute(sql.SQL("UPDATE rag.collections SET index_wanted = %s WHERE id = %s"), (wanted, table.collection_id))
