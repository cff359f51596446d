"""Each metric equals ir-measures on random and on edge-case runs."""

from __future__ import annotations

import ir_measures
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ir_measures import AP, RR, P, R, Success, nDCG

from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.metrics import bootstrap, metric

THEIRS = {
    "nDCG": nDCG,
    "nDCG_exp": nDCG,
    "R": R,
    "P": P,
    "RR": RR,
    "AP": AP,
    "Success": Success,
}
ids = st.sampled_from([f"d{i}" for i in range(12)])
rankings = st.lists(ids, unique=True, max_size=12)
judgements = st.dictionaries(ids, st.integers(-1, 4), min_size=1, max_size=12)


@pytest.mark.parametrize("name", THEIRS)
@given(ranking=rankings, judged=judgements, k=st.integers(1, 15))
@example(ranking=[], judged={"d1": 1}, k=10)
@example(ranking=["d1"], judged={"d1": 0}, k=10)
@example(ranking=["d2", "d1"], judged={"d1": 4, "d2": -1}, k=1)
def test_the_same_as_ir_measures(name: str, ranking: list[str], judged: dict[str, int], k: int) -> None:
    ours, depth = metric(f"{name}@{k}")
    assert depth == k
    # What ir-measures has for the exponential gain rounds to five digits: the gains are given as relevances instead.
    gain = (lambda grade: 2**grade - 1 if grade > 0 else 0) if name == "nDCG_exp" else int
    qrels = [ir_measures.Qrel("q", id_, gain(grade)) for id_, grade in judged.items()]
    run = [ir_measures.ScoredDoc("q", id_, float(-rank)) for rank, id_ in enumerate(ranking)]
    measure = THEIRS[name] @ k
    assert ours(ranking, judged) == pytest.approx(ir_measures.calc_aggregate([measure], qrels, run)[measure], abs=1e-9)


def test_the_two_gains_differ_where_relevance_is_graded() -> None:
    judged, ranking = {"a": 1, "b": 3}, ["a", "b"]
    linear, exponential = metric("nDCG@10")[0], metric("nDCG_exp@10")[0]
    assert linear(ranking, judged) != pytest.approx(exponential(ranking, judged), abs=0.01)


@pytest.mark.parametrize("name", ["nDCG", "nDCG@0", "nDCG@-1", "ndcg@10", "R@ten", "", "R@10@5"])
def test_names_that_are_no_metric(name: str) -> None:
    with pytest.raises(ConfigError, match="such as nDCG@10"):
        metric(name)


def test_the_interval_holds_the_mean_and_narrows() -> None:
    few, many = [0.0, 1.0] * 10, [0.0, 1.0] * 1000
    low, high = bootstrap(few)
    assert low < 0.5 < high
    assert bootstrap(few) == [low, high]
    assert bootstrap(many)[1] - bootstrap(many)[0] < (high - low) / 5
    assert bootstrap([0.7]) == [0.7, 0.7]
