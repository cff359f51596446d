"""Tenants on the command line: the verbs, and who may do what with which key."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from rag_pgvector import Chunk, CollectionConfig, Database, keys
from rag_pgvector.cli.app import run
from rag_pgvector.migrations import HEAD

NOTES = "The wau bulan is a moon-shaped kite from Kelantan. Its frame is made of bamboo.\n"


class Ran(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


class Shell:
    """Runs the program with the application's URL and the administrator's in the environment."""

    def __init__(self, url: str, admin_url: str) -> None:
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("RAG_", "DATABASE_"))}
        self.environment |= {"DATABASE_URL": url, "ADMIN_DATABASE_URL": admin_url}

    def run(self, *arguments: str, **environment: str) -> Ran:
        stdout, stderr = StringIO(), StringIO()
        with (
            patch.dict(os.environ, self.environment | environment, clear=True),
            redirect_stdout(stdout),
            redirect_stderr(stderr),
        ):
            code = run(arguments)
        return Ran(code, stdout.getvalue(), stderr.getvalue())

    def done(self, *arguments: str, **environment: str) -> str:
        result = self.run(*arguments, **environment)
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout

    def refused(self, code: int, *arguments: str, **environment: str) -> str:
        result = self.run(*arguments, **environment)
        assert (result.returncode, result.stdout) == (code, ""), result.stderr
        (line,) = result.stderr.splitlines()
        return line


@pytest.fixture
def shell(app_url: str, database_url: str) -> Shell:
    return Shell(app_url, database_url)


def test_ingest_search_and_ask_for_a_tenant(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "kites.md").write_text(NOTES, encoding="utf-8")
    at = ("-c", "shared", "--json")
    file = str(tmp_path / "kites.md")
    assert "add --tenant" in shell.refused(2, "ingest", file, *at, "--tenancy", "multi")
    assert json.loads(shell.done("ingest", file, *at, "--tenancy", "multi", "--tenant", "acme"))["added"] == 1
    assert "'shared' keeps tenants apart" in shell.refused(2, "ingest", file, *at)
    assert "--tenant" in shell.refused(2, "search", "kites", *at)
    assert "--tenant" in shell.refused(2, "ask", "kites", *at)
    assert "--scope" in shell.refused(2, "search", "kites", *at, "--scope", "audit")
    assert "tenant ''" in shell.refused(2, "search", "kites", *at, "--tenant", "")
    assert "tenancy 'multi'" in shell.refused(1, "ingest", file, *at, "--tenancy", "single")

    made = json.loads(
        shell.done("keys", "create", "reader", "--tenant", "acme", "-p", "data.vector_search", "--days", "1", "--json")
    )
    key = {"RAG_API_KEY": made["secret"]}
    assert len(json.loads(shell.done("search", "kites", *at, **key))["results"]) == 1
    asked = json.loads(shell.done("ask", "What is the frame of the wau bulan made of?", *at, "--threshold", "0", **key))
    assert "bamboo" in asked["prediction"]["answer"]
    assert json.loads(shell.done("search", "kites", *at, "--tenant", "bolt"))["results"] == []
    assert "'data.ingest'" in shell.refused(1, "ingest", file, *at, **key)
    assert "not the API key's" in shell.refused(1, "search", "kites", *at, "--tenant", "bolt", **key)
    shell.done("keys", "revoke", str(made["id"]))
    assert "the API key is not valid" in shell.refused(1, "search", "kites", *at, **key)


def test_a_key_of_one_scope(shell: Shell, tenant_db: Database, tmp_path: Path) -> None:
    config = CollectionConfig(dimensions=384, tenancy="multi")
    collection = tenant_db.collection("shared", config=config)
    for scope in ("audit", "tax"):
        bound = collection.for_tenant("acme", scope=scope)
        bound.add([Chunk(id=scope, content=scope, embedding=[1.0] * 384)])
    made = keys.create_key(tenant_db, "auditor", "acme", scope="audit", permissions=["data.vector_search"])
    key = {"RAG_API_KEY": made.secret}
    at = ("search", "kites", "-c", "shared", "--json")
    assert [hit["id"] for hit in json.loads(shell.done(*at, **key))["results"]] == ["audit"]
    (tmp_path / "key").write_text(f"{made.secret}\n")
    by_file = {"RAG_API_KEY_FILE": str(tmp_path / "key")}
    assert [hit["id"] for hit in json.loads(shell.done(*at, **by_file))["results"]] == ["audit"]
    assert "both set" in shell.refused(2, *at, **key, **by_file)
    assert "--scope 'tax'" in shell.refused(1, *at, "--scope", "tax", **key)
    # A bad key makes nothing, not even a collection.
    assert "not valid" in shell.refused(1, "ingest", __file__, "-c", "new", "--api-key", "rag_wrong")
    assert tenant_db.collections() == ["shared"]


def test_keys_are_listed_without_their_secrets(shell: Shell) -> None:
    assert shell.done("keys", "list") == "there are no keys\n"
    secret = shell.done("keys", "create", "nightly", "--tenant", "acme", "--scope", "a", "-p", "data.ingest").strip()
    assert secret.startswith("rag_")
    assert shell.done("keys", "list") == "1  nightly  (acme, scope a)  data.ingest  valid\n"
    (listed,) = json.loads(shell.done("keys", "list", "--tenant", "acme", "--json"))["keys"]
    assert (listed["name"], listed["permissions"], listed["state"]) == ("nightly", ["data.ingest"], "valid")
    assert secret not in json.dumps(listed)
    assert "'data.all'" in shell.refused(2, "keys", "create", "x", "--tenant", "acme", "-p", "data.all")
    assert "no key 9" in shell.refused(2, "keys", "revoke", "9")


def test_a_tenant_is_listed_exported_imported_moved_and_deleted(
    shell: Shell, tenant_db: Database, tmp_path: Path
) -> None:
    config = CollectionConfig(dimensions=3, tenancy="multi")
    for tenant in ("acme", "bolt"):
        bound = tenant_db.collection("shared", config=config).for_tenant(tenant)
        bound.add([Chunk(id="a", content=f"of {tenant} é", embedding=[1, 2, 3])])
    listed = json.loads(shell.done("tenants", "list", "--json"))["tenants"]
    assert listed[0] == {"tenant": "acme", "collections": {"shared": {"chunks": 1, "documents": 0}}, "keys": 0}
    exported = shell.done("tenants", "export", "acme", "-c", "shared")
    assert "of acme é" in exported
    assert "bolt" not in exported
    file = tmp_path / "acme.jsonl"
    file.write_text(exported, encoding="utf-8")
    shell.done("tenants", "import", "copy", str(file), "-c", "shared")
    assert "no such file" in shell.refused(2, "tenants", "import", "x", "none.jsonl", "-c", "shared").lower()
    assert "'bolt' exists" in shell.refused(2, "tenants", "move", "acme", "--to", "bolt")
    assert "rag.chunks_shared: 1 rows of 'acme' are 'apex''s" in shell.done("tenants", "move", "acme", "--to", "apex")
    assert "--yes" in shell.refused(2, "tenants", "delete", "apex")
    gone = json.loads(shell.done("tenants", "delete", "apex", "--yes", "--json"))
    assert (gone["deleted"]["chunks_shared"], gone["left"]["chunks_shared"]) == (1, 0)
    assert shell.done("tenants", "list").splitlines()[::2] == ["bolt (0 API keys)", "copy (0 API keys)"]


@pytest.fixture
def new_login(database_url: str) -> Iterator[str]:
    name = f"rag_test_new_{uuid.uuid4().hex[:12]}"
    yield name
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def test_from_one_owner_to_many_with_the_commands_that_errors_name(
    database_url: str, new_login: str, tmp_path: Path
) -> None:
    with Database(database_url) as db:
        db.collection("docs", config=CollectionConfig(dimensions=384)).add(
            [Chunk(id="a", content="a", embedding=[1.0] * 384)]
        )
    shell = Shell(database_url, database_url)  # a superuser's URL, as on many a laptop
    assert "no tenants" in shell.refused(2, "search", "x", "-c", "docs", "--tenant", "acme")
    shell.done("db", "convert", "--collection", "docs", "--tenant", "acme")
    said = shell.refused(1, "search", "x", "-c", "docs", "--tenant", "acme")
    assert "db grant --role NAME --create" in said
    found = json.loads(shell.run("doctor", "--json").stdout)
    assert [(f["level"], f["check"]) for f in found["findings"]] == [("error", "role")]

    secret = tmp_path / "password"
    secret.write_text("s3cret'\n", encoding="utf-8")
    assert "does not exist" in shell.refused(2, "db", "grant", "--role", new_login)
    shown = shell.done("db", "grant", "--role", new_login, "--create", "--password-file", str(secret))
    assert "s3cret" not in shown
    assert "is a superuser" in shell.refused(1, "db", "grant", "--role", make_url(database_url).username or "")
    url = make_url(database_url).set(username=new_login, password="s3cret'").render_as_string(hide_password=False)
    tenant = Shell(url, database_url)
    found = json.loads(tenant.done("search", "x", "-c", "docs", "--tenant", "acme", "--json"))
    assert [hit["id"] for hit in found["results"]] == ["a"]
    healthy = json.loads(tenant.done("doctor", "--json"))
    assert (healthy["ok"], healthy["findings"], healthy["collections"][0]["rows"]) == (True, [], 1)
    alone = tenant.run("doctor", "--json", ADMIN_DATABASE_URL="")
    assert [f["check"] for f in json.loads(alone.stdout)["findings"]] == ["rows"]


def test_the_first_steps_of_an_operator(empty_database: str, tmp_path: Path) -> None:
    """As docs/tenants.md has them: the role of DATABASE_URL is not there yet, or DATABASE_URL is not set at all."""
    role = f"rag_test_app_{uuid.uuid4().hex[:12]}"
    (tmp_path / "app.password").write_text("s3cret/@\n")
    url = make_url(empty_database).set(username=role, password="s3cret/@").render_as_string(hide_password=False)
    shell = Shell(url, empty_database)
    made = ("db", "grant", "--role", role, "--create", "--password-file", str(tmp_path / "app.password"))
    try:
        early = shell.run("db", "upgrade")
        assert (early.returncode, early.stdout) == (0, f"the schema is at revision {HEAD}\n")
        assert "granted to nobody ('db grant' makes a login)" in early.stderr
        assert "s3cret" not in early.stderr
        assert shell.done(*made).startswith(f"{role} may open")
        del shell.environment["DATABASE_URL"]
        name = make_url(empty_database).database
        assert shell.done(*made).endswith(f"/{name})\n")  # and not the embedded server's
        assert f"/{name}\n" in shell.done("db", "status")
        assert shell.done("tenants", "list") == "there are no tenants\n"
        shell.environment["DATABASE_URL"] = url
        assert "0 errors" in shell.done("doctor")
    finally:
        with psycopg.connect(empty_database, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
            admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
