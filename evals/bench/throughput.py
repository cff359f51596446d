"""Latency and queries a second of ``Collection.search`` against the same statement in plain psycopg."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg_pool import ConnectionPool

from rag_pgvector import planner
from rag_pgvector.evals.bench.filtered import Ours
from rag_pgvector.evals.bench.measure import latency, seconds, turns

__all__ = ["CLIENTS", "throughput"]

CLIENTS = 16
_QPS_SECONDS = 3.0


def throughput(url: str, ours: Ours, asked: Any, *, k: int) -> dict[str, Any]:
    """p50 of one client, and queries per second of 1 and 16, without a filter.

    The yardstick is the same statement with the same settings, prepared in plain psycopg, from a pool of its own.
    """
    statement = sql.SQL(
        "SELECT id, content, metadata, document_id, source, page_or_row, char_start, char_end, node, "
        "embedding <=> %b AS distance FROM {} ORDER BY distance LIMIT {}"
    ).format(ours.table, sql.Literal(k))

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

        asks: dict[str, Callable[[Any], Any]] = {"ours": lambda query: ours.search(query, k, None), "raw": raw}
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
