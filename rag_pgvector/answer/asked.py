"""What a question asks of a table: its words, the periods it names, the numbers and quotations in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag_pgvector.answer.lexical import STOPWORDS, fold
from rag_pgvector.answer.periods import CLOCK, Period, bound_in, clock_of, periods_in, yearless_in
from rag_pgvector.answer.tongues import HOW_MANY, in_english
from rag_pgvector.answer.turns import turn_in
from rag_pgvector.answer.vocabulary import (
    AGGREGATES,
    CALCULATIONS,
    COMPARATIVES,
    DEEDS,
    DEGREES,
    DOERS_OF,
    FRAME,
    LATEST,
    NEUTRAL,
    OPERATIONS,
    RATES,
    SUPERLATIVES,
    concept,
)

__all__ = ["Asked", "read_asked"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as read for tables.

    Attributes:
        words: Its words, folded, in order.
        terms: For each word, the concept that it is, or is part of.
        heard: The concepts in order, without function words, each with the places of its words.
        named: For each word, whether it is written like a name (capitalised inside the question, or quoted).
        content: The places of the words that an answer must account for.
        periods: The periods named; several for "2010 to 2012".
        time_words: The places of the words that name them.
        latest: The newest period is asked for.
        turn: Of several the "first", the "last" or the "earliest" is asked for: the place of that word.
        reverts: The newest of what is asked for is as good as the newest of all ("most recent", but not "current").
        calculates: A word asks for a calculation over rows; the places of such words.
        operations: The places of words that say which: "max", "min", "sum", "mean".
        compared: The places of words that ask which of several things is ahead, which "or" joins: "more", "older".
        totalled: The places of "total" and the like, which name a column or a row of the whole, or ask for a sum.
        asks: "who", "when" or "where", if the question begins so; else "".
        degree: The word after "how" in "how large", or what a superlative is of ("long" of "longest"); else "".
        wants: "rate" where a share is asked for, "count" for a number of things, else "".
        digits: How many digits a code is to have, or 0.
        clock: The times of day named, as "hh:mm"; ``clock_words`` are the places of their words.
        bound: What "before", "since" and the like make of the periods (``periods.bound_in``); ``bound_words`` say so.
        yearless: Months and days named without a year; ``yearless_words`` are the places of their words.
    """

    words: tuple[str, ...]
    terms: tuple[str, ...]
    heard: tuple[tuple[str, tuple[int, ...]], ...]
    named: tuple[bool, ...]
    content: frozenset[int]
    periods: tuple[Period, ...]
    time_words: frozenset[int]
    latest: bool
    turn: int | None
    reverts: bool
    calculates: frozenset[int]
    operations: Mapping[int, str]
    compared: frozenset[int]
    totalled: frozenset[int]
    asks: str
    degree: str
    wants: str
    digits: int
    clock: frozenset[str] = frozenset()
    clock_words: frozenset[int] = frozenset()
    bound: str = ""
    bound_words: frozenset[int] = frozenset()
    yearless: tuple[Period, ...] = ()
    yearless_words: frozenset[int] = frozenset()


_WORD = re.compile(r"[^\W_]+")
_QUOTED = re.compile('["\u201c]([^"\u201d\\n]{2,80})["\u201d]')


def read_asked(question: str) -> Asked:
    """Reads a question for tables."""
    question = re.sub(r"['’]s\b", "", question)
    periods, spans = periods_in(question)
    bound, bounded_at = bound_in(question, periods, spans)
    yearless, yearless_at = ([], []) if periods else yearless_in(question)
    bound_words: set[int] = set()
    yearless_words: set[int] = set()
    found: list[str] = []
    named: list[bool] = []
    time_words: set[int] = set()
    shouted = question.upper() == question
    quoted = [match.span() for match in _QUOTED.finditer(question)]
    clocks = list(CLOCK.finditer(question))
    clock_words: set[int] = set()
    for place, match in enumerate(_WORD.finditer(question)):
        found.append(fold(match.group()))
        raw = match.group()
        capital = raw[0].isupper() and not shouted and (place > 0 or (len(raw) > 1 and raw.isupper()))
        named.append(capital or any(start <= match.start() < end for start, end in quoted))
        if any(start <= match.start() < end for start, end in spans):
            time_words.add(place)
        if bounded_at[0] <= match.start() < bounded_at[1]:
            bound_words.add(place)
        if any(start <= match.start() < end for start, end in yearless_at):
            yearless_words.add(place)
        if any(clock.start() <= match.start() < clock.end() for clock in clocks):
            clock_words.add(place)
    found = in_english(found)
    #: "IT" is no "it".
    initials = {
        place
        for place, match in enumerate(_WORD.finditer(question))
        if len(match.group()) > 1 and match.group().isupper() and not shouted
    }
    heard: list[tuple[str, tuple[int, ...]]] = []
    terms: list[str] = []
    for term, length in concept(found):
        places = tuple(range(len(terms), len(terms) + length))
        if length > 1 or found[places[0]] not in STOPWORDS or places[0] in initials:
            heard.append((term, places))
        terms += [term] * length
    compared = frozenset(place for place, word in enumerate(found) if word in COMPARATIVES and _OR & set(found[place:]))
    asks = next((asks for word in found[:2] if (asks := _ASKS.get(word))), "")
    deeds = _DEEDS_ASKED.get(asks, frozenset())
    content = {
        place
        for place, (word, term) in enumerate(zip(found, terms, strict=True))
        if word in deeds
        or place in yearless_words  # May, too
        or (word in _BOUNDS and place not in bound_words)
        or (word in ("more", "less", "fewer", "lebih") and place not in compared)
        or (word in ("points", "goals") and found[place - 1] in ("many", HOW_MANY, "most", "fewest"))
        or (
            not {word, term} & (NEUTRAL | LATEST | AGGREGATES | (frozenset() if place in initials else _stops(word)))
            and (named[place] or word in deeds or (not {word, term} & FRAME and not _is_degree(found, place)))
            and place not in time_words
            and place not in bound_words
            and not (word in _LIGHT and place == len(found) - 1 and _DID & {*found})  # "orders did she place"
            and (len(word) > 1 or word.isdigit() or named[place])
        )
    }
    return Asked(
        words=tuple(found),
        terms=tuple(terms),
        heard=tuple(heard),
        named=tuple(named),
        content=frozenset(content),
        periods=tuple(periods),
        time_words=frozenset(time_words),
        latest=not periods and any(word in LATEST for word in found),
        turn=turn_in(found, time_words | yearless_words),
        reverts=bool(_REVERTS & set(found)),
        calculates=frozenset(place for place, word in enumerate(found) if word in CALCULATIONS),
        operations=_operations(found) | {place: COMPARATIVES[found[place]][0] for place in compared},
        compared=compared,
        totalled=frozenset(place for place, word in enumerate(found) if word in ("total", "jumlah")),
        asks=asks,
        degree=next((word for place, word in enumerate(found) if _is_degree(found, place)), "")
        or next((word for place, word in enumerate(found[1:]) if found[place] in _VERY and word in DEGREES), "")
        or next((SUPERLATIVES[word][1] for word in found if word in SUPERLATIVES), "")
        or next((COMPARATIVES[found[place]][1] for place in sorted(compared)), ""),
        wants=_wants(found, terms),
        digits=_digits(found),
        clock=frozenset(clock_of(clock.group()) for clock in clocks),
        clock_words=frozenset(clock_words),
        bound=bound,
        bound_words=frozenset(bound_words),
        yearless=tuple(yearless),
        yearless_words=frozenset(yearless_words),
    )


#: Verbs that must be accounted for, where they say what somebody did, or what was done then.
_DEEDS_ASKED = {"who": DEEDS | DOERS_OF.keys(), "when": frozenset("published publish written".split())}
_VERY = frozenset("paling most least".split())
_MOSTLY = frozenset("tinggi banyak besar ramai rendah sedikit kecil murah kurang lama".split())
_DID = frozenset("do does did".split())
#: Words that make what follows a bound: where it is no period, a row that has it is none that is asked for.
_BOUNDS = frozenset("before after until till sebelum selepas".split())
#: Verbs of one who has a row: "how many orders did she place".
_LIGHT = frozenset("place make submit file lodge raise".split())
#: Words for the newest that need not be the newest of all.
_REVERTS = frozenset("latest newest recent recently terbaru".split())
_OR = frozenset("or atau".split())
_ASKS = {
    word: asks
    for asks, listed in {
        "who": "who whom whose siapa siapakah",
        "when": "when bila bilakah kapan kapankah",
        "where": "where dimana dimanakah",
    }.items()
    for word in listed.split()
}


def _stops(word: str) -> frozenset[str]:
    """Function words, and their plurals ("kinds"); "canned" is none, though its stem is "can"."""
    return STOPWORDS if word in STOPWORDS or word.removesuffix("s") in STOPWORDS else frozenset()


def _is_degree(found: Sequence[str], place: int) -> bool:
    """True for "large" in "how large": it asks how much there is of something."""
    return place > 0 and found[place - 1] in ("how", "berapa", "seberapa") and found[place] not in ("many", "much")


def _operations(found: Sequence[str]) -> dict[int, str]:
    operations = {place: OPERATIONS[word] for place, word in enumerate(found) if word in OPERATIONS}
    for place in [place for place in operations if {*found[place + 1 : place + 2]} & {"recent", "recently"}]:
        del operations[place]  # "the most recent order"
    operations |= {place: SUPERLATIVES[word][0] for place, word in enumerate(found) if word in SUPERLATIVES}
    for place, word in enumerate(found[:-1]):
        if word in ("most", "least") and found[place + 1] in DEGREES:
            operations[place + 1] = operations[place]  # "most expensive"
        if word == "paling":
            few = found[place + 1] in ("rendah", "sedikit", "kecil", "murah")
            # "Paling laris" asks for something that only the table could say.
            known = few or found[place + 1] in _MOSTLY or found[place + 1] in DEGREES
            operations |= dict.fromkeys((place, place + 1) if known else (place,), "min" if few else "max")
    return operations


def _wants(found: Sequence[str], terms: Sequence[str]) -> str:
    if set(terms) & RATES:
        return "rate"
    said = " ".join(found)
    return (
        "count"
        if re.search(rf"\bhow many\b|\b{HOW_MANY}\b|\bberapa (?:ramai|banyak)\b|\bbilangan\b|\bnumber of\b", said)
        else ""
    )


_FIGURES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ANGKA = ("satu", "dua", "tiga", "empat", "lima", "enam", "tujuh", "lapan", "sembilan", "sepuluh")


def _digits(found: Sequence[str]) -> int:
    """How many digits a code is to have: "five-digit", "empat digit", "kod 5 angka"."""
    for place, word in enumerate(found):
        beside = [*found[place - 1 : place], *found[place + 1 : place + 2]]
        if word not in ("digit", "digits", "angka"):
            continue
        for each in beside:
            for listed in (_FIGURES, _ANGKA):
                if each in listed:
                    return listed.index(each) + 1
            if each.isdigit() and len(each) == 1:
                return int(each)
    return 0
