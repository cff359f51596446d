"""The half of a collection that searches: the embedder, and the searches that need a vector, words, or both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rag_pgvector import keyword, read
from rag_pgvector.arguments import check_query
from rag_pgvector.config import CollectionConfig, SearchOptions
from rag_pgvector.document_store import DocumentStore
from rag_pgvector.errors import ConfigError
from rag_pgvector.filters import parse_filter
from rag_pgvector.plan import Plan
from rag_pgvector.search import dense, explained
from rag_pgvector.types import SearchResult
from rag_pgvector.vectors import VectorParam, as_vector

if TYPE_CHECKING:
    from rag_pgvector.embedding import Embedder

__all__ = ["Searchable"]

Vectors: TypeAlias = NDArray[np.float32]

_DEFAULT_OPTIONS = SearchOptions()


class Searchable(DocumentStore):
    """What ``Collection`` searches with."""

    @property
    def config(self) -> CollectionConfig:
        """The stored configuration, ``dimensions`` included."""
        return self._table.config

    # ------------------------------------------------------------------------------------------------- searching

    def search(
        self,
        query: str | None = None,
        *,
        vector: ArrayLike | None = None,
        k: int = 4,
        filter: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> SearchResult:
        """The ``k`` chunks nearest to a question or to a vector, best first; ``.plan`` says how they were found.

        Fewer than ``k`` come back only if fewer exist. Raises ConfigError, FilterError, VectorError, DimensionError,
        EmbeddingError, DatabaseError.
        """
        check_query(query, vector, k, options)
        condition = read.where(self._table, filter=filter)
        if options is not None and options.mode == "keyword":
            return self._run(self._keyword_plan(query, k, filter, options), retry=True)
        if query is not None:
            vector = self.embed_query(query)
        encoded = as_vector(vector, self.config)  # type: ignore[arg-type]  # check_query saw that there is one
        return self._run(self._search_plan(encoded, k, condition, bool(filter), options), retry=True)

    async def asearch(
        self,
        query: str | None = None,
        *,
        vector: ArrayLike | None = None,
        k: int = 4,
        filter: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> SearchResult:
        check_query(query, vector, k, options)
        condition = read.where(self._table, filter=filter)
        if options is not None and options.mode == "keyword":
            return await self._arun(self._keyword_plan(query, k, filter, options), retry=True)
        if query is not None:
            vector = await self.aembed_query(query)
        encoded = as_vector(vector, self.config)  # type: ignore[arg-type]
        return await self._arun(self._search_plan(encoded, k, condition, bool(filter), options), retry=True)

    def _keyword_plan(
        self, query: str | None, k: int, filter: Mapping[str, Any] | None, options: SearchOptions
    ) -> Callable[[], Plan[SearchResult]]:
        if query is None:
            raise ConfigError("mode='keyword' needs a question in words: give query, not vector")
        condition = read.where(self._table, filter=filter) if parse_filter(filter) is not None else None
        question = keyword.question_of(self._table, query)
        return lambda: keyword.search(self._table, question, k=k, condition=condition, options=options)

    def _search_plan(
        self,
        encoded: VectorParam,
        k: int,
        condition: read.Where | None,
        filtered: bool,
        options: SearchOptions | None,
    ) -> Callable[[], Plan[SearchResult]]:
        return lambda: dense(
            self._table,
            encoded,
            k=k,
            condition=condition,
            filtered=filtered,
            options=options or _DEFAULT_OPTIONS,
            estimates=self._estimates,
            session_defaults=self._db.session_defaults,
        )

    def explain_search(
        self,
        query: str | None = None,
        *,
        vector: ArrayLike | None = None,
        k: int = 4,
        filter: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> list[str]:
        """How Postgres would run the vector search of such a ``search``: the lines of its EXPLAIN. Nothing is searched.

        What the planner chose, and why, is in the ``plan`` of a search's result. Raises what ``search`` raises.
        """
        check_query(query, vector, k, options)
        condition = read.where(self._table, filter=filter)
        encoded = as_vector(self.embed_query(query) if query is not None else vector, self.config)  # type: ignore[arg-type]
        make = self._search_plan(encoded, k, condition, bool(filter), options)
        return self._run(lambda: explained(make()), retry=True)

    async def aexplain_search(
        self,
        query: str | None = None,
        *,
        vector: ArrayLike | None = None,
        k: int = 4,
        filter: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> list[str]:
        check_query(query, vector, k, options)
        condition = read.where(self._table, filter=filter)
        if query is not None:
            vector = await self.aembed_query(query)
        make = self._search_plan(as_vector(vector, self.config), k, condition, bool(filter), options)  # type: ignore[arg-type]
        return await self._arun(lambda: explained(make()), retry=True)

    # ------------------------------------------------------------------------------------------------- embedding

    @property
    def embedder(self) -> Embedder:
        """What turns text into vectors: the one given, else the one of the settings. Loaded at first use."""
        return self._embedder.embedder

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of texts to store, ``(n, dimensions)``, by the collection's embedder."""
        return self._embedder.proven().embed_documents(texts)

    async def aembed_documents(self, texts: Sequence[str]) -> Vectors:
        return await (await asyncio.to_thread(self._embedder.proven)).aembed_documents(texts)

    def embed_query(self, text: str) -> Vectors:
        """The vector of a question, ``(dimensions,)``, by the collection's embedder."""
        return self._embedder.proven().embed_query(text)

    async def aembed_query(self, text: str) -> Vectors:
        return await (await asyncio.to_thread(self._embedder.proven)).aembed_query(text)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """The vectors of several questions, ``(n, dimensions)``, in one call where the embedder has one for it."""
        from rag_pgvector.embedding import embed_queries

        if not texts:
            return np.empty((0, self._table.config.dimensions or 0), dtype=np.float32)
        return embed_queries(self._embedder.proven(), texts)

    async def aembed_queries(self, texts: Sequence[str]) -> Vectors:
        from rag_pgvector.embedding import aembed_queries

        if not texts:
            return np.empty((0, self._table.config.dimensions or 0), dtype=np.float32)
        return await aembed_queries(await asyncio.to_thread(self._embedder.proven), texts)
