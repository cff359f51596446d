"""Plans for a collection's vector index."""

from __future__ import annotations

from psycopg import sql

from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import SCHEMA, Table
from rag_pgvector.types import IndexReport

__all__ = ["INDEX_PAYS_ROWS", "build", "create_index_sql", "set_wanted"]

#: From so many rows on, a load ends with building the index: exact search then takes about 8 ms, the index under 1.
INDEX_PAYS_ROWS = 10_000
_POLL_SECONDS = 0.2


def build(table: Table, *, min_rows: int = 0) -> Plan[IndexReport]:
    """Build the HNSW index where there is none, and rebuild one that an interrupted build left invalid.

    Run it on a connection of its own, not in a transaction: the index is built CONCURRENTLY, so that reading and
    writing go on, and the lock that keeps other builders out ends with the connection, if not before.
    """
    yield Execute(sql.SQL("SET lock_timeout = 0"), prepare=False)
    # Polled, not waited for: CREATE INDEX CONCURRENTLY waits for every statement that holds a snapshot, a waiting
    # pg_advisory_lock() included, so two builders would block each other for ever.
    while not (yield Execute(sql.SQL("SELECT pg_try_advisory_lock(hashtextextended(%s, 2))"), (table.collection,)))[0][
        0
    ]:
        yield Execute(sql.SQL("SELECT pg_sleep(%s)"), (_POLL_SECONDS,))
    report = yield from _build(table, min_rows)
    # PgBouncer keeps the connection.
    yield Execute(sql.SQL("SELECT pg_advisory_unlock(hashtextextended(%s, 2))"), (table.collection,))
    yield Execute(sql.SQL("RESET lock_timeout"), prepare=False)
    return report


def _build(table: Table, min_rows: int) -> Plan[IndexReport]:
    name = table.index_name
    valid = yield from _is_valid(table)
    if valid:
        return IndexReport(state="valid", name=name, reason="it was there")
    if min_rows:
        found = yield from _count(table, min_rows)
        if found < min_rows:
            few = "few" if table.multi else found  # how many the others have is nobody's business
            return IndexReport(
                state="not_needed", name=name, reason=f"{few} rows are searched exactly (index from {min_rows})"
            )
    if valid is False:  # IF NOT EXISTS would silently keep it
        yield Execute(
            sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(SCHEMA, name)), prepare=False
        )
    yield Execute(create_index_sql(table), prepare=False)
    # For the planner; the vectors' own statistics are costly and never used.
    yield Execute(sql.SQL("ANALYZE {} (tenant_id, id, document_id)").format(table.identifier), prepare=False)
    yield from set_wanted(table, False)
    return IndexReport(state="valid", name=name, reason="built")


def _count(table: Table, most: int) -> Plan[int]:
    """How many rows an index would hold, counted up to ``most``.

    An administrator whom row-level security holds sees nobody's rows, but may ask for statistics of all of them; those
    count the rows without an embedding, too.
    """
    held = (
        table.multi
        and (yield Execute(sql.SQL("SELECT row_security_active(%s)"), (table.identifier.as_string(None),)))[0][0]
    )
    if held:
        yield Execute(sql.SQL("ANALYZE {} (tenant_id)").format(table.identifier), prepare=False)
        query = sql.SQL("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)")
        rows = yield Execute(query, (table.identifier.as_string(None),))
        return int(rows[0][0])
    embedded = sql.SQL("SELECT count(*) FROM (SELECT FROM {} WHERE embedding IS NOT NULL LIMIT %s) AS embedded")
    rows = yield Execute(embedded.format(table.identifier), (most,))
    return int(rows[0][0])


def _is_valid(table: Table) -> Plan[bool | None]:
    """True, False for the leftover of an interrupted build, None where there is no index."""
    rows = yield Execute(
        sql.SQL("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"),
        (table.index_identifier.as_string(None),),
    )
    return rows[0][0] if rows else None


def create_index_sql(table: Table) -> sql.Composed:
    """The statement that builds the index."""
    return sql.SQL(
        "CREATE INDEX CONCURRENTLY {} ON {} USING hnsw (embedding {}) WITH (m = {}, ef_construction = {})"
    ).format(
        sql.Identifier(table.index_name),
        table.identifier,
        sql.Identifier(f"{table.config.storage}_{table.distance.opclass}"),
        sql.Literal(table.config.hnsw_m),
        sql.Literal(table.config.hnsw_ef_construction),
    )


def set_wanted(table: Table, wanted: bool) -> Plan[None]:
    """Record that an index was asked for by a role that may not create it."""
    yield Execute(sql.SQL("UPDATE rag.collections SET index_wanted = %s WHERE id = %s"), (wanted, table.collection_id))
