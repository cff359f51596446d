"""Stores of LlamaIndex in every place that they can stand on, in both colours."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from rag_pgvector import CollectionConfig, Database, roles
from rag_pgvector.llamaindex import PGVectorStore

Make = Callable[..., PGVectorStore]
Call = Callable[..., Any]

#: A collection, one tenant of a collection, and the peer's table as it is by default and as it can be.
PLACES = ("collection", "tenant", "json", "jsonb")


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def db(module_database_url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Database]:
    """A database that the tests of one module share."""
    db = Database(module_database_url)
    yield db
    loop.run_until_complete(db.aclose())


@pytest.fixture(scope="module")
def tenant_db(module_database_url: str, server_url: str, loop: asyncio.AbstractEventLoop) -> Iterator[Database]:
    """The same as a role that row-level security holds."""
    login = f"rag_llama_{uuid.uuid4().hex[:12]}"
    password = conninfo_to_dict(module_database_url).get("password")
    with Database(module_database_url) as admin:
        admin.run_admin(
            lambda: roles.grant_login(login, create=True, password=None if password is None else str(password))
        )
    url = make_url(module_database_url).set(username=login).render_as_string(hide_password=False)
    db = Database(url, admin_url=module_database_url)
    yield db
    loop.run_until_complete(db.aclose())
    with psycopg.connect(module_database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(login)))
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(login)))


@pytest.fixture(scope="module")
def make(db: Database, tenant_db: Database) -> Make:
    """Makes an empty store in a place; of two dimensions, or as told."""

    def make(place: str, *, dimensions: int = 2, distance: str = "cosine", **options: Any) -> PGVectorStore:
        name = uuid.uuid4().hex
        if place in ("collection", "tenant"):
            tenancy: Any = "multi" if place == "tenant" else "single"
            config = CollectionConfig(dimensions=dimensions, tenancy=tenancy, distance=distance)  # type: ignore[arg-type]
            return PGVectorStore(
                collection=name,
                connection=tenant_db if place == "tenant" else db,
                tenant="acme" if place == "tenant" else None,
                config=config,
                **options,
            )
        method = {"cosine": "cosine_ops", "l2": "l2_ops", "inner_product": "ip_ops"}[distance]
        storage = "halfvec" if place == "jsonb" else "vector"
        index = {"hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_dist_method": f"{storage}_{method}"}
        return PGVectorStore(
            connection=db,
            table_name=name,
            embed_dim=dimensions,
            hybrid_search=place == "jsonb",
            use_jsonb=place == "jsonb",
            use_halfvec=place == "jsonb",
            hnsw_kwargs=None if distance == "cosine" and place == "json" else index,
            **options,
        )

    return make


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(make: Make, place: str) -> PGVectorStore:
    """An empty store in each place."""
    return make(place)


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> Call:
    """``call(store, "add", nodes)`` runs store.add, or store.async_add in a loop: a test of both colours."""

    def run(target: Any, method: str, *args: Any, **options: Any) -> Any:
        if request.param == "sync":
            return getattr(target, method)(*args, **options)
        twin = "async_add" if method == "add" else f"a{method}"
        return loop.run_until_complete(getattr(target, twin)(*args, **options))

    return run
