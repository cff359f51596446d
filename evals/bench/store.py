"""The store against the physical limit and its peers, in one run: ``python -m rag_pgvector.evals.bench.store --json``.

The same rows and queries for all, each in a database of its own, calls interleaved in random order, so that the ratios
hold although absolute times differ from machine to machine. Three stages:

- ``add``: all rows in one call into an empty table without a vector index, median of the rounds.
- ``query``: k = 10 through an HNSW index built over these rows in every round, with recall against exact search.
- ``add_live_hnsw``: the last three tenths of the rows, in calls of a twentieth, into a table whose HNSW index is built
  (anew in every round: six calls into one graph came out anywhere from .76 to 1.04 of raw COPY); and what the other
  way, loading and then indexing, took for the first seven tenths.
"""

from __future__ import annotations

import argparse
import sys
import uuid
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from rag_pgvector.evals.bench.contenders import (
    CONTENDERS,
    EF_CONSTRUCTION,
    EF_SEARCH,
    HNSW_M,
    Contender,
    Ours,
    Rows,
    make_rows,
)
from rag_pgvector.evals.bench.measure import latency, machine, read_target, seconds, target, tell, turns, versions
from rag_pgvector.evals.bench.server import checkpoint, database, describe_server, embedded_server, say

__all__ = ["main", "measure"]

K = 10
ROUNDS = 3
QUERY_PASSES = 2
WARM_UP_ROWS = 200
LIVE_CALLS = 6
_LIVE = ("ours", "raw", "llama-index")


def measure(server: str, *, rows: int, queries: int) -> dict[str, Any]:
    """Run every stage on a server where the user may create databases, and return the report."""
    described: dict[str, Any] = {"machine": machine(), "server": describe_server(server)}
    data = make_rows(rows, queries, k=K)
    left_out: dict[str, str] = {}
    # The peers' deprecations are not this benchmark's to show.
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore")
        contenders: dict[str, Contender] = {}
        run = uuid.uuid4().hex[:8]
        for name, make in CONTENDERS.items():
            url = stack.enter_context(database(server, f"rag_bench_{run}_{name}"))
            try:
                contenders[name] = make(url, data)
            except ImportError as error:
                left_out[name] = f"not installed ({error})"
                continue
            stack.callback(contenders[name].close)
        add, query = _load_and_query(server, contenders, data)
        live = _live(server, {name: contenders[name] for name in _LIVE if name in contenders}, data)
    peer = live["rows_per_s"].get("llama-index")
    bulk = live["load_then_index_rows_per_s"]["ours"] / peer if peer else None
    return {
        **described,
        "versions": versions(
            "rag-pgvector", "langchain-postgres", "llama-index-vector-stores-postgres", "psycopg", "pgvector", "numpy"
        ),
        "data": {"rows": rows, "dimensions": data.vectors.shape[1], "queries": queries},
        "add": add,
        "query": query,
        "add_live_hnsw": live,
        "left_out": left_out,
        "targets": {
            "add_vs_langchain": target(add["ratios"].get("ours/langchain-postgres"), 10),
            "live_vs_raw_copy": target(live["ratios"]["ours/raw"], 0.9),
            "load_then_index_vs_llama_index_live": target(bulk, 4),
            "query_p50_vs_raw": target(query["ratios"]["ours/raw"], 1.3, at_most=True),
        },
    }


def _load_and_query(server: str, contenders: dict[str, Contender], data: Rows) -> tuple[dict[str, Any], dict[str, Any]]:
    """The stages ``add`` and ``query``: every round loads, indexes and asks anew.

    No two HNSW graphs of the same rows are alike, and their speed differs by a tenth: hence queries in every round.
    """
    size, count = len(data.ids), len(data.queries)
    adding: dict[str, list[float]] = {name: [] for name in contenders}
    building: dict[str, list[float]] = {name: [] for name in contenders}
    asking: dict[str, list[float]] = {name: [] for name in contenders}
    hits = dict.fromkeys(contenders, 0)
    for contender in contenders.values():
        contender.add(0, min(WARM_UP_ROWS, size))
    for round_ in range(ROUNDS):
        for _, name in turns(list(contenders), 1, seed=round_):
            say(f"round {round_ + 1} of {ROUNDS}: add and index, {name}")
            contender = contenders[name]
            contender.fresh()
            checkpoint(server)
            adding[name].append(seconds(partial(contender.add, 0, size)))
            building[name].append(seconds(contender.build_index))
        for name, contender in contenders.items():  # this is the warm-up, too
            for i, near in enumerate(data.nearest):
                hits[name] += len(near.intersection(contender.ids(contender.search(i, K))))
        for turn, name in turns(list(contenders), count * QUERY_PASSES, seed=round_):
            asking[name].append(seconds(partial(contenders[name].search, turn % count, K)))
    rates = {name: size / median(times) for name, times in adding.items()}
    nearest = ROUNDS * sum(map(len, data.nearest))
    found = {
        name: {
            **latency(asking[name]),
            "recall_at_10": round(hits[name] / nearest, 4),
            "index_build_s": round(median(building[name]), 3),
        }
        for name in contenders
    }
    ours = contenders["ours"]
    assert isinstance(ours, Ours)
    add = {
        "rows_per_call": size,
        "rounds": ROUNDS,
        "rows_per_s": _rounded(rates),
        "ratios": _ratios(rates),
    }
    query = {
        "k": K,
        "ef_search": EF_SEARCH,
        "samples": len(asking["ours"]),
        "plan": ours.plan(),
        "contenders": found,
        "ratios": _ratios({name: numbers["p50_ms"] for name, numbers in found.items()}),
    }
    return add, query


def _live(server: str, contenders: dict[str, Contender], data: Rows) -> dict[str, Any]:
    """The stage ``add_live_hnsw``: graphs are built anew in every round, as in ``_load_and_query``."""
    base = len(data.ids) * 7 // 10
    call = (len(data.ids) - base) // LIVE_CALLS
    loading: dict[str, list[float]] = {name: [] for name in contenders}
    took: dict[str, list[float]] = {name: [] for name in contenders}
    by_round = []
    for round_ in range(ROUNDS):
        for _, name in turns(list(contenders), 1, seed=round_):
            say(f"round {round_ + 1} of {ROUNDS}: add with a live index, {base} rows before: {name}")
            contender = contenders[name]
            contender.fresh()
            loading[name].append(seconds(partial(contender.add, 0, base)) + seconds(contender.build_index))
        checkpoint(server)
        for turn, name in turns(list(contenders), LIVE_CALLS, seed=round_):
            start = base + turn * call
            took[name].append(seconds(partial(contenders[name].add, start, start + call)))
        by_round.append(round(median(took["raw"][-LIVE_CALLS:]) / median(took["ours"][-LIVE_CALLS:]), 3))
    rates = {name: call / median(times) for name, times in took.items()}
    return {
        "base_rows": base,
        "rows_per_call": call,
        "calls": ROUNDS * LIVE_CALLS,
        "rounds": ROUNDS,
        "hnsw": {"m": HNSW_M, "ef_construction": EF_CONSTRUCTION},
        "rows_per_s": _rounded(rates),
        "ratios": _ratios(rates),
        "ours/raw_by_round": by_round,
        "load_then_index_rows_per_s": _rounded({name: base / median(both) for name, both in loading.items()}),
    }


def _rounded(rates: dict[str, float]) -> dict[str, int]:
    return {name: round(rate) for name, rate in rates.items()}


def _ratios(values: dict[str, float]) -> dict[str, float]:
    return {f"ours/{name}": round(values["ours"] / value, 3) for name, value in values.items() if name != "ours"}


def _print(report: dict[str, Any]) -> None:
    table = Table(title=f"{report['data']['rows']} rows of {report['data']['dimensions']} dimensions")
    for heading in ("", "add, rows/s", "live add, rows/s", "query p50, ms", "p95, ms", "recall@10"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, query in report["query"]["contenders"].items():
        add, live = (report[stage]["rows_per_s"].get(name) for stage in ("add", "add_live_hnsw"))
        cells = [add, live, query["p50_ms"], query["p95_ms"], query["recall_at_10"]]
        table.add_row(name, *("" if cell is None else f"{cell:,}" for cell in cells))
    console = Console()
    console.print(table)
    for name, reason in report["left_out"].items():
        console.print(f"{name} is left out: {reason}")
    for name, found in report["targets"].items():
        console.print(read_target(name, found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.store", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--url", help="a server where databases may be created (default: an embedded one, removed after)"
    )
    parser.add_argument("--rows", type=int, default=10_000, help="default 10000, at least 100")
    parser.add_argument("--queries", type=int, default=200, help="default 200")
    options = parser.parse_args(arguments)
    if options.rows < 100 or options.queries < 1:
        parser.error(f"--rows {options.rows} --queries {options.queries}: use at least 100 rows and 1 query")
    with ExitStack() as stack:
        server = options.url or stack.enter_context(embedded_server())
        report = measure(server, rows=options.rows, queries=options.queries)
    tell(report, as_json=options.json, read=_print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
