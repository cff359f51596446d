"""Which ranking of groups is asked for: "which region has the highest total sales", "which doctor had the most visits".

What is ranked is the sum of a figure over the rows of each group, or the number of these rows.

A sum is meant where it is said ("total", "combined", "jumlah"), or where "most" and "fewest" ask for a quantity; "the
highest fee" may be that of one row, and is none of these.
"""

from __future__ import annotations

from dataclasses import dataclass

from rag_pgvector.answer.adding import adds_up
from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.calculation import LIGHT, names_other
from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.targets import defaults, fitting_measures, holds_persons
from rag_pgvector.answer.times import is_named
from rag_pgvector.answer.vocabulary import AGGREGATES, NEUTRAL, SUBJECTS, WRITTEN_UNITS, concept

__all__ = ["Ranking", "group_asked", "ranking_of"]

_LEADS = frozenset("which what".split())
_AFTER_NOUN = frozenset("manakah mana".split())
_BEFORE_NOUN = frozenset("di pada dalam in at on the apakah is was are were".split())
#: What ends the noun that "which" asks for.
_ENDS = frozenset("has have had is was are were did does do with that in of for at by and".split())
#: Parts of a date that rows can be grouped by.
_PARTS = {"month": "month", "year": "year", "quarter": "quarter", "date": "date"}
#: Words that ask for a sum: beside a superlative they say that it is no single row's.
_SUMMED = frozenset("total combined altogether jumlah keseluruhan".split())
#: Behind a noun it says what the figure is: an "order total" is that of one order.
_BEFORE_TOTAL = frozenset("in the a grand by with its their".split())
#: Superlatives of a quantity. "Highest number of" says the same.
_MOST = frozenset("most fewest least terbanyak".split())
_MANY = frozenset("banyak ramai sedikit".split())
_NUMBER = frozenset("number bilangan jumlah".split())
#: In Malay the noun stands before them: "lawatan terbanyak", but not "ordered the most".
_BEHIND = frozenset("tertinggi terbanyak terendah tersedikit paling".split())
_OFTEN = frozenset("often frequently common frequent times kerap".split())
#: Endings of a column's name that say no other thing than the rest of it.
_CALLED = frozenset("name title nama".split())
#: What a month has is always the sum of its days.
_FLOWS = frozenset(
    term for term, _ in concept("sales revenue income expenditure expenses turnover spending profit takings".split())
)
_MONEY = frozenset("sale revenue income expenditure expense price payment profit salary fee".split())
#: What is counted already, so that the rows are no single things.
_COUNTS = frozenset("quantity count number case overall population visitor passenger enrolment unit".split())


@dataclass(frozen=True, slots=True)
class Ranking:
    """Groups of rows, ranked by a sum or by their number.

    Attributes:
        operation: "max" or "min".
        how: "sum" or "mean" of ``column``, the number of "rows", or that of the "distinct" values of ``column``.
        group: The column that tells which group a row is of.
        part: "month", "quarter", "year" or "date", where the group is a part of the dates of ``group``; else "".
        explicit: A sum is asked for by name.
    """

    operation: str
    how: str
    column: Column
    group: Column
    part: str
    explicit: bool


def group_asked(asked: Asked) -> list[int]:
    """The places of the noun whose highest is asked for: "home team" in "which home team had the most"."""
    for place, word in enumerate(asked.words):
        if word in _AFTER_NOUN:
            run = [each for each in range(place) if asked.words[each] not in _BEFORE_NOUN]
            return run[-3:]
        if word in _LEADS and place < 3:
            start = place + 1
            while start < len(asked.words) and asked.words[start] in _BEFORE_NOUN | {"the"}:
                start += 1
            run = []
            for at in range(start, min(start + 4, len(asked.words))):
                if asked.words[at] in _ENDS or at in asked.operations:
                    break
                run.append(at)
            return run
    return []


def ranking_of(reading: Reading, asked: Asked) -> Ranking | None:
    """The ranking of groups that the question asks the table for, or ``None``."""
    hows = {how for how in asked.operations.values() if how in ("max", "min")}
    tops = {place for place, how in asked.operations.items() if how in ("max", "min")}
    more = {*asked.operations.values()} - hows
    if len(hows) != 1 or asked.compared or more - {"sum", "mean"} or len(more) > 1 or asked.turn is not None:
        return None
    found = _group(reading, asked)
    if found is None:
        return None
    group, part, said = found
    summed = {
        place
        for place, word in enumerate(asked.words)
        if word in _SUMMED and (word != "total" or place - 1 in tops or asked.words[place - 1] in _BEFORE_TOTAL)
    }
    most, quantity_words = _asks_quantity(asked, tops)
    mean = {place for place, how in asked.operations.items() if how == "mean"}
    if not (summed or most or part or mean) or (mean and (summed or most)):
        return None
    used = said | tops | summed | quantity_words | mean
    how, column, named = "sum", None, set[int]()
    measures = fitting_measures(reading, asked, used)
    measures = measures or _plain_measures(reading, asked, used)
    said_of = {each.name: _said_of(each, asked, used) for each in measures}
    vague = [
        each
        for each in measures
        if said_of[each.name]
        and (not _suffices(each, said_of[each.name], reading) or (most and not summed and names_other(each, asked)))
    ]
    measures = [each for each in measures if said_of[each.name] and each not in vague]
    counted = _counted(reading, asked, group, used) if most and not measures else None
    numbered = any(asked.words[place] in _NUMBER for place in quantity_words)
    plural = counted is not None and all(asked.words[place].endswith("s") for place in counted[2])
    if vague and (counted is None or not (plural or numbered)):
        return None  # "the most stock", where a column has the value of the stock; "the most orders" are counted
    if len(measures) == 1:
        column = measures[0]
        named = {place for place, term in enumerate(asked.terms) if term in column.terms}
        if summed and all(place in named and "overall" in column.terms for place in summed) and not most:
            return None  # the column is called "total": its highest may be that of one row
    elif measures:
        return None
    elif (summed or part) and not (most or mean):
        plain = [each for each in defaults(reading, asked) if each.is_measure and each is not group]
        if reading.by_name and any(each is not group and not each.is_measure for each in reading.targets):
            return None  # "the highest total grade", and grades are letters
        column = plain[0] if len(plain) == 1 and adds_up(plain[0]) else None
    elif counted is not None:
        how, column, named = counted
    light = {place for place, word in enumerate(asked.words) if word in LIGHT} if column is not None else set()
    rest = reading.leftover - used - named - light
    rest -= {place for place, word in enumerate(asked.words) if word in SUBJECTS and how == "rows"}
    if rest or column is None or column is group:
        return None
    if mean:
        how = "mean"
    elif not (summed or most or _FLOWS & {*asked.terms}):
        return None  # "the highest attendance" of a month may be that of one day; its sales are the sum
    return Ranking(hows.pop(), how, column, group, part, bool(summed))


def _said_of(column: Column, asked: Asked, used: set[int]) -> set[str]:
    """The words of a column's name that are said: none of "Matchday" in "matches"."""
    return {term for place, term in enumerate(asked.terms) if place not in used} & {*column.terms}


def _suffices(column: Column, said: set[str], reading: Reading) -> bool:
    """True where what is said of a column's name is its own, or all of it."""
    own = bool(said - reading.table.terms - NEUTRAL)
    return own or {*column.terms} - WRITTEN_UNITS <= said or "amount" in said


def _group(reading: Reading, asked: Asked) -> tuple[Column, str, set[int]] | None:
    """The column whose values are the groups, the part of its dates that they are, and the places that name it."""
    free = [column for column in reading.table.columns if column.name not in reading.conditions]
    run = group_asked(asked)
    if asked.asks == "who" and not run:
        persons = [column for column in free if holds_persons(column) and not column.is_code]
        return (persons[0], "", set()) if len(persons) == 1 else None
    if not run:
        return None
    terms = {asked.terms[place] for place in run}
    if len(terms) == 1 and (part := _PARTS.get(next(iter(terms)))):
        own = [column for column in free if {*column.terms} == terms]
        if len(own) == 1 and not own[0].is_time:
            return own[0], "own", {*run}
        dates = [column for column in reading.table.columns if column.type == "date"]
        if len(dates) > 1:
            dates = [column for column in dates if is_named(column, asked)] or dates
        if part == "year" and not dates:
            dates = own
        return (dates[0], part, {*run}) if len(dates) == 1 else None
    kinds = [
        column
        for column in free
        if terms & {*column.terms}
        and not column.figures
        and (column.type in ("text", "year") or column.is_code)
        and (column.distinct_count or 0) < ((reading.table.document.profile or {}).get("rows") or 0)
    ]
    for fits in (
        [column for column in kinds if {*column.terms} <= terms],
        [column for column in kinds if {*column.terms} <= terms | _CALLED],
        kinds,
    ):
        longest = max((len({*column.terms} & terms) for column in fits), default=0)
        best = [column for column in fits if len({*column.terms} & terms) == longest]
        if best:
            named = {*best[0].terms} | ({"team", "side", "club"} if {*best[0].terms} & {"home", "away"} else set())
            return (best[0], "", {place for place in run if asked.terms[place] in named}) if len(best) == 1 else None
    return None


def _asks_quantity(asked: Asked, tops: set[int]) -> tuple[bool, set[int]]:
    """True where the superlative is one of a quantity ("most", "highest number of"), and the places that say so."""
    for place in tops:
        word, after = asked.words[place], {*asked.words[place + 1 : place + 2]}
        if word in _MOST or after & _MANY or (word == "paling" and after & _MANY):
            often = {place + 1} if after & _OFTEN else set()
            return True, often
        if asked.words[place + 1 : place + 3] == ("number", "of"):
            return True, {place + 1, place + 2}
    for place, word in enumerate(asked.words):
        # "Bilangan lawatan tertinggi"
        if word in _NUMBER and any(place < top <= place + 4 for top in tops) and word != "number":
            return True, {place}
    return False, set()


def _plain_measures(reading: Reading, asked: Asked, used: set[int]) -> list[Column]:
    """The columns of figures with a plain name that is said: "amount", "units"; else the one of some amount."""
    said = {term for place, term in enumerate(asked.terms) if place not in used} & NEUTRAL
    free = [each for each in reading.table.columns if each.is_measure and each.name not in reading.conditions]
    names = [{*column.terms} - WRITTEN_UNITS - AGGREGATES for column in free]
    plain = [column for column, own in zip(free, names, strict=True) if own and own <= said]
    return plain or [column for column in free if "amount" in said & {*column.terms}]


def _counted(reading: Reading, asked: Asked, group: Column, used: set[int]) -> tuple[str, Column, set[int]] | None:
    """What there are most of in a group: its rows, where the question calls them by what they are ("visits"), or the
    things of another column."""
    table = reading.table
    held = {place for span in reading.spans.values() for place in span} | asked.time_words
    open_ = [place for place in sorted(asked.content - used - held) if asked.words[place] not in LIGHT]
    tops = [place for place, how in asked.operations.items() if how in ("max", "min")]
    often = any({*asked.words[place + 1 : place + 2]} & _OFTEN for place in tops)
    counts = [each for each in table.columns if each.is_measure and _COUNTS & {*each.terms}]
    rows_are = table.kinds or table.terms
    first = table.columns[0]
    if often:
        events = table.kinds or any(each.type == "date" and each.granularity == "day" for each in table.columns)
        return ("rows", first if first is not group else table.columns[1], set()) if events and not counts else None
    after = [place for place in open_ if any(top < place <= top + 3 for top in tops)]
    malay = [top for top in tops if asked.words[top] in _BEHIND]
    after = after or [place for place in open_ if any(top - 3 <= place < top for top in malay)]
    if not after or asked.terms[after[0]] in _MONEY:
        return None
    counted = asked.terms[after[0]]
    of_things = [
        each
        for each in table.columns
        if counted in each.terms and each.type == "text" and not each.figures and each is not group
    ]
    keys = [each for each in of_things if {*each.terms} - {counted, "id", "no", "number", "code"} == set()]
    rows = counted in table.kinds or any(len(kind) > 2 and counted.startswith(kind) for kind in table.kinds)
    if rows or (counted in rows_are and not counts and not of_things):
        return "rows", first if first is not group else table.columns[1], {after[0]}
    if len(keys) == 1 and (keys[0].is_code or not counts):
        return "distinct", keys[0], {after[0]}
    return None
