"""Searches made of several: diverse results (MMR), and many questions at once."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from rag_pgvector import mmr, read
from rag_pgvector.arguments import check_many, check_query
from rag_pgvector.config import Mode, SearchOptions
from rag_pgvector.errors import EmbeddingError
from rag_pgvector.hybrid import Asked, resolve_mode
from rag_pgvector.plan import Plan
from rag_pgvector.searchable import Searchable
from rag_pgvector.types import SearchResult
from rag_pgvector.vectors import as_vector

__all__ = ["CompoundSearches"]


class CompoundSearches(Searchable):
    """What ``Collection`` offers beyond one search."""

    # ----------------------------------------------------------------------------------------------- diverse results

    def search_mmr(
        self,
        query: str | None = None,
        *,
        vector: ArrayLike | None = None,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> SearchResult:
        """``k`` chunks that are near a question or a vector and unlike each other, by maximal marginal relevance.

        They come in the order in which MMR takes them, with the scores and distances that a search gives them. The
        candidates are found by their embeddings (dense search), which are read for them only.

        Args:
            fetch_k: Candidates to choose from; at least ``k`` are taken.
            lambda_mult: 1 orders by nearness, as ``search`` does; 0 takes after the first whatever is least like those
                taken before.

        Raises what ``search`` raises. Method: Carbonell and Goldstein, SIGIR 1998.
        """
        check_query(query, vector, k, options)
        mmr.check_mmr(fetch_k, lambda_mult)
        if query is not None:
            vector = self.embed_query(query)
        found = self.search(vector=vector, k=max(k, fetch_k), filter=filter, options=options)
        encoded = as_vector(vector, self._table.config)  # type: ignore[arg-type]  # check_query saw that there is one
        stored = self._run(lambda: mmr.with_embeddings(self._table, found, encoded), retry=True)
        return mmr.diverse(found, stored, self._table, k=k, lambda_mult=lambda_mult)

    async def asearch_mmr(
        self,
        query: str | None = None,
        *,
        vector: ArrayLike | None = None,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> SearchResult:
        check_query(query, vector, k, options)
        mmr.check_mmr(fetch_k, lambda_mult)
        if query is not None:
            vector = await self.aembed_query(query)
        found = await self.asearch(vector=vector, k=max(k, fetch_k), filter=filter, options=options)
        encoded = as_vector(vector, self._table.config)  # type: ignore[arg-type]
        stored = await self._arun(lambda: mmr.with_embeddings(self._table, found, encoded), retry=True)
        return await asyncio.to_thread(mmr.diverse, found, stored, self._table, k=k, lambda_mult=lambda_mult)

    # ------------------------------------------------------------------------------------------------ many questions

    def search_many(
        self,
        queries: Sequence[str] | None = None,
        *,
        vectors: Sequence[ArrayLike] | None = None,
        k: int = 4,
        filter: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> builtins.list[SearchResult]:
        """What ``search`` finds for each of several questions, or for each of several vectors, in the order given.

        The questions are embedded in one call where the embedder has one for it, however long that takes, and all
        searches go to the server together. Raises what ``search`` raises.
        """
        check_many(queries, vectors, k, options)
        options = options or SearchOptions()
        mode, note, warnings = resolve_mode(self._table, options, text=queries is not None, vector=vectors is not None)
        if queries is not None and mode != "keyword":
            try:
                vectors = list(self.embed_queries(queries))
            except EmbeddingError as error:
                mode, note, warnings = self._by_words(error, options)
        asked = self._asked_many(mode, queries, vectors, note, warnings)
        return self._run(self._many_plan(asked, k, filter, options), retry=True) if asked else []

    async def asearch_many(
        self,
        queries: Sequence[str] | None = None,
        *,
        vectors: Sequence[ArrayLike] | None = None,
        k: int = 4,
        filter: Mapping[str, Any] | None = None,
        options: SearchOptions | None = None,
    ) -> builtins.list[SearchResult]:
        check_many(queries, vectors, k, options)
        options = options or SearchOptions()
        mode, note, warnings = resolve_mode(self._table, options, text=queries is not None, vector=vectors is not None)
        if queries is not None and mode != "keyword":
            try:
                vectors = list(await self.aembed_queries(queries))
            except EmbeddingError as error:
                mode, note, warnings = self._by_words(error, options)
        asked = self._asked_many(mode, queries, vectors, note, warnings)
        return await self._arun(self._many_plan(asked, k, filter, options), retry=True) if asked else []

    def _asked_many(
        self, mode: Mode, queries: Sequence[str] | None, vectors: Any, note: str, warnings: tuple[str, ...]
    ) -> builtins.list[Asked]:
        if mode == "keyword":
            return [self._asked(mode, text, None, note, warnings) for text in queries or ()]
        texts = queries if queries is not None else [None] * len(vectors)
        return [
            Asked(
                mode=mode,
                text=text,
                vector=as_vector(vector, self._table.config, f"query vector {i}"),
                note=note,
                warnings=warnings,
            )
            for i, (text, vector) in enumerate(zip(texts, vectors, strict=True))
        ]

    def _many_plan(
        self, asked: Sequence[Asked], k: int, filter: Mapping[str, Any] | None, options: SearchOptions
    ) -> Callable[[], Plan[builtins.list[SearchResult]]]:
        condition = read.where(self._table, filter=filter)
        searches = self._asked_plan(asked, k, condition, filter, options)

        def plan() -> Plan[builtins.list[SearchResult]]:
            yield from self._estimates.learn(self._table, condition if filter else None)  # once, not by each
            return (yield from searches())

        return plan
