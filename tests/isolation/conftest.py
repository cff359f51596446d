"""Worlds for the isolation tests. RAG_PGVECTOR_MUTANT takes one defence away, for scripts/prove_isolation.py."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from tests.isolation.mutants import MUTANTS
from tests.isolation.world import Logs, World, opened

MUTANT = MUTANTS[os.environ["RAG_PGVECTOR_MUTANT"]] if os.environ.get("RAG_PGVECTOR_MUTANT") else None


@pytest.fixture(autouse=True)
def _mutated(monkeypatch: pytest.MonkeyPatch) -> None:
    if MUTANT is not None and MUTANT.patch is not None:
        MUTANT.patch(monkeypatch)


@pytest.fixture(scope="session")
def app_login(server_url: str) -> Iterator[str]:
    """The name of a role that applications of this run log in as; made when a world is opened."""
    name = f"rag_isolation_{uuid.uuid4().hex[:12]}"
    yield name
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def mutate(world: World) -> World:
    """Take from an opened world what the mutant takes from the database."""
    for statement in MUTANT.ddl if MUTANT is not None else ():
        world.admin(statement)
    return world


@pytest.fixture
def world(database_url: str, app_login: str) -> Iterator[World]:
    with opened(database_url, app_login) as world:
        yield mutate(world)


@pytest.fixture
def narrow(database_url: str, app_login: str) -> Iterator[World]:
    """A world with one connection for everybody."""
    with opened(database_url, app_login, pool_size=1) as world:
        yield mutate(world)


@pytest.fixture
def logs() -> Iterator[Logs]:
    """All logging of the test at DEBUG; fails it if a stored text was logged."""
    trap, root = Logs(), logging.getLogger()
    level = root.level
    loud = [logging.getLogger(name) for name in ("psycopg", "psycopg.pool", "rag_pgvector")]
    levels = [logger.level for logger in loud]
    root.addHandler(trap)
    for logger in (root, *loud):
        logger.setLevel(logging.DEBUG)
    try:
        yield trap
    finally:
        root.removeHandler(trap)
        root.setLevel(level)
        for logger, was in zip(loud, levels, strict=True):
            logger.setLevel(was)
    assert trap.marked == []
