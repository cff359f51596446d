"""The peers' hybrid searches, each with the candidates and methods of fusion that it is best with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import psycopg
from numpy.typing import NDArray
from sqlalchemy import make_url

from rag_pgvector.evals.formats import RetrievalSet
from rag_pgvector.evals.retrieval import Evaluation, evaluate

__all__ = ["PEERS", "EvaluatePeer", "known_langchain", "known_llamaindex", "with_driver"]

#: url, golden set, document vectors, question vectors, metrics, k -> an evaluation by method.
EvaluatePeer: TypeAlias = Callable[
    [str, RetrievalSet, NDArray[Any], NDArray[Any], Sequence[str], int], dict[str, Evaluation]
]

CANDIDATES = 100
SHARES = (0.3, 0.5, 0.7, 0.9)


def langchain(
    url: str, golden: RetrievalSet, documents: NDArray[Any], queries: NDArray[Any], metrics: Sequence[str], k: int
) -> dict[str, Evaluation]:
    """langchain-postgres' ``PGVectorStore`` with ``HybridSearchConfig``."""
    from langchain_postgres import Column, PGEngine, PGVectorStore
    from langchain_postgres.v2.hybrid_search_config import (
        HybridSearchConfig,
        reciprocal_rank_fusion,
        weighted_sum_ranking,
    )

    with psycopg.connect(url) as conn:
        conn.execute("CREATE EXTENSION IF NOT EXISTS vector")
    size = documents.shape[1]
    engine = PGEngine.from_connection_string(with_driver(url, "psycopg"))
    engine.init_vectorstore_table(
        "bench",
        size,
        id_column=Column("langchain_id", "TEXT", nullable=False),
        hybrid_search_config=HybridSearchConfig(tsv_column="content_tsv"),
    )
    vectors = dict(zip(golden.queries.values(), queries.tolist(), strict=True))
    embedding = known_langchain(vectors.__getitem__)
    store = PGVectorStore.create_sync(
        engine, embedding, "bench", hybrid_search_config=HybridSearchConfig(tsv_column="content_tsv")
    )
    dense = PGVectorStore.create_sync(engine, embedding, "bench")
    store.add_embeddings(
        [each.content for each in golden.documents],
        documents.tolist(),
        ids=[each.id for each in golden.documents],
    )

    def search(question: str, depth: int, function: Any, parameters: dict[str, Any]) -> list[str]:
        # A configuration of its own for each question: the store writes into the one it is given.
        config = HybridSearchConfig(
            tsv_column="content_tsv",
            fts_query=question,
            fusion_function=function,
            fusion_function_parameters=dict(parameters),
            primary_top_k=CANDIDATES,
            secondary_top_k=CANDIDATES,
        )
        found = store.similarity_search_with_score_by_vector(vectors[question], k=depth, hybrid_search_config=config)
        return [str(document.id) for document, _ in found]

    methods: dict[str, tuple[Any, dict[str, Any]]] = {
        f"hybrid, weighted sum {share}": (
            weighted_sum_ranking,
            {"primary_results_weight": share, "secondary_results_weight": 1 - share},
        )
        for share in SHARES
    }
    methods["hybrid, rrf"] = (reciprocal_rank_fusion, {"rrf_k": 60})
    try:
        return {"retriever": evaluate(dense.as_retriever(search_kwargs={"k": k}), golden, metrics=metrics, k=k)} | {
            name: evaluate(
                lambda question, depth, how=how: search(question, depth, *how),
                golden,
                metrics=metrics,
                k=k,
            )
            for name, how in methods.items()
        }
    finally:
        asyncio.run(engine.close())


def llama_index(
    url: str, golden: RetrievalSet, documents: NDArray[Any], queries: NDArray[Any], metrics: Sequence[str], k: int
) -> dict[str, Evaluation]:
    """LlamaIndex's ``PGVectorStore``: its hybrid mode, and core's fusion of its dense and sparse modes."""
    from llama_index.core import VectorStoreIndex
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.core.schema import TextNode
    from llama_index.vector_stores.postgres import PGVectorStore

    vectors: dict[str, list[float]] = dict(zip(golden.queries.values(), queries.tolist(), strict=True))

    make: Any = PGVectorStore.from_params
    store = make(
        connection_string=with_driver(url, "psycopg2"),
        async_connection_string=with_driver(url, "asyncpg"),
        table_name="bench",
        embed_dim=documents.shape[1],
        use_jsonb=True,
        hybrid_search=True,
        text_search_config="english",
    )
    store.add(
        [
            TextNode(id_=each.id, text=each.content, embedding=vector)
            for each, vector in zip(golden.documents, documents.tolist(), strict=True)
        ]
    )
    index = VectorStoreIndex.from_vector_store(store, embed_model=known_llamaindex(vectors.__getitem__))

    def ids(retriever: Any, question: str) -> list[str]:
        return [each.node.node_id for each in retriever.retrieve(question)]

    def alone(mode: str, depth: int) -> Any:
        return index.as_retriever(vector_store_query_mode=mode, similarity_top_k=depth, sparse_top_k=depth)

    retrievers = {"hybrid, store": alone("hybrid", k), "sparse": alone("sparse", CANDIDATES)}
    for mode in ("reciprocal_rerank", "relative_score", "dist_based_score"):
        retrievers[f"hybrid, {mode}"] = QueryFusionRetriever(
            [alone("default", CANDIDATES), alone("sparse", CANDIDATES)],
            llm=MockLLM(),
            mode=mode,
            similarity_top_k=k,
            num_queries=1,
            use_async=False,
        )
    try:
        found = {"retriever": evaluate(index.as_retriever(similarity_top_k=k), golden, metrics=metrics, k=k)}
        return found | {
            name: evaluate(
                lambda question, depth, retriever=retriever: ids(retriever, question)[:depth],
                golden,
                metrics=metrics,
                k=k,
            )
            for name, retriever in retrievers.items()
        }
    finally:
        asyncio.run(store.close())


PEERS: dict[str, EvaluatePeer] = {"langchain-postgres": langchain, "llama-index": llama_index}


def known_langchain(embed: Callable[[str], list[float]]) -> Any:
    """An embedder of LangChain over vectors that are known."""
    from langchain_core.embeddings import Embeddings

    class Known(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [embed(text) for text in texts]

        def embed_query(self, text: str) -> list[float]:
            return embed(text)

    return Known()


def known_llamaindex(embed: Callable[[str], list[float]]) -> Any:
    """An embedder of LlamaIndex over vectors that are known."""
    from llama_index.core.base.embeddings.base import BaseEmbedding

    class Known(BaseEmbedding):  # type: ignore[misc]
        def _get_query_embedding(self, query: str) -> list[float]:
            return embed(query)

        def _get_text_embedding(self, text: str) -> list[float]:
            return embed(text)

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return embed(query)

    return Known()


def with_driver(url: str, driver: str) -> str:
    """The URL for one of SQLAlchemy's drivers."""
    return make_url(url).set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)
