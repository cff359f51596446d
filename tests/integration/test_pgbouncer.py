"""Through PgBouncer in transaction mode, one connection to the server for all: everything works, nothing leaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, Document, SearchOptions
from rag_pgvector.errors import ConfigError
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.planner import EF_SEARCH
from tests.isolation.pooler import pgbouncer

ROWS, SIZE = 2500, 16


@pytest.fixture(scope="module")
def address(module_database_url: str) -> Iterator[str]:
    """The pooler's URL of the module's database, as the same user."""
    with pgbouncer(module_database_url, str(conninfo_to_dict(module_database_url)["user"])) as url:
        yield url


@pytest.fixture(scope="module")
def db(address: str) -> Iterator[Database]:
    with Database(address, prepare=False, pool_size=4) as db:
        yield db


@pytest.fixture(scope="module")
def vectors() -> Any:
    return np.random.default_rng(2).normal(size=(ROWS, SIZE))


@pytest.fixture(scope="module")
def docs(db: Database, vectors: Any) -> Collection:
    docs = db.collection("docs", config=CollectionConfig(dimensions=SIZE))
    docs.add([Chunk(id=f"{i}", content="x", embedding=v, metadata={"n": i}) for i, v in enumerate(vectors)])
    assert docs.build_index().reason == "built"
    return docs


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(address: str, docs: Collection) -> Iterator[None]:
    """What the next client of the one connection finds."""
    yield
    with psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn:
        for setting, default in (
            ("hnsw.ef_search", "40"),
            ("hnsw.iterative_scan", "off"),
            ("lock_timeout", "0"),
            ("application_name", None),
        ):
            row = conn.execute(b"SHOW " + setting.encode()).fetchone()
            assert row is not None
            assert default is None or row[0] == default, setting
        assert conn.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)
        locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE locktype = 'advisory'"
        assert conn.execute(f"{locks} AND datname = current_database()".encode()).fetchone() == (0,)
        assert conn.execute("SELECT count(*) FROM pg_class WHERE relpersistence = 't'").fetchone() == (0,)


def backend() -> Plan[int]:
    rows = yield Execute(psycopg.sql.SQL("SELECT pg_backend_pid()"))
    return int(rows[0][0])


def nearest(vectors: Any, query: Any, k: int) -> set[str]:
    order = np.argsort(-(vectors @ query) / np.linalg.norm(vectors, axis=1))
    return {f"{i}" for i in order[:k]}


def test_there_is_one_backend(db: Database) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(lambda _: db.run(backend), range(16)))) == 1


@pytest.mark.parametrize("k", [10, 300])
def test_search_brings_its_own_settings(docs: Collection, vectors: Any, k: int) -> None:
    for _ in range(8):  # often enough for psycopg to prepare, if it might
        result = docs.search(vector=vectors[7], k=k)
        assert (len(result), result.plan.kind, result.plan.ef_search) == (k, "hnsw", max(EF_SEARCH, k))
        assert len({hit.chunk.id for hit in result} & nearest(vectors, vectors[7], k)) >= 0.95 * k


def test_many_searches_are_one_transaction(docs: Collection, vectors: Any) -> None:
    for k in (10, 300):
        many = docs.search_many(vectors=vectors[:20], k=k)
        assert [list(each) for each in many] == [list(docs.search(vector=vector, k=k)) for vector in vectors[:20]]
    assert len(docs.search_mmr(vector=vectors[0], k=5)) == 5


def test_filters(docs: Collection, vectors: Any) -> None:
    for exact in (True, False):
        result = docs.search(
            vector=vectors[7], k=50, filter={"n": {"$between": [100, 119]}}, options=SearchOptions(exact=exact)
        )
        assert {hit.chunk.id for hit in result} == {f"{i}" for i in range(100, 120)}


def test_every_write_and_read(db: Database) -> None:
    rest = db.collection("others", config=CollectionConfig(dimensions=3), embedder=lambda t: [[1.0, 2.0, 3.0]] * len(t))
    for i in range(8):
        assert rest.upsert([Chunk(id="a", content=f"{i}")]).added == (i == 0)
        staged = [Chunk(id=f"{n}", content=f"{i} {n}", embedding=[1, n, i]) for n in range(100)]
        assert rest.upsert(staged).unchanged == 0
        counts = rest.put_document(Document(id="d", source="s", text=f"{i}", loader="l"), [Chunk(content=f"{i}")])
        assert counts.added == 1
        assert rest.get(["a"])[0].content == f"{i}"
        assert rest.count() == 102
        assert [part.kind for part in rest.search("question", k=3).plan.parts] == ["exact", "keyword"]
    assert rest.delete(filter={"nope": {"$exists": False}}) == 102
    assert rest.build_index().reason == "built"
    assert rest.build_index().reason == "it was there"
    rest.drop()


def test_threads_and_tasks(db: Database, docs: Collection, vectors: Any) -> None:
    def work(i: int) -> bool:
        docs.add([Chunk(id="shared", content=f"{i}", embedding=vectors[i], metadata={"n": -1})])
        k = 300 if i % 2 else 10
        result = docs.search(vector=vectors[i], k=k)
        return len(result) == k and len(docs.search(vector=vectors[i], filter={"n": i})) == 1

    async def tasks() -> bool:
        results = await asyncio.gather(*(docs.asearch(vector=vectors[i], k=300 if i % 2 else 5) for i in range(40)))
        await db.aclose()
        return [len(result) for result in results] == [300 if i % 2 else 5 for i in range(40)]

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(work, range(64)))
    assert asyncio.run(tasks())
    assert docs.delete(["shared"]) == 1


def test_the_schema_is_upgraded_through_it(db: Database) -> None:
    assert db.upgrade() == db.upgrade()


def test_tune_leaves_the_connection_as_it_was(module_database_url: str) -> None:
    shown = (
        "SELECT '[1]'::vector, current_setting('enable_seqscan'), current_setting('temp_buffers'), "
        "current_setting('hnsw.ef_search'), current_setting('max_parallel_workers_per_gather')"
    )

    def found(address: str) -> Any:
        with psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn:
            return conn.execute(shown).fetchone()

    user = str(conninfo_to_dict(module_database_url)["user"])
    with pgbouncer(module_database_url, user) as address, Database(address, prepare=False) as db:
        before = found(address)
        assert db.tune().row_us > 0
        assert found(address) == before


def test_tune_refuses_a_session_with_small_temporary_buffers(db: Database, address: str) -> None:
    with psycopg.connect(address, autocommit=True, prepare_threshold=None) as conn:
        conn.execute("CREATE TEMP TABLE used ON COMMIT DROP AS SELECT 1")
    with pytest.raises(ConfigError, match="ADMIN_DATABASE_URL"):
        db.tune()


def test_the_command_line_needs_no_switch(address: str, docs: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    from rag_pgvector.cli.app import run

    for _ in range(2):  # a second client meets what the first one left on the connection
        for verb in (["doctor"], ["db", "status"], ["search", "x", "-c", "docs", "--mode", "keyword"]):
            assert run([*verb, "--url", address, "--json"]) == 0, capsys.readouterr().err
