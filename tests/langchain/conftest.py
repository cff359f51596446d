"""Databases for the tests of LangChain's front door."""

from collections.abc import Iterator

import pytest

from rag_pgvector import Database
from rag_pgvector.langchain import PGEngine, PGVectorStore
from tests.integration.conftest import app_login, app_url, tenant_db
from tests.langchain.stores import Angles, table

__all__ = ["app_login", "app_url", "engine", "store", "tenant_db"]


@pytest.fixture
def engine(empty_database: str) -> Iterator[PGEngine]:
    """An engine on a database without any table of ours."""
    engine = PGEngine.from_connection_string(empty_database)
    yield engine
    engine.close_sync()


@pytest.fixture(params=["collection", "table"])
def store(request: pytest.FixtureRequest) -> Iterator[PGVectorStore]:
    """An empty store of ``Angles`` on either layout; on a table, ids are text and JSON has the metadata."""
    if request.param == "table":
        engine = request.getfixturevalue("engine")
        from rag_pgvector.langchain import Column

        yield table(engine, id_column=Column("langchain_id", "TEXT", nullable=False))
        return
    with Database(request.getfixturevalue("database_url")) as db:
        yield PGVectorStore(Angles(), collection="docs", connection=db)
