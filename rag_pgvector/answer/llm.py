"""Answers by a language model, from quotations that are verified one by one.

The model is shown passages under random ids and returns statements with quotations. A quotation counts if it stands in
the passage it names (``quotes``); a statement, if its quotations carry it (``grounding``). What fails is taken out; if
nothing is left there is no answer, and its reason. Text, page and span of every citation come from the store.

What a table answers exactly is answered so, without the model. The confidence starts from what the extractive answer
to the same question is worth, which measures whether the passages hold an answer at all.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rag_pgvector.answer.confidence import extractive_confidence
from rag_pgvector.answer.evidence import source_of
from rag_pgvector.answer.lexical import Query, coverage, fold, read_query, terms
from rag_pgvector.answer.models import Reply
from rag_pgvector.answer.prompt import write_prompt
from rag_pgvector.answer.reply import SCHEMA, read_reply
from rag_pgvector.answer.route import answer
from rag_pgvector.answer.steps import Answering, EmbedTexts, Find, Generate, Step, Texts
from rag_pgvector.answer.types import Citation, FailureMode, GroundedAnswer, RejectedCitation
from rag_pgvector.answer.verify import Checked, Passage, check
from rag_pgvector.errors import ConfigError
from rag_pgvector.types import Chunk, ScoredChunk

__all__ = ["LLM_WEIGHTS", "answer_with_model", "llm_confidence"]

#: Passages that the model reads at least, and code points of one and of all.
SHOWN = 8
LONGEST_PASSAGE = 6_000
LONGEST_PROMPT = 40_000

#: Log odds of a model's answer, of signals from 0 to 1 and the extractive log odds (bounded as the confidence is), none
#: of which can lower the confidence by growing. Intercept, ``extractive`` and ``agreement`` are fitted by
#: ``python -m rag_pgvector.evals.fit_llm --most 120`` on SQuAD 2, XQuAD in Spanish and IDK-MRC, put to a simulated
#: reader (505 answers). The others are set by hand: such a reader misquotes nothing, and always quotes what is like the
#: question, so it cannot tell what relevance is worth (fitted, it would be 0). With 2 the order of answers is on each
#: set better than by the weights before, which were all set by hand.
LLM_INTERCEPT = -5.88
LLM_WEIGHTS: Mapping[str, float] = {
    "extractive": 0.57,
    "agreement": 0.88,
    "relevance": 2.0,
    "quotes_verified": 1.0,
    "statements_kept": 1.0,
    "statement_words": 1.0,
    "numbers_supported": 1.0,
}


def answer_with_model(
    question: str,
    *,
    k: int = 3,
    filter: Mapping[str, Any] | None = None,
    threshold: float = 0.6,
    target_risk: float | None = None,
) -> Answering:
    """Answers a question with the help of the language model that the driver has.

    Args and errors are those of ``rag_pgvector.answer.answer``; ``k`` passages are shown to the model if that is more
    than 8, and all quotations that carry the answer are cited. ``target_risk`` cannot be promised for a model's
    answers: the threshold decides, and a warning says so.
    """
    seen = _Seen()
    if target_risk is not None and not 0.0 < target_risk < 1.0:
        raise ConfigError(f"target_risk={target_risk!r}: use a share of wrong answers between 0 and 1")
    given = yield from _recorded(answer(question, k=k, filter=filter, threshold=threshold), seen)
    if given.failure_mode == "invalid_query" or given.mode == "table":
        return given
    passages = yield from _passages(seen, given, max(SHOWN, k))
    if not passages:
        return given.model_copy(update={"mode": "llm"})
    prompt = write_prompt(seen.question, [(passage.title, passage.text) for passage in passages])
    unbounded = f"target_risk={target_risk} is not promised for a language model's answers: the threshold decides"
    outcome = _Outcome(given, threshold, (*prompt.warnings, *((unbounded,) if target_risk is not None else ())))
    reply: Reply = yield Generate(prompt.system, prompt.user, SCHEMA)
    if reply.failure is not None:
        return outcome.failure(reply.failure, f"the language model: {reply.detail}")
    statements = read_reply(reply.content)
    if statements is None:
        return outcome.failure("llm_error", "the language model: its reply is not the JSON that was asked for")
    if not statements:
        return outcome.failure("insufficient_evidence", "the language model found no answer in the passages")

    checked = check(statements, dict(zip(prompt.ids, passages, strict=True)))
    outcome.add(checked)
    if not checked.answer:
        grounded = checked.refused.keys() - {"no_citation"}
        return outcome.failure("ungrounded_answer" if grounded else "unverified_citation")
    if checked.conflicting:
        return outcome.failure("conflicting_evidence", near_misses=checked.citations)
    query = read_query(seen.question)
    if not _holds_all(query, checked.cited):
        return outcome.failure("insufficient_evidence")
    closest = (given.citations or given.near_misses)[:1]
    texts = [seen.question, _joined(checked.citations), _joined(closest) or seen.question]
    vectors = np.asarray((yield EmbedTexts(texts)), dtype=np.float64)
    outcome.signals |= {
        "relevance": _relevance(query, texts, vectors),
        "agreement": float(_overlap(checked.citations, closest)),
    }
    confidence = llm_confidence(given.confidence or extractive_confidence(given.signals), outcome.signals)
    if confidence < threshold:
        return outcome.failure("low_confidence", confidence=confidence)
    return outcome.answer(checked, confidence)


def llm_confidence(extractive: float, signals: Mapping[str, float]) -> float:
    """The prior's estimate for a model's answer, 0 to 1.

    Args:
        extractive: The confidence of the extractive answer to the same question.
        signals: By the other names of ``LLM_WEIGHTS``; a missing one counts as 0.
    """
    bounded = min(max(extractive, 1e-6), 1.0 - 1e-6)
    known = {**signals, "extractive": math.log(bounded / (1.0 - bounded))}
    logit = LLM_INTERCEPT + sum(weight * known.get(name, 0.0) for name, weight in LLM_WEIGHTS.items())
    return 1.0 / (1.0 + math.exp(-logit))


# ------------------------------------------------------------------------------------------------------------ outcome


@dataclass(slots=True)
class _Outcome:
    """What answers and failures of one question have in common."""

    given: GroundedAnswer
    threshold: float
    warnings: tuple[str, ...]
    signals: dict[str, float] = field(default_factory=dict)
    rejected: tuple[RejectedCitation, ...] = ()

    def __post_init__(self) -> None:
        self.warnings = (*self.given.warnings, *self.warnings)
        self.signals = dict(self.given.signals)

    def add(self, checked: Checked) -> None:
        """Takes over what was found out about the model's reply."""
        self.signals |= checked.signals
        self.rejected = tuple(RejectedCitation(reason=why, count=count) for why, count in checked.rejected.items())
        if checked.refused:
            reasons = ", ".join(f"{why} ({count})" for why, count in checked.refused.items())
            self.warnings += (f"statements of the language model were left out: {reasons}",)
        if checked.marked_up:
            self.warnings += ("links or tags were taken out of the language model's text",)

    def failure(
        self,
        mode: FailureMode,
        *warnings: str,
        confidence: float = 0.0,
        near_misses: tuple[Citation, ...] | None = None,
    ) -> GroundedAnswer:
        closest = self.given.citations or self.given.near_misses if near_misses is None else near_misses
        return GroundedAnswer(
            answer=None,
            confidence=confidence,
            failure_mode=mode,
            near_misses=tuple(each.model_copy(update={"answer_start": None, "answer_end": None}) for each in closest),
            **self._common(warnings),
        )

    def answer(self, checked: Checked, confidence: float) -> GroundedAnswer:
        return GroundedAnswer(
            answer=checked.answer, citations=checked.citations, confidence=confidence, **self._common(())
        )

    def _common(self, warnings: tuple[str, ...]) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "confidence_kind": self.given.confidence_kind,
            "calibration_id": self.given.calibration_id,
            "signals": self.signals,
            "mode": "llm",
            "rejected_citations": self.rejected,
            "warnings": (*self.warnings, *warnings),
        }


# --------------------------------------------------------------------------------------------------------- retrieval


@dataclass(slots=True)
class _Seen:
    """What the extractive way found on its own: nothing is searched for twice."""

    question: str = ""
    hits: Sequence[ScoredChunk] = ()
    texts: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)


def _recorded(answering: Answering, seen: _Seen) -> Answering:
    reply: Any = None
    while True:
        try:
            step = answering.send(reply)
        except StopIteration as stop:
            given: GroundedAnswer = stop.value
            return given
        reply = yield step
        if isinstance(step, Find):
            seen.question, seen.hits = step.question, reply
        elif isinstance(step, Texts):
            seen.texts |= reply
            seen.asked |= set(step.document_ids)


def _passages(seen: _Seen, given: GroundedAnswer, most: int) -> Generator[Step, Any, list[Passage]]:
    """What the model is shown: first what the extractive way found best, then the search's order."""
    best = [each.chunk_id for each in (*given.citations, *given.near_misses)]
    first = sorted(seen.hits, key=lambda hit: best.index(hit.chunk.id) if hit.chunk.id in best else len(best))
    chosen = [hit for hit in first if hit.chunk.content.strip()][:most]
    wanted = {hit.chunk.document_id for hit in chosen if hit.chunk.document_id is not None} - seen.asked
    if wanted:
        seen.texts |= yield Texts(sorted(wanted))
    found: list[Passage] = []
    room = LONGEST_PROMPT
    for hit in chosen:
        source = source_of(hit.chunk, seen.texts)
        end = min(source.end, source.start + LONGEST_PASSAGE, source.start + room)
        room -= end - source.start
        if end > source.start:
            found.append(Passage(hit.chunk, hit.score, source, source.start, end))
    return found


# ---------------------------------------------------------------------------------------------------------- evidence


def _holds_all(query: Query, cited: Sequence[Passage]) -> bool:
    """False where a year, a larger number or a quotation of the question stands in no passage that is cited."""
    text = " ".join(f"{passage.text} {passage.title} {_metadata(passage.chunk)}" for passage in cited)
    if query.required - set(terms(text)):
        return False
    folded = " ".join(fold(text).split())
    return all(" ".join(literal.split()) in folded for literal in query.literals)


def _metadata(chunk: Chunk) -> str:
    return " ".join(str(value) for value in chunk.metadata.values())


def _joined(citations: Sequence[Citation]) -> str:
    return " ".join(citation.snippet for citation in citations)[:1_000]


def _relevance(query: Query, texts: Sequence[str], vectors: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """How near the cited text is to the question, by vector and by words, beside what extraction found best."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    units = vectors / np.where(norms > 0, norms, 1.0)
    ours, best = (
        max(0.0, float(np.nan_to_num(units[at] @ units[0]))) + coverage(query.weights, set(terms(texts[at])))
        for at in (1, 2)
    )
    return round(min(1.0, ours / best), 6) if best else 1.0


def _overlap(citations: Sequence[Citation], others: Sequence[Citation]) -> bool:
    return any(
        ours.content_sha256 == theirs.content_sha256
        and ours.doc_id == theirs.doc_id
        and ours.char_start < theirs.char_end
        and theirs.char_start < ours.char_end
        for ours in citations
        for theirs in others
    )
