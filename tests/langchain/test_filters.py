"""Filters of the LangChain store: one language on columns and on JSON, and what langchain-postgres gets wrong there."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from rag_pgvector import Database
from rag_pgvector.errors import ConfigError, FilterError
from rag_pgvector.langchain import Column, PGEngine, PGVectorStore
from tests.langchain.stores import Angles, contents, table

UTC = datetime.timezone.utc
ROWS: dict[str, dict[str, Any]] = {
    "r0": {"n": 1, "s": "a", "b": True, "f": 1.5, "l": ["x", "y"], "i": [1, 2], "o": {"k": 1}},
    "r1": {"n": 7, "s": "O'Brien", "b": False, "f": 2.0, "i": [3]},
    "r2": {"s": "123", "n": -3},
    "r3": {"s": "0123", "f": -1e300},
    "r4": {},
}
TYPES = {"n": "INTEGER", "s": "TEXT", "b": "BOOLEAN", "f": "FLOAT", "l": "TEXT[]", "i": "INTEGER[]", "o": "JSONB"}


@pytest.fixture(scope="module", params=["collection", "json", "columns"])
def rows(request: pytest.FixtureRequest, module_database_url: str) -> Iterator[PGVectorStore]:
    """The rows in a collection, in a table's JSON column, and in columns of its own."""
    with Database(module_database_url) as db:
        if request.param == "collection":
            store = PGVectorStore(Angles(), collection="filters", connection=db)
        else:
            columns = [Column(name, type_) for name, type_ in TYPES.items()] if request.param == "columns" else []
            engine = PGEngine.from_database(db)
            store = table(engine, name=request.param, metadata_columns=columns)
        store.add_texts(ROWS, ROWS.values())
        yield store


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"n": 1}, "r0"),
        ({"n": 1.0}, "r0"),
        ({"n": 1.5}, ""),
        ({"n": {"$gt": 0.5}}, "r0 r1"),
        ({"n": {"$lt": 10**30}}, "r0 r1 r2"),
        ({"n": "1"}, ""),
        ({"n": {"$in": [1, 7.0, "x", None]}}, "r0 r1 r3 r4"),
        ({"n": {"$ne": 1}}, "r1 r2 r3 r4"),
        ({"n": None}, "r3 r4"),
        ({"s": "O'Brien"}, "r1"),
        ({"s": "123"}, "r2"),
        ({"s": 123}, ""),
        ({"s": {"$gt": "0"}}, "r0 r1 r2 r3"),
        ({"s": {"$gt": 0}}, ""),
        ({"s": {"$between": ["1", "a"]}}, "r0 r1 r2"),
        ({"s": {"$in": []}}, ""),
        ({"s": {"$nin": []}}, "r0 r1 r2 r3 r4"),
        ({"s": {"$in": ["a", 123, True]}}, "r0"),
        ({"s": {"$like": "%123"}}, "r2 r3"),
        ({"s": {"$ilike": "o'b%"}}, "r1"),
        ({"s": {"$exists": False}}, "r4"),
        ({"$not": {"s": "a"}}, "r1 r2 r3 r4"),
        ({"$not": {"s": {"$gt": "a"}}}, "r0 r1 r2 r3 r4"),
        ({"b": {"$in": [True]}}, "r0"),
        ({"b": {"$ne": True}}, "r1 r2 r3 r4"),
        ({"b": 1}, ""),
        ({"f": 2}, "r1"),
        ({"f": {"$gt": 1}}, "r0 r1"),
        ({"f": {"$in": [2]}}, "r1"),
        ({"f": {"$lt": -1e299}}, "r3"),
        ({"l": {"$any": ["x", "z"]}}, "r0"),
        ({"l": "x"}, ""),
        ({"l": ["x", "y"]}, "r0"),
        ({"i": {"$any": [2, 3]}}, "r0 r1"),
        ({"i": {"$all": [1, 2]}}, "r0"),
        ({"i": {"$any": ["2"]}}, ""),
        ({"o.k": 1}, "r0"),
        ({"o": {"$eq": {"k": 1}}}, "r0"),
        ({"o.k": {"$exists": False}}, "r1 r2 r3 r4"),
        ({"$or": [{"n": 7}, {"s": "123"}]}, "r1 r2"),
        ({"$and": [{"n": {"$gt": 0}}, {"b": False}]}, "r1"),
        ({"n": {"$gt": 0, "$lt": 5}, "s": "a"}, "r0"),
        ({}, "r0 r1 r2 r3 r4"),
        (None, "r0 r1 r2 r3 r4"),
    ],
)
def test_one_language(rows: PGVectorStore, filter: Any, expected: str) -> None:
    assert sorted(contents(rows.similarity_search("x", k=10, filter=filter))) == expected.split()
    assert sorted(rows.get(where=filter)["documents"]) == expected.split()
    assert sorted(contents(rows.max_marginal_relevance_search("x", k=10, filter=filter))) == expected.split()


@pytest.mark.parametrize(
    "filter",
    [
        {"$nor": [{"n": 1}]},
        {"$and": {"n": 1}},
        {"n": {"$and": True}},
        {"n": {"x": 1, "y": 2}},
        {"$and": []},
        {"$not": True},
        {"n": {"$between": [1]}},
        {"n": {"$in": "abc"}},
        {"s": {"$like": 1}},
        {"n": {"$exists": "yes"}},
        {"n": {"$gt": None}},
        {"n": float("nan")},
        {1: 2},
        {"n": object()},
    ],
)
def test_what_is_malformed_is_refused(rows: PGVectorStore, filter: Any) -> None:
    with pytest.raises(FilterError):
        rows.similarity_search("x", filter=filter)
    with pytest.raises(FilterError):
        rows.delete(filter=filter)


@pytest.fixture(scope="module")
def moments(module_database_url: str) -> Iterator[PGVectorStore]:
    types = {
        "d": "DATE",
        "t": "TIMESTAMP",
        "z": "TIMESTAMP WITH TIME ZONE",
        "h": "TIME",
        "u": "UUID",
        "v": "VARCHAR(20)",
        "w": "VARCHAR(20)",
        "r": "REAL",
        "g": "BIGINT",
    }
    with Database(module_database_url) as db:
        columns = [Column(name, type_) for name, type_ in types.items()]
        store = table(PGEngine.from_database(db), name="moments", metadata_columns=columns)
        with psycopg.connect(db.url, autocommit=True) as conn:
            if conn.execute("SELECT 1 FROM pg_collation WHERE collname = 'unicode'").fetchone():  # not by code
                conn.execute("ALTER TABLE moments ALTER v TYPE varchar(20) COLLATE unicode")
        store.add_texts(
            ["old", "new", "none"],
            [
                {"d": "2020-02-29", "t": "2020-02-29T12:00:00", "z": "2020-02-29T12:00:00+02:00", "h": "08:30:00",
                 "u": str(uuid.UUID(int=1)), "v": "Abc", "w": "Abc", "r": 1.1, "g": 2**62},
                {"d": "2024-01-01", "t": "2024-01-01T00:00:00.5", "z": "2024-01-01T00:00:00Z", "h": "20:00:00",
                 "u": str(uuid.UUID(int=2)), "v": "abc", "w": "abc", "r": 2.5, "g": -5},
                {},
            ],
        )  # fmt: skip
        yield store


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({"d": datetime.date(2020, 2, 29)}, "old"),
        ({"d": {"$gt": datetime.date(2020, 2, 29)}}, "new"),
        ({"d": {"$gte": "2020-02-29", "$lt": datetime.datetime(2020, 2, 29, 1)}}, "old"),
        ({"d": "not a date"}, ""),
        ({"d": {"$ne": "not a date"}}, "new none old"),
        ({"d": {"$in": ["2024-01-01", "x", 5]}}, "new"),
        ({"d": 5}, ""),
        ({"t": datetime.datetime(2020, 2, 29, 12)}, "old"),
        ({"t": {"$lt": datetime.datetime(2024, 1, 1, 0, 0, 0, 600_000)}}, "new old"),
        ({"z": datetime.datetime(2020, 2, 29, 10, tzinfo=UTC)}, "old"),
        ({"z": "2020-02-29T11:00:00+01:00"}, "old"),
        ({"z": {"$gte": datetime.datetime(2024, 1, 1, tzinfo=UTC)}}, "new"),
        ({"z": {"$gt": "0001-01-01T00:00:00+14:00"}}, ""),
        ({"h": {"$lt": datetime.time(12)}}, "old"),
        ({"h": None}, "none"),
        ({"u": uuid.UUID(int=1)}, "old"),
        ({"u": str(uuid.UUID(int=255)).upper()}, ""),
        ({"u": "no uuid"}, ""),
        ({"u": {"$in": [uuid.UUID(int=1), "no uuid", None]}}, "none old"),
        ({"v": {"$gt": "B"}}, "new"),
        ({"w": {"$ilike": "ABC"}}, "new old"),
        ({"r": 1.1}, "old"),
        ({"r": {"$between": [1.1, 2.5]}}, "new old"),
        ({"g": 2**62}, "old"),
        ({"g": {"$lt": 2**70}}, "new old"),
        ({"g": {"$gt": -5.5}}, "new old"),
    ],
)
def test_columns_are_compared_in_their_types(moments: PGVectorStore, filter: Any, expected: str) -> None:
    assert sorted(contents(moments.similarity_search("x", k=10, filter=filter))) == expected.split()


def test_a_key_of_nowhere_is_refused(engine: PGEngine) -> None:
    store = table(engine, metadata_columns=[Column("a", "TEXT")], store_metadata=False)
    store.add_texts(["x"], [{"a": "1"}])
    for filter in ({"b": "1"}, {"b": {"$ne": "1"}}, {"$not": {"b": "1"}}):
        with pytest.raises(FilterError, match="no column"):
            store.similarity_search("x", filter=filter)


def test_where_a_chunk_came_from_can_be_filtered(database_url: str) -> None:
    from rag_pgvector import Chunk

    with Database(database_url) as db:
        store = PGVectorStore(Angles(), collection="docs", connection=db)
        store.add_texts(["by LangChain"], [{"source": "a.txt", "page_or_row": 3}])
        store.collection.add([Chunk(content="by ingest", source="b.pdf", page_or_row=4, document_id="b")])
        assert contents(store.similarity_search("x", filter={"source": "a.txt"})) == ["by LangChain"]
        assert contents(store.similarity_search("x", filter={"source": {"$like": "b%"}})) == ["by ingest"]
        assert contents(store.similarity_search("x", filter={"page_or_row": {"$gt": 3}})) == ["by ingest"]
        assert contents(store.similarity_search("x", filter={"document_id": "b"})) == ["by ingest"]
        [found] = store.similarity_search("x", filter={"document_id": "b"})
        assert found.metadata == {"source": "b.pdf", "page_or_row": 4, "document_id": "b"}
        store.add_documents([found.model_copy(update={"page_content": "changed"})])
        [chunk] = store.collection.get([str(found.id)])
        assert (chunk.content, chunk.source, chunk.page_or_row, chunk.document_id) == ("changed", "b.pdf", 4, "b")
        hit = next(hit for hit in store.collection.search("x") if hit.chunk.content == "by LangChain")
        assert hit.chunk.source == "a.txt"


async def test_a_filter_alone_is_a_blank_question(rows: PGVectorStore) -> None:
    """SelfQueryRetriever asks " " where its model found nothing but a filter; langchain-postgres embeds that."""
    narrowed: Any = {"filter": {"n": {"$gt": 0.5}}}
    for search_type in ("similarity", "mmr"):
        assert sorted(contents(rows.search(" ", search_type, **narrowed))) == ["r0", "r1"]
        assert sorted(contents(await rows.asearch(" ", search_type, **narrowed))) == ["r0", "r1"]
    assert sorted(doc.page_content for doc, _ in rows.similarity_search_with_score("", **narrowed)) == ["r0", "r1"]
    with pytest.raises(ConfigError, match=r"use a non-empty text|has no keyword index"):
        rows.similarity_search(" ", mode="keyword", **narrowed)
