"""The verbs of vector indexes on the command line."""

from __future__ import annotations

import json

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from rag_pgvector import Chunk, CollectionConfig, Database
from tests.integration.test_cli import done, refused


@pytest.fixture
def url(database_url: str) -> str:
    with Database(database_url) as db:
        docs = db.collection("docs", config=CollectionConfig(dimensions=3, index="ivfflat"))
        docs.add([Chunk(id=f"{i}", content=f"text {i}", embedding=[1, i, 2]) for i in range(20)])
    return database_url


def test_from_nothing_to_nothing(url: str) -> None:
    def run(*verb: str) -> dict[str, object]:
        found: dict[str, object] = json.loads(done("index", *verb, "--collection", "docs", "--url", url, "--json"))
        return found

    assert run("status")["state"] == "missing"
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("SELECT rag.upsert_chunk('docs', 'by hand', 'a row by plain SQL', embedding := '[1,2,3]')")
    built = run("build", "--memory", "64MB")
    assert (built["state"], built["reason"], built["keyword_rows"]) == ("valid", "built", 1)
    status = run("status")
    assert (status["state"], status["method"], status["parameters"]) == ("valid", "ivfflat", ["lists=1"])
    assert run("build")["reason"] == "it was there"
    assert run("rebuild")["reason"] == "rebuilt"
    printed = done("index", "status", "-c", "docs", "--url", url)
    assert printed.startswith("state      valid\nindex      rag.ivfflat_docs: ivfflat (lists=1)\n")
    assert run("drop")["state"] == "missing"
    assert "there was none" in done("index", "drop", "-c", "docs", "--url", url)


def test_what_cannot_be_is_one_line(url: str) -> None:
    assert "does not exist" in refused(1, "index", "build", "-c", "nothing", "--url", url)
    for size in ("0GB", "2", "-1MB", "GB", "2 PB"):
        assert "use a size such as" in refused(2, "index", "build", "-c", "docs", "--url", url, "--memory", size)


def test_a_role_that_may_not_build(url: str, app_login: str) -> None:
    role = sql.Identifier(app_login)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'x'").format(role))
        conn.execute(sql.SQL("GRANT USAGE ON SCHEMA rag TO {}").format(role))
        conn.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA rag TO {}").format(role))
        poor = make_conninfo(url, user=app_login, password="x")
        assert "only wanted now" in refused(1, "index", "build", "-c", "docs", "--url", poor)
        conn.execute(sql.SQL("DROP OWNED BY {}").format(role))
    assert "state      wanted" in done("index", "status", "-c", "docs", "--url", url)
