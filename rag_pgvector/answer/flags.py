"""Columns of yes and no: a question that counts or lists rows says of which, "not yet returned" or "approved"."""

from __future__ import annotations

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column, Value
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.vocabulary import FRAME, NEGATIONS, NEUTRAL

__all__ = ["match_flags"]

_YES = frozenset("yes y true t ya ja si".split())
_NO = frozenset("no n false f tidak nein".split())
#: How far before the column's name a "not" may stand: "have not yet been returned".
_REACH = 4
_LISTS = frozenset("which what list show who whom".split())


def match_flags(reading: Reading, asked: Asked) -> None:
    """Conditions from columns of yes and no whose whole name the question says. Not where the question is whether
    something is so ("was it returned?"): that is answered with the cell."""
    if asked.wants != "count" and not (asked.words and asked.words[0] in _LISTS):
        return
    for column in reading.table.columns:
        if column.name in reading.conditions or not (sides := _sides(column)):
            continue
        places = _said(column, asked)
        if not places or places & reading.explained:
            continue
        first = min(places)
        denied = {place for place in range(max(0, first - _REACH), first) if asked.words[place] in NEGATIONS}
        reading.require(column, sides[not denied], places | denied)


def _sides(column: Column) -> tuple[tuple[Value, ...], tuple[Value, ...]] | None:
    """The spellings of no, and those of yes; ``None`` for a column that holds anything else."""
    values = column.distinct or ()
    no = tuple(value for value in values if str(value).strip().casefold() in _NO)
    yes = tuple(value for value in values if str(value).strip().casefold() in _YES)
    return (no, yes) if no and yes and len(no) + len(yes) == len(values) else None


def _said(column: Column, asked: Asked) -> set[int]:
    """The places of a column's name, if every word of it is said, and one that is not said of everything."""
    terms = [term for term in column.terms if term not in NEUTRAL]
    found = [{place for place, term in enumerate(asked.terms) if term == each} for each in terms]
    places = set[int]().union(*found)
    return places if all(found) and any(asked.words[place] not in FRAME for place in places) else set()
