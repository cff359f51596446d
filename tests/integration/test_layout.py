"""A collection on a table that another library laid out: the column map against a real table with awkward names."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from rag_pgvector import Chunk, CollectionConfig, Database
from rag_pgvector.bound import BoundEmbedder
from rag_pgvector.collection import Collection
from rag_pgvector.errors import ConfigError, FilterError
from rag_pgvector.layout import Layout, type_sql
from rag_pgvector.table import Table
from rag_pgvector.types import Document

LAYOUT = Layout(
    schema='s"x',
    id="langchain_id",
    id_type="uuid",
    metadata="langchain_metadata",
    metadata_type="json",
    columns=(("user", "text"), ("Day", "date"), ("n", "integer"), ("tags", "text[]")),
    native=False,
    index="ix",
)


@pytest.fixture
def docs(empty_database: str) -> Iterator[Collection]:
    with psycopg.connect(empty_database, autocommit=True) as conn:
        conn.execute(
            """CREATE EXTENSION vector; CREATE SCHEMA "s""x"; CREATE TABLE "s""x"."My ""tab" (
            langchain_id uuid PRIMARY KEY, content text NOT NULL, embedding vector(3) NOT NULL,
            "user" text, "Day" date, n integer, tags text[], langchain_metadata json)"""
        )
    with Database(empty_database) as db:
        table = Table(0, "peer", 'My "tab', CollectionConfig(dimensions=3), layout=LAYOUT)
        yield Collection(db, table, BoundEmbedder(db, table, None))


IDS = [str(uuid.UUID(int=i)) for i in range(100)]


def chunks(count: int) -> list[Chunk]:
    return [
        Chunk(
            id=IDS[i],
            content=f"text {i}",
            embedding=[i + 1, 1, 0],
            metadata={
                "user": "alice" if i % 2 else "bob",
                "Day": datetime.date(2020, 1, 1 + i % 28),
                "n": i,
                "tags": ["a", "b"],
                "content": "a key like a column",
                "x": {"y": i},
            },
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [3, 100], ids=["one statement", "by COPY"])
def test_what_is_written_is_read(docs: Collection, count: int) -> None:
    assert docs.upsert(chunks(count)).added == count
    assert docs.upsert(chunks(count)).unchanged == count
    found = docs.get([IDS[2].upper(), "no uuid", IDS[0]], embeddings=True)
    assert [chunk.id for chunk in found] == [IDS[2], IDS[0]]
    assert found[0].metadata == chunks(3)[2].metadata
    assert found[0].embedding == [3, 1, 0]
    assert found == [chunks(3)[2], chunks(3)[0]]
    changed = replace(chunks(1)[0], content="new", metadata={"n": 7})
    assert docs.upsert([changed]).updated == 1
    assert docs.get([IDS[0]])[0].metadata == {"n": 7, "user": None, "Day": None, "tags": None}


@pytest.mark.parametrize(
    ("filter", "count"),
    [
        ({"user": "alice"}, 50),
        ({"user": "postgres"}, 0),
        ({"user": {"$like": "al%"}}, 50),
        ({"n": {"$lt": 10}, "x.y": {"$gte": 5}}, 5),
        ({"n": "1"}, 0),
        ({"Day": datetime.date(2020, 1, 4)}, 4),
        ({"tags": {"$any": ["a", "z"]}}, 100),
        ({"tags": "a"}, 0),
        ({"tags": ["a", "b"]}, 100),
        ({"user": {"$exists": False}}, 0),
        ({"$not": {"user": "alice"}}, 50),
        ({"missing": {"$ne": 1}}, 100),
    ],
)
def test_filters_look_in_columns_first(docs: Collection, filter: dict[str, object], count: int) -> None:
    docs.add(chunks(100))
    assert docs.count(filter) == count
    assert len(docs.search(vector=[1, 1, 0], k=100, filter=filter)) == count
    assert docs.delete(filter=filter) == count


def test_search_and_pages(docs: Collection) -> None:
    docs.add(chunks(100))
    hits = docs.search(vector=[1, 1, 0], k=3, filter={"user": "bob"})
    assert [hit.chunk.id for hit in hits] == [IDS[0], IDS[2], IDS[4]]
    assert [chunk.id for chunk in docs.list(limit=2, offset=1)] == IDS[1:3]
    assert docs.delete([IDS[0], "no uuid"]) == 1


def test_what_the_table_has_no_room_for_is_said(docs: Collection) -> None:
    with pytest.raises(ConfigError, match="documents"):
        docs.put_document(Document(id="a", source="a", text="a", loader="a"), [])
    table = replace(docs._table, layout=replace(LAYOUT, metadata=None))
    bare = Collection(docs.database, table, docs._embedder)
    with pytest.raises(FilterError, match="no column"):
        bare.count({"missing": {"$ne": 1}})


@pytest.mark.parametrize("name", ["text", "timestamp(3) with time zone", "numeric(10,2)[]", 'a."b""c"', '"char"'])
def test_types_are_types(name: str) -> None:
    assert type_sql(name).as_string(None) == name


@pytest.mark.parametrize("name", ["", "text; drop table x", "text)", "text --", '"a', "text default 'x'", 1])
def test_nothing_else_is_a_type(name: str) -> None:
    with pytest.raises(ConfigError):
        type_sql(name)
