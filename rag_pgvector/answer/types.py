"""What a question is answered with: a grounded answer, its citations, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "AnswerMode",
    "Citation",
    "ConfidenceKind",
    "FailureMode",
    "GroundedAnswer",
    "PredictResponse",
    "RejectedCitation",
]

#: Why there is no answer. ``no_results``: nothing was found to read. ``low_confidence``: the best answer stays below
#: the threshold. ``insufficient_evidence``: what the question names (a year, a number, a quotation, a row or column) is
#: absent from the evidence, or the language model finds no answer in it. ``conflicting_evidence``: sources contradict
#: each other. ``unverified_citation``: no quotation of the language model stands where it says. ``ungrounded_answer``:
#: they do, and do not carry its statements. ``llm_error``, ``timeout``: it failed, or took too long.
FailureMode = Literal[
    "no_results",
    "low_confidence",
    "insufficient_evidence",
    "conflicting_evidence",
    "unverified_citation",
    "ungrounded_answer",
    "invalid_query",
    "filter_empty",
    "llm_error",
    "timeout",
    "retrieval_error",
]
ConfidenceKind = Literal["prior", "calibrated", "guaranteed"]
AnswerMode = Literal["extractive", "table", "llm"]


class _Frozen(BaseModel):
    # Floats that are not numbers would poison every mean that is taken over answers.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Citation(_Frozen):
    """A verbatim slice of a stored source.

    ``text[char_start:char_end] == snippet``, half-open and in code points, always. ``text`` is the stored text of the
    document ``doc_id``; where that is ``None`` (a chunk added by hand), it is the content of the chunk ``chunk_id``.

    Attributes:
        source: Where the text came from, as a person would name it.
        snippet: The slice.
        page_or_row: 1-based page, or 0-based data row of a table.
        page_or_row_end: Last page or row, where the slice runs over several.
        char_start: First code point of the slice.
        char_end: One past its last.
        chunk_id: The chunk that was found.
        doc_id: The document whose stored text the span refers to.
        content_sha256: SHA-256 (hex) of that text in UTF-8: while it is the same, the span holds.
        answer_start: First code point of the part of ``answer`` that this citation supports.
        answer_end: One past its last.
        match: How the slice was located: byte for byte, or after undoing presentation (white space, ligatures).
        retrieval_score: The score with which the chunk was found.
        columns: For a table row, the columns that the answer was read from.
        before: What stands before the slice in its chunk, up to 160 code points, to show it in its context.
        after: What stands after it.
    """

    source: str
    snippet: str = Field(min_length=1)
    page_or_row: int | str | None = None
    char_start: int = Field(ge=0)
    char_end: int = Field(gt=0)
    chunk_id: str
    doc_id: str | None = None
    content_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    page_or_row_end: int | str | None = None
    answer_start: int | None = Field(default=None, ge=0)
    answer_end: int | None = Field(default=None, gt=0)
    match: Literal["exact", "normalized"] = "exact"
    retrieval_score: float | None = None
    columns: tuple[str, ...] | None = None
    before: str = ""
    after: str = ""

    @model_validator(mode="after")
    def _span_is_the_snippet(self) -> Citation:
        if self.char_end - self.char_start != len(self.snippet):
            raise ValueError(
                f"char_start={self.char_start}, char_end={self.char_end}: the span must be as long as the snippet "
                f"({len(self.snippet)} code points)"
            )
        if (self.answer_start is None) != (self.answer_end is None):
            raise ValueError("answer_start and answer_end: give both or neither")
        if self.answer_start is not None and self.answer_end is not None and self.answer_start >= self.answer_end:
            raise ValueError(f"answer_start={self.answer_start}: must be before answer_end={self.answer_end}")
        return self


class RejectedCitation(_Frozen):
    """Quotations of a language model that were refused: why, and how many. What they said is not repeated.

    ``unknown_id``: no passage has the id. ``not_found``: the passage does not hold it. ``other_passage``: another one
    does. ``cuts_word``, ``cuts_number``, ``cuts_negation``: it leaves out what it cannot do without. ``empty``,
    ``too_long``.
    """

    reason: str
    count: int = Field(ge=1)


class GroundedAnswer(_Frozen):
    """An answer with the citations that carry it, or ``failure_mode`` and no answer.

    Attributes:
        answer: The answer, or ``None`` when there is none. A cut from prose is shown without the marks of its format
            (``**``, backticks, the bars of a table); its citation keeps them.
        citations: At least one beside an answer, none beside a failure.
        confidence: Estimated probability that the answer is right and supported by its citations, 0 to 1.
        failure_mode: Why there is no answer, or ``None``.
        confidence_kind: ``prior`` is fitted on public questions, ``calibrated`` on this corpus' own, ``guaranteed`` has
            a bound on its error.
        calibration_id: The calibration used, where it is not the prior.
        threshold: The confidence below which there is no answer.
        signals: What the confidence was computed from.
        mode: How the answer was made.
        applied_filters: The conditions on rows that the question was read as.
        rejected_citations: Quotations of a language model that were refused.
        near_misses: When there is no answer: what came closest.
        warnings: What a careful reader should know.
        asked_as: The question that a follow-up was rewritten to, where one was.
        span_start: First code point of the date, number or name in ``answer`` that the question asks for, where one is
            clearly meant; a cut from prose only. The citation stays the whole sentence.
        span_end: One past its last.
    """

    answer: str | None
    citations: tuple[Citation, ...] = ()
    confidence: float = Field(ge=0.0, le=1.0)
    failure_mode: FailureMode | None = None
    confidence_kind: ConfidenceKind = "prior"
    calibration_id: str | None = None
    threshold: float = Field(default=0.6, ge=0.0, le=1.0)
    signals: dict[str, float] = Field(default_factory=dict)
    mode: AnswerMode = "extractive"
    applied_filters: tuple[dict[str, Any], ...] = ()
    rejected_citations: tuple[RejectedCitation, ...] = ()
    near_misses: tuple[Citation, ...] = ()
    warnings: tuple[str, ...] = ()
    asked_as: str | None = None
    span_start: int | None = Field(default=None, ge=0)
    span_end: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _answered_or_not(self) -> GroundedAnswer:
        if not all(math.isfinite(value) for value in self.signals.values()):
            raise ValueError(f"signals={self.signals}: every value must be a finite number")
        if (self.span_start is None) != (self.span_end is None):
            raise ValueError("span_start and span_end: give both or neither")
        if self.span_end is not None and not (self.span_start or 0) < self.span_end <= len(self.answer or ""):
            raise ValueError(f"span {self.span_start} to {self.span_end}: must be a part of the answer")
        if self.failure_mode is not None:
            if self.answer or self.citations:
                raise ValueError(f"failure_mode={self.failure_mode!r}: answer must be None and citations empty")
            if self.failure_mode == "low_confidence" and self.confidence >= self.threshold:
                raise ValueError(f"low_confidence, but confidence={self.confidence} reaches threshold={self.threshold}")
            return self
        if not self.answer or not self.citations:
            raise ValueError("an answer without failure_mode needs a text and at least one citation")
        if self.confidence < self.threshold:
            raise ValueError(f"confidence={self.confidence}: below threshold={self.threshold}, failure_mode is missing")
        if self.near_misses:
            raise ValueError("near_misses: only where there is no answer")
        for citation in self.citations:
            if citation.answer_end is not None and citation.answer_end > len(self.answer):
                raise ValueError(f"answer_end={citation.answer_end}: the answer has {len(self.answer)} code points")
        return self

    @property
    def span(self) -> str | None:
        """The date, number or name in the answer that is asked for, or None where none is clearly meant."""
        if self.answer is None or self.span_start is None:
            return None
        return self.answer[self.span_start : self.span_end]

    def text(self) -> str:
        """The answer and its sources, or why there is none, as plain text."""
        from rag_pgvector.answer.shown import answer_text

        return answer_text(self)

    def _repr_html_(self) -> str:
        from rag_pgvector.answer.shown import answer_html

        return answer_html(self)

    def compact(self) -> dict[str, Any]:
        """The four keys ``answer``, ``citations`` (``source``, ``snippet``, ``page_or_row``), ``confidence``,
        ``failure_mode``, and no other."""
        return {
            "answer": self.answer,
            "citations": [
                {"source": each.source, "snippet": each.snippet, "page_or_row": each.page_or_row}
                for each in self.citations
            ],
            "confidence": self.confidence,
            "failure_mode": self.failure_mode,
        }


class PredictResponse(_Frozen):
    """A grounded answer, how long it took and which version of which parts made it."""

    model_config = ConfigDict(protected_namespaces=())

    prediction: GroundedAnswer
    latency_ms: int = Field(ge=0)
    model_version: str

    def compact(self) -> Mapping[str, Any]:
        """The same with the compact view of the answer."""
        return {
            "prediction": self.prediction.compact(),
            "latency_ms": self.latency_ms,
            "model_version": self.model_version,
        }
