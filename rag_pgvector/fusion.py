"""Two rankings made one: the convex combination of normalised scores, and reciprocal rank fusion. No I/O.

Scores are brought to 0..1 over what each arm fetched: vectors by min-max, BM25 by its maximum (the least is 0).
Bruch, Gai and Ingber 2023, "An Analysis of Fusion Functions for Hybrid Retrieval" (TOIS), found the convex combination
better than reciprocal ranks, and how the scores are normalised of little weight; which share each arm gets is not.

Where nobody fixed the share (``alpha``), each question's own scores do. An arm that knows the answer sets it apart; one
that guesses gives all candidates much the same score. ``sharpness`` measures that by two numbers: what part of the best
score is lost by rank ten, and by how many standard deviations the best leads what was fetched. Its measurement on
labelled sets, and what was refused, stands in docs/design.md.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import numpy as np

__all__ = ["CANDIDATES", "Fused", "Scored", "convex", "reciprocal_ranks", "share", "sharpness"]

H = TypeVar("H", bound="Scored")

#: Least candidates of each arm.
CANDIDATES = 100
#: Reciprocal rank fusion's constant (Cormack, Clarke and Büttcher 2009).
RRF_K = 60
#: The rank whose score is compared with the first's.
_DEPTH = 10
_TINY = 1e-9


def sharpness(scores: Sequence[float], *, complete: bool) -> float:
    """How far the best of some scores stands out, 0 and more. ``scores`` are descending, higher-better.

    ``complete``: the scores are all above 0 that there are, so that missing ones down to rank ten are 0.
    """
    values = np.asarray(scores, dtype=float)
    if complete and len(values) < _DEPTH:
        values = np.concatenate([values, np.zeros(_DEPTH - len(values))])
    if len(values) < 2:
        return 0.0
    best, tenth = values[0], values[min(_DEPTH, len(values)) - 1]
    spread = values.std()
    scale = max(abs(best), abs(tenth))
    if spread <= _TINY * scale or scale <= 0.0:
        return 0.0
    return float(min(1.0, (best - tenth) / scale) * (best - values.mean()) / spread)


class Scored(Protocol):
    """What an arm found: its score (higher-better), and the distance of its vector where that was compared."""

    @property
    def score(self) -> float: ...
    @property
    def distance(self) -> float | None: ...


class Fused(NamedTuple, Generic[H]):
    """One of the arms' hits, its score of both from 0 to 1, and what it had by words (None: not found by them)."""

    hit: H
    score: float
    keyword_score: float | None


def share(dense: Sequence[Scored], keyword: Sequence[Scored]) -> float:
    """The share of the vectors, 0 to 1, by how sharp each arm is for this question."""
    if not keyword:
        return 1.0
    if not dense:
        return 0.0
    vectors = sharpness([hit.score for hit in dense], complete=False)
    words = sharpness([hit.score for hit in keyword], complete=True)
    return vectors / (vectors + words) if vectors + words > _TINY else 0.5


def convex(
    dense: Sequence[H],
    keyword: Sequence[H],
    *,
    key: Callable[[H], Hashable],
    alpha: float,
    keyword_complete: bool,
    similarity: Callable[[float], float],
    limit: int | None = None,
) -> list[Fused[H]]:
    """Both arms' hits by ``alpha * vectors + (1 - alpha) * words``, best first. Equal ``key``: the same chunk.

    A keyword hit that brings its distance is given its own vector score by ``similarity``, also where that is worse
    than all that the vector arm fetched. A chunk that the keyword arm did not return counts 0 there if that arm
    returned all that it had (``keyword_complete``), else half of its lowest. ``limit``: the best so many alone.
    """
    low, high = (dense[-1].score, dense[0].score) if dense else (0.0, 0.0)
    width = high - low

    def near(score: float) -> float:
        """0..1 over what the vector arm fetched; below 0 for a chunk that it did not fetch."""
        return (score - low) / width if width > 0.0 else float(score >= high)

    # Without a call per hit where that can be: it was a twentieth of a hybrid search.
    names = list(map(key, keyword))
    scores = [hit.score for hit in keyword]
    most = max(scores, default=0.0) or 1.0
    unknown = 0.0 if keyword_complete or not keyword else 0.5 * scores[-1] / most
    words = dict(zip(names, scores, strict=True))
    found = dict(zip(map(key, dense), dense, strict=True))
    rest = 1.0 - alpha
    fused = {
        name: alpha * ((hit.score - low) / width if width > 0.0 else float(hit.score >= high))
        + rest * (words[name] / most if name in words else unknown)
        for name, hit in found.items()
    }
    for name, hit in zip(names, keyword, strict=True):
        if name not in found:
            found[name] = hit
            vector = near(similarity(hit.distance)) if dense and hit.distance is not None else 0.0
            fused[name] = alpha * vector + rest * (hit.score / most)
    return _ordered(found, fused, words, limit)


def reciprocal_ranks(
    dense: Sequence[H], keyword: Sequence[H], *, key: Callable[[H], Hashable], limit: int | None = None
) -> list[Fused[H]]:
    """Both arms' hits by the sum of 1 / (60 + rank), brought to 0..1 (1: first in both). ``limit``: see ``convex``.

    Cormack, Clarke and Büttcher 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods".
    """
    found: dict[Hashable, H] = {}
    fused: dict[Hashable, float] = {}
    for hits in (dense, keyword):
        for rank, hit in enumerate(hits, 1):
            name = key(hit)
            found.setdefault(name, hit)
            fused[name] = fused.get(name, 0.0) + 0.5 * (RRF_K + 1) / (RRF_K + rank)
    return _ordered(found, fused, {key(hit): hit.score for hit in keyword}, limit)


def _ordered(
    found: Mapping[Hashable, H], fused: Mapping[Hashable, float], words: Mapping[Hashable, float], limit: int | None
) -> list[Fused[H]]:
    # sorted() is stable, in reverse, too: equal ones stay in the order of the vectors, then of the words
    order = sorted(fused, key=fused.__getitem__, reverse=True)[:limit]
    return [Fused(found[name], min(1.0, max(0.0, fused[name])), words.get(name)) for name in order]
