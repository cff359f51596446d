"""API keys: shown once, stored as hashes, worth only what they list."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from rag_pgvector import Database, keys
from rag_pgvector.errors import AccessDeniedError, ConfigError, TenantError

SOON = timedelta(hours=1)


def test_a_key_stands_for_its_tenant_scope_and_permissions(tenant_db: Database) -> None:
    made = keys.create_key(tenant_db, "nightly", "acme", scope="audit", permissions=["data.ingest"])
    assert made.secret.startswith("rag_")
    assert made.secret not in repr(made)
    principal = keys.authenticate(tenant_db, made.secret)
    assert (principal.name, principal.tenant, principal.scope) == ("nightly", "acme", "audit")
    principal.require("data.ingest")
    for permission in set(keys.PERMISSIONS) - {"data.ingest"}:  # none implies another
        with pytest.raises(AccessDeniedError, match=permission):
            principal.require(permission)
    whole = keys.create_key(tenant_db, "all", "acme", permissions=keys.PERMISSIONS)
    assert keys.authenticate(tenant_db, whole.secret).scope is None


async def test_asynchronous(tenant_db: Database) -> None:
    made = keys.create_key(tenant_db, "web", "acme", permissions=["data.vector_search"])
    assert (await keys.aauthenticate(tenant_db, made.secret)).tenant == "acme"
    with pytest.raises(AccessDeniedError):
        await keys.aauthenticate(tenant_db, made.secret.swapcase())
    await tenant_db.aclose()


def test_unknown_expired_and_revoked_keys_are_told_the_same(tenant_db: Database, database_url: str) -> None:
    expired, revoked, valid = (
        keys.create_key(
            tenant_db, name, "acme", permissions=["data.ingest"], expires_at=datetime.now(timezone.utc) + SOON
        )
        for name in ("expired", "revoked", "valid")
    )
    with psycopg.connect(database_url) as conn:
        conn.execute("UPDATE rag.api_keys SET expires_at = now() - interval '1 second' WHERE id = %s", (expired.id,))
    assert keys.revoke_key(tenant_db, revoked.id).state == "revoked"
    keys.authenticate(tenant_db, valid.secret)
    other_last = valid.secret[:-1] + ("A" if valid.secret[-1] != "A" else "B")
    wrong = (
        "",
        " ",
        "rag_",
        "rag_" + "x" * 43,
        valid.secret + " ",
        valid.secret[:-1],
        other_last,
        "rag_" + "\ud800" * 43,
    )
    messages = set()
    for secret in (expired.secret, revoked.secret, *wrong):
        with pytest.raises(AccessDeniedError) as refused:
            keys.authenticate(tenant_db, secret)
        messages.add(str(refused.value))
    assert len(messages) == 1
    assert [(info.name, info.state) for info in keys.list_keys(tenant_db)] == [
        ("expired", "expired"),
        ("revoked", "revoked"),
        ("valid", "valid"),
    ]


def test_the_database_holds_no_secret_and_the_application_reads_no_key(
    tenant_db: Database, database_url: str, app_url: str
) -> None:
    made = keys.create_key(tenant_db, "a", "acme", permissions=["data.ingest"])
    keys.create_key(tenant_db, "b", "bolt", permissions=["data.ingest"])
    with psycopg.connect(database_url) as conn:
        stored = conn.execute("SELECT k::text FROM rag.api_keys k").fetchall()
    assert made.secret not in str(stored)
    assert made.secret not in str(keys.list_keys(tenant_db))
    assert [info.tenant for info in keys.list_keys(tenant_db, "bolt")] == ["bolt"]
    with psycopg.connect(app_url, autocommit=True) as conn:
        for statement in ("SELECT * FROM rag.api_keys", "UPDATE rag.api_keys SET tenant_id = 'bolt'"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(statement)


def test_what_cannot_be_a_key(tenant_db: Database) -> None:
    past = datetime.now(timezone.utc) - SOON
    with pytest.raises(ConfigError, match=r"'data\.all'"):
        keys.create_key(tenant_db, "a", "acme", permissions=["data.ingest", "data.all"])
    with pytest.raises(ConfigError, match="permissions"):
        keys.create_key(tenant_db, "a", "acme", permissions=[])
    with pytest.raises(ConfigError, match="key name"):
        keys.create_key(tenant_db, "a\nb", "acme", permissions=["data.ingest"])
    for when in (past, (datetime.now() + SOON)):
        with pytest.raises(ConfigError, match="time zone"):
            keys.create_key(tenant_db, "a", "acme", permissions=["data.ingest"], expires_at=when)
    for tenant in ("", "*", "a b", "acme\n"):
        with pytest.raises(TenantError):
            keys.create_key(tenant_db, "a", tenant, permissions=["data.ingest"])
    with pytest.raises(TenantError, match="scope"):
        keys.create_key(tenant_db, "a", "acme", scope="", permissions=["data.ingest"])
    with pytest.raises(ConfigError, match="there is no key 4711"):
        keys.revoke_key(tenant_db, 4711)
    assert keys.list_keys(tenant_db) == []
