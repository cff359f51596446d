"""Search among tenants, the peers' way, and one's own table: ``python -m rag_pgvector.evals.bench.tenants --json``.

The rows of tenants of Zipf sizes lie in one multi-tenant collection with an HNSW index, written in batches as documents
come in. Per size of tenant, the same queries, interleaved in random order:

- ``ours``: ``Collection.search`` of an object bound to the tenant; ``ours_first_call`` of one made for this query.
- ``no_fence``: our statements without tenant setting and row-level security, by a superuser: what the fence costs.
- ``raw``: a prepared SELECT on a plain table of this tenant's rows alone, by the plan and ``ef_search`` of ours.
- ``post_filter_ef40``, ``..._ef100``: one plain table for all, HNSW and WHERE tenant, no iterative scan, as peers do.

Then whether ``get`` of somebody else's id takes as long as of an id that does not exist.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import ConnectionPool
from rich.console import Console
from rich.table import Table as Printed
from sqlalchemy import make_url

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions, read, roles
from rag_pgvector.evals.bench.contenders import EF_CONSTRUCTION, EF_SEARCH, HNSW_M
from rag_pgvector.evals.bench.measure import latency, machine, read_target, seconds, target, tell, turns, versions
from rag_pgvector.evals.bench.server import database, describe_server, embedded_server, role, say
from rag_pgvector.search import dense
from rag_pgvector.types import SearchPlan
from rag_pgvector.vectors import as_vector

__all__ = ["main", "measure"]

K = 10
DIMENSIONS = 384
ZIPF = 1.2
#: A batch of one tenant's rows lies together; the next one is somebody else's.
BATCH = 50
#: Most rows of a tenant in each band.
BANDS = (100, 1_000, 10_000, 1_000_000)
TENANTS_PER_BAND = 4
GETS = 300
_CENTRES = 100
_CONTENDERS = ("ours", "ours_first_call", "no_fence", "raw", "post_filter_ef40", "post_filter_ef100")
_COLUMNS = "id, content, metadata, document_id, source, page_or_row, char_start, char_end"


@dataclass(frozen=True)
class Tenants:
    """Rows in the order in which they are written; ``owner[i]`` is the number of the i-th row's tenant."""

    sizes: NDArray[np.int64]
    owner: NDArray[np.int64]
    vectors: NDArray[np.float32]

    def rows(self, tenant: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.owner == tenant)

    @staticmethod
    def name(tenant: int) -> str:
        return f"tenant-{tenant:03}"

    @staticmethod
    def id(row: int) -> str:
        return f"row:{row:06}"

    def content(self, row: int) -> str:
        return f"Row {row} of {self.name(int(self.owner[row]))}, " + "a sentence of some words, as they are. " * 10


def make_tenants(rows: int, tenants: int, *, seed: int = 20260102) -> Tenants:
    """``rows`` clustered unit vectors over ``tenants`` of Zipf sizes, all from the same clusters."""
    draw = np.random.default_rng(seed)
    weights = np.arange(1, tenants + 1) ** -ZIPF
    sizes = np.maximum(1, (rows * weights / weights.sum()).astype(np.int64))
    sizes[0] += rows - sizes.sum()
    batches = [(t, min(BATCH, size - start)) for t, size in enumerate(sizes) for start in range(0, size, BATCH)]
    order = draw.permutation(len(batches))
    owner = np.concatenate([np.full(batches[i][1], batches[i][0]) for i in order])
    centres = draw.standard_normal((_CENTRES, DIMENSIONS), dtype=np.float32)
    vectors = centres[draw.integers(_CENTRES, size=rows)] + draw.standard_normal((rows, DIMENSIONS), dtype=np.float32)
    return Tenants(sizes, owner, _unit(vectors))


def _unit(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)
    return unit


class Bench:
    """The same rows as our collection, as the peers' table, and as a plain table per measured tenant."""

    def __init__(self, admin_url: str, app_url: str, data: Tenants, stack: ExitStack) -> None:
        self.data = data
        self._admin_url, self._stack = admin_url, stack
        self._pools: dict[tuple[int, bool], ConnectionPool[Any]] = {}
        self.admin = stack.enter_context(Database(admin_url))
        self.db = stack.enter_context(Database(app_url, admin_url=admin_url))
        config = CollectionConfig(
            dimensions=DIMENSIONS, tenancy="multi", hnsw_m=HNSW_M, hnsw_ef_construction=EF_CONSTRUCTION
        )
        self.collection = self.db.collection("bench", config=config)
        self.pool: ConnectionPool[Any] = stack.enter_context(
            ConnectionPool(admin_url, min_size=1, kwargs={"autocommit": True}, configure=_configure)
        )
        self.bound: dict[int, Collection] = {}
        self.plans: dict[int, SearchPlan] = {}

    def load(self) -> dict[str, float]:
        """Write everything and build both indexes; returns how long each took."""
        data, took = self.data, {}
        took["add_s"] = seconds(self._add)
        took["build_index_s"] = seconds(self.collection.build_index)
        with self.pool.connection() as conn:
            conn.execute(_create("peer"))
            took["peer_copy_s"] = seconds(partial(self._copy, conn, "peer", range(len(data.owner))))
            took["peer_index_s"] = seconds(partial(conn.execute, _hnsw("peer")))
            conn.execute("ANALYZE peer (tenant_id, id)")
        return {name: round(value, 2) for name, value in took.items()}

    def _add(self) -> None:
        data = self.data
        changes = np.flatnonzero(np.diff(data.owner)) + 1
        for rows in np.split(np.arange(len(data.owner)), changes):
            tenant = self.collection.for_tenant(data.name(int(data.owner[rows[0]])))
            tenant.add(
                Chunk(
                    id=data.id(i), content=data.content(i), metadata={"year": 2000 + i % 25}, embedding=data.vectors[i]
                )
                for i in rows.tolist()
            )

    def _copy(self, conn: psycopg.Connection[Any], table: str, rows: Sequence[int]) -> None:
        data = self.data
        statement = sql.SQL("COPY {} (tenant_id, id, content, metadata, embedding) FROM STDIN (FORMAT BINARY)")
        with conn.cursor() as cursor, cursor.copy(statement.format(sql.Identifier(table))) as copy:
            copy.set_types(["text", "text", "text", "jsonb", "vector"])
            for i in rows:
                metadata = psycopg.types.json.Jsonb({"year": 2000 + i % 25})
                copy.write_row((data.name(int(data.owner[i])), data.id(i), data.content(i), metadata, data.vectors[i]))

    def prepare(self, tenant: int) -> str:
        """A table of this tenant's own for ``raw``; returns the plan that ours chooses."""
        bound = self.bound[tenant] = self.collection.for_tenant(self.data.name(tenant))
        rows = self.data.rows(tenant).tolist()
        plan = self.plans[tenant] = bound.search(vector=self.data.vectors[rows[0]], k=K).plan
        with self.pool.connection() as conn:
            conn.execute(_create(f"own_{tenant}"))
            self._copy(conn, f"own_{tenant}", rows)
            if plan.kind == "hnsw":
                conn.execute(_hnsw(f"own_{tenant}"))
            conn.execute(sql.SQL("ANALYZE {} (id)").format(sql.Identifier(f"own_{tenant}")))
        return plan.kind

    def search(self, name: str, tenant: int, query: NDArray[np.float32]) -> list[str]:
        """The ids that a contender finds."""
        if name == "ours":
            return [str(hit.chunk.id) for hit in self.bound[tenant].search(vector=query, k=K)]
        if name == "ours_first_call":
            bound = self.collection.for_tenant(self.data.name(tenant))
            return [str(hit.chunk.id) for hit in bound.search(vector=query, k=K)]
        if name == "no_fence":
            return self._no_fence(tenant, query)
        if name == "raw":
            return self._raw(f"own_{tenant}", query, self.plans[tenant].ef_search or EF_SEARCH, None)
        return self._raw("peer", query, int(name.rpartition("ef")[2]), self.data.name(tenant))

    def _no_fence(self, tenant: int, query: NDArray[np.float32]) -> list[str]:
        bound = self.bound[tenant]
        plan = partial(
            dense,
            bound._table,
            as_vector(query, bound.config),
            k=K,
            condition=read.where(bound._table),
            filtered=False,
            options=SearchOptions(),
            estimates=bound._estimates,
            session_defaults=True,
        )
        return [str(hit.row[0]) for hit in self.admin.run(plan)[0]]

    def _raw(self, table: str, query: NDArray[np.float32], ef_search: int, tenant: str | None) -> list[str]:
        condition = sql.SQL("" if tenant is None else "WHERE tenant_id = %s ")
        statement = sql.SQL("SELECT {}, embedding <=> %b AS distance FROM {} {}ORDER BY distance LIMIT %s").format(
            sql.SQL(_COLUMNS), sql.Identifier(table), condition
        )
        params = [query, *([] if tenant is None else [tenant]), K]
        pool = self._searching(ef_search, iterative=tenant is None)
        conn = pool.getconn()
        try:
            return [row[0] for row in conn.execute(statement, params, prepare=True, binary=True).fetchall()]
        finally:
            pool.putconn(conn)

    def _searching(self, ef_search: int, *, iterative: bool) -> ConnectionPool[Any]:
        if (ef_search, iterative) not in self._pools:
            self._pools[ef_search, iterative] = self._stack.enter_context(
                ConnectionPool(
                    self._admin_url,
                    min_size=1,
                    kwargs={"autocommit": True},
                    configure=_searching(ef_search, iterative=iterative),
                )
            )
        return self._pools[ef_search, iterative]


def _create(table: str) -> sql.Composed:
    return sql.SQL(
        "CREATE TABLE {} (tenant_id text NOT NULL, id text PRIMARY KEY, content text NOT NULL, metadata jsonb NOT NULL,"
        " document_id text, source text, page_or_row int, char_start int, char_end int, embedding vector({}))"
    ).format(sql.Identifier(table), sql.Literal(DIMENSIONS))


def _hnsw(table: str) -> sql.Composed:
    return sql.SQL(
        "CREATE INDEX ON {} USING hnsw (embedding vector_cosine_ops) WITH (m={}, ef_construction={})"
    ).format(sql.Identifier(table), sql.Literal(HNSW_M), sql.Literal(EF_CONSTRUCTION))


def _configure(conn: psycopg.Connection[Any]) -> None:
    register_vector(conn)


def _searching(ef_search: int, *, iterative: bool) -> Callable[[psycopg.Connection[Any]], None]:
    mode = "strict_order" if iterative else "off"

    def configure(conn: psycopg.Connection[Any]) -> None:
        register_vector(conn)
        conn.execute(sql.SQL("SET hnsw.ef_search = {}").format(sql.Literal(ef_search)))
        conn.execute(sql.SQL("SET hnsw.iterative_scan = {}").format(sql.Literal(mode)))

    return configure


# ------------------------------------------------------------------------------------------------------------ measuring


def measure(server: str, *, rows: int, tenants: int, queries: int) -> dict[str, Any]:
    """Load once, ask everything and return the report. The server's user may create databases and roles."""
    described: dict[str, Any] = {"machine": machine(), "server": describe_server(server)}
    data = make_tenants(rows, tenants)
    run = uuid.uuid4().hex[:8]
    with ExitStack() as stack:
        login = stack.enter_context(role(server, f"rag_bench_{run}"))
        admin_url = stack.enter_context(database(server, f"rag_bench_{run}"))
        with Database(admin_url) as admin:
            admin.upgrade()
            password = conninfo_to_dict(admin_url).get("password")
            secret = None if password is None else str(password)
            admin.run_admin(lambda: roles.grant_login(login, create=True, password=secret))
        app_url = make_url(admin_url).set(username=login).render_as_string(hide_password=False)
        bench = Bench(admin_url, app_url, data, stack)
        say(f"load {rows} rows of {tenants} tenants")
        load = bench.load()
        bands = list(_bands(bench, queries))
        not_yours = _not_yours(bench)
    return {
        **described,
        "versions": versions("rag-pgvector", "psycopg", "pgvector", "numpy"),
        "data": {"rows": rows, "dimensions": DIMENSIONS, "tenants": tenants, "zipf": ZIPF, "batch": BATCH},
        "k": K,
        "load": load,
        "bands": bands,
        "not_yours": not_yours,
        "targets": {
            "recall_where_exact": target(_least(bands, "exact"), 1.0),
            "recall_elsewhere": target(_least(bands, "hnsw"), 0.99),
            "p50_vs_raw": target(max(band["ratios"]["ours/raw"] for band in bands), 1.8, at_most=True),
            "p50_vs_no_fence": target(max(band["ratios"]["ours/no_fence"] for band in bands), 1.8, at_most=True),
        },
    }


def _bands(bench: Bench, queries: int) -> Iterator[dict[str, Any]]:
    lower = 0
    draw = np.random.default_rng(1)
    for upper in BANDS:
        inside = np.flatnonzero((bench.data.sizes > lower) & (bench.data.sizes <= upper))
        lower = upper
        if not len(inside):
            continue
        chosen = inside[np.linspace(0, len(inside) - 1, min(TENANTS_PER_BAND, len(inside))).astype(int)].tolist()
        say(f"tenants of up to {upper} rows: {len(inside)}, {len(chosen)} measured")
        plans = {tenant: bench.prepare(tenant) for tenant in chosen}
        asked = []
        for i in range(queries):
            tenant = chosen[i % len(chosen)]
            rows = bench.data.rows(tenant)
            noise = 0.5 * _unit(draw.standard_normal(DIMENSIONS, dtype=np.float32))
            query = _unit(bench.data.vectors[draw.choice(rows)] + noise)
            best = rows[np.argsort(-(bench.data.vectors[rows] @ query))[:K]]
            asked.append((tenant, query, {bench.data.id(i) for i in best.tolist()}))
        yield {
            "rows": {"least": int(bench.data.sizes[chosen].min()), "most": int(bench.data.sizes[chosen].max())},
            "tenants": len(inside),
            "measured": len(chosen),
            "queries": queries,
            "plans": sorted(set(plans.values())),
            **_ask(bench, asked, plans),
        }


def _ask(bench: Bench, asked: list[tuple[int, Any, set[str]]], plans: dict[int, str]) -> dict[str, Any]:
    hits = dict.fromkeys(_CONTENDERS, 0)
    by_plan: dict[str, list[float]] = {}
    for tenant, query, best in asked:  # the warm-up, too
        for name in _CONTENDERS:
            found = len(best.intersection(bench.search(name, tenant, query)))
            hits[name] += found
            if name == "ours":
                by_plan.setdefault(plans[tenant], []).append(found / len(best))
    took: dict[str, list[float]] = {name: [] for name in _CONTENDERS}
    for i, name in turns(_CONTENDERS, len(asked)):
        tenant, query, _ = asked[i]
        took[name].append(seconds(partial(bench.search, name, tenant, query)))
    all_best = sum(len(best) for _, _, best in asked)
    found_by = {name: {**latency(took[name]), "recall_at_10": round(hits[name] / all_best, 4)} for name in _CONTENDERS}
    ours = found_by["ours"]["p50_ms"]
    return {
        "contenders": found_by,
        "recall_by_plan": {plan: round(float(np.mean(values)), 4) for plan, values in by_plan.items()},
        "ratios": {f"ours/{name}": round(ours / found_by[name]["p50_ms"], 3) for name in _CONTENDERS if name != "ours"},
    }


def _least(bands: list[dict[str, Any]], plan: str) -> float | None:
    return min((band["recall_by_plan"][plan] for band in bands if plan in band["recall_by_plan"]), default=None)


def _not_yours(bench: Bench) -> dict[str, Any]:
    """``get`` of an id of the largest tenant, and of none, by the next one, in turns."""
    asking = bench.collection.for_tenant(bench.data.name(1))
    foreign = bench.data.rows(0)
    ids = {
        "foreign": [bench.data.id(int(foreign[i % len(foreign)])) for i in range(GETS)],
        "missing": [f"row:{900_000 + i}" for i in range(GETS)],
    }
    took: dict[str, list[float]] = {name: [] for name in ids}
    for i, name in turns(list(ids), GETS):
        took[name].append(seconds(partial(asking.get, [ids[name][i]])))
    found = {name: latency(samples) for name, samples in took.items()}
    return {**found, "p50_ratio": round(found["foreign"]["p50_ms"] / found["missing"]["p50_ms"], 3)}


def _print(report: dict[str, Any]) -> None:
    table = Printed(title=f"{report['data']['rows']} rows of {report['data']['tenants']} tenants, k = {K}")
    for heading in ("rows of the tenant", "plan", "", "p50, ms", "p95, ms", "recall@10"):
        table.add_column(heading, justify="right" if heading.endswith(("ms", "10")) else "left")
    for band in report["bands"]:
        first = [f"{band['rows']['least']:,} to {band['rows']['most']:,}", ", ".join(band["plans"])]
        for name, found in band["contenders"].items():
            table.add_row(*first, name, *(f"{found[key]:,}" for key in ("p50_ms", "p95_ms", "recall_at_10")))
            first = ["", ""]
    console = Console()
    console.print(table)
    console.print(f"get: somebody else's id takes {report['not_yours']['p50_ratio']} times as long as one of nobody's")
    for name, found in report["targets"].items():
        console.print(read_target(name, found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.tenants", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--url", help="a server where databases and roles may be created (default: an embedded one)")
    parser.add_argument("--rows", type=int, default=100_000, help="default 100000, at least 10 per tenant")
    parser.add_argument("--tenants", type=int, default=200, help="default 200, at least 2")
    parser.add_argument("--queries", type=int, default=100, help="per size of tenant; default 100")
    options = parser.parse_args(arguments)
    if options.tenants < 2 or options.rows < 10 * options.tenants or options.queries < 1:
        parser.error(f"--rows {options.rows} --tenants {options.tenants} --queries {options.queries}: too few")
    with ExitStack() as stack:
        server = options.url or stack.enter_context(embedded_server())
        report = measure(server, rows=options.rows, tenants=options.tenants, queries=options.queries)
    tell(report, as_json=options.json, read=_print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
