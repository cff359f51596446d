"""Searches made of several: diverse results (MMR), and many questions in one round trip."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from rag_pgvector import mmr, read
from rag_pgvector.arguments import check_many, check_query
from rag_pgvector.config import SearchOptions
from rag_pgvector.plan import Plan, together
from rag_pgvector.searchable import Searchable
from rag_pgvector.types import SearchResult
from rag_pgvector.vectors import VectorParam, as_vector

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

        The questions are embedded in one call where the embedder has one for it, and all searches go to the server in
        one round trip. Raises what ``search`` raises.
        """
        check_many(queries, vectors, k, options)
        condition = read.where(self._table, filter=filter)
        encoded = self._encoded(vectors if queries is None else self.embed_queries(queries))
        if not encoded:
            return []
        return self._run(self._many_plan(encoded, k, condition, bool(filter), options), retry=True)

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
        condition = read.where(self._table, filter=filter)
        encoded = self._encoded(vectors if queries is None else await self.aembed_queries(queries))
        if not encoded:
            return []
        return await self._arun(self._many_plan(encoded, k, condition, bool(filter), options), retry=True)

    def _encoded(self, vectors: Any) -> builtins.list[VectorParam]:
        return [as_vector(vector, self._table.config, f"query vector {i}") for i, vector in enumerate(vectors)]

    def _many_plan(
        self,
        encoded: Sequence[VectorParam],
        k: int,
        condition: read.Where | None,
        filtered: bool,
        options: SearchOptions | None,
    ) -> Callable[[], Plan[builtins.list[SearchResult]]]:
        searches = [self._search_plan(each, k, condition, filtered, options) for each in encoded]

        def plan() -> Plan[builtins.list[SearchResult]]:
            yield from self._estimates.learn(self._table, condition if filtered else None)  # once, not by each
            return (yield from together([make() for make in searches]))

        return plan
