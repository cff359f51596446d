"""Many rows at once: COPY into the table itself, and what makes it give way to the upsert."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from rag_pgvector import Chunk, Collection, Database, SearchOptions
from rag_pgvector.postings import PENDING

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
