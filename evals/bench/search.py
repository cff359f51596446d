"""Recall against latency under filters: ``python -m rag_pgvector.evals.bench.search [--data DIR] --json``.

The same rows in our collection, in langchain-postgres's table and in LlamaIndex's, each with an HNSW index of the same
settings, asked the same questions under filters that let 0.01 to 100 % of the rows pass; calls are interleaved at
random. ``ours`` is what the planner chooses; ``exact`` and ``hnsw_ef...`` are our statements with the plan fixed, the
yardstick for what choosing costs. The peers get several ``ef_search``: compare them with ours at equal recall. Then the
same after deleting a quarter of the rows and giving another quarter new vectors; and queries per second without a
filter of 1 and 16 clients against the same prepared statement in plain psycopg. Writes ``bench-search.png`` to --out.

It is long. ``--home DIR`` keeps the server there and what was measured, so that it can be run in pieces: ``--phases
build`` while the machine does other work, ``--phases fresh --shares .0001 .001`` in quiet, and so on; the last one
prints all. Delete the folder afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql

from rag_pgvector.evals.bench.filtered import LangChain, LlamaIndex, Ours, Searched, Store, id_of
from rag_pgvector.evals.bench.measure import latency, machine, print_targets, seconds, target, tell, turns, versions
from rag_pgvector.evals.bench.realistic import Vectors, clusters, kept_vectors, perturbed, unit
from rag_pgvector.evals.bench.server import database, describe_server, embedded_server, kept_database, say
from rag_pgvector.evals.bench.throughput import CLIENTS, throughput

__all__ = ["Session", "main"]

K = 10
SHARES = (0.0001, 0.001, 0.01, 0.05, 0.2, 0.5, 1.0)
FIXED: dict[str, dict[str, Any]] = {
    "exact": {"exact": True},
    **{f"hnsw_ef{ef}": {"exact": False, "ef_search": ef} for ef in (40, 120, 400, 1000)},
}
PEERS: dict[str, Callable[..., Store]] = {"langchain-postgres": LangChain, "llama-index": LlamaIndex}
PEERS_EF = (40, 400)
#: In this order. "fresh" and "changed" ask; "disturb" deletes and updates between them.
PHASES = ("build", "fresh", "throughput", "disturb", "changed")
CHANGED_SHARES = (0.01, 0.2, 1.0)
_MEASURED = "bench-search.json"

Ask = Callable[[Any, int | None], list[str]]


@dataclass(frozen=True)
class Session:
    """One run of the benchmark, or of a part of it.

    Attributes:
        home: A folder with a server and what other runs measured; None for databases that are dropped at the end.
        phases: What to do of ``PHASES``, and at which of ``SHARES``. What was done before is not done again.
    """

    server: str
    vectors: Vectors
    queries: int
    peers: bool
    home: Path | None = None
    phases: Sequence[str] = PHASES
    shares: Sequence[float] = SHARES

    def measure(self) -> dict[str, Any]:
        """Load, ask and report. The server's user may create databases."""
        draw = np.random.default_rng(5)
        data = Searched(self.vectors.rows.copy(), draw.permutation(len(self.vectors.rows)))
        found = self._before()
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the peers' deprecations are not this benchmark's to show
            urls, stores = self._stores(stack, data, found)
            asks = _asks(stores)
            if "fresh" in self.phases:
                everything = np.arange(len(data.rows))
                self._ask_all("fresh", self.shares, asks, stores, data, everything, found)
            if "throughput" in self.phases and "throughput" not in found:
                ours = stores["ours"]
                assert isinstance(ours, Ours)
                found["throughput"] = throughput(urls["ours"], ours, self.vectors.queries, k=K)
                self._keep(found)
            gone, moved = _drawn_changes(data, draw)
            if "disturb" in self.phases:
                for name, store in stores.items():
                    if name not in found["disturbed"]:
                        _disturb(urls[name], name, store, data, gone, moved)
                        found["disturbed"].append(name)
                        self._keep(found)
            if "changed" in self.phases:
                found["dead_rows"] = {name: _dead_rows(urls[name]) for name in stores}
                few = {name: ask for name, ask in asks.items() if not name.startswith("hnsw")}
                kept = np.setdiff1d(np.arange(len(data.rows)), gone)
                shares = [share for share in CHANGED_SHARES if share in self.shares]
                self._ask_all("changed", shares, few, stores, data, kept, found)
        return self._report(found)

    def _stores(
        self, stack: ExitStack, data: Searched, found: dict[str, Any]
    ) -> tuple[dict[str, str], dict[str, Store]]:
        run, urls, stores = uuid.uuid4().hex[:8], {}, {}
        made: dict[str, Callable[..., Store]] = {"ours": partial(Ours, clients=CLIENTS)}
        for name, make in {**made, **(PEERS if self.peers else {})}.items():
            load = name not in found["loaded"]
            if load and "build" not in self.phases:
                continue
            if self.home is None:
                urls[name] = stack.enter_context(database(self.server, f"rag_bench_{run}_{name}"))
            else:
                urls[name] = kept_database(self.server, f"rag_bench_search_{name}", anew=load)
            try:
                if load:
                    say(f"load and index {len(data.rows)} rows: {name}")
                stores[name] = make(urls[name], data, load=load)
            except ImportError as error:
                found["left_out"][name] = f"not installed ({error})"
                continue
            stack.callback(stores[name].close)
            found["loaded"] = sorted({*found["loaded"], name})
            self._keep(found)
        return urls, stores

    def _ask_all(
        self,
        phase: str,
        shares: Sequence[float],
        asks: dict[str, Ask],
        stores: dict[str, Store],
        data: Searched,
        rows: Any,
        found: dict[str, Any],
    ) -> None:
        ours = stores["ours"]
        assert isinstance(ours, Ours)
        for share in shares:
            if all(at["share"] != share for at in found[phase]):
                found[phase].append(_at(share, asks, ours, data, rows, self.vectors.queries, self.queries))
                found[phase].sort(key=lambda at: at["share"])
                self._keep(found)

    def _before(self) -> dict[str, Any]:
        file = None if self.home is None else self.home / _MEASURED
        if file is not None and file.is_file():
            found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if found["rows"] != len(self.vectors.rows):
                raise SystemExit(
                    f"{self.home} holds {found['rows']} rows: give --rows {found['rows']}, or another --home"
                )
            return found
        return {
            "machine": machine(),
            "server": describe_server(self.server),
            "rows": len(self.vectors.rows),
            "left_out": {},
            "loaded": [],
            "disturbed": [],
            "fresh": [],
            "changed": [],
        }

    def _keep(self, found: dict[str, Any]) -> None:
        if self.home is not None:
            (self.home / _MEASURED).write_text(json.dumps(found, indent=2), encoding="utf-8")

    def _report(self, found: dict[str, Any]) -> dict[str, Any]:
        rows, fresh, qps = self.vectors.rows, found["fresh"], found.get("throughput")
        asked = [*fresh, *found["changed"]]
        return {
            **{name: found[name] for name in ("machine", "server", "left_out")},
            "versions": versions(
                "rag-pgvector", "langchain-postgres", "llama-index-vector-stores-postgres", "pgvector"
            ),
            "data": {
                "rows": len(rows),
                "dimensions": rows.shape[1],
                "queries": self.queries,
                "from": self.vectors.origin,
            },
            "k": K,
            "fresh": fresh,
            "after_updates_and_deletes": found["changed"],
            "dead_rows": found.get("dead_rows"),
            "without_filter": qps,
            "targets": {
                "recall": target(min((at["asked"]["ours"]["recall_at_10"] for at in asked), default=None), 0.99),
                "p95_vs_best_fixed_plan": target(
                    max((at["p95_vs_best_fixed"] for at in fresh), default=None), 2.0, at_most=True
                ),
                "p50_vs_raw": target(None if qps is None else qps["p50_vs_raw"], 1.3, at_most=True),
                "qps_16_clients_vs_raw": target(
                    None if qps is None else qps["qps"][f"{CLIENTS}_clients"]["ours/raw"], 0.8
                ),
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


def _drawn_changes(data: Searched, draw: np.random.Generator) -> tuple[Any, Any]:
    """Which quarter of the rows is to go, and which gets new vectors: ``data`` has them from now on."""
    gone, moved = np.array_split(draw.permutation(len(data.rows)), 4)[:2]
    noise = 0.6 * unit(draw.standard_normal((len(moved), data.rows.shape[1]), dtype=np.float32))
    data.rows[moved] = unit(data.rows[moved] + noise)
    return gone, moved


def _disturb(url: str, name: str, store: Store, data: Searched, gone: Any, moved: Any) -> None:
    """Delete and update in one library's table, in one transaction."""
    say(f"delete and update: {name}")
    with psycopg.connect(url) as conn:
        register_vector(conn)
        names = {"table": store.table, "id": store.id_column}
        conn.execute(
            sql.SQL("DELETE FROM {table} WHERE {id} = ANY(%s)").format(**names), ([id_of(i) for i in gone.tolist()],)
        )
        conn.cursor().executemany(
            sql.SQL("UPDATE {table} SET embedding = %s WHERE {id} = %s").format(**names),
            [(data.rows[i], id_of(i)) for i in moved.tolist()],
        )


def _dead_rows(url: str) -> int:
    """How many dead rows autovacuum has left, of all tables of a database."""
    with psycopg.connect(url) as conn:
        found = conn.execute("SELECT coalesce(sum(n_dead_tup), 0)::bigint FROM pg_stat_user_tables").fetchone()
    assert found is not None
    return int(found[0])


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
    print(json.dumps({name: report[name] for name in ("dead_rows", "without_filter")}, indent=2))
    print_targets(report)


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
    parser.add_argument("--home", type=Path, help="keep an embedded server here, and what was measured")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=PHASES, help="needs --home")
    parser.add_argument("--shares", nargs="+", type=float, choices=SHARES, default=SHARES, help="of rows that pass")
    options = parser.parse_args(arguments)
    if (options.phases != PHASES and options.home is None) or (options.url and options.home):
        parser.error("--phases needs --home, and --home an embedded server: leave out --url")
    if options.rows < 100 or options.queries < 1:
        parser.error(f"--rows {options.rows} --queries {options.queries}: use at least 100 rows and 1 query")
    given = os.environ.get("RAG_PGVECTOR_DATA")
    folder = options.data or (Path(given) if given else None)
    vectors = kept_vectors(
        None if options.home is None else options.home / f"vectors-{options.rows}.npz",
        lambda: perturbed(folder, options.rows, 200) if folder is not None else clusters(options.rows, 200),
    )
    with ExitStack() as stack:
        server = options.url or stack.enter_context(embedded_server(options.home))
        report = Session(
            server,
            vectors,
            queries=options.queries,
            peers=not options.no_peers,
            home=options.home,
            phases=options.phases,
            shares=options.shares,
        ).measure()
    if report["fresh"]:
        plot(report, options.out / "bench-search.png")
    tell(report, as_json=options.json, read=_print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
