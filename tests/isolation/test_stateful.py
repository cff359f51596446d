"""Random operations of several tenants: nobody ever sees what is another's, in a result, an error or a log."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from rag_pgvector import Collection, Database, convert, ingest, keys, tenants, transfer
from tests.isolation.conftest import mutate
from tests.isolation.model import Colour, Isolation, prove
from tests.isolation.pooler import pgbouncer
from tests.isolation.search_rules import SearchRules
from tests.isolation.world import Logs, World, opened

LONG = bool(os.environ.get("RAG_PGVECTOR_LONG"))
OPERATIONS = 5_000 if LONG else int(os.environ.get("RAG_PGVECTOR_OPERATIONS", "300"))

#: Public names that reach no row of a tenant, or whose tests are elsewhere.
EXEMPT = {
    "Collection": {
        "name": "the collection's",
        "id": "the collection's",
        "config": "the collection's",
        "database": "where it lies; test_locks shows that it leads to no row",
        "tenant": "the caller's own",
        "scope": "the caller's own",
        "embedder": "the caller's own",
        "add_pandas": "add() of chunks made from its argument",
        "plot_map": "a picture of what clusters() reads, in the same way",
        "explain_search": "how a search runs, not what it finds; bound to a tenant like one (test_locks)",
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
        "admin_is_pooled": "compares process ids",
        "is_local": "a flag",
        "as_application": "picks the role; test_embedded_tenants",
        "search_costs": "what searching costs on this machine",
        "tune": "an administrator's",
        "session_defaults": "a flag",
        "from_engine": "makes a Database",
        "from_pools": "makes a Database; test_attacks",
        "close": "closes",
        "aclose": "closes",
    },
    "transfer": dict.fromkeys(("import_rows", "import_tenant"), "the model draws one of them"),
    "tenants": {"require_unfenced": "a check of the administrator's role"},
    "convert": dict.fromkeys(("convert", "convert_to_multi"), "an administrator's, of rows that are one tenant's"),
    "ingest": dict.fromkeys(
        ("chunk_document", "estimate_tokens", "load", "loader_for", "register_loader", "token_count"), "no database"
    ),
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
    assert done.total() >= OPERATIONS
    assert len(done) > 15, "random operations are of many kinds"
    print(f"{done.total()} operations, {logs.records} log records, no foreign canary")


@pytest.mark.timeout(1800 if LONG else 300)
@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_random_operations_through_pgbouncer(database_url: str, app_login: str, logs: Logs, asynchronous: bool) -> None:
    colour = Colour(asynchronous=asynchronous)
    with pgbouncer(database_url, app_login) as through:
        with opened(database_url, app_login, through=through, prepare=False) as world, closing(colour, world):
            done = prove(mutate(world), colour, logs, operations=OPERATIONS)
    assert done.total() >= OPERATIONS
    assert len(done) > 15, "random operations are of many kinds"
    print(f"{done.total()} operations through PgBouncer, no foreign canary")


def called() -> set[str]:
    """The names that the model calls, read from its source."""
    source = "".join(map(inspect.getsource, (Isolation, SearchRules, World)))
    return set(re.findall(r'(?:call\([\w.]+|do\(\w+), "(\w+)"', source)) | {
        *re.findall(r'call\(who, "\w+" if \w+ else "(\w+)"', source),
        *re.findall(r"collection\.(for_tenant)\(", source),
    }


@pytest.mark.parametrize("kind", [Collection, Database])
def test_every_public_method_is_in_the_model(kind: type) -> None:
    public = {name for name in dir(kind) if not name.startswith("_")}
    names = public - {"a" + name for name in public}
    exempt = EXEMPT[kind.__name__].keys()
    assert names - called() - exempt == set(), "give the model a rule for it, or say here why it needs none"
    assert exempt <= public


@pytest.mark.parametrize("module", [tenants, keys, transfer, convert, ingest])
def test_every_public_function_is_in_the_model(module: ModuleType) -> None:
    public = {name for name in module.__all__ if inspect.isfunction(getattr(module, name))}
    names = public - {"a" + name for name in public}
    exempt = EXEMPT.get(module.__name__.rpartition(".")[2], {}).keys()
    assert names - called() - exempt == set(), "give the model a rule for it, or say here why it needs none"
    assert exempt <= public
