"""Connections that break, block, run out or are abandoned while the work goes on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from rag_pgvector import Chunk, Collection, CollectionConfig, Database
from rag_pgvector.errors import ConnectionFailedError, DatabaseError
from rag_pgvector.plan import Batch, Execute, Plan, Together

THREE = CollectionConfig(dimensions=3)


def chunk(i: int, text: str = "text") -> Chunk:
    return Chunk(id=f"{i:05}", content=f"{text} {i}", embedding=[1, i, 0], metadata={"i": i})


@pytest.fixture
def docs(database_url: str) -> Iterator[Collection]:
    with Database(database_url, pool_size=4) as db:
        docs = db.collection("docs", config=THREE)
        docs.add([chunk(i) for i in range(100)])
        yield docs


def sleep(seconds: float) -> Plan[str]:
    yield Execute(sql.SQL("SELECT pg_sleep(%s)"), (seconds,))
    rows = yield Execute(sql.SQL("SELECT 'awake'"))
    return str(rows[0][0])


OTHERS = (
    "FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend' "
    "AND application_name <> 'observer'"  # one that was closed may not be gone yet
)


def observer(db: Database) -> psycopg.Connection[Any]:
    """A connection that is none of the pool's."""
    return psycopg.connect(db.url, autocommit=True, application_name="observer")


def fill_pool(db: Database, size: int = 4) -> None:
    """Have as many connections open as there may be: on a busy machine one is free before the last is asked for."""
    with ThreadPoolExecutor(size) as threads, observer(db) as conn:
        for seconds in (0.1, 1, 5):
            assert set(threads.map(lambda _, s=seconds: db.run(lambda: sleep(s)), range(size))) == {"awake"}
            if conn.execute("SELECT count(*) " + OTHERS).fetchall() == [(size,)]:
                break


def terminate(db: Database) -> int:
    """Kill every other backend of the database."""
    with observer(db) as conn:
        return conn.execute("SELECT pg_terminate_backend(pid, 5000) " + OTHERS).rowcount


READS: dict[str, Callable[[Collection], Any]] = {
    "get": lambda docs: docs.get(["00001"])[0].content == "text 1",
    "count": lambda docs: docs.count() == 100,
    "list": lambda docs: len(docs.list(limit=7)) == 7,
    "search": lambda docs: docs.search(vector=[1, 5, 0], k=1)[0].chunk.id == "00005",
    "documents": lambda docs: docs.documents() == [],
    "upsert": lambda docs: docs.upsert([chunk(1)]).unchanged == 1,
    "upsert many": lambda docs: docs.upsert([chunk(i) for i in range(100)]).unchanged == 100,
}


@pytest.mark.parametrize("what", READS)
def test_what_is_idempotent_survives_terminated_backends(docs: Collection, what: str) -> None:
    fill_pool(docs.database)
    assert terminate(docs.database) == 4
    assert READS[what](docs)
    fill_pool(docs.database)


def test_many_threads_survive_terminated_backends(docs: Collection) -> None:
    fill_pool(docs.database)
    assert terminate(docs.database) == 4
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: docs.count(), range(32))) == [100] * 32


async def test_asynchronous_reads_and_writes_survive_terminated_backends(docs: Collection) -> None:
    db = docs.database
    await asyncio.gather(*(db.arun(lambda: sleep(0.1)) for _ in range(4)))
    assert await asyncio.to_thread(terminate, db) >= 4
    assert await asyncio.gather(*(docs.acount() for _ in range(8))) == [100] * 8
    await asyncio.to_thread(terminate, db)
    assert (await docs.aupsert([chunk(1, "new")])).updated == 1
    await db.aclose()


def test_a_delete_is_not_run_twice(docs: Collection) -> None:
    fill_pool(docs.database)
    terminate(docs.database)
    with pytest.raises(ConnectionFailedError, match=r"try again|connection"):
        docs.delete(["00001"])
    assert docs.count() == 100
    assert docs.delete(["00001"]) == 1


def test_a_server_that_goes_away_is_not_called_a_busy_pool(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Through a little proxy that is closed: a pool that cannot grow only says that nothing became free."""
    caplog.set_level("INFO", "psycopg.pool")
    with proxy(database_url) as (url, shut):
        with Database(url, pool_size=2, timeout=1) as db:
            docs = db.collection("docs", config=THREE)
            assert docs.count() == 0
            shut()
            started = time.monotonic()
            with pytest.raises(ConnectionFailedError, match="is the server running"):
                docs.count()
            assert time.monotonic() - started < 4
    assert "error connecting" in caplog.text  # for who listens; the error is all that stands on a terminal
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


@contextlib.contextmanager
def proxy(url: str) -> Iterator[tuple[str, Callable[[], None]]]:
    """The URL of a forwarder to the server, and how to end it with all that goes through it."""
    parts = conninfo_to_dict(url)
    target = (str(parts["host"]), int(str(parts["port"])))
    listener = socket.create_server(("127.0.0.1", 0))
    open_sockets = [listener]

    def copy(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(target)
                open_sockets.extend((client, server))
                threading.Thread(target=copy, args=(client, server), daemon=True).start()
                threading.Thread(target=copy, args=(server, client), daemon=True).start()

    def shut() -> None:
        for each in open_sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield make_conninfo(url, host="127.0.0.1", port=listener.getsockname()[1]), shut
    finally:
        shut()


# ----------------------------------------------------------------------------------------------- deadlocks, exhaustion


def test_a_deadlock_is_run_again(docs: Collection) -> None:
    """Two transactions that lock two rows in opposite orders: Postgres ends one of them."""
    barrier = threading.Barrier(2)
    attempts = []

    def lock(first: str, second: str) -> Plan[None]:
        attempts.append(first)
        update = sql.SQL('UPDATE rag."chunks_docs" SET source = %s WHERE id = %s')
        yield Execute(update, (first, first))
        if len(attempts) <= 2:
            barrier.wait(10)
        yield Execute(update, (first, second))

    with ThreadPoolExecutor(2) as threads:
        for future in [
            threads.submit(docs.database.run, lambda: lock("00001", "00002"), atomic=True),
            threads.submit(docs.database.run, lambda: lock("00002", "00001"), atomic=True),
        ]:
            future.result(30)
    assert len(attempts) >= 3, "more, where the loser is quicker and meets the winner once more"
    [one, other] = docs.get(["00001", "00002"])
    assert one.source == other.source


def test_a_deadlock_outside_a_transaction_is_not_run_again(docs: Collection) -> None:
    attempts = []

    def lock() -> Plan[None]:
        attempts.append(1)
        yield Execute(sql.SQL("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$"))

    with pytest.raises(DatabaseError) as caught:
        docs.database.run(lock)
    assert caught.value.sqlstate == "40P01"
    assert len(attempts) == 1


@pytest.mark.parametrize("retry", [False, True])
def test_an_exhausted_pool_says_so_in_time(database_url: str, retry: bool) -> None:
    with Database(database_url, pool_size=1, timeout=0.4) as db, ThreadPoolExecutor(1) as threads:
        fill_pool(db, 1)
        busy = threads.submit(db.run, lambda: sleep(1.5))
        time.sleep(0.2)
        started = time.monotonic()
        with pytest.raises(ConnectionFailedError, match="became free in time: raise pool_size"):
            db.run(lambda: sleep(0), retry=retry)
        assert time.monotonic() - started < 0.75, "waited once, not twice"
        assert busy.result() == "awake"
        assert db.run(lambda: sleep(0)) == "awake"


def test_64_threads_on_a_pool_of_four(docs: Collection) -> None:
    def work(i: int) -> bool:
        docs.upsert([chunk(1000 + i)])
        [hit] = docs.search(vector=[1, 1000 + i, 0], k=1, filter={"i": 1000 + i})
        return hit.chunk.id == f"{1000 + i:05}" and docs.get([f"{1000 + i:05}"])[0] == hit.chunk

    with ThreadPoolExecutor(64) as threads:
        assert all(threads.map(work, range(256)))
    assert docs.count() == 356


async def test_64_tasks_on_a_pool_of_four(docs: Collection) -> None:
    async def work(i: int) -> bool:
        await docs.aupsert([chunk(1000 + i)])
        [hit] = await docs.asearch(vector=[1, 1000 + i, 0], k=1, filter={"i": 1000 + i})
        return hit.chunk.id == f"{1000 + i:05}"

    assert all(await asyncio.gather(*(work(i) for i in range(64))))
    assert await docs.acount() == 164
    await docs.database.aclose()


# -------------------------------------------------------------------------------------------- closing, cancelling


def test_close_lets_running_work_end(docs: Collection) -> None:
    db = docs.database
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(db.run, lambda: sleep(0.5))
        time.sleep(0.2)
        db.close()
        assert running.result() == "awake"
    assert docs.count() == 100, "it opens again when needed"


async def test_aclose_lets_running_work_end(docs: Collection) -> None:
    db = docs.database
    running = asyncio.create_task(db.arun(lambda: sleep(0.5)))
    await asyncio.sleep(0.2)
    await db.aclose()
    assert await running == "awake"
    assert await docs.acount() == 100
    await db.aclose()


def read_slowly() -> Plan[None]:
    yield Execute(sql.SQL("SELECT pg_sleep(0.05)"))


def pipe_slowly() -> Plan[None]:
    slow = Execute(sql.SQL("SELECT pg_sleep(0.02)"))
    yield Batch([slow, slow])


@pytest.mark.parametrize("make_plan", [read_slowly, pipe_slowly])
async def test_a_cancelled_task_gives_its_connection_back(
    database_url: str, make_plan: Callable[[], Plan[None]]
) -> None:
    """Cancelled at any moment, some twice: the pool of two must still hold two."""
    async with Database(database_url, pool_size=2, timeout=5) as db:
        moments = random.Random(7)
        for _ in range(15):
            tasks = [asyncio.create_task(db.arun(make_plan)) for _ in range(4)]
            for task in tasks:
                await asyncio.sleep(moments.random() * 0.03)
                task.cancel()
                if moments.random() < 0.5:
                    await asyncio.sleep(0)
                    task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        started = time.monotonic()
        assert await asyncio.gather(*(db.arun(lambda: sleep(0.5)) for _ in range(2))) == ["awake"] * 2
        assert time.monotonic() - started < 0.95, "both connections are there and ran side by side"


async def test_a_second_cancellation_while_the_connection_goes_back_loses_nothing(database_url: str) -> None:
    async with Database(database_url, pool_size=1, timeout=2) as db:
        assert await db.arun(lambda: sleep(0)) == "awake"
        pool: Any = next(iter(db._pools._async_pools.values()))
        task = asyncio.create_task(db.arun(lambda: sleep(0.1)))
        await asyncio.sleep(0.05)
        async with pool._lock:  # whoever gives back has to wait for it
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.sleep(0.01)
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert await db.arun(lambda: sleep(0)) == "awake"


async def test_a_cancelled_write_writes_nothing_or_everything(docs: Collection) -> None:
    db = docs.database
    for i in range(12):
        chunks = [chunk(n, f"round {i}") for n in range(1000, 1500)]
        task = asyncio.create_task(docs.aupsert(chunks))
        await asyncio.sleep(0.004 * i)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        texts = {
            found.content.rsplit(" ", 1)[0] for found in await docs.alist(limit=1000, filter={"i": {"$gte": 1000}})
        }
        assert len(texts) <= 1
        assert await docs.acount({"i": {"$gte": 1000}}) in (0, 500)
    await db.aclose()


# ------------------------------------------------------------------------------------------------------- interruptions


def told(text: str) -> Plan[list[Any]]:
    """Three statements in one pipeline."""
    rows = yield Batch([Execute(sql.SQL("SELECT %s::text"), [f"{text} {i}"]) for i in range(3)])
    return rows


async def test_after_a_cancelled_task_nobody_reads_its_answers(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled as it enters a pipeline, psycopg (3.3.9) leaves the connection idle and in pipeline mode, where the
    next statement returns without its rows."""
    enter = psycopg.AsyncPipeline.__aenter__

    async def cancelled(pipeline: psycopg.AsyncPipeline) -> psycopg.AsyncPipeline:
        await enter(pipeline)
        raise asyncio.CancelledError

    async with Database(database_url, pool_size=1) as db:
        assert await db.arun(lambda: told("first")) == [("first 2",)]
        with monkeypatch.context() as patch:
            patch.setattr(psycopg.AsyncPipeline, "__aenter__", cancelled)
            with pytest.raises(asyncio.CancelledError):
                await db.arun(lambda: told("cancelled"))
        assert await db.arun(lambda: sleep(0)) == "awake"


async def test_a_cancelled_task_is_no_warning(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    def slow() -> Plan[Any]:
        steps = [Execute(sql.SQL("SELECT pg_sleep(9)")), Execute(sql.SQL("SELECT 1"))]
        return (yield Together(steps, 1, lambda _: None))

    caplog.set_level("INFO", "psycopg")
    async with Database(database_url, pool_size=1) as db:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(db.arun(slow), 0.2)
    assert "error ignored" in caplog.text  # for who listens
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_after_ctrl_c_nobody_reads_the_answers(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a notebook's cell is interrupted, whose process goes on."""
    enter = psycopg.Pipeline.__enter__

    def interrupted(pipeline: psycopg.Pipeline) -> psycopg.Pipeline:
        enter(pipeline)
        raise KeyboardInterrupt

    with Database(database_url, pool_size=1) as db:
        assert db.run(lambda: told("first")) == [("first 2",)]
        with monkeypatch.context() as patch:
            patch.setattr(psycopg.Pipeline, "__enter__", interrupted)
            with pytest.raises(KeyboardInterrupt):
                db.run(lambda: told("interrupted"))
        assert db.run(lambda: sleep(0)) == "awake"
