"""The date, number or name that a question asks for, inside of a longer answer; and sources that disagree on it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rag_pgvector.answer.candidates import Candidate
from rag_pgvector.answer.evidence import titles_of
from rag_pgvector.answer.lexical import STOPWORDS, Query, fold, terms
from rag_pgvector.answer.values import IN_HEADINGS, KINDS, Value, amounts, counts, values

__all__ = ["disagree", "from_heading", "minimal_span"]

#: A value so much nearer to the question's words than the next one, in code points, is the one that is asked for.
_CLEARLY = 1.5
#: Terms that two sentences must have in common besides the value, to say the same of different things.
_SAME = 0.8
_LEAST = 3
#: How far the question may be better met by one of two sentences that disagree.
_AS_GOOD = 0.35

_WORD = re.compile(r"[^\W_]+")
#: What is to be counted, and a number that counts nothing but money.
_COUNTED = re.compile(r"\bhow many ([^\W\d_]+)|\bberapa(?:kah)? (?:banyak|ramai) ([^\W\d_]+)", re.IGNORECASE)
_MONEY = re.compile(r"[$€£¥]|RM|Rp")
#: Between the two ends of a period, or two things that are said side by side.
_TO = re.compile(r"^\s*(?:to|until|till|through|and|hingga|sampai|sehingga|dan|[-–—])\b|\band\b", re.IGNORECASE)
#: What stands before the first word of a sentence.
_BEGINS = re.compile(r"(?:^|[.!?:\n])[\"'“”‘’)\s]*$")
#: Capitalised words up to the end of their sentence; an initial or a title ends none.
_PART = re.compile(
    r"(?:[^\s.]+(?:\.(?=[^\s])|(?<=\b[^\W\d_])\.|(?<=Dr)\.|(?<=Mr)\.|(?<=St)\.|(?<=Mrs)\.)?(?: (?=\S))?)+"
)
#: Words that begin sentences, whose capital makes no name.
_OPENING = STOPWORDS | frozenset(
    "according although another both each early however many most no other since such thus yet".split()
)


def minimal_span(query: Query, text: str) -> tuple[int, int] | None:
    """Where the one value stands in a text that the question asks for, if one is clearly meant.

    Values that the question itself names are no answer to it. Of several dates or numbers, the one that is clearly the
    nearest to the question's words, or the only one that counts what is asked for. A name only where the sentence makes
    it who did it: "built by Ada Holm", "Ada Holm built". ``text[start:end]`` is the value; half-open, in code points.
    """
    found = _offered(query, text, query.wants)
    asked = set(query.weights)
    if query.wants == "name":
        found = [value for value in found if _acts(asked, text, value)]
        return (found[0].start, found[0].end) if len({value.key for value in found}) == 1 else None
    if query.wants == "number" and (thing := _COUNTED.search(query.text)):
        counted = [
            value for value in counts(text, terms(thing.group(1) or thing.group(2))[-1]) if value.key not in asked
        ]
        if len(counted) == 1:
            return counted[0].start, counted[0].end
        found = [value for value in found if not _MONEY.match(text[value.start : value.end])]
    if query.wants == "number" and len(found) > 1:
        found = [value for value in found if _counts(asked, text, value)]
    if len(found) <= 1:
        return (found[0].start, found[0].end) if found else None
    places = [match.start() for match in _WORD.finditer(text) if asked.intersection(terms(match.group()))]
    if not places:
        return None

    def distance(value: Value) -> float:
        near = sorted(min(abs(place - value.start), abs(place - value.end)) for place in places)[:3]
        return sum(near) / len(near)

    first, second = sorted(found, key=distance)[:2]
    low, high = sorted((first, second), key=lambda value: value.start)
    if query.wants in ("year", "date") and _TO.search(text[low.end : high.start]):
        return None  # one of two that belong together is half an answer
    return (first.start, first.end) if distance(second) >= _CLEARLY * max(1.0, distance(first)) else None


def from_heading(query: Query, best: Candidate, answer: str) -> tuple[int, int] | None:
    """Where the nearest heading above the best unit stands that says the date or version that is asked for, if the
    answer does not: entries of a change log stand under "Added", and that under the release."""
    if query.wants not in IN_HEADINGS or _offered(query, answer, query.wants):
        return None
    titles = titles_of(best.source, best.unit)
    return next((each for each in titles if _offered(query, best.source.text[slice(*each)], query.wants)), None)


def _acts(asked: set[str], text: str, value: Value) -> bool:
    """True for a name right after "by", or right before a word of the question that is no name."""
    before = text[: value.start].rstrip()
    after = _WORD.search(text, value.end)
    follows = "" if after is None or text[value.end : after.start()].strip() else after.group()
    if re.search(r"\b(?:by|oleh)$", before, re.IGNORECASE):
        # "by Greek sailors" names nobody.
        whole = not follows or not follows[0].islower() or follows in STOPWORDS
        return whole and any(asked.intersection(terms(word)) for word in before.split()[-8:])
    return follows[:1].islower() and bool(asked.intersection(terms(follows)))


def _counts(asked: set[str], text: str, value: Value) -> bool:
    """True where what is asked for follows the number within two words, or is its unit."""
    own = terms(text[value.start : value.end])
    return bool(asked.intersection([*own, *terms(text[value.end : value.end + 60])[:2]]))


def _offered(query: Query, text: str, kind: str) -> list[Value]:
    """The values of a kind which the question does not name."""
    asked = set(query.weights)
    found = values(kind, text)
    if kind == "name":
        return [name for each in found for name in _names(text, each) if not asked.intersection(name.key.split())]
    if kind == "number":  # a bare year is no amount, and no more is the day of a date
        found = amounts(text)
    return [value for value in found if not set(value.key.split()) <= asked]


def _names(text: str, value: Value) -> Iterator[Value]:
    """The names in a run of capitalised words: cut where a sentence ends, without a word that only begins one."""
    for part in _PART.finditer(text, value.start, value.end):
        start, end = part.span()
        first, _, rest = text[start:end].partition(" ")
        if _BEGINS.search(text, 0, start) and fold(first).strip(".") in _OPENING:
            if not rest:
                continue
            start += len(first) + 1
        yield Value(start, end, " ".join(terms(text[start:end])))


def disagree(query: Query, ranked: Sequence[Candidate]) -> Candidate | None:
    """The first candidate of another source that says the same as the best one with another value, or None.

    Two sentences disagree where each holds exactly one value of the kind that the question asks for (a number or a
    date, where it asks for no kind), the values differ, and nearly all else is the same: every number, and the words
    but for a few. A sentence that gives another year, or another name, speaks of something else.
    """
    kinds = (query.wants,) if query.wants in KINDS else ("number", "date")
    return next((other for kind in kinds if (other := _disagree(query, ranked, kind)) is not None), None)


def _disagree(query: Query, ranked: Sequence[Candidate], kind: str) -> Candidate | None:
    best = ranked[0]
    ours = _claim(query, best, kind)
    if ours is None:
        return None
    for other in ranked[1:]:
        if other.score < best.score - _AS_GOOD * best.spread:
            break
        if other.origin == best.origin or other.passage.chunk.source == best.passage.chunk.source:
            continue
        theirs = _claim(query, other, kind)
        if theirs is None or theirs[0] == ours[0] or not _same(ours[1], theirs[1]):
            continue
        if _asked_of(query, best) == _asked_of(query, other):
            return other
    return None


def _claim(query: Query, candidate: Candidate, kind: str) -> tuple[str, frozenset[str]] | None:
    """The one value that a sentence offers, and what it says of it."""
    found = _offered(query, candidate.text, kind)
    if len(found) != 1:
        return None
    value = found[0]
    return value.key, frozenset(terms(candidate.text[: value.start] + " " + candidate.text[value.end :]))


def _asked_of(query: Query, candidate: Candidate) -> frozenset[str]:
    """The question's words that the sentence, or what stands above it, repeats."""
    return frozenset(query.weights) & (frozenset(candidate.terms) | candidate.context)


def _same(ours: frozenset[str], theirs: frozenset[str]) -> bool:
    if {term for term in ours ^ theirs if any(char.isdigit() for char in term)}:
        return False
    return len(ours & theirs) >= max(_LEAST, _SAME * len(ours | theirs))
