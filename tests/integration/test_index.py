"""The vector index: who builds it, what is left when a build breaks, and that it never loses a result."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg import sql
from psycopg.conninfo import make_conninfo

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions, search
from rag_pgvector.index import create_index_sql
from rag_pgvector.planner import EXACT_ROWS, Walk
from rag_pgvector.types import SearchPlan

ROWS, SIZE = 3000, 24


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    random = np.random.default_rng(11)
    centres = random.normal(size=(40, SIZE))
    return (centres[random.integers(40, size=ROWS)] + 0.7 * random.normal(size=(ROWS, SIZE))).astype(np.float32)


@pytest.fixture(scope="module")
def queries() -> NDArray[np.float32]:
    return np.random.default_rng(12).normal(size=(200, SIZE)).astype(np.float32)


@pytest.fixture(scope="module")
def db(module_database_url: str) -> Iterator[Database]:
    with Database(module_database_url) as db:
        yield db


def chunks(vectors: NDArray[np.float32]) -> list[Chunk]:
    return [
        Chunk(id=f"{i:05}", content=f"text {i}", embedding=v, metadata={"rare": i % 500 == 0, "n": i})
        for i, v in enumerate(vectors)
    ]


def small(db: Database, rows: int = 5) -> Collection:
    docs = db.collection(str(uuid.uuid4()), config=CollectionConfig(dimensions=3))
    docs.add([Chunk(id=f"{i}", content="x", embedding=[1, i, 0]) for i in range(rows)])
    return docs


@pytest.fixture(scope="module")
def indexed(db: Database, vectors: NDArray[np.float32]) -> Collection:
    """Read only."""
    docs = db.collection("indexed", config=CollectionConfig(dimensions=SIZE))
    docs.add(chunks(vectors))
    assert docs.build_index().state == "valid"
    return docs


def nearest(vectors: NDArray[np.float32], query: NDArray[np.float32], k: int) -> list[str]:
    order = np.argsort(-(vectors @ query) / np.linalg.norm(vectors, axis=1), kind="stable")
    return [f"{i:05}" for i in order[:k]]


def recall(
    docs: Collection, vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int, **options: Any
) -> float:
    found = []
    for query in queries:
        result = docs.search(vector=query, k=k, **options)
        assert result.plan.kind == "hnsw", result.plan
        assert len(result) == k
        distances = [hit.distance for hit in result]
        assert distances == sorted(distances), "best first"  # type: ignore[type-var]
        found.append(len({hit.chunk.id for hit in result} & set(nearest(vectors, query, k))) / k)
    return float(np.mean(found))


# ----------------------------------------------------------------------------------------------------------- searching


@pytest.mark.parametrize("k", [1, 10, 300])
def test_recall_against_brute_force(
    indexed: Collection, vectors: NDArray[np.float32], queries: NDArray[np.float32], k: int
) -> None:
    """300 is more than the default ef_search (40) and more than ours."""
    assert recall(indexed, vectors, queries, k) >= 0.98


def test_ef_search_is_what_was_asked(
    indexed: Collection, vectors: NDArray[np.float32], queries: NDArray[np.float32]
) -> None:
    poor = recall(indexed, vectors, queries, 10, options=SearchOptions(ef_search=1, exact=False))
    rich = recall(indexed, vectors, queries, 10, options=SearchOptions(ef_search=1000, exact=False))
    assert poor < 0.95 < 0.999 <= rich
    assert indexed.search(vector=queries[0], k=10, options=SearchOptions(ef_search=7)).plan.ef_search == 7
    assert recall(indexed, vectors, queries, 10) >= 0.98, "settings of one search do not stay on the connection"


async def test_both_colours_find_the_same(
    module_database_url: str, indexed: Collection, queries: NDArray[np.float32]
) -> None:
    async with Database(module_database_url, pool_size=4) as db:
        docs = await db.acollection("indexed")
        for k in (10, 300):
            found = await asyncio.gather(*(docs.asearch(vector=query, k=k) for query in queries))
            for query, result in zip(queries, found, strict=True):
                assert [h.chunk.id for h in result] == [h.chunk.id for h in indexed.search(vector=query, k=k)]
                assert result.plan.kind == "hnsw"


def test_k_above_the_rows_gives_all_of_them(
    indexed: Collection, vectors: NDArray[np.float32], queries: NDArray[np.float32]
) -> None:
    result = indexed.search(vector=queries[0], k=ROWS + 1)
    assert [hit.chunk.id for hit in result[:50]] == nearest(vectors, queries[0], 50)
    assert len(result) == ROWS


@pytest.mark.parametrize("exact", [None, False])
def test_a_filter_never_loses_its_few_matches(
    indexed: Collection, queries: NDArray[np.float32], exact: bool | None
) -> None:
    wanted = {f"{i:05}" for i in range(0, ROWS, 500)}
    for query in queries:
        for k in (len(wanted), 50):
            result = indexed.search(vector=query, k=k, filter={"rare": True}, options=SearchOptions(exact=exact))
            assert {hit.chunk.id for hit in result} == wanted
    assert len(indexed.search(vector=queries[0], filter={"n": -1}, options=SearchOptions(exact=False))) == 0


def test_a_walk_that_is_cut_short_is_followed_by_an_exact_pass(
    indexed: Collection,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """hnsw.max_scan_tuples ends an iterative scan early: there the walk misses what the filter would let through."""
    monkeypatch.setattr(search, "choose", lambda *_, **__: (SearchPlan("hnsw", "cut short"), Walk(40, 1)))
    result = indexed.search(vector=queries[0], k=6, filter={"rare": True})
    assert (len(result), result.plan.kind) == (6, "exact")
    assert "the index found" in result.plan.reason
    rare = vectors[::500]
    order = np.argsort(-(rare @ queries[0]) / np.linalg.norm(rare, axis=1))
    assert [hit.chunk.id for hit in result] == [f"{500 * i:05}" for i in order]


def test_deleted_changed_and_new_rows(db: Database, vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> None:
    docs = db.collection("moving", config=CollectionConfig(dimensions=SIZE))
    docs.add(chunks(vectors))
    docs.build_index()
    query = queries[0]
    order = nearest(vectors, query, 700)
    assert docs.delete(order[:600]) == 600
    result = docs.search(vector=query, k=10)
    assert result.plan.kind == "hnsw"
    assert len(set(order[600:610]) & {hit.chunk.id for hit in result}) >= 9
    assert not {hit.chunk.id for hit in docs.search(vector=query, k=100)} & set(order[:600])
    docs.add([Chunk(id="new", content="x", embedding=query)])
    assert docs.search(vector=query, k=1)[0].chunk.id == "new"
    docs.add([Chunk(id="new", content="x", embedding=-query)])
    assert docs.search(vector=query, k=1)[0].chunk.id != "new"


def test_the_planner_learns_of_what_changed(
    db: Database, vectors: NDArray[np.float32], queries: NDArray[np.float32]
) -> None:
    docs = db.collection("growing", config=CollectionConfig(dimensions=SIZE))
    everything = chunks(vectors)

    def kind(**options: Any) -> str:
        return docs.search(vector=queries[0], **options).plan.kind

    assert kind() == "exact"
    docs.add(everything[: EXACT_ROWS // 2])
    docs.build_index()
    assert kind() == "exact", "few rows"
    assert kind(options=SearchOptions(exact=False)) == "hnsw"
    docs.add(everything)
    # A short walk, which pays from EXACT_ROWS on: nobody ran ANALYZE, and how many rows there are is an estimate.
    assert kind(options=SearchOptions(ef_search=40)) == "hnsw"
    assert kind(filter={"n": {"$gte": ROWS - 20}}) == "exact", "few pass"
    assert kind(options=SearchOptions(exact=True)) == "exact"
    with psycopg.connect(db.url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP INDEX rag.{}").format(sql.Identifier(docs._table.index_name)))
    assert docs.search(vector=queries[0], k=ROWS)[0], "what the planner knows is stale: slower, but right"


# ------------------------------------------------------------------------------------------------------------ building


def state(db: Database, docs: Collection) -> bool | None:
    """Whether the index is valid; None: there is none."""
    with psycopg.connect(db.url) as conn:
        row = conn.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)",
            (sql.Identifier("rag", docs._table.index_name).as_string(None),),
        ).fetchone()
        return row[0] if row else None


def test_building_twice_builds_once(db: Database) -> None:
    docs = small(db)
    first, second = docs.build_index(), docs.build_index()
    assert (first.state, first.reason, first.name) == ("valid", "built", docs._table.index_name)
    assert (second.state, second.reason) == ("valid", "it was there")
    assert state(db, docs) is True


async def test_abuild_index(module_database_url: str) -> None:
    async with Database(module_database_url) as db:
        docs = await asyncio.to_thread(small, db)
        assert (await docs.abuild_index()).reason == "built"
        assert (await docs.abuild_index(min_rows=100)).reason == "it was there"


def test_a_small_collection_is_left_without(db: Database) -> None:
    docs = small(db)
    assert docs.build_index(min_rows=6).state == "not_needed"
    assert state(db, docs) is None
    assert docs.build_index(min_rows=5).state == "valid"


@pytest.mark.parametrize("leave", ["interrupted", "marked"])
def test_an_invalid_leftover_is_not_used_and_is_rebuilt(db: Database, leave: str) -> None:
    docs = small(db)
    with psycopg.connect(db.url, autocommit=True) as conn, psycopg.connect(db.url) as writer:
        if leave == "interrupted":  # while it waits for somebody's transaction
            writer.execute(sql.SQL("UPDATE {} SET source = 'x'").format(docs._table.identifier))
            conn.execute("SET statement_timeout = '300ms'")
            with pytest.raises(psycopg.errors.QueryCanceled):
                conn.execute(create_index_sql(docs._table))
            writer.rollback()
        else:
            docs.build_index()
            conn.execute(
                "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)",
                (sql.Identifier("rag", docs._table.index_name).as_string(None),),
            )
    assert state(db, docs) is False
    assert docs.search(vector=[1, 2, 0], k=1, options=SearchOptions(exact=False)).plan.reason == "no valid vector index"
    assert docs.build_index().reason == "built"
    assert state(db, docs) is True


def test_builders_at_the_same_moment(db: Database) -> None:
    docs = small(db, 500)
    with ThreadPoolExecutor(6) as threads:
        reports = list(threads.map(lambda _: docs.build_index(), range(6)))
    assert sorted(report.reason for report in reports) == ["built", *["it was there"] * 5]


def test_reading_and_writing_go_on_while_it_is_built(db: Database, vectors: NDArray[np.float32]) -> None:
    docs = db.collection(str(uuid.uuid4()), config=CollectionConfig(dimensions=SIZE))
    docs.add(chunks(vectors))
    with ThreadPoolExecutor(1) as thread:
        building = thread.submit(docs.build_index)
        count = 0
        while not building.done():
            docs.add([Chunk(id=f"during {count}", content="x", embedding=vectors[0])])
            assert docs.get([f"during {count}"])
            count += 1
        assert building.result().reason == "built"
    assert docs.count() == ROWS + count
    assert count > 3


@pytest.fixture
def application(db: Database) -> Iterator[Callable[[Collection], str]]:
    """The URL of a role that may read and write a collection, and no more."""
    role = f"rag_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(db.url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(role)))

        def grant(docs: Collection) -> str:
            for statement in (
                "GRANT USAGE ON SCHEMA rag TO {0}",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA rag TO {0}",
            ):
                conn.execute(sql.SQL(statement).format(sql.Identifier(role)))
            return make_conninfo(db.url, user=role, password="x")

        yield grant
        conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def test_a_role_that_may_not_build_records_the_wish(db: Database, application: Callable[[Collection], str]) -> None:
    docs = small(db)

    def wanted() -> Any:
        with psycopg.connect(db.url) as conn:
            return conn.execute("SELECT index_wanted FROM rag.collections WHERE name = %s", (docs.name,)).fetchone()

    assert wanted() == (False,)
    with Database(application(docs)) as poor:
        mine = poor.collection(docs.name)
        report = mine.build_index()
        assert report.state == "wanted"
        assert "must be owner" in report.reason
        assert "Search stays exact" in report.reason
        assert mine.search(vector=[1, 2, 0], k=1).plan.kind == "exact"
    assert wanted() == (True,)
    assert docs.build_index().state == "valid"
    assert wanted() == (False,)
    with Database(application(docs), admin_url=db.url) as rich:
        assert rich.collection(docs.name).build_index().reason == "it was there"
