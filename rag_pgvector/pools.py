"""Connections: one synchronous psycopg pool and one asynchronous pool per running event loop, opened when needed."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from rag_pgvector import schema, vectors

__all__ = ["Pools"]

C = TypeVar("C", psycopg.Connection[Any], psycopg.AsyncConnection[Any])

#: A connection that lay idle for longer is asked whether it still lives; asking at every checkout costs 0.4 queries.
CHECK_AFTER_SECONDS = 30.0


class _Connection(psycopg.Connection[Any]):
    idle_since = 0.0


class _AsyncConnection(psycopg.AsyncConnection[Any]):
    idle_since = 0.0
    loop: asyncio.AbstractEventLoop | None = None


class Pools:
    """The pools of one database. A pool that the caller gave is used and never closed.

    Args:
        url: Called at the first opening.
        prepare: Whether statements may be prepared and settings outlive a transaction (not through PgBouncer).
        size: Most connections per pool.
        timeout: Seconds to wait for one.
    """

    def __init__(self, url: Callable[[], str], *, prepare: bool, size: int, timeout: float) -> None:
        self._url = url
        self._prepare = prepare
        self._size = size
        self._timeout = timeout
        self._lock = threading.Lock()
        self._pool: ConnectionPool[Any] | None = None
        self._async_pools: dict[asyncio.AbstractEventLoop, AsyncConnectionPool[Any]] = {}
        self._opening: dict[asyncio.AbstractEventLoop, asyncio.Lock] = {}
        self._closers: dict[asyncio.AbstractEventLoop, asyncio.Task[None]] = {}
        self._given_pool: ConnectionPool[Any] | None = None
        self._given_async_pool: AsyncConnectionPool[Any] | None = None
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        _alive.add(self)

    def __reduce__(self) -> str:
        raise TypeError("a Database holds connections, which cannot be pickled: make one where it is needed")

    def give(self, pool: ConnectionPool[Any] | None, async_pool: AsyncConnectionPool[Any] | None) -> None:
        """Use the caller's pools."""
        self._given_pool, self._given_async_pool = pool, async_pool

    @property
    def session_defaults(self) -> bool:
        """Whether every connection carries ``schema.SESSION_DEFAULTS``."""
        return self._prepare and self._given_pool is None and self._given_async_pool is None

    # ------------------------------------------------------------------------------------------------ synchronous

    @contextmanager
    def lease(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection for a while. Raises psycopg.Error, PoolTimeout."""
        pool, conn = self._get()
        try:
            yield conn
        except BaseException as error:
            _end_if_interrupted(conn, error)
            raise
        finally:
            if isinstance(conn, _Connection):
                conn.idle_since = time.monotonic()
            pool.putconn(conn)  # which closes it if the pool was closed meanwhile

    def _get(self) -> tuple[ConnectionPool[Any], psycopg.Connection[Any]]:
        pool: ConnectionPool[Any] = self._given_pool or self._pool or self._open()
        try:
            conn: psycopg.Connection[Any] = pool.getconn()
        except PoolTimeout:
            self._probe(self._url())  # tells a server that went away from a pool that is busy
            raise
        return pool, conn if self._given_pool is None else self._adopt(conn)

    def check(self) -> None:
        """Replace the connections that died: where one broke, the others may be as dead."""
        pool = self._given_pool or self._pool
        if pool is not None:
            pool.check()

    def _open(self) -> ConnectionPool[Any]:
        url = self._url()
        with self._lock:
            if self._pool is None:
                self._probe(url)
                pool: ConnectionPool[Any] = ConnectionPool(
                    url,
                    connection_class=_Connection,
                    min_size=0,
                    max_size=self._size,
                    timeout=self._timeout,
                    kwargs=self._connection_options(),
                    configure=self._configure,
                    check=_check,
                    open=False,
                    name=_NAMES[0],
                )
                pool.open()
                self._pool = pool
            return self._pool

    def _configure(self, conn: psycopg.Connection[Any]) -> None:
        if self._prepare:
            conn.execute(schema.SESSION_DEFAULTS)

    # ----------------------------------------------------------------------------------------------- asynchronous

    @asynccontextmanager
    async def alease(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """``lease`` from the running loop's pool."""
        pool, conn = await self._aget()
        try:
            yield conn
        except BaseException as error:
            _end_if_interrupted(conn, error)
            raise
        finally:
            if isinstance(conn, _AsyncConnection):
                conn.idle_since = time.monotonic()
            # Shielded: cancelled in here, a second time perhaps, the connection would be lost to the pool.
            await asyncio.shield(pool.putconn(conn))

    async def _aget(self) -> tuple[AsyncConnectionPool[Any], psycopg.AsyncConnection[Any]]:
        pool: AsyncConnectionPool[Any] | None
        pool = self._given_async_pool or self._async_pools.get(asyncio.get_running_loop())
        if pool is None:
            pool = await self._aopen()
        try:
            conn: psycopg.AsyncConnection[Any] = await pool.getconn()
        except PoolTimeout:
            await asyncio.to_thread(self._probe, self._url())
            raise
        return pool, conn if self._given_async_pool is None else self._adopt(conn)

    async def acheck(self) -> None:
        """``check`` for the running loop's pool."""
        pool = self._given_async_pool or self._async_pools.get(asyncio.get_running_loop())
        if pool is not None:
            await pool.check()

    async def _aopen(self) -> AsyncConnectionPool[Any]:
        loop = asyncio.get_running_loop()
        self._forget_closed_loops()
        async with self._opening.setdefault(loop, asyncio.Lock()):
            if (other := self._async_pools.get(loop)) is not None:  # another task of this loop was quicker
                return other
            url = await asyncio.to_thread(self._url)
            await asyncio.to_thread(self._probe, url)
            pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
                url,
                connection_class=_AsyncConnection,
                min_size=0,
                max_size=self._size,
                timeout=self._timeout,
                kwargs=self._connection_options(),
                configure=self._aconfigure,
                check=_acheck,
                open=False,
                name=_NAMES[1],
            )
            await pool.open()
            self._closers[loop] = loop.create_task(_close_when_cancelled(pool))
            self._async_pools[loop] = pool
            return pool

    async def _aconfigure(self, conn: psycopg.AsyncConnection[Any]) -> None:
        conn.loop = asyncio.get_running_loop()  # type: ignore[attr-defined]
        with self._lock:
            self._known.add(conn)
        if self._prepare:
            await conn.execute(schema.SESSION_DEFAULTS)

    def _forget_closed_loops(self) -> None:
        """Close what belonged to loops that ended under their pools: nobody can await them any more."""
        with self._lock:  # other threads' loops open theirs at the same moment
            for loop in [known for known in self._opening if known.is_closed()]:
                del self._opening[loop]
                self._async_pools.pop(loop, None)
                self._closers.pop(loop, None)
            for conn in list(self._known):
                made_on = getattr(conn, "loop", None)
                if made_on is not None and made_on.is_closed():
                    conn.pgconn.finish()

    # ----------------------------------------------------------------------------------------------------- common

    def _connection_options(self) -> dict[str, Any]:
        return {"autocommit": True, "prepare_threshold": 5 if self._prepare else None}

    def _probe(self, url: str) -> None:
        """One plain connection first: a pool tells why it cannot connect only in a log, after its time-out."""
        with psycopg.connect(url, connect_timeout=max(2, min(10, int(self._timeout)))):
            pass

    def _adopt(self, conn: C) -> C:
        """Connections made before this package was imported do not know its types yet."""
        if conn not in self._known:
            vectors.register(conn)
            with self._lock:
                self._known.add(conn)
        return conn

    def forget(self) -> None:
        """Let go, in a forked child, of the parent's connections: one would read the other's rows."""
        _inherited.append((self._pool, self._async_pools))  # kept, for their destructors are not for this process
        self._lock = threading.Lock()
        self._pool, self._async_pools = None, {}

    def close(self) -> None:
        """Close what was opened here. A pool of a loop that still runs needs ``aclose`` there."""
        with self._lock:
            pool, self._pool = self._pool, None
        self._forget_closed_loops()
        if pool is not None:
            pool.close()

    async def aclose(self) -> None:
        """Close what was opened here, the running loop's pool included."""
        loop = asyncio.get_running_loop()
        if self._async_pools.pop(loop, None) is not None:
            closer = self._closers.pop(loop)
            closer.cancel()
            await asyncio.wait([closer])
        await asyncio.to_thread(self.close)


async def _close_when_cancelled(pool: AsyncConnectionPool[Any]) -> None:
    """Close a pool when its loop ends: ``asyncio.run`` cancels all tasks and waits for them, but a worker of the pool
    that is just connecting swallows that, and nobody would tell it to stop (psycopg_pool 3.3)."""
    try:
        await asyncio.Event().wait()
    finally:
        await pool.close()


def _end_if_interrupted(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], error: BaseException) -> None:
    """End a connection whose work was cancelled, or interrupted from the keyboard: psycopg may leave it idle in
    pipeline mode, where a statement returns without its rows."""
    if not isinstance(error, Exception):
        conn.pgconn.finish()


_NAMES = ("rag_pgvector", "rag_pgvector_async")


def _only_inform(record: logging.LogRecord) -> bool:
    """Let psycopg's warnings about our own pools, several for one server that went away, and about what is left in a
    pipeline whose work failed or was cancelled, count as information: the error that the caller gets tells of it, and
    who set up no logging has them on the terminal beside it."""
    about = record.args[0] if isinstance(record.args, tuple) and record.args else None
    if isinstance(about, (psycopg.Pipeline, psycopg.AsyncPipeline)):
        about = about._conn
    if record.levelno == logging.WARNING and (about in _NAMES or isinstance(about, (_Connection, _AsyncConnection))):
        record.levelno, record.levelname = logging.INFO, "INFO"
        return logging.getLogger(record.name).isEnabledFor(logging.INFO)
    return True


for _name in ("psycopg", "psycopg.pool"):
    logging.getLogger(_name).addFilter(_only_inform)

_alive: weakref.WeakSet[Pools] = weakref.WeakSet()
_inherited: list[Any] = []


def _forget_all() -> None:
    for pools in list(_alive):
        pools.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def _check(conn: psycopg.Connection[Any]) -> None:
    if time.monotonic() - getattr(conn, "idle_since", 0.0) > CHECK_AFTER_SECONDS:
        ConnectionPool.check_connection(conn)


async def _acheck(conn: psycopg.AsyncConnection[Any]) -> None:
    if time.monotonic() - getattr(conn, "idle_since", 0.0) > CHECK_AFTER_SECONDS:
        await AsyncConnectionPool.check_connection(conn)
