"""Measures of a confidence: does it put right answers first, and is it the probability that it claims to be?

Every function takes ``confidence`` (one number per question, higher is surer) and ``right`` (whether that answer was
right), both of shape ``(n,)``. Questions of equal confidence have no order: what depends on one is the mean over all
orders, so that no figure hangs on how the input was sorted. AUROC, AURC and coverage take scores of any scale; Brier
and calibration error take probabilities only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rag_pgvector.errors import ConfigError

__all__ = [
    "at_threshold",
    "augrc",
    "aurc",
    "auroc",
    "brier",
    "coverage_at",
    "e_aurc",
    "ece",
    "interval",
    "measure",
    "noise_floor",
    "reliability",
]

Floats: TypeAlias = NDArray[np.float64]
Flags: TypeAlias = NDArray[np.bool_]
Measure: TypeAlias = Callable[[Floats, Flags], "float | None"]

#: Bins of equal mass for calibration error.
BINS = 15


def auroc(confidence: ArrayLike, right: ArrayLike) -> float | None:
    """The probability that a right answer has more confidence than a wrong one, ties half. None with one kind only.

    Source: Hanley and McNeil 1982; scikit-learn's ``roc_auc_score``.
    """
    scores, flags = _checked(confidence, right)
    positive, negative = int(flags.sum()), int((~flags).sum())
    if not positive or not negative:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((ranks[flags].sum() - positive * (positive + 1) / 2) / (positive * negative))


def aurc(confidence: ArrayLike, right: ArrayLike) -> float:
    """Area under the risk-coverage curve: the share of wrong answers among the n surest, averaged over n. Lower-better.

    Source: Geifman, Uziel and El-Yaniv 2019, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers".
    """
    scores, flags = _checked(confidence, right)
    return float(_risks(scores, flags).mean())


def e_aurc(confidence: ArrayLike, right: ArrayLike) -> float:
    """AURC above that of an order which puts every right answer first. 0 is perfect. The same source."""
    scores, flags = _checked(confidence, right)
    perfect = np.concatenate([np.zeros(int(flags.sum())), np.arange(1, int((~flags).sum()) + 1)])
    return float(_risks(scores, flags).mean() - (perfect / np.arange(1, len(flags) + 1)).mean())


def augrc(confidence: ArrayLike, right: ArrayLike) -> float:
    """The same area with the risk of all questions, answered wrong, instead of those accepted. Lower-better.

    Source: Traub et al. 2024, "Overcoming Common Flaws in the Evaluation of Selective Classification Systems".
    """
    scores, flags = _checked(confidence, right)
    return float((_risks(scores, flags) * np.arange(1, len(flags) + 1)).mean() / len(flags))


def coverage_at(confidence: ArrayLike, right: ArrayLike, *, accuracy: float) -> float:
    """The largest share of questions that a threshold can answer with at least this share of them right, 0 to 1.

    Source: Kamath, Jia and Liang 2020, "Selective Question Answering under Domain Shift".
    """
    scores, flags = _checked(confidence, right)
    _, first = np.unique(-scores, return_inverse=True)
    counts = np.bincount(first)
    answered = np.cumsum(counts)
    correct = np.cumsum(np.bincount(first, weights=flags))
    enough = np.flatnonzero(correct >= accuracy * answered - 1e-9)
    return float(answered[enough[-1]] / len(flags)) if len(enough) else 0.0


def brier(confidence: ArrayLike, right: ArrayLike) -> float:
    """Mean squared difference of confidence and outcome. Source: Brier 1950; scikit-learn's ``brier_score_loss``."""
    scores, flags = _checked(confidence, right, probability=True)
    return float(np.mean((scores - flags) ** 2))


def reliability(confidence: ArrayLike, right: ArrayLike, *, bins: int = BINS) -> list[tuple[int, float, float]]:
    """Bins of equal mass in order of confidence: how many questions, their mean confidence, their share of right ones.

    Bins differ by at most one question; empty ones are left out. Questions of equal confidence share their outcome.
    """
    scores, flags = _checked(confidence, right, probability=True)
    order = np.argsort(scores, kind="stable")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    shared = (np.bincount(inverse, weights=flags) / counts)[inverse]
    return [
        (len(part), float(scores[part].mean()), float(shared[part].mean()))
        for part in np.array_split(order, bins)
        if len(part)
    ]


def ece(confidence: ArrayLike, right: ArrayLike, *, bins: int = BINS, debiased: bool = True) -> float:
    """Expected calibration error: the mean distance of confidence and share of right ones over bins of equal mass.

    The plain estimate grows with noise: a perfect model has .10 on 100 questions (``noise_floor``). ``debiased``
    subtracts from each bin what a normal error of its share adds to the distance in the mean, and is at least 0; about
    half of the excess stays, so read it beside the floor.

    Source: Naeini, Cooper and Hauskrecht 2015; debiased as in Kumar, Liang and Ma 2019, "Verified Uncertainty
    Calibration" (their ``normal_debiased_ce``, here in closed form).
    """
    found = reliability(confidence, right, bins=bins)
    total = sum(count for count, _, _ in found)
    error = 0.0
    for count, claimed, share in found:
        distance = abs(claimed - share)
        if debiased:
            distance = 2.0 * distance - _folded(distance, math.sqrt(share * (1.0 - share) / count))
        error += distance * count / total
    return max(0.0, error)


def noise_floor(confidence: ArrayLike, *, bins: int = BINS, draws: int = 200, seed: int = 0) -> float:
    """The plain ECE that a perfectly calibrated model with these confidences shows in the mean."""
    scores, _ = _checked(confidence, np.zeros(len(np.asarray(confidence)), dtype=bool), probability=True)
    draw = np.random.default_rng(seed)
    return float(
        np.mean([ece(scores, draw.random(len(scores)) < scores, bins=bins, debiased=False) for _ in range(draws)])
    )


def at_threshold(confidence: ArrayLike, right: ArrayLike, *, threshold: float) -> dict[str, float | None]:
    """``answered``: the share at or above the threshold; ``accuracy``: the share of these that are right."""
    scores, flags = _checked(confidence, right)
    given = scores >= threshold
    return {
        "answered": float(given.mean()),
        "accuracy": float(flags[given].mean()) if given.any() else None,
    }


def interval(
    function: Measure,
    confidence: ArrayLike,
    right: ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    level: float = 0.95,
    resamples: int = 500,
    seed: int = 0,
) -> list[float] | None:
    """The percentile bootstrap interval ``[low, high]`` of a measure, questions drawn anew.

    ``groups`` (one per question: the document that it is about) are drawn whole, since questions about one document
    are right or wrong together. Resamples that have no value count as missing; None where all do. Source: Efron 1979.
    """
    scores, flags = _checked(confidence, right)
    members = [np.array([at]) for at in range(len(flags))]
    if groups is not None:
        if len(groups) != len(flags):
            raise ConfigError(f"groups: {len(groups)} for {len(flags)} questions: give one each")
        by_group: dict[Hashable, list[int]] = {}
        for at, group in enumerate(groups):
            by_group.setdefault(group, []).append(at)
        members = [np.array(places) for places in by_group.values()]
    draw = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        chosen = np.concatenate([members[at] for at in draw.integers(len(members), size=len(members))])
        value = function(scores[chosen], flags[chosen])
        if value is not None:
            values.append(value)
    if not values:
        return None
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return [float(low), float(high)]


#: What ``measure`` reports.
MEASURES: dict[str, Measure] = {
    "auroc": auroc,
    "aurc": aurc,
    "e_aurc": e_aurc,
    "augrc": augrc,
    "brier": brier,
    "ece": lambda confidence, right: ece(confidence, right, debiased=False),
    "ece_debiased": ece,
    "coverage_at_80": lambda confidence, right: coverage_at(confidence, right, accuracy=0.8),
    "coverage_at_90": lambda confidence, right: coverage_at(confidence, right, accuracy=0.9),
}


def measure(
    confidence: ArrayLike,
    right: ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    intervals: bool = False,
    resamples: int = 500,
    seed: int = 0,
) -> dict[str, Any]:
    """All measures by name, ``n``, ``base_rate`` and ECE's noise floor; with ``intervals`` also each one's interval.

    Scores outside 0..1 get no Brier score and no calibration error (None).
    """
    scores, flags = _checked(confidence, right)
    probability = bool(((scores >= 0.0) & (scores <= 1.0)).all())
    found: dict[str, Any] = {"n": len(flags), "base_rate": float(flags.mean())}
    for name, function in MEASURES.items():
        if not probability and name.startswith(("brier", "ece")):
            found[name] = None
            continue
        found[name] = function(scores, flags)
        if intervals:
            found[f"{name}_interval"] = interval(function, scores, flags, groups=groups, resamples=resamples, seed=seed)
    found["ece_noise_floor"] = noise_floor(scores, draws=50, seed=seed) if probability else None
    return found


def _checked(confidence: ArrayLike, right: ArrayLike, *, probability: bool = False) -> tuple[Floats, Flags]:
    scores, flags = np.asarray(confidence, dtype=np.float64), np.asarray(right)
    if scores.ndim != 1 or scores.shape != flags.shape or not len(scores):
        raise ConfigError(f"confidence {scores.shape} and right {flags.shape}: give one of each per question")
    if not np.isfinite(scores).all():
        raise ConfigError(
            "confidence: every value must be a finite number; leave unmeasured questions out and count them"
        )
    if probability and not ((scores >= 0.0) & (scores <= 1.0)).all():
        raise ConfigError(f"confidence from {scores.min()} to {scores.max()}: use probabilities from 0 to 1")
    return scores, flags.astype(np.bool_)


def _risks(scores: Floats, flags: Flags) -> Floats:
    """The share of wrong ones among the n surest, for n = 1..; the mean over all orders of equal ones."""
    _, inverse, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    wrong = np.bincount(inverse, weights=~flags) / counts
    return np.asarray(np.cumsum(np.repeat(wrong, counts)) / np.arange(1, len(flags) + 1))


def _folded(mean: float, deviation: float) -> float:
    """The mean of ``|x|`` for a normal ``x``."""
    if deviation <= 0.0:
        return abs(mean)
    scaled = mean / deviation
    return deviation * math.sqrt(2.0 / math.pi) * math.exp(-scaled * scaled / 2.0) + mean * math.erf(
        scaled / math.sqrt(2.0)
    )
