"""Extractive answers: the sentence that answers, as it stands in its source. No language model.

Retrieve by words and vectors, order again with lexical coverage, cut the best passages into units, and choose among
these by embedding and lexical evidence together.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from rag_pgvector.answer.candidates import Candidate, alike, candidates_of, order, score
from rag_pgvector.answer.confidence import judge
from rag_pgvector.answer.evidence import cite, extend
from rag_pgvector.answer.lexical import Query
from rag_pgvector.answer.signals import signals_of
from rag_pgvector.answer.spans import disagree, from_heading, minimal_span
from rag_pgvector.answer.steps import Calibrated, EmbedTexts, Find, Step, Texts
from rag_pgvector.answer.types import FailureMode, GroundedAnswer
from rag_pgvector.types import ScoredChunk

__all__ = ["extract"]

#: Chunks that are found, of which so many are read.
FOUND = 50
READ = 6
#: A neighbour whose score is so near the best one's is part of the answer, up to so many code points in all.
NEIGHBOUR = 0.2
LONGEST_ANSWER = 1_200
#: The same where both together are short.
SHORT_NEIGHBOUR = 0.3
SHORT_ANSWER = 250
#: Units shown when there is no answer.
NEAR_MISSES = 3


def extract(
    query: Query,
    *,
    k: int,
    filter: Mapping[str, Any] | None,
    threshold: float,
    tables: frozenset[str],
    target_risk: float | None = None,
    in_rows: bool = False,
) -> Generator[Step, Any, GroundedAnswer]:
    """Answers from prose.

    Args:
        k: Most citations.
        tables: Ids of documents that are tables; their rows are not prose.
        target_risk: See ``confidence.judge``.
        in_rows: Whether the question's names are those of a table's rows: see ``candidates.candidates_of``.
    """
    hits = yield from _find(query.text, max(FOUND, 4 * k), filter, tables)
    if not hits:
        return _failure("no_results", threshold)
    passages, weights = order(query, hits)
    read = passages[: max(READ, k)]
    document_ids = sorted({passage.chunk.document_id for passage in read if passage.chunk.document_id is not None})
    texts: Mapping[str, str] = (yield Texts(document_ids)) if document_ids else {}
    candidates = candidates_of(query, weights, read, texts, in_rows=in_rows)
    if not candidates:
        return _failure("no_results", threshold)
    score(candidates, (yield EmbedTexts([query.text, *(each.embedded for each in candidates)])))
    warnings = ("a document has changed since it was cut into chunks: ingest it again",) * any(
        each.source.stale for each in candidates
    )

    candidates.sort(key=lambda each: (-each.score, each.passage.chunk.id or "", each.unit.start))
    misses = tuple(
        cite(each.passage.chunk, each.source, each.unit.start, each.unit.end, score=each.passage.score)
        for each in candidates[:NEAR_MISSES]
    )
    admitted = [each for each in candidates if each.admitted]
    if not admitted:
        signals = signals_of(query, weights, candidates, _span(candidates))
        return _failure("insufficient_evidence", threshold, signals=signals, near_misses=misses)
    best = admitted[0]
    start, end = _span(admitted)
    answer = best.source.text[start:end]
    title = from_heading(query, best, answer) if k > 1 else None
    head = best.source.text[slice(*title)] + "\n" if title else ""
    signals = signals_of(query, weights, candidates, (start, end), above=head)
    judged = judge(signals, (yield Calibrated("extractive")), threshold=threshold, target_risk=target_risk)
    common: dict[str, Any] = {
        "confidence": judged.confidence,
        "confidence_kind": judged.kind,
        "calibration_id": judged.calibration_id,
        "signals": signals,
        "warnings": (*warnings, *judged.warnings),
    }
    if judged.confidence < judged.threshold:
        return _failure("low_confidence", judged.threshold, near_misses=misses, **common)
    if (other := disagree(query, admitted)) is not None:
        both = tuple(
            cite(each.passage.chunk, each.source, each.unit.start, each.unit.end, score=each.passage.score)
            for each in (best, other)
        )
        return _failure("conflicting_evidence", judged.threshold, near_misses=both, **common)
    answer = head + answer
    span = minimal_span(query, head or answer)
    where = (len(head), len(answer))
    citations = [cite(best.passage.chunk, best.source, start, end, score=best.passage.score, answer_span=where)]
    if title:
        where = (0, len(head) - 1)
        citations.append(cite(best.passage.chunk, best.source, *title, score=best.passage.score, answer_span=where))
    for other in admitted[1:]:
        if len(citations) < k and _same(best, other):
            citations.append(
                cite(other.passage.chunk, other.source, other.unit.start, other.unit.end, score=other.passage.score)
            )
    return GroundedAnswer(
        answer=answer,
        citations=tuple(citations),
        threshold=judged.threshold,
        mode="extractive",
        span_start=span[0] if span else None,
        span_end=span[1] if span else None,
        **common,
    )


def _span(ranked: Sequence[Candidate]) -> tuple[int, int]:
    """Where the answer begins and ends: the best unit, with its neighbour where that is nearly as good."""
    best = ranked[0]
    start, end = extend(best.source, best.siblings, best.unit)
    at = best.siblings.index(best.unit)
    beside = best.siblings[max(0, at - 1) : at] + best.siblings[at + 1 : at + 2]
    for other in ranked[1:]:
        if other.score < best.score - SHORT_NEIGHBOUR:
            break
        if other.origin != best.origin or other.unit not in beside or other.unit.heading != best.unit.heading:
            continue
        low, high = min(start, other.unit.start), max(end, other.unit.end)
        near = other.score >= best.score - NEIGHBOUR
        if high - low <= (LONGEST_ANSWER if near else SHORT_ANSWER):
            return low, high
    return start, end


def _find(
    question: str, k: int, filter: Mapping[str, Any] | None, tables: frozenset[str]
) -> Generator[Step, Any, list[ScoredChunk]]:
    """The nearest chunks that are not rows of tables; looks further where rows crowd them out."""
    asked = k
    while True:
        found: Sequence[ScoredChunk] = yield Find(question, asked, filter)
        prose = [hit for hit in found if hit.chunk.document_id not in tables and hit.chunk.content.strip()]
        if len(prose) >= min(k, READ) or len(found) < asked or asked >= 25 * k:
            return prose[:k]
        asked *= 5


def _same(best: Candidate, other: Candidate) -> bool:
    """True where another document says the same in nearly the same words."""
    return other.origin != best.origin and alike(best, other)


def _failure(mode: FailureMode, threshold: float, **fields: Any) -> GroundedAnswer:
    return GroundedAnswer(
        answer=None, confidence=fields.pop("confidence", 0.0), failure_mode=mode, threshold=threshold, **fields
    )
