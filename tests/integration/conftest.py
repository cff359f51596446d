"""A multi-tenant database as an application sees it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from rag_pgvector import Database, roles


@pytest.fixture(scope="session")
def app_login(server_url: str) -> Iterator[str]:
    """The name of a login for applications, dropped with the run. Roles are the whole server's, so it is unique."""
    name = f"rag_test_app_{uuid.uuid4().hex[:12]}"
    yield name
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


@pytest.fixture
def app_url(database_url: str, app_login: str) -> str:
    """The URL of a fresh database for a role that row-level security holds; ``database_url`` is the superuser's."""
    password = conninfo_to_dict(database_url).get("password")
    with Database(database_url) as admin:
        admin.run_admin(
            lambda: roles.grant_login(app_login, create=True, password=None if password is None else str(password))
        )
    return make_url(database_url).set(username=app_login).render_as_string(hide_password=False)


@pytest.fixture
def tenant_db(database_url: str, app_url: str) -> Iterator[Database]:
    """A database as an application's role, with the superuser's ``admin_url``; make multi-tenant collections in it."""
    with Database(app_url, admin_url=database_url) as db:
        yield db
