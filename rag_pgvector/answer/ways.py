"""Ways and times of day, as timetables have them: from where, to where, when it leaves and when it is there.

"From" and "to" before a value say which of two columns of places it stands in; without them it may be either. Verbs
say the same of columns ("when does it leave"), by a list (``glossary.VERBS``).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column, Table, Value
from rag_pgvector.answer.periods import clock_of
from rag_pgvector.answer.vocabulary import NEUTRAL, VERBS_OF, words

if TYPE_CHECKING:
    from rag_pgvector.answer.reading import Reading

__all__ = [
    "asks_time",
    "is_other_kind",
    "is_verb",
    "kind_named",
    "lists",
    "match_clocks",
    "other_end",
    "other_rhythm",
    "tell",
    "told_apart",
    "verb_columns",
    "verbs_of",
]

#: Words of the columns for where something comes from, and where it goes.
_FROM = frozenset("from origin source asal dari departing departure von desde".split())
_TO = frozenset("to destination dest destinasi tujuan ke arrival nach hasta".split())
#: Words before a value that say the same of it; "for" only of something that leaves.
_AFTER_FROM = frozenset("from dari daripada leave leaves leaving left departs depart departing meninggalkan".split())
_AFTER_TO = frozenset("to ke towards toward into reach reaches reaching menuju for".split())
_SKIPPED = frozenset("the at in di".split())
_ARRIVES = frozenset("arrive arrives arriving arrived tiba land lands landed".split())
#: What a column of times is called where it does not say of what: of leaving, in a list of what goes somewhere.
_ANY_TIME = frozenset("time scheduled schedule sched masa waktu jadual".split())

#: Words that make a time of day a bound, and those of which it is not told here.
_LATER, _EARLIER = frozenset("after selepas".split()), frozenset("before sebelum".split())
_BOUNDS = frozenset("between by past until till since around about than antara sejak".split())
#: Words for how often a figure is counted anew.
_EACH = {each: each for each in "year month week day hour quarter".split()}
_RHYTHMS = {"annual": "year", "yearly": "year", "annually": "year", "monthly": "month", "weekly": "week"} | {
    "daily": "day",
    "hourly": "hour",
    "quarterly": "quarter",
    "tahunan": "year",
    "bulanan": "month",
}
#: Abbreviations that mean this only of times of day: "Dep" is a department, too.
_SHORT = frozenset(("dep", "arr"))
_DO = frozenset("do does did".split())
#: What "which" asks for where it asks for no thing.
_FIGURES = frozenset("value figure number amount level index rate percentage nilai angka kadar peratus".split())


def _end(column: Column) -> str:
    """ "from" or "to" for a column of one end of a way, else ""."""
    if column.type != "text" or column.is_clock or column.figures:
        return ""
    named = {*words(column.name)}
    return "from" if named & _FROM else "to" if named & _TO else ""


def _said_end(covered: Collection[int], asked: Asked) -> str:
    """Which end of a way the words before a value make it."""
    place = min(covered) - 1
    while place > 0 and asked.words[place] in _SKIPPED and asked.words[place - 1] not in _ARRIVES:
        place -= 1
    if place < 0:
        return ""
    word = asked.words[place]
    if word in _SKIPPED or word in _ARRIVES:
        return "to" if _ARRIVES & {word, *asked.words[max(0, place - 1) : place]} else ""
    return "from" if word in _AFTER_FROM else "to" if word in _AFTER_TO else ""


def other_end(column: Column, covered: Collection[int], asked: Asked) -> bool:
    """True for a column of the one end of a way where the question names a value as the other: "from Ipoh" is no
    destination."""
    end = _end(column)
    return bool(end) and (_said_end(covered, asked) or end) != end


def told_apart(column: Column, covered: Collection[int], asked: Asked) -> bool:
    """True where the question says which end of a way the column's value is."""
    return bool(end := _end(column)) and _said_end(covered, asked) == end


def tell(word: str, column: Column) -> bool:
    """True for a verb of what a column tells: "leaves" of departures."""
    named = {*column.terms, *words(column.name)} - (set() if column.is_clock else _SHORT)
    return bool(VERBS_OF.get(word, frozenset()) & named)


def verbs_of(asked: Asked) -> set[int]:
    """The places of verbs that ask for a column; "do" only where it is all that is asked ("what does she do?")."""
    last = len(asked.words) - 1
    return {
        place
        for place, word in enumerate(asked.words)
        if word in VERBS_OF and (word not in _DO or (place == last and asked.words[0] == "what"))
    }


def kind_named(reading: Reading, asked: Asked) -> bool:
    """True where "which" or "what" is followed by a column's name."""
    lead = next((at + 1 for at, word in enumerate(asked.words[:2]) if word in ("which", "what")), 0)
    after = {*asked.terms[lead : lead + 2]} - NEUTRAL if lead else set()
    free = (column for column in reading.table.columns if column.name not in reading.conditions)
    return any(after & {*column.terms} for column in free)


def is_other_kind(column: Column, asked: Asked) -> bool:
    """True for a column of the one end of a way where the verb says the other ("which city does it leave from"), for
    anything but an occupation where it is asked what somebody does, and for a figure where "which" asks for a thing or
    a time is asked for."""
    timely = column.is_time or column.is_clock or "time" in words(column.name)
    if asks_time(asked) and asked.asks != "when" and column.is_measure and not timely:
        return True
    named = {*column.terms, *words(column.name)} & {*asked.terms[1:4], *asked.words[1:4]}
    figure = (column.is_measure or column.is_clock) and not _FIGURES & {*asked.terms[1:2], *asked.words[1:2]}
    if asked.words[0] == "which" and figure and not (named or asked.operations):
        return True
    said = [asked.words[place] for place in verbs_of(asked)]
    if _DO & {*said}:
        return not tell("do", column)
    ways = [word for word in said if VERBS_OF[word] & (_FROM | _TO)]
    return bool(_end(column) and ways) and not any(tell(word, column) for word in ways)


def asks_time(asked: Asked) -> bool:
    """True for "when" and "what time"."""
    first, second = (*asked.words[:2], "", "")[:2]
    return asked.asks == "when" or (first, second) == ("what", "time") or first in ("pukul", "jam")


def is_verb(covered: Collection[int], value: str, asked: Asked) -> bool:
    """True for a verb of the question that is a value only in another form: "does it depart" is not "Departed"."""
    said = [asked.words[place] for place in covered]
    return len(said) == 1 and said[0] in VERBS_OF and said != words(value)


def other_rhythm(column: Column, asked: Asked) -> bool:
    """True for a monthly figure where a year's is asked for, and the like."""
    told = {_RHYTHMS[word] for word in words(column.name) if word in _RHYTHMS}
    pairs = zip(asked.words, asked.words[1:], strict=False)
    said = {_RHYTHMS[word] for word in asked.words if word in _RHYTHMS}
    said |= {_EACH[unit] for each, unit in pairs if each in ("a", "per", "each", "every") and unit in _EACH}
    return bool(told and said) and not told & said


def verb_columns(reading: Reading, asked: Asked, place: int) -> list[Column]:
    """The columns that tell when or where what a verb says is done, or how much of it."""
    free = [column for column in reading.table.columns if column.name not in reading.conditions]
    told = [column for column in free if tell(asked.words[place], column)]
    if asked.asks == "where":
        return [column for column in told if column.type == "text" and not (column.is_clock or column.figures)]
    times = [column for column in told if column.is_clock or column.is_time]
    if not times and asked.asks != "who" and lists(reading.table, asked.words[place]):
        clocks = [column for column in reading.table.columns if column.is_clock]
        times = [each for each in clocks if len(clocks) == 1 and each in free and _ANY_TIME & {*words(each.name)}]
    return times or ([] if asks_time(asked) else told)


def lists(table: Table, verb: str) -> bool:
    """True where the rows are what leaves or arrives, as the verb says: flights to somewhere leave."""
    tells = VERBS_OF.get(verb, frozenset())
    ends = {_end(column) for column in table.columns}
    if "departure" in tells:
        return "to" in ends or "departure" in table.terms
    return "arrival" in tells and "from" in ends and "to" not in ends


def match_clocks(reading: Reading, asked: Asked) -> None:
    """Conditions on columns of times of day ("the 14:05 to Ipoh", "leaves after 18:00"). Of several that have the time,
    the one whose verb stands before it ("arrives at 16:28"), else when it leaves; else none, and it is left over."""
    if len(asked.clock) != 1:
        return
    first, clock = min(asked.clock_words), next(iter(asked.clock))
    before = asked.words[max(0, first - 3) : first]
    if _BOUNDS & {*before[-2:]}:
        return
    later, earlier = bool(_LATER & {*before[-1:]}), bool(_EARLIER & {*before[-1:]})
    places = set(asked.clock_words) | ({first - 1} if later or earlier else set())
    held: dict[Column, tuple[Value, ...]] = {}
    for column in reading.table.columns:
        if column.is_clock:
            times = [(value, clock_of(str(value))) for value in column.distinct or ()]
            values = tuple(
                value for value, at in times if at and (at > clock if later else at < clock if earlier else at == clock)
            )
            held |= {column: values} if values else {}
    said = asked.words if later or earlier else before
    meant = [column for column in held if any(tell(word, column) for word in said)]
    leaves = [column for column in held if tell("leave", column)] if not (later or earlier) else []
    chosen = next((group for group in (meant, list(held), leaves) if len(group) == 1), None)
    if chosen:
        reading.require(chosen[0], held[chosen[0]], places)
