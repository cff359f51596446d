"""Fusion by hand: scales, shares, missing candidates, ties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pgvector.fusion import convex, reciprocal_ranks, share, sharpness
from rag_pgvector.types import Chunk, ScoredChunk


def near(**scores: float) -> list[ScoredChunk]:
    """Hits of the vector arm, best first."""
    return [ScoredChunk(Chunk(id=id_, content=id_), score, 1.0 - score) for id_, score in scores.items()]


def words(distances: dict[str, float] | None = None, /, **scores: float) -> list[ScoredChunk]:
    """Hits of the keyword arm, best first."""
    found = distances or {}
    return [ScoredChunk(Chunk(id=id_, content=id_), score, found.get(id_)) for id_, score in scores.items()]


def fused(
    dense: list[ScoredChunk], keyword: list[ScoredChunk], alpha: float, complete: bool = True
) -> dict[str, float]:
    found = convex(
        dense,
        keyword,
        key=by_id,
        alpha=alpha,
        keyword_complete=complete,
        similarity=lambda distance: 1.0 - distance,
    )
    return {str(each.hit.chunk.id): round(each.score, 6) for each in found}


def by_id(hit: ScoredChunk) -> str | None:
    return hit.chunk.id


def test_scores_are_brought_to_one_scale_and_added() -> None:
    dense, keyword = near(a=0.9, b=0.7, c=0.5), words(b=20.0, c=10.0)
    assert fused(dense, keyword, 1.0) == {"a": 1.0, "b": 0.5, "c": 0.0}
    assert fused(dense, keyword, 0.0) == {"b": 1.0, "c": 0.5, "a": 0.0}
    assert fused(dense, keyword, 0.5) == {"b": 0.75, "a": 0.5, "c": 0.25}


def test_each_chunk_keeps_what_its_arms_said() -> None:
    first, second = convex(
        near(a=0.9, b=0.7),
        words(b=20.0),
        key=by_id,
        alpha=0.0,
        keyword_complete=True,
        similarity=lambda distance: 1.0 - distance,
    )
    assert (first.hit.chunk.id, first.keyword_score) == ("b", 20.0)
    assert (second.hit.chunk.id, second.keyword_score) == ("a", None)
    assert [first.hit.distance, second.hit.distance] == pytest.approx([0.3, 0.1])


def test_a_chunk_found_by_words_alone_is_compared_by_its_own_distance() -> None:
    dense = near(a=0.9, b=0.5)
    close, far = words({"c": 0.3}, c=10.0), words({"c": 0.9}, c=10.0)
    assert fused(dense, close, 0.5)["c"] == 0.75
    assert fused(dense, far, 0.5)["c"] == 0.0  # worse than all that was fetched: 0.5 * -1 + 0.5
    assert fused(dense, words(c=10.0), 0.5)["c"] == 0.5  # it has no embedding yet


def test_what_the_words_did_not_return_is_nothing_only_if_they_returned_all() -> None:
    dense, keyword = near(a=0.9, b=0.5), words(b=10.0, c=8.0)
    assert fused(dense, keyword, 0.0, complete=True)["a"] == 0.0
    assert fused(dense, keyword, 0.0, complete=False)["a"] == 0.4


def test_one_arm_alone_keeps_its_order() -> None:
    assert list(fused(near(a=0.9, b=0.5), [], 1.0)) == ["a", "b"]
    assert list(fused([], words(a=9.0, b=5.0), 0.0)) == ["a", "b"]
    assert fused([], [], 0.5) == {}
    assert fused(near(a=0.9), [], 1.0) == {"a": 1.0}


def test_the_sharper_arm_gets_more() -> None:
    flat = near(**{f"d{i}": 0.70 - 0.001 * i for i in range(20)})
    steep = words(w0=20.0, **{f"w{i}": 3.0 - 0.1 * i for i in range(1, 20)})
    assert share(flat, steep) < 0.1
    sharp = near(d0=0.8, **{f"d{i}": 0.2 - 0.001 * i for i in range(1, 20)})
    level = words(**{f"w{i}": 3.0 - 0.01 * i for i in range(20)})
    assert share(sharp, level) > 0.9


def test_an_identifier_that_stands_in_one_chunk_decides() -> None:
    """One hit by words is as sharp as can be: ranks two to ten are 0."""
    dense = near(**{f"d{i}": 0.5 - 0.01 * i for i in range(30)})
    alpha = share(dense, words(d29=7.0))
    assert alpha < 0.5
    assert next(iter(fused(dense, words(d29=7.0), alpha))) == "d29"


def test_nothing_on_one_side_leaves_all_to_the_other() -> None:
    assert share(near(a=0.5), []) == 1.0
    assert share([], words(a=5.0)) == 0.0
    same = words(**{f"w{i}": 2.0 for i in range(20)})
    assert share(near(**{f"d{i}": 0.5 for i in range(20)}), same) == 0.5


descending = st.lists(st.floats(-1, 1, allow_nan=False), min_size=1, max_size=40).map(
    lambda scores: sorted(scores, reverse=True)
)


@given(descending, descending, st.booleans())
def test_shares_and_scores_stay_within_0_and_1(vectors: list[float], terms: list[float], complete: bool) -> None:
    dense = near(**{f"c{i}": score for i, score in enumerate(vectors)})
    keyword = words(**{f"c{2 * i}": score + 1.001 for i, score in enumerate(terms)})
    alpha = share(dense, keyword)
    assert 0.0 <= alpha <= 1.0
    scores = list(fused(dense, keyword, alpha, complete).values())
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == len({hit.chunk.id for hit in (*dense, *keyword)})


@given(descending, st.floats(0.01, 1000))
def test_sharpness_does_not_know_the_unit_of_the_scores(scores: list[float], unit: float) -> None:
    expected = sharpness(scores, complete=False)
    assert sharpness([score * unit for score in scores], complete=False) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_reciprocal_ranks() -> None:
    found = reciprocal_ranks(near(a=0.9, b=0.7), words(b=20.0, c=1.0), key=by_id)
    assert [each.hit.chunk.id for each in found] == ["b", "a", "c"]
    assert found[0].score == pytest.approx(0.5 + 0.5 * 61 / 62)
    assert found[1].score == 0.5
    assert reciprocal_ranks(near(a=0.9), words(a=3.0), key=by_id)[0].score == 1.0


def test_the_best_alone_are_the_first_of_all() -> None:
    dense, keyword = near(a=0.9, b=0.7, c=0.7), words(d=20.0, b=1.0)
    for limit in range(6):
        assert (
            reciprocal_ranks(dense, keyword, key=by_id, limit=limit)
            == reciprocal_ranks(dense, keyword, key=by_id)[:limit]
        )
        best, every = (
            convex(
                dense,
                keyword,
                key=by_id,
                alpha=0.5,
                keyword_complete=True,
                similarity=lambda distance: 1.0 - distance,
                limit=each,
            )
            for each in (limit, None)
        )
        assert best == every[:limit]
