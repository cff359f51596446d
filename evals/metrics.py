"""Measures of a ranking against judgements. Each is a number from 0 to 1, higher-better; its source is with it.

A ranking is a sequence of document ids, best first, each at most once; judgements are relevance by document id, where
more than 0 is relevant. A document that nobody judged is not relevant. A question without relevant documents, or
without results, gets 0: it is never left out of an average.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from rag_pgvector.errors import ConfigError

__all__ = ["Metric", "ap", "bootstrap", "metric", "ndcg", "ndcg_exp", "precision", "recall", "rr", "success"]

Qrels = Mapping[str, int]
Metric = Callable[[Sequence[str], Qrels], float]


def ndcg(ranking: Sequence[str], judged: Qrels, *, k: int) -> float:
    """Normalised discounted cumulative gain at ``k``, gain = relevance, discount log2(rank + 1).

    Source: Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques"; the form of trec_eval's
    ndcg_cut, which BEIR and ir-measures' ``nDCG@k`` report.
    """
    return _ndcg(ranking, judged, k, float)


def ndcg_exp(ranking: Sequence[str], judged: Qrels, *, k: int) -> float:
    """The same with gain = 2^relevance - 1. Equal to ``ndcg`` where every relevance is 0 or 1.

    Source: Burges et al. 2005, "Learning to rank using gradient descent"; what TREC's gdeval reports.
    """
    return _ndcg(ranking, judged, k, lambda grade: 2.0**grade - 1.0)


def _ndcg(ranking: Sequence[str], judged: Qrels, k: int, gain: Callable[[int], float]) -> float:
    def total(grades: Sequence[int]) -> float:
        return math.fsum(gain(grade) / math.log2(rank + 1) for rank, grade in enumerate(grades[:k], 1) if grade > 0)

    ideal = total(sorted(judged.values(), reverse=True))
    return total([judged.get(id_, 0) for id_ in ranking[:k]]) / ideal if ideal else 0.0


def recall(ranking: Sequence[str], judged: Qrels, *, k: int) -> float:
    """The share of the relevant documents that are among the first ``k``.

    Source: van Rijsbergen 1979, "Information Retrieval", chapter 7; trec_eval's recall_k.
    """
    relevant = _relevant(judged)
    return len(relevant.intersection(ranking[:k])) / len(relevant) if relevant else 0.0


def precision(ranking: Sequence[str], judged: Qrels, *, k: int) -> float:
    """The share of the first ``k`` places that hold a relevant document; missing places count as not relevant.

    Source: van Rijsbergen 1979, chapter 7; trec_eval's P_k.
    """
    return len(_relevant(judged).intersection(ranking[:k])) / k


def rr(ranking: Sequence[str], judged: Qrels, *, k: int) -> float:
    """Reciprocal rank of the first relevant document, 0 if that is not among the first ``k``.

    Source: Kantor and Voorhees 2000, "The TREC-5 confusion track"; ir-measures' ``RR@k``.
    """
    return next((1.0 / rank for rank, id_ in enumerate(ranking[:k], 1) if judged.get(id_, 0) > 0), 0.0)


def ap(ranking: Sequence[str], judged: Qrels, *, k: int) -> float:
    """Average precision: precision at the rank of each relevant document found, over all relevant documents.

    Source: Harman 1992, "Evaluation issues in information retrieval"; trec_eval's map_cut_k.
    """
    relevant = _relevant(judged)
    found, total = 0, 0.0
    for rank, id_ in enumerate(ranking[:k], 1):
        if id_ in relevant:
            found += 1
            total += found / rank
    return total / len(relevant) if relevant else 0.0


def success(ranking: Sequence[str], judged: Qrels, *, k: int) -> float:
    """1 if any of the first ``k`` is relevant, else 0 ("hit rate").

    Source: Tomlinson 2005 (TREC's robust track); trec_eval's success_k.
    """
    return float(not _relevant(judged).isdisjoint(ranking[:k]))


def _relevant(judged: Qrels) -> set[str]:
    return {id_ for id_, grade in judged.items() if grade > 0}


_METRICS = {
    "nDCG": ndcg,
    "nDCG_exp": ndcg_exp,
    "R": recall,
    "P": precision,
    "RR": rr,
    "AP": ap,
    "Success": success,
}
_NAME = re.compile(r"(\w+)@([1-9]\d{0,5})")


def metric(name: str) -> tuple[Metric, int]:
    """The measure of a name such as ``nDCG@10``, and its depth. Raises ConfigError."""
    parts = _NAME.fullmatch(name)
    if parts is None or parts[1] not in _METRICS:
        raise ConfigError(f"metric {name!r:.40}: use {', '.join(_METRICS)} with a depth, such as nDCG@10")
    function, k = _METRICS[parts[1]], int(parts[2])
    return lambda ranking, judged: function(ranking, judged, k=k), k


def bootstrap(values: Sequence[float], *, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> list[float]:
    """The interval of the mean, ``[low, high]``, by resampling the questions. The same values give the same interval.

    Source: Efron 1979, "Bootstrap methods"; the percentile interval, as Sakai 2006 uses it for retrieval.
    """
    numbers = np.asarray(values, dtype=float)
    draw = np.random.default_rng(seed)
    means = np.array([numbers[draw.integers(len(numbers), size=len(numbers))].mean() for _ in range(resamples)])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return [float(low), float(high)]
