"""The half of a collection that searches: the embedder, and the searches that need a vector, words, or both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rag_pgvector import read
from rag_pgvector.arguments import check_query
from rag_pgvector.calibrations import Calibrated
from rag_pgvector.config import CollectionConfig, Mode, SearchOptions
from rag_pgvector.errors import EmbeddingError
from rag_pgvector.filters import parse_filter
from rag_pgvector.hybrid import Asked, resolve_mode, search_all
from rag_pgvector.patience import aembed_in_time, embed_in_time
from rag_pgvector.plan import Plan
from rag_pgvector.search import Columns, Found, dense, explained, result
from rag_pgvector.types import SearchResult
from rag_pgvector.vectors import VectorParam, as_vector

if TYPE_CHECKING:
    from rag_pgvector.embedding import Embedder

__all__ = ["Searchable"]

Vectors: TypeAlias = NDArray[np.float32]

_DEFAULT_OPTIONS = SearchOptions()


class Searchable(Calibrated):
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
        """The ``k`` best chunks for a question, for a vector, or for both, best first; ``.plan`` says how it was done.

        A question is looked up by its vector and by its words (``hybrid``), a vector alone by nearness (``dense``); a
        question that comes with its vector is not embedded. ``options`` chooses otherwise.

        Fewer than ``k`` come back only if fewer exist. Where the embedder fails or keeps the question waiting, that is
        looked up by its words alone, and ``.plan.warnings`` says so. Raises ConfigError, FilterError, VectorError,
        DimensionError, EmbedderMismatchError, DatabaseError; EmbeddingError where there is no keyword index either.
        """
        check_query(query, vector, k, options, both=True)
        options = options or _DEFAULT_OPTIONS
        condition = read.where(self._table, filter=filter)
        mode, note, warnings = resolve_mode(self._table, options, text=query is not None, vector=vector is not None)
        if mode != "keyword" and vector is None:
            assert query is not None
            try:
                vector = embed_in_time(self._embedder, query, options)
            except EmbeddingError as error:
                mode, note, warnings = self._by_words(error, options)
        asked = self._asked(mode, query, vector, note, warnings)
        return self._run(self._asked_plan([asked], k, condition, filter, options), retry=True)[0]

    async def asearch(
        self,
        query: str | None = None,
        *,
        vector: ArrayLike | None = None,
        k: int = 4,
        filter: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> SearchResult:
        check_query(query, vector, k, options, both=True)
        options = options or _DEFAULT_OPTIONS
        condition = read.where(self._table, filter=filter)
        mode, note, warnings = resolve_mode(self._table, options, text=query is not None, vector=vector is not None)
        if mode != "keyword" and vector is None:
            assert query is not None
            try:
                vector = await aembed_in_time(self._embedder, query, options)
            except EmbeddingError as error:
                mode, note, warnings = self._by_words(error, options)
        asked = self._asked(mode, query, vector, note, warnings)
        return (await self._arun(self._asked_plan([asked], k, condition, filter, options), retry=True))[0]

    def _by_words(self, error: EmbeddingError, options: SearchOptions) -> tuple[Mode, str, tuple[str, ...]]:
        """What is left to do when a question has no vector, and how that is told; the error where nothing is."""
        if not options.fallback or not self._table.layout.native:
            raise error
        return "keyword", "the question has no vector", (f"searched by words alone: {error}",)

    def _asked(self, mode: Mode, query: str | None, vector: Any, note: str, warnings: tuple[str, ...]) -> Asked:
        encoded = as_vector(vector, self.config) if mode != "keyword" else None
        return Asked(mode=mode, text=query, vector=encoded, note=note, warnings=warnings)

    def _asked_plan(
        self,
        asked: Sequence[Asked],
        k: int,
        condition: read.Where | None,
        filter: Mapping[str, Any] | None,
        options: SearchOptions,
    ) -> Callable[[], Plan[list[SearchResult]]]:
        filtered = parse_filter(filter) is not None
        return lambda: search_all(
            self._table,
            asked,
            k=k,
            condition=condition if filtered else None,
            options=options,
            dense=lambda vector, many, columns: self._found_plan(
                vector, many, condition, filtered, options, columns=columns
            ),
        )

    def _search_plan(
        self,
        encoded: VectorParam,
        k: int,
        condition: read.Where | None,
        filtered: bool,
        options: SearchOptions | None,
    ) -> Callable[[], Plan[SearchResult]]:
        return lambda: result(self._table, self._found_plan(encoded, k, condition, filtered, options))

    def _found_plan(
        self,
        encoded: VectorParam,
        k: int,
        condition: read.Where | None,
        filtered: bool,
        options: SearchOptions | None,
        *,
        columns: Columns = "chunk",
    ) -> Plan[Found]:
        return dense(
            self._table,
            encoded,
            k=k,
            condition=condition,
            filtered=filtered,
            options=options or _DEFAULT_OPTIONS,
            estimates=self._estimates,
            session_defaults=self._db.session_defaults,
            columns=columns,
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
