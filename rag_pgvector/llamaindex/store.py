"""LlamaIndex's vector store on a collection of ours, or on a table that llama-index-vector-stores-postgres laid out."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryResult,
)

from rag_pgvector.collection import Collection
from rag_pgvector.config import CollectionConfig, SearchOptions
from rag_pgvector.database import Database
from rag_pgvector.errors import ConfigError
from rag_pgvector.llamaindex.calls import Asking, arun, run
from rag_pgvector.llamaindex.connection import address, database_of
from rag_pgvector.llamaindex.contents import Contents
from rag_pgvector.llamaindex.peer import PeerTable
from rag_pgvector.llamaindex.places import in_collection, in_peer_table
from rag_pgvector.llamaindex.query import read_query

__all__ = ["PGVectorStore"]

T = TypeVar("T")


class PGVectorStore(BasePydanticVectorStore):  # type: ignore[misc]  # LlamaIndex is not checked
    """A vector store for LlamaIndex on rag_pgvector.

    ``PGVectorStore(collection="docs")`` stands on a collection, whose rows LangChain and the plain API see too.
    ``PGVectorStore.from_params(...)`` takes the arguments of llama-index-vector-stores-postgres and works on its table
    ``data_<table_name>`` as it stands, or makes one.

    Every method has an asynchronous twin that runs the same SQL; one store serves any number of threads and event
    loops. Writing a node whose id is stored replaces it. Errors are those of ``rag_pgvector.errors``.

    Args:
        collection: A ``Collection``, or the name of one. One that does not exist is made by the first ``add``.
        connection: A URL, a ``Database`` or a SQLAlchemy engine (of which only the URL is used); None takes
            DATABASE_URL, or the embedded server.
        tenant: Whose rows, where the collection is multi-tenant; nothing works there without.
        scope: A part of the tenant.
        config: How to make the collection; its dimensions default to those of the first node.
        options: How to search.
        embedder: What ``GroundedQueryEngine`` embeds questions with (LlamaIndex embeds its own).

    The other arguments are those of ``from_params``, and ``engine`` with ``async_engine``, whose URL is used.
    """

    stores_text: bool = True
    flat_metadata: bool = False

    table_name: str | None = None
    schema_name: str | None = None
    embed_dim: int | None = None
    hybrid_search: bool = False
    text_search_config: str = "english"
    perform_setup: bool = True
    use_jsonb: bool = False
    use_halfvec: bool = False
    hnsw_kwargs: dict[str, Any] | None = None
    indexed_metadata_keys: set[tuple[str, str]] | None = None

    _database: Database = PrivateAttr()
    _owns_database: bool = PrivateAttr(default=True)
    _make: Callable[[int | None], Contents] = PrivateAttr()
    _contents: Contents | None = PrivateAttr(default=None)
    _options: SearchOptions | None = PrivateAttr(default=None)
    _custom: bool = PrivateAttr(default=False)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)
    _engine: Any = PrivateAttr(default=None)

    def __init__(
        self,
        connection_string: Any = None,
        async_connection_string: Any = None,
        table_name: str | None = None,
        schema_name: str | None = None,
        hybrid_search: bool = False,
        text_search_config: str = "english",
        embed_dim: int = 1536,
        cache_ok: bool = False,
        perform_setup: bool = True,
        debug: bool = False,
        use_jsonb: bool = False,
        hnsw_kwargs: Mapping[str, Any] | None = None,
        create_engine_kwargs: Mapping[str, Any] | None = None,
        initialization_fail_on_error: bool = False,
        use_halfvec: bool = False,
        engine: Any = None,
        async_engine: Any = None,
        indexed_metadata_keys: Any = None,
        customize_query_fn: Callable[..., Any] | None = None,
        *,
        collection: Collection | str | None = None,
        connection: Any = None,
        tenant: str | None = None,
        scope: str | None = None,
        config: CollectionConfig | None = None,
        options: SearchOptions | None = None,
        embedder: Any = None,
    ) -> None:
        if options is not None and not isinstance(options, SearchOptions):
            raise ConfigError(f"options={options!r:.80}: use SearchOptions(...)")
        if (engine is None) != (async_engine is None):
            raise ConfigError("Both engine and async_engine must be provided, or both must be None")
        places = [each for each in (connection, connection_string, engine) if each is not None]
        if len(places) > 1:
            raise ConfigError("give one of connection=, connection_string= and engine=")
        place = places[0] if places else None
        if collection is not None:
            super().__init__()
            if isinstance(collection, Collection):
                if place is not None or config is not None:
                    raise ConfigError("connection= and config= are those of the given collection: leave them out")
                place = collection.database
            self._database, self._owns_database = database_of(place, create_engine_kwargs)
            self._make = in_collection(self._database, collection, tenant, scope, config, embedder)
        else:
            if tenant is not None or scope is not None or config is not None:
                raise ConfigError("tenant=, scope= and config= belong to a collection: name one with collection=")
            peer = PeerTable(
                table_name=table_name,
                schema_name=schema_name,
                embed_dim=embed_dim,
                hybrid_search=hybrid_search,
                text_search_config=text_search_config,
                use_jsonb=use_jsonb,
                use_halfvec=use_halfvec,
                hnsw_kwargs=hnsw_kwargs,
                indexed_metadata_keys=indexed_metadata_keys,
                perform_setup=perform_setup,
                customize_query_fn=customize_query_fn,
            )
            super().__init__(
                table_name=peer.name,
                schema_name=peer.schema,
                embed_dim=embed_dim,
                hybrid_search=hybrid_search,
                text_search_config=text_search_config,
                perform_setup=perform_setup,
                use_jsonb=use_jsonb,
                use_halfvec=use_halfvec,
                hnsw_kwargs=None if hnsw_kwargs is None else dict(hnsw_kwargs),
                indexed_metadata_keys=set(peer.indexed) or None,
            )
            self._database, self._owns_database = database_of(place, create_engine_kwargs)
            self._custom = customize_query_fn is not None
            self._make = in_peer_table(self._database, peer, embedder)
        self._options = options
        if isinstance(collection, Collection):
            self._ready()

    @classmethod
    def class_name(cls) -> str:
        return "PGVectorStore"

    @classmethod
    def from_params(
        cls,
        host: str | None = None,
        port: str | int | None = None,
        database: str | None = None,
        user: str | None = None,
        password: str | None = None,
        table_name: str = "llamaindex",
        schema_name: str = "public",
        connection_string: Any = None,
        async_connection_string: Any = None,
        hybrid_search: bool = False,
        text_search_config: str = "english",
        embed_dim: int = 1536,
        cache_ok: bool = False,
        perform_setup: bool = True,
        debug: bool = False,
        use_jsonb: bool = False,
        hnsw_kwargs: Mapping[str, Any] | None = None,
        create_engine_kwargs: Mapping[str, Any] | None = None,
        use_halfvec: bool = False,
        indexed_metadata_keys: Any = None,
        customize_query_fn: Callable[..., Any] | None = None,
    ) -> PGVectorStore:
        """A store on table ``data_<table_name>``, by the arguments of llama-index-vector-stores-postgres.

        The table is used as it stands, or (``perform_setup``) made at first use. What the arguments mean, and what is
        different here: docs/llamaindex.md. ``async_connection_string``, ``cache_ok``, ``debug`` and
        ``initialization_fail_on_error`` have nothing left to do.
        """
        if connection_string is None:
            parts = {"host": host, "port": port, "dbname": database, "user": user, "password": password}
            connection_string = address(parts)
        return cls(
            connection_string,
            async_connection_string,
            table_name,
            schema_name,
            hybrid_search,
            text_search_config,
            embed_dim,
            cache_ok,
            perform_setup,
            debug,
            use_jsonb,
            hnsw_kwargs,
            create_engine_kwargs,
            use_halfvec=use_halfvec,
            indexed_metadata_keys=indexed_metadata_keys,
            customize_query_fn=customize_query_fn,
        )

    # ------------------------------------------------------------------------------------------------- what is open

    def _ready(self, dimensions: int | None = None) -> Contents:
        with self._lock:
            contents = self._contents
            if contents is None:
                contents = self._contents = self._make(dimensions)
            return contents

    async def _aready(self, dimensions: int | None = None) -> Contents:
        contents = self._contents
        return await asyncio.to_thread(self._ready, dimensions) if contents is None else contents

    @property
    def collection(self) -> Collection:
        """The collection under the store; opens it. Raises CollectionNotFoundError."""
        return self._ready().collection

    @property
    def client(self) -> Any:
        """None before the first use; then the collection, or for ``from_params`` a SQLAlchemy engine at its address."""
        if self._contents is None or self._contents.native:
            return None if self._contents is None else self._contents.collection
        if self._engine is None:
            from sqlalchemy import create_engine, make_url

            self._engine = create_engine(make_url(self._database.url).set(drivername="postgresql+psycopg"))
        return self._engine

    def __deepcopy__(self, memo: Any = None) -> PGVectorStore:
        copied: PGVectorStore = self.model_copy()  # of the same connections, as Collection's
        return copied

    def __getstate__(self) -> dict[str, Any]:
        # LlamaIndex's own leaves out what cannot be pickled; such a copy fails at its first use.
        raise TypeError("a PGVectorStore holds connections, which cannot be pickled: make one where it is needed")

    async def close(self) -> None:
        """Close the connections that this store opened."""
        if self._engine is not None:
            self._engine.dispose()
        if self._owns_database:
            await self._database.aclose()

    # ------------------------------------------------------------------------------------------------------ writing

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Store nodes, all or none, each in place of a stored one of its id; returns their ids.

        Raises ChunkError for a node without an embedding or with what Postgres cannot store, DimensionError.
        """
        nodes = list(nodes)
        if not nodes:
            return []
        contents = self._ready(_dimensions(nodes))
        return run(contents.collection, contents.add(contents.chunks(nodes)))

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        nodes = list(nodes)
        if not nodes:
            return []
        contents = await self._aready(_dimensions(nodes))
        return await arun(contents.collection, contents.add(await asyncio.to_thread(contents.chunks, nodes)))

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Delete the nodes of a document."""
        self._run(lambda contents: contents.delete(ref_doc_id))

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        await self._arun(lambda contents: contents.delete(ref_doc_id))

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Delete nodes by id, by filter, or those that satisfy both; nothing where neither is given.

        Raises ConfigError for filters that hold no filter.
        """
        self._run(lambda contents: contents.delete_nodes(node_ids, filters))

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        await self._arun(lambda contents: contents.delete_nodes(node_ids, filters))

    def clear(self) -> None:
        """Delete all nodes (of the tenant)."""
        self._run(lambda contents: contents.clear())

    async def aclear(self) -> None:
        await self._arun(lambda contents: contents.clear())

    # ------------------------------------------------------------------------------------------------------ reading

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """Nodes with their embeddings, by id, by filter, or those that satisfy both."""
        return self._run(lambda contents: contents.get_nodes(node_ids, filters))

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        return await self._arun(lambda contents: contents.get_nodes(node_ids, filters))

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Search: modes ``default``, ``sparse`` (``text_search``), ``hybrid`` and ``mmr``.

        Keywords: ``hnsw_ef_search``, ``ivfflat_probes``, ``mmr_threshold``, ``mmr_prefetch_factor``,
        ``mmr_prefetch_k``; they hold for this query only. Raises ConfigError, FilterError, DimensionError.
        """
        request = read_query(query, self._options, kwargs, custom=self._custom)
        return self._run(lambda contents: contents.query(request))

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        request = read_query(query, self._options, kwargs, custom=self._custom)
        return await self._arun(lambda contents: contents.query(request))

    def _run(self, ask: Callable[[Contents], Asking[T]]) -> T:
        contents = self._ready()
        return run(contents.collection, ask(contents))

    async def _arun(self, ask: Callable[[Contents], Asking[T]]) -> T:
        contents = await self._aready()
        return await arun(contents.collection, ask(contents))


def _dimensions(nodes: Sequence[BaseNode]) -> int | None:
    embedding = getattr(nodes[0], "embedding", None)
    return None if embedding is None else len(embedding)
