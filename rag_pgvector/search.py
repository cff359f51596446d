"""The search planner and its statements: exact or by the HNSW index, never losing a result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from psycopg import sql

from rag_pgvector.config import SearchOptions
from rag_pgvector.plan import Batch, Execute, Plan, Row
from rag_pgvector.read import CHUNK_WIDTH, Where, chunk_of, owned
from rag_pgvector.table import Table
from rag_pgvector.types import ScoredChunk, SearchPlan, SearchResult
from rag_pgvector.vectors import VectorParam

__all__ = ["TableState", "dense", "table_state"]

#: Comparing so many vectors takes about as long as a walk through the index (0.8 µs a row of 384 dimensions).
EXACT_ROWS = 1_000
#: ... and with a filter, which makes the walk longer by its selectivity, so many.
EXACT_ROWS_FILTERED = 20_000
#: ... and of one tenant among many, for whom the walk passes by everybody else's rows.
EXACT_ROWS_TENANT = 20_000
#: hnsw.ef_search of our own connections (schema.SESSION_DEFAULTS).
EF_SEARCH = 100


@dataclass(frozen=True, slots=True)
class TableState:
    """What the planner knows of a table. It may be stale: a wrong guess costs time, never results."""

    rows: int
    index: bool


def table_state(table: Table) -> Plan[TableState]:
    """Rows and whether there is a valid vector index.

    The rows of a whole table are estimated from the catalogue: none is read. A tenant's are counted, up to where it no
    longer matters.
    """
    rows = yield Execute(
        sql.SQL(
            "SELECT c.reltuples, c.relpages, pg_relation_size(c.oid), coalesce(i.indisvalid, false) FROM pg_class c "
            "LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indexrelid = to_regclass(%s) "
            "WHERE c.oid = to_regclass(%s)"
        ),
        (
            table.index_identifier.as_string(None),
            table.identifier.as_string(None),
        ),
    )
    if not rows:
        return TableState(0, False)
    tuples, pages, size, index = rows[0]
    if table.multi:
        parts, params = owned(table)
        some = sql.SQL("SELECT count(*) FROM (SELECT FROM {} WHERE {} LIMIT %s) AS counted").format(
            table.identifier, sql.SQL(" AND ").join(parts)
        )
        rows = yield Execute(some, [*params, EXACT_ROWS_TENANT + 1])
        return TableState(rows[0][0], index)
    if tuples >= 0 and pages > 0:
        estimate = tuples / pages * size / 8192
    else:  # never analysed: guess the width of a row
        width = 4 if table.config.storage == "vector" else 2
        estimate = size / (200 + min(width * (table.config.dimensions or 0), 2000))
    return TableState(int(estimate), index)


def choose(state: TableState, options: SearchOptions, *, k: int, filtered: bool, tenant: bool = False) -> SearchPlan:
    """Exact or approximate, with the reason in words."""
    if options.exact:
        return SearchPlan("exact", "asked for")
    if not state.index:
        return SearchPlan("exact", "no valid vector index")
    few = EXACT_ROWS_TENANT if tenant else EXACT_ROWS_FILTERED if filtered else EXACT_ROWS
    if options.exact is None and state.rows <= few:
        return SearchPlan("exact", f"about {state.rows} rows{' under a filter' if filtered else ''}: at most {few}")
    ef_search = options.ef_search or min(1000, max(EF_SEARCH, k))
    return SearchPlan("hnsw", f"about {state.rows} rows, valid index", ef_search)


def dense(
    table: Table,
    vector: VectorParam,
    *,
    k: int,
    condition: Where | None,
    options: SearchOptions,
    state: TableState,
    session_defaults: bool,
) -> Plan[SearchResult]:
    """The ``k`` nearest chunks. An index walk that comes back with fewer is followed by an exact pass."""
    plan = choose(state, options, k=k, filtered=condition is not None, tenant=table.multi)
    params = [vector, *condition[1], k] if condition else [vector]
    if plan.kind == "hnsw":
        step = Execute(_query(table, condition, k, exact=False), params)
        if session_defaults and plan.ef_search == EF_SEARCH:
            rows = yield step
        else:
            rows = yield Batch([Execute(_SET_HNSW, (str(plan.ef_search),)), step])
        if len(rows) < k:
            plan = SearchPlan("exact", f"the index found {len(rows)} of {k}: exact pass")
    if plan.kind == "exact":
        rows = yield Execute(_query(table, condition, k, exact=True), params)
    score = _SCORES[table.config.distance]
    return SearchResult([_hit(table, row, score) for row in rows], plan)


def _hit(table: Table, row: Row, score: Any) -> ScoredChunk:
    distance = row[CHUNK_WIDTH]
    return ScoredChunk(chunk_of(table, row), score(distance), distance)


#: Higher-better scores from pgvector's distances (``<#>`` is the negative inner product).
_SCORES = {
    "cosine": lambda distance: 1.0 - distance,
    "l2": lambda distance: 1.0 / (1.0 + distance),
    "inner_product": lambda distance: -distance,
}


_SET_HNSW = sql.SQL(
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', %s, true)"
)


def _query(table: Table, condition: Where | None, k: int, *, exact: bool) -> sql.Composed | bytes:
    if condition is None:
        return _unfiltered(table, k, exact)
    return _composed(table, condition[0], sql.Placeholder(), exact)


@lru_cache(maxsize=256)
def _unfiltered(table: Table, k: int, exact: bool) -> bytes:
    """``k`` is written out: for a parameter Postgres would plan the prepared statement anew at every call (8 % of it).

    With a filter it should, because the plan depends on the values.
    """
    return _composed(table, None, sql.Literal(k), exact).as_bytes(None)


def _composed(table: Table, condition: sql.Composable | None, limit: sql.Composable, exact: bool) -> sql.Composed:
    candidates = sql.SQL(
        "SELECT {columns}, {embedding} {op} %s::{type} AS distance FROM {table} "
        "WHERE {embedding} IS NOT NULL{condition}"
    ).format(
        columns=table.layout.chunk_columns,
        embedding=table.layout.embedding_column,
        op=table.distance.operator,
        type=table.vector_type,
        table=table.identifier,
        condition=sql.SQL(" AND ") + condition if condition is not None else sql.SQL(""),
    )
    if exact:  # "+ 0" hides the distance from the index: every row is compared
        return sql.SQL("SELECT * FROM ({}) AS candidates ORDER BY distance + 0 LIMIT {}").format(candidates, limit)
    return candidates + sql.SQL(" ORDER BY distance LIMIT {}").format(limit)
