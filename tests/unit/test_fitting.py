"""Fits reach the top of what they maximise, from wherever they begin."""

from __future__ import annotations

import numpy as np
import pytest

from rag_pgvector.evals.fitting import fit, logistic


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    signals = np.column_stack([draw.normal(0.0, 2.0, 300), draw.random(300) < 0.6, np.ones(300)])
    right = draw.random(300) < 1.0 / (1.0 + np.exp(-(0.5 * signals[:, 0] + signals[:, 1] - 0.5)))
    return signals, right


@pytest.mark.parametrize("held", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_fit_that_begins_far_away_arrives(seed: int, held: float) -> None:
    """A weight that is held puts the first estimate far off, and whole Newton steps went to and fro for ever."""
    signals, right = drawn(seed)
    ridge, centre = [0.0, 1.0, 1.0, 1e6], np.array([0.0, 1.0, 0.0, held])
    found = fit(signals, right, ridge=ridge, centre=centre)
    wrong = right - logistic(found[0] + signals @ found[1:])
    assert wrong.sum() == pytest.approx(0.0, abs=1e-3)
    assert signals[:, 0] @ wrong == pytest.approx(found[1] - 1.0, abs=1e-3)
    assert found[3] == pytest.approx(held, abs=1e-3)
