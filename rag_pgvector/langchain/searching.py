"""The half of a LangChain store that searches."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from langchain_core.documents import Document

from rag_pgvector import read
from rag_pgvector.arguments import check_query
from rag_pgvector.collection import Collection
from rag_pgvector.config import SearchOptions
from rag_pgvector.errors import ConfigError
from rag_pgvector.langchain import hybrid
from rag_pgvector.langchain.documents import document_of
from rag_pgvector.langchain.indexes import search_options
from rag_pgvector.langchain.opening import OpenedStore
from rag_pgvector.plan import Plan
from rag_pgvector.types import Chunk, ScoredChunk, SearchResult
from rag_pgvector.vectors import as_vector

__all__ = ["SearchingStore"]

Scored = list[tuple[Document, float]]


@dataclass(frozen=True)
class _Request:
    """One search: what to look for and how."""

    collection: Collection
    query: str | None
    vector: Any
    k: int
    filter: Mapping[str, Any] | None
    options: SearchOptions
    #: The configuration and the words of a full-text search beside the vectors.
    config: Any = None
    words: str = ""

    @property
    def blank(self) -> bool:
        """Whether the question has no words. SelfQueryRetriever asks " " where the filter says all; langchain-postgres
        embeds that, and so does this store."""
        return self.query is not None and not self.query.strip()

    def embedded(self, vector: Any) -> _Request:
        """The same search by the question's vector."""
        return replace(self, query=None, vector=vector, options=replace(self.options, mode="dense"))


class SearchingStore(OpenedStore):
    """Searches. Beside the named arguments each takes:

    ``tenant``, ``scope``: whose rows, on a multi-tenant collection. ``options``: a SearchOptions. ``mode``: ``dense``,
    ``keyword`` or ``hybrid``. ``hybrid_search_config``, ``fts_query``: langchain-postgres's hybrid search. Anything
    else raises: a misspelt ``filter`` must not mean all rows.
    """

    def _request(
        self,
        query: str | None,
        vector: Any,
        k: int | None,
        filter: Mapping[str, Any] | None,
        given: dict[str, Any],
    ) -> _Request:
        rest = dict(given)
        collection = self._for(rest.pop("tenant", None), rest.pop("scope", None))
        text = rest.pop("query", None) if query is None else query
        config = rest.pop("hybrid_search_config", self.hybrid_search_config)
        words = rest.pop("fts_query", None)
        options = rest.pop("options", None)
        options = self._options if options is None else search_options(options)
        if "mode" in rest:
            options = replace(options, mode=rest.pop("mode"))
        elif query is None:  # the store's own mode is for questions: a vector has no words
            options = replace(options, mode="dense")
        if options.mode in ("keyword", "hybrid"):
            collection._table.require_native("keyword index: use hybrid_search_config=HybridSearchConfig()")
        if rest:
            raise ConfigError(
                f"{type(self).__name__} takes no {', '.join(sorted(rest))}: a search takes k, filter, tenant, scope, "
                "options, mode, hybrid_search_config and fts_query"
            )
        count = self.k if k is None else k
        if config is not None:
            words = config.fts_query or words or (text or "").strip()
        made = _Request(collection, query, vector, count, filter, options, config if words else None, words or "")
        if isinstance(query, str) and made.blank and options.mode != "keyword":
            check_query(None, (), count, None)
        else:
            check_query(query, vector, count, options)
        return made

    def _worded(self, request: _Request) -> _Request:
        """A search that has words, or goes by a vector."""
        if not request.blank:
            return request
        return request.embedded(request.collection.embed_query(request.query or ""))

    async def _aworded(self, request: _Request) -> _Request:
        if not request.blank:
            return request
        return request.embedded(await request.collection.aembed_query(request.query or ""))

    def _found(self, request: _Request) -> SearchResult:
        collection = request.collection
        if request.config is None:
            request = self._worded(request)
            return collection.search(
                request.query, vector=request.vector, k=request.k, filter=request.filter, options=request.options
            )
        vector = request.vector if request.query is None else collection.embed_query(request.query)
        near, worded = collection._run(_hybrid_plan(request, vector), retry=True)
        return hybrid.fuse(collection._table, near, worded, request.config, k=request.k)

    async def _afound(self, request: _Request) -> SearchResult:
        collection = request.collection
        if request.config is None:
            request = await self._aworded(request)
            return await collection.asearch(
                request.query, vector=request.vector, k=request.k, filter=request.filter, options=request.options
            )
        vector = request.vector if request.query is None else await collection.aembed_query(request.query)
        near, worded = await collection._arun(_hybrid_plan(request, vector), retry=True)
        return hybrid.fuse(collection._table, near, worded, request.config, k=request.k)

    def _scored(self, found: SearchResult) -> Scored:
        return [(document_of(hit.chunk), self._score(hit, found)) for hit in found]

    def _score(self, hit: ScoredChunk, found: SearchResult) -> float:
        """What langchain-postgres calls the distance: of inner products and fused searches it is higher-better."""
        by_vector = found.plan.kind not in ("hybrid", "keyword") and hit.distance is not None
        if not by_vector or self._collection._table.config.distance == "inner_product":
            return hit.score
        return float(hit.distance or 0.0)

    # -------------------------------------------------------------------------------------------------- by question

    def similarity_search(
        self, query: str, k: int | None = None, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        """The ``k`` documents nearest to a question, best first; ``k`` defaults to the store's."""
        return [document_of(hit.chunk) for hit in self._found(self._request(query, None, k, filter, kwargs))]

    async def asimilarity_search(
        self, query: str, k: int | None = None, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        found = await self._afound(self._request(query, None, k, filter, kwargs))
        return [document_of(hit.chunk) for hit in found]

    def similarity_search_with_score(
        self, query: str, k: int | None = None, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Scored:
        """With distances (lower-better); with inner products or fused scores (higher-better) where there are those."""
        return self._scored(self._found(self._request(query, None, k, filter, kwargs)))

    async def asimilarity_search_with_score(
        self, query: str, k: int | None = None, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Scored:
        return self._scored(await self._afound(self._request(query, None, k, filter, kwargs)))

    # ---------------------------------------------------------------------------------------------------- by vector

    def similarity_search_by_vector(
        self, embedding: list[float], k: int | None = None, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        return [doc for doc, _ in self.similarity_search_with_score_by_vector(embedding, k, filter, **kwargs)]

    async def asimilarity_search_by_vector(
        self, embedding: list[float], k: int | None = None, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> list[Document]:
        return [doc for doc, _ in await self.asimilarity_search_with_score_by_vector(embedding, k, filter, **kwargs)]

    def similarity_search_with_score_by_vector(
        self, embedding: list[float], k: int | None = None, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Scored:
        return self._scored(self._found(self._request(None, embedding, k, filter, kwargs)))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: list[float], k: int | None = None, filter: Mapping[str, Any] | None = None, **kwargs: Any
    ) -> Scored:
        return self._scored(await self._afound(self._request(None, embedding, k, filter, kwargs)))

    # ---------------------------------------------------------------------------------------------------- relevance

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        """From a score of ``similarity_search_with_score`` to a relevance: 1 is as near as can be."""
        distance = self._collection._table.config.distance
        if distance == "cosine":
            return lambda score: 1.0 - score
        if distance == "l2":
            return lambda score: 1.0 - score / math.sqrt(2)
        return lambda score: score  # the inner product itself: the cosine, of vectors of length 1

    def _similarity_search_with_relevance_scores(self, query: str, k: int | None = 4, **kwargs: Any) -> Scored:
        filter = kwargs.pop("filter", None)
        return self._relevant(self._found(self._request(query, None, k, filter, kwargs)))

    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int | None = 4, **kwargs: Any) -> Scored:
        filter = kwargs.pop("filter", None)
        return self._relevant(await self._afound(self._request(query, None, k, filter, kwargs)))

    def _relevant(self, found: SearchResult) -> Scored:
        if found.plan.kind in ("hybrid", "keyword"):  # fused scores are higher-better already
            return [(document_of(hit.chunk), hit.score) for hit in found]
        relevance = self._select_relevance_score_fn()
        return [(document_of(hit.chunk), relevance(self._score(hit, found))) for hit in found]

    # ------------------------------------------------------------------------------------------------ diverse results

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int | None = None,
        fetch_k: int | None = None,
        lambda_mult: float | None = None,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """``k`` documents near a question and unlike each other, in the order in which MMR takes them.

        ``fetch_k`` are chosen from. ``lambda_mult`` is 1 for nearness alone, 0 for difference alone.
        """
        found = self._diverse(self._request(query, None, k, filter, kwargs), fetch_k, lambda_mult)
        return [doc for doc, _ in self._scored(found)]

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int | None = None,
        fetch_k: int | None = None,
        lambda_mult: float | None = None,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        found = await self._adiverse(self._request(query, None, k, filter, kwargs), fetch_k, lambda_mult)
        return [doc for doc, _ in self._scored(found)]

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int | None = None,
        fetch_k: int | None = None,
        lambda_mult: float | None = None,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        found = self._diverse(self._request(None, embedding, k, filter, kwargs), fetch_k, lambda_mult)
        return [doc for doc, _ in self._scored(found)]

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int | None = None,
        fetch_k: int | None = None,
        lambda_mult: float | None = None,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        found = await self._adiverse(self._request(None, embedding, k, filter, kwargs), fetch_k, lambda_mult)
        return [doc for doc, _ in self._scored(found)]

    def max_marginal_relevance_search_with_score_by_vector(
        self,
        embedding: list[float],
        k: int | None = None,
        fetch_k: int | None = None,
        lambda_mult: float | None = None,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Scored:
        return self._scored(self._diverse(self._request(None, embedding, k, filter, kwargs), fetch_k, lambda_mult))

    async def amax_marginal_relevance_search_with_score_by_vector(
        self,
        embedding: list[float],
        k: int | None = None,
        fetch_k: int | None = None,
        lambda_mult: float | None = None,
        filter: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> Scored:
        request = self._request(None, embedding, k, filter, kwargs)
        return self._scored(await self._adiverse(request, fetch_k, lambda_mult))

    def _diverse(self, request: _Request, fetch_k: int | None, lambda_mult: float | None) -> SearchResult:
        request = self._worded(request)
        return request.collection.search_mmr(request.query, **self._mmr(request, fetch_k, lambda_mult))

    async def _adiverse(self, request: _Request, fetch_k: int | None, lambda_mult: float | None) -> SearchResult:
        request = await self._aworded(request)
        return await request.collection.asearch_mmr(request.query, **self._mmr(request, fetch_k, lambda_mult))

    def _mmr(self, request: _Request, fetch_k: int | None, lambda_mult: float | None) -> dict[str, Any]:
        return {
            "vector": request.vector,
            "k": request.k,
            "fetch_k": self.fetch_k if fetch_k is None else fetch_k,
            "lambda_mult": self.lambda_mult if lambda_mult is None else lambda_mult,
            "filter": request.filter,
            "options": replace(request.options, mode="dense"),
        }


def _hybrid_plan(request: _Request, vector: Any) -> Callable[[], Plan[tuple[SearchResult, list[tuple[Chunk, float]]]]]:
    collection, table, config = request.collection, request.collection._table, request.config
    condition = read.where(table, filter=request.filter)
    near = collection._search_plan(
        as_vector(vector, table.config),
        max(request.k, config.primary_top_k),
        condition,
        bool(request.filter),
        replace(request.options, mode="dense"),
    )

    def plan() -> Plan[tuple[SearchResult, list[tuple[Chunk, float]]]]:
        found = yield from near()
        worded = yield from hybrid.by_words(table, request.words, config, k=request.k, condition=condition)
        return found, worded

    return plan
