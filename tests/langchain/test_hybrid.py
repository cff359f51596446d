"""Hybrid search by a HybridSearchConfig, ours and langchain-postgres's, and what that gets wrong."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from langchain_postgres.v2 import hybrid_search_config as theirs

from rag_pgvector import SearchOptions
from rag_pgvector.errors import ConfigError
from rag_pgvector.langchain import (
    DistanceStrategy,
    HybridSearchConfig,
    PGEngine,
    PGVectorStore,
    reciprocal_rank_fusion,
    weighted_sum_ranking,
)
from tests.langchain.stores import Angles, contents, table

TEXTS = ["an apple a day", "a pear is a fruit", "plums and pears", "the apple tree", "nothing of the kind", "stones"]


@pytest.fixture
def filled(store: PGVectorStore) -> PGVectorStore:
    store.add_texts(TEXTS, [{"n": n} for n in range(len(TEXTS))])
    return store


def words(text: str, **given: Any) -> HybridSearchConfig:
    """Only the words count."""
    weights = {"primary_results_weight": 0.0, "secondary_results_weight": 1.0}
    return HybridSearchConfig(fusion_function_parameters=weights, **given)


def test_the_second_question_is_not_the_first(filled: PGVectorStore) -> None:
    config = words("")
    before = copy.deepcopy(config)
    assert "apple" in filled.similarity_search("apple", k=1, hybrid_search_config=config)[0].page_content
    assert "pear" in filled.similarity_search("pear", k=1, hybrid_search_config=config)[0].page_content
    filled.hybrid_search_config = config
    assert "apple" in filled.similarity_search("apple", k=1)[0].page_content
    assert "pear" in filled.similarity_search("pear", k=1)[0].page_content
    assert config == before


def test_k_is_honoured(filled: PGVectorStore) -> None:
    for config in (HybridSearchConfig(), HybridSearchConfig(fusion_function=reciprocal_rank_fusion)):
        assert len(filled.similarity_search("apple", k=6, hybrid_search_config=config)) == 6
        vector = filled.collection.embed_query("apple")
        assert len(filled.similarity_search_by_vector(list(vector), k=6, hybrid_search_config=config)) == 6
        assert len(filled.similarity_search("apple", k=2, hybrid_search_config=config)) == 2


def test_the_best_has_the_best_relevance(filled: PGVectorStore) -> None:
    config = words("")
    found = filled.similarity_search_with_relevance_scores("apple", k=6, hybrid_search_config=config)
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1.0
    assert "apple" in found[0][0].page_content


def test_filters_hold_for_both_halves(filled: PGVectorStore) -> None:
    found = filled.similarity_search("apple", k=6, filter={"n": {"$lt": 2}}, hybrid_search_config=words(""))
    assert sorted(contents(found)) == sorted(TEXTS[:2])


async def test_asynchronously(filled: PGVectorStore) -> None:
    found = await filled.asimilarity_search("stones", k=1, hybrid_search_config=words("", fts_query="tree"))
    assert contents(found) == ["the apple tree"]
    await filled.collection.database.aclose()


def test_a_tsvector_column_is_filled_and_used(engine: PGEngine) -> None:
    store = table(engine, hybrid_search_config=HybridSearchConfig(tsv_column="words", index_name="words_index"))
    store.add_texts(TEXTS)
    store.apply_hybrid_search_index()
    assert store.is_valid_index("words_index")
    [found] = store.similarity_search("x", k=1, hybrid_search_config=words("", fts_query="pears"))
    assert "pear" in found.page_content
    rows = engine.database.run(lambda: _column("SELECT count(*) FROM t WHERE words @@ to_tsquery('english', 'pear')"))
    assert rows == [(2,)]
    plain = PGVectorStore.create_sync(engine, store.embeddings, "t")  # type: ignore[arg-type]
    plain.add_texts(["without a configuration: pears"])  # the column is NOT NULL
    rows = engine.database.run(lambda: _column("SELECT count(*) FROM t WHERE words @@ to_tsquery('english', 'pear')"))
    assert rows == [(3,)]


def _column(query: str) -> Any:
    from psycopg import sql

    from rag_pgvector.plan import Execute

    return (yield Execute(sql.SQL(query)))


def test_their_configuration_and_functions_work(filled: PGVectorStore) -> None:
    for function in (theirs.weighted_sum_ranking, theirs.reciprocal_rank_fusion):
        config = theirs.HybridSearchConfig(fusion_function=function)
        found = filled.similarity_search("apple", k=5, hybrid_search_config=config)
        assert len(found) == 5


@pytest.mark.parametrize("strategy", list(DistanceStrategy))
@pytest.mark.parametrize("name", ["weighted_sum_ranking", "reciprocal_rank_fusion"])
def test_fusion_is_theirs(name: str, strategy: DistanceStrategy) -> None:
    from langchain_postgres.v2.indexes import DistanceStrategy as TheirStrategy

    ours: Any = {"weighted_sum_ranking": weighted_sum_ranking, "reciprocal_rank_fusion": reciprocal_rank_fusion}[name]
    dense = [{"id": str(n), "distance": score} for n, score in enumerate([0.1, 0.4, 0.35, 0.9])]
    sparse = [{"id": str(n), "distance": score} for n, score in ((3, 0.5), (1, 0.2), (7, 0.1))]
    found = ours(dense, sparse, fetch_top_k=5, distance_strategy=strategy)
    expected = getattr(theirs, name)(dense, sparse, fetch_top_k=5, distance_strategy=TheirStrategy[strategy.name])
    assert [(row["id"], pytest.approx(row["distance"])) for row in expected] == [
        (row["id"], row["distance"]) for row in found
    ]


def test_a_fusion_function_that_makes_up_rows_is_named(filled: PGVectorStore) -> None:
    config = HybridSearchConfig(fusion_function=lambda dense, sparse, **_: [{"id": "made up", "distance": 1}])
    with pytest.raises(ConfigError, match="made up"):
        filled.similarity_search("apple", hybrid_search_config=config)


async def test_our_own_keywords(database_url: str) -> None:
    store = PGVectorStore(Angles(), collection="docs", connection=database_url)
    store.add_texts(TEXTS, [{"n": n} for n in range(len(TEXTS))])
    assert sorted(contents(store.similarity_search("apples", k=2, mode="keyword"))) == [TEXTS[0], TEXTS[3]]
    assert contents(store.similarity_search("apples", k=2, mode="keyword", filter={"n": 3})) == [TEXTS[3]]
    found = store.similarity_search_with_score("apples", k=4, mode="hybrid")
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)  # fused, higher-better
    assert contents(await store.asimilarity_search("tree", k=1, mode="keyword")) == [TEXTS[3]]
    hybrid = PGVectorStore(Angles(), collection=store.collection, options=SearchOptions(mode="hybrid"))
    relevant = await hybrid.asimilarity_search_with_relevance_scores("apples", k=4)
    assert all(0.0 <= score <= 1.0 for _, score in relevant)
    vector = Angles().embed_query(TEXTS[5])
    assert contents(hybrid.similarity_search_by_vector(vector, k=1)) == [TEXTS[5]]  # a vector has no words
    await store.collection.database.aclose()
