"""Random operations of several tenants: nobody ever sees what is another's, in a result, an error or a log."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rag_pgvector import Collection, Database
from tests.isolation.conftest import mutate
from tests.isolation.model import Colour, Isolation, prove
from tests.isolation.pooler import pgbouncer
from tests.isolation.world import Logs, World, opened

LONG = bool(os.environ.get("RAG_PGVECTOR_LONG"))
OPERATIONS = 5_000 if LONG else int(os.environ.get("RAG_PGVECTOR_OPERATIONS", "300"))

#: Public names that reach no row of a tenant, or whose tests are elsewhere.
EXEMPT = {
    "Collection": {
        "name": "the collection's",
        "config": "the collection's",
        "database": "where it lies; test_locks shows that it leads to no row",
        "tenant": "the caller's own",
        "scope": "the caller's own",
        "embedder": "the caller's own",
    },
    "Database": {
        "run": "runs the plan it is given: the door of our own code, which the fence holds (test_locks)",
        "arun": "as run",
        "run_admin": "an administrator's",
        "upgrade": "an administrator's",
        "ensure_schema": "reads one number",
        "url": "the address",
        "admin_url": "the address",
        "admin_is_separate": "compares addresses",
        "as_application": "picks the role; test_embedded_tenants",
        "session_defaults": "a flag",
        "from_engine": "makes a Database",
        "from_pools": "makes a Database; test_attacks",
        "close": "closes",
        "aclose": "closes",
    },
}


@contextmanager
def closing(colour: Colour, world: World) -> Iterator[None]:
    try:
        yield
    finally:
        colour.close(world)


@pytest.mark.timeout(1800 if LONG else 300)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_random_operations_show_nobody_elses_rows(narrow: World, logs: Logs, asynchronous: bool) -> None:
    colour = Colour(asynchronous=asynchronous)
    with closing(colour, narrow):
        done = prove(narrow, colour, logs, operations=OPERATIONS)
    assert done >= OPERATIONS
    print(f"{done} operations, {logs.records} log records, no foreign canary")


@pytest.mark.timeout(1800 if LONG else 300)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_random_operations_through_pgbouncer(
    database_url: str, app_login: str, logs: Logs, asynchronous: bool
) -> None:
    colour = Colour(asynchronous=asynchronous)
    with pgbouncer(database_url, app_login) as through:
        with opened(database_url, app_login, through=through, prepare=False) as world, closing(colour, world):
            done = prove(mutate(world), colour, logs, operations=OPERATIONS)
    assert done >= OPERATIONS
    print(f"{done} operations through PgBouncer, no foreign canary")


@pytest.mark.parametrize("kind", [Collection, Database])
def test_every_public_method_is_in_the_model(kind: type) -> None:
    public = {name for name in dir(kind) if not name.startswith("_")}
    names = public - {"a" + name for name in public}
    source = inspect.getsource(Isolation) + inspect.getsource(World)
    called = set(re.findall(r'call\([\w.]+, "(\w+)"', source)) | set(re.findall(r"collection\.(for_tenant)\(", source))
    assert names - called == EXEMPT[kind.__name__].keys() & names - called
    assert EXEMPT[kind.__name__].keys() <= public
