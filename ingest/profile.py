"""What a table's columns hold: type, range, distinct values. Table answering and typed metadata are built on it.

A column has a type only if every value has it: one leading zero makes a column of numbers a column of text, since "01"
and "1" are different codes. "NA", "n/a", "-" and the like stand for no value in a column of numbers, dates or truth
values, as in pandas and R; in a column of texts they are texts ("NA" is Namibia).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Literal, TypeAlias

from rag_pgvector.written import MONTHS, is_figure, is_missing

__all__ = ["MAX_DISTINCT", "Column", "ColumnType", "Value"]

ColumnType = Literal["integer", "number", "date", "year", "text", "boolean"]
Value: TypeAlias = bool | int | float | str

#: A column with more distinct values than this has no list of them in its profile.
MAX_DISTINCT = 1_000
#: Nor has a column with a longer value: that is prose, not a category.
MAX_DISTINCT_LENGTH = 200
#: Distinct values that are counted exactly, beyond the list; then ``distinct_count`` is None.
MAX_COUNTED = 10_000

# 18 digits: more do not fit the integers of most programs, and are identifiers anyway.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_YEAR_NAME = re.compile(r"(?<![a-z])(?:year|yr|tahun|date|tarikh|period|fy)(?![a-z])", re.IGNORECASE)
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])"
_MONTH = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"[0-9]{4}"
_NAME = r"(?P<mon>[^\W\d_]{3,9})"


def _integer(value: str) -> int | None:
    return int(value) if _INTEGER.fullmatch(value) else None


def _number(value: str) -> float | None:
    if not _NUMBER.fullmatch(value):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _boolean(value: str) -> bool | None:
    return {"true": True, "false": False}.get(value.casefold())


def _dated(pattern: str) -> Callable[[str], date | None]:
    """A reader of dates; ``pattern`` names its groups y, m, d or q, or mon for a month's name."""
    compiled = re.compile(pattern)

    def read(value: str) -> date | None:
        if not (match := compiled.fullmatch(value)):
            return None
        named: dict[str, str] = match.groupdict()
        month = MONTHS.get(named.pop("mon", "").casefold())
        named.pop("sep", None)
        part = {name: int(text) for name, text in named.items()} | ({"m": month} if month else {})
        if not {"m", "q"} & part.keys():
            return None
        try:
            return date(part["y"], part["m"] if "m" in part else 3 * part["q"] - 2, part.get("d", 1))
        except ValueError:  # 31 June, year 0
            return None

    return read


def _timestamp(value: str) -> date | None:
    if not re.match(r"[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[T ][0-9]{2}:", value):
        return None
    try:
        return datetime.fromisoformat(value.replace("/", "-").replace("Z", "+00:00")).date()
    except ValueError:
        return None


#: Date formats by the name that a profile gives them. Where both readings of 01/02/1982 fit a whole column, the day
#: comes first, unless only the other reading makes every date the first of its month.
DATE_FORMATS: dict[str, Callable[[str], date | None]] = {
    "yyyy-mm-dd": _dated(rf"(?P<y>{_YEAR})-(?P<m>{_MONTH})-(?P<d>{_DAY})"),
    "yyyy/mm/dd": _dated(rf"(?P<y>{_YEAR})/(?P<m>{_MONTH})/(?P<d>{_DAY})"),
    "dd/mm/yyyy": _dated(rf"(?P<d>{_DAY})(?P<sep>[/.-])(?P<m>{_MONTH})(?P=sep)(?P<y>{_YEAR})"),
    "mm/dd/yyyy": _dated(rf"(?P<m>{_MONTH})(?P<sep>[/-])(?P<d>{_DAY})(?P=sep)(?P<y>{_YEAR})"),
    "yyyy-mm": _dated(rf"(?P<y>{_YEAR})-(?P<m>0[1-9]|1[0-2])"),
    "yyyy-Qq": _dated(rf"(?P<y>{_YEAR})[- ]?[Qq](?P<q>[1-4])"),
    "Qq yyyy": _dated(rf"[Qq](?P<q>[1-4])[- ](?P<y>{_YEAR})"),
    "d mon yyyy": _dated(rf"(?P<d>{_DAY})(?:st|nd|rd|th)?[ \-/.,]{{1,2}}{_NAME}\.?[ \-/,]{{1,2}}(?P<y>{_YEAR})"),
    "mon d yyyy": _dated(rf"{_NAME}\.?[ \-]{{1,2}}(?P<d>{_DAY})(?:st|nd|rd|th)?[ \-,]{{1,2}}(?P<y>{_YEAR})"),
    "mon yyyy": _dated(rf"{_NAME}\.?[ \-/,]{{1,2}}(?P<y>{_YEAR})"),
    "yyyy mon": _dated(rf"(?P<y>{_YEAR})[ \-/]{{1,2}}{_NAME}\.?"),
    "yyyy-mm-dd hh:mm": _timestamp,
}


def _any_but(left_out: str) -> Callable[[str], date | None]:
    """A reader of dates in any format but one."""
    readers = [read for name, read in DATE_FORMATS.items() if name != left_out]
    return lambda value: next((found for read in readers if (found := read(value)) is not None), None)


#: A column in which people wrote dates as they came. Last, for one format is better than several.
DATE_FORMATS |= {
    "several, dd/mm/yyyy": _any_but("mm/dd/yyyy"),
    "several, mm/dd/yyyy": _any_but("dd/mm/yyyy"),
}


class _Range:
    """One reading of a column that every value so far allows, with the smallest and the largest value."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        self.read = read
        self.low: Any = None
        self.high: Any = None
        self.months: set[int] = set()
        self.first_of_month = True

    def take(self, value: str) -> bool:
        parsed = self.read(value)
        if parsed is None:
            return False
        if self.low is None or parsed < self.low:
            self.low = parsed
        if self.high is None or parsed > self.high:
            self.high = parsed
        if isinstance(parsed, date):
            self.months.add(parsed.month)
            self.first_of_month &= parsed.day == 1
        return True

    @property
    def granularity(self) -> str:
        if not self.first_of_month:
            return "day"
        if self.months <= {1}:
            return "year"
        return "quarter" if self.months <= {1, 4, 7, 10} else "month"


class Column:
    """The profile of one column, built value by value in bounded memory.

    ``observe`` takes every cell once; then ``type``, ``reader`` and ``profile`` are valid.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.nulls = 0
        self._prose = False
        #: Whether every value is a number as people write it: "1,234", "12 %".
        self._figures = True
        self._ranges: dict[str, _Range] = {
            "boolean": _Range(_boolean),
            "integer": _Range(_integer),
            "number": _Range(_number),
            **{name: _Range(read) for name, read in DATE_FORMATS.items()},
        }
        #: Spellings of "no value" that occur, and in how many cells: what they are depends on the others.
        self._marks: set[str] = set()
        self._marked = 0
        self._distinct: set[str] | None = set()
        self._hashes: set[int] | None = None

    def observe(self, value: str) -> None:
        """Take one cell as it stands in the file."""
        bare = value.strip()
        if not bare:
            self.nulls += 1
            return
        if is_missing(bare):
            self._marks.add(bare)
            self._marked += 1
            return
        if self._known(value):
            return
        self._prose |= len(value) > MAX_DISTINCT_LENGTH
        self._figures = self._figures and is_figure(bare)
        for name in [name for name, reading in self._ranges.items() if not reading.take(bare)]:
            del self._ranges[name]

    def _known(self, value: str) -> bool:
        """True for a value that was seen before; remembers it."""
        if self._distinct is not None:
            if value in self._distinct:
                return True
            if len(self._distinct) < MAX_DISTINCT and len(value) <= MAX_DISTINCT_LENGTH:
                self._distinct.add(value)
                return False
            self._hashes = {hash(known) for known in self._distinct}
            self._distinct = None
        if self._hashes is None:
            return False
        if (hashed := hash(value)) in self._hashes:
            return True
        self._hashes.add(hashed)
        if len(self._hashes) > MAX_COUNTED:
            self._hashes = None
        return False

    @property
    def empty(self) -> bool:
        """True as long as no cell held a value."""
        return not self._marks and self._unseen

    @property
    def _unseen(self) -> bool:
        return self._distinct is not None and not self._distinct

    @property
    def type(self) -> ColumnType:
        if self._unseen:
            return "text"
        if "boolean" in self._ranges:
            return "boolean"
        if "integer" in self._ranges:
            years = self._ranges["integer"]
            named = _YEAR_NAME.search(self.name.replace("_", " "))
            return "year" if named and years.low >= 1800 and years.high <= 2100 else "integer"
        if "number" in self._ranges:
            return "number"
        return "date" if self._ranges else "text"

    @property
    def _tells_missing(self) -> bool:
        """Whether "NA" is no value here: in a column of texts it is one."""
        return self.type != "text" or (self._figures and not self._unseen)

    @property
    def date_format(self) -> str | None:
        """One of ``DATE_FORMATS`` for a column of dates."""
        if self.type != "date":
            return None
        day_first, month_first = self._ranges.get("dd/mm/yyyy"), self._ranges.get("mm/dd/yyyy")
        if day_first and month_first and month_first.first_of_month and not day_first.first_of_month:
            return "mm/dd/yyyy"
        return next(iter(self._ranges))

    def reader(self) -> Callable[[str], Value | None]:
        """What makes metadata of a cell: bool, int, float, or the text as it stands (dates too); None for no value."""
        convert: Callable[[str], Value | None]
        convert = {"integer": _integer, "year": _integer, "number": _number, "boolean": _boolean}.get(self.type, str)
        text, tells_missing = convert is str, self._tells_missing

        def read(value: str) -> Value | None:
            bare = value.strip()
            if not bare or (tells_missing and is_missing(bare)):
                return None
            return value if text else convert(bare)

        return read

    def profile(self) -> dict[str, Any]:
        """The column as JSON: name, type, min and max (ISO for dates), distinct values as ``reader`` gives them, and
        ``prose`` where values are too long to be those of a category."""
        kind = self.type
        found: dict[str, Any] = {"name": self.name, "type": kind}
        if kind == "date":
            name = self.date_format
            dates = self._ranges[name or ""]
            found |= {"format": name, "granularity": dates.granularity}
            found |= {"min": dates.low.isoformat(), "max": dates.high.isoformat()}
        elif kind in ("integer", "year", "number"):
            numbers = self._ranges["number" if kind == "number" else "integer"]
            found |= {"min": numbers.low, "max": numbers.high}
        tells_missing = self._tells_missing
        marks = set() if tells_missing else self._marks
        known: set[Any] | None = self._hashes
        if self._distinct is not None:
            # Spellings of one number ("1.5", "1.50") are one value.
            values: set[Any] = {*map(self.reader(), self._distinct), *marks}
            if len(values) <= MAX_DISTINCT:
                found["distinct"] = sorted(values)
            known = values
        elif known is not None:
            known = known | set(map(hash, marks))
        found["distinct_count"] = None if known is None else len(known)
        found["nulls"] = self.nulls + (self._marked if tells_missing else 0)
        if kind == "text" and tells_missing:
            found["figures"] = True
        if self._prose:
            found["prose"] = True
        return found
