"""The connection to Postgres and the only two drivers of plans: ``run`` and ``arun``. The only file that does I/O."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import PoolTimeout

from rag_pgvector import connect, planner, roles, schema
from rag_pgvector.config import CollectionConfig
from rag_pgvector.drivers import adrive, drive
from rag_pgvector.errors import ConfigError, ConnectionFailedError, DatabaseError, SchemaError
from rag_pgvector.plan import Plan
from rag_pgvector.pools import Pools

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool, ConnectionPool
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

    from rag_pgvector.collection import Collection

__all__ = ["Database"]

logger = logging.getLogger("rag_pgvector")

T = TypeVar("T")

#: The application's login on the embedded server.
EMBEDDED_LOGIN = "rag_application"


class Database:
    """A Postgres with pgvector, and the collections in it.

    Args:
        url: ``postgresql://user:password@host:port/name`` (SQLAlchemy's ``postgresql+psycopg://`` too) or a libpq
            conninfo. ``None`` takes ``DATABASE_URL`` (also ``DATABASE_URL_FILE`` and ``rag.yaml``), and where that is
            absent the embedded server, which is started.
        admin_url: A role for DDL (tables, indexes, upgrades) where the application's may not; ``None`` takes
            ``ADMIN_DATABASE_URL``, else DDL runs with the application's role.
        prepare: False for PgBouncer in transaction mode: nothing is prepared and no setting outlives a statement.
        pool_size: Most connections per pool. One synchronous pool, and one asynchronous pool per event loop, each
            opened at first use.
        timeout: Seconds to wait for a connection.

    Nothing is connected until it is needed. Errors are those of ``rag_pgvector.errors``, with SQLSTATE and cause.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        admin_url: str | None = None,
        prepare: bool = True,
        pool_size: int = 8,
        timeout: float = 30.0,
    ) -> None:
        if type(pool_size) is not int or pool_size < 1:
            raise ConfigError(f"pool_size={pool_size!r}: use a whole number from 1")
        self._url = connect.normalise_url(url) if url is not None else None
        self._admin_url = connect.normalise_url(admin_url) if admin_url is not None else None
        self._pools = Pools(lambda: self.url, prepare=prepare, size=pool_size, timeout=timeout)
        self._lock = threading.Lock()
        self._is_embedded = self._is_configured = False
        self._application: Database | None = None
        self._schema_checked = False
        self._costs: planner.CostModel | None = None

    @classmethod
    def from_engine(cls, engine: Engine | AsyncEngine, **options: Any) -> Database:
        """A database where the engine's URL and ``connect_args`` lead, with pools of its own.

        The engine is neither used nor closed.

        Raises ConfigError for an engine that makes its connections itself (``creator=``, a ``do_connect`` listener):
        its URL does not say how to connect. Takes the options of ``Database``.
        """
        sync_engine: Any = getattr(engine, "sync_engine", engine)
        creator: Any = getattr(sync_engine.pool, "_creator", None)
        if getattr(creator, "__module__", "") != "sqlalchemy.engine.create" or len(
            sync_engine.dialect.dispatch.do_connect
        ):
            raise ConfigError(
                "the engine makes its own connections (creator= or do_connect): pass a URL or from_pools()"
            )
        url = connect.normalise_url(sync_engine.url.render_as_string(hide_password=False))
        # What create_engine made of the URL and connect_args= is kept in this function only.
        parameters = inspect.getclosurevars(creator).nonlocals.get("cparams", {})
        return cls(make_conninfo(url, **connect.libpq_options(parameters)), **options)

    @classmethod
    def from_pools(
        cls,
        pool: ConnectionPool[Any] | None = None,
        async_pool: AsyncConnectionPool[Any] | None = None,
        *,
        admin_url: str | None = None,
        prepare: bool = True,
    ) -> Database:
        """A database over the caller's psycopg pools, which it never closes.

        ``async_pool`` belongs to the event loop that opened it. A colour that is not given gets a pool of our own at
        the same address.
        """
        given: Any = pool or async_pool
        if given is None:
            raise ConfigError("from_pools() needs pool= or async_pool=")
        conninfo = given.conninfo() if callable(given.conninfo) else given.conninfo
        kwargs = given.kwargs() if callable(given.kwargs) else given.kwargs or {}
        db = cls(make_conninfo(conninfo, **connect.libpq_options(kwargs)), admin_url=admin_url, prepare=prepare)
        db._pools.give(pool, async_pool)
        return db

    def __repr__(self) -> str:
        return f"Database({connect.describe(self._url) if self._url else 'not connected yet'!r})"

    # ------------------------------------------------------------------------------------------------- addresses

    @property
    def url(self) -> str:
        """A URL (or conninfo) that any Postgres client accepts. It may hold a password."""
        if self._url is None:
            with self._lock:
                if self._url is None:
                    from rag_pgvector.settings import load_settings

                    settings = load_settings()
                    if settings.database_url is not None:
                        self._url = connect.normalise_url(settings.database_url.get_secret_value())
                        self._is_configured = True
                    else:
                        from rag_pgvector import embedded

                        self._url = embedded.start().url
                        self._is_embedded = True
        return self._url

    @property
    def admin_url(self) -> str:
        """Where DDL runs: ``admin_url``, else ADMIN_DATABASE_URL if it names the same database, else ``url``."""
        if self._admin_url is None:
            from rag_pgvector.settings import load_settings

            self._admin_url = url = self.url
            secret = load_settings().admin_database_url
            if secret is not None:
                admin = connect.normalise_url(secret.get_secret_value())
                # DATABASE_URL may name a pooler before the server.
                if connect.same_database(admin, url, pooled=self._is_configured):
                    self._admin_url = admin
                else:
                    logger.warning(
                        "ADMIN_DATABASE_URL (%s) is not used: the database is %s",
                        connect.describe(admin),
                        connect.describe(url),
                    )
        return self._admin_url

    def close(self) -> None:
        """Close the pools that this object opened. One of a loop that still runs needs ``aclose`` there."""
        self._pools.close()
        if self._application is not None:
            self._application.close()

    async def aclose(self) -> None:
        """Close the pools that this object opened, the running loop's included."""
        await self._pools.aclose()
        if self._application is not None:
            await self._application.aclose()

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Database:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    # --------------------------------------------------------------------------------------------------- drivers

    @property
    def session_defaults(self) -> bool:
        """Whether every connection carries ``schema.SESSION_DEFAULTS``; if not, a search sets them for itself."""
        return self._pools.session_defaults

    def run(self, make_plan: Callable[[], Plan[T]], *, atomic: bool = False, retry: bool = False) -> T:
        """Run a plan and return its result.

        Args:
            make_plan: Makes the plan; called again for each attempt.
            atomic: All steps in one transaction.
            retry: The plan is idempotent: run it once more on a fresh connection if the first one breaks.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                with self._pools.lease() as conn:
                    if not atomic and conn.autocommit:
                        return drive(conn, make_plan())
                    with conn.transaction():
                        return drive(conn, make_plan())
            except (psycopg.Error, PoolTimeout) as error:
                if not connect.may_retry(error, attempt, atomic=atomic, retry=retry):
                    raise connect.translate(error, self.url) from error
                if connect.is_lost(error):
                    self._pools.check()

    async def arun(self, make_plan: Callable[[], Plan[T]], *, atomic: bool = False, retry: bool = False) -> T:
        """``run`` for asynchronous callers."""
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._pools.alease() as conn:
                    if not atomic and conn.autocommit:
                        return await adrive(conn, make_plan())
                    async with conn.transaction():
                        return await adrive(conn, make_plan())
            except (psycopg.Error, PoolTimeout) as error:
                if not connect.may_retry(error, attempt, atomic=atomic, retry=retry):
                    raise connect.translate(error, self.url) from error
                if connect.is_lost(error):
                    await self._pools.acheck()

    def run_admin(self, make_plan: Callable[[], Plan[T]], *, atomic: bool = True) -> T:
        """Run DDL, on a connection of its own at ``admin_url``."""
        try:
            # Nothing is prepared: it may be PgBouncer's address.
            with psycopg.connect(self.admin_url, autocommit=True, prepare_threshold=None) as conn:
                if not atomic:
                    return drive(conn, make_plan())
                with conn.transaction():
                    return drive(conn, make_plan())
        except psycopg.Error as error:
            raise connect.translate(error, self.admin_url) from error

    def as_application(self) -> Database:
        """This database as a role that row-level security holds: on the embedded server, whose own user is a superuser,
        a login of the application; elsewhere the database as it is."""
        if not self._is_embedded:
            return self
        with self._lock:
            if self._application is None:
                password = str(conninfo_to_dict(self.url)["password"])
                self.run_admin(lambda: roles.grant_login(EMBEDDED_LOGIN, create=True, password=password))
                url = connect.normalise_url(make_conninfo(self.url, user=EMBEDDED_LOGIN))
                self._application = Database(url, admin_url=self.url)
                self._application._schema_checked = True
            return self._application

    def admin_is_pooled(self) -> bool:
        """Whether a pooler stands between ``admin_url`` and the server: it tells a process id of its own making."""
        try:
            with psycopg.connect(self.admin_url, autocommit=True, prepare_threshold=None) as conn:
                row = conn.execute(b"SELECT pg_backend_pid()").fetchone()
                return row is None or row[0] != conn.info.backend_pid
        except psycopg.Error as error:
            raise connect.translate(error, self.admin_url) from error

    @property
    def is_local(self) -> bool:
        """Whether the server surely runs on this machine, with the same /dev/shm: the embedded one does."""
        return self._is_embedded

    @property
    def admin_is_separate(self) -> bool:
        """Whether DDL runs as another role than the application's, which then needs grants on what it makes."""
        return self.admin_url != self.url

    # ---------------------------------------------------------------------------------------------------- schema

    def upgrade(self) -> str:
        """Create or upgrade rag_pgvector's tables and functions; returns the revision reached.

        Any number of processes may do so at the same moment: one works, the others wait and find it done.
        """
        from alembic.util import CommandError
        from sqlalchemy.exc import DBAPIError

        from rag_pgvector import migrations

        self.run_admin(lambda: schema.require_extension(create=True))
        target = self.admin_url
        try:
            with migrations.transaction(target) as connection:
                migrations.upgrade(connection)
        except DBAPIError as error:
            if isinstance(error.orig, psycopg.Error):
                raise connect.translate(error.orig, target) from error
            raise
        except CommandError as error:
            raise SchemaError(f"the schema was made by another version ({error}): upgrade the package") from error
        if self.admin_is_separate:
            try:
                role = self.run(schema.current_role)
            except ConnectionFailedError as error:
                logger.warning("upgraded, but granted to nobody ('db grant' makes a login): %s", error)
            else:
                self.run_admin(lambda: schema.grant_control_tables(role))
        self._schema_checked = True
        return migrations.HEAD

    def ensure_schema(self) -> None:
        """Create the schema where there is none. Raises SchemaError when it is of another version, with the remedy."""
        if self._schema_checked:
            return
        found = self.run(schema.revision, retry=True)
        from rag_pgvector import migrations

        if found is None or (found != migrations.HEAD and self._is_embedded):
            try:
                self.upgrade()
            except DatabaseError as error:  # whoever only wanted to read asks why an extension is to be made
                raise type(error)(f"rag_pgvector's tables are not there yet: {error}", error.sqlstate) from error
        elif found != migrations.HEAD:
            raise SchemaError(
                f"the schema is at revision {found!r}, this package needs {migrations.HEAD!r}: "
                "run 'rag-pgvector db upgrade' (or upgrade the package, if the schema is newer)"
            )
        self._schema_checked = True

    def search_costs(self) -> planner.CostModel:
        """What searching costs on this machine, for the planner: read once."""
        if self._costs is None:
            self._costs = self.run(planner.stored_costs, retry=True)
        return self._costs

    def tune(self) -> planner.CostModel:
        """Measure what searching costs here (about ten seconds) and keep it, for collections opened from now on.

        Raises ConfigError where a pooler gives a session that has used temporary tables: it needs a fresh one.
        """
        from rag_pgvector import tune

        self.ensure_schema()
        try:
            costs = self.run_admin(tune.measure_costs)
        except DatabaseError as error:
            if "temp_buffers" not in str(error):
                raise
            raise ConfigError(
                "tune needs a session that has used no temporary table yet, and a pooler gave one that has: name the "
                "server itself with --url, or in ADMIN_DATABASE_URL"
            ) from error
        self.run_admin(lambda: tune.store_costs(costs))
        self._costs = costs
        return costs

    async def atune(self) -> planner.CostModel:
        return await asyncio.to_thread(self.tune)

    # ----------------------------------------------------------------------------------------------- collections

    def collection(self, name: str, *, config: CollectionConfig | None = None, embedder: Any = None) -> Collection:
        """Open a collection, or with ``config`` create it where it does not exist.

        Args:
            name: 1 to 63 bytes.
            config: How to store and index it. An existing collection must agree with it.
            embedder: What turns text into vectors: an ``Embedder``, a LangChain ``Embeddings``, a LlamaIndex
                ``BaseEmbedding`` or a callable ``list[str] -> list[vector]``. ``None``: the one of the settings
                (EMBEDDING_PROVIDER, EMBEDDING_MODEL), loaded when a text is first embedded.

        Raises:
            CollectionNotFoundError: There is none of that name and no ``config``.
            CollectionMismatchError: It exists with another configuration.
        """
        from rag_pgvector.open import open_collection

        return open_collection(self, name, config=config, embedder=embedder)

    async def acollection(
        self, name: str, *, config: CollectionConfig | None = None, embedder: Any = None
    ) -> Collection:
        """``collection`` for asynchronous callers."""
        return await asyncio.to_thread(self.collection, name, config=config, embedder=embedder)

    def collections(self) -> list[str]:
        """The names of all collections, sorted."""
        self.ensure_schema()
        return self.run(schema.list_collections, retry=True)

    async def acollections(self) -> list[str]:
        """``collections`` for asynchronous callers."""
        return await asyncio.to_thread(self.collections)
