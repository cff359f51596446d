"""Searching by vector: the statements, and the plan that runs what the planner chose and never loses a result."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

from psycopg import sql

from rag_pgvector.config import SearchOptions
from rag_pgvector.index_kinds import index_kind
from rag_pgvector.plan import Batch, Execute, Plan, SetLocal, set_local
from rag_pgvector.planner import EF_SEARCH, Estimates, Walk, choose
from rag_pgvector.read import CHUNK_WIDTH, Candidate, Where
from rag_pgvector.table import Table
from rag_pgvector.types import SearchPlan, SearchResult
from rag_pgvector.vectors import VectorParam

__all__ = ["SIMILARITIES", "Columns", "Found", "dense", "explained", "result", "statement"]

#: What a search reads of each row that it finds: its chunk, the number that the chunk is known by, or both.
Columns = Literal["chunk", "seq", "chunk and seq"]

#: What a search found, best first, before it is a result.
Found = tuple[list[Candidate], SearchPlan]


def dense(
    table: Table,
    vector: VectorParam,
    *,
    k: int,
    condition: Where | None,
    filtered: bool,
    options: SearchOptions,
    estimates: Estimates,
    session_defaults: bool,
    columns: Columns = "chunk",
) -> Plan[Found]:
    """The ``k`` nearest chunks. An index walk that comes back with fewer is followed by an exact pass.

    ``condition`` binds the tenant, too; ``filtered`` says whether it does more than that. ``session_defaults``: the
    connection has ``schema.SESSION_DEFAULTS``. ``columns``: with "seq" of a native table alone.
    """
    state, passing = yield from estimates.learn(table, condition if filtered and not options.exact else None)
    rendered = None if condition is None else condition[0].as_bytes(None)
    plan, walk = choose(table, state, options, estimates.costs, k=k, passing=passing)
    params = [vector] if condition is None else [vector, *condition[1]]
    if walk is not None:
        kind = index_kind(table.config)
        assert kind is not None
        many = max(kind.candidates(k, walk.ef_search), walk.fetched)
        walked = statement(table, rendered, k, exact=False, candidates=many, columns=columns)
        step = Execute(walked, params if kind.ordered and many <= k else [*params, vector])
        if condition is None and session_defaults and walk.ef_search == EF_SEARCH:
            rows = yield step
        else:
            rows = yield Batch([_walking(walk, alone=condition is None), step])
        if len(rows) < k:
            plan = SearchPlan("exact", f"{plan.reason}; the index found {len(rows)} of {k}: exact pass")
    if plan.kind == "exact":
        step = Execute(statement(table, rendered, k, exact=True, columns=columns), params)
        # Of a tenant's rows without a filter there is one way to read them, which need not be planned every time.
        rows = yield Batch([_ONE_PLAN, step]) if table.multi and not filtered else step
    score = SIMILARITIES[table.config.distance]
    if columns == "seq":
        return [Candidate((), score(distance), distance, seq) for distance, seq in rows], plan
    numbered = columns != "chunk"
    return [
        Candidate(row, score(row[CHUNK_WIDTH]), row[CHUNK_WIDTH], row[CHUNK_WIDTH + 1] if numbered else 0)
        for row in rows
    ], plan


def result(table: Table, search: Plan[Found]) -> Plan[SearchResult]:
    """A search by one arm, as what callers get."""
    found, plan = yield from search
    return SearchResult([each.scored(table) for each in found], plan)


def explained(search: Plan[Any]) -> Plan[list[str]]:
    """How Postgres runs the statement that a dense search sends first, and what the planner knew: lines to read.

    Nothing is searched. The question's vector is left out of the lines.
    """
    reply = None
    while True:
        step = search.send(reply)  # type: ignore[arg-type]  # the first send of a generator is None
        last = step.steps[-1] if isinstance(step, Batch) else step
        if isinstance(last, Execute) and isinstance(last.query, bytes) and _DISTANCE in last.query:
            break
        reply = yield step
    search.close()
    asked = Execute(_explaining(last.query), last.params, prepare=False)
    rows = yield Batch([*step.steps[:-1], asked]) if isinstance(step, Batch) else asked
    return [_VECTOR.sub("question", row[0]) for row in rows]


def _explaining(statement: bytes) -> bytes:
    return b"EXPLAIN (COSTS OFF) " + statement


_DISTANCE = b" AS distance"
_VECTOR = re.compile(r"'\[[^']*\]'::(vector|halfvec)")


#: Higher-better scores from pgvector's distances (``<#>`` is the negative inner product).
SIMILARITIES: dict[str, Callable[[float], float]] = {
    "cosine": lambda distance: 1.0 - distance,
    "l2": lambda distance: 1.0 / (1.0 + distance),
    "inner_product": lambda distance: -distance,
}

_ONE_PLAN = set_local({"plan_cache_mode": "force_generic_plan"})


@lru_cache(maxsize=256)
def _walking(walk: Walk, *, alone: bool) -> SetLocal:
    """The settings of a walk. Under a condition Postgres is left no other way: it would sort what an index on the
    condition finds, by an estimate of the rows that is wrong for jsonb and under row-level security."""
    if walk.probes:
        settings = {
            "ivfflat.iterative_scan": "relaxed_order",
            "ivfflat.probes": str(walk.probes),
            "ivfflat.max_probes": str(walk.max_probes),
        }
    else:
        settings = {
            # Strictly ordered, it would drop what it finds later and nearer; what was fetched beyond k is sorted again.
            "hnsw.iterative_scan": "relaxed_order" if walk.fetched else "strict_order",
            "hnsw.ef_search": str(walk.ef_search),
            "hnsw.max_scan_tuples": str(walk.max_scan_tuples),
        }
    if not alone:
        settings |= dict.fromkeys(("enable_seqscan", "enable_bitmapscan", "enable_sort"), "off")
        settings["plan_cache_mode"] = "force_generic_plan"
    return set_local(settings)


@lru_cache(maxsize=1024)
def statement(
    table: Table, condition: bytes | None, k: int, *, exact: bool, candidates: int = 0, columns: Columns = "chunk"
) -> bytes:
    """The text of a search; its parameters are the vector and those of the condition.

    An index that does not give rows in the order of their distance is asked for ``candidates``, which are compared
    again, and so is any where these are more than ``k``; the vector is then the last parameter, too.

    ``k`` is written out: for a parameter Postgres would plan the prepared statement anew at every call (8 % of it).
    """
    layout = table.layout
    kind = None if exact else index_kind(table.config)
    ordered = not exact and (kind is None or (kind.ordered and candidates <= k))
    bare, seq = columns == "seq", columns != "chunk"
    stored = None if ordered or bare else layout.stored_columns
    # "+ 0" hides the distance from the index: every row is compared, and once, since the sort is by what is returned.
    distance = "({embedding} {operator} %s::{type}) + 0" if exact else "{embedding} {operator} %s::{type}"
    found = sql.SQL("SELECT {columns}{distance} AS distance{seq} FROM {table} WHERE {embedding} IS NOT NULL").format(
        seq=sql.SQL(", seq" if seq else ""),
        columns=sql.SQL("" if bare else "{}, ").format(layout.chunk_columns if stored is None else stored),
        distance=sql.SQL(distance).format(
            embedding=layout.embedding_column, operator=table.distance.operator, type=table.vector_type
        ),
        embedding=layout.embedding_column,
        table=table.identifier,
    )
    rows = found.as_bytes(None) + (b"" if condition is None else b" AND " + condition)
    limit = sql.Literal(k).as_bytes(None)
    if kind is not None and not ordered:
        nearest = kind.ordering(layout.embedding_column).as_bytes(None)
        rows += b" ORDER BY " + nearest + b" LIMIT " + sql.Literal(candidates or k).as_bytes(None)
        rows = b"SELECT * FROM (" + rows + b") AS candidates"
    rows += b" ORDER BY distance LIMIT " + limit
    if stored is None:
        return rows
    # JSON becomes text after the sort: before it, that of every row would.
    return (
        b"SELECT "
        + layout.chunk_columns.as_bytes(None)
        + (b", distance, seq FROM (" if seq else b", distance FROM (")
        + rows
        + b") AS nearest ORDER BY distance"
    )
