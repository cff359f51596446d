"""The gate: red on a real regression, green on noise, and what it tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import permutation_test

from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.formats import RetrievalSet
from rag_pgvector.evals.gate import check_run, holm, junit, randomisation_test, read_limits
from rag_pgvector.evals.retrieval import evaluate_run
from rag_pgvector.evals.runs import read_run, retrieval_run, write_run

QUESTIONS, DEPTH = 800, 10
METRICS = ["nDCG@10", "R@10", "RR@10"]
DROP = {"nDCG@10": 0.01}

Rankings = Mapping[str, Sequence[str]]


def golden() -> RetrievalSet:
    draw = np.random.default_rng(7)
    ids = [f"q{i}" for i in range(QUESTIONS)]
    qrels = {id_: {f"d{j}": 1 for j in draw.choice(60, size=int(draw.integers(1, 4)), replace=False)} for id_ in ids}
    return RetrievalSet(
        name="planted",
        documents=(),
        queries={id_: f"question {id_}" for id_ in ids},
        qrels=qrels,
        qrels_file="",
        absent=0,
    )


GOLDEN = golden()


def search(tie_seed: int) -> dict[str, list[str]]:
    """A search whose scores are the same every time, in steps, so that many tie; ties come in a random order."""
    draw, ties = np.random.default_rng(1), np.random.default_rng(tie_seed)
    rankings = {}
    for id_ in GOLDEN.queries:
        relevant = np.array([f"d{j}" in GOLDEN.qrels[id_] for j in range(60)])
        scores = np.round(2 * (draw.normal(size=60) + 1.6 * relevant)) / 2
        order = np.lexsort((ties.random(60), -scores))
        rankings[id_] = [f"d{j}" for j in order[:DEPTH]]
    return rankings


def run_of(rankings: Rankings) -> dict[str, Any]:
    return retrieval_run(GOLDEN, evaluate_run(rankings, GOLDEN, metrics=METRICS))


def worsened(rankings: Rankings, by: float) -> dict[str, list[str]]:
    """Some questions, drawn at random, lose their relevant documents, until the mean of nDCG@10 is so much lower."""
    found = {id_: list(ranking) for id_, ranking in rankings.items()}
    before = evaluate_run(rankings, GOLDEN, metrics=["nDCG@10"]).per_query
    lost = 0.0
    for id_ in np.random.default_rng(3).permutation(list(found)):
        if lost >= by * QUESTIONS:
            break
        lost += before[id_]["nDCG@10"]
        found[id_] = [each for each in found[id_] if each not in GOLDEN.qrels[id_]]
    return found


@pytest.fixture(scope="module")
def baseline() -> dict[str, Any]:
    return run_of(search(0))


def test_red_on_a_planted_regression_of_two_points(baseline: dict[str, Any]) -> None:
    run = run_of(worsened(search(1), 0.02))
    assert baseline["metrics"]["nDCG@10"] - run["metrics"]["nDCG@10"] == pytest.approx(0.02, abs=0.006)
    gate = check_run(run, baseline=baseline, max_drop=DROP)
    (check,) = gate.checks
    assert gate.state == "fail"
    assert check.p is not None
    assert check.p < 0.01
    assert check.counts is not None
    assert check.counts[0] > check.counts[1]
    id_, text, before, now = check.worse[0]
    assert (text, now) == (f"question {id_}", 0.0)
    assert before > 0.5
    assert "a regression" in check.message
    assert check_run(run, baseline=baseline).state == "fail"  # with no limit but chance


@pytest.mark.parametrize("seed", range(1, 11))
def test_green_on_noise(baseline: dict[str, Any], seed: int) -> None:
    run = run_of(search(seed))
    assert run["metrics"] != baseline["metrics"]  # it is noisy
    assert check_run(run, baseline=baseline, max_drop={"nDCG@10": 0.01, "R@10": 0.01, "RR@10": 0.02}).state == "pass"


def test_a_drop_that_may_be_chance_is_marginal() -> None:
    small = {"metrics": {"right": 0.0}, "questions": []}
    before = small | {"questions": [{"id": str(i), "values": {"right": 1.0}} for i in range(3)]}
    now = small | {"questions": [{"id": str(i), "values": {"right": float(i > 1)}} for i in range(3)]}
    gate = check_run(now, baseline=before, max_drop={"right": 0.1})
    assert gate.state == "marginal"
    assert 'failures="0"' in junit(gate, "few")
    assert 'failures="1"' in junit(gate, "few", strict=True)
    assert check_run(now, baseline=before).state == "pass"  # nobody said how far it may fall


def test_lower_better_metrics_count_the_other_way() -> None:
    def run(values: Sequence[float]) -> dict[str, Any]:
        questions = [{"id": str(i), "values": {"false_abstention": value}} for i, value in enumerate(values)]
        return {"metrics": {"false_abstention": sum(values) / len(values)}, "questions": questions}

    few, many = run([0.0] * 40), run([1.0] * 20 + [0.0] * 20)
    assert check_run(many, baseline=few).state == "fail"
    assert check_run(few, baseline=many).state == "pass"
    assert check_run(many, fail_under={"false_abstention": 0.4}).state == "fail"
    assert check_run(few, fail_under={"false_abstention": 0.4}).state == "pass"


@pytest.mark.parametrize(("limit", "state"), [(0.5, "pass"), (0.99, "fail")])
def test_a_floor(baseline: dict[str, Any], limit: float, state: str) -> None:
    gate = check_run(baseline, fail_under={"nDCG@10": limit})
    assert gate.state == state
    suite = ElementTree.fromstring(junit(gate, "planted")).find("testsuite")
    assert suite is not None
    assert suite.get("failures") == ("1" if state == "fail" else "0")


def test_what_cannot_be_compared_is_told(baseline: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not in the run"):
        check_run(baseline, fail_under={"nDCG@20": 0.1})
    with pytest.raises(ConfigError, match="baseline"):
        check_run(baseline, max_drop=DROP)
    other = baseline | {"questions": [{"id": "x", "values": {}}]}
    with pytest.raises(ConfigError, match="none of these questions"):
        check_run(baseline, baseline=other)
    fewer = baseline | {"questions": baseline["questions"][:100], "golden_sha256": "0"}
    assert len(check_run(baseline, baseline=fewer, max_drop=DROP).notes) == 2
    with pytest.raises(ConfigError, match=r"nDCG@10=\.70"):
        read_limits(["nDCG@10>0.7"], "--fail-under")
    assert read_limits(["nDCG@10=.70"], "--fail-under") == {"nDCG@10": 0.7}
    write_run(tmp_path / "run.json", baseline)
    assert read_run(tmp_path / "run.json") == baseline


@given(st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), min_size=2, max_size=11))
def test_the_exact_test_is_scipys(differences: list[float]) -> None:
    theirs = permutation_test(
        (np.asarray(differences),), np.sum, permutation_type="samples", alternative="less", n_resamples=np.inf
    )
    assert randomisation_test(differences) == pytest.approx(theirs.pvalue, abs=1e-9)


def test_the_sampled_test_is_near_the_exact_one() -> None:
    differences = list(np.random.default_rng(0).normal(-0.2, 1.0, size=60))
    theirs = permutation_test(
        (np.asarray(differences),), np.sum, permutation_type="samples", alternative="less", n_resamples=20_000, rng=1
    )
    assert randomisation_test(differences) == pytest.approx(theirs.pvalue, abs=0.015)
    assert randomisation_test(differences) == randomisation_test(differences)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
