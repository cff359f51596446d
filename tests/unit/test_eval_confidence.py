"""The measures of a confidence, against scikit-learn, by hand, and under shuffling."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from rag_pgvector.errors import ConfigError
from rag_pgvector.evals import confidence as c

RNG = np.random.default_rng(5)
#: Confidences with ties, and outcomes that follow them.
SCORES = np.round(RNG.random(400), 2)
RIGHT = RNG.random(400) < SCORES


def test_auroc_and_brier_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn comes with the extra dev")
    assert c.auroc(SCORES, RIGHT) == pytest.approx(metrics.roc_auc_score(RIGHT, SCORES))
    assert c.brier(SCORES, RIGHT) == pytest.approx(metrics.brier_score_loss(RIGHT, SCORES))
    assert c.auroc(SCORES * 7 - 3, RIGHT) == pytest.approx(c.auroc(SCORES, RIGHT))


def test_auroc_needs_both_kinds() -> None:
    assert c.auroc([0.1, 0.2], [True, True]) is None
    assert c.auroc([0.5, 0.5], [True, False]) == 0.5


def test_aurc_is_the_mean_over_all_orders_of_ties() -> None:
    scores, right = [0.9, 0.5, 0.5, 0.5, 0.1], [True, True, False, False, True]
    found = []
    for order in itertools.permutations(range(1, 4)):
        outcome = [right[0], *(right[at] for at in order), right[4]]
        found.append(np.mean([1 - sum(outcome[:n]) / n for n in range(1, 6)]))
    assert c.aurc(scores, right) == pytest.approx(np.mean(found))


def test_e_aurc_is_zero_for_a_perfect_order_and_near_the_closed_form() -> None:
    right = np.arange(2_000) < 1_200
    assert c.e_aurc(np.where(right, 0.9, 0.1), right) == pytest.approx(0.0)
    assert c.e_aurc(np.linspace(1, 0, 2_000), right) == pytest.approx(0.0)
    closed = 0.4 + 0.6 * math.log(0.6)
    assert c.aurc(np.linspace(1, 0, 2_000), right) == pytest.approx(closed, abs=1e-3)
    assert c.e_aurc(np.full(2_000, 0.5), right) == pytest.approx(0.4 - closed, abs=1e-3)


def test_augrc_of_a_guess_is_half_its_error() -> None:
    right = np.arange(1_000) % 4 > 0
    assert c.augrc(np.full(1_000, 0.3), right) == pytest.approx(0.125, abs=1e-3)


@pytest.mark.parametrize("name", sorted(c.MEASURES))
def test_the_order_of_the_input_does_not_matter(name: str) -> None:
    order = np.random.default_rng(1).permutation(len(SCORES))
    assert c.MEASURES[name](SCORES[order], RIGHT[order]) == pytest.approx(c.MEASURES[name](SCORES, RIGHT))


def test_coverage_counts_only_what_a_threshold_can_do() -> None:
    scores, right = [0.9, 0.8, 0.8, 0.7], [True, True, False, True]
    assert c.coverage_at(scores, right, accuracy=1.0) == 0.25
    assert c.coverage_at(scores, right, accuracy=0.75) == 1.0
    assert c.coverage_at([0.5, 0.5], [True, False], accuracy=0.9) == 0.0


def test_ece_by_hand() -> None:
    scores, right = [0.1, 0.1, 0.9, 0.9], [False, True, True, True]
    assert [share for _, _, share in c.reliability(scores, right, bins=2)] == [0.5, 1.0]
    assert [claimed for _, claimed, _ in c.reliability(scores, right, bins=2)] == pytest.approx([0.1, 0.9])
    assert c.ece(scores, right, bins=2, debiased=False) == pytest.approx(0.25)


def test_the_debiased_error_of_a_perfect_model_is_smaller() -> None:
    plain, debiased = [], []
    for seed in range(60):
        draw = np.random.default_rng(seed)
        scores = draw.random(300)
        right = draw.random(300) < scores
        plain.append(c.ece(scores, right, debiased=False))
        debiased.append(c.ece(scores, right))
    assert np.mean(plain) > 0.06
    assert np.mean(debiased) < 0.62 * np.mean(plain)
    assert c.noise_floor(np.random.default_rng(0).random(300)) == pytest.approx(np.mean(plain), abs=0.01)


def test_the_debiased_error_of_a_wrong_model_stays() -> None:
    draw = np.random.default_rng(3)
    right = draw.random(3_000) < 0.5
    assert c.ece(np.full(3_000, 0.8), right) == pytest.approx(0.3, abs=0.03)


def test_the_folded_mean_is_that_of_many_draws() -> None:
    draws = np.abs(np.random.default_rng(0).normal(0.05, 0.1, 400_000))
    assert c._folded(0.05, 0.1) == pytest.approx(draws.mean(), abs=5e-4)


def test_groups_are_drawn_whole() -> None:
    right = np.repeat(np.arange(20) % 2 == 0, 20)
    scores = np.full(400, 0.5)
    alone = c.interval(c.brier, scores, right)
    assert alone == [0.25, 0.25]
    free = c.interval(lambda _, flags: float(flags.mean()), scores, right)
    whole = c.interval(
        lambda _, flags: float(flags.mean()), scores, right, groups=np.repeat(np.arange(20), 20).tolist()
    )
    assert free is not None
    assert whole is not None
    assert whole[1] - whole[0] > 3 * (free[1] - free[0])


def test_measure_says_none_where_scores_are_no_probabilities() -> None:
    found = c.measure(SCORES * 3, RIGHT)
    assert found["ece"] is found["brier"] is found["ece_noise_floor"] is None
    full = c.measure(SCORES, RIGHT, intervals=True, resamples=50)
    assert full["n"] == 400
    assert full["auroc_interval"][0] < full["auroc"] < full["auroc_interval"][1]


@pytest.mark.parametrize(
    ("scores", "right"), [([], []), ([0.1], [True, False]), ([math.nan], [True]), ([[0.1]], [[True]])]
)
def test_what_cannot_be_measured_is_refused(scores: list[float], right: list[bool]) -> None:
    with pytest.raises(ConfigError):
        c.auroc(scores, right)


def test_probabilities_only() -> None:
    with pytest.raises(ConfigError, match="probabilities"):
        c.brier([1.2], [True])
    with pytest.raises(ConfigError, match="groups"):
        c.interval(c.brier, [0.2], [True], groups=["a", "b"])
    assert c.at_threshold([0.7, 0.2], [True, True], threshold=0.6) == {"answered": 0.5, "accuracy": 1.0}
    assert c.at_threshold([0.2], [True], threshold=0.6)["accuracy"] is None
