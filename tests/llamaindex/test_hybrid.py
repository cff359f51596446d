"""Search by words, and by words and vectors in one ranking, in every place and in both colours."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.vector_stores.types import VectorStoreQuery, VectorStoreQueryMode

from rag_pgvector.llamaindex import PGVectorStore
from tests.llamaindex.conftest import PLACES, Call, Make
from tests.llamaindex.test_store import animals, near, node, where

#: Nearest to [1, 0] first; the words point the other way.
TEXTS = {
    "a": "A cat sleeps on the sofa",
    "b": "A dog barks at the postman",
    "c": "The quick brown fox jumped over the lazy dog",
    "d": "A fox, a fox and another fox: foxes everywhere",
    "e": "O'Brien's whale sings",
}


@pytest.fixture(scope="module", params=PLACES)
def zoo(request: pytest.FixtureRequest, make: Make) -> PGVectorStore:
    store = make(request.param)
    store.add([node(id_, text, [1, i / 4], f"d{i % 2}", n=i) for i, (id_, text) in enumerate(TEXTS.items())])
    return store


def hybrid(words: str, k: int, **options: Any) -> Any:
    return near([1, 0], k, query_str=words, mode=VectorStoreQueryMode.HYBRID, **options)


@pytest.mark.parametrize("mode", [VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.TEXT_SEARCH])
def test_words(zoo: PGVectorStore, call: Call, mode: VectorStoreQueryMode) -> None:
    def found(words: str, **options: Any) -> Any:
        return call(zoo, "query", near([1, 0], 5, query_str=words, mode=mode, **options))

    assert set(found("where is the fox?").ids) == {"c", "d"}
    assert len(found("where is the fox?", sparse_top_k=1).ids) == 1
    assert found("   who' &..s |     (the): <-> **whales**?!!!").ids == ["e"]
    assert found("fox", filters=where("n", 2)).ids == ["c"]
    assert found("fox", doc_ids=["d1"]).ids == ["d"]
    assert found("giraffe").ids == []
    result = found("fox dog quick")
    assert result.ids[0] == "c"
    assert result.similarities == sorted(result.similarities, reverse=True)
    assert all(similarity > 0 for similarity in result.similarities)


def test_alpha_weighs_the_arms(zoo: PGVectorStore, call: Call) -> None:
    """There it is ignored, and dense results always stand first."""
    vectors = call(zoo, "query", hybrid("fox", 2, alpha=1.0))
    assert vectors.ids[:2] == ["a", "b"]
    words = call(zoo, "query", hybrid("fox", 2, alpha=0.0))
    assert set(words.ids[:2]) == {"c", "d"}
    both = call(zoo, "query", hybrid("fox", 2))
    assert set(both.ids) == {"a", "b", "c", "d"}  # the best two of each arm, as there
    for result in (vectors, words, both):
        assert result.similarities == sorted(result.similarities, reverse=True)
        assert all(0 <= similarity <= 1 for similarity in result.similarities)
        assert len(set(result.ids)) == len(result.ids)


def test_how_many(zoo: PGVectorStore, call: Call) -> None:
    assert len(call(zoo, "query", hybrid("fox", 2, hybrid_top_k=3)).ids) == 3
    assert len(call(zoo, "query", hybrid("fox", 2, sparse_top_k=1)).ids) == 3
    assert call(zoo, "query", hybrid("fox", 1, hybrid_top_k=1, alpha=1.0)).ids == ["a"]
    assert set(call(zoo, "query", hybrid("fox", 5, sparse_top_k=5)).ids) == set(TEXTS)
    assert call(zoo, "query", hybrid("giraffe", 2)).ids == ["a", "b"]


def test_filters_hold_for_both_arms(zoo: PGVectorStore, call: Call) -> None:
    assert set(call(zoo, "query", hybrid("fox", 5, doc_ids=["d1"])).ids) == {"b", "d"}
    assert call(zoo, "query", hybrid("fox", 5, filters=where("n", 3))).ids == ["d"]
    assert set(call(zoo, "query", hybrid("fox", 5, node_ids=["a", "c"])).ids) == {"a", "c"}


def test_a_changed_text_is_found_by_its_new_words(make: Make, place: str) -> None:
    store = make(place)
    store.add([node("a", "old words", [1, 0])])
    store.add([node("a", "new phrase", [1, 0])])
    sparse = VectorStoreQueryMode.SPARSE
    assert store.query(near([1, 0], query_str="old", mode=sparse)).ids == []
    assert store.query(near([1, 0], query_str="phrases", mode=sparse)).ids == ["a"]
    store.delete_nodes(["a"])
    assert store.query(near([1, 0], query_str="phrase", mode=sparse)).ids == []


@pytest.mark.parametrize("mode", ["default", "sparse", "text_search", "hybrid", "mmr"])
@pytest.mark.parametrize("words", ["", " \n"])
def test_where_nothing_is_asked_the_filter_says_all(store: PGVectorStore, call: Call, mode: str, words: str) -> None:
    """As VectorIndexAutoRetriever asks; with a vector of such a question it is the vector alone that ranks."""
    call(store, "add", animals())
    both = {"filters": where("ref_doc_id", "d1"), "mode": VectorStoreQueryMode(mode), "query_str": words}
    listed = call(store, "query", VectorStoreQuery(similarity_top_k=5, **both))
    assert (listed.ids, listed.similarities) == (["fox", "hound"], [0.0, 0.0])
    assert call(store, "query", VectorStoreQuery(similarity_top_k=1, **both)).ids == ["fox"]
    assert call(store, "query", near([0.1, 1], 5, **both)).ids == ["hound", "fox"]
