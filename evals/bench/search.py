"""Recall against latency under filters: ``python -m rag_pgvector.evals.bench.search [--data DIR] --json``.

The same rows in our collection, in langchain-postgres's table and in LlamaIndex's, each with an HNSW index of the same
settings, asked the same questions under filters that let 0.01 to 100 % of the rows pass; calls are interleaved at
random. ``ours`` is what the planner chooses; ``exact`` and ``hnsw_ef...`` are our statements with the plan fixed, the
yardstick for what choosing costs. The peers get several ``ef_search``: compare them with ours at equal recall. Then the
same after deleting a quarter of the rows and giving another quarter new vectors; and queries per second without a
filter of 1 and 16 clients against the same prepared statement in plain psycopg. Writes ``bench-search.png`` to --out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg_pool import ConnectionPool

from rag_pgvector import planner
from rag_pgvector.evals.bench.filtered import LangChain, LlamaIndex, Ours, Searched, Store, id_of
from rag_pgvector.evals.bench.measure import latency, machine, read_target, seconds, target, turns, versions
from rag_pgvector.evals.bench.realistic import Vectors, clusters, perturbed, unit
from rag_pgvector.evals.bench.server import database, describe_server, embedded_server, say

__all__ = ["main", "measure"]

K = 10
SHARES = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5, 1.0)
FIXED: dict[str, dict[str, Any]] = {
    "exact": {"exact": True},
    **{f"hnsw_ef{ef}": {"exact": False, "ef_search": ef} for ef in (40, 120, 400, 1000)},
}
PEERS: dict[str, Callable[[str, Searched], Store]] = {"langchain-postgres": LangChain, "llama-index": LlamaIndex}
PEERS_EF = (40, 400)
CLIENTS = 16
_QPS_SECONDS = 3.0

Ask = Callable[[Any, int | None], list[str]]


def measure(server: str, vectors: Vectors, *, queries: int, peers: bool) -> dict[str, Any]:
    """Load, ask and report. The server's user may create databases."""
    described = {"machine": machine(), "server": describe_server(server)}
    draw = np.random.default_rng(5)
    data = Searched(vectors.rows, draw.permutation(len(vectors.rows)))
    run, left_out = uuid.uuid4().hex[:8], {}
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' deprecations are not this benchmark's to show
        stores: dict[str, Store] = {}
        urls: dict[str, str] = {}
        made: dict[str, Callable[[str, Searched], Store]] = {"ours": partial(Ours, clients=CLIENTS)}
        for name, make in {**made, **(PEERS if peers else {})}.items():
            say(f"load and index {len(data.rows)} rows: {name}")
            urls[name] = stack.enter_context(database(server, f"rag_bench_{run}_{name}"))
            try:
                stores[name] = make(urls[name], data)
            except ImportError as error:
                left_out[name] = f"not installed ({error})"
                continue
            stack.callback(stores[name].close)
        ours = stores["ours"]
        assert isinstance(ours, Ours)
        asks = _asks(stores)
        fresh = [_at(share, asks, ours, data, np.arange(len(data.rows)), vectors.queries, queries) for share in SHARES]
        qps = _throughput(urls["ours"], ours, vectors.queries)
        kept = _disturb(urls, stores, data, draw)
        few = {name: ask for name, ask in asks.items() if not name.startswith("hnsw")}
        changed = [_at(share, few, ours, data, kept, vectors.queries, queries) for share in (0.01, 0.2, 1.0)]
    return {
        **described,
        "versions": versions("rag-pgvector", "langchain-postgres", "llama-index-vector-stores-postgres", "pgvector"),
        "data": {"rows": len(data.rows), "dimensions": data.rows.shape[1], "queries": queries, "from": vectors.origin},
        "k": K,
        "fresh": fresh,
        "after_updates_and_deletes": changed,
        "without_filter": qps,
        "left_out": left_out,
        "targets": {
            "recall": target(min(at["asked"]["ours"]["recall_at_10"] for at in [*fresh, *changed]), 0.99),
            "p95_vs_best_fixed_plan": target(max(at["p95_vs_best_fixed"] for at in fresh), 2.0, at_most=True),
            "p50_vs_raw": target(qps["p50_vs_raw"], 1.3, at_most=True),
            "qps_16_clients_vs_raw": target(qps["qps"][f"{CLIENTS}_clients"]["ours/raw"], 0.8),
        },
    }


def _asks(stores: dict[str, Store]) -> dict[str, Ask]:
    def ask(store: Store, how: dict[str, Any]) -> Ask:
        return lambda query, below: store.search(query, K, below, **how)

    asks = {"ours": ask(stores["ours"], {})}
    asks |= {name: ask(stores["ours"], how) for name, how in FIXED.items()}
    for name in PEERS:
        if name in stores:
            asks |= {f"{name}_ef{ef}": ask(stores[name], {"ef_search": ef}) for ef in PEERS_EF}
    return asks


def _at(
    share: float, asks: dict[str, Ask], ours: Ours, data: Searched, rows: Any, asked: Any, queries: int
) -> dict[str, Any]:
    """Everybody's recall and latency at one selectivity, over the rows that are left."""
    below = None if share == 1.0 else max(1, round(share * len(data.rows)))
    passing = rows if below is None else rows[data.rank[rows] < below]
    say(f"{share:.2%} of the rows pass: {len(passing)}")
    chosen = [asked[i % len(asked)] for i in range(queries)]
    best = [passing[np.argsort(-(data.rows[passing] @ query), kind="stable")[:K]] for query in chosen]
    hits = dict.fromkeys(asks, 0)
    for query, near in zip(chosen, best, strict=True):  # the warm-up, too
        wanted = {id_of(i) for i in near.tolist()}
        for name, ask in asks.items():
            hits[name] += len(wanted.intersection(ask(query, below)))
    took: dict[str, list[float]] = {name: [] for name in asks}
    for i, name in turns(list(asks), queries):
        took[name].append(seconds(partial(asks[name], chosen[i], below)))
    most = sum(map(len, best))
    found = {name: {**latency(took[name]), "recall_at_10": round(hits[name] / most, 4)} for name in asks}
    fixed = {name: found[name] for name in FIXED if name in found and found[name]["recall_at_10"] >= 0.99}
    quickest = min(fixed, key=lambda name: fixed[name]["p95_ms"])
    return {
        "share": share,
        "passing": len(passing),
        "plan": ours.plan(chosen[0], K, below),
        "asked": found,
        "best_fixed": quickest,
        "p95_vs_best_fixed": round(found["ours"]["p95_ms"] / fixed[quickest]["p95_ms"], 3),
    }


def _disturb(urls: dict[str, str], stores: dict[str, Store], data: Searched, draw: Any) -> Any:
    """Delete a quarter of everybody's rows, give another quarter new vectors; returns the rows that are left."""
    order = draw.permutation(len(data.rows))
    gone, moved = np.array_split(order, 4)[:2]
    noise = 0.6 * unit(draw.standard_normal((len(moved), data.rows.shape[1]), dtype=np.float32))
    data.rows[moved] = unit(data.rows[moved] + noise)
    for name, store in stores.items():
        say(f"delete and update: {name}")
        with psycopg.connect(urls[name]) as conn:
            register_vector(conn)
            names = {"table": store.table, "id": store.id_column}
            conn.execute(
                sql.SQL("DELETE FROM {table} WHERE {id} = ANY(%s)").format(**names),
                ([id_of(i) for i in gone.tolist()],),
            )
            conn.cursor().executemany(
                sql.SQL("UPDATE {table} SET embedding = %s WHERE {id} = %s").format(**names),
                [(data.rows[i], id_of(i)) for i in moved.tolist()],
            )
    return np.setdiff1d(np.arange(len(data.rows)), gone)


# ----------------------------------------------------------------------------------------------- without a filter


def _throughput(url: str, ours: Ours, asked: Any) -> dict[str, Any]:
    """p50 of one client, and queries per second, against the same statement prepared in plain psycopg."""
    statement = sql.SQL(
        "SELECT id, content, metadata, document_id, source, page_or_row, char_start, char_end, node, "
        "embedding <=> %b AS distance FROM {} ORDER BY distance LIMIT {}"
    ).format(ours.table, sql.Literal(K))

    def configure(conn: psycopg.Connection[Any]) -> None:
        register_vector(conn)
        conn.execute("SET hnsw.iterative_scan = strict_order")
        conn.execute(sql.SQL("SET hnsw.ef_search = {}").format(sql.Literal(planner.EF_SEARCH)))

    with ConnectionPool(
        url, min_size=1, max_size=CLIENTS, kwargs={"autocommit": True}, configure=configure, open=True
    ) as pool:

        def raw(query: Any) -> Any:
            conn = pool.getconn()
            try:
                return conn.execute(statement, [query], prepare=True, binary=True).fetchall()
            finally:
                pool.putconn(conn)

        asks: dict[str, Callable[[Any], Any]] = {"ours": lambda query: ours.search(query, K, None), "raw": raw}
        for ask in asks.values():
            for query in asked[:20]:
                ask(query)
        took: dict[str, list[float]] = {name: [] for name in asks}
        for i, name in turns(list(asks), 300):
            took[name].append(seconds(partial(asks[name], asked[i % len(asked)])))
        qps: dict[str, dict[str, float]] = {}
        for clients in (1, CLIENTS):
            rates: dict[str, list[float]] = {name: [] for name in asks}
            for _, name in turns(list(asks), 3):
                rates[name].append(_rate(asks[name], asked, clients))
            found = {name: round(float(np.median(each)), 1) for name, each in rates.items()}
            key = f"{clients}_client{'s' if clients > 1 else ''}"
            qps[key] = {**found, "ours/raw": round(found["ours"] / found["raw"], 3)}
    one = {name: latency(each) for name, each in took.items()}
    return {**one, "p50_vs_raw": round(one["ours"]["p50_ms"] / one["raw"]["p50_ms"], 3), "qps": qps}


def _rate(ask: Callable[[Any], Any], asked: Any, clients: int) -> float:
    """Queries per second of so many threads, each with a connection of its own."""
    done = [0] * clients
    until = time.perf_counter() + _QPS_SECONDS

    def work(number: int) -> None:
        while time.perf_counter() < until:
            ask(asked[(number * 31 + done[number]) % len(asked)])
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - started)


# -------------------------------------------------------------------------------------------------------- showing


def plot(report: dict[str, Any], path: Path) -> None:
    """p95 and recall over the share of rows that pass."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, under) = pyplot.subplots(2, 1, sharex=True, figsize=(8, 8))
    shares = [at["share"] * 100 for at in report["fresh"]]
    for name in report["fresh"][0]["asked"]:
        style = {"linewidth": 2.5} if name == "ours" else {"linewidth": 1, "linestyle": "--"}
        for axes, key in ((above, "p95_ms"), (under, "recall_at_10")):
            axes.plot(shares, [at["asked"][name][key] for at in report["fresh"]], marker=".", label=name, **style)
    above.set(xscale="log", yscale="log", ylabel="p95, ms", title=f"{report['data']['rows']} rows, k = {K}")
    under.set(xscale="log", ylabel="recall@10", xlabel="rows that pass the filter, %")
    under.legend(fontsize="small", ncols=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120, bbox_inches="tight")
    pyplot.close(figure)


def _print(report: dict[str, Any]) -> None:
    for at in [*report["fresh"], *report["after_updates_and_deletes"]]:
        print(f"{at['share']:.2%} pass; {at['plan']}; best fixed plan {at['best_fixed']}")
        for name, found in at["asked"].items():
            print(f"    {name:26} p50 {found['p50_ms']:9.3f}  p95 {found['p95_ms']:9.3f}  {found['recall_at_10']:.4f}")
    print(json.dumps(report["without_filter"], indent=2))
    for name, found in report["targets"].items():
        print(read_target(name, found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.search", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--url", help="a server where databases may be created (default: an embedded one)")
    parser.add_argument("--data", type=Path, help="the research data (default: RAG_PGVECTOR_DATA, else clusters)")
    parser.add_argument("--rows", type=int, default=100_000, help="default 100000, at least 100")
    parser.add_argument("--queries", type=int, default=50, help="per selectivity; default 50")
    parser.add_argument("--no-peers", action="store_true", help="only our plans and plain psycopg")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the plot; default out")
    options = parser.parse_args(arguments)
    if options.rows < 100 or options.queries < 1:
        parser.error(f"--rows {options.rows} --queries {options.queries}: use at least 100 rows and 1 query")
    given = os.environ.get("RAG_PGVECTOR_DATA")
    folder = options.data or (Path(given) if given else None)
    vectors = perturbed(folder, options.rows, 200) if folder is not None else clusters(options.rows, 200)
    with ExitStack() as stack:
        server = options.url or stack.enter_context(embedded_server())
        report = measure(server, vectors, queries=options.queries, peers=not options.no_peers)
    plot(report, options.out / "bench-search.png")
    print(json.dumps(report, indent=2)) if options.json else _print(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
