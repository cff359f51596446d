"""Logistic regression with signed weights, by numpy alone: what a confidence is fitted with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit", "logistic", "logit"]

Floats: TypeAlias = NDArray[np.float64]


def logistic(logits: Floats) -> Floats:
    """Probabilities of log odds, which are cut off at ±30."""
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))


def logit(probabilities: Floats) -> Floats:
    """Log odds of probabilities, which are kept 1e-6 away from 0 and 1."""
    kept = np.clip(probabilities, 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(kept / (1.0 - kept)))


def fit(
    signals: Floats,
    right: NDArray[np.bool_],
    *,
    ridge: float | Sequence[float],
    centre: Floats | None = None,
    importance: Floats | None = None,
    free_intercept: bool = True,
) -> Floats:
    """Intercept and weights, ``(1 + features,)``, none of the weights negative.

    Maximises the log likelihood less ``ridge / 2`` times the squared distance of the weights to ``centre`` (0 by
    default): with a prior's weights as the centre, a maximum a posteriori estimate. ``ridge`` may be one number for the
    intercept and each weight. The intercept is penalised only where ``free_intercept`` is false. A weight that turns
    negative is held at 0, one at a time.

    Args:
        signals: Shape ``(n, features)``.
        importance: Of each row, 1 by default.
    """
    design = np.hstack([np.ones((len(signals), 1)), signals])
    target = right.astype(np.float64)
    weight = np.ones(len(target)) if importance is None else importance
    middle = np.zeros(design.shape[1]) if centre is None else centre
    penalty = np.broadcast_to(np.asarray(ridge, dtype=np.float64), design.shape[1]).copy()
    if free_intercept:
        penalty[0] = 0.0
    free = np.ones(design.shape[1], dtype=np.bool_)
    while True:
        found = _newton(design[:, free], target, weight, penalty[free], middle[free])
        wrong = np.flatnonzero(free)[1:][found[1:] < 0]
        if not len(wrong):
            break
        free[wrong[np.argmin(found[1:][found[1:] < 0])]] = False
    held = np.zeros(design.shape[1])
    held[free] = found
    return held


def _newton(design: Floats, target: Floats, weight: Floats, penalty: Floats, middle: Floats) -> Floats:
    def worth(at: Floats) -> float:
        logits = design @ at
        return float(weight @ (target * logits - np.logaddexp(0.0, logits)) - penalty @ (at - middle) ** 2 / 2.0)

    found = middle.copy()
    best = worth(found)
    for _ in range(100):
        probability = logistic(design @ found)
        gradient = design.T @ (weight * (target - probability)) - penalty * (found - middle)
        curvature = (design * (weight * probability * (1 - probability))[:, None]).T @ design
        step = np.linalg.solve(curvature + np.diag(penalty + 1e-9), gradient)
        # A whole step can overshoot, from far away or where the outcomes are nearly separable, and then go to and fro
        # for ever: it is halved until it leads uphill.
        share = min(1.0, 10.0 / max(1e-12, float(np.abs(step).max())))
        while share > 1e-6 and worth(found + share * step) < best:
            share /= 2.0
        found = found + share * step
        best = worth(found)
        if share * np.abs(step).max() < 1e-9:
            break
    return found
