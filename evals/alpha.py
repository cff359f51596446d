"""The share of the vectors in a collection's hybrid searches, fitted on a golden set and proven on unseen questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_pgvector import Collection, SearchOptions
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.formats import RetrievalSet
from rag_pgvector.evals.metrics import bootstrap, metric
from rag_pgvector.evals.retrieval import KeyedBy
from rag_pgvector.evals.splitting import groups_by_source

__all__ = ["ALPHAS", "LEAST_QUESTIONS", "AlphaFit", "choose_alpha", "fit_alpha"]

#: The shares that are tried.
ALPHAS = tuple(round(0.05 * i, 2) for i in range(21))
#: Fewer questions say nothing.
LEAST_QUESTIONS = 20
_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class AlphaFit:
    """What was found.

    Attributes:
        alpha: The share that is best on all questions; None where it is not better than each question's own share.
        best: The share that is best on all questions, whether or not it is worth keeping.
        cross_validated: Mean of the metric where each fifth of the questions is searched with the share that is best
            on the other four. Questions that share a document are in one fifth.
        default: Mean of the metric where each question's own scores say.
        gain: ``cross_validated - default``, and its 95 % bootstrap interval over the questions.
        by_alpha: Mean of the metric for each share, on all questions: what was chosen from, not what to expect.
    """

    alpha: float | None
    best: float
    metric: str
    questions: int
    cross_validated: float
    default: float
    gain: float
    gain_interval: list[float]
    by_alpha: Mapping[float, float] = field(repr=False)


def fit_alpha(
    collection: Collection,
    golden: RetrievalSet,
    *,
    measure: str = "nDCG@10",
    by: KeyedBy = "id",
    options: SearchOptions | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> AlphaFit:
    """Ask every judged question with every share in ``ALPHAS``, and with none; nothing is stored.

    Each question is embedded once. ``by`` says what the judgements call a document, as in ``evaluate``. Raises
    ConfigError with fewer than ``LEAST_QUESTIONS`` questions.
    """
    if len(golden.queries) < LEAST_QUESTIONS:
        raise ConfigError(
            f"{golden.name}: {len(golden.queries)} judged questions choose no share: use {LEAST_QUESTIONS} or more"
        )
    compute, k = metric(measure)
    chosen = replace(options or SearchOptions(), mode="hybrid")
    shares: tuple[float | None, ...] = (None, *ALPHAS)
    values = np.zeros((len(golden.queries), len(shares)))
    for row, (id_, question) in enumerate(golden.queries.items()):
        vector = collection.embed_query(question)
        for column, alpha in enumerate(shares):
            hits = collection.search(question, vector=vector, k=4 * k, options=replace(chosen, alpha=alpha))
            found = dict.fromkeys(key for hit in hits if (key := getattr(hit.chunk, by)) is not None)
            values[row, column] = compute(list(found)[:k], golden.qrels[id_])
        if progress is not None:
            progress(row + 1, len(golden.queries), "questions")
    relevant = {id_: frozenset(key for key, grade in golden.qrels[id_].items() if grade > 0) for id_ in golden.queries}
    return choose_alpha(values[:, 1:], values[:, 0], groups_by_source(relevant), list(golden.queries), measure)


def choose_alpha(
    values: NDArray[Any], default: NDArray[Any], groups: Sequence[Sequence[str]], ids: Sequence[str], measure: str
) -> AlphaFit:
    """Choose from the metric of each question (rows) at each of ``ALPHAS``; ``default`` is its own share's."""
    place = {id_: i for i, id_ in enumerate(ids)}
    folds: list[list[int]] = [[] for _ in range(_FOLDS)]
    for group in sorted(groups, key=len, reverse=True):
        min(folds, key=len).extend(place[id_] for id_ in group)
    folds = [fold for fold in folds if fold]
    if len(folds) < 2:
        raise ConfigError("all questions hang together by their documents: nothing is left to prove a share on")
    unseen = np.empty(len(ids))
    for fold in folds:
        others = np.setdiff1d(np.arange(len(ids)), fold)
        unseen[fold] = values[fold, int(values[others].mean(axis=0).argmax())]
    gains = unseen - default
    best = ALPHAS[int(values.mean(axis=0).argmax())]
    return AlphaFit(
        alpha=best if gains.mean() > 0 else None,
        best=best,
        metric=measure,
        questions=len(ids),
        cross_validated=float(unseen.mean()),
        default=float(default.mean()),
        gain=float(gains.mean()),
        gain_interval=bootstrap(gains.tolist()),
        by_alpha=dict(zip(ALPHAS, values.mean(axis=0).tolist(), strict=True)),
    )
