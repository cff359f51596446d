"""Candidates for an extractive answer: what was found, cut into units, each with its evidence.

A passage is one chunk as found; a candidate is one unit of it (a sentence, a list item, a row, a block of code).
Lexical evidence is the share of the question's words that a text holds, the rare ones counting more; a unit is
credited with the words that stand above it (headings, the sentence that introduces its list) at half weight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.answer.conditions import contrary_to
from rag_pgvector.answer.defaults import default_asked_for
from rag_pgvector.answer.definitions import term_asked_for
from rag_pgvector.answer.evidence import Source, Unit, extend, source_of, units
from rag_pgvector.answer.items import item_asked_for
from rag_pgvector.answer.lexical import Query, coverage, fold, idf, pair_coverage, term_set, terms
from rag_pgvector.answer.offices import office_asked_for
from rag_pgvector.answer.orders import asks_for_orders, gives_orders
from rag_pgvector.answer.places import strangers
from rag_pgvector.answer.sought import sought_by
from rag_pgvector.answer.values import IN_HEADINGS, holds, values
from rag_pgvector.types import Chunk, ScoredChunk

__all__ = ["EMBEDDED", "Candidate", "Passage", "alike", "candidates_of", "name_of", "order", "score"]

#: Units that are embedded at most, those with the most lexical evidence first.
EMBEDDED = 40
#: Code points of a document that are searched for a name.
_READ_FOR_NAMES = 200_000
#: So many words of a question besides its names and numbers say what is asked of these.
_OTHER_WORDS = 2
#: Weight of lexical coverage beside the retrieval score, when passages are ordered.
COVERED = 0.6


@dataclass(slots=True)
class Passage:
    """A chunk as it was found.

    Attributes:
        known: Its terms, and those of its source, title and headings.
        found: Its retrieval score, 1 for the best.
        covered: The share of the question's weight that ``known`` covers.
        rank: What passages are ordered by.
        firsts: In how many of the two rankings, by vectors and by words, it comes first.
        strange: Whether the question has a name that nothing knows which was found.
    """

    chunk: Chunk
    score: float
    found: float
    known: frozenset[str]
    firsts: int = 0
    rank: float = 0.0
    covered: float = 0.0
    strange: bool = False


@dataclass(slots=True)
class Candidate:
    """A unit of a passage.

    Attributes:
        admitted: Whether it may answer.
        says: What it says by its place: the item asked for by its number, where it is that.
        is_rival: Whether it speaks against another, as all do but a description of what has the default asked for, the
            head of a table, and what orders what to answer.
        parts: What its score is made of, each 0 to 1.
        reads: How likely each of its ``siblings`` answers, 0 to 1, where there is a reader: see ``pages``.
    """

    passage: Passage
    source: Source
    unit: Unit
    siblings: list[Unit]
    terms: list[str]
    context: frozenset[str]
    admitted: bool
    parts: dict[str, float] = field(default_factory=dict)
    reads: Sequence[float] | None = None
    score: float = 0.0
    is_rival: bool = True
    says: str = ""

    @property
    def origin(self) -> str:
        """The text that it stands in."""
        return f"document {self.source.doc_id}" if self.source.doc_id is not None else f"chunk {self.passage.chunk.id}"

    @property
    def text(self) -> str:
        return self.source.text[self.unit.start : self.unit.end]

    @property
    def spread(self) -> float:
        """How much further apart scores are than without a reader: gaps between them are multiplied by it."""
        return 1.0 if self.reads is None else READ_SPREAD

    @property
    def embedded(self) -> str:
        """What is compared with the question: the unit under its headings."""
        above = self.unit.context or name_of(self.passage.chunk.source)
        text = f"{self.says}: {self.text[:1_000]}" if self.says else self.text[:1_000]
        return f"{above[:300]}\n{text}" if above else text


def name_of(source: str | None) -> str:
    """A source that is a title and not a path."""
    return source if source and "/" not in source and len(source) < 100 else ""


def order(query: Query, hits: Sequence[ScoredChunk]) -> tuple[list[Passage], dict[str, float]]:
    """The chunks by retrieval and lexical coverage, best first, and the weights of the question's terms among them."""
    best = max((hit.score for hit in hits), default=0.0)
    low = min((hit.score for hit in hits), default=0.0)
    passages = [
        Passage(
            chunk=hit.chunk,
            score=hit.score,
            found=(hit.score - low) / (best - low) if best > low else 1.0,
            known=term_set(hit.chunk.content) | term_set(_above(hit.chunk)),
        )
        for hit in hits
    ]
    for value in ([-(hit.distance or 0.0) for hit in hits], [hit.keyword_score or 0.0 for hit in hits]):
        if value and max(value) > min(value):
            passages[int(np.argmax(value))].firsts += 1
    weights = idf(query, (passage.known for passage in passages), len(passages))
    known = frozenset[str]().union(*(passage.known for passage in passages))
    strange = bool(strangers(query.text, [hit.chunk.content for hit in hits], known))
    for passage in passages:
        passage.strange = strange
        passage.covered = coverage(weights, passage.known)
        passage.rank = passage.found + COVERED * passage.covered
    passages.sort(key=lambda passage: (-passage.rank, passage.chunk.id or ""))
    return passages, weights


def _above(chunk: Chunk) -> str:
    """The chunk's source, title and headings."""
    stored = chunk.metadata.get("headings")
    titles = [str(each) for each in stored] if isinstance(stored, (list, tuple)) else []
    return "\n".join([chunk.source or "", str(chunk.metadata.get("title") or ""), *titles])


def candidates_of(
    query: Query,
    weights: Mapping[str, float],
    passages: Sequence[Passage],
    texts: Mapping[str, str],
    *,
    in_rows: bool = False,
) -> list[Candidate]:
    """The units of the passages with their lexical evidence, at most ``EMBEDDED``, the most promising first.

    Args:
        in_rows: Whether a table has rows of what the question names. Prose that has only its names and numbers, and no
            other word of it, is then a row that stands as an example, and no evidence.
    """
    found: list[Candidate] = []
    seen: set[tuple[str, int, int]] = set()
    wary = not asks_for_orders(query.text)
    default = default_asked_for(query)
    sought = sought_by(query.text)
    defined = term_asked_for(query.text)
    item = item_asked_for(query.text)
    office = office_asked_for(query.text)
    rest = query.weights.keys() - query.names - query.numbers if in_rows else frozenset[str]()
    for passage in passages:
        source = source_of(passage.chunk, texts)
        admitted = _admits(query, passage) and _of_the_named(query, passage, source)
        siblings = units(source)
        above = _above(passage.chunk)
        above_terms = term_set(above)
        for unit in siblings:
            if unit.is_heading and not _says(query, source.text[unit.start : unit.end]):
                continue
            sequence = terms(source.text[unit.start : unit.end])
            context = above_terms | term_set(unit.context)
            says = item.words if item is not None and item.names(source.text, unit.start) else ""
            orders = wary and gives_orders(source.text[unit.start : unit.end])
            each = Candidate(passage, source, unit, siblings, sequence, context, admitted and not orders)
            each.is_rival = not (unit.is_head or orders)
            if item is not None:
                each.says = says
                each.admitted &= bool(says) or item.mentioned_in(source.text[unit.start : unit.end])
            if each.admitted:
                start, end = extend(source, siblings, unit)
                read = source.text[start:end]
                under = f"{unit.context}\n{read}"
                if default is not None:
                    each.admitted = default.told_by(under)
                    each.is_rival &= not default.only_described_by(under)
                if len(rest) >= _OTHER_WORDS and rest.isdisjoint(context.union(sequence)):
                    each.admitted = False
                if each.admitted and sought is not None:
                    around = f"{above}\n{unit.context}\n{source.text[start : max(end, _next_end(siblings, unit))]}"
                    each.admitted = sought.told_by(around if sought.around else read)
                if each.admitted and office is not None:
                    each.admitted = office.by(under)
                each.admitted = each.admitted and not contrary_to(query.text, read)
            key = (each.origin, unit.start, unit.end)
            if key in seen:
                continue
            seen.add(key)
            own = frozenset(sequence)
            each.parts = {
                "said": coverage(weights, own),
                "covered": (coverage(weights, own) + coverage(weights, own | context)) / 2,
                "pairs": pair_coverage(query, sequence),
                "passage": passage.covered,
                "found": passage.found,
                "defines": float(defined is not None and defined.defined_by(each.text)),
                "typed": max(
                    holds(query.wants, each.text, has_code=unit.has_code),
                    holds(query.wants, unit.heading) if query.wants in IN_HEADINGS else 0.0,
                ),
                "read": 0.0,
            }
            found.append(each)
    found.sort(
        key=lambda each: (
            -(each.parts["covered"] + each.passage.rank),
            each.passage.chunk.id or "",
            each.unit.start,
        )
    )
    return found[:EMBEDDED]


def _next_end(siblings: Sequence[Unit], unit: Unit) -> int:
    """Where the unit after one in the same block ends, or the one itself where there is none."""
    after = siblings[siblings.index(unit) + 1 :][:1]
    return after[0].end if after and after[0].spans[0].block == unit.spans[-1].block else unit.end


def _says(query: Query, heading: str) -> bool:
    """Whether a heading says a date or a version that is asked for and that the question does not name."""
    if query.wants not in IN_HEADINGS:
        return False
    asked = set(query.weights)
    return any(not set(value.key.split()) <= asked for value in values(query.wants, heading))


#: Of what the reader says, from 0 to 1: 16 log odds are as much as a cosine of 1.
READ_WEIGHT = 1.0
#: What that does to the gaps between scores.
READ_SPREAD = 1.3
#: What a unit's score is made of.
WEIGHTS: Mapping[str, float] = {
    "cosine": 1.0,
    "covered": 0.6,
    "pairs": 0.2,
    "typed": 0.1,
    "defines": 0.2,
    "found": 0.3,
    "passage": 0.18,
    "read": READ_WEIGHT,
}


def score(candidates: Sequence[Candidate], vectors: NDArray[Any]) -> None:
    """Completes the candidates' scores.

    Args:
        vectors: Of the question, and of what is ``embedded`` of each candidate, ``(1 + n, dimensions)``.
    """
    found = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    directions = found / np.where(norms > 0, norms, 1.0)
    for candidate, cosine in zip(candidates, np.nan_to_num(directions[1:] @ directions[0]), strict=True):
        candidate.parts["cosine"] = float(cosine)
        candidate.score = sum(weight * candidate.parts[name] for name, weight in WEIGHTS.items())


def _admits(query: Query, passage: Passage) -> bool:
    """False where a year, a larger number, a quotation or an identifier of the question is absent from a passage, or a
    name from all of them."""
    if passage.strange:
        return False
    numbers = query.required
    if not numbers and not query.literals:
        return True
    chunk = passage.chunk
    origin = " ".join([chunk.source or "", *(str(value) for value in chunk.metadata.values())])
    if numbers - passage.known - term_set(origin):
        return False
    if not query.literals:
        return True
    text = " ".join(fold(f"{chunk.content} {origin}").split())
    return all(" ".join(literal.split()) in text for literal in query.literals)


def _of_the_named(query: Query, passage: Passage, source: Source) -> bool:
    """False where the number or year of the question is there, and none of its names: not in the passage, and not in
    its document. Years are everywhere, and say nothing of what they are asked about."""
    if not query.required or not query.names or not query.names.isdisjoint(passage.known):
        return True
    text = fold(source.text[:_READ_FOR_NAMES])
    return any(name in text for name in query.names)


def alike(one: Candidate, other: Candidate) -> bool:
    """True where two units say nearly the same in nearly the same words."""
    ours, theirs = set(one.terms), set(other.terms)
    return len(ours & theirs) >= 0.8 * len(ours | theirs) > 0
