"""From what a LangChain program connects with to a Database."""

from __future__ import annotations

import atexit
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from rag_pgvector.database import Database
from rag_pgvector.errors import ConfigError
from rag_pgvector.langchain.engine import PGEngine

__all__ = ["database_of", "engine_of"]

#: One database, and so one pool, per address (and its options) in a process, whatever number of stores is made.
_by_url: dict[tuple[str, str], Database] = {}
_by_engine: weakref.WeakKeyDictionary[Any, Database] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def engine_of(connection: str | Engine | AsyncEngine, options: Mapping[str, Any], *, asynchronous: bool) -> Any:
    """The engine given, or a new one for a URL. Nothing is connected."""
    if not isinstance(connection, str):
        return connection
    return (create_async_engine if asynchronous else create_engine)(connection, **options)


def database_of(connection: Any, options: Mapping[str, Any] | None = None) -> Database:
    """A Database for a Database, a URL, an engine (whose URL is used, never its connections), or None (the settings').

    ``options`` are those of ``create_engine``. Raises ConfigError for an engine that makes its own connections.
    """
    if connection is None:
        return Database()
    if isinstance(connection, PGEngine):
        return connection.database
    if isinstance(connection, Database):
        return connection
    if isinstance(connection, URL):
        connection = connection.render_as_string(hide_password=False)
    theirs = getattr(connection, "_pool", None)  # langchain-postgres's PGEngine
    if isinstance(theirs, AsyncEngine):
        connection = theirs
    if isinstance(connection, str):
        key = (connection, repr(sorted((options or {}).items(), key=lambda item: item[0])))
        with _lock:
            if key not in _by_url:
                if options:
                    engine = create_engine(_synchronous(connection), **options)
                    _by_url[key] = Database.from_engine(engine, **_pool(engine))
                else:
                    _by_url[key] = Database(connection)
            return _by_url[key]
    if isinstance(connection, (Engine, AsyncEngine)):
        with _lock:
            if connection not in _by_engine:
                engine = connection.sync_engine if isinstance(connection, AsyncEngine) else connection
                db = Database.from_engine(connection, **_pool(engine))
                weakref.finalize(connection, db.close)
                _by_engine[connection] = db
            return _by_engine[connection]
    raise ConfigError(
        f"connection={type(connection).__name__}: give a URL, a SQLAlchemy Engine or AsyncEngine, a PGEngine, or a "
        "Database"
    )


def _synchronous(url: str) -> Any:
    """The URL for a driver that is installed: only its parts are used."""
    from sqlalchemy import make_url

    return make_url(url).set(drivername="postgresql+psycopg")


def _pool(engine: Engine) -> dict[str, Any]:
    """What of an engine's pool ours can keep: its size and its patience."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        return {}
    overflow = max(0, pool._max_overflow)
    return {"pool_size": max(1, pool.size() + overflow), "timeout": float(pool.timeout())}


@atexit.register
def _close() -> None:
    for db in [*_by_url.values(), *_by_engine.values()]:
        db.close()
