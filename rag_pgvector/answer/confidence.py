"""Confidence: the estimated probability that an answer is right and supported by its citations.

A logistic function of a few signals, none of which can lower the confidence by growing (or, for ``missing``, raise it):
more evidence is never worth less. The shipped weights are a prior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

__all__ = ["EXTRACTIVE_INTERCEPT", "EXTRACTIVE_WEIGHTS", "TABLE_CONFIDENCE", "extractive_confidence"]

EXTRACTIVE_INTERCEPT = 0.0
EXTRACTIVE_WEIGHTS: Mapping[str, float] = {}

#: A table cell that every condition of the question points to.
TABLE_CONFIDENCE = 0.95


def extractive_confidence(signals: Mapping[str, float]) -> float:
    """The prior's estimate for an extractive answer, 0 to 1."""
    logit = EXTRACTIVE_INTERCEPT + sum(
        weight * signals.get(name, 0.0) for name, weight in EXTRACTIVE_WEIGHTS.items()
    )
    return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, logit))))
