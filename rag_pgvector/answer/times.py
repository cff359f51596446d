"""Conditions on the columns of time: the periods that a question names, and bounds ("before March 2024")."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column, Value
from rag_pgvector.answer.periods import clock_of, date_of, in_bounds
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.turns import LAST, is_named_so, when
from rag_pgvector.answer.vocabulary import BEGUN, MONTHS, NEUTRAL, words
from rag_pgvector.answer.ways import tell

__all__ = ["is_named", "match_times", "match_yearless"]

#: Before it, a time of day may be the end of the day before.
_DAWN = "04:00"
#: "The first time" is no more than "first".
_TIMES = frozenset("time kali".split())


def match_times(reading: Reading, asked: Asked) -> None:
    """Conditions on the columns of time. Without one, the years must stand in a column's name or in the table's."""
    columns = [column for column in reading.table.columns if column.is_time]
    if asked.turn is not None and not asked.periods and _match_turn(reading, asked, columns, asked.turn):
        return
    if asked.latest:
        _match_latest(reading, asked, columns)
        return
    if not asked.periods:
        return
    split = not asked.bound and _split_time(reading, asked, columns)
    if split:
        return
    for column in _meant(columns, asked):
        granularity = column.granularity if column.type == "date" else "year"
        if column.distinct is None and asked.bound:
            continue
        if column.distinct is None:
            reading.lookups[column.name] = ()
            reading.time.add(column.name)
            reading.explained |= asked.time_words
            return
        dates = [(value, date_of(value, column.form)) for value in column.distinct]
        wanted = [
            tuple(value for value, date in dates if date and period.holds(date, granularity))
            for period in asked.periods
        ]
        if asked.bound:
            wanted = [
                tuple(v for v, date in dates if date and in_bounds(date, asked.periods, asked.bound, granularity))
            ]
        if all(wanted):
            values = tuple(dict.fromkeys(value for values in wanted for value in values))
            if asked.clock and column.form == "yyyy-mm-dd hh:mm":
                values = tuple(value for value in values if clock_of(str(value)) in asked.clock)
                reading.explained |= set(asked.clock_words)
                reading.absent_time = not values
            reading.conditions[column.name] = values
            reading.time.add(column.name)
            reading.explained |= asked.time_words | asked.bound_words
            return
    if asked.bound:
        reading.absent_time = True
        return
    years = {period.year for period in asked.periods}
    exact = all(period.month is None and period.quarter is None for period in asked.periods)
    in_columns = {int(word) for column in reading.table.columns for word in words(column.name) if word.isdigit()}
    said = {int(word) for word in asked.words if word.isdigit()}
    if not columns and exact and (years <= reading.table.years or years <= in_columns & said):
        reading.explained |= asked.time_words
        return
    reading.absent_time = True


def _match_latest(reading: Reading, asked: Asked, columns: Sequence[Column]) -> None:
    """The newest date of all; where no row that is asked for has it, ``select`` goes back to the newest of these."""
    named = [column for column in columns if column.type == "date" and is_named(column, asked)]
    dates = [column for column in columns if column.type == "date" and column.granularity == "day"]
    if len(dates) > 1 and len(named) != 1:
        reading.absent_time = bool(reading.table.kinds)  # the latest by which of them?
        return
    columns = named if len(named) == 1 else columns
    if "newest" in asked.words and _repeats_newest(reading, asked):
        # The newest vehicle is not the one that comes last in its log, but the one that was built last.
        columns = [column for column in columns if column.type == "year" and BEGUN & {*words(column.name)}]
        reading.absent_time = len(columns) != 1
    dated = [(column, date_of(value, column.form)) for column in columns for value in (column.distinct or ())]
    newest = max((date for _, date in dated if date), default=None)
    for column in columns:
        values = tuple(value for value in column.distinct or () if date_of(value, column.form) == newest)
        if values:
            reading.conditions[column.name] = values
            reading.time.add(column.name)
            reading.turn = (column, True) if asked.reverts else None
            return


def _repeats_newest(reading: Reading, asked: Asked) -> bool:
    """True where the thing that is to be the newest has several rows."""
    said = {*asked.terms[(place := asked.words.index("newest")) + 1 : place + 3]} - reading.table.kinds
    rows = (reading.table.document.profile or {}).get("rows") or 0
    texts = [column for column in reading.table.columns if column.type == "text" and said & {*column.terms}]
    return any((column.distinct_count or 0) < rows for column in texts)


def _match_turn(reading: Reading, asked: Asked, columns: Sequence[Column], place: int) -> bool:
    """The first or last date of the one column that the question names ("which opened first"), or of the only one."""
    dates = [column for column in columns if column.type == "date"]
    dates = dates or _departures(reading, asked)
    named = [column for column in dates if is_named(column, asked)]
    if len(named) != 1 and (len(dates) != 1 or place == len(asked.words) - 1):
        return False
    column, last = (named if len(named) == 1 else dates)[0], asked.words[place] in LAST
    held = {value: at for value in column.distinct or () if (at := when(value, column))}
    if column.is_clock and any(clock < _DAWN for _, clock in held.values()):
        return False  # is the train at 00:15 the first or the last?
    if not held or is_named_so(place, reading.table, asked.words):
        return False
    end = (max if last else min)(held.values())
    beside = {each for each in (place - 1, place + 1) if {*asked.words[each : each + 1]} & _TIMES}
    reading.require(column, tuple(value for value, date in held.items() if date == end), {place} | beside)
    reading.time.add(column.name)
    reading.turn = (column, last)
    return True


def _departures(reading: Reading, asked: Asked) -> list[Column]:
    """Of a timetable, the times of leaving, unless a verb says that those of arriving are meant."""
    clocks = [column for column in reading.table.columns if column.is_clock]
    said = [column for column in clocks if any(tell(word, column) for word in asked.words)]
    return said or [column for column in clocks if tell("leave", column)]


def _split_time(reading: Reading, asked: Asked, columns: Sequence[Column]) -> bool:
    """Year in one column, month or quarter in another."""
    years = next((column for column in columns if column.type == "year" and column.distinct is not None), None)
    parts = [column for column in reading.table.columns if column.type in ("text", "integer")]
    for kind in ("month", "quarter"):
        column = next((column for column in parts if kind in column.terms), None)
        wanted = {getattr(period, kind) for period in asked.periods}
        if years is None or column is None or column.distinct is None or None in wanted:
            continue
        values = tuple(value for value in column.distinct if _part_number(value, kind) in wanted)
        in_years = tuple(value for value in years.distinct or () if value in {period.year for period in asked.periods})
        if values and in_years:
            reading.conditions[years.name] = in_years
            reading.conditions[column.name] = values
            reading.time |= {years.name, column.name}
            reading.explained |= asked.time_words
            return True
    return False


def _part_number(value: Value, kind: str) -> int | None:
    text = "".join(words(str(value)))
    if kind == "month" and text in MONTHS:
        return MONTHS[text]
    digits = re.search(r"\d+", text)
    return int(digits.group()) if digits else None


def _meant(columns: Sequence[Column], asked: Asked) -> list[Column]:
    """The columns of time, days before years; of several only those that the question names ("joined", "due")."""
    named = [column for column in columns if is_named(column, asked)]
    ordered = sorted(columns, key=lambda column: column.type != "date")
    return named if len(columns) > 1 and len(named) == 1 and named[0].type == "date" else ordered


def is_named(column: Column, asked: Asked) -> bool:
    """True where a word of the question is one of a column's name, or a verb of what it tells."""
    return bool((set(column.terms) - NEUTRAL) & set(asked.terms)) or any(tell(word, column) for word in asked.words)


def match_yearless(reading: Reading, asked: Asked) -> None:
    """Conditions from months and days without a year ("in March"), where a table's dates are all of one year."""
    if asked.periods or not asked.yearless or asked.yearless_words & reading.explained:
        return
    for column in reading.table.columns:
        if column.type != "date" or column.name in reading.conditions or column.granularity in ("year", "quarter"):
            continue
        dates = [(value, date) for value in column.distinct or () if (date := date_of(value, column.form))]
        if len({year for _, (year, _, _) in dates}) != 1:
            continue
        wanted = [
            tuple(value for value, (_, month, day) in dates if (month, each.day or day) == (each.month, day))
            for each in asked.yearless
        ]
        if all(wanted):
            values = tuple(dict.fromkeys(value for values in wanted for value in values))
            reading.require(column, values, set(asked.yearless_words))
            reading.time.add(column.name)
        return
