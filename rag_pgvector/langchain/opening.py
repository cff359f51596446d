"""What a LangChain store stands on: a collection of ours, or a table laid out by langchain-postgres."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from rag_pgvector.bound import BoundEmbedder
from rag_pgvector.collection import Collection
from rag_pgvector.config import CollectionConfig, SearchOptions
from rag_pgvector.errors import CollectionNotFoundError, ConfigError
from rag_pgvector.langchain.connection import database_of
from rag_pgvector.langchain.indexes import distance_of, search_options, strategy_of
from rag_pgvector.langchain.tables import as_indexed, read_table
from rag_pgvector.plan import Plan
from rag_pgvector.table import Table

__all__ = ["OpenedStore", "standing_table"]

S = TypeVar("S", bound="OpenedStore")


class OpenedStore(VectorStore):
    """A store on a collection. ``PGVectorStore`` documents the arguments."""

    #: An index_query_options= of langchain-postgres, as given.
    index_query_options: Any = None
    hybrid_search_config: Any = None
    _collection: Collection
    _embedding: Embeddings | None
    _options: SearchOptions

    def __init__(
        self,
        embedding: Embeddings | None,
        *,
        collection: str | Collection,
        connection: Any = None,
        tenant: str | None = None,
        scope: str | None = None,
        config: CollectionConfig | None = None,
        options: SearchOptions | None = None,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
    ) -> None:
        if isinstance(collection, Collection):
            if connection is not None or config is not None:
                raise ConfigError("a Collection has a connection and a configuration: give its name, or only itself")
            opened = collection
        else:
            database = database_of(connection)
            opened = _open(database, collection, embedding, config, tenant)
        self._set_up(opened, embedding, options=options, k=k, fetch_k=fetch_k, lambda_mult=lambda_mult)
        if tenant is not None or scope is not None:
            self._collection = _bound(self._collection, tenant, scope)

    def _set_up(
        self,
        collection: Collection,
        embedding: Embeddings | None,
        *,
        options: SearchOptions | None,
        k: int,
        fetch_k: int,
        lambda_mult: float,
    ) -> None:
        if options is not None and not isinstance(options, SearchOptions):
            raise ConfigError(f"options={options!r:.80}: use SearchOptions(...)")
        table = collection._table
        if table.layout.native:  # documents of LangChain tell their origin in their metadata
            table = replace(table, layout=replace(table.layout, origin_in_filters=True))
        given = collection._embedder if embedding is None else BoundEmbedder(collection.database, table, embedding)
        self._collection = Collection(collection.database, table, given)
        self._embedding = embedding
        self._options = options or SearchOptions(mode="dense")
        self.k, self.fetch_k, self.lambda_mult = k, fetch_k, lambda_mult

    @classmethod
    def _standing(
        cls: type[S],
        engine: Any,
        embedding_service: Embeddings,
        table: Table,
        *,
        k: int,
        fetch_k: int,
        lambda_mult: float,
        index_query_options: Any,
        hybrid_search_config: Any,
    ) -> S:
        """A store on a table that ``read_table`` described."""
        if hasattr(embedding_service, "embed_query_inline_template"):
            raise ConfigError(
                "embedding_service embeds inside of the database (embed_query_inline_template), which is not "
                "supported: give one with embed_documents and embed_query"
            )
        database = database_of(engine)
        embedder = BoundEmbedder(database, table, embedding_service)
        if table.config.dimensions is None:  # the column is of type vector, without a number
            table = replace(table, config=replace(table.config, dimensions=embedder.embedder.dimensions))
        store = cls.__new__(cls)
        store._set_up(
            Collection(database, table, embedder),
            embedding_service,
            options=search_options(index_query_options),
            k=k,
            fetch_k=fetch_k,
            lambda_mult=lambda_mult,
        )
        store.index_query_options = index_query_options
        store.hybrid_search_config = hybrid_search_config
        return store

    # ------------------------------------------------------------------------------------------------ what it is

    @property
    def embeddings(self) -> Embeddings | None:
        return self._embedding

    @property
    def embedding_service(self) -> Embeddings | None:
        """langchain-postgres's name for ``embeddings``."""
        return self._embedding

    @property
    def collection(self) -> Collection:
        """The collection below, with everything that LangChain has no word for."""
        return self._collection

    @property
    def table_name(self) -> str:
        return self._collection._table.name

    def get_table_name(self) -> str:
        return self.table_name

    @property
    def schema_name(self) -> str:
        return self._collection._table.layout.schema

    @property
    def id_column(self) -> str:
        return self._collection._table.layout.id

    @property
    def content_column(self) -> str:
        return self._collection._table.layout.content

    @property
    def embedding_column(self) -> str:
        return self._collection._table.layout.embedding

    @property
    def metadata_columns(self) -> list[str]:
        return [name for name, _ in self._collection._table.layout.columns]

    @property
    def metadata_json_column(self) -> str | None:
        return self._collection._table.layout.metadata

    @property
    def distance_strategy(self) -> Any:
        """What "near" means. A table of langchain-postgres's layout may be searched by another distance at any time."""
        return strategy_of(self._collection._table.config.distance)

    @distance_strategy.setter
    def distance_strategy(self, strategy: Any) -> None:
        table = self._collection._table
        if table.layout.native:
            raise ConfigError(f"collection {table.collection!r} is indexed for {table.config.distance!r}, which stays")
        table = replace(table, config=_with_distance(table.config, strategy))
        self._collection = Collection(self._collection.database, table, self._collection._embedder)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._collection.name!r}, {self._collection.config!r})"

    # --------------------------------------------------------------------------------------------------- tenants

    def for_tenant(self: S, tenant: str, *, scope: str | None = None) -> S:
        """This store, bound to one tenant of a multi-tenant collection, or to one scope of it. Raises TenantError."""
        bound = copy.copy(self)
        bound._collection = _bound(self._collection, tenant, scope)
        return bound

    def _for(self, tenant: str | None = None, scope: str | None = None) -> Collection:
        """The collection as one call sees it. Raises TenantError where a tenant is needed and none is named."""
        collection = self._collection if tenant is None and scope is None else _bound(self._collection, tenant, scope)
        collection._table.require_tenant()
        return collection

    # --------------------------------------------------------------------------------------------------- running

    def _run_ddl(self, make_plan: Callable[[], Plan[Any]], *, concurrently: bool = False) -> Any:
        result = self._collection.database.run_admin(make_plan, atomic=not concurrently)
        self._collection._estimates.forget()
        table = self._collection._table
        if not table.layout.native:
            config = self._collection.database.run(lambda: as_indexed(table))
            if config != table.config:
                table = replace(table, config=config)
                self._collection = Collection(self._collection.database, table, self._collection._embedder)
        return result

    async def _arun_ddl(self, make_plan: Callable[[], Plan[Any]], *, concurrently: bool = False) -> Any:
        return await asyncio.to_thread(self._run_ddl, make_plan, concurrently=concurrently)


def _open(
    database: Any, name: str, embedding: Embeddings | None, config: CollectionConfig | None, tenant: str | None
) -> Collection:
    try:
        collection: Collection = database.collection(name, config=config, embedder=embedding)
    except CollectionNotFoundError:
        if tenant is not None:  # one made in passing would have no tenants
            raise
        collection = database.collection(name, config=CollectionConfig(), embedder=embedding)
    return collection


def _bound(collection: Collection, tenant: str | None, scope: str | None) -> Collection:
    own = collection.tenant if tenant is None else tenant
    if own is None:
        raise ConfigError(f"scope={scope!r:.80} is a part of a tenant: give tenant=, too")
    return collection.for_tenant(own, scope=collection.scope if scope is None else scope)


def _with_distance(config: CollectionConfig, strategy: Any) -> CollectionConfig:
    return replace(config, distance=distance_of(strategy))


def standing_table(given: Mapping[str, Any]) -> Callable[[], Plan[Table]]:
    """The plan that reads a table by the arguments of ``PGVectorStore.create``."""
    hybrid = given["hybrid_search_config"]
    return lambda: read_table(
        given["schema_name"],
        given["table_name"],
        id_column=given["id_column"],
        content=given["content_column"],
        embedding=given["embedding_column"],
        metadata_columns=given["metadata_columns"],
        ignore_metadata_columns=given["ignore_metadata_columns"],
        metadata=given["metadata_json_column"],
        distance=distance_of(given["distance_strategy"]),
        text_search=None if hybrid is None else hybrid.tsv_column or f"{given['content_column']}_tsv",
        language="pg_catalog.english" if hybrid is None else hybrid.tsv_lang or "",
    )
