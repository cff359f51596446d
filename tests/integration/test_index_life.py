"""The life of a vector index: built by whom, replaced, dropped, looked at; and that searches are right meanwhile."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions, index
from rag_pgvector.config import IndexMethod, Quantization
from rag_pgvector.errors import ConfigError, DatabaseError, TenantError
from rag_pgvector.index_kinds import index_kind
from rag_pgvector.index_memory import BuildMemory, advise, build_bytes
from rag_pgvector.types import IndexProgress
from tests.integration.conftest import Call
from tests.isolation.pooler import pgbouncer

ROWS, SIZE = 2500, 24


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(size=(ROWS, SIZE)).astype(np.float32)


@pytest.fixture
def filled(db: Database, vectors: NDArray[np.float32]) -> Callable[..., Collection]:
    def fill(rows: int = ROWS, **config: Any) -> Collection:
        docs = db.collection(str(uuid.uuid4()), config=CollectionConfig(dimensions=SIZE, **config))
        docs.add(Chunk(id=f"{i:05}", content=f"text {i}", embedding=v) for i, v in enumerate(vectors[:rows]))
        return docs

    return fill


def indexes(docs: Collection) -> dict[str, bool]:
    """The vector indexes of the table, and whether they are valid."""
    with psycopg.connect(docs.database.admin_url) as conn:
        rows = conn.execute(
            "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "JOIN pg_am a ON a.oid = c.relam WHERE i.indrelid = to_regclass(%s) AND a.amname IN ('hnsw', 'ivfflat')",
            (docs._table.identifier.as_string(None),),
        ).fetchall()
    return dict(rows)


def claimed(docs: Collection) -> bool:
    with psycopg.connect(docs.database.admin_url) as conn:
        row = conn.execute("SELECT index_build_at FROM rag.collections WHERE name = %s", (docs.name,)).fetchone()
    return row is not None and row[0] is not None


def nearest(vectors: NDArray[np.float32], query: NDArray[np.float32], k: int) -> list[str]:
    order = np.argsort(-(vectors @ query) / np.linalg.norm(vectors, axis=1), kind="stable")
    return [f"{i:05}" for i in order[:k]]


KINDS: list[tuple[IndexMethod, Quantization | None]] = [
    ("hnsw", None),
    ("hnsw", "halfvec"),
    ("hnsw", "binary"),
    ("ivfflat", None),
    ("ivfflat", "halfvec"),
    ("ivfflat", "binary"),
]


@pytest.mark.parametrize(("method", "quantization"), KINDS)
def test_from_nothing_to_nothing(
    filled: Callable[..., Collection], call: Call, method: IndexMethod, quantization: Quantization | None
) -> None:
    docs = filled(600, index=method, quantization=quantization)
    status = call(docs, "index_status")
    assert (status.state, status.index_bytes, status.parameters) == ("missing", None, ())
    assert status.build_bytes > 0, "also before anybody analysed the table"
    assert call(docs, "rebuild_index").reason == "built"
    first = call(docs, "index_status")
    assert (first.state, first.method, first.rows, first.leftovers) == ("valid", method, 600, ())
    assert first.index_bytes is not None
    assert first.index_bytes > 0
    assert first.table_bytes > 0
    assert first.build_bytes > 0
    assert ("lists=1" if method == "ivfflat" else "m=16") in first.parameters
    assert first.holds == {None: "vector", "halfvec": "halfvec", "binary": "bit"}[quantization]
    assert call(docs, "build_index").reason == "it was there"
    assert call(docs, "rebuild_index").reason == "rebuilt"
    assert indexes(docs) == {docs._table.index_name: True}
    assert call(docs, "drop_index").state == "missing"
    assert call(docs, "drop_index").reason == "there was none"
    assert indexes(docs) == {}
    assert not claimed(docs)


def test_no_index_by_configuration(filled: Callable[..., Collection], vectors: NDArray[np.float32]) -> None:
    docs = filled(600, index="none")
    assert docs.build_index().state == docs.rebuild_index().state == docs.index_status().state == "not_needed"
    assert indexes(docs) == {}
    assert docs.search(vector=vectors[0], k=1, options=SearchOptions(exact=False)).plan.kind == "exact"


def test_lists_follow_the_rows(filled: Callable[..., Collection]) -> None:
    docs = filled(index="ivfflat")
    docs.build_index()
    assert docs.index_status().parameters == ("lists=2",)
    docs = filled(index="ivfflat", ivfflat_lists=7)
    docs.build_index()
    assert docs.index_status().parameters == ("lists=7",)


def test_what_interrupted_rebuilds_left_is_seen_and_removed(filled: Callable[..., Collection]) -> None:
    docs = filled(100)
    docs.build_index()
    new, old = docs._table.index_leftovers
    with psycopg.connect(docs.database.url, autocommit=True) as conn:
        for name in (new, old):
            conn.execute(index.create_index_sql(docs._table, name=name))
        conn.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)", (f'rag."{new}"',))
    assert docs.index_status().leftovers == (new, old)
    assert docs.rebuild_index().reason == "rebuilt"
    assert indexes(docs) == {docs._table.index_name: True}


def test_searches_and_writes_go_on_during_a_rebuild(
    filled: Callable[..., Collection], vectors: NDArray[np.float32]
) -> None:
    docs = filled()
    docs.build_index()
    walk = SearchOptions(exact=False, ef_search=1000)
    expected = nearest(vectors, vectors[3], 5)
    with ThreadPoolExecutor(1) as thread:
        building = thread.submit(docs.rebuild_index)
        rounds = 0
        while not building.done():
            found = docs.search(vector=vectors[3], k=5, options=walk)
            assert [hit.chunk.id for hit in found] == expected
            assert found.plan.kind == "hnsw", "the old one serves"
            docs.add([Chunk(id="zz", content=f"{rounds}", embedding=-vectors[3])])
            rounds += 1
    assert building.result().reason == "rebuilt"
    assert rounds > 3


# ------------------------------------------------------------------------------------------------------------ builders


def build_in_a_process(url: str, name: str, verb: str, prepare: bool, barrier: Any, results: Any) -> None:
    with Database(url, prepare=prepare) as db:
        docs = db.collection(name)
        barrier.wait(60)
        try:
            results.put(getattr(docs, verb)().reason)
        except Exception as error:  # noqa: BLE001
            results.put(repr(error))


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pgbouncer"])
@pytest.mark.parametrize("verb", ["build_index", "rebuild_index"])
def test_builders_in_processes_at_the_same_moment(
    filled: Callable[..., Collection], module_database_url: str, pooled: bool, verb: str
) -> None:
    docs = filled()
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()

    def run(url: str) -> list[str]:
        workers = [
            context.Process(
                target=build_in_a_process, args=(url, docs.name, verb, not pooled, barrier, results), daemon=True
            )
            for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        found = sorted(results.get(timeout=240) for _ in workers)
        for worker in workers:
            worker.join(30)
        return found

    if pooled:
        user = str(conninfo_to_dict(module_database_url)["user"])
        with pgbouncer(module_database_url, user) as url:
            found = run(url)
    else:
        found = run(module_database_url)
    assert found == ["built", *(["it was there"] if verb == "build_index" else ["rebuilt"]) * 3]
    assert indexes(docs) == {docs._table.index_name: True}
    assert not claimed(docs)


def test_a_builder_that_was_killed_holds_nobody_up_for_long(
    filled: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_CLAIM_SECONDS", 1)
    docs = filled(100)
    with psycopg.connect(docs.database.url, autocommit=True) as conn:
        conn.execute("UPDATE rag.collections SET index_build_at = clock_timestamp() WHERE name = %s", (docs.name,))
        started = time.monotonic()
        assert docs.build_index().reason == "built"
        assert time.monotonic() - started > 0.5, "it might still have lived"
        # ... and a builder that works is waited for however old its claim is.
        conn.execute("UPDATE rag.collections SET index_build_at = 'epoch' WHERE name = %s", (docs.name,))
        with psycopg.connect(docs.database.url) as working:
            working.execute(sql.SQL("LOCK TABLE {} IN SHARE UPDATE EXCLUSIVE MODE").format(docs._table.identifier))
            with ThreadPoolExecutor(1) as thread:
                second = thread.submit(docs.rebuild_index)
                time.sleep(0.7)
                assert not second.done()
                assert indexes(docs) == {docs._table.index_name: True}
                working.rollback()
                assert second.result(60).reason == "rebuilt"


def test_a_build_that_fails_lets_the_next_one_begin(
    filled: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = filled(100)
    real = index.create_index_sql
    monkeypatch.setattr(index, "create_index_sql", lambda *_, **__: sql.SQL("SELECT 1 / 0"))
    with pytest.raises(DatabaseError, match="division"):
        docs.build_index()
    assert not claimed(docs)
    monkeypatch.setattr(index, "create_index_sql", real)
    assert docs.build_index().reason == "built"


def test_a_role_with_short_time_outs_builds(filled: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch) -> None:
    docs = filled()
    url = docs.database.url + "?options=-c%20statement_timeout%3D30%20-c%20lock_timeout%3D1"
    with Database(docs.database.url, admin_url=url) as db:
        assert db.collection(docs.name).build_index().reason == "built"


# -------------------------------------------------------------------------------------------------- memory and progress


def test_shared_memory_that_cannot_be_had_is_done_without(
    filled: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = filled(100)
    tried: list[bool] = []
    real = index.build

    def failing(table: Any, options: Any) -> Any:
        tried.append(options.parallel)
        if options.parallel:
            raise psycopg.errors.DiskFull("could not resize shared memory segment: No space left on device")
        return real(table, options)

    monkeypatch.setattr(index, "build", failing)
    error = DatabaseError("could not resize shared memory segment", "53100")
    run_admin = docs.database.run_admin

    def run(make_plan: Any, *, atomic: bool = True) -> Any:
        try:
            return run_admin(make_plan, atomic=atomic)
        except psycopg.errors.DiskFull:
            raise error from None

    monkeypatch.setattr(docs.database, "run_admin", run)
    assert docs.build_index().reason == "built"
    assert tried == [True, False]


def test_advice_about_memory() -> None:
    config = CollectionConfig(dimensions=384)
    kind = index_kind(config)
    assert kind is not None
    needed = build_bytes(config, kind, 100_000)
    assert 180_000_000 < needed < 300_000_000
    enough = BuildMemory(limit=needed, workers=2, shared_free=None)
    assert advise(config, kind, 100_000, enough) == advise(config, kind, 0, enough)
    little = advise(config, kind, 100_000, BuildMemory(limit=64 << 20, workers=2, shared_free=None))
    assert "maintenance_work_mem is 64MB" in little.warnings[0]
    assert little.parallel
    narrow = advise(config, kind, 100_000, BuildMemory(limit=needed, workers=2, shared_free=64 << 20))
    assert "/dev/shm has 64MB free" in narrow.warnings[0]
    assert not narrow.parallel
    half = index_kind(CollectionConfig(dimensions=384, quantization="halfvec"))
    assert half is not None
    assert build_bytes(config, half, 1000) < build_bytes(config, kind, 1000)


def test_a_graph_that_does_not_fit_is_told_before(
    filled: Callable[..., Collection], caplog: pytest.LogCaptureFixture
) -> None:
    docs = filled()
    with caplog.at_level(logging.WARNING, "rag_pgvector"):
        report = docs.build_index(memory=1 << 20)
    assert "maintenance_work_mem is 1MB" in report.warnings[0]
    assert report.warnings[0] in caplog.text
    assert docs.rebuild_index(memory=64 << 20).warnings == ()
    for wrong in (0, -1, 1.5, "1GB"):
        with pytest.raises(ConfigError, match="memory="):
            docs.build_index(memory=wrong)  # type: ignore[arg-type]


def test_progress_is_told(filled: Callable[..., Collection], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_pgvector.indexed._POLL_SECONDS", 0.02)
    docs = filled(hnsw_ef_construction=400)
    told: list[IndexProgress] = []
    threads: set[str] = set()

    def tell(found: IndexProgress) -> None:
        told.append(found)
        threads.add(threading.current_thread().name)

    docs.build_index(progress=tell)
    assert any("building index" in each.phase for each in told)
    assert all(0 <= each.done <= each.total for each in told)
    assert threads == {"rag_pgvector index progress"}
    assert docs.database.run(lambda: index.progress(docs._table)) is None


def test_through_a_pooler_memory_cannot_be_set(filled: Callable[..., Collection], module_database_url: str) -> None:
    docs = filled(50)
    with pgbouncer(module_database_url, str(conninfo_to_dict(module_database_url)["user"])) as url:
        with Database(url, prepare=False) as db:
            assert db.admin_is_pooled()
            with pytest.raises(ConfigError, match="pooler"):
                db.collection(docs.name).build_index(memory=1 << 30)
            assert db.collection(docs.name).build_index().reason == "built"
        with Database(url, prepare=False, admin_url=module_database_url) as db:
            assert not db.admin_is_pooled()
            assert db.collection(docs.name).rebuild_index(memory=1 << 30).reason == "rebuilt"


@pytest.fixture
def shared(tenant_db: Database) -> Collection:
    return tenant_db.collection("shared", config=CollectionConfig(dimensions=3, tenancy="multi"))


def test_of_many_tenants(shared: Collection) -> None:
    acme = shared.for_tenant("acme")
    acme.add([Chunk(id=f"{i}", content="x", embedding=[1, i, 2]) for i in range(50)])
    assert shared.index_status().state == acme.index_status().state == "missing"
    assert shared.build_index(min_rows=51).state == "not_needed"
    assert acme.build_index().reason == "built"
    assert shared.rebuild_index().reason == "rebuilt"
    with pytest.raises(TenantError, match="bound to 'acme'"):
        acme.drop_index()
    assert shared.drop_index().reason == "dropped"
