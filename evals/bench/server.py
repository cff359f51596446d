"""Where a benchmark runs: an embedded server that is removed after it, databases and roles dropped at the end."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from rag_pgvector import Database
from rag_pgvector.schema import revision

__all__ = ["checkpoint", "database", "describe_server", "embedded_server", "kept_database", "role", "say"]


@contextmanager
def embedded_server(home: Path | None = None) -> Iterator[str]:
    """The superuser's URL of an embedded server: a new one, stopped and removed at the end, or that of ``home``, which
    is only stopped."""
    from rag_pgvector import embedded

    if home is not None:
        home.mkdir(mode=0o755, parents=True, exist_ok=True)
        try:
            yield embedded.start(home=home).url
        finally:
            embedded.stop(home=home)
        return
    with tempfile.TemporaryDirectory(prefix="rag_pgvector_bench_") as folder:
        home = Path(folder)
        home.chmod(0o755)  # as root the server runs as another user
        server = embedded.start(home=home)
        try:
            yield server.url
        finally:
            embedded.stop(home=home)


@contextmanager
def database(server: str, name: str) -> Iterator[str]:
    """The URL of a new database on the server, dropped at the end."""
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def kept_database(server: str, name: str, *, anew: bool) -> str:
    """The URL of a database that stays. ``anew``: whatever is there of that name is dropped first; else a schema of
    ours that an older version made is brought up to date."""
    if anew:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = make_url(server).set(database=name).render_as_string(hide_password=False)
    with Database(url) as db:
        if db.run(revision) is not None:
            db.upgrade()
    return url


@contextmanager
def role(server: str, name: str) -> Iterator[str]:
    """The name of a role that the benchmark makes, dropped at the end."""
    yield name
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def checkpoint(server: str) -> None:
    """Let nobody's writing be paid for by the next one's clock; needs pg_checkpoint's rights."""
    with psycopg.connect(server, autocommit=True) as conn, suppress(psycopg.errors.InsufficientPrivilege):
        conn.execute("CHECKPOINT")


def describe_server(url: str) -> dict[str, Any]:
    """The versions and the settings that a benchmark's numbers depend on."""
    with psycopg.connect(url) as conn:
        row = conn.execute(
            "SELECT current_setting('server_version'), current_setting('shared_buffers'), current_setting('fsync'), "
            "current_setting('synchronous_commit'), "
            "(SELECT default_version FROM pg_available_extensions WHERE name = 'vector')"
        ).fetchone()
    assert row is not None
    return dict(zip(("postgres", "shared_buffers", "fsync", "synchronous_commit", "pgvector"), row, strict=True))


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr)
