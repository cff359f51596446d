"""Holds a language model's statements against the passages that it was shown: what survives is an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rag_pgvector.answer.evidence import Source, cite
from rag_pgvector.answer.grounding import Support, plain, support
from rag_pgvector.answer.lexical import STOPWORDS, terms
from rag_pgvector.answer.quantities import quantities
from rag_pgvector.answer.quotes import Located, locate, unseen
from rag_pgvector.answer.reply import Quote, Statement
from rag_pgvector.answer.types import Citation
from rag_pgvector.types import Chunk

__all__ = ["Checked", "Passage", "check"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk as the model was shown it: ``source.text[start:end]``."""

    chunk: Chunk
    score: float
    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def context(self) -> str:
        """The text under what it stands under."""
        return "\n".join((*self.source.titles, self.title, self.text))

    @property
    def title(self) -> str:
        """Its source, as a person would name it. From the store, never from the model."""
        name = self.chunk.source or self.chunk.document_id or self.chunk.id or ""
        return name if self.chunk.page_or_row is None else f"{name}, {self.chunk.page_or_row}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What is left of a reply.

    Attributes:
        answer: The statements that hold, in order; empty where none does.
        citations: Their verified quotations, each with the part of ``answer`` that it carries.
        rejected: Reasons why quotations were refused, with their counts.
        refused: The same for statements.
        cited: The passages cited.
        signals: ``quotes_verified``, ``statements_kept``, ``statement_words`` and ``numbers_supported``, each 0 to 1.
        conflicting: True where two statements say different numbers of the same thing.
        marked_up: True where links or tags were taken out of the model's text.
    """

    answer: str
    citations: tuple[Citation, ...]
    rejected: Mapping[str, int]
    refused: Mapping[str, int]
    cited: tuple[Passage, ...]
    signals: Mapping[str, float]
    conflicting: bool
    marked_up: bool


def check(statements: Sequence[Statement], passages: Mapping[str, Passage]) -> Checked:
    """Verifies quotations, then what is said from them.

    Args:
        passages: What the model was shown, by the ids of this request.
    """
    rejected: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    citations: dict[tuple[int, int, int], Citation] = {}
    kept: list[tuple[str, list[str]]] = []
    held: list[Support] = []
    cited: dict[int, Passage] = {}
    quotes = numbers = missing = 0
    marked_up = False
    length = 0
    for statement in statements:
        text, marks = plain(unseen(statement.text)[0])
        marked_up |= marks
        found: list[tuple[Passage, Located]] = []
        for quote in statement.quotes:
            quotes += 1
            outcome = _place(quote, passages)
            if isinstance(outcome, str):
                rejected[outcome] += 1
            else:
                found.append(outcome)
        if not found:
            refused["no_citation"] += 1
            continue
        spans = [passage.source.text[place.start : place.end] for passage, place in found]
        context = "\n".join(passage.context for passage, _ in found)
        carried = support(text, spans, context)
        numbers += 1
        missing += carried.refused == "number"
        if carried.refused is not None:
            refused[carried.refused] += 1
            continue
        if any(text == other for other, _ in kept):
            continue
        start = length + bool(kept)
        length = start + len(text)
        kept.append((text, spans))
        held.append(carried)
        for passage, place in found:
            cited.setdefault(id(passage), passage)
            key = (id(passage), place.start, place.end)
            if key not in citations:
                made = cite(
                    passage.chunk,
                    passage.source,
                    place.start,
                    place.end,
                    score=passage.score,
                    answer_span=(start, length),
                )
                citations[key] = made.model_copy(update={"match": place.match})
    verified = quotes - sum(rejected.values())
    return Checked(
        answer=" ".join(text for text, _ in kept),
        citations=tuple(citations.values()),
        rejected=dict(sorted(rejected.items())),
        refused=dict(sorted(refused.items())),
        cited=tuple(cited.values()),
        signals={
            "quotes_verified": round(verified / quotes, 6) if quotes else 0.0,
            "statements_kept": round(len(kept) / len(statements), 6) if statements else 0.0,
            "statement_words": min((each.words for each in held), default=0.0),
            "numbers_supported": round(1.0 - missing / numbers, 6) if numbers else 0.0,
        },
        conflicting=_conflict([text for text, _ in kept]),
        marked_up=marked_up,
    )


def _place(quote: Quote, passages: Mapping[str, Passage]) -> tuple[Passage, Located] | str:
    passage = passages.get(quote.id.strip())
    if passage is None:
        return "unknown_id"
    place = locate(quote.text, passage.source.text, passage.start, passage.end)
    if isinstance(place, Located):
        return passage, place
    if place == "not_found" and any(
        isinstance(locate(quote.text, other.source.text, other.start, other.end), Located)
        for other in passages.values()
        if other is not passage
    ):
        return "other_passage"
    return place


def _conflict(texts: Sequence[str]) -> bool:
    """True where two statements have the same words and other numbers."""
    read = [(_words(text), {each.value for each in quantities(text)[0]}) for text in texts]
    return any(
        ours and len(ours & theirs) >= 0.8 * len(ours | theirs) and mine and others and not mine & others
        for at, (ours, mine) in enumerate(read)
        for theirs, others in read[at + 1 :]
    )


def _words(text: str) -> frozenset[str]:
    return frozenset(_worded(terms(text)))


def _worded(found: Iterable[str]) -> Iterable[str]:
    return (term for term in found if term not in STOPWORDS and not term[:1].isdigit())
