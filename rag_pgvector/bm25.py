"""BM25 added up over the postings of a question's terms. No I/O.

Each posting is a number of eight bytes, big-endian: 31 bits of the distance between a document's ``seq`` and the name
of its segment, 11 of the term's frequency in it, 21 of its length (keyword_schema.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Block", "Ranking", "rank"]

#: Documents are added up in an array over all numbers between the least and the greatest, where that is at most so many
#: times as long as there are postings (and in any case of this length); else they are sorted first.
_SPARSE, _SHORT = 16, 65_536


class Block(NamedTuple):
    """Postings of one term in one segment: the place of the term in the question, from 0, and the segment's name."""

    term: int
    segment: int
    postings: bytes


class Ranking(NamedTuple):
    """Documents that hold a term of a question: their ``seq``, ascending, and scores; and each term's idf times how
    often it was asked for, 0 where no document holds it."""

    seqs: NDArray[np.int64]
    scores: NDArray[np.float32]
    idf: NDArray[np.float64]

    def best(self, limit: int | None) -> tuple[list[int], list[float]]:
        """``seq`` and score of the ``limit`` best (None: of all), ties by ``seq``."""
        scores, seqs = self.scores, self.seqs
        if limit is not None and limit < len(scores):
            last = np.partition(scores, len(scores) - limit)[len(scores) - limit]
            some = np.flatnonzero(scores >= last)
            scores, seqs = scores[some], seqs[some]
        order = np.lexsort((seqs, -scores))[:limit]
        return seqs[order].tolist(), scores[order].tolist()


def rank(
    blocks: Sequence[Block],
    weights: Sequence[float],
    *,
    documents: int,
    length: int,
    dead: NDArray[np.int64],
    k1: float,
    b: float,
) -> Ranking:
    """The score of every document that is in a block.

    Args:
        blocks: A document stands in at most one block of a term.
        weights: How often each term is asked for.
        documents: How many there are, those without a term included, the ``dead`` not.
        length: Of all of them together.
        dead: ``seq`` of documents that count no more, wherever they are listed.
    """
    asked = np.asarray(weights, dtype=np.float64)
    sizes = np.array([len(block.postings) >> 3 for block in blocks], dtype=np.int64)
    terms = np.array([block.term for block in blocks], dtype=np.int64)
    named = np.array([block.segment for block in blocks], dtype=np.int64)
    packed = np.frombuffer(b"".join([block.postings for block in blocks]), dtype=">i8").astype(np.int64)
    seqs = packed >> 32
    seqs += np.repeat(named, sizes)
    term = np.repeat(terms, sizes)
    if not len(seqs):
        return _nothing(asked)
    least = int(seqs.min())
    span = int(seqs.max()) - least + 1
    dense = span <= _SPARSE * len(seqs) + _SHORT
    if len(dead):
        if dense:
            gone = np.zeros(span, dtype=bool)
            gone[dead[(dead >= least) & (dead < least + span)] - least] = True
            kept = ~gone[seqs - least]
        else:
            kept = np.isin(seqs, dead, invert=True)
        packed, seqs, term = packed[kept], seqs[kept], term[kept]
        if not len(seqs):
            return _nothing(asked)
    df = np.bincount(term, minlength=len(asked))
    idf = np.where(df, asked * np.log(1.0 + (documents - df + 0.5) / (df + 0.5)), 0.0)
    parts = (packed & 0x1FFFFF).astype(np.float64)
    parts *= k1 * b * documents / max(length, 1)
    parts += k1 * (1.0 - b)
    parts /= packed >> 21 & 0x7FF
    parts += 1.0
    parts = idf[term] / parts
    if dense:
        seqs -= least
        sums = np.bincount(seqs, weights=parts)
        found = np.flatnonzero(sums > 0.0)
        return Ranking(found + least, sums[found].astype(np.float32), idf)
    found, place = np.unique(seqs, return_inverse=True)
    return Ranking(found, np.bincount(place, weights=parts).astype(np.float32), idf)


def _nothing(asked: NDArray[np.float64]) -> Ranking:
    return Ranking(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32), np.zeros(len(asked)))
