"""Sixty-four workers of many tenants on one connection, cut off at random: nobody gets what another left behind."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from rag_pgvector import Collection
from tests.isolation.conftest import mutate
from tests.isolation.pooler import pgbouncer
from tests.isolation.world import Logs, Who, World, embed, opened

WORKERS = 64
ROUNDS = 200 if os.environ.get("RAG_PGVECTOR_LONG") else 20
VECTOR = embed(["the question"])[0]
#: Eight tenants, eight scopes of each: every worker is alone in its scope, so it knows all that it may see.
EVERYBODY: list[Who] = [(f"t{i % 8}", f"s{i // 8}") for i in range(WORKERS)]


class Worker:
    """One scope's doings: what it wrote last is what it reads."""

    def __init__(self, world: World, who: Who, seed: int) -> None:
        self.world, self.who = world, who
        self.collection: Collection = world.bound(who)
        self.draw = random.Random(seed)
        #: Per id the texts that may be stored: a call that was cut off has either happened or not.
        self.possible: dict[str, set[str | None]] = {id_: {None} for id_ in ("1", "2", "3")}

    def next(self) -> tuple[str, tuple[Any, ...], dict[str, Any], Callable[[Any], None], dict[str, str | None]]:
        """A method, its arguments, what checks its result, and what it makes of the rows."""
        name = self.draw.choice(["add", "upsert", "put_document", "delete", "get", "list", "count", "search", "texts"])
        ids = self.draw.sample(sorted(self.possible), self.draw.randint(1, 3))
        chunks = [self.world.canaries.chunk(self.who, id_) for id_ in ids]
        after: dict[str, str | None] = {}
        arguments: tuple[Any, ...] = ()
        options: dict[str, Any] = {}
        if name in ("add", "upsert"):
            arguments, after = (chunks,), {str(chunk.id): chunk.content for chunk in chunks}
        elif name == "put_document":
            arguments = (self.world.canaries.document(self.who, "d"), [self.world.canaries.chunk(self.who, "c")])
        elif name == "delete":
            arguments, after = (ids,), dict.fromkeys(ids)
        elif name == "get":
            arguments = (ids,)
        elif name == "texts":
            arguments = (["d"],)
        elif name == "search":
            options = {"vector": VECTOR, "k": 100}
        return name, arguments, options, self.check, after

    def check(self, result: Any) -> None:
        assert self.world.canaries.foreign(self.who, result) == []
        chunks = [getattr(each, "chunk", each) for each in result] if not isinstance(result, int | dict) else []
        for chunk in chunks:
            if getattr(chunk, "id", None) in self.possible:
                assert chunk.content in self.possible[chunk.id]

    def settle(self, after: dict[str, str | None]) -> None:
        for id_, text in after.items():
            self.possible[id_] = {text}

    def unsettle(self, after: dict[str, str | None]) -> None:
        for id_, text in after.items():
            self.possible[id_].add(text)


@pytest.mark.timeout(900)
def test_threads_on_one_connection(narrow: World, logs: Logs) -> None:
    def work(number: int) -> int:
        worker = Worker(narrow, EVERYBODY[number], number)
        for _ in range(ROUNDS):
            name, arguments, options, check, after = worker.next()
            result = getattr(worker.collection, name)(*arguments, **options)
            check(result if not hasattr(result, "added") else [])
            worker.settle(after)
            assert narrow.db.run(narrow.settings) == ("", "")
        return ROUNDS

    with ThreadPoolExecutor(WORKERS) as pool:
        assert sum(pool.map(work, range(WORKERS))) == WORKERS * ROUNDS
    print(f"{WORKERS * ROUNDS} operations of {WORKERS} threads")


async def _tasks(world: World) -> tuple[int, int]:
    async def work(number: int) -> tuple[int, int]:
        worker = Worker(world, EVERYBODY[number], number)
        done = cut = 0
        for _ in range(ROUNDS):
            name, arguments, options, check, after = worker.next()
            call = asyncio.ensure_future(getattr(worker.collection, "a" + name)(*arguments, **options))
            if worker.draw.random() < 0.3:
                await asyncio.sleep(worker.draw.choice([0, 0.001, 0.01, 0.05]))
                call.cancel()
            try:
                result = await call
            except asyncio.CancelledError:
                cut += 1
                worker.unsettle(after)
            else:
                done += 1
                check(result if not hasattr(result, "added") else [])
                worker.settle(after)
            assert await world.db.arun(world.settings) == ("", "")
        return done, cut

    counts = await asyncio.gather(*map(work, range(WORKERS)))
    return sum(done for done, _ in counts), sum(cut for _, cut in counts)


@pytest.mark.timeout(900)
async def test_tasks_that_are_cancelled_on_one_connection(narrow: World, logs: Logs) -> None:
    done, cut = await _tasks(narrow)
    await narrow.db.aclose()
    assert done > 0
    assert cut > 0
    print(f"{done} operations of {WORKERS} tasks, {cut} cancelled")


@pytest.mark.timeout(900)
async def test_tasks_that_are_cancelled_through_pgbouncer(database_url: str, app_login: str, logs: Logs) -> None:
    with pgbouncer(database_url, app_login) as through:
        with opened(database_url, app_login, through=through, prepare=False, pool_size=16) as world:
            done, cut = await _tasks(mutate(world))
            await world.db.aclose()
    assert done > 0
    assert cut > 0


async def test_after_a_cancelled_transaction_the_next_borrower_finds_nothing(narrow: World) -> None:
    """Cancelled while Postgres works, between the setting and the end of the transaction."""
    collection = narrow.bound(("acme", ""))
    await collection.aadd([narrow.canaries.chunk(("acme", ""), "1")])
    with psycopg.connect(narrow.admin_url) as blocker:
        blocker.execute("LOCK TABLE rag.documents IN EXCLUSIVE MODE")
        call = asyncio.ensure_future(collection.adelete_document("d"))
        await asyncio.sleep(0.3)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert await narrow.db.arun(narrow.settings) == ("", "")
    assert await narrow.bound(("bolt", "")).acount() == 0
    await narrow.db.aclose()
