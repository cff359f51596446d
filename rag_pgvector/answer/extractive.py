"""Extractive answers: the sentence that answers, as it stands in its source. No language model.

Retrieve by words and vectors, order again with lexical coverage, cut the best passages into units, and choose among
these by embedding, lexical evidence and what the reader says together.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag_pgvector.answer.candidates import Candidate, alike, candidates_of, order, score
from rag_pgvector.answer.confidence import ITEM_CONFIDENCE, judge
from rag_pgvector.answer.evidence import cite, extend, head_of, refers_back
from rag_pgvector.answer.labelled import labelled
from rag_pgvector.answer.lexical import Query
from rag_pgvector.answer.numbered import item_cut, item_is_sure
from rag_pgvector.answer.pages import pages_of, take_reads
from rag_pgvector.answer.plain import plain
from rag_pgvector.answer.signals import signals_of
from rag_pgvector.answer.spans import disagree, from_heading, minimal_span
from rag_pgvector.answer.steps import Calibrated, EmbedTexts, Find, Read, Step, Texts
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
    vectors = yield EmbedTexts([query.text, *(each.embedded for each in candidates)])
    take_reads(candidates, (yield Read(query.text, pages_of(candidates))))
    score(candidates, vectors)
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
    start, end = item_cut(best) if best.says else _span(admitted)
    answer = best.source.text[start:end]
    title = from_heading(query, best, answer) if k > 1 else None
    head = best.source.text[slice(*title)] + "\n" if title else ""
    signals = signals_of(query, weights, candidates, (start, end), above=head)
    judged = judge(signals, (yield Calibrated("extractive")), threshold=threshold, target_risk=target_risk)
    if best.says and target_risk is None and item_is_sure(query, weights, admitted, passages):
        judged = replace(judged, confidence=max(judged.confidence, ITEM_CONFIDENCE))
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
    shown = _shown(query, best, (start, end), title, k)
    cut = (shown.begin, len(shown.text))
    citations = [cite(best.passage.chunk, best.source, start, end, score=best.passage.score, answer_span=cut)]
    if shown.above:
        where = (0, shown.begin - 1)
        citations.append(
            cite(best.passage.chunk, best.source, *shown.above, score=best.passage.score, answer_span=where)
        )
    for other in admitted[1:]:
        if len(citations) < k and _same(best, other):
            citations.append(
                cite(other.passage.chunk, other.source, other.unit.start, other.unit.end, score=other.passage.score)
            )
    return GroundedAnswer(
        answer=shown.text,
        citations=tuple(citations),
        threshold=judged.threshold,
        mode="extractive",
        span_start=shown.span[0] if shown.span else None,
        span_end=shown.span[1] if shown.span else None,
        **common,
    )


@dataclass(frozen=True, slots=True)
class _Shown:
    """An answer as it is shown: what was cut begins at ``begin``, behind what stands above it in the source (a heading
    with the date, the head of a table), and ``span`` is the value in it that is asked for."""

    text: str
    span: tuple[int, int] | None
    begin: int = 0
    above: tuple[int, int] | None = None


def _shown(query: Query, best: Candidate, cut: tuple[int, int], title: tuple[int, int] | None, k: int) -> _Shown:
    source = best.source.text
    text = source[slice(*cut)]
    if any(each.has_code and each.start < cut[1] and cut[0] < each.end for each in best.siblings):
        return _Shown(text, minimal_span(query, text))
    head, unit = head_of(best.source, best.unit), best.unit
    with_head = head is not None and cut == (head[0], unit.end)
    if title is None and head and (with_head or (k > 1 and cut == (unit.start, unit.end))):
        row = labelled(query, source[slice(*head)], source[unit.start : unit.end])
        if row is not None:
            above, text, cell = row
            begin = len(above) + 1
            span = cell and (begin + cell[0], begin + cell[1])
            return _Shown(f"{above}\n{text}", span, 0 if with_head else begin, None if with_head else head)
    text = plain(text, query.text)
    if title is None:
        return _Shown(text, minimal_span(query, text))
    above = plain(source[slice(*title)])
    return _Shown(f"{above}\n{text}", minimal_span(query, f"{above}\n"), len(above) + 1, title)


def _span(ranked: Sequence[Candidate]) -> tuple[int, int]:
    """Where the answer begins and ends: the best unit, with its neighbour where that is nearly as good."""
    best = ranked[0]
    start, end = extend(best.source, best.siblings, best.unit)
    at = best.siblings.index(best.unit)
    beside = best.siblings[max(0, at - 1) : at] + best.siblings[at + 1 : at + 2]
    # "... by twelve months' notice. The tenant may do so by nine." says one thing in two sentences.
    goes_on = [
        unit for unit in beside[-1:] if unit.start >= best.unit.end and refers_back(best.source, best.unit, unit)
    ]
    for other in ranked[1:]:
        if other.score < best.score - SHORT_NEIGHBOUR * best.spread:
            break
        if other.origin != best.origin or other.unit not in beside or other.unit.heading != best.unit.heading:
            continue
        if best.unit.is_row and other.unit.is_row and not (best.unit.is_head or other.unit.is_head):
            continue  # another row is about something else
        if goes_on and other.unit not in goes_on:
            continue
        low, high = min(start, other.unit.start), max(end, other.unit.end)
        near = other.score >= best.score - NEIGHBOUR * best.spread
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
