"""Databases of a module in both colours, and a multi-tenant one as an application sees it."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from rag_pgvector import Collection, CollectionConfig, Database, embedded, roles

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop for ``call``."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def db(module_database_url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Database]:
    """A database that the tests of one module share, for both colours."""
    db = Database(module_database_url)
    yield db
    loop.run_until_complete(db.aclose())


@pytest.fixture(scope="module")
def conn(module_database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A superuser's connection to the database that the tests of one module share."""
    with psycopg.connect(module_database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> Call:
    """``call(docs, "add", chunks)`` runs docs.add, or docs.aadd in a loop: a test of both colours."""

    def run(target: Any, method: str, *args: Any, **options: Any) -> Any:
        if request.param == "sync":
            return getattr(target, method)(*args, **options)
        return loop.run_until_complete(getattr(target, "a" + method)(*args, **options))

    return run


@pytest.fixture
def make(db: Database) -> Callable[..., Collection]:
    """Makes a new collection of three dimensions, or as told."""

    def make(embedder: Any = None, **config: Any) -> Collection:
        options = CollectionConfig(**{"dimensions": 3, **config})
        return db.collection(str(uuid.uuid4()), config=options, embedder=embedder)

    return make


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


@pytest.fixture
def parent() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="rag_pgvector_embedded_"))
    folder.chmod(0o755)
    yield folder
    for home in {path.parent for path in folder.rglob("running") if path.stat().st_uid == os.geteuid()}:
        embedded.stop(home)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server() -> Iterator[embedded.Server]:
    """A running server that no test stops."""
    home = Path(tempfile.mkdtemp(prefix="rag_pgvector_embedded_"))
    home.chmod(0o755)
    yield embedded.start(home)
    embedded.stop(home)
    shutil.rmtree(home)


@pytest.fixture
def docs(database_url: str) -> Iterator[Collection]:
    """An empty collection of 8 dimensions; a text's vector is drawn with its bytes as the seed."""

    def embed(texts: list[str]) -> list[Any]:
        return [np.random.default_rng(list(text.encode())).standard_normal(8) for text in texts]

    with Database(database_url) as db:
        yield db.collection("docs", config=CollectionConfig(dimensions=8), embedder=embed)
