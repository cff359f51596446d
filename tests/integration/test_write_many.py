"""Many rows at once: COPY into the table itself, and what makes it give way to the upsert."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg import sql

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions, copying, postings, write
from rag_pgvector.config import Tenancy
from rag_pgvector.postings import FANOUT, PENDING

Call = Callable[..., Any]
Make = Callable[..., Collection]

WORDS = SearchOptions(mode="keyword")
MANY = PENDING + 44


def chunks(source: str, start: int = 0) -> list[Chunk]:
    return [
        Chunk(id=f"{i:04}", content=f"number{i} of {source}", source=source, embedding=[1, i, 2])
        for i in range(start, start + MANY)
    ]


@pytest.fixture
def docs(make: Make) -> Collection:
    docs = make()
    docs.delete(docs.add([Chunk(content="the first write makes the table", embedding=[1, 2, 3])]))
    return docs


def test_what_was_copied_is_found_and_can_be_replaced(docs: Collection, call: Call) -> None:
    counts = call(docs, "upsert", chunks("first"))
    assert (counts.added, counts.updated, counts.unchanged) == (MANY, 0, 0)
    counts = call(docs, "upsert", chunks("first"))
    assert (counts.added, counts.updated, counts.unchanged) == (0, 0, MANY)
    counts = call(docs, "upsert", [*chunks("first")[: MANY - 2], *chunks("second", MANY - 2)])
    assert (counts.added, counts.updated, counts.unchanged) == (MANY - 2, 2, MANY - 2)
    assert call(docs, "count") == 2 * MANY - 2
    for word, id, source in ((7, "0007", "first"), (MANY - 1, f"{MANY - 1:04}", "second")):
        [hit, *_] = call(docs, "search", f"number{word}", options=WORDS)
        assert (hit.chunk.id, hit.chunk.source) == (id, source)


def test_an_id_that_another_writer_stores_meanwhile_is_replaced(
    docs: Collection, call: Call, conn: psycopg.Connection[Any]
) -> None:
    """The other transaction is not committed when the ids are looked up, so that COPY meets its row."""
    theirs = "INSERT INTO {} (tenant_id, id, content, embedding) VALUES ('', '0100', 'theirs', '[1, 2, 3]')"
    conn.execute("BEGIN")
    conn.execute(sql.SQL(theirs).format(docs._table.identifier))
    found: list[Any] = []
    writer = threading.Thread(target=lambda: found.append(call(docs, "upsert", chunks("copied"))))
    writer.start()
    for _ in range(1_000):
        waiting = conn.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        ).fetchone()
        if waiting == (1,):
            break
        time.sleep(0.01)
    assert waiting == (1,), "COPY waits for the other writer"
    conn.execute("COMMIT")
    writer.join()
    assert (found[0].added, found[0].updated) == (MANY - 1, 1)
    assert call(docs, "count") == MANY
    [hit, *_] = call(docs, "search", "number100", options=WORDS)
    assert (hit.chunk.id, hit.chunk.source) == ("0100", "copied")
    assert len(call(docs, "search", "copied", k=2 * MANY, options=WORDS)) == MANY, "none is listed twice"


@pytest.mark.parametrize("tenancy", ["single", "multi"])
async def test_an_event_loop_goes_on_while_rows_are_made_and_segments_merged(
    tenant_db: Database, tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes Python long waits for the loop here, which must not wait for it in turn."""
    loop = asyncio.get_running_loop()
    seen = set()

    def tick(name: str) -> None:
        ticked = threading.Event()
        loop.call_soon_threadsafe(ticked.set)
        assert ticked.wait(10), f"the loop waits for {name}"
        seen.add(name)

    def returning(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            tick(name)
            return work(*arguments, **named)

        return wrapped

    def yielding(name: str, work: Callable[..., Iterator[bytes]]) -> Callable[..., Iterator[bytes]]:
        def wrapped(*arguments: Any, **named: Any) -> Iterator[bytes]:
            tick(name)
            yield from work(*arguments, **named)

        return wrapped

    for module, name, wrap in (
        (postings, "held", returning),
        (postings, "merged", returning),
        (postings, "part_of", returning),
        (postings, "rows_of", yielding),
        (copying, "rows", yielding),
        (write, "prepare", returning),
    ):
        monkeypatch.setattr(module, name, wrap(name, getattr(module, name)))
    # The slowest thread there may be: it has done nothing when its result is asked for.
    monkeypatch.setattr(write, "_in_thread", lambda work: SimpleNamespace(result=returning("thread", work)))
    docs = tenant_db.collection(f"many_{tenancy}", config=CollectionConfig(dimensions=3, tenancy=tenancy))
    docs = docs.for_tenant("acme") if tenancy == "multi" else docs
    for call in range(FANOUT):
        assert (await docs.aupsert(chunks(f"call {call}", call * MANY))).added == MANY
    assert seen == {"held", "merged", "part_of", "rows_of", "rows", "prepare", "thread"}
    assert (await docs.aupsert(chunks("changed"))).updated == MANY
    assert len(await docs.asearch("call", k=FANOUT * MANY, options=WORDS)) == (FANOUT - 1) * MANY
    await tenant_db.aclose()


def test_a_table_that_an_administrator_has_fenced_is_filled_all_the_same(
    docs: Collection, conn: psycopg.Connection[Any], module_database_url: str
) -> None:
    name = f"rag_test_copier_{uuid.uuid4().hex[:8]}"
    for statement in (
        "CREATE ROLE {role}",
        "GRANT USAGE ON SCHEMA rag TO {role}",
        "GRANT ALL ON ALL TABLES IN SCHEMA rag TO {role}",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA rag TO {role}",
        "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY everything ON {table} TO {role} USING (true)",
    ):
        conn.execute(sql.SQL(statement).format(role=sql.Identifier(name), table=docs._table.identifier))
    try:
        separator = "&" if "?" in module_database_url else "?"
        with Database(f"{module_database_url}{separator}options=-crole%3D{name}") as db:
            assert db.collection(docs.name).upsert(chunks("copied")).added == MANY
        assert docs.count() == MANY
    finally:
        for statement in ("DROP OWNED BY {}", "DROP ROLE {}"):
            conn.execute(sql.SQL(statement).format(sql.Identifier(name)))
