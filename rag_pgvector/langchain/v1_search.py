"""The searches of langchain_postgres's v1 store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from rag_pgvector.collection import Collection
from rag_pgvector.config import SearchOptions
from rag_pgvector.errors import ConfigError
from rag_pgvector.langchain.documents import document_of
from rag_pgvector.types import SearchResult

__all__ = ["V1Searches"]

_Filter = Mapping[str, Any] | None
_Scored = list[tuple[Document, float]]
_DENSE = SearchOptions(mode="dense")
#: What retrievers hand to every kind of search, be it meant for another one.
_IGNORED = {"fetch_k", "lambda_mult", "score_threshold", "callbacks", "verbose"}


class V1Searches(VectorStore):
    """What ``PGVector`` searches with. A score here is a distance, lower-better, as v1's is.

    ``filter`` is in the language of docs/filters.md, ``k`` has no limit, and a result of MMR comes in MMR's order.
    """

    override_relevance_score_fn: Callable[[float], float] | None
    _collection: Collection | None

    @property
    def collection(self) -> Collection:
        """The rows, for everything that LangChain has no method for."""
        raise NotImplementedError

    # --------------------------------------------------------------------------------------------------- nearest

    def similarity_search(self, query: str, k: int = 4, filter: _Filter = None, **kwargs: Any) -> list[Document]:
        return _documents(self.similarity_search_with_score(query, k, filter, **kwargs))

    async def asimilarity_search(self, query: str, k: int = 4, filter: _Filter = None, **kwargs: Any) -> list[Document]:
        return _documents(await self.asimilarity_search_with_score(query, k, filter, **kwargs))

    def similarity_search_with_score(self, query: str, k: int = 4, filter: _Filter = None, **kwargs: Any) -> _Scored:
        vector = self.collection.embed_query(query)
        return self.similarity_search_with_score_by_vector(vector.tolist(), k, filter, **kwargs)

    async def asimilarity_search_with_score(
        self, query: str, k: int = 4, filter: _Filter = None, **kwargs: Any
    ) -> _Scored:
        vector = await (await self._acollection()).aembed_query(query)
        return await self.asimilarity_search_with_score_by_vector(vector.tolist(), k, filter, **kwargs)

    def similarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: _Filter = None, **kwargs: Any
    ) -> list[Document]:
        return _documents(self.similarity_search_with_score_by_vector(embedding, k, filter, **kwargs))

    async def asimilarity_search_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: _Filter = None, **kwargs: Any
    ) -> list[Document]:
        return _documents(await self.asimilarity_search_with_score_by_vector(embedding, k, filter, **kwargs))

    def similarity_search_with_score_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: _Filter = None, **kwargs: Any
    ) -> _Scored:
        return _scored(self.collection.search(vector=embedding, k=k, filter=filter, **_options(kwargs)))

    async def asimilarity_search_with_score_by_vector(
        self, embedding: Sequence[float], k: int = 4, filter: _Filter = None, **kwargs: Any
    ) -> _Scored:
        collection = await self._acollection()
        return _scored(await collection.asearch(vector=embedding, k=k, filter=filter, **_options(kwargs)))

    # --------------------------------------------------------------------------------------------------- diverse

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: _Filter = None,
        **kwargs: Any,
    ) -> list[Document]:
        return _documents(
            self.max_marginal_relevance_search_with_score(query, k, fetch_k, lambda_mult, filter, **kwargs)
        )

    async def amax_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: _Filter = None,
        **kwargs: Any,
    ) -> list[Document]:
        return _documents(
            await self.amax_marginal_relevance_search_with_score(query, k, fetch_k, lambda_mult, filter, **kwargs)
        )

    def max_marginal_relevance_search_with_score(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: _Filter = None,
        **kwargs: Any,
    ) -> _Scored:
        vector = self.collection.embed_query(query).tolist()
        return self.max_marginal_relevance_search_with_score_by_vector(
            vector, k, fetch_k, lambda_mult, filter, **kwargs
        )

    async def amax_marginal_relevance_search_with_score(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: _Filter = None,
        **kwargs: Any,
    ) -> _Scored:
        vector = (await (await self._acollection()).aembed_query(query)).tolist()
        return await self.amax_marginal_relevance_search_with_score_by_vector(
            vector, k, fetch_k, lambda_mult, filter, **kwargs
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: _Filter = None,
        **kwargs: Any,
    ) -> list[Document]:
        return _documents(
            self.max_marginal_relevance_search_with_score_by_vector(
                embedding, k, fetch_k, lambda_mult, filter, **kwargs
            )
        )

    async def amax_marginal_relevance_search_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: _Filter = None,
        **kwargs: Any,
    ) -> list[Document]:
        return _documents(
            await self.amax_marginal_relevance_search_with_score_by_vector(
                embedding, k, fetch_k, lambda_mult, filter, **kwargs
            )
        )

    def max_marginal_relevance_search_with_score_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: _Filter = None,
        **kwargs: Any,
    ) -> _Scored:
        given = {"k": k, "fetch_k": fetch_k, "lambda_mult": lambda_mult, "filter": filter, **_options(kwargs)}
        return _scored(self.collection.search_mmr(vector=embedding, **given))

    async def amax_marginal_relevance_search_with_score_by_vector(
        self,
        embedding: Sequence[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: _Filter = None,
        **kwargs: Any,
    ) -> _Scored:
        given = {"k": k, "fetch_k": fetch_k, "lambda_mult": lambda_mult, "filter": filter, **_options(kwargs)}
        return _scored(await (await self._acollection()).asearch_mmr(vector=embedding, **given))

    # ---------------------------------------------------------------------------------------------------- scores

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        if self.override_relevance_score_fn is not None:
            return self.override_relevance_score_fn
        return {
            "cosine": self._cosine_relevance_score_fn,
            "l2": self._euclidean_relevance_score_fn,
            # pgvector's distance is the negative product; v1 made 0.8 of a product of -0.2.
            "inner_product": lambda distance: max(0.0, -distance),
        }[self.collection.config.distance]

    async def _asimilarity_search_with_relevance_scores(self, query: str, k: int = 4, **kwargs: Any) -> _Scored:
        await self._acollection()  # opened before the relevance function asks for its distance
        return await super()._asimilarity_search_with_relevance_scores(query, k, **kwargs)

    async def _acollection(self) -> Collection:
        """``collection``, which may have to be opened, without holding the event loop."""
        if self._collection is not None:
            return self._collection
        return await asyncio.to_thread(lambda: self.collection)


def _options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """What is left of the arguments. v1 ignores all of them; a misspelt filter must not be."""
    if unknown := kwargs.keys() - {"options"} - _IGNORED:
        raise ConfigError(f"unknown argument {min(unknown)!r}: a search takes k, filter and options")
    return {"options": kwargs.get("options") or _DENSE}


def _scored(result: SearchResult) -> _Scored:
    return [(document_of(hit.chunk), hit.distance if hit.distance is not None else -hit.score) for hit in result]


def _documents(scored: _Scored) -> list[Document]:
    return [document for document, _ in scored]
