"""``PGEngine``: where a store's table is, under langchain-postgres's name. There is no event loop in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import URL

from rag_pgvector import schema
from rag_pgvector.database import Database
from rag_pgvector.errors import ConfigError
from rag_pgvector.langchain import tables
from rag_pgvector.langchain.columns import Column, as_column
from rag_pgvector.plan import Plan

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["PGEngine"]

#: Arguments of create_async_engine that say nothing about our pools.
_WITHOUT_MEANING = {
    "echo",
    "echo_pool",
    "execution_options",
    "future",
    "isolation_level",
    "json_deserializer",
    "json_serializer",
    "pool_pre_ping",
    "pool_recycle",
    "pool_use_lifo",
    "poolclass",
    "query_cache_size",
}


class PGEngine:
    """A database for stores. Made by ``from_connection_string``, ``from_engine`` or ``from_database``.

    It opens a pool at the first use of each colour, and one per event loop, so that one engine serves synchronous code,
    ``asyncio.run`` after ``asyncio.run``, and several loops at once.
    """

    def __init__(self, database: Database, *, owned: bool = True) -> None:
        if not isinstance(database, Database):
            raise ConfigError("make a PGEngine with from_connection_string(), from_engine() or from_database()")
        self._database = database
        self._owned = owned

    def __repr__(self) -> str:
        return f"PGEngine({self._database!r})"

    @property
    def database(self) -> Database:
        return self._database

    @classmethod
    def from_connection_string(cls, url: str | URL, **kwargs: Any) -> PGEngine:
        """An engine at a URL, with any of SQLAlchemy's Postgres drivers named in it, or a libpq conninfo.

        Of ``create_async_engine``'s arguments ``pool_size``, ``max_overflow`` and ``pool_timeout`` shape our pool, and
        ``prepare=False`` is for PgBouncer; the others are read and have no meaning here. Raises ConfigError.
        """
        text = url.render_as_string(hide_password=False) if isinstance(url, URL) else url
        size, overflow = kwargs.pop("pool_size", None), kwargs.pop("max_overflow", 0)
        options: dict[str, Any] = {name: kwargs.pop(name) for name in ("admin_url", "prepare") if name in kwargs}
        if size is not None:
            options["pool_size"] = size + max(0, overflow)
        if "pool_timeout" in kwargs:
            options["timeout"] = float(kwargs.pop("pool_timeout"))
        if unknown := kwargs.keys() - _WITHOUT_MEANING:
            raise ConfigError(f"PGEngine takes no {', '.join(sorted(unknown))}: put connection options in the URL")
        return cls(Database(text, **options))

    @classmethod
    def from_engine(cls, engine: Engine | AsyncEngine, loop: Any = None) -> PGEngine:
        """An engine at the address of a SQLAlchemy engine, with pools of its own: that one is neither used nor closed.

        ``loop`` has no meaning here. Raises ConfigError for an engine that makes its connections itself (``creator=``).
        """
        return cls(Database.from_engine(engine))

    @classmethod
    def from_database(cls, database: Database) -> PGEngine:
        """An engine over a Database of ours, which it never closes."""
        return cls(database, owned=False)

    async def close(self) -> None:
        """Close the pools that this engine opened; those of other loops that still run stay open."""
        if self._owned:
            await self._database.aclose()

    def close_sync(self) -> None:
        """``close`` for synchronous callers."""
        if self._owned:
            self._database.close()

    # ---------------------------------------------------------------------------------------------------- tables

    def init_vectorstore_table(
        self,
        table_name: str,
        vector_size: int,
        *,
        schema_name: str = "public",
        content_column: str = "content",
        embedding_column: str = "embedding",
        metadata_columns: Sequence[Any] | None = None,
        metadata_json_column: str = "langchain_metadata",
        id_column: Any = "langchain_id",
        overwrite_existing: bool = False,
        store_metadata: bool = True,
        hybrid_search_config: Any = None,
    ) -> None:
        """Create a table as langchain-postgres lays it out; its arguments are only read.

        Args:
            vector_size: Dimensions of the embeddings.
            metadata_columns: ``Column`` or dictionaries ``{"name", "data_type", "nullable"}``.
            metadata_json_column: Column for all other metadata, left out if not ``store_metadata``.
            id_column: A name (then of type UUID), or a ``Column``.
            overwrite_existing: Drop a table of that name first, with all its rows.
            hybrid_search_config: With one, there is a tsvector column, by default ``<content_column>_tsv``.

        Raises ConfigError, TypeError for a dictionary that lacks something, DatabaseError if the table exists.
        """
        plan = _creation(
            table_name,
            vector_size,
            schema_name,
            content_column,
            embedding_column,
            metadata_columns,
            metadata_json_column if store_metadata else None,
            id_column,
            overwrite_existing,
            hybrid_search_config,
        )
        self._database.run_admin(plan)
        if self._database.admin_is_separate:
            role = self._database.run(schema.current_role)
            self._database.run_admin(lambda: tables.grant_table(schema_name, table_name, role))

    async def ainit_vectorstore_table(self, table_name: str, vector_size: int, **kwargs: Any) -> None:
        """``init_vectorstore_table`` for asynchronous callers; takes the same arguments."""
        await asyncio.to_thread(self.init_vectorstore_table, table_name, vector_size, **kwargs)

    def drop_table(self, table_name: str, *, schema_name: str = "public") -> None:
        """Drop a table with all its rows, where there is one."""
        self._database.run_admin(lambda: tables.drop_table(schema_name, table_name))

    async def adrop_table(self, table_name: str, *, schema_name: str = "public") -> None:
        await asyncio.to_thread(self.drop_table, table_name, schema_name=schema_name)

    #: langchain-postgres's names for what its asynchronous store is set up with.
    _ainit_vectorstore_table = ainit_vectorstore_table
    _adrop_table = adrop_table


def _creation(
    table_name: str,
    vector_size: int,
    schema_name: str,
    content: str,
    embedding: str,
    metadata_columns: Sequence[Any] | None,
    metadata: str | None,
    id_column: Any,
    overwrite: bool,
    hybrid: Any,
) -> Callable[[], Plan[None]]:
    columns = [as_column(column) for column in metadata_columns or ()]
    own_id = Column(id_column, "UUID", nullable=False) if isinstance(id_column, str) else as_column(id_column)
    return lambda: tables.create_table(
        schema_name,
        table_name,
        vector_size=vector_size,
        id_column=own_id,
        content=content,
        embedding=embedding,
        metadata_columns=columns,
        metadata=metadata,
        text_search=None if hybrid is None else hybrid.tsv_column or f"{content}_tsv",
        overwrite=overwrite,
    )
