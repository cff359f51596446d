"""What a question asks of a table: its words, the periods it names, the numbers and quotations in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag_pgvector.answer.lexical import STOPWORDS, fold
from rag_pgvector.answer.vocabulary import (
    AGGREGATES,
    CALCULATIONS,
    FRAME,
    LATEST,
    MONTHS,
    NEUTRAL,
    OPERATIONS,
    RATES,
    SUPERLATIVES,
    concept,
)

__all__ = ["Asked", "Period", "clock_of", "date_of", "periods_in", "read_asked"]


@dataclass(frozen=True, slots=True)
class Period:
    """A year, a quarter, a month or a day, as far as it is given."""

    year: int
    quarter: int | None = None
    month: int | None = None
    day: int | None = None

    def holds(self, date: tuple[int, int, int], granularity: str) -> bool:
        """True where a row of that date reports on this period. A row of a quarter reports on no single month."""
        year, month, day = date
        if self.year != year:
            return False
        if self.day is not None:
            return (self.month, self.day) == (month, day)
        if self.month is not None:
            return self.month == month and granularity in ("month", "day")
        if self.quarter is not None:
            return self.quarter == (month + 2) // 3 and granularity != "year"
        return True


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
        calculates: A word asks for a calculation over rows; the places of such words.
        operations: The places of words that say which: "max", "min", "sum", "mean".
        totalled: The places of "total" and the like, which name a column or a row of the whole, or ask for a sum.
        asks: "who", "when" or "where", if the question begins so; else "".
        degree: The word after "how" in "how large", or what a superlative is of ("long" of "longest"); else "".
        wants: "rate" where a share is asked for, "count" for a number of things, else "".
        digits: How many digits a code is to have, or 0.
        clock: The times of day named, as "hh:mm"; ``clock_words`` are the places of their words.
    """

    words: tuple[str, ...]
    terms: tuple[str, ...]
    heard: tuple[tuple[str, tuple[int, ...]], ...]
    named: tuple[bool, ...]
    content: frozenset[int]
    periods: tuple[Period, ...]
    time_words: frozenset[int]
    latest: bool
    calculates: frozenset[int]
    operations: Mapping[int, str]
    totalled: frozenset[int]
    asks: str
    degree: str
    wants: str
    digits: int
    clock: frozenset[str] = frozenset()
    clock_words: frozenset[int] = frozenset()


_YEAR = r"(?P<y>1[6-9]\d\d|20\d\d)"
_MONTH_NAME = "(?P<mon>" + "|".join(sorted(MONTHS, key=len, reverse=True)) + r")\.?"
_QUARTER = (
    r"(?:q|st|suku(?: tahun)?(?: ke)?|quarter|kuartal)[ \-]?(?P<q>[1-4])|"
    r"(?P<qw>first|second|third|fourth|last|1st|2nd|3rd|4th) quarter|"
    r"suku(?: tahun)? (?P<qm>pertama|kedua|ketiga|keempat)|(?P<qb>[1-4])q"
)
_QUARTER_WORDS = {
    **{"first": 1, "second": 2, "third": 3, "fourth": 4, "last": 4, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4},
    **{"pertama": 1, "kedua": 2, "ketiga": 3, "keempat": 4},
}
_OF = r"(?:[ ,]+|[ ,]+(?:of|in|the|year|tahun|bagi|pada|dalam)[ ,]+(?:(?:the|year|tahun)[ ,]+)*)"
#: More exact forms first; a part of the text that one form took is not read again.
_FORMS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![\w.]){_YEAR}[-/](?P<m>0?[1-9]|1[0-2])[-/](?P<d>0?[1-9]|[12]\d|3[01])(?![\w])",
        rf"(?<![\w.])(?P<d>0?[1-9]|[12]\d|3[01])[-/.](?P<m>0?[1-9]|1[0-2])[-/.]{_YEAR}(?!\w)",
        rf"(?<!\w)(?P<d>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|hb)?(?: of)? {_MONTH_NAME}{_OF}{_YEAR}(?!\w)",
        rf"(?<!\w){_MONTH_NAME} (?P<d>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?,? {_YEAR}(?!\w)",
        rf"(?<![\w.]){_YEAR}[-/](?P<m>0[1-9]|1[0-2])(?![\w/-])",
        rf"(?<![\w./])(?P<m>0?[1-9]|1[0-2])[-/]{_YEAR}(?!\w)",
        rf"(?<!\w){_MONTH_NAME}(?:{_OF}|[-'/]){_YEAR}(?!\w)",
        rf"(?<!\w){_YEAR}[ ,\-/]+(?:bulan )?{_MONTH_NAME}(?!\w)",
        rf"(?<!\w)(?:{_QUARTER})(?:{_OF}|[-/]){_YEAR}(?!\w)",
        rf"(?<!\w){_YEAR}[ ,:\-/]*(?:{_QUARTER})(?!\w)",
    )
]
_LONE_YEAR = re.compile(rf"(?<![\w.,/-]){_YEAR}(?![\w/]|[.,]\d)")
_LONE_MONTH = re.compile(rf"(?<!\w){_MONTH_NAME}(?!\w)", re.IGNORECASE)
_RANGE = re.compile(
    r"(?<![\w.,])(?P<a>1[6-9]\d\d|20\d\d)\s*(?:-|–|—|/|to|until|till|through|and|hingga|sehingga|sampai|dan)\s*"
    r"(?P<b>1[6-9]\d\d|20\d\d)(?![\w.,]\d|\w)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\b(?:between|antara)\s+(?:the years?\s+|tahun\s+)?$", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_CLOCK = re.compile(r"(?<![\d:.])(?P<h>[01]?\d|2[0-3]):(?P<m>[0-5]\d)(?::00)?(?![\d:.])")
_QUOTED = re.compile('["\u201c]([^"\u201d\\n]{2,80})["\u201d]')


def periods_in(text: str) -> tuple[list[Period], list[tuple[int, int]]]:
    """The periods that a text names, in order, and the spans that name them."""
    found: list[tuple[int, int, list[Period]]] = []

    def free(start: int, end: int) -> bool:
        return all(end <= taken or start >= upto for taken, upto, _ in found)

    for form in _FORMS:
        # One at a time: what a form took is not free for its next match.
        for match in form.finditer(text):
            found += [(*match.span(), [_period(match.groupdict())])] * free(*match.span())
    for match in _RANGE.finditer(text):
        first, last = int(match["a"]), int(match["b"])
        joined = re.search(r"and|dan", match.group(), re.IGNORECASE)
        between = _BETWEEN.search(text[: match.start()])
        if free(*match.span()) and first < last <= first + 60:
            years = [first, last] if joined and not between else range(first, last + 1)
            found.append((*match.span(), [Period(year) for year in years]))
    years_at = [match for match in _LONE_YEAR.finditer(text) if free(*match.span())]
    months_at = [match for match in _LONE_MONTH.finditer(text) if free(*match.span()) and _is_month(match.group())]
    years = sorted({int(match["y"]) for match in years_at} | {each.year for _, _, many in found for each in many})
    if months_at and len(years) == 1:
        # "in 2015, from January": the only year is meant.
        found += [
            (*match.span(), [Period(years[0], month=MONTHS[fold(match["mon"]).strip(".")])]) for match in months_at
        ]
        found += [(*match.span(), []) for match in years_at]
    else:
        found += [(*match.span(), [Period(int(match["y"]))]) for match in years_at]
    found.sort(key=lambda each: each[:2])
    periods = list(dict.fromkeys(period for _, _, many in found for period in many))
    return periods, [(start, end) for start, end, _ in found]


def _is_month(text: str) -> bool:
    # "may" and "mac" in lower case are other words.
    return text[:1].isupper() or fold(text) not in ("may", "mac", "mar", "march", "dis", "des", "sep", "jun")


def _period(part: Mapping[str, str | None]) -> Period:
    month = part.get("m") or part.get("mon")
    quarter = part.get("q") or part.get("qw") or part.get("qm") or part.get("qb")
    return Period(
        int(part["y"] or 0),
        quarter=None if not quarter else _QUARTER_WORDS.get(fold(quarter)) or int(quarter),
        month=None if not month else (int(month) if month.isdigit() else MONTHS[fold(month).strip(".")]),
        day=int(day) if (day := part.get("d")) else None,
    )


def read_asked(question: str) -> Asked:
    """Reads a question for tables."""
    question = re.sub(r"['’]s\b", "", question)
    periods, spans = periods_in(question)
    found: list[str] = []
    named: list[bool] = []
    time_words: set[int] = set()
    shouted = question.upper() == question
    quoted = [match.span() for match in _QUOTED.finditer(question)]
    clocks = list(_CLOCK.finditer(question))
    clock_words: set[int] = set()
    for place, match in enumerate(_WORD.finditer(question)):
        found.append(fold(match.group()))
        raw = match.group()
        capital = raw[0].isupper() and not shouted and (place > 0 or (len(raw) > 1 and raw.isupper()))
        named.append(capital or any(start <= match.start() < end for start, end in quoted))
        if any(start <= match.start() < end for start, end in spans):
            time_words.add(place)
        if any(clock.start() <= match.start() < clock.end() for clock in clocks):
            clock_words.add(place)
    heard: list[tuple[str, tuple[int, ...]]] = []
    terms: list[str] = []
    for term, length in concept(found):
        places = tuple(range(len(terms), len(terms) + length))
        if length > 1 or found[places[0]] not in STOPWORDS:
            heard.append((term, places))
        terms += [term] * length
    content = {
        place
        for place, (word, term) in enumerate(zip(found, terms, strict=True))
        if not {word, term} & (STOPWORDS | NEUTRAL | LATEST | AGGREGATES)
        and (named[place] or (not {word, term} & FRAME and not _is_degree(found, place)))
        and place not in time_words
        and (len(word) > 1 or word.isdigit() or named[place])
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
        calculates=frozenset(place for place, word in enumerate(found) if word in CALCULATIONS),
        operations=_operations(found),
        totalled=frozenset(place for place, word in enumerate(found) if word in ("total", "jumlah")),
        asks=next((asks for word in found[:2] if (asks := _ASKS.get(word))), ""),
        degree=next((word for place, word in enumerate(found) if _is_degree(found, place)), "")
        or next((SUPERLATIVES[word][1] for word in found if word in SUPERLATIVES), ""),
        wants=_wants(found, terms),
        digits=_digits(found),
        clock=frozenset(clock_of(clock.group()) for clock in clocks),
        clock_words=frozenset(clock_words),
    )


_ASKS = {
    word: asks
    for asks, listed in {
        "who": "who whom whose siapa siapakah",
        "when": "when bila bilakah kapan kapankah",
        "where": "where dimana dimanakah",
    }.items()
    for word in listed.split()
}


def _is_degree(found: Sequence[str], place: int) -> bool:
    """True for "large" in "how large": it asks how much there is of something."""
    return place > 0 and found[place - 1] in ("how", "berapa", "seberapa") and found[place] not in ("many", "much")


def _operations(found: Sequence[str]) -> dict[int, str]:
    operations = {place: OPERATIONS[word] for place, word in enumerate(found) if word in OPERATIONS}
    operations |= {place: SUPERLATIVES[word][0] for place, word in enumerate(found) if word in SUPERLATIVES}
    for place, word in enumerate(found[:-1]):
        if word == "paling":
            few = found[place + 1] in ("rendah", "sedikit", "kecil", "murah")
            operations |= dict.fromkeys((place, place + 1), "min" if few else "max")
    return operations


def _wants(found: Sequence[str], terms: Sequence[str]) -> str:
    if set(terms) & RATES:
        return "rate"
    said = " ".join(found)
    return "count" if re.search(r"\bhow many\b|\bberapa (?:ramai|banyak)\b|\bbilangan\b|\bnumber of\b", said) else ""


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


_LETTERS = re.compile(r"[^\W\d_]+")
_NUMBERS = re.compile(r"\d+")


def clock_of(text: str) -> str:
    """The time of day in a text as "hh:mm"; "" where there is none."""
    found = _CLOCK.search(text)
    return f"{int(found['h']):02d}:{found['m']}" if found else ""


def date_of(value: Any, form: str | None) -> tuple[int, int, int] | None:
    """Year, month and day of a cell in one of the formats of a column profile; ``None`` where it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return (value, 1, 1)
    parts = [int(part) for part in _NUMBERS.findall(str(value))[:3]]
    form = form or "yyyy-mm-dd"
    if form.startswith("Qq"):
        parts.reverse()
    if "mon" in form:
        month = next((MONTHS[word] for word in _LETTERS.findall(str(value).casefold()) if word in MONTHS), None)
        if month is None or len(parts) != form.count(" "):
            return None
        return (max(parts), month, min(parts) if len(parts) > 1 else 1)
    if "q" in form and len(parts) == 2:
        return (parts[0], 3 * parts[1] - 2, 1)
    if form == "dd/mm/yyyy" and len(parts) == 3:
        return (parts[2], parts[1], parts[0])
    if form == "mm/dd/yyyy" and len(parts) == 3:
        return (parts[2], parts[0], parts[1])
    if not form.startswith("yyyy") or not parts:
        return None
    return (parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1)
