"""Words for a state: columns of yes and no ("how many are not yet returned"), and values like "delivered"."""

from __future__ import annotations

import re

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column, Value
from rag_pgvector.answer.lexical import STOPWORDS, fold
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.vocabulary import FRAME, NEGATIONS, NEUTRAL

__all__ = ["match_flags", "state_as_deed"]

_YES = frozenset("yes y true t ya ja si".split())
_NO = frozenset("no n false f tidak nein".split())
#: How far before the column's name a "not" may stand: "have not yet been returned".
_REACH = 4
#: Verbs that say no more than that it is so: "include breakfast".
_HOLDS = frozenset("include includes included including contain contains offer offers come comes".split())
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
        light = {place for place in range(max(0, first - _REACH), first) if asked.words[place] in _HOLDS}
        denied = {place for place in range(max(0, first - _REACH), first) if asked.words[place] in NEGATIONS}
        if asked.words[max(0, first - 2) : first] == ("out", "of"):
            denied |= {first - 2, first - 1}  # "out of stock"
        reading.require(column, sides[not denied], places | denied | light)


def _sides(column: Column) -> tuple[tuple[Value, ...], tuple[Value, ...]] | None:
    """The spellings of no, and those of yes; ``None`` for a column that holds anything else."""
    values = column.distinct or ()
    no = tuple(value for value in values if fold(str(value)).strip() in _NO)
    yes = tuple(value for value in values if fold(str(value)).strip() in _YES)
    return (no, yes) if no and yes and len(no) + len(yes) == len(values) else None


def _said(column: Column, asked: Asked) -> set[int]:
    """The places of a column's name, if every word of it is said, and one that is not said of everything."""
    terms = [term for term in column.terms if term not in NEUTRAL | STOPWORDS]
    found = [{place for place, term in enumerate(asked.terms) if term == each} for each in terms]
    places = set[int]().union(*found)
    return places if found and all(found) and any(asked.words[place] not in FRAME for place in places) else set()


#: Endings and beginnings of words that say what was done, in English, Malay and German.
_DONE = re.compile(r"\w+(?:ed|en)|paid|sold|sent|lost|won|done|di\w{4,}|ge\w+t")
_HELPS = frozenset("who when was were is are has have had been did the order".split())


def state_as_deed(reading: Reading, asked: Asked) -> bool:
    """True where "who delivered it?" or "when was it delivered?" asks for the deed, and the word is only known as a
    state of the rows: neither the customer nor the day of the order is what is asked for."""
    if asked.asks not in ("who", "when"):
        return False
    last = len(asked.words) - 1
    first = next((place for place, word in enumerate(asked.words) if word not in _HELPS), last)
    place = first if asked.asks == "who" else last
    state = any(place in span for name, span in reading.spans.items() if name not in reading.time)
    return state and not asked.named[place] and bool(_DONE.fullmatch(asked.words[place]))
