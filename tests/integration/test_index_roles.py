"""The vector index of a multi-tenant collection, built by an administrator whom row-level security holds."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import make_url

from rag_pgvector import Chunk, CollectionConfig, Database
from rag_pgvector.fence import OWNER


@pytest.fixture
def owner_url(database_url: str) -> Iterator[str]:
    """The URL of a member of rag_owner, who is neither a superuser nor has BYPASSRLS."""
    role = f"rag_test_owner_{uuid.uuid4().hex[:8]}"
    password = make_url(database_url).password
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        if password is not None:
            conn.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(str(password))))
        yield make_conninfo(database_url, user=role)
        conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def test_rows_are_counted_whoever_asks(database_url: str, app_url: str, owner_url: str) -> None:
    config = CollectionConfig(dimensions=3, tenancy="multi")
    with Database(app_url, admin_url=database_url) as db:
        shared = db.collection("shared", config=config)
        for tenant in ("acme", "bolt"):
            shared.for_tenant(tenant).add([Chunk(id=f"{i}", content="x", embedding=[1, i, 0]) for i in range(30)])
    with psycopg.connect(database_url, autocommit=True) as conn:
        member = sql.Identifier(str(conninfo_to_dict(owner_url)["user"]))
        conn.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(OWNER), member))
        conn.execute(sql.SQL("GRANT SELECT, UPDATE ON rag.collections TO {}").format(member))
    with psycopg.connect(owner_url) as held:
        assert held.execute("SELECT count(*) FROM rag.chunks_shared").fetchone() == (0,)
    with Database(app_url, admin_url=owner_url) as db:
        shared = db.collection("shared")
        report = shared.build_index(min_rows=61)
        assert (report.state, report.reason.split()[0]) == ("not_needed", "few")
        assert shared.build_index(min_rows=60).reason == "built"
        assert len(shared.for_tenant("acme").search(vector=[1, 2, 0], k=60)) == 30
