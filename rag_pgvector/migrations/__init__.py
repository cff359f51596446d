"""Alembic migrations of the control tables and SQL functions. Run by ``Database.upgrade``; printed by ``db sql``."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

__all__ = ["HEAD", "offline_sql", "transaction", "upgrade"]


def _config(**attributes: Any) -> Config:
    config = Config(output_buffer=io.StringIO())
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes.update(attributes)
    return config


HEAD = ScriptDirectory.from_config(_config()).get_current_head() or ""
"""The newest revision that this package knows."""


@contextmanager
def transaction(conninfo: str) -> Iterator[Connection]:
    """A SQLAlchemy connection in one transaction, alone among those that upgrade."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo, prepare_threshold=None), poolclass=NullPool
    )
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('rag_pgvector', 0))"))
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS rag"))
        yield connection


def upgrade(connection: Connection) -> None:
    """Bring the schema to ``HEAD`` inside the caller's transaction."""
    command.upgrade(_config(connection=connection), "head")


def offline_sql() -> str:
    """Every migration as plain SQL, for a DBA to read and run."""
    buffer = io.StringIO()
    command.upgrade(_config(output_buffer=buffer), "head", sql=True)
    return buffer.getvalue()
