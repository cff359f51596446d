"""The measurements behind single choices of docs/design.md: ``python -m rag_pgvector.evals.bench.micro --json``.

Calls are interleaved in random order over the same rows, so that the ratios hold although absolute times differ.

- ``small_write``: a call of so many rows as one INSERT and by way of staging: where ``write.SMALL_WRITE`` should lie.
- ``toast``: exact search where vectors lie in their rows (toast_tuple_target 4080, as our tables have it) and where
  Postgres's own 2 kB moves them out.
- ``add_without_graph``: a call of 500 rows, ours and raw COPY, on tables without a vector index: all that the stage
  ``add_live_hnsw`` of ``bench.store`` can differ by, since what goes into the graph is pgvector's own on both sides.
- ``keyword_writes``: the terms and postings of all rows, counted text by text and together; and the merge of five
  segments of 500 rows.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median
from typing import Any
from unittest import mock

from psycopg import sql

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions, postings, write
from rag_pgvector.analysis import Terms, analyser
from rag_pgvector.evals.bench.contenders import Contender, Ours, Raw, Rows, make_rows
from rag_pgvector.evals.bench.measure import latency, machine, print_parts, seconds, tell, turns, versions
from rag_pgvector.evals.bench.server import checkpoint, database, describe_server, embedded_server, say
from rag_pgvector.plan import Execute, Plan

__all__ = ["main", "measure"]

SIZES = (1, 8, 16, 24, 32, 40, 64, 128)
CALL = 500
K = 10


def measure(server: str, *, rows: int, rounds: int) -> dict[str, Any]:
    """Run everything on a server where the user may create databases, and return the report."""
    described: dict[str, Any] = {"machine": machine(), "server": describe_server(server)}
    data = make_rows(rows, 20, k=K)
    with ExitStack() as stack:
        run = uuid.uuid4().hex[:8]
        urls = [stack.enter_context(database(server, f"rag_bench_{run}_{name}")) for name in ("ours", "raw")]
        db = stack.enter_context(Database(urls[0], admin_url=urls[0]))
        say("small writes")
        small = _small_write(db, data, rounds)
        say(f"exact search of {rows} rows")
        toast = _toast(db, data, rounds)
        say(f"calls of {CALL} rows without a graph")
        calls = _add_without_graph(server, urls, data)
        say("terms, postings and a merge")
        words = _keyword_writes(db, data, min(rounds, 5))
    return {
        **described,
        "versions": versions("rag-pgvector", "psycopg", "pgvector", "numpy"),
        "data": {"rows": rows, "dimensions": data.vectors.shape[1], "rounds": rounds},
        "small_write": small,
        "toast": toast,
        "add_without_graph": calls,
        "keyword_writes": words,
    }


def _collection(db: Database, name: str, data: Rows) -> Collection:
    return db.collection(name, config=CollectionConfig(dimensions=data.vectors.shape[1]))


def _chunks(data: Rows, start: int, stop: int, prefix: str = "") -> list[Chunk]:
    return [
        Chunk(id=prefix + data.ids[i], content=data.texts[i], metadata=data.metadatas[i], embedding=data.vectors[i])
        for i in range(start, stop)
    ]


def _small_write(db: Database, data: Rows, rounds: int) -> dict[str, Any]:
    docs = _collection(db, "small", data)
    took: dict[tuple[int, str], list[float]] = {}
    ways = {"insert": max(SIZES), "staged": 0}
    for size in SIZES:
        for round_, way in turns(list(ways), rounds + 1, seed=size):
            chunks = _chunks(data, 0, size, f"{size}:{way}:{round_}:")
            with mock.patch.object(write, "SMALL_WRITE", ways[way]):
                once = seconds(partial(docs.upsert, chunks))
            if round_:  # the first one prepares
                took.setdefault((size, way), []).append(once)
    times = {size: {way: median(took[size, way]) for way in ways} for size in SIZES}
    return {
        "small_write_rows": write.SMALL_WRITE,
        "ms": {size: {way: round(1e3 * value, 3) for way, value in each.items()} for size, each in times.items()},
        "insert/staged": {size: round(each["insert"] / each["staged"], 3) for size, each in times.items()},
    }


def _toast(db: Database, data: Rows, rounds: int) -> dict[str, Any]:
    collections = {target: _collection(db, f"toast_{target}", data) for target in (4080, 2032)}
    for target, docs in collections.items():
        db.run_admin(partial(_set_target, docs, target))
        docs.add(_chunks(data, 0, len(data.ids)))
    asking: dict[str, Callable[[int], Any]] = {
        str(target): partial(_exact, docs, data) for target, docs in collections.items()
    }
    for ask in asking.values():
        ask(0)
    took: dict[str, list[float]] = {name: [] for name in asking}
    for turn, name in turns(list(asking), rounds):
        took[name].append(seconds(partial(asking[name], turn % len(data.queries))))
    found = {name: latency(times) for name, times in took.items()}
    return {"toast_tuple_target": found, "2032/4080": round(found["2032"]["p50_ms"] / found["4080"]["p50_ms"], 3)}


def _set_target(docs: Collection, target: int) -> Plan[None]:
    statement = sql.SQL("ALTER TABLE {} SET (toast_tuple_target = {})")
    yield Execute(statement.format(sql.Identifier("rag", f"chunks_{docs.name}"), sql.Literal(target)), prepare=False)


def _exact(docs: Collection, data: Rows, query: int) -> Any:
    return docs.search(vector=data.queries[query], k=K, options=SearchOptions(exact=True))


def _add_without_graph(server: str, urls: Sequence[str], data: Rows) -> dict[str, Any]:
    contenders: dict[str, Contender] = {"ours": Ours(urls[0], data), "raw": Raw(urls[1], data)}
    calls = len(data.ids) // CALL
    took: dict[str, list[float]] = {name: [] for name in contenders}
    try:
        checkpoint(server)
        for turn, name in turns(list(contenders), calls):
            took[name].append(seconds(partial(contenders[name].add, turn * CALL, (turn + 1) * CALL)))
    finally:
        for contender in contenders.values():
            contender.close()
    times = {name: 1e3 * median(each) for name, each in took.items()}
    return {
        "rows_per_call": CALL,
        "calls": calls,
        "ms": {name: round(value, 2) for name, value in times.items()},
        "more_ms": round(times["ours"] - times["raw"], 2),
    }


def _keyword_writes(db: Database, data: Rows, rounds: int) -> dict[str, Any]:
    docs = _collection(db, "merged", data)
    made = analyser(docs.config.language)
    ways: dict[str, Callable[[], list[Terms]]] = {
        "one_by_one": lambda: [made.terms(text) for text in data.texts],
        "together": lambda: made.all_terms(data.texts),
    }
    took: dict[str, list[float]] = {}
    for round_, way in turns(list(ways), rounds + 1):
        once = seconds(lambda way=way: list(postings.segments_of(docs._table, list(enumerate(ways[way]()))).rows))  # type: ignore[misc]
        if round_:  # the first one learns the words
            took.setdefault(way, []).append(once)
    with mock.patch.object(postings, "clean_up", _nothing):
        for call in range(postings.FANOUT):
            docs.add(_chunks(data, 0, CALL, f"{call}:"))
    merge = seconds(lambda: db.run(partial(postings.clean_up, docs._table), atomic=True))
    times = {way: median(each) for way, each in took.items()}
    return {
        "rows": len(data.texts),
        "ms": {way: round(1e3 * value, 2) for way, value in times.items()},
        "one_by_one/together": round(times["one_by_one"] / times["together"], 3),
        "merge": {"documents": CALL * postings.FANOUT, "ms": round(1e3 * merge, 2)},
    }


def _nothing(*_: Any, **__: Any) -> Plan[bool]:
    yield from ()
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.micro", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--url", help="a server where databases may be created (default: an embedded one)")
    parser.add_argument("--rows", type=int, default=10_000, help=f"default 10000, at least {CALL}")
    parser.add_argument("--rounds", type=int, default=30, help="default 30")
    options = parser.parse_args(arguments)
    if options.rows < CALL or options.rounds < 1:
        parser.error(f"--rows {options.rows} --rounds {options.rounds}: use at least {CALL} rows and 1 round")
    with ExitStack() as stack:
        server = options.url or stack.enter_context(embedded_server())
        report = measure(server, rows=options.rows, rounds=options.rounds)
    tell(report, as_json=options.json, read=print_parts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
