"""The class methods that make langchain_postgres's v1 store and fill it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import quote

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from rag_pgvector.errors import ConfigError

__all__ = ["V1Constructors"]

S = TypeVar("S", bound="V1Constructors")

_Metadatas = Iterable[Mapping[str, Any] | None] | None


class V1Constructors(VectorStore):
    """What makes a ``PGVector``. ``options`` are the arguments of its constructor."""

    @classmethod
    def from_texts(
        cls: type[S],
        texts: Iterable[str],
        embedding: Embeddings,
        metadatas: _Metadatas = None,
        *,
        ids: Iterable[Any] | None = None,
        **options: Any,
    ) -> S:
        """A store with these texts added to its collection."""
        store = cls._make(embedding, options)
        store.add_texts(texts, cast(Any, metadatas), ids=cast(Any, ids))
        return store

    @classmethod
    async def afrom_texts(
        cls: type[S],
        texts: Iterable[str],
        embedding: Embeddings,
        metadatas: _Metadatas = None,
        *,
        ids: Iterable[Any] | None = None,
        **options: Any,
    ) -> S:
        store = cls._make(embedding, {**options, "async_mode": True})
        await store.aadd_texts(texts, cast(Any, metadatas), ids=cast(Any, ids))
        return store

    @classmethod
    def from_documents(
        cls: type[S],
        documents: Iterable[Document],
        embedding: Embeddings,
        *,
        ids: Iterable[Any] | None = None,
        **options: Any,
    ) -> S:
        """A store with these documents added, under ``ids`` or their own (which v1 drops)."""
        store = cls._make(embedding, options)
        store.add_documents(list(documents), ids=ids)
        return store

    @classmethod
    async def afrom_documents(
        cls: type[S],
        documents: Iterable[Document],
        embedding: Embeddings,
        *,
        ids: Iterable[Any] | None = None,
        **options: Any,
    ) -> S:
        store = cls._make(embedding, {**options, "async_mode": True})
        await store.aadd_documents(list(documents), ids=ids)
        return store

    @classmethod
    def from_embeddings(
        cls: type[S],
        text_embeddings: Iterable[tuple[str, Sequence[float]]],
        embedding: Embeddings,
        *,
        metadatas: _Metadatas = None,
        ids: Iterable[Any] | None = None,
        **options: Any,
    ) -> S:
        """A store with these texts and their embeddings added; nothing is embedded."""
        texts, vectors = _apart(text_embeddings)
        store = cls._make(embedding, _sized(options, vectors))
        cast(Any, store).add_embeddings(texts, vectors, metadatas, ids)
        return store

    @classmethod
    async def afrom_embeddings(
        cls: type[S],
        text_embeddings: Iterable[tuple[str, Sequence[float]]],
        embedding: Embeddings,
        *,
        metadatas: _Metadatas = None,
        ids: Iterable[Any] | None = None,
        **options: Any,
    ) -> S:
        texts, vectors = _apart(text_embeddings)
        store = cls._make(embedding, {**_sized(options, vectors), "async_mode": True})
        await cast(Any, store).aadd_embeddings(texts, vectors, metadatas, ids)
        return store

    @classmethod
    def from_existing_index(cls: type[S], embedding: Embeddings, **options: Any) -> S:
        """A store over a collection that exists; nothing is added."""
        return cls._make(embedding, options)

    @classmethod
    async def afrom_existing_index(cls: type[S], embedding: Embeddings, **options: Any) -> S:
        return cls._make(embedding, {**options, "async_mode": True})

    @classmethod
    def _make(cls: type[S], embedding: Embeddings, options: Mapping[str, Any]) -> S:
        given = dict(options)
        if given.get("connection") is None:
            given["connection"] = cls.get_connection_string(given)
        return cls(embeddings=embedding, **given)  # type: ignore[call-arg]  # PGVector's own

    @classmethod
    def get_connection_string(cls, kwargs: Mapping[str, Any]) -> Any:
        """``connection`` of the arguments, else PGVECTOR_CONNECTION_STRING. Raises ConfigError."""
        found = kwargs.get("connection") or os.environ.get("PGVECTOR_CONNECTION_STRING")
        if not found:
            raise ConfigError("no connection: pass connection=, or set PGVECTOR_CONNECTION_STRING")
        return found

    @classmethod
    def connection_string_from_db_params(
        cls, driver: str, host: str, port: int, database: str, user: str, password: str
    ) -> str:
        """A URL of these parts, whatever characters the user's name and the password hold."""
        if driver != "psycopg":
            raise NotImplementedError("Only psycopg3 driver is supported")
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        return f"postgresql+{driver}://{login}@{host}:{port}/{quote(database, safe='')}"


def _apart(pairs: Iterable[tuple[str, Sequence[float]]]) -> tuple[list[str], list[Sequence[float]]]:
    given = list(pairs)
    return [text for text, _ in given], [vector for _, vector in given]


def _sized(options: Mapping[str, Any], vectors: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The options with the vectors' length, so that a new collection need not ask the embedder."""
    if vectors and options.get("embedding_length") is None and options.get("config") is None:
        return {**options, "embedding_length": len(vectors[0])}
    return dict(options)
