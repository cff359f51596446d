"""langchain_postgres's first store, PGVector, over our collections: its whole surface, in both colours."""

from __future__ import annotations

import asyncio
import enum
import logging
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag_pgvector import read, write
from rag_pgvector.collection import Collection
from rag_pgvector.config import CollectionConfig, Distance
from rag_pgvector.errors import CollectionMismatchError, CollectionNotFoundError, ConfigError
from rag_pgvector.filters import parse_filter
from rag_pgvector.langchain import v1_collection
from rag_pgvector.langchain.connection import database_of, engine_of
from rag_pgvector.langchain.documents import chunks_of, document_of, parts_of
from rag_pgvector.langchain.retriever import collection_of
from rag_pgvector.langchain.v1_construction import V1Constructors
from rag_pgvector.langchain.v1_search import V1Searches
from rag_pgvector.layout import NATIVE
from rag_pgvector.types import Chunk

__all__ = ["SUPPORTED_OPERATORS", "DistanceStrategy", "PGVector"]

#: v1's own list. More are understood: docs/filters.md.
SUPPORTED_OPERATORS = set("$eq $ne $lt $lte $gt $gte $in $nin $between $exists $like $ilike $and $or $not".split())


class DistanceStrategy(str, enum.Enum):
    """What "near" means, under v1's names."""

    EUCLIDEAN = "l2"
    COSINE = "cosine"
    MAX_INNER_PRODUCT = "inner"


#: By the values of v1's DistanceStrategy, and by the operators of v2's.
_DISTANCES: dict[object, Distance] = {"l2": "l2", "cosine": "cosine", "inner": "inner_product"}
_DISTANCES |= {"<->": "l2", "<=>": "cosine", "<#>": "inner_product"}
#: The most that pgvector indexes as ``vector``; above it ``halfvec`` goes to 4,000.
_MOST_AS_VECTOR = 2_000


class PGVector(V1Constructors, V1Searches):
    """A vector store whose collection is one of ours: a table of its own, seen by every other door of rag_pgvector.

    Takes the arguments of ``langchain_postgres.PGVector``. Both colours work whatever ``async_mode`` says; a store made
    with it connects at its first call, any other one here. Rows that langchain_postgres left under this collection's
    name in the same database are adopted once, when our collection is created; nothing is embedded again.

    Args:
        embeddings: What embeds.
        connection: A URL, a SQLAlchemy engine (its address is used), or a ``Database``; None takes the settings'.
        embedding_length: Dimensions; None asks the embedder when the collection is created.
        collection_name, collection_metadata, pre_delete_collection, relevance_score_fn: As v1's.
        distance_strategy: ``l2``, ``cosine`` or ``inner``, v1's enumeration too. It is the collection's, for good.
        engine_args: ``create_engine``'s; of a pool's, its size and time-out are used.
        use_jsonb, create_extension, async_mode, logger: Accepted. ``use_jsonb=False`` raises, as v1's.
        tenant, scope: Whose rows these are, in a multi-tenant collection.
        config: How to create the collection where there is none; its dimensions and distance may be left out.

    Raises:
        CollectionMismatchError: The collection exists with another distance or other dimensions.
    """

    def __init__(
        self,
        embeddings: Embeddings,
        *,
        connection: Any = None,
        embedding_length: int | None = None,
        collection_name: str = "langchain",
        collection_metadata: dict[str, Any] | None = None,
        distance_strategy: Any = "cosine",
        pre_delete_collection: bool = False,
        logger: logging.Logger | None = None,
        relevance_score_fn: Callable[[float], float] | None = None,
        engine_args: dict[str, Any] | None = None,
        use_jsonb: bool = True,
        create_extension: bool = True,
        async_mode: bool = False,
        tenant: str | None = None,
        scope: str | None = None,
        config: CollectionConfig | None = None,
    ) -> None:
        if not use_jsonb:
            raise NotImplementedError("use_jsonb=False: metadata is jsonb here, as it is in v1 by now")
        value = getattr(distance_strategy, "value", distance_strategy)
        value = getattr(distance_strategy, "operator", value)
        if value not in _DISTANCES:
            raise ConfigError(f"distance_strategy={distance_strategy!r:.80}: use 'cosine', 'l2' or 'inner'")
        self.embedding_function = embeddings
        self.collection_name = collection_name
        self.collection_metadata = collection_metadata
        self.pre_delete_collection = pre_delete_collection
        self.override_relevance_score_fn = relevance_score_fn
        self.logger = logger or logging.getLogger("rag_pgvector")
        self.async_mode = async_mode or hasattr(connection, "sync_engine")
        self._distance = _DISTANCES[value]
        self._embedding_length = embedding_length
        self._config = config
        self._owner = tenant, scope
        self._connection, self._engine_args = connection, engine_args or {}
        self._db = database_of(connection, engine_args)
        self._collection: Collection | None = None
        self._gone = False
        self._lock = threading.RLock()
        if not self.async_mode:
            self.create_collection()

    @property
    def embeddings(self) -> Embeddings:
        return self.embedding_function

    @property
    def collection(self) -> Collection:
        with self._lock:
            if self._collection is None:
                if self._gone:
                    raise CollectionNotFoundError(
                        f"collection {self.collection_name!r} was deleted: create_collection()"
                    )
                self.create_collection()
            assert self._collection is not None
            return self._collection

    # ------------------------------------------------------------------------------------------------ collections

    def create_vector_extension(self) -> None:
        """Create the extension and rag_pgvector's schema where there are none."""
        self._db.ensure_schema()

    async def acreate_vector_extension(self) -> None:
        await asyncio.to_thread(self.create_vector_extension)

    def create_tables_if_not_exists(self) -> None:
        """As ``create_vector_extension``: a collection's own table is made by ``create_collection``."""
        self._db.ensure_schema()

    async def acreate_tables_if_not_exists(self) -> None:
        await asyncio.to_thread(self.create_tables_if_not_exists)

    def drop_tables(self) -> None:
        """Drop this collection's table. v1 drops everybody's, for they share one."""
        self.delete_collection()

    async def adrop_tables(self) -> None:
        await asyncio.to_thread(self.drop_tables)

    def create_collection(self) -> None:
        """Create the collection where there is none; with ``pre_delete_collection``, empty it first."""
        with self._lock:
            self._db.ensure_schema()
            if self.pre_delete_collection:
                self._delete()
            try:
                found = self._db.collection(self.collection_name, embedder=self.embedding_function)
                self._check(found.config)
            except CollectionNotFoundError:
                found = self._create()
            if not self._db.run(lambda: v1_collection.is_known(found._table), retry=True):
                self._adopt(found)
            tenant, scope = self._owner
            self._collection = collection_of(found if tenant is None else found.for_tenant(tenant, scope=scope))
            self._gone = False

    async def acreate_collection(self) -> None:
        await asyncio.to_thread(self.create_collection)

    def _create(self) -> Collection:
        config = replace(self._config or CollectionConfig(), distance=self._distance)
        dimensions = config.dimensions or self._embedding_length
        if dimensions is None:
            from rag_pgvector.embedding import as_embedder

            dimensions = as_embedder(self.embedding_function).dimensions
        if dimensions > _MOST_AS_VECTOR and self._config is None:
            config = replace(config, storage="halfvec")
        config = replace(config, dimensions=dimensions)
        return self._db.collection(self.collection_name, config=config, embedder=self.embedding_function)

    def _adopt(self, collection: Collection) -> None:
        """Bring in what v1 left, and record that it was done: until then, whoever comes next does it (again).

        Never into a multi-tenant collection: whose the rows are, nobody knows.
        """
        if not collection._table.multi and self._db.run(lambda: v1_collection.has_v1(self.collection_name)):
            from rag_pgvector.ingest.importers import import_v1

            self.logger.info("adopting collection %r of langchain_postgres", self.collection_name)
            report = import_v1(self._db, self.collection_name, collection)
            self.logger.warning("rows of langchain_postgres are in a collection of rag_pgvector now: %s", report)
        self._db.run_admin(lambda: v1_collection.set_known(collection._table, self.collection_metadata))

    def _check(self, stored: CollectionConfig) -> None:
        asked = {"distance": self._distance, "dimensions": self._embedding_length}
        for name, value in asked.items():
            if value is not None and value != getattr(stored, name):
                raise CollectionMismatchError(
                    f"collection {self.collection_name!r} exists with {name}={getattr(stored, name)!r}, not {value!r}: "
                    "open it as it is, or use another name"
                )

    def delete_collection(self) -> None:
        """Drop the collection and its rows; a warning where there is none."""
        with self._lock:
            if not self._delete():
                self.logger.warning("Collection not found")

    async def adelete_collection(self) -> None:
        await asyncio.to_thread(self.delete_collection)

    def _delete(self) -> bool:
        self._collection, self._gone = None, True
        self.__dict__.pop("_models", None)
        self._db.run_admin(lambda: v1_collection.delete_v1(self.collection_name))
        try:
            found = self._db.collection(self.collection_name, embedder=self.embedding_function)
        except CollectionNotFoundError:
            return False
        tenant, scope = self._owner
        if tenant is None:
            found.drop()
        else:  # the others' rows stay
            mine = found.for_tenant(tenant, scope=scope)
            condition = read.where(mine._table)
            assert condition is not None
            mine._run(lambda: write.delete(mine._table, *condition), atomic=True)
        return True

    def get_collection(self, session: Any = None) -> v1_collection.StoredCollection | None:
        """UUID, name and metadata of the collection, or None. The session is not needed."""
        self._ready()
        return self._db.run(lambda: v1_collection.find(self.collection_name), retry=True)

    async def aget_collection(self, session: Any = None) -> v1_collection.StoredCollection | None:
        return await asyncio.to_thread(self.get_collection, session)

    def _ready(self) -> None:
        if not self._gone:
            assert self.collection is not None

    # ---------------------------------------------------------------------------------------------------- writing

    def add_embeddings(
        self,
        texts: Iterable[str],
        embeddings: Iterable[Sequence[float]],
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
        ids: Iterable[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Store texts with their embeddings, all or none, and return their ids. An id that exists is replaced."""
        return self.collection.add(_chunks(texts, metadatas, ids, embeddings))

    async def aadd_embeddings(
        self,
        texts: Iterable[str],
        embeddings: Iterable[Sequence[float]],
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
        ids: Iterable[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        return await (await self._acollection()).aadd(_chunks(texts, metadatas, ids, embeddings))

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
        ids: Iterable[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed texts and store them, all or none, and return their ids. An id that exists is replaced."""
        return self.collection.add(_chunks(texts, metadatas, ids))

    async def aadd_texts(
        self,
        texts: Iterable[str],
        metadatas: Iterable[Mapping[str, Any] | None] | None = None,
        ids: Iterable[str | None] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        return await (await self._acollection()).aadd(_chunks(texts, metadatas, ids))

    def add_documents(self, documents: Iterable[Document], **kwargs: Any) -> list[str]:
        return self.collection.add(_chunks(*parts_of(documents, kwargs.get("ids"))))

    async def aadd_documents(self, documents: Iterable[Document], **kwargs: Any) -> list[str]:
        return await (await self._acollection()).aadd(_chunks(*parts_of(documents, kwargs.get("ids"))))

    def delete(
        self,
        ids: Sequence[str] | None = None,
        collection_only: bool = True,
        *,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Delete by id, by filter, or by both; without either, nothing. Other collections are never touched."""
        if ids is not None or filter:
            self.collection.delete(_texts(ids), filter=filter)

    async def adelete(
        self,
        ids: Sequence[str] | None = None,
        collection_only: bool = True,
        *,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if ids is not None or filter:
            await (await self._acollection()).adelete(_texts(ids), filter=filter)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """The documents of these ids, in the order asked; missing ones are left out."""
        return [document_of(chunk) for chunk in self.collection.get(_texts(ids) or [])]

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        return [document_of(chunk) for chunk in await (await self._acollection()).aget(_texts(ids) or [])]

    # ------------------------------------------------------------------------------------------------- SQLAlchemy

    @cached_property
    def session_maker(self) -> Any:
        """A maker of SQLAlchemy sessions in which ``EmbeddingStore`` can be queried; asynchronous in async_mode."""
        from sqlalchemy import make_url
        from sqlalchemy.ext.asyncio import async_sessionmaker
        from sqlalchemy.orm import scoped_session, sessionmaker

        connection = self._connection
        if connection is None or connection is self._db:
            connection = make_url(self._db.url).set(drivername="postgresql+psycopg").render_as_string(False)
        engine = engine_of(connection, self._engine_args, asynchronous=self.async_mode)
        return async_sessionmaker(bind=engine) if self.async_mode else scoped_session(sessionmaker(bind=engine))

    @cached_property
    def _models(self) -> tuple[type[Any], type[Any]]:
        return v1_collection.models(self.collection._table)

    @property
    def EmbeddingStore(self) -> type[Any]:
        """The collection's rows under v1's names, for reading: id, document, cmetadata, embedding, collection_id."""
        return self._models[0]

    @property
    def CollectionStore(self) -> type[Any]:
        """The collections under v1's names, for reading: uuid, name, cmetadata."""
        return self._models[1]

    def _create_filter_clause(self, filters: Any) -> Any:
        """A filter as it is understood; raises FilterError (a ValueError). v1's gives a SQLAlchemy expression."""
        return parse_filter(filters)


def _chunks(
    texts: Iterable[str],
    metadatas: Iterable[Mapping[str, Any] | None] | None,
    ids: Iterable[Any] | None,
    embeddings: Iterable[Sequence[float]] | None = None,
) -> list[Chunk]:
    """One chunk per text. An empty list of metadata is none, as for v1."""
    given = None if metadatas is None else list(metadatas) or None
    return chunks_of(NATIVE, texts, given, ids, None if embeddings is None else list(embeddings))


def _texts(ids: Sequence[Any] | None) -> list[str] | None:
    """Ids as they are stored: v1's programs give numbers, too."""
    if isinstance(ids, str):
        warnings.warn("ids is one text: it is taken as one id", stacklevel=3)
        return [ids]
    return None if ids is None else [str(id_) for id_ in ids]
