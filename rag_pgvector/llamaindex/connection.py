"""What LlamaIndex's users give to say where the database is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.conninfo import make_conninfo

from rag_pgvector.connect import normalise_url
from rag_pgvector.database import Database
from rag_pgvector.errors import ConfigError

__all__ = ["address", "database_of"]


def database_of(connection: Any, engine_options: Mapping[str, Any] | None = None) -> tuple[Database, bool]:
    """The database, and whether it was opened here and is to be closed.

    Args:
        connection: A URL, a ``Database``, a SQLAlchemy ``URL`` or engine (whose URL is used), or None for DATABASE_URL
            or the embedded server.
        engine_options: What SQLAlchemy's ``create_engine`` takes; the pool's size and time-out and the ``connect_args``
            that libpq knows are used.
    """
    if isinstance(connection, Database):
        return connection, False
    if connection is None and not engine_options:
        return Database(), True
    if hasattr(connection, "sync_engine") or hasattr(connection, "dialect"):
        return Database.from_engine(connection), True
    if hasattr(connection, "render_as_string"):
        connection = connection.render_as_string(hide_password=False)
    if not isinstance(connection, str):
        raise ConfigError(f"connection is {type(connection).__name__}: use a URL, a Database or a SQLAlchemy engine")
    if not engine_options:
        return Database(connection), True
    from sqlalchemy import create_engine, make_url

    url = make_url(normalise_url(connection)).set(drivername="postgresql+psycopg")
    options: dict[str, Any] = {}
    size, overflow = engine_options.get("pool_size", 5), engine_options.get("max_overflow", 10)
    if isinstance(size, int) and isinstance(overflow, int) and size > 0:
        options["pool_size"] = size + max(overflow, 0)
    if "pool_timeout" in engine_options:
        options["timeout"] = float(engine_options["pool_timeout"])
    return Database.from_engine(create_engine(url, **engine_options), **options), True


def address(parts: Mapping[str, Any]) -> str | None:
    """A conninfo of what is given of host, port, dbname, user and password; None where nothing is."""
    given = {name: str(value) for name, value in parts.items() if value is not None}
    return make_conninfo(**given) if given else None
