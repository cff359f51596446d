"""Doctor on tenants: each defence is taken away, doctor sees it, and its remedy as printed mends it."""

from __future__ import annotations

import re

import psycopg
import pytest
from psycopg import sql

from rag_pgvector import Chunk, CollectionConfig, Database, doctor
from rag_pgvector.audit import audit
from rag_pgvector.finding import Finding
from rag_pgvector.migrations import HEAD
from rag_pgvector.sql import read_sql

#: What is broken, the check that sees it, and what it says.
BROKEN = {
    "row security off": ("ALTER TABLE rag.chunks_shared DISABLE ROW LEVEL SECURITY", "fence", "not enabled"),
    "not forced": ("ALTER TABLE rag.documents NO FORCE ROW LEVEL SECURITY", "fence", "not forced"),
    "policy gone": ("DROP POLICY tenant ON rag.chunks_shared", "policy", "'tenant' of rag.chunks_shared is gone"),
    "documents' policy gone": ("DROP POLICY scope ON rag.documents", "policy", "'scope' of rag.documents is gone"),
    "policy open": ("ALTER POLICY tenant ON rag.chunks_shared USING (true)", "policy", "is not ours"),
    "check open": ("ALTER POLICY tenant ON rag.documents WITH CHECK (true)", "policy", "is not ours"),
    "policy for some": ("ALTER POLICY scope ON rag.chunks_shared TO rag_worker", "policy", "is not ours"),
    "to everybody": ("GRANT SELECT ON rag.chunks_shared TO PUBLIC", "grant", "PUBLIC has SELECT"),
    "a column to everybody": ("GRANT SELECT (text) ON rag.documents TO PUBLIC", "grant", 'SELECT ("text")'),
    "truncate": ("GRANT TRUNCATE ON rag.chunks_shared TO rag_app", "grant", "rag_app has TRUNCATE"),
    "references": ("GRANT REFERENCES ON rag.documents TO rag_app", "grant", "rag_app has REFERENCES"),
    "keys": ("GRANT SELECT ON rag.api_keys TO rag_app", "grant", "rag_app has SELECT on rag.api_keys"),
    "view": ('CREATE VIEW rag."all" AS SELECT * FROM rag.documents', "view", "the view rag.all"),
    "materialized": (
        "CREATE MATERIALIZED VIEW rag.m AS SELECT * FROM rag.documents",
        "view",
        "materialized view rag.m",
    ),
    "function": (
        "CREATE FUNCTION rag.leak(n integer DEFAULT 1) RETURNS bigint LANGUAGE sql SECURITY DEFINER "
        "AS 'SELECT count(*) FROM rag.documents'",
        "function",
        "rag.leak(n integer)",
    ),
    "body": (
        "CREATE OR REPLACE FUNCTION rag.authenticate_key(hash bytea) "
        "RETURNS TABLE (name text, tenant_id text, scope text, permissions text[]) "
        "LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS "
        "'SELECT name, tenant_id, scope, permissions FROM rag.api_keys'",
        "function",
        "the body of rag.authenticate_key(hash bytea)",
    ),
    "search path": ("ALTER FUNCTION rag.authenticate_key(bytea) RESET search_path", "function", "search_path"),
    "call": ("GRANT EXECUTE ON FUNCTION rag.authenticate_key(bytea) TO PUBLIC", "function", "everybody may call"),
    "index": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'rag.document_shared'::regclass",
        "index",
        "rag.document_shared is invalid",
    ),
    "new table": (
        "CREATE TABLE rag.later (tenant_id text, scope text)",
        "fence",
        "rag.later is not enabled and not forced",
    ),
}


@pytest.fixture
def shared(tenant_db: Database) -> Database:
    config = CollectionConfig(dimensions=3, tenancy="multi")
    acme = tenant_db.collection("shared", config=config).for_tenant("acme")
    acme.add([Chunk(id="a", content="a", embedding=[1, 2, 3])])
    tenant_db.collection("Odd 'name'", config=config)
    return tenant_db


def findings(db: Database) -> list[Finding]:
    survey = db.run_admin(doctor.survey, atomic=False)
    return doctor.diagnose(survey, needed_revision=HEAD, audit=db.run(audit, atomic=True))


def test_a_sound_database_has_no_findings(shared: Database, database_url: str) -> None:
    assert findings(shared) == []
    with psycopg.connect(database_url) as conn:  # nor has one whose view and policy do no harm
        conn.execute("CREATE VIEW rag.v WITH (security_invoker) AS SELECT * FROM rag.documents")
        conn.execute("CREATE POLICY more ON rag.chunks_shared USING (true)")
    (finding,) = findings(shared)
    assert (finding.level, finding.check) == ("warning", "policy")


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_seen_and_mended_by_its_remedy(shared: Database, database_url: str, name: str) -> None:
    statement, check, said = BROKEN[name]
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(statement)
        first, *more = findings(shared)
        assert (first.level, first.check) == ("error", check)
        assert said in first.what
        assert first.why
        assert not more or name == "new table"
        for finding in (first, *more):
            assert re.match(r"run as (a superuser|the table's owner): ", finding.remedy)
            conn.execute(finding.remedy.split(": ", 1)[1].encode())
    assert findings(shared) == []


def test_a_changed_body_is_told_by_its_hash(shared: Database, database_url: str) -> None:
    text = read_sql("tenants.sql")
    start = text.index("CREATE OR REPLACE FUNCTION rag.authenticate_key")
    changed = text[start : text.index("$$;", start) + 2].replace("k.revoked_at IS NULL", "true")
    with psycopg.connect(database_url) as conn:
        conn.execute(changed.encode())
    assert [(f.level, f.check) for f in findings(shared)] == [("error", "function")]


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ALTER ROLE {} BYPASSRLS", "has BYPASSRLS"),
        ("ALTER ROLE {} SUPERUSER", "is a superuser"),
        ("GRANT rag_owner TO {}", "owns tenants' tables"),
    ],
)
def test_a_role_that_escapes(shared: Database, database_url: str, app_login: str, statement: str, said: str) -> None:
    login = sql.Identifier(app_login)
    with psycopg.connect(database_url, autocommit=True) as conn:
        try:
            conn.execute(sql.SQL(statement).format(login))
            (finding,) = findings(shared)
        finally:
            conn.execute(sql.SQL("ALTER ROLE {} NOSUPERUSER NOBYPASSRLS").format(login))
            conn.execute(sql.SQL("REVOKE rag_owner FROM {}").format(login))
    assert (finding.level, finding.check) == ("error", "role")
    assert said in finding.what
    assert "db grant --role" in finding.remedy
    assert findings(shared) == []


def test_roles_matter_only_where_there_are_tenants(database_url: str) -> None:
    with Database(database_url) as db:
        db.collection("plain", config=CollectionConfig(dimensions=3))
        assert findings(db) == []


def test_embeddings_and_rows_of_a_fenced_collection(shared: Database, database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute("UPDATE rag.chunks_shared SET embedding = NULL")
    (finding,) = findings(shared)
    assert (finding.level, finding.check, finding.collection) == ("warning", "embeddings", "shared")
    assert finding.what.startswith("1 of 1 ")
    # The application's role cannot count: it must say so, and not that there is nothing.
    hidden = doctor.diagnose(shared.run(doctor.survey), needed_revision=HEAD)
    assert [(f.level, f.check, f.collection) for f in hidden] == [
        ("warning", "rows", "Odd 'name'"),
        ("warning", "rows", "shared"),
    ]
