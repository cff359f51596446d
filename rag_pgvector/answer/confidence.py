"""Confidence: the estimated probability that an answer is right and supported by its citations.

A logistic function of a few signals, none of which can lower the confidence by growing: more evidence is never worth
less. The shipped weights are a prior, fitted on public questions; a collection's own questions make a calibration.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = [
    "EXTRACTIVE_INTERCEPT",
    "EXTRACTIVE_WEIGHTS",
    "TABLE_CONFIDENCE",
    "TABLE_LIST_CONFIDENCE",
    "extractive_confidence",
    "extractive_logit",
]

# Fitted by ``python -m rag_pgvector.evals.fit_prior`` on seven sets (all-MiniLM-L6-v2). What it does on a set that it
# was not fitted on is in docs/confidence.md: a calibration error of .03 to .20, and a worse order in other languages.
EXTRACTIVE_INTERCEPT = -7.0228
EXTRACTIVE_WEIGHTS: Mapping[str, float] = {
    "margin": 2.5517,
    "mass": 2.6896,
    "words": 1.4213,
    "firsts": 1.7449,
    "said": 2.2646,
    "pairs": 0.0,
    "cosine": 2.2929,
    "lead": 0.2129,
    "value": 0.2494,
}

#: A table cell that every condition of the question points to; several cells that all do.
TABLE_CONFIDENCE = 0.95
TABLE_LIST_CONFIDENCE = 0.75


def extractive_logit(signals: Mapping[str, float]) -> float:
    """The prior's log odds for an extractive answer."""
    return EXTRACTIVE_INTERCEPT + sum(weight * signals.get(name, 0.0) for name, weight in EXTRACTIVE_WEIGHTS.items())


def extractive_confidence(signals: Mapping[str, float]) -> float:
    """The prior's estimate for an extractive answer, 0 to 1."""
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, extractive_logit(signals)))))
