"""Confidence: the estimated probability that an answer is right and supported by its citations.

A logistic function of a few signals, none of which can lower the confidence by growing: more evidence is never worth
less. The shipped weights are a prior, fitted on public questions; a collection's own questions make a calibration.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rag_pgvector.answer.reader import weights_id
from rag_pgvector.answer.types import ConfidenceKind

__all__ = [
    "FORMAT",
    "ITEM_CONFIDENCE",
    "PRIOR",
    "PRIOR_UNREAD",
    "TABLE_CALCULATED",
    "TABLE_CONFIDENCE",
    "TABLE_LIST_CONFIDENCE",
    "TABLE_SOFT",
    "Judgement",
    "Prior",
    "extractive_confidence",
    "extractive_logit",
    "guaranteed_thresholds",
    "judge",
    "mismatch",
    "prior_id",
    "prior_of",
    "upper_bound",
]

#: Of a calibration as JSON.
FORMAT = "rag_pgvector.calibration/1"


@dataclass(frozen=True, slots=True)
class Prior:
    """Weights of signals, by name, none of them negative."""

    intercept: float
    weights: Mapping[str, float]


# Fitted by ``python -m rag_pgvector.evals.fit_prior`` on seven sets (all-MiniLM-L6-v2). What they do on a set that they
# were not fitted on is in docs/confidence.md: a calibration error of .02 to .18, and a worse order in other languages.
#: Where there is no reader.
PRIOR_UNREAD = Prior(
    -7.0228,
    {
        "margin": 2.5517,
        "mass": 2.6896,
        "words": 1.4213,
        "firsts": 1.7449,
        "said": 2.2646,
        "pairs": 0.0,
        "cosine": 2.2929,
        "lead": 0.2129,
        "value": 0.2494,
    },
)
#: Where there is one: fitted on questions that the reader was not trained on, which a GPU read for it, by the same
#: program's functions, before the weights became int8.
PRIOR = Prior(
    -7.7936,
    {
        "margin": 1.8076,
        "mass": 1.6343,
        "words": 1.0761,
        "firsts": 2.2378,
        "said": 1.0117,
        "pairs": 0.0,
        "cosine": 1.7452,
        "lead": 0.2313,
        "value": 0.681,
        "read": 4.6269,
    },
)

#: A table cell that every condition of the question points to; several cells that all do.
TABLE_CONFIDENCE = 0.95
TABLE_LIST_CONFIDENCE = 0.75
#: A calculation over rows; a cell that is named in other words than the table's.
TABLE_CALCULATED = 0.85
TABLE_SOFT = 0.8
#: An item of a list that is asked for by its number, where no other can be meant.
ITEM_CONFIDENCE = 0.85


def prior_of(*, reader: bool) -> Prior:
    """The prior for answers with the signal ``read``, or without it."""
    return PRIOR if reader else PRIOR_UNREAD


def extractive_logit(signals: Mapping[str, float]) -> float:
    """The prior's log odds for an extractive answer."""
    prior = prior_of(reader="read" in signals)
    return prior.intercept + sum(weight * signals.get(name, 0.0) for name, weight in prior.weights.items())


def extractive_confidence(signals: Mapping[str, float]) -> float:
    """The prior's estimate for an extractive answer, 0 to 1."""
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, extractive_logit(signals)))))


@lru_cache(maxsize=1)
def prior_id() -> str:
    """Changes where a logit of a prior, or what the reader says, no longer means the same: what a calibration was made
    with must be what it meets."""
    weights = [[prior.intercept, *prior.weights.items()] for prior in (PRIOR, PRIOR_UNREAD)]
    return hashlib.sha256(json.dumps([*weights, weights_id()]).encode()).hexdigest()[:12]


#: A collection that has grown or shrunk by more than this share is another one.
CHANGED = 0.25
#: Probability that a guaranteed risk is kept.
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Judgement:
    """How sure an answer is, and what it must reach."""

    confidence: float
    threshold: float
    kind: ConfidenceKind = "prior"
    calibration_id: str | None = None
    warnings: tuple[str, ...] = ()


def judge(
    signals: Mapping[str, float],
    stored: tuple[Mapping[str, Any], Mapping[str, Any]] | None,
    *,
    threshold: float,
    target_risk: float | None = None,
) -> Judgement:
    """The confidence by a collection's calibration, or by the prior where there is none that fits.

    Args:
        stored: A calibration as ``rag_pgvector.evals.calibrate`` makes it, and what its fingerprint must agree with.
        threshold: The least confidence, unless ``target_risk`` is given: then it is the least at which, with a
            probability of 95 %, no larger share of answers is wrong (1.0, which nothing reaches, where there is none).
    """
    prior = extractive_confidence(signals)
    refused: tuple[str, ...] = ()
    if stored is not None and (reason := mismatch(*stored, reader="read" in signals)):
        refused = (f"the calibration was not used, since {reason}: run 'rag-pgvector calibrate' again",)
        stored = None
    if stored is None:
        if target_risk is None:
            return Judgement(prior, threshold, warnings=refused)
        lacking = ("a target risk needs a calibration: run 'rag-pgvector calibrate'",)
        return Judgement(min(prior, _UNREACHED), 1.0, warnings=refused or lacking)
    content = stored[0]
    logit = float(content["intercept"])
    if content["method"] == "platt":
        logit += float(content["slope"]) * extractive_logit(signals)
    else:
        logit += sum(float(weight) * signals.get(name, 0.0) for name, weight in content["weights"].items())
    confidence = 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, logit))))
    if target_risk is None:
        return Judgement(confidence, threshold, "calibrated", content["id"])
    kept = [float(least) for risk, least in content["thresholds"].items() if float(risk) <= target_risk]
    if not kept:
        short = (f"a risk of {target_risk:g} is not attainable with {content['labels']} labels",)
        return Judgement(min(confidence, _UNREACHED), 1.0, "calibrated", content["id"], short)
    return Judgement(confidence, min(kept), "guaranteed", content["id"])


_UNREACHED = 1.0 - 1e-9


def mismatch(content: Mapping[str, Any], now: Mapping[str, Any], *, reader: bool) -> str:
    """Why a calibration does not fit the collection as it is now, or ``""``. ``reader``: whether there is one."""
    made = content.get("fingerprint", {})
    if content.get("format") != FORMAT:
        return f"it is not in the format {FORMAT}"
    if made.get("prior") != prior_id():
        return "another version of rag_pgvector made it"
    for name, what in (("embedder", "embedder"), ("chunking", "chunker")):
        # An imported collection does not know its chunker.
        if made.get(name) and now.get(name) and made[name] != now[name]:
            return f"it was made with another {what}"
    for name in ("documents", "chunks"):
        before, after = made.get(name, 0), now.get(name, 0)
        if abs(after - before) > CHANGED * max(before, 1):
            return f"the collection had {before} {name} and has {after}"
    if made.get("reader") and not reader:
        return "it was made with the reader, which is not here (it comes with rag-pgvector[local])"
    if reader and not made.get("reader"):
        return "it was made without the reader, which is here now"
    return ""


def guaranteed_thresholds(confidence: Sequence[float], right: Sequence[bool]) -> dict[str, float]:
    """For each risk (.01 to .50) that can be guaranteed, the least threshold that keeps it.

    Fixed-sequence testing: thresholds are tried from the strictest on, and the last one whose share of wrong answers
    has a Clopper-Pearson upper bound (95 %) of at most the risk before the first that has not is taken. Sources:
    Clopper and Pearson 1934; Angelopoulos et al. 2021, "Learn then Test".
    """
    order = sorted(range(len(confidence)), key=lambda at: -confidence[at])
    # Answers above each threshold that a confidence can be, and how many of them are wrong.
    steps: list[tuple[int, int, float]] = []
    wrong = 0
    for count, at in enumerate(order, 1):
        wrong += not right[at]
        if count == len(order) or confidence[order[count]] < confidence[at]:
            steps.append((count, wrong, confidence[at]))
    found: dict[str, float] = {}
    for percent in range(1, 51):
        risk = percent / 100
        # The sequence depends on the number of answers and the risk alone: it begins where a third of the risk's share
        # of wrong answers passes, and tests about every tenth answer.
        upto = next((n for n in range(2, len(order) + 1) if upper_bound(int(n * risk / 3), n) <= risk), None)
        if upto is None:
            continue
        for count, missed, least in steps:
            if count < upto:
                continue
            if upper_bound(missed, count) > risk:
                break
            found[f"{risk:.2f}"] = least
            upto = count + 10
    return found


@lru_cache(maxsize=65_536)
def upper_bound(wrong: int, count: int, *, level: float = LEVEL) -> float:
    """The Clopper-Pearson upper bound of a share, by bisection: the p for which P(at most ``wrong``) is 1 - level."""
    if wrong >= count:
        return 1.0
    low, high = wrong / count, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(wrong, count, middle) > 1.0 - level:
            low = middle
        else:
            high = middle
    return high


def _at_most(wrong: int, count: int, share: float) -> float:
    """P(X <= wrong) for a binomial X."""
    if share >= 1.0:
        return 0.0
    total = 0.0
    for k in range(wrong + 1):
        log = math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1)
        total += math.exp(log + k * math.log(share or 1e-300) + (count - k) * math.log1p(-share))
    return total
