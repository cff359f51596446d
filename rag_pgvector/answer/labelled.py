"""A row of a table that stands in a document, shown under the names of its columns, and the cell that is asked for.

"Large tent | £22.00 | £31.50" says nothing without "Low season | High season" above it. Which of several figures is
meant is told by the names alone: the nearest one may be the neighbour's.
"""

from __future__ import annotations

import re

from rag_pgvector.answer.lexical import Query, terms
from rag_pgvector.answer.plain import plain

__all__ = ["cells", "labelled"]

#: Fewer cells need no names.
_LEAST = 3
_BAR = re.compile(r"(?<!\\)\|")
_GAP = re.compile(r"[ ]{2,}|[ ]*(?:\.[ ]?){3,}")
#: What no column is called; a year or a number behind a letter may be.
_VALUE = re.compile(r"[^\w]*\d(?!\d\d\d\b(?:\W\d{2,4})?\W*$)")


def cells(row: str) -> list[str]:
    """The cells of a row between bars, tabs or wide gaps; none of a row that goes on below."""
    row = row.strip()
    if "\n" in row:
        return []
    if "|" in row:
        if row[0] == "|":
            row = row[1:]
        parts = _BAR.split(row[:-1] if row.endswith("|") else row)
    else:
        parts = row.split("\t") if "\t" in row else _GAP.split(row)
    return [part.strip() for part in parts]


def labelled(query: Query, head: str, row: str) -> tuple[str, str, tuple[int, int] | None] | None:
    """How a head and a row are shown, and where in the row the cell stands whose column the question names.

    None where the head names no columns: it has other cells than the row, or figures of its own.
    """
    names, values = (list(map(plain, cells(each))) for each in (head, row))
    if len(names) == len(values) - 1:
        names.insert(0, "")
    if len(values) < _LEAST or len(names) != len(values) or any(_VALUE.match(name) for name in names[1:]):
        return None
    asked = query.weights.keys() - set(terms(values[0]))
    said = [set(terms(name)) for name in names]
    named = [len(asked & own) for own in said]
    shown = " | ".join(values)
    span = None
    most = max(named[1:])
    at = named.index(most, 1)
    # Another column that is named as a whole is asked for, too.
    other = any(own and own <= asked and not own <= said[at] for own in said[1:])
    if most and named[1:].count(most) == 1 and not other and values[at]:
        start = sum(len(value) + 3 for value in values[:at])
        span = (start, start + len(values[at]))
    return " | ".join(names).strip(), shown, span
