"""The schema: however it is made it is the same, by however many at once; and what people do to it in psql."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine, text

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, migrations, write
from rag_pgvector import sql as sql_files
from rag_pgvector.fence import CONTROL
from rag_pgvector.models import Base

THREE = CollectionConfig(dimensions=3)

CATALOGUE = {
    "columns": "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, "
    "pg_get_expr(d.adbin, d.adrelid) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 "
    "LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum "
    "WHERE c.relnamespace = 'rag'::regnamespace AND c.relkind IN ('r', 'v')",
    "indexes": "SELECT indexdef, '' FROM pg_indexes WHERE schemaname = 'rag'",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'rag'::regnamespace",
    "functions": "SELECT pg_get_functiondef(oid), proacl::text FROM pg_proc WHERE pronamespace = 'rag'::regnamespace",
    "policies": "SELECT tablename, policyname, permissive, roles::text, cmd, qual, with_check FROM pg_policies "
    "WHERE schemaname = 'rag'",
    "tables": "SELECT relname, relrowsecurity, relforcerowsecurity, relacl::text FROM pg_class "
    "WHERE relnamespace = 'rag'::regnamespace AND relkind IN ('r', 'v', 'S')",
    "triggers": "SELECT pg_get_triggerdef(oid), '' FROM pg_trigger WHERE NOT tgisinternal",
}


def catalogue(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """All that lies in schema rag, Alembic's own table aside."""
    with psycopg.connect(url) as conn:
        found = {what: conn.execute(query.encode()).fetchall() for what, query in CATALOGUE.items()}
    return {
        what: sorted((row for row in rows if "alembic_version" not in str(row)), key=str)
        for what, rows in found.items()
    }


def test_the_sum_of_the_migrations_is_a_fresh_schema(database_url: str, empty_database: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(empty_database))
    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION vector"))
        connection.execute(text("CREATE SCHEMA rag"))
        Base.metadata.create_all(connection)
        files = [sql_files.read_sql(f"{name}.sql") for name in sorted(sql_names()) if name != "control_fence"]
        fences = [sql_files.control_fence(table) for table in CONTROL if table != "documents"]  # its own: tenants.sql
        for statements in (*files, *fences):
            connection.exec_driver_sql(statements.replace("%", "%%"))
    engine.dispose()
    fresh, migrated = catalogue(empty_database), catalogue(database_url)
    for what in CATALOGUE:
        assert migrated[what] == fresh[what]
    assert len(migrated["functions"]) >= 4
    assert len(migrated["columns"]) > 20


def sql_names() -> list[str]:
    folder = sql_files.__spec__.submodule_search_locations
    assert folder is not None
    return [path.stem for path in Path(folder[0]).glob("*.sql")]


def test_alembic_finds_nothing_to_do(database_url: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(database_url))
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "version_table_schema": "rag",
                "compare_type": True,
                "compare_server_default": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == "rag",
            },
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


@pytest.mark.parametrize("by", ["psycopg", "psql"])
def test_the_printed_sql_makes_the_same_schema(database_url: str, empty_database: str, by: str) -> None:
    if by == "psql":
        psql = shutil.which("psql")
        if psql is None:
            pytest.skip("psql is not installed")
        subprocess.run(
            [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", empty_database],
            input=migrations.offline_sql(),
            text=True,
            check=True,
            capture_output=True,
        )
    else:
        with psycopg.connect(empty_database, autocommit=True) as conn:
            conn.execute(migrations.offline_sql().encode())
    assert catalogue(empty_database) == catalogue(database_url)
    with Database(empty_database) as db:
        assert db.collections() == []
        assert db.upgrade() == migrations.HEAD


def test_eight_processes_at_the_same_moment(empty_database: str) -> None:
    """All wait for one lock; then they make the schema and the same collection."""
    program = """
        import os, sys, traceback, psycopg
        from rag_pgvector import Chunk, CollectionConfig, Database, migrations, open, settings

        def work(url, number):
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute("SELECT pg_advisory_lock_shared(4711)")
            with Database(url) as db:
                if number % 2:
                    db.upgrade()
                docs = db.collection("docs", config=CollectionConfig(dimensions=3))
                docs.add([Chunk(id=str(number), content="x", embedding=[1, 2, 3])])

        for number in range(8):  # forked, since eight imports take longer than all the rest
            if os.fork() == 0:
                try:
                    work(sys.argv[1], number)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
        print([os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(8)])
    """
    with psycopg.connect(empty_database, autocommit=True) as conn:
        conn.execute("SELECT pg_advisory_lock(4711)")
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), empty_database],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
        for _ in range(600):
            row = conn.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
            if row == (8,) or process.poll() is not None:
                break
            conn.execute("SELECT pg_sleep(0.05)")
        conn.execute("SELECT pg_advisory_unlock(4711)")
    printed, errors = process.communicate(timeout=60)
    assert printed.strip() == str([0] * 8), errors
    with Database(empty_database) as db:
        assert db.collections() == ["docs"]
        assert db.collection("docs").count() == 8


def test_eight_databases_make_the_same_collection_at_the_same_moment(database_url: str) -> None:
    barrier = threading.Barrier(8)

    def work(_: int) -> set[int]:
        with Database(database_url) as db:
            db.collections()
            made = set()
            for name in "abcde":
                barrier.wait(30)
                made.add(db.collection(name, config=THREE)._table.collection_id)
            return made

    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(work, range(8)))
    assert len(ids[0]) == 5
    assert all(each == ids[0] for each in ids)


def test_an_upgrade_that_fails_leaves_nothing(empty_database: str) -> None:
    with psycopg.connect(empty_database, autocommit=True) as conn:
        conn.execute("CREATE SCHEMA rag; CREATE TABLE rag.documents (other integer)")
        with Database(empty_database) as db, pytest.raises(Exception, match='relation "documents" already exists'):
            db.upgrade()
        assert conn.execute("SELECT to_regclass('rag.collections')").fetchone() == (None,)


# ----------------------------------------------------------------------------------------------- roles without rights


@pytest.fixture
def application(database_url: str) -> Iterator[str]:
    """The URL of a role that owns nothing."""
    role = f"rag_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(sql.Identifier(role)))
        yield make_conninfo(database_url, user=role, password="x")
        conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def test_an_application_without_ddl_works_beside_an_administrator(database_url: str, application: str) -> None:
    with Database(application, admin_url=database_url) as db:
        db.upgrade()
        docs = db.collection("docs", config=THREE, embedder=lambda texts: [[1.0, len(t), 0.0] for t in texts])
        docs.add([Chunk(id="a", content="old"), Chunk(id="b", content="text", embedding=[1, 2, 3])])
        assert docs.upsert([Chunk(id="a", content="new text")]).updated == 1
        assert docs.search("question", k=2)[0].chunk.id == "a"
        assert docs.build_index().state == "valid"
        assert docs.delete(["a"]) == 1
        docs.drop()
        assert db.collections() == []


# ------------------------------------------------------------------------------------------------------------- in psql


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def docs(database_url: str) -> Iterator[Collection]:
    with Database(database_url) as db:
        yield db.collection("docs", config=THREE)


COMBINATIONS = list(itertools.product(["cosine", "l2", "inner_product"], ["vector", "halfvec"]))


@pytest.mark.parametrize(("distance", "storage"), COMBINATIONS)
def test_search_chunks_finds_what_search_finds(
    database_url: str, conn: psycopg.Connection[Any], distance: Any, storage: Any
) -> None:
    random = np.random.default_rng(5)
    vectors = random.normal(size=(200, 8))
    with Database(database_url) as db:
        name = f'Dr. o\'Nö "{distance}"'
        docs = db.collection(name, config=CollectionConfig(dimensions=8, distance=distance, storage=storage))
        docs.add(
            [
                Chunk(id=f"{i}", content=f"text {i}", embedding=v, metadata={"n": i, "odd": bool(i % 2)}, source="s")
                for i, v in enumerate(vectors)
            ]
        )
        query = random.normal(size=8)
        for filter_, indexed in itertools.product([None, {"n": {"$gte": 150}}, {"odd": True}], [False, True]):
            if indexed:
                docs.build_index()
            expected = docs.search(vector=query, k=12, filter=filter_)
            rows = conn.execute(
                "SELECT id, distance, score, metadata, source FROM rag.search_chunks(%s, %s::vector, 12, %s::jsonb)",
                (name, str(query.tolist()), psycopg.types.json.Jsonb(filter_ or {})),
            ).fetchall()
            assert [row[0] for row in rows] == [hit.chunk.id for hit in expected]
            assert [row[1] for row in rows] == pytest.approx([hit.distance for hit in expected], abs=1e-6)
            assert [row[2] for row in rows] == pytest.approx([hit.score for hit in expected], abs=1e-6)
            assert rows[0][3:] == (expected[0].chunk.metadata, "s")
        found = conn.execute("SELECT id FROM rag.search_chunks(%s, %s::vector, 150)", (name, str(query.tolist())))
        assert len(found.fetchall()) == 150, "k above hnsw.ef_search"
        if docs.config.distance != "cosine":
            return
        query_text = str(query.tolist())
        whole = conn.execute("SELECT id FROM rag.search_chunks(%s, %s::vector, 150)", (name, query_text)).fetchall()
        conn.execute(
            "SET enable_seqscan = off; SET enable_sort = off; SET hnsw.ef_search = 1; SET hnsw.max_scan_tuples = 1"
        )
        walk = sql.SQL("SELECT FROM {} ORDER BY embedding <=> %s::{} LIMIT 150").format(
            docs._table.identifier, docs._table.vector_type
        )
        conn.execute("SET hnsw.iterative_scan = strict_order")
        assert len(conn.execute(walk, (query_text,)).fetchall()) < 150, "a walk that is cut short"
        again = conn.execute("SELECT id FROM rag.search_chunks(%s, %s::vector, 150)", (name, query_text)).fetchall()
        assert again == whole


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("'nope', '[1,2,3]'", "42704", 'collection "nope" does not exist'),
        ("NULL, '[1,2,3]'", "42704", "does not exist"),
        ("'docs', '[1,2]'", "22000", 'the query vector has 2 dimensions, collection "docs" has 3'),
        ("'docs', NULL", "22000", "collection"),
        ("'docs', '[1,2,3]', NULL", "22023", "k is"),
        ("'docs', '[1,2,3]', 0", "22023", "k is 0"),
        ("'docs', '[1,2,3]', 4, '{\"a\": {\"$nope\": 1}}'", "22023", "$nope"),
    ],
)
def test_search_chunks_refuses_what_cannot_be(
    docs: Collection, conn: psycopg.Connection[Any], arguments: str, code: str, message: str
) -> None:
    docs.add([Chunk(id="a", content="x", embedding=[1, 2, 3])])
    with pytest.raises(psycopg.Error) as caught:
        conn.execute(sql.SQL("SELECT * FROM rag.search_chunks({})").format(sql.SQL(arguments)))
    assert caught.value.sqlstate == code
    assert message in str(caught.value)


def test_upsert_chunk_adds_replaces_and_drops_a_stale_embedding(
    docs: Collection, conn: psycopg.Connection[Any]
) -> None:
    def upsert(content: str, embedding: str | None = None) -> Chunk:
        conn.execute(
            "SELECT rag.upsert_chunk('docs', 'a', %s, '{\"n\": 1}', %s::vector, 'd', 'd.md', 3)", (content, embedding)
        )
        [found] = docs.get(["a"], embeddings=True)
        assert (found.content, found.metadata, found.source, found.page_or_row) == (content, {"n": 1}, "d.md", 3)
        return found

    assert upsert("old", "[1,2,3]").embedding == [1, 2, 3]
    assert upsert("old").embedding == [1, 2, 3], "the text stays, so does what was made of it"
    assert upsert("new").embedding is None
    assert upsert("new", "[4,5,6]").embedding == [4, 5, 6]
    assert upsert("newer", "[4,5,6]").embedding == [4, 5, 6], "given again for the new text"
    same = Chunk(id="a", content="newer", embedding=[4, 5, 6], metadata={"n": 1}, document_id="d", source="d.md")
    assert docs.upsert([replace(same, page_or_row=3)]).unchanged == 1, "as Python writes it"
    with pytest.raises(psycopg.errors.UndefinedObject, match="nope"):
        conn.execute("SELECT rag.upsert_chunk('nope', 'a', 'x')")
    for bad in ("[1,2]", "[0,0,0]"):
        with pytest.raises(psycopg.Error):
            conn.execute("SELECT rag.upsert_chunk('docs', 'b', 'x', '{}', %s::vector)", (bad,))
    assert docs.count() == 1


def test_the_trigger_keeps_a_plain_update_true(docs: Collection, conn: psycopg.Connection[Any]) -> None:
    docs.add([Chunk(id="a", content="old", embedding=[1, 2, 3]), Chunk(id="b", content="other", embedding=[1, 1, 1])])

    def row() -> Any:
        return conn.execute(
            "SELECT content_hash, embedding::text, embedding_hash, seq FROM rag.chunks_docs WHERE id = 'a'"
        ).fetchone()

    before = row()
    assert before[0] == hashlib.sha256(b"old").digest()
    conn.execute("UPDATE rag.chunks_docs SET metadata = '{\"n\": 1}' WHERE id = 'a'")
    assert row() == before
    conn.execute("UPDATE rag.chunks_docs SET content = 'new' WHERE id = 'a'")
    content_hash, embedding, embedding_hash, seq = row()
    assert (content_hash, embedding, embedding_hash) == (hashlib.sha256(b"new").digest(), None, None)
    assert seq > before[3]
    assert [hit.chunk.id for hit in docs.search(vector=[1, 2, 3])] == ["b"], "unseen until it is embedded again"
    conn.execute("UPDATE rag.chunks_docs SET content = 'newer', embedding = '[3,2,1]' WHERE id = 'a'")
    assert row()[1] == "[3,2,1]", "brought by the same statement"
    conn.execute("UPDATE rag.chunks_docs SET content = 'newest', embedding = '[1,2,1]' WHERE id = 'a'")
    assert row()[1:3] == ("[1,2,1]", hashlib.sha256(b"\x01newest").digest())
    conn.execute("UPDATE rag.chunks_docs SET embedding_hash = 'by a model' WHERE id = 'a'")
    conn.execute("UPDATE rag.chunks_docs SET embedding = '[7,2,1]' WHERE id = 'a'")
    assert row()[1:3] == ("[7,2,1]", hashlib.sha256(b"\x01newest").digest()), "no model made this one"
    conn.execute("UPDATE rag.chunks_docs SET embedding = NULL WHERE id = 'a'")
    assert row()[1:3] == (None, None)


def test_what_python_embedded_keeps_its_models_name(docs: Collection, conn: psycopg.Connection[Any]) -> None:
    """The same model may give slightly another vector for the same text in another batch."""
    made_of = write.embedding_hash("text", "a model")
    record = write.prepare([Chunk(id="m", content="text", embedding=[1, 2, 3])], docs._table, ["a model"])
    other = write.prepare([Chunk(id="m", content="text", embedding=[1, 2, 3.001])], docs._table, ["a model"])
    for records, expected in ((record, (1, 0)), (other, (0, 1))):
        counts = docs._run(lambda records=records: write.upsert(docs._table, records), atomic=True)  # type: ignore[misc]
        assert (counts.added, counts.updated) == expected
        assert docs.get(["m"])
        stored = conn.execute("SELECT embedding_hash FROM rag.chunks_docs WHERE id = 'm'").fetchone()
        assert stored == (made_of,)


def test_the_table_refuses_what_python_refuses(docs: Collection, conn: psycopg.Connection[Any]) -> None:
    for values in (
        "('', 'x', '[1,2,3]')",
        f"('{'x' * 513}', 'x', '[1,2,3]')",
        "('a', NULL, '[1,2,3]')",
        "('a', 'x', '[0,0,0]')",
        "('a', 'x', '[1,2]')",
    ):
        with pytest.raises(psycopg.Error):
            conn.execute(
                sql.SQL("INSERT INTO rag.chunks_docs (id, content, embedding) VALUES {}").format(sql.SQL(values))
            )
    with contextlib.suppress(psycopg.Error):
        conn.execute("INSERT INTO rag.chunks_docs (tenant_id, id, content) VALUES ('other', 'a', 'x')")
    assert docs.count() == 0
