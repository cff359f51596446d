"""The first and the last of several: "the last visit of", "which opened first". Of all rows, or of those that meet the
other conditions: the latest date is that of a row that is asked for."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from rag_pgvector.answer.periods import clock_of, date_of
from rag_pgvector.answer.vocabulary import words
from rag_pgvector.types import Chunk
from rag_pgvector.written import MONTHS

if TYPE_CHECKING:
    from rag_pgvector.answer.columns import Column, Table

__all__ = ["LAST", "ends", "is_named_so", "turn_in", "when"]

LAST = frozenset("last terakhir".split())
_FIRST = frozenset("first earliest pertama terawal".split())
#: In Malay they stand behind what is the first or the last.
_BEHIND = frozenset("pertama terakhir terawal".split())
#: What is no first or last of several rows: a time that counts from now, a part of a time, a rank, a name.
_OTHERS = frozenset(
    """
    year years month months week weeks weekend day days quarter quarters half decade century night season seasons
    semester term period hour hours minute minutes name names class division place floor aid team prize degree line
    stage round edition version page row column letter digit word question two three four five six seven eight nine ten
    few several couple monday tuesday wednesday thursday friday saturday sunday
    tahun bulan minggu hari suku separuh kelas tingkat tempat nama abad dekad musim
    """.split()
)


def turn_in(found: Sequence[str], times: Collection[int]) -> int | None:
    """The place of the word that asks for the first or the last of several; ``None`` where it says something else
    ("last year", "first name")."""
    places = [place for place, word in enumerate(found) if word in LAST | _FIRST and place not in times]
    if len(places) != 1:
        return None
    place = places[0]
    beside = found[place - 1 : place] if found[place] in _BEHIND else found[place + 1 : place + 2]
    beside = [word for word in beside if word in _OTHERS or word in MONTHS or word.isdigit()]
    return None if beside else place


def is_named_so(place: int, table: Table, said: Sequence[str]) -> bool:
    """True where the word is part of what a column or a value is called: "last restocked", "First Street"."""
    pairs = {tuple(said[max(0, place - 1) : place + 1]), tuple(said[place : place + 2])}
    names: Iterable[object] = (column.name for column in table.columns)
    values = (value for column in table.columns if column.type == "text" for value in column.distinct or ())
    return any(pairs & {*itertools.pairwise(words(str(name)))} for name in itertools.chain(names, values))


def ends(rows: Sequence[Chunk], column: Column, *, last: bool) -> list[Chunk]:
    """The rows of the earliest or the latest date, or time of day."""
    dated = [(at, row) for row in rows if (at := when(row.metadata.get(column.name), column))]
    end = (max if last else min)((at for at, _ in dated), default=None)
    return [row for at, row in dated if at == end]


def when(value: object, column: Column) -> tuple[tuple[int, int, int], str] | None:
    """The date and the time of day of a cell, to be compared; ``None`` where it tells none."""
    date, clock = date_of(value, column.form), clock_of(str(value))
    if column.is_clock:
        return ((0, 0, 0), clock) if clock else None
    return (date, clock) if date else None
