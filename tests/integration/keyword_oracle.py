"""BM25 in twenty lines of Python: what keyword search has to agree with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rag_pgvector import SearchResult
from rag_pgvector.analysis import analyser

__all__ = ["agrees", "bm25"]

K1, B = 1.2, 0.75


def bm25(
    texts: Mapping[str, str], question: str, *, language: str = "english", k1: float = K1, b: float = B
) -> dict[str, float]:
    """The score of every text that holds a term of the question, by key."""
    made = analyser(language)
    terms = {key: made.terms(text) for key, text in texts.items()}
    if not terms:
        return {}
    average = sum(each.length for each in terms.values()) / len(terms)
    frequency = Counter(term for each in terms.values() for term in each.counts)
    scores: dict[str, float] = {}
    for term, times in made.question(question).terms.items():
        idf = math.log(1 + (len(terms) - frequency[term] + 0.5) / (frequency[term] + 0.5))
        for key, each in terms.items():
            if tf := each.counts.get(term):
                part = times * idf * tf / (tf + k1 * (1 - b + b * each.length / average))
                scores[key] = scores.get(key, 0.0) + part
    return scores


def agrees(result: SearchResult, scores: Mapping[str, float], allowed: Iterable[str], k: int) -> None:
    """Assert that a result is the best ``k`` of the allowed by these scores; which of a tie is left open."""
    expected: Sequence[float] = sorted((scores[key] for key in set(allowed) & scores.keys()), reverse=True)[:k]
    found = [hit.score for hit in result]
    assert len(found) == len(expected)
    assert all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(found, expected, strict=True)), (found, expected)
    for hit in result:
        assert hit.chunk.id in set(allowed)
        assert math.isclose(hit.score, scores[str(hit.chunk.id)], rel_tol=1e-5)
