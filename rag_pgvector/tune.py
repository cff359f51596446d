"""Measuring what searching costs on this machine: the constants of ``planner.CostModel``."""

from __future__ import annotations

import time
from dataclasses import astuple, fields
from statistics import median

from psycopg import sql

from rag_pgvector.plan import Execute, Plan
from rag_pgvector.planner import CostModel

__all__ = ["measure_costs", "store_costs"]

ROWS = 6_000
DIMENSIONS = 384
#: Rows of one tenant, each on a page with others' rows.
TENANTS = 8
RUNS = 15
_FEW, _MANY = 40, 400

_SET_UP = (
    "SET LOCAL temp_buffers = '96MB'",
    "SET LOCAL max_parallel_workers_per_gather = 0",
    "SET LOCAL hnsw.iterative_scan = off",
    "CREATE TEMP TABLE rag_tune (tenant integer, id integer, document_id text, source text, content text, "
    "metadata jsonb, embedding vector(384), node jsonb) WITH (toast_tuple_target = 4080) ON COMMIT DROP",
    "INSERT INTO rag_tune SELECT i % 8, i, 'document ' || i / 10, 'a/file.md', repeat('words as they are, ', 20), "
    "jsonb_build_object('year', i % 25, 'topic', 'topic ' || i % 50), "
    "(SELECT array_agg(random() - 0.5 + 0 * (i + j)) FROM generate_series(1, 384) AS j)::vector, NULL "
    "FROM generate_series(1, 6000) AS i",
    "CREATE INDEX rag_tune_tenant ON rag_tune (tenant)",
    "CREATE INDEX rag_tune_hnsw ON rag_tune USING hnsw (embedding vector_cosine_ops) WITH (ef_construction = 64)",
    "ANALYZE rag_tune (id, tenant)",
)
_ROUND_TRIP = "SELECT id, content, metadata FROM rag_tune LIMIT 10"
_READ = "SELECT id FROM rag_tune WHERE metadata @> '{\"year\": -1}' AND embedding IS NOT NULL"
#: As ``search.statement`` writes it, with a condition that costs what that of ``_READ`` does.
_EXACT = (
    "SELECT id, content, metadata::text, node::text, distance FROM (SELECT id, content, metadata, document_id, source, "
    "node, (embedding <=> %s::vector) + 0 AS distance FROM rag_tune WHERE embedding IS NOT NULL AND metadata @> '{}' "
    "ORDER BY distance LIMIT 10) AS nearest ORDER BY distance"
)
_NOBODY = "SELECT count(embedding) FROM rag_tune WHERE tenant = -1"
_SCATTERED = "SELECT count(embedding) FROM rag_tune WHERE tenant = 7"
_WALK = "SELECT id, content FROM rag_tune ORDER BY embedding <=> %s::vector LIMIT 10"


def measure_costs() -> Plan[CostModel]:
    """Search a temporary table of random vectors in the ways that the planner chooses among; about ten seconds.

    Run it in a transaction: what it sets and makes ends with it, for the connection may be a pooler's, and the next
    client's then. Each number is the median of some runs.
    """
    for statement in _SET_UP:
        yield Execute(sql.SQL(statement), prepare=False)
    rows = yield Execute(sql.SQL("SELECT embedding::text FROM rag_tune WHERE id = 17"))
    question = rows[0][0]
    search = yield from _microseconds(_ROUND_TRIP)
    read = yield from _microseconds(_READ)
    exact = yield from _microseconds(_EXACT, question)
    yield Execute(sql.SQL("SET LOCAL enable_seqscan = off"), prepare=False)
    nobody = yield from _microseconds(_NOBODY)
    scattered = yield from _microseconds(_SCATTERED)
    walks = []
    for ef_search in (_FEW, _MANY):
        yield Execute(sql.SQL("SET LOCAL hnsw.ef_search = {}").format(sql.Literal(ef_search)), prepare=False)
        walks.append((yield from _microseconds(_WALK, question)))
    row = max((read - search) / ROWS, 0.01)
    distance = max((exact - read) / ROWS / DIMENSIONS * 1000, 0.01)
    candidate = max((walks[1] - walks[0]) / (_MANY - _FEW), 0.1)
    # How the time of a candidate divides into comparisons and the rest matters only for other dimensions.
    comparisons = min(CostModel().comparisons, 0.8 * candidate / (distance * DIMENSIONS / 1000))
    return CostModel(
        search_us=round(search, 1),
        row_us=round(row, 4),
        scattered_row_us=round(max((scattered - nobody) / (ROWS / TENANTS), row), 4),
        distance_us=round(distance, 4),
        candidate_us=round(candidate - comparisons * distance * DIMENSIONS / 1000, 4),
        comparisons=round(comparisons, 2),
    )


def _microseconds(query: str, *params: str) -> Plan[float]:
    took = []
    for _ in range(RUNS):
        start = time.perf_counter()
        yield Execute(sql.SQL(query), params)
        took.append(time.perf_counter() - start)
    return median(took) * 1e6


def store_costs(costs: CostModel) -> Plan[None]:
    """Keep them for every process that opens a collection from now on."""
    names = [field.name for field in fields(CostModel)]
    yield Execute(
        sql.SQL(
            "INSERT INTO rag.search_costs (id, {columns}) VALUES (1, {values}) "
            "ON CONFLICT (id) DO UPDATE SET ({columns}, measured_at) = ROW({excluded}, now())"
        ).format(
            columns=sql.SQL(", ").join(map(sql.Identifier, names)),
            values=sql.SQL(", ").join([sql.Placeholder()] * len(names)),
            excluded=sql.SQL(", ").join(sql.Identifier("excluded", name) for name in names),
        ),
        astuple(costs),
    )
