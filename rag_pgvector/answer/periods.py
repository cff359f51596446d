"""Years, quarters, months, days and times of day: in a question, and in the cells of a table."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag_pgvector.answer.lexical import fold
from rag_pgvector.written import MONTHS

__all__ = ["CLOCK", "Period", "bound_in", "clock_of", "date_of", "in_bounds", "periods_in", "yearless_in"]


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


_YEAR = r"(?P<y>1[6-9]\d\d|20\d\d)"
_NAMES = "|".join(sorted([*MONTHS, "märz"], key=len, reverse=True))
_MONTH_NAME = rf"(?P<mon>{_NAMES})\.?"
_QUARTER = (
    r"(?:q|st|suku(?: tahun)?(?: ke)?|quarter|kuartal)[ \-]?(?P<q>[1-4])|"
    r"(?P<qw>first|second|third|fourth|last|1st|2nd|3rd|4th) quarter|"
    r"suku(?: tahun)? (?P<qm>pertama|kedua|ketiga|keempat)|(?P<qb>[1-4])q|"
    r"(?P<qg>erste|zweite|dritte|vierte)[nrsm]? quartal|(?P<qs>primer|segundo|tercer|cuarto) trimestre|"
    r"(?P<qd>[1-4])\. quartal"
)
_QUARTER_WORDS = {
    **{"first": 1, "second": 2, "third": 3, "fourth": 4, "last": 4, "1st": 1, "2nd": 2, "3rd": 3, "4th": 4},
    **{"pertama": 1, "kedua": 2, "ketiga": 3, "keempat": 4},
    **{"erste": 1, "zweite": 2, "dritte": 3, "vierte": 4, "primer": 1, "segundo": 2, "tercer": 3, "cuarto": 4},
}
_OF = (
    r"(?:[ ,]+|[ ,]+(?:of|in|the|year|tahun|bagi|pada|dalam|des|im|del?)[ ,]+(?:(?:the|year|tahun|jahre?s?|año)[ ,]+)*)"
)
#: More exact forms first; a part of the text that one form took is not read again.
_FORMS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<![\w.]){_YEAR}[-/](?P<m>0?[1-9]|1[0-2])[-/](?P<d>0?[1-9]|[12]\d|3[01])(?![\w])",
        rf"(?<![\w.])(?P<d>0?[1-9]|[12]\d|3[01])[-/.](?P<m>0?[1-9]|1[0-2])[-/.]{_YEAR}(?!\w)",
        rf"(?<!\w)(?P<d>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|hb|\.)?(?: of| de)? {_MONTH_NAME}{_OF}{_YEAR}(?!\w)",
        rf"(?<!\w){_MONTH_NAME} (?P<d>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?,? {_YEAR}(?!\w)",
        rf"(?<![\w.]){_YEAR}[-/](?P<m>0[1-9]|1[0-2])(?![\w/-])",
        rf"(?<![\w./])(?P<m>0?[1-9]|1[0-2])[-/]{_YEAR}(?!\w)",
        rf"(?<!\w){_MONTH_NAME}(?:{_OF}|[-'/]){_YEAR}(?!\w)",
        rf"(?<!\w){_YEAR}[ ,\-/]+(?:bulan )?{_MONTH_NAME}(?!\w)",
        rf"(?<!\w)(?:{_QUARTER})(?:{_OF}|[-/]){_YEAR}(?!\w)",
        rf"(?<!\w){_YEAR}[ ,:\-/]*(?:{_QUARTER})(?!\w)",
    )
]
_LONE_YEAR = re.compile(rf"(?<![\w.,/-]){_YEAR}(?![\w/]|[.,]\d|-\d{{3}})")
_LONE_MONTH = re.compile(rf"(?<!\w){_MONTH_NAME}(?!\w)", re.IGNORECASE)
_RANGE = re.compile(
    r"(?<![\w.,])(?P<a>1[6-9]\d\d|20\d\d)\s*(?:-|–|—|/|to|until|till|through|and|hingga|sehingga|sampai|dan)\s*"
    r"(?P<b>1[6-9]\d\d|20\d\d)(?![\w.,]\d|\w)",
    re.IGNORECASE,
)
#: "from January to March 2022", "Nov 2021 hingga Feb 2022".
_MONTHS = re.compile(
    rf"(?<!\w)(?P<ma>{_NAMES})\.?(?:{_OF}(?P<ya>1[6-9]\d\d|20\d\d))?\s*"
    r"(?:-|–|—|to|until|till|through|and|hingga|sehingga|sampai|dan|bis|und|hasta|a|y)\s*"
    rf"(?P<mb>{_NAMES})\.?{_OF}(?P<yb>1[6-9]\d\d|20\d\d)(?!\w)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\b(?:between|antara|zwischen|entre)\s+(?:the years?\s+|tahun\s+)?$", re.IGNORECASE)
CLOCK = re.compile(
    r"(?<![\d:.])(?P<h>[01]?\d|2[0-3]):(?P<m>[0-5]\d)(?::00)?(?![\d:]|\.\d)(?: ?(?P<half>[ap])\.?m\b)?", re.IGNORECASE
)


def periods_in(text: str) -> tuple[list[Period], list[tuple[int, int]]]:
    """The periods that a text names, in order, and the spans that name them."""
    found: list[tuple[int, int, list[Period]]] = []

    def free(start: int, end: int) -> bool:
        return all(end <= taken or start >= upto for taken, upto, _ in found)

    found += [(*match.span(), months) for match in _MONTHS.finditer(text) if (months := _months(match, text))]
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


#: A month, or a day of one, with no year.
_YEARLESS = re.compile(
    rf"(?<![\w./-])(?:(?P<d>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th|hb|\.)?(?: of| de)? )?{_MONTH_NAME}"
    r"(?: (?P<e>0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?)?(?![\w/-]|[.:]\d)(?! (?:I|we|you)\b)",
    re.IGNORECASE,
)


def yearless_in(text: str) -> tuple[list[Period], list[tuple[int, int]]]:
    """The months and days that a text names without a year (0), and the spans that name them; several only where they
    are joined by "and" or "or", for between them there may be others."""
    found = [match for match in _YEARLESS.finditer(text) if _is_month(match["mon"]) and not (match["d"] and match["e"])]
    for one, other in itertools.pairwise(found):
        if not re.fullmatch(r"\s*(?:and|or|dan|atau|,)\s*", text[one.end() : other.start()]):
            return [], []
    first = found[0].start() if found else 0
    if _BOUND.search(text[:first]) or _BETWEEN.search(text[:first]) or _TO_DAY.search(text[:first]):
        return [], []
    days = [int(day) if (day := match["d"] or match["e"]) else None for match in found]
    months = [MONTHS[fold(match["mon"]).strip(".")] for match in found]
    periods = [Period(0, month=month, day=day) for month, day in zip(months, days, strict=True)]
    return periods, [match.span() for match in found]


#: Words that make a period a bound, and those after it.
_BOUND = re.compile(
    r"(?<!\w)(?:(?P<by>days?|weeks?|months?|quarters?|years?|tahun|bulan|hari) )?"
    r"(?P<how>after|later than|since|before|earlier than|prior to|until|till|up to|"
    r"selepas|sebelum|sejak|hingga|sehingga)"
    r"(?: (?:the|end|start|year|month|of|tahun|bulan|akhir|awal))*\s*$",
    re.IGNORECASE,
)
_ONWARDS = re.compile(r"\s*(?:onwards?\b|(?:and|or) (?:later|after)\b|ke atas\b)", re.IGNORECASE)
_TO_DAY = re.compile(r"\d\s*(?:-|–|to|until|till|and|hingga|dan)\s*$", re.IGNORECASE)
_TO = re.compile(r"\s*(?:-|–|—|to|until|till|through|up to|hingga|sehingga|sampai|(?P<and>and|dan))\s*", re.IGNORECASE)
_HOW = {
    **dict.fromkeys(("after", "later than", "selepas"), "after"),
    **dict.fromkeys(("since", "sejak"), "since"),
    **dict.fromkeys(("before", "earlier than", "prior to", "sebelum"), "before"),
    **dict.fromkeys(("until", "till", "up to", "hingga", "sehingga"), "until"),
}


def bound_in(text: str, periods: Sequence[Period], spans: Sequence[tuple[int, int]]) -> tuple[str, tuple[int, int]]:
    """What the words around the periods make of them, and where the first of these words stands: "after", "since",
    "before", "until", "between" (two, both included), "unknown" (what cannot be told), or "" where they are meant
    themselves."""
    here = (0, 0)
    if not periods:
        return "", here
    told = [(match, span) for span in spans if (match := _BOUND.search(text[: span[0]]))]
    joined = _TO.fullmatch(text[spans[0][1] : spans[1][0]]) if len(spans) == len(periods) == 2 else None
    if joined and (not joined["and"] or _BETWEEN.search(text[: spans[0][0]])):
        return ("between" if _first(periods[0]) <= _last(periods[1]) else "unknown"), here
    if len(spans) == 1 and len(periods) == 1:
        if _ONWARDS.match(text[spans[0][1] :]):
            return "since", here
        if told:
            match = told[0][0]
            return ("unknown" if match["by"] else _HOW[match["how"].lower()]), match.span("how")
    return ("unknown" if told else ""), here


def _first(period: Period) -> tuple[int, int, int]:
    return (period.year, period.month or 3 * (period.quarter or 1) - 2, period.day or 1)


def _last(period: Period) -> tuple[int, int, int]:
    return (period.year, period.month or 3 * (period.quarter or 4), period.day or 31)


def in_bounds(date: tuple[int, int, int], periods: Sequence[Period], bound: str, granularity: str) -> bool:
    """True where a row of that date is within the bounds; never where its period is longer than they are exact."""
    if granularity == "year" and any(period.month or period.quarter for period in periods):
        return False
    if granularity == "quarter" and any(period.month for period in periods):
        return False
    first, last = _first(periods[0]), _last(periods[-1])
    return {
        "after": date > last,
        "since": date >= first,
        "before": date < first,
        "until": date <= last,
        "between": first <= date <= last,
    }.get(bound, False)


def _months(match: re.Match[str], text: str) -> list[Period]:
    """The months of a range, both ends included; none for "January and March 2022", which are two."""
    between = _BETWEEN.search(text[: match.start()])
    if not between and re.search(r"\b(?:and|dan|und|y)\b", match.group(), re.IGNORECASE):
        return []
    if not all(_is_month(match[name]) for name in ("ma", "mb")):
        return []
    last = 12 * int(match["yb"]) + MONTHS[fold(match["mb"])] - 1
    first = 12 * int(match["ya"] or match["yb"]) + MONTHS[fold(match["ma"])] - 1
    return [Period(at // 12, month=at % 12 + 1) for at in range(first, last + 1)] if first < last <= first + 60 else []


def _is_month(text: str) -> bool:
    # "may" and "mac" in lower case are other words.
    return text[:1].isupper() or fold(text) not in ("may", "mac", "mar", "march", "dis", "des", "sep", "jun")


def _period(part: Mapping[str, str | None]) -> Period:
    month = part.get("m") or part.get("mon")
    quarter = next((said for name in ("q", "qw", "qm", "qb", "qg", "qs", "qd") if (said := part.get(name))), None)
    return Period(
        int(part["y"] or 0),
        quarter=None if not quarter else _QUARTER_WORDS.get(fold(quarter)) or int(quarter),
        month=None if not month else (int(month) if month.isdigit() else MONTHS[fold(month).strip(".")]),
        day=int(day) if (day := part.get("d")) else None,
    )


_LETTERS = re.compile(r"[^\W\d_]+")
_NUMBERS = re.compile(r"\d+")


def clock_of(text: str) -> str:
    """The time of day in a text as "hh:mm"; "" where there is none."""
    found = CLOCK.search(text)
    if not found:
        return ""
    hour = int(found["h"])
    if found["half"] and 1 <= hour <= 12:
        hour = hour % 12 + 12 * (found["half"].lower() == "p")
    return f"{hour:02d}:{found['m']}"


def date_of(value: Any, form: str | None) -> tuple[int, int, int] | None:
    """Year, month and day of a cell in one of the formats of a column profile; ``None`` where it is none."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return (value, 1, 1)
    parts = [int(part) for part in _NUMBERS.findall(str(value))[:3]]
    form = _form_of(str(value), form) if form and form.startswith("several") else form or "yyyy-mm-dd"
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


def _form_of(value: str, several: str) -> str:
    """The format of one date of a column that has several."""
    years_first = re.match(r"\d{4}", value) is not None
    if any(word in MONTHS for word in _LETTERS.findall(value.casefold())):
        return "d mon yyyy" if len(_NUMBERS.findall(value)) > 1 else "mon yyyy"
    if re.search(r"[Qq][1-4]", value):
        return "yyyy-Qq" if years_first else "Qq yyyy"
    return "yyyy-mm-dd" if years_first else several.partition(", ")[2]
