"""A fresh database per test, cloned from a template that holds rag_pgvector's schema.

The server is RAG_PGVECTOR_TEST_DSN, or an embedded one that this run starts in a folder of its own and stops.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

os.environ.setdefault("HF_HUB_OFFLINE", "1")
for name in ("DATABASE_URL", "ADMIN_DATABASE_URL"):
    os.environ.pop(name, None)


#: Skips that CI expects; any other one there fails the run, so that a proof cannot quietly stop running.
EXPECTED_SKIPS = ("long proof",)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not os.environ.get("CI"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:
        return
    reasons = {str(report.longrepr[2]) for report in reporter.stats.get("skipped", []) if report.longrepr}
    unexpected = sorted(reason for reason in reasons if not any(known in reason for known in EXPECTED_SKIPS))
    if unexpected:
        reporter.write_line(f"CI does not expect these skips: {unexpected}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The research data, or a skip that says where it was looked for."""
    root = Path(os.environ.get("RAG_PGVECTOR_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"the research data is not in {root} (set RAG_PGVECTOR_DATA)")
    return root


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a superuser's database on the test server."""
    if dsn := os.environ.get("RAG_PGVECTOR_TEST_DSN"):
        try:
            psycopg.connect(dsn, connect_timeout=5).close()
        except psycopg.OperationalError as error:
            pytest.exit(f"RAG_PGVECTOR_TEST_DSN does not answer: {error}", returncode=3)
        yield dsn
        return
    from rag_pgvector import embedded

    home = Path(tempfile.mkdtemp(prefix="rag_pgvector_test_"))
    home.chmod(0o755)
    server = embedded.start(home=home)
    with psycopg.connect(server.url, autocommit=True) as admin:  # nothing here survives the machine anyway
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            admin.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        admin.execute("SELECT pg_reload_conf()")
    try:
        yield server.url
    finally:
        embedded.stop(home=home)
        shutil.rmtree(home, ignore_errors=True)


def with_database(url: str, name: str) -> str:
    """The same server and user, another database."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a database with the extension and the schema in it."""
    from rag_pgvector import Database

    name = f"rag_template_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        with Database(with_database(server_url, name)) as db:
            db.upgrade()
        yield name
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def empty_database(server_url: str) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    yield from _fresh(server_url, "template1")


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """The URL of a database of this test's own, schema included."""
    yield from _fresh(server_url, template)


@pytest.fixture(scope="module")
def module_database_url(server_url: str, template: str) -> Iterator[str]:
    """The URL of a database that the tests of one module share, schema included."""
    yield from _fresh(server_url, template)


def _fresh(server_url: str, template: str) -> Iterator[str]:
    name = f"rag_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template)))
        yield with_database(server_url, name)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
