"""Whether rows may be added up, or their highest be taken: which are parts of a whole, and what a figure is of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rag_pgvector.answer.calculation import NOT_ADDED
from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.rows import is_plain, is_whole, key_of
from rag_pgvector.answer.vocabulary import words
from rag_pgvector.types import Chunk

__all__ = ["STOCKS", "adds_up", "has_empty_wholes", "has_units", "parts_of", "repeats", "told_by"]

#: What there is at a time: not added up over several.
STOCKS = frozenset(
    "population employment unemployment debt density area capacity stock household student teacher school bed balance "
    "value capital level".split()
) | {"labour force"}
#: Figures of one thing or at one time, besides those of ``NOT_ADDED``: added up they say nothing.
_SINGLE = frozenset(
    """
    age odomet mileag reading rating grade height speed rank pressure level threshold limit year latitude
    longitude gpa cgpa bmi per each balance wind depth ph concentration target capacity duration review star
    satisfact elevation altitude
    """.split()
)
#: How often a figure must be repeated with another column's value, to be one that this column has.
_REPEATS = 3


def adds_up(column: Column) -> bool:
    """True for a figure of which there is more where there are more rows."""
    named = {*column.terms, *words(column.name)}
    return column.is_measure and not column.is_rate and not named & (NOT_ADDED | _SINGLE)


def parts_of(
    rows: Sequence[Chunk], reading: Reading, entities: Sequence[Column]
) -> tuple[list[Chunk], list[Mapping[str, Any]]]:
    """The rows of the parts, and the conditions that select them: what is compared has no whole among it, and of other
    columns the whole is meant."""
    kept = list(rows)
    clauses: list[Mapping[str, Any]] = []
    for column in sorted(reading.table.columns, key=lambda each: each not in entities):
        if column.name in reading.conditions or column.type != "text" or not is_plain(column.name) or column.figures:
            continue
        home = frozenset[str]() if column.lists_countries else reading.home
        whole = {str(value) for row in kept if is_whole(value := row.metadata.get(column.name, ""), home)}
        whole.discard("")
        if not whole:
            continue
        parts = column in entities
        chosen = [row for row in kept if (str(row.metadata.get(column.name)) in whole) != parts]
        if chosen:
            kept = chosen
            clauses.append({key_of(column.name): {"$nin" if parts else "$in": sorted(whole)}})
    return kept, clauses


def told_by(rows: Sequence[Chunk], columns: Sequence[Column]) -> set[tuple[str, ...]]:
    """What the columns say of the rows, once each."""
    return {tuple(str(row.metadata.get(column.name)) for column in columns) for row in rows}


def has_units(rows: Sequence[Chunk], texts: Sequence[Column]) -> bool:
    """True where the rows are of several units."""
    return any("unit" in each.terms and len(told_by(rows, [each])) > 1 for each in texts)


def has_empty_wholes(rows: Sequence[Chunk], texts: Sequence[Column], columns: Sequence[Column]) -> bool:
    """True where a row with an empty cell may be the whole of rows that say the same in all other columns."""
    for column in texts:
        others = [each for each in columns if (each in texts or each.is_time) and each is not column]
        empty = [row for row in rows if row.metadata.get(column.name) is None]
        if empty and told_by(empty, others) & told_by([row for row in rows if row not in empty], others):
            return True
    return False


def repeats(rows: Sequence[Chunk], measure: Column, other: Column) -> bool:
    """True where the figure is another column's: the same in all rows that have the same value there."""
    if other.is_measure or other.figures:
        return False
    held: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.metadata.get(measure.name) is not None:
            held[str(row.metadata.get(other.name))].append(str(row.metadata[measure.name]))
    several = [values for values in held.values() if len(values) > 1]
    same = all(len({*values}) == 1 for values in several)
    return same and len(several) >= _REPEATS and len({values[0] for values in several}) > 1
