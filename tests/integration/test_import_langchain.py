"""rag-pgvector import langchain: the tables of langchain-postgres, old and odd ones too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql

from rag_pgvector import CollectionConfig, Database, SearchOptions
from rag_pgvector.errors import CollectionNotFoundError, ConfigError, TenantError
from rag_pgvector.ingest.importers import adopt, import_v1, import_v2, v1_rows, v2_rows

COLLECTIONS = (
    "CREATE TABLE langchain_pg_collection (uuid uuid PRIMARY KEY, name varchar NOT NULL UNIQUE, cmetadata json)"
)
EMBEDDINGS = (
    "CREATE TABLE langchain_pg_embedding (id varchar PRIMARY KEY, collection_id uuid REFERENCES "
    "langchain_pg_collection ON DELETE CASCADE, embedding vector, document varchar, cmetadata jsonb)"
)
COMMUNITY = (
    "CREATE TABLE langchain_pg_embedding (uuid uuid PRIMARY KEY, collection_id uuid REFERENCES "
    "langchain_pg_collection ON DELETE CASCADE, embedding vector(2), document varchar, cmetadata json, "
    "custom_id varchar)"
)


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with Database(database_url) as db:
        yield db


@pytest.fixture
def other(empty_database: str) -> Iterator[Database]:
    """Another database, for our side: rows have to travel."""
    with Database(empty_database) as other:
        other.upgrade()
        yield other


def cli(*arguments: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "rag_pgvector", "import", "langchain", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )
    return done.returncode, done.stdout, done.stderr


def fill_v1(conn: psycopg.Connection[Any], *names: str) -> dict[str, uuid.UUID]:
    conn.execute(COLLECTIONS)
    conn.execute(EMBEDDINGS)
    made = {name: uuid.uuid4() for name in names}
    for name, id_ in made.items():
        conn.execute("INSERT INTO langchain_pg_collection VALUES (%s, %s, '{}')", (id_, name))
    return made


def insert_v1(conn: psycopg.Connection[Any], collection: Any, *rows: tuple[Any, ...]) -> None:
    with conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO langchain_pg_embedding VALUES (%s, %s, %s::vector, %s, %s::jsonb)",
            [(id_, collection, vector, text, metadata) for id_, vector, text, metadata in rows],
        )


ROWS = [
    ("1", "[1,0]", "one", '{"n": 1, "source": "a.pdf", "document_id": "d"}'),
    ("2", "[0,1]", "two", None),
    ("3", None, "three, not embedded", '{"n": 3}'),
    ("4", "[1,1,1]", "four, of another model", '{"n": 4}'),
    ("5", "[0,0]", "five, without a direction", '["a list"]'),
    ("6", "[1,1]", None, '{"n": 6}'),
    ("x" * 600, "[1,1]", "an id too long", "{}"),
    ("O'Brien %s", "[1,1]", "quoted %s", '{"a%s": "b"}'),
]


@pytest.mark.parametrize("where", ["server", "stream"])
def test_a_collection_of_v1(conn: psycopg.Connection[Any], db: Database, other: Database, where: str) -> None:
    made = fill_v1(conn, "docs", "others")
    insert_v1(conn, made["docs"], *ROWS)
    insert_v1(conn, made["others"], ("of others", "[1,0]", "not mine", "{}"))
    insert_v1(conn, None, ("orphan", "[1,0]", "nobody's", "{}"))
    ours = db if where == "server" else other
    arguments = ["--from", db.url, "--url", ours.url, "--collection", "docs"]
    code, out, err = cli(*arguments, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "collection": "docs",
        "via": where,
        "rows": 8,
        "added": 6,
        "updated": 0,
        "unchanged": 0,
        "without_embedding": 1,
        "other_dimensions": 1,
        "zero_vectors": 1,
        "without_content": 1,
        "unusable_ids": 1,
        "duplicate_ids": 0,
    }
    docs = ours.collection("docs")
    assert docs.config == CollectionConfig(dimensions=2)
    stored = {chunk.id: chunk for chunk in docs.get([row[0] for row in ROWS], embeddings=True)}
    assert set(stored) == {"1", "2", "3", "4", "5", "O'Brien %s"}
    assert (stored["1"].source, stored["1"].document_id) == ("a.pdf", "d")
    assert stored["1"].metadata == {"n": 1, "source": "a.pdf", "document_id": "d"}
    assert stored["2"].metadata == {}
    assert stored["5"].metadata == {"metadata": ["a list"]}
    assert [stored[id_].embedding is None for id_ in "12345"] == [False, False, True, True, True]
    assert [hit.chunk.id for hit in docs.search(vector=[0.0, 1.0], k=1)] == ["2"]
    words = docs.search("embedded", options=SearchOptions(mode="keyword"))
    assert ([hit.chunk.id for hit in words], words.plan.unindexed) == (["3"], 0)
    # Again: nothing is written twice, and what was changed there arrives.
    assert json.loads(cli(*arguments, "--json")[1])["unchanged"] == 6
    conn.execute("UPDATE langchain_pg_embedding SET document = 'new', embedding = '[1,2]' WHERE id = '2'")
    assert "1 updated, 5 unchanged\n1 have no embedding yet" in cli(*arguments)[1]
    assert docs.get(["2"])[0].content == "new"
    assert [hit.chunk.id for hit in docs.search("new", options=SearchOptions(mode="keyword"))] == ["2"]
    assert list(docs.search("two", options=SearchOptions(mode="keyword"))) == []


@pytest.mark.parametrize("where", ["server", "stream"])
def test_the_older_tables_of_community(
    conn: psycopg.Connection[Any], db: Database, other: Database, where: str
) -> None:
    """A uuid for the key, a custom_id that may repeat or be missing, and metadata as json with a NUL in it."""
    conn.execute(COLLECTIONS)
    conn.execute(COMMUNITY)
    collection = uuid.uuid4()
    conn.execute("INSERT INTO langchain_pg_collection VALUES (%s, 'docs', NULL)", (collection,))
    keys = sorted(uuid.uuid4() for _ in range(4))
    nul = r'{"a": "x\u0000y", "path": "C:\\u0000"}'
    for key, custom, metadata in zip(keys, ("same", "same", None, "own"), ("{}", "{}", None, nul), strict=True):
        conn.execute(
            "INSERT INTO langchain_pg_embedding VALUES (%s, %s, '[1,0]', %s, %s, %s)",
            (key, collection, f"text {key}", metadata, custom),
        )
    ours = (db if where == "server" else other).collection("docs", config=CollectionConfig(dimensions=2))
    report = import_v1(db, "docs", ours)
    assert (report.via, report.rows, report.added) == (where, 4, 4)
    stored = {chunk.id: chunk for chunk in ours.list()}
    assert set(stored) == {"same", str(keys[1]), str(keys[2]), "own"}
    assert stored["same"].content == f"text {keys[0]}"
    assert stored["own"].metadata == {"a": "xy", "path": "C:\\u0000"}


@pytest.mark.parametrize("where", ["server", "stream"])
@pytest.mark.parametrize("vector", ["vector(2)", "halfvec(2)", "vector"])
def test_a_table_of_v2(conn: psycopg.Connection[Any], db: Database, other: Database, where: str, vector: str) -> None:
    conn.execute('CREATE SCHEMA "Mine"')
    query = sql.SQL(
        'CREATE TABLE "Mine"."My Docs" (langchain_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), '
        'content text NOT NULL, embedding {} NOT NULL, content_tsv tsvector, "user" text, "Year" int, '
        "at date, langchain_metadata json)"
    )
    conn.execute(query.format(sql.SQL(vector)))
    for i in range(5):
        conn.execute(
            'INSERT INTO "Mine"."My Docs" (content, embedding, "user", "Year", at, langchain_metadata) '
            "VALUES (%s, %s, 'alice', %s, '2024-01-31', %s)",
            (f"text {i}", str([1.0, float(i)]), i, json.dumps({"n": i, "user": "from json"})),
        )
    ours = (db if where == "server" else other).collection("docs", config=CollectionConfig(dimensions=2))
    report = import_v2(db, "My Docs", ours, schema="Mine")
    assert (report.via, report.added, report.without_embedding) == (where, 5, 0)
    (found,) = ours.search(vector=[0.0, 1.0], k=1, filter={"user": "alice"})
    assert found.chunk.content == "text 4"
    assert found.chunk.metadata == {"n": 4, "user": "alice", "Year": 4, "at": "2024-01-31"}
    assert uuid.UUID(found.chunk.id)
    halfvec = (db if where == "server" else other).collection(
        "half", config=CollectionConfig(dimensions=2, storage="halfvec", distance="l2")
    )
    assert import_v2(db, "My Docs", halfvec, schema="Mine").added == 5
    stored = halfvec.get([str(found.chunk.id)], embeddings=True)[0].embedding
    np.testing.assert_array_equal(np.asarray(stored), [1, 4])


def test_columns_may_be_named(conn: psycopg.Connection[Any], db: Database) -> None:
    conn.execute(
        "CREATE TABLE odd (a int, b text, title text, body text, v1 vector(2), v2 vector(3), extra jsonb, "
        "PRIMARY KEY (a, b))"
    )
    conn.execute("""INSERT INTO odd VALUES (1, 'x', 't', 'body', '[1,0]', '[1,0,0]', '{"n": 1}')""")
    arguments = ["--url", db.url, "--table", "odd", "--into", "mine"]
    for column in (["--id-column", "a"], ["--embedding-column", "v2"], ["--content-column", "body"]):
        code, _, err = cli(*arguments)
        assert code == 2
        assert column[0] in err
        arguments += column
    assert cli(*arguments, "--metadata-column", "extra", "--distance", "l2")[0] == 0
    (chunk,) = db.collection("mine").list()
    assert (chunk.id, chunk.content, chunk.metadata) == ("1", "body", {"n": 1, "b": "x", "title": "t"})
    assert db.collection("mine").config.dimensions == 3
    assert cli(*arguments, "--collection", "docs")[0] == 2


def test_what_is_not_there_is_said(conn: psycopg.Connection[Any], db: Database) -> None:
    with pytest.raises(CollectionNotFoundError, match="no table"):
        db.run(lambda: v1_rows("docs"))
    with pytest.raises(CollectionNotFoundError, match="no table"):
        db.run(lambda: v2_rows("docs"))
    fill_v1(conn, "docs")
    with pytest.raises(CollectionNotFoundError, match="'docs'"):
        db.run(lambda: v1_rows("dogs"))
    with pytest.raises(ConfigError):
        db.run(lambda: v2_rows("a%s"))
    code, _, err = cli("--url", db.url, "--collection", "docs")
    assert code == 2
    assert "no row has an embedding" in err


def test_into_a_tenant(conn: psycopg.Connection[Any], db: Database, tenant_db: Database) -> None:
    """The application's role may not read the old tables: the rows travel, and land with the tenant."""
    made = fill_v1(conn, "docs")
    insert_v1(conn, made["docs"], *ROWS[:2])
    shared = tenant_db.collection("shared", config=CollectionConfig(dimensions=2, tenancy="multi"))
    rows = db.run(lambda: v1_rows("docs"))
    with pytest.raises(TenantError):
        adopt(db, rows, shared)
    report = adopt(db, rows, shared.for_tenant("acme"))
    assert (report.via, report.added) == ("stream", 2)
    assert shared.for_tenant("acme").count() == 2
    assert shared.for_tenant("apex").count() == 0
    # Where it may read them, the vectors stay in the database.
    conn.execute("GRANT SELECT ON langchain_pg_collection, langchain_pg_embedding TO PUBLIC")
    assert adopt(db, rows, shared.for_tenant("acme")).unchanged == 2
    report = adopt(db, rows, shared.for_tenant("apex", scope="a"))
    assert (report.via, report.added) == ("server", 2)
    found = shared.for_tenant("apex").search("two", options=SearchOptions(mode="keyword"))
    assert ([hit.chunk.id for hit in found], found.plan.unindexed) == (["2"], 0)
    # By the command line, which makes the collection.
    arguments = ["--from", db.url, "--url", tenant_db.url, "--collection", "docs", "--tenant", "acme"]
    code, out, err = cli(*arguments, ADMIN_DATABASE_URL=db.url)
    assert (code, err) == (0, "")
    assert "2 added" in out
    assert tenant_db.collection("docs").for_tenant("acme").count() == 2


KILLED = """
import sys
from rag_pgvector import Database
from rag_pgvector.ingest.importers import adopt, v1_rows

source, ours = Database(sys.argv[1]), Database(sys.argv[2]).collection("docs")
adopt(source, source.run(lambda: v1_rows("docs")), ours, page=100, progress=lambda rows: print(rows, flush=True))
"""


@pytest.mark.parametrize("where", ["server", "stream"])
def test_killed_and_run_again(conn: psycopg.Connection[Any], db: Database, other: Database, where: str) -> None:
    made = fill_v1(conn, "docs")
    conn.execute(
        "INSERT INTO langchain_pg_embedding SELECT i::text, %s, ARRAY[i, 1]::vector, 'text ' || i, "
        "jsonb_build_object('n', i) FROM generate_series(1, 5000) i",
        (made["docs"],),
    )
    ours = (db if where == "server" else other).collection("docs", config=CollectionConfig(dimensions=2))
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, db.url, ours.database.url], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    for line in child.stdout:
        if int(line) >= 1_000:
            break
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    time.sleep(0.2)
    taken = ours.count()
    assert 1_000 <= taken < 5_000
    report = import_v1(db, "docs", ours)
    assert (report.added, report.updated, report.unchanged) == (5_000 - taken, 0, taken)
    assert ours.count() == 5_000
    assert ours.get(["4999"], embeddings=True)[0].metadata == {"n": 4999}
    found = ours.search("text 17", k=2, options=SearchOptions(mode="keyword"))
    assert (found[0].chunk.id, found.plan.unindexed) == ("17", 0)
