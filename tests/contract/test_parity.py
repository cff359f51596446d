"""Both colours of every method: the same names, the same arguments, and an event loop that is never blocked."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, Document

#: Methods of one colour only, and why.
ONE_COLOUR: dict[type, dict[str, str]] = {
    Database: {
        "from_engine": "connects nothing",
        "from_pools": "connects nothing",
        "upgrade": "an administrator's, once",
        "ensure_schema": "acollection and acollections do it in a thread",
        "run_admin": "DDL, which the asynchronous methods run in a thread",
        "as_application": "acollection does it in a thread",
        "search_costs": "acollection asks in a thread, once",
        "admin_is_pooled": "DDL asks, which the asynchronous methods run in a thread",
    },
    Collection: {
        "for_tenant": "connects nothing",
        "embedding_hash": "a hash, where an embedder has been proven",
    },
}


def public(kind: type) -> dict[str, Any]:
    return {
        name: member
        for name, member in inspect.getmembers(kind, inspect.isroutine)
        if not name.startswith("_") and name not in vars(object)
    }


@pytest.mark.parametrize("kind", [Database, Collection])
def test_every_method_has_a_twin_with_the_same_signature(kind: type) -> None:
    methods, alone = public(kind), ONE_COLOUR[kind]
    asynchronous = {name for name, method in methods.items() if inspect.iscoroutinefunction(method)}
    for name in asynchronous:
        assert name.startswith("a"), name
        assert name[1:] in methods, f"{name} has no synchronous twin"
    for name in methods.keys() - asynchronous - alone.keys():
        assert f"a{name}" in asynchronous, f"{name} has no asynchronous twin"
        one, other = inspect.signature(methods[name]), inspect.signature(methods[f"a{name}"])
        assert one == other, name
        assert methods[name].__doc__, f"{name} has no docstring"
    assert alone.keys() <= methods.keys(), "a listed exception is gone"
    assert not {f"a{name}" for name in alone} & asynchronous, "a listed exception has a twin by now"


# ---------------------------------------------------------------------------------------------------------- the loop


def slow(texts: list[str]) -> list[list[float]]:
    """An embedder that blocks its thread."""
    time.sleep(0.3)
    return [[float(len(text)), 1.0, 0.0] for text in texts]


@pytest.fixture
async def docs(database_url: str) -> AsyncIterator[Collection]:
    async with Database(database_url) as db:
        docs = await db.acollection("docs", config=CollectionConfig(dimensions=3), embedder=slow)
        await docs.aadd([Chunk(id="a", content="text", embedding=[1, 2, 3])])
        yield docs


async def longest_pause(work: Awaitable[Any]) -> float:
    """The longest time that the loop could not run another task."""
    pauses = [0.0]

    async def tick() -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            pauses.append(now - last)
            last = now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0.02)
    started = time.perf_counter()
    await work
    assert time.perf_counter() - started > 0.25, "the embedder was slow"
    await asyncio.sleep(0.02)
    ticking.cancel()
    return max(pauses)


#: Three tries, for the machine may be busy with something else; a blocking call blocks every time.
@pytest.mark.parametrize(
    "work",
    [
        lambda docs: docs.asearch("question"),
        lambda docs: docs.aadd([Chunk(content="new text")]),
        lambda docs: docs.aupsert([Chunk(content="new text")]),
        lambda docs: docs.aembed_query("question"),
        lambda docs: docs.aembed_documents(["text"]),
        lambda docs: docs.aask("What is it?"),
        lambda docs: docs.database.acollection("other", config=CollectionConfig(), embedder=slow),
    ],
    ids=["asearch", "aadd", "aupsert", "aembed_query", "aembed_documents", "aask", "acollection"],
)
async def test_a_slow_embedder_does_not_block_the_loop(
    docs: Collection, work: Callable[[Collection], Awaitable[Any]]
) -> None:
    pauses = []
    for attempt in range(3):
        # A new object each time: the first use also proves the embedder, which embeds.
        fresh = await docs.database.acollection("docs", embedder=slow)
        if attempt:
            await docs.database.arun(lambda: _forget("other"), atomic=True)
        pauses.append(await longest_pause(work(fresh)))
        if pauses[-1] < 0.15:
            return
    pytest.fail(f"the loop stood still for {min(pauses):.2f} s")


def _forget(name: str) -> Any:
    from psycopg import sql

    from rag_pgvector.plan import Execute

    yield Execute(sql.SQL('DROP TABLE IF EXISTS rag."chunks_other"'))
    yield Execute(sql.SQL("DELETE FROM rag.collections WHERE name = %s"), (name,))


async def test_the_first_connection_does_not_block_the_loop(database_url: str) -> None:
    """Name resolution and the probe are synchronous inside."""
    async with Database(database_url) as db:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        docs = await db.acollection("docs", config=CollectionConfig(dimensions=3))
        assert ticks > 10, "opened in a thread"
        many = [Chunk(id=f"{i}", content="x", embedding=[1, i, 0]) for i in range(3000)]
        ticks = 0
        await docs.aput_document(Document(id="d", source="s", text="t", loader="l"), many)
        assert ticks > 10
        ticking.cancel()
