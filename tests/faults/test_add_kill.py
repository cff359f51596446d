"""kill -9 of the client, and the end of its backend, at any moment of a write: all of the call is there, or none."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql

from rag_pgvector import Chunk, Collection, CollectionConfig, Database

ROWS = 10_000
KILLS = 200 if os.environ.get("RAG_PGVECTOR_LONG") else 15

#: Forks a writer for every line that it reads; forking saves the imports and the making of the chunks.
PROGRAM = """
    import itertools, os, signal, sys
    from rag_pgvector import Chunk, Database, Document, embedding, migrations, open, settings

    url, what, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])

    def chunks(call, prefix):
        return [Chunk(id=f"{prefix}{i}", content=f"call {call}", source=f"call {call}", embedding=[1, i, call])
                for i in range(rows)]

    ready = [chunks(call, "even" if call % 2 else "odd") for call in range(4)]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        number = int(line)
        if os.fork() == 0:
            docs = Database(f"{url}?application_name=killed").collection("docs")
            print(os.getpid(), flush=True)
            for call in itertools.count(number):
                if what == "add":
                    docs.add(ready[call % 4])
                else:
                    own = ready[call % 4][: rows - call % 3]
                    docs.put_document(Document(id="d", source=f"{call % 4}", text=f"{len(own)}", loader="l"), own)
"""


@pytest.fixture
def docs(database_url: str) -> Iterator[Collection]:
    with Database(database_url) as db:
        yield db.collection("docs", config=CollectionConfig(dimensions=3))


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


class Writer:
    """A process that writes without end, as often as it is killed."""

    def __init__(self, url: str, what: str, rows: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), url, what, str(rows)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )

    def start(self, number: int) -> int:
        """The process id of a writer that begins now."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture
def writers(database_url: str) -> Iterator[list[Writer]]:
    made: list[Writer] = []
    yield made
    for writer in made:
        writer.close()


def wait_until_gone(conn: psycopg.Connection[Any]) -> None:
    """Until the server has noticed that the client is no more."""
    for _ in range(500):
        row = conn.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'killed'").fetchone()
        if row == (0,):
            return
        time.sleep(0.02)
    raise AssertionError("the backend of a killed client goes on")


def duration(docs: Collection, rows: int) -> float:
    """How long one call takes here."""
    chunks = [Chunk(id=f"odd{i}", content="first", source="first", embedding=[1, i, 1]) for i in range(rows)]
    started = time.perf_counter()
    docs.add(chunks)
    return time.perf_counter() - started


def first_call(writer: Writer, docs: Collection, conn: psycopg.Connection[Any]) -> float:
    """How long a writer takes until its first call is done: it has to connect and to make its plans anew."""
    before = docs.count()
    pid = writer.start(0)
    started = time.perf_counter()
    while docs.count() == before:
        assert time.perf_counter() - started < 120, "the writer does not write"
        time.sleep(0.01)
    took = time.perf_counter() - started
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(conn)
    return took


def test_kill_9_in_the_middle_of_add(
    docs: Collection, conn: psycopg.Connection[Any], writers: list[Writer], database_url: str
) -> None:
    """Calls alternate between two sets of ids, so every call but the first replaces what an earlier one wrote."""
    writers.append(Writer(database_url, "add", ROWS))
    once = first_call(writers[0], docs, conn)
    moments = random.Random(1)
    seen: set[str] = set()
    for number in range(KILLS):
        pid = writers[0].start(number)
        time.sleep(moments.uniform(0, 2) * once)
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(conn)
        if number % 5 == 4 and len(seen) <= 2:
            once *= 2  # the machine has become slower: let some calls come through
        whole = conn.execute(
            "SELECT source, count(*), count(DISTINCT content) FROM rag.chunks_docs GROUP BY 1"
        ).fetchall()
        assert {row[1:] for row in whole} == {(ROWS, 1)}, f"kill {number} left half a call: {whole}"
        assert len(whole) <= 2
        seen.update(row[0] for row in whole)
    assert len(seen) > 2, "some calls came through"
    assert docs.upsert([Chunk(id="after", content="x", embedding=[1, 1, 1])]).added == 1


def test_kill_9_in_the_middle_of_put_document(
    docs: Collection, conn: psycopg.Connection[Any], writers: list[Writer], database_url: str
) -> None:
    writers.append(Writer(database_url, "put_document", 3000))
    once = first_call(writers[0], docs, conn)
    moments = random.Random(2)
    seen: set[Any] = set()
    for number in range(KILLS):
        pid = writers[0].start(number)
        time.sleep(moments.uniform(0, 2) * once)
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(conn)
        if number % 5 == 4 and len(seen) <= 1:
            once *= 2
        document = docs.document("d")
        chunks = conn.execute("SELECT source, content, count(*) FROM rag.chunks_docs GROUP BY 1, 2").fetchall()
        if document is None:
            assert chunks == []
        else:
            [(source, content, count)] = chunks
            assert (source, count) == (document.source, int(document.text)), "text and chunks of one call"
            seen.add(content)
    assert len(seen) > 1, "some calls came through"


def test_the_end_of_the_backend_in_the_middle_of_add(docs: Collection, conn: psycopg.Connection[Any]) -> None:
    """It is run once more on a fresh connection, which is safe since ids are fixed before the first attempt."""
    once = duration(docs, 5000)
    moments = random.Random(3)
    killed = 0
    with ThreadPoolExecutor(1) as thread:
        for number in range(KILLS):
            chunks = [Chunk(id=f"odd{i}", content=f"call {number}", embedding=[1, i, 2]) for i in range(5000)]
            adding = thread.submit(docs.add, chunks)
            time.sleep(moments.uniform(0, 1) * once)
            killed += conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND state <> 'idle'"
            ).rowcount
            assert len(adding.result(60)) == 5000
            row = conn.execute("SELECT count(*), count(DISTINCT content), min(content) FROM rag.chunks_docs").fetchone()
            assert row == (5000, 1, f"call {number}")
    assert killed > KILLS // 4, "most came in the middle"


def test_overlapping_upserts_do_not_deadlock(docs: Collection, conn: psycopg.Connection[Any]) -> None:
    """Small and staged writes of the same rows in any order: each locks them in the order of their ids."""
    barrier = threading.Barrier(6)

    def work(seed: int) -> int:
        own = random.Random(seed)
        barrier.wait()
        for call in range(12):
            ids = own.sample(range(400), k=own.choice([5, 30, 32, 33, 200, 400]))
            docs.add([Chunk(id=f"{'Éa_Z'[i % 4]}{i}", content=f"{seed} {call}", embedding=[1, i, call]) for i in ids])
        return seed

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(work, range(6))) == list(range(6))
    assert docs.count() <= 400
    conn.execute("SELECT pg_stat_force_next_flush()")
    deadlocks = sql.SQL("SELECT pg_stat_get_db_deadlocks(oid) FROM pg_database WHERE datname = current_database()")
    assert conn.execute(deadlocks).fetchone() == (0,), "they would be run again, but cost a second each"
