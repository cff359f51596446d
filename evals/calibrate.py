"""A collection's own calibration: its confidence fitted to questions whose answers are known.

Each answerable question is asked twice: as it is, and with the documents that hold its answer left out, which makes a
question of the same kind that cannot be answered, for nothing. Below 200 labels only the prior's log odds are shifted
and scaled (Platt 1999, with a ridge to no change); from 200 on all weights are fitted again around the prior's, as a
maximum a posteriori estimate. Figures are out of fold, whole source documents held out.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.answer.confidence import (
    FORMAT,
    Prior,
    extractive_logit,
    guaranteed_thresholds,
    prior_id,
    prior_of,
)
from rag_pgvector.answer.drive import ask_without
from rag_pgvector.answer.types import GroundedAnswer
from rag_pgvector.collection import Collection
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.answer_metrics import is_right
from rag_pgvector.evals.confidence import at_threshold, measure
from rag_pgvector.evals.fitting import fit, logistic
from rag_pgvector.evals.questions import GoldenQuestion, same_source

__all__ = ["LEAST_LABELS", "REFIT_LABELS", "Label", "calibrate", "calibration_of", "labels", "platt"]

Floats: TypeAlias = NDArray[np.float64]

LEAST_LABELS = 20
REFIT_LABELS = 200
#: How much a negative that we made weighs beside a question that somebody asked.
MADE_WEIGHT = 0.4
#: Pull to the prior's intercept (0) and slope (1): the first is what a collection changes most. Other pulls, from .1 to
#: 40, differ by .002 in the calibration error of 50 labels, in the mean over six sets (docs/confidence.md).
PLATT_RIDGE = (0.5, 5.0)
REFIT_RIDGE = 8.0
FOLDS = 8


@dataclass(frozen=True, slots=True)
class Label:
    """One answer whose worth is known.

    Attributes:
        group: The source document that the question is about; held out with all its questions.
        right: The answer is right, and cut from a document that holds it.
        made: The question was asked without that document.
        vetoed: There was nothing to answer with; says nothing about the confidence.
    """

    group: str
    signals: dict[str, float]
    right: bool
    made: bool = False
    vetoed: bool = False


def labels(
    collection: Collection,
    questions: Sequence[GoldenQuestion],
    *,
    k: int = 3,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Label]:
    """Asks the questions of a collection. Questions that a table answers are left out: they have their own confidence.

    A question without a known answer or source, though answerable, says nothing and is left out, too.
    """
    ids = {document.id: document.source for document in collection.documents()}
    found: list[Label] = []
    for number, question in enumerate(questions):
        if progress is not None:
            progress(number, len(questions), "questions")
        if question.answerable and not (question.references and question.all_sources):
            continue
        given = ask_without(collection, question.question, k=k)
        if given.mode != "extractive" or (given.failure_mode is not None and not given.signals):
            continue
        sources = question.all_sources
        group = min(sources) if sources else f"question {question.id}"
        right = question.answerable and _right(question, given) and _cited(given, sources)
        found.append(Label(group, given.signals, right, vetoed=given.failure_mode is not None))
        home = {id_ for id_, source in ids.items() if any(same_source(source, each) for each in sources)}
        if not question.answerable or not home:
            continue
        without = ask_without(collection, question.question, k=k, without=home)
        # What another document answers rightly is no negative.
        if without.mode == "extractive" and without.signals and not _right(question, without):
            found.append(Label(group, without.signals, False, made=True, vetoed=without.failure_mode is not None))
    return found


def _right(question: GoldenQuestion, given: GroundedAnswer) -> bool:
    return given.answer is not None and is_right(given.answer, question.references)


def _cited(given: GroundedAnswer, sources: Sequence[str]) -> bool:
    return any(same_source(each.source, source) for each in given.citations for source in sources)


def calibration_of(labelled: Sequence[Label], fingerprint: dict[str, Any]) -> dict[str, Any]:
    """A calibration as JSON, as ``Collection.set_calibration`` keeps it.

    Raises:
        ConfigError: There are fewer than 20 questions (those that we made from them do not count), or all are right or
            all wrong.
    """
    asked = [label for label in labelled if not label.made]
    if len(asked) < LEAST_LABELS:
        raise ConfigError(
            f"{len(asked)} questions that prose can answer: a calibration needs {LEAST_LABELS}; the prior stays"
        )
    used = [label for label in labelled if not label.vetoed]
    if len({label.right for label in used}) < 2:
        raise ConfigError("all answers are right, or all wrong: nothing tells one from the other; the prior stays")
    method = "platt" if len(asked) < REFIT_LABELS else "refit"
    fitted = _fitted(used, method)
    confidence = _out_of_fold(used, method)
    right = np.array([label.right for label in used])
    real = np.array([not label.made for label in used])
    found: dict[str, Any] = {
        "format": FORMAT,
        "mode": "extractive",
        "method": method,
        "intercept": float(fitted[0]),
        **(
            {"slope": float(fitted[1])}
            if method == "platt"
            else {"weights": dict(zip(_prior(used).weights, map(float, fitted[1:]), strict=True))}
        ),
        "labels": len(asked),
        "made": len(labelled) - len(asked),
        "share_right": float(np.mean([label.right for label in asked])),
        "groups": len({label.group for label in used}),
        "out_of_fold": measure(confidence, right, groups=[label.group for label in used], intervals=True, resamples=200)
        | {"at_0.6": at_threshold(confidence, right, threshold=0.6)},
        # A guarantee is about questions that people ask, not about those that we made.
        "thresholds": guaranteed_thresholds(confidence[real].tolist(), right[real].tolist()),
        "fingerprint": {**fingerprint, "prior": prior_id(), "reader": _is_read(used)},
        "made_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    text = json.dumps(found, sort_keys=True)
    return found | {"id": hashlib.sha256(text.encode()).hexdigest()[:12]}


def calibrate(
    collection: Collection,
    questions: Sequence[GoldenQuestion],
    *,
    k: int = 3,
    keep: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Fits a collection's confidence (of the bound tenant) to questions with known answers, and keeps it there.

    Returns the calibration as JSON. ``keep=False`` only returns it. Raises ConfigError as ``calibration_of``.
    """
    found = calibration_of(labels(collection, questions, k=k, progress=progress), dict(collection.corpus_fingerprint()))
    if keep:
        collection.set_calibration(found)
    return found


def _is_read(labelled: Sequence[Label]) -> bool:
    """Whether there was a reader when the questions were asked."""
    return any("read" in label.signals for label in labelled)


def _prior(labelled: Sequence[Label]) -> Prior:
    return prior_of(reader=_is_read(labelled))


def _features(labelled: Sequence[Label], method: str) -> Floats:
    if method == "platt":
        return np.array([[extractive_logit(label.signals)] for label in labelled])
    names = _prior(labelled).weights
    return np.array([[label.signals.get(name, 0.0) for name in names] for label in labelled])


def platt(logits: Floats, right: NDArray[np.bool_], importance: Floats) -> Floats:
    """Intercept and slope for a prior's log odds, pulled to no change. Each of shape ``(n,)``."""
    centre = np.array([0.0, 1.0])
    return fit(logits[:, None], right, ridge=PLATT_RIDGE, centre=centre, importance=importance, free_intercept=False)


def _fitted(labelled: Sequence[Label], method: str) -> Floats:
    right = np.array([label.right for label in labelled])
    importance = np.array([MADE_WEIGHT if label.made else 1.0 for label in labelled])
    features = _features(labelled, method)
    if method == "platt":
        return platt(features[:, 0], right, importance)
    prior = _prior(labelled)
    centre = np.array([prior.intercept, *prior.weights.values()])
    return fit(features, right, ridge=REFIT_RIDGE, centre=centre, importance=importance, free_intercept=False)


def _out_of_fold(labelled: Sequence[Label], method: str, *, seed: int = 0) -> Floats:
    groups = sorted({label.group for label in labelled})
    order = np.random.default_rng(seed).permutation(len(groups))
    fold_of = {groups[at]: place % FOLDS for place, at in enumerate(order)}
    folds = np.array([fold_of[label.group] for label in labelled])
    features = _features(labelled, method)
    found = np.zeros(len(labelled))
    for fold in sorted(set(fold_of.values())):
        weights = _fitted([label for label, other in zip(labelled, folds, strict=True) if other != fold], method)
        found[folds == fold] = logistic(weights[0] + features[folds == fold] @ weights[1:])
    return found
