"""``PGVectorStore``, and ``AsyncPGVectorStore`` for those who import it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag_pgvector.errors import ConfigError
from rag_pgvector.langchain.connection import database_of
from rag_pgvector.langchain.documents import parts_of
from rag_pgvector.langchain.indexes import DEFAULT_DISTANCE_STRATEGY
from rag_pgvector.langchain.maintenance import MaintainedStore
from rag_pgvector.langchain.opening import standing_table
from rag_pgvector.langchain.searching import SearchingStore
from rag_pgvector.langchain.writing import WritingStore

__all__ = ["AsyncPGVectorStore", "PGVectorStore"]

S = TypeVar("S", bound="PGVectorStore")

#: The arguments of ``create`` with their defaults.
_LAYOUT: dict[str, Any] = {
    "schema_name": "public",
    "content_column": "content",
    "embedding_column": "embedding",
    "metadata_columns": None,
    "ignore_metadata_columns": None,
    "id_column": "langchain_id",
    "metadata_json_column": "langchain_metadata",
    "distance_strategy": DEFAULT_DISTANCE_STRATEGY,
    "k": 4,
    "fetch_k": 20,
    "lambda_mult": 0.5,
    "index_query_options": None,
    "hybrid_search_config": None,
}
_OPENING = ("collection", "connection", "tenant", "scope", "config", "options", "k", "fetch_k", "lambda_mult")


class PGVectorStore(WritingStore, SearchingStore, MaintainedStore):
    """A LangChain vector store on Postgres, on a collection of rag_pgvector's::

        store = PGVectorStore(embeddings, collection="docs", connection="postgresql://...")

    or, with ``PGVectorStore.create`` and ``create_sync``, on a table that langchain-postgres laid out or could have.
    Every method has a native asynchronous twin; one store serves both, and any number of event loops.

    Args:
        embedding: What turns text into vectors; ``None`` takes the collection's.
        collection: A collection's name, or a ``Collection``. One that does not exist is created, with ``config``.
        connection: A URL, a ``PGEngine``, a ``Database`` or a SQLAlchemy engine (only its URL is used); ``None`` takes
            ``DATABASE_URL``, and where that is absent the embedded server.
        tenant: Whose rows, on a multi-tenant collection; every method takes one, too.
        scope: A part of that tenant's.
        config: How to store and index a collection that is to be created.
        options: How to search; by default by vectors alone. ``SearchOptions(mode="hybrid")`` adds keywords.
        k: Documents that a search returns.
        fetch_k: Candidates of a search by maximal marginal relevance.
        lambda_mult: Its balance, 1 for nearness and 0 for difference.

    Filters are those of docs/filters.md, on either layout. On a multi-tenant collection every method without a tenant
    raises TenantError.
    """

    @classmethod
    def create_sync(cls: type[S], engine: Any, embedding_service: Embeddings, table_name: str, **arguments: Any) -> S:
        """A store on a standing table, as langchain-postgres lays them out.

        Args:
            engine: A PGEngine, ours or langchain-postgres's; or what ``connection`` takes.
            embedding_service: What turns text into vectors.
            table_name: The table, made by ``PGEngine.init_vectorstore_table`` or any other way.
            schema_name: Default ``public``.
            content_column: Of a text type. Default ``content``.
            embedding_column: Of type vector or halfvec. Default ``embedding``.
            metadata_columns: Keys of the metadata that have columns of their own.
            ignore_metadata_columns: Instead of those: all columns but these.
            id_column: The primary key. Default ``langchain_id``.
            metadata_json_column: For all other metadata, where it exists. Default ``langchain_metadata``.
            distance_strategy: Default ``DistanceStrategy.COSINE_DISTANCE``.
            k, fetch_k, lambda_mult: As for the constructor.
            index_query_options: HNSWQueryOptions or IVFFlatQueryOptions.
            hybrid_search_config: Searches by vectors and words. It is read, never written to.

        Raises ConfigError (a ValueError) for a column that is not there or of the wrong type.
        """
        return cls._create(engine, embedding_service, table_name, arguments)

    @classmethod
    def _create(
        cls: type[S], engine: Any, embedding_service: Embeddings, table_name: str, arguments: Mapping[str, Any]
    ) -> S:
        given = _layout(table_name, arguments)
        database = database_of(engine)
        table = database.run(standing_table(given), retry=True)
        return cls._standing(database, embedding_service, table, **_of_store(given))

    @classmethod
    async def create(cls: type[S], engine: Any, embedding_service: Embeddings, table_name: str, **arguments: Any) -> S:
        """``create_sync`` for asynchronous callers; takes the same arguments."""
        given = _layout(table_name, arguments)
        database = database_of(engine)
        table = await database.arun(standing_table(given), retry=True)
        return cls._standing(database, embedding_service, table, **_of_store(given))

    @classmethod
    def _opened(
        cls: type[S], embedding: Embeddings, engine: Any, table_name: str | None, given: Mapping[str, Any]
    ) -> tuple[S, dict[str, Any]]:
        """A store by the arguments of ``from_texts``, and those that are not about opening one."""
        rest = dict(given)
        if table_name is None:
            own = {name: rest.pop(name) for name in _OPENING if name in rest}
            if engine is not None:
                own.setdefault("connection", engine)
            if "collection" not in own:
                raise ConfigError("from_texts() needs collection=, or an engine and a table_name")
            return cls(embedding, **own), rest
        layout = {name: rest.pop(name) for name in _LAYOUT if name in rest}
        return cls._create(engine, embedding, table_name, layout), rest

    @classmethod
    async def _aopened(
        cls: type[S], embedding: Embeddings, engine: Any, table_name: str | None, given: Mapping[str, Any]
    ) -> tuple[S, dict[str, Any]]:
        if table_name is None:
            return cls._opened(embedding, engine, None, given)
        layout = {name: given[name] for name in _LAYOUT if name in given}
        rest = {name: value for name, value in given.items() if name not in layout}
        return await cls.create(engine, embedding, table_name, **layout), rest

    @classmethod
    def from_texts(  # type: ignore[override]
        cls: type[S],
        texts: Iterable[str],
        embedding: Embeddings,
        engine: Any = None,
        table_name: str | None = None,
        *,
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> S:
        """Open a store and add texts to it: by ``collection=`` and the constructor's arguments, or by ``engine``,
        ``table_name`` and those of ``create``."""
        engine, metadatas = _third(engine, metadatas)
        store, rest = cls._opened(embedding, engine, table_name, kwargs)
        store.add_texts(texts, metadatas, ids, **rest)
        return store

    @classmethod
    async def afrom_texts(  # type: ignore[override]
        cls: type[S],
        texts: Iterable[str],
        embedding: Embeddings,
        engine: Any = None,
        table_name: str | None = None,
        *,
        metadatas: Iterable[dict[str, Any]] | None = None,
        ids: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> S:
        engine, metadatas = _third(engine, metadatas)
        store, rest = await cls._aopened(embedding, engine, table_name, kwargs)
        await store.aadd_texts(texts, metadatas, ids, **rest)
        return store

    @classmethod
    def from_documents(
        cls: type[S],
        documents: Iterable[Document],
        embedding: Embeddings,
        engine: Any = None,
        table_name: str | None = None,
        *,
        ids: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> S:
        """``from_texts`` for documents, whose ids are kept."""
        texts, metadatas, own = parts_of(documents, ids)
        return cls.from_texts(texts, embedding, engine, table_name, metadatas=metadatas, ids=own, **kwargs)

    @classmethod
    async def afrom_documents(
        cls: type[S],
        documents: Iterable[Document],
        embedding: Embeddings,
        engine: Any = None,
        table_name: str | None = None,
        *,
        ids: Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> S:
        texts, metadatas, own = parts_of(documents, ids)
        return await cls.afrom_texts(texts, embedding, engine, table_name, metadatas=metadatas, ids=own, **kwargs)


def _layout(table_name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if unknown := arguments.keys() - _LAYOUT.keys():
        raise ConfigError(f"create() takes no {', '.join(sorted(unknown))}: it takes {', '.join(_LAYOUT)}")
    return {**_LAYOUT, **arguments, "table_name": table_name}


def _of_store(given: Mapping[str, Any]) -> dict[str, Any]:
    names = ("k", "fetch_k", "lambda_mult", "index_query_options", "hybrid_search_config")
    return {name: given[name] for name in names}


def _third(engine: Any, metadatas: Any) -> tuple[Any, Any]:
    """LangChain's third argument of from_texts is the metadata, langchain-postgres's the engine."""
    if metadatas is None and isinstance(engine, Sequence) and not isinstance(engine, (str, bytes)):
        return None, engine
    return engine, metadatas


class AsyncPGVectorStore(PGVectorStore):
    """A PGVectorStore whose synchronous methods are turned off, as langchain-postgres's class of this name has them.

    PGVectorStore does everything that this does, and the rest.
    """

    async def is_valid_index(self, index_name: str | None = None) -> bool:  # type: ignore[override]
        return await self.ais_valid_index(index_name)


def _turned_off(*args: Any, **kwargs: Any) -> NoReturn:
    raise NotImplementedError(
        "Sync methods are not implemented for AsyncPGVectorStore. Use PGVectorStore interface instead."
    )


for _name in (
    "add_documents add_embeddings add_texts apply_hybrid_search_index apply_vector_index create_sync delete "
    "drop_vector_index from_documents from_texts get get_by_ids max_marginal_relevance_search "
    "max_marginal_relevance_search_by_vector max_marginal_relevance_search_with_score_by_vector reindex "
    "similarity_search similarity_search_by_vector similarity_search_with_relevance_scores "
    "similarity_search_with_score similarity_search_with_score_by_vector"
).split():
    setattr(AsyncPGVectorStore, _name, _turned_off)
