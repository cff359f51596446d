"""Asks the questions of a golden set and measures what came back: the answer, its citations, and the abstentions.

    rag-pgvector eval answers evals/golden/demo.jsonl --collection demo --json

The format of a golden set, and what counts as right, is in evals/golden/README.md.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rag_pgvector import Collection
from rag_pgvector.answer.types import Citation
from rag_pgvector.evals import answer_metrics as measures
from rag_pgvector.evals import confidence
from rag_pgvector.evals.answer_metrics import contains
from rag_pgvector.evals.given import Answerer, Given, GivenCitation, as_answerer, citation_of, given_of
from rag_pgvector.evals.questions import AnswerSet, GoldenQuestion, Row, read_golden, same_source
from rag_pgvector.evals.summary import Summary, summarise

__all__ = [
    "ANSWER_METRICS",
    "AnswerEvaluation",
    "Asked",
    "CollectionAnswers",
    "GoldenQuestion",
    "ask_all",
    "contains",
    "evaluate_answers",
    "judge",
    "read_golden",
    "summary",
]

#: Every metric of an answer, in the order of a report. ``false_abstention`` is lower-better, all others higher.
ANSWER_METRICS = (
    "right",
    "answered",
    "right_if_answered",
    "abstention_recall",
    "false_abstention",
    "exact_match",
    "token_f1",
    "numeric_match",
    "citation_verbatim",
    "citation_id_valid",
    "citation_source_precision",
    "citation_source_recall",
    "citation_place",
    "citation_span_f1",
    "citation_span_iou",
    "citation_word_f1",
    "statement_coverage",
    "number_coverage",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What one question got.

    Attributes:
        expected: The canonical answer; ``None`` where the data cannot answer.
        answer: ``None`` where the system abstained.
        confidence: Its estimate of being right, where it has one.
        right: The answer holds the expected one, or the system rightly abstained.
        cited: Some citation is of an expected source, and of the row if one is expected; ``None`` without an answer.
        withheld: What it would have answered, had it been sure enough; ``withheld_right`` whether that is right.
        values: Each metric of this question, ``None`` where there is nothing to measure.
        citations: As "source:page_or_row", or "source".
        snippets: The quoted texts.
    """

    id: str
    kind: str
    question: str
    expected: str | None
    answer: str | None
    confidence: float | None
    failure_mode: str | None
    citations: tuple[str, ...]
    right: bool
    cited: bool | None
    withheld: str | None = None
    withheld_right: bool | None = None
    values: Mapping[str, float | None] = field(default_factory=dict, repr=False)
    snippets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def outcome(self) -> str:
        """ "right", "wrong" (an answer was given), or why there was none."""
        if self.answer is not None:
            return "right" if self.right else "wrong"
        return self.failure_mode or "abstained"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerEvaluation(Summary):
    """What a system reached on a golden set.

    Attributes:
        asked: Every question with what it got, in the order of the set.
        confusion: For each kind of question, how often each outcome came.
        confidence: How well its confidence tells right from wrong; empty where it has none.
        latency_ms: p50 and p95 of a question, without what only the evaluation asks for.
        seconds: How long all of them took, with that.
    """

    asked: tuple[Asked, ...] = field(repr=False)
    confusion: Mapping[str, Mapping[str, int]]
    confidence: Mapping[str, Any]
    latency_ms: Mapping[str, float]
    seconds: float


# ----------------------------------------------------------------------------------------------------------- judging


def judge(question: GoldenQuestion, found: Any) -> Asked:
    """Compare what a system returned (see ``given_of``) with what the golden set expects."""
    given = given_of(found)
    answer = given.answer
    right = measures.is_right(answer, question.references) if answer is not None else False
    if not question.answerable:
        right = answer is None
    withheld_right = None
    if given.withheld is not None:
        withheld_right = question.answerable and measures.is_right(given.withheld, question.references)
    return Asked(
        id=question.id,
        kind=question.kind,
        question=question.question,
        expected=question.answer if question.answerable else None,
        answer=answer,
        confidence=None if given.confidence is None else round(given.confidence, 3),
        failure_mode=given.failure_mode,
        citations=tuple(place(each.source, each.page_or_row) for each in given.citations),
        right=right,
        cited=None if answer is None else any(_is_place(each, question) for each in given.citations),
        withheld=given.withheld,
        withheld_right=withheld_right,
        values=_values(question, given, right),
        snippets=tuple(each.snippet for each in given.citations),
    )


def place(source: str | None, page_or_row: Row) -> str:
    """ "cpi.csv:13", or "notes.md" where there is no row or page."""
    return f"{source}" if page_or_row is None else f"{source}:{page_or_row}"


def _values(question: GoldenQuestion, given: Given, right: bool) -> dict[str, float | None]:
    answered = given.answer is not None
    values: dict[str, float | None] = dict.fromkeys(ANSWER_METRICS)
    if answered:
        values["right_if_answered"] = float(right and question.answerable)
    if not question.answerable:
        values["abstention_recall"] = float(not answered)
    else:
        values |= {
            "right": float(right),
            "answered": float(answered),
            "false_abstention": float(not answered),
            "exact_match": measures.exact_match(given.answer or "", question.references),
            "token_f1": measures.token_f1(given.answer or "", question.references),
            "numeric_match": measures.numeric_match(given.answer or "", question.references),
        }
    if given.answer is not None:
        values |= _citation_values(question, given.answer, given.citations)
    return values


def _citation_values(
    question: GoldenQuestion, answer: str, citations: Sequence[GivenCitation]
) -> dict[str, float | None]:
    snippets = [each.snippet for each in citations]
    values: dict[str, float | None] = {
        "citation_verbatim": _share([each.verbatim for each in citations if each.verbatim is not None]),
        "citation_id_valid": _share([each.known for each in citations if each.known is not None]),
        "statement_coverage": measures.statement_coverage(
            answer, [(each.snippet, each.supports) for each in citations]
        ),
        "number_coverage": measures.number_coverage(answer, snippets),
    }
    if not question.answerable:
        return values
    if sources := question.all_sources:
        hits = [any(same_source(each.source, source) for source in sources) for each in citations]
        values["citation_source_precision"] = _share(hits) or 0.0
        values["citation_source_recall"] = _share(
            [any(same_source(each.source, source) for each in citations) for source in sources]
        )
    if question.page_or_row is not None:
        values["citation_place"] = float(any(_is_place(each, question) for each in citations))
    if question.span is not None:
        gold = [(question.span.start, question.span.end)]
        spans = [
            (each.start, each.end)
            for each in citations
            if each.start is not None and each.end is not None and same_source(each.source, question.span.source)
        ]
        values["citation_span_f1"] = measures.span_f1(spans, gold)
        values["citation_span_iou"] = measures.span_iou(spans, gold)
    if question.evidence:
        values["citation_word_f1"] = measures.word_f1(" ".join(snippets), " ".join(question.evidence))
    return values


def _is_place(citation: GivenCitation, question: GoldenQuestion) -> bool:
    known = any(same_source(citation.source, source) for source in question.all_sources)
    return known and (question.page_or_row is None or str(citation.page_or_row) == str(question.page_or_row))


def _share(flags: Sequence[bool]) -> float | None:
    return sum(flags) / len(flags) if flags else None


# --------------------------------------------------------------------------------------------------------- evaluating


def evaluate_answers(
    system: Any,
    questions: AnswerSet | Iterable[GoldenQuestion],
    *,
    progress: Callable[[int, int, str], None] | None = None,
) -> AnswerEvaluation:
    """Ask every question of a system: a collection, or whatever ``given.as_answerer`` takes."""
    golden = list(questions.questions if isinstance(questions, AnswerSet) else questions)
    answers: Answerer = CollectionAnswers(system) if isinstance(system, Collection) else as_answerer(system)
    asked, times, total = [], [], 0.0
    for number, question in enumerate(golden, 1):
        start = time.perf_counter()
        given = answers(question.question)
        elapsed = time.perf_counter() - start
        times.append(elapsed if given.seconds is None else given.seconds)
        total += elapsed
        asked.append(judge(question, given))
        if progress is not None:
            progress(number, len(golden), "questions")
    found = summarise({each.id: each.values for each in asked}, ANSWER_METRICS, {each.id: each.kind for each in asked})
    confusion: dict[str, Counter[str]] = {}
    for each in asked:
        confusion.setdefault(each.kind, Counter())[each.outcome] += 1
    p50, p95 = np.percentile(np.asarray(times or [0.0]) * 1e3, [50, 95])
    return AnswerEvaluation(
        metrics=found.metrics,
        intervals=found.intervals,
        measured=found.measured,
        slices=found.slices,
        asked=tuple(asked),
        confusion={kind: dict(sorted(counts.items())) for kind, counts in sorted(confusion.items())},
        confidence=_confidence(asked, {each.id: each.source or each.id for each in golden}),
        latency_ms={"p50": float(p50), "p95": float(p95)},
        seconds=total,
    )


def _confidence(asked: Sequence[Asked], groups: Mapping[str, str]) -> dict[str, Any]:
    """How well confidence tells right from wrong, over every question where it is known.

    An answer that was withheld counts by whether it would have been right. Where there was none to withhold, the
    question counts as wrong. Intervals draw whole sources.
    """
    known = [each for each in asked if each.confidence is not None]
    if not known:
        return {}
    scores = [float(each.confidence or 0.0) for each in known]
    flags = [
        each.right and each.expected is not None if each.answer is not None else bool(each.withheld_right)
        for each in known
    ]
    found = confidence.measure(scores, flags, groups=[groups[each.id] for each in known], intervals=True)
    found["coverage_at_95"] = confidence.coverage_at(scores, flags, accuracy=0.95)
    found |= confidence_curves(scores, flags)
    return found


def confidence_curves(scores: Sequence[float], flags: Sequence[bool]) -> dict[str, Any]:
    """What the plots are made of: ``reliability`` as [count, confidence, share right] and ``risk_coverage`` as
    [coverage, share wrong] at up to 100 thresholds; questions of equal confidence come in together."""
    points: list[list[float]] = []
    right = 0
    ranked = sorted(zip(scores, flags, strict=True), key=lambda pair: -pair[0])
    for number, (score, flag) in enumerate(ranked, 1):
        right += flag
        if number == len(ranked) or ranked[number][0] != score:
            points.append([number / len(ranked), 1.0 - right / number])
    step = max(1, len(points) // 100)
    bins = confidence.reliability(scores, flags) if all(0.0 <= score <= 1.0 for score in scores) else []
    return {
        "reliability": [list(each) for each in bins],
        "risk_coverage": points[::step] + ([points[-1]] if (len(points) - 1) % step else []),
    }


class CollectionAnswers:
    """``Collection.ask`` as an ``Answerer`` whose citations are looked up again in the store.

    What was withheld for want of confidence is asked for a second time without a threshold: what users see is the first
    answer, and confidence is judged on both.
    """

    def __init__(
        self,
        collection: Collection,
        *,
        k: int | None = None,
        threshold: float | None = None,
        filter: Mapping[str, Any] | None = None,
        llm: Any = None,
        verify: bool = True,
    ) -> None:
        self._collection = collection
        self._options: dict[str, Any] = {"k": k, "filter": filter, "llm": llm}
        self._threshold = threshold
        self._verify = verify
        self.modes: Counter[str] = Counter()

    def __call__(self, question: str, /) -> Given:
        start = time.perf_counter()
        answer = self._collection.ask(question, threshold=self._threshold, **self._options)
        seconds = time.perf_counter() - start
        self.modes[answer.mode if answer.failure_mode is None else "none"] += 1
        given = replace(given_of(answer), citations=self._checked(answer.citations), seconds=seconds)
        if answer.failure_mode == "low_confidence":
            unsure = self._collection.ask(question, threshold=0.0, **self._options)
            if unsure.answer is not None:
                given = replace(
                    given, withheld=unsure.answer, withheld_citations=tuple(citation_of(c) for c in unsure.citations)
                )
        return given

    def _checked(self, citations: Sequence[Citation]) -> tuple[GivenCitation, ...]:
        """The citations, each compared with what the store holds now."""
        if not self._verify or not citations:
            return tuple(citation_of(each) for each in citations)
        texts = self._collection.texts([each.doc_id for each in citations if each.doc_id is not None])
        chunks = {each.id: each.content for each in self._collection.get([each.chunk_id for each in citations])}
        found = []
        for each in citations:
            text = chunks.get(each.chunk_id) if each.doc_id is None else texts.get(each.doc_id)
            found.append(
                replace(
                    citation_of(each),
                    verbatim=text is not None and text[each.char_start : each.char_end] == each.snippet,
                    known=each.chunk_id in chunks and text is not None,
                )
            )
        return tuple(found)


def ask_all(collection: Collection, questions: Iterable[GoldenQuestion]) -> list[Asked]:
    """Ask every question of the collection."""
    answers = CollectionAnswers(collection)
    return [judge(question, answers(question.question)) for question in questions]


def summary(asked: Sequence[Asked]) -> dict[str, Any]:
    """Counts over the set; ``wrong`` answers were given and are not what was expected."""
    answerable = [each for each in asked if each.expected is not None]
    absent = [each for each in asked if each.expected is None]
    given = [each for each in answerable if each.answer is not None]
    return {
        "questions": len(asked),
        "answerable": len(answerable),
        "answered": len(given),
        "right": sum(each.right for each in answerable),
        "right_and_cited": sum(each.right and bool(each.cited) for each in answerable),
        "wrong": sum(not each.right for each in given),
        "absent": len(absent),
        "abstained_right": sum(each.right for each in absent),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """What ``rag-pgvector eval answers`` does, under its old name."""
    from rag_pgvector.cli.app import run

    return run(["eval", "answers", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
