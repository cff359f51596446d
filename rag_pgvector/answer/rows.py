"""The rows that a reading of a table selects: fetched by exact conditions, never the nearest."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Table
from rag_pgvector.answer.matching import spellings
from rag_pgvector.answer.periods import Period, date_of
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.steps import Rows, Step
from rag_pgvector.answer.turns import ends
from rag_pgvector.answer.vocabulary import AGGREGATES, canonical, words
from rag_pgvector.types import Chunk, Document

__all__ = [
    "CALCULATED",
    "FETCHED",
    "LISTED",
    "Selected",
    "documents_of",
    "in_order",
    "is_plain",
    "is_whole",
    "key_of",
    "select",
]

#: Rows fetched for one table; more than this cannot be one answer.
FETCHED = 500
#: The same for a calculation over rows.
CALCULATED = 5_000
#: Cells listed at most where several rows are what was asked for.
LISTED = 12


@dataclass(frozen=True, slots=True)
class Selected:
    """Rows, and the filter that they were selected by; ``rows`` is ``None`` where there are too many to tell."""

    rows: list[Chunk] | None
    filter: Mapping[str, Any] | None


def select(
    reading: Reading, asked: Asked, filter: Mapping[str, Any] | None, *, all_rows: bool = False
) -> Generator[Step, Any, Selected]:
    """The rows that meet every condition. ``all_rows``: those of the parts too, where there is a whole.

    Where the first or the last is asked for, and no row has that of all, it is that of the rows that meet the others.
    """
    found = yield from _selected(reading, asked, filter, all_rows=all_rows)
    if reading.turn is None or found.rows or all_rows:
        return found
    column, last = reading.turn
    others = {name: values for name, values in reading.conditions.items() if name != column.name}
    if not others:
        return found
    more = yield from _selected(replace(reading, conditions=others), asked, filter, all_rows=False)
    if rows := ends(more.rows or [], column, last=last):
        reading.conditions[column.name] = tuple(dict.fromkeys(row.metadata[column.name] for row in rows))
        return Selected(rows, more.filter)
    return found


def _selected(
    reading: Reading, asked: Asked, filter: Mapping[str, Any] | None, *, all_rows: bool
) -> Generator[Step, Any, Selected]:
    clauses: list[Mapping[str, Any]] = [] if filter is None else [filter]
    for name, values in reading.conditions.items():
        if is_plain(name):
            clauses.append({key_of(name): {"$in": list(values)}})
    unlisted = {column.name: column for column in reading.table.columns if column.name in reading.lookups}
    for column in unlisted.values():
        if column.type == "date" and is_plain(column.name):
            patterns = [pattern for period in asked.periods for pattern in _patterns(period, column.form)]
            if patterns:
                clauses.append({"$or": [{key_of(column.name): {"$like": pattern}} for pattern in patterns]})
        elif column.type == "year" and is_plain(column.name):
            clauses.append({key_of(column.name): {"$in": sorted({period.year for period in asked.periods})}})
    phrases = [
        {key_of(name): {"$ilike": _anywhere(phrase)}}
        for name, column in unlisted.items()
        if column.type == "text" and is_plain(name)
        for phrase in reading.lookups[name]
    ]
    if phrases:
        clauses.append({"$or": phrases})
    where = None if not clauses else clauses[0] if len(clauses) == 1 else {"$and": clauses}
    rows: list[Chunk] = yield Rows(documents_of(reading.table.document), where, CALCULATED if all_rows else FETCHED)
    if rows and (yield from _in_twins(reading)):
        return Selected([], where)
    full = len(rows) >= (CALCULATED if all_rows else FETCHED)
    rows = [row for row in _whole_rows(rows, reading.table) if _meets(row, reading, asked)]
    if phrases and rows:
        rows = _named_in_full(rows, reading)
    if reading.either and any(row.metadata.get(each.name) is None for row in rows for each in reading.targets):
        rows = []  # the match that is meant may be the one without a value
    if not all_rows:
        rows = _of_the_whole(rows, reading)
    return Selected(None if full and (all_rows or len(rows) > LISTED) else rows, where)


def _in_twins(reading: Reading) -> Generator[Step, Any, bool]:
    """True where another row has the value in a column of the same kind: which of the two is meant, nobody knows."""
    for name, twin in reading.twins:
        values = list(reading.conditions.get(name, ()))
        if not (values and is_plain(name) and is_plain(twin)):
            continue
        elsewhere = {"$and": [{key_of(twin): {"$in": values}}, {key_of(name): {"$nin": values}}]}
        found: list[Chunk] = yield Rows(documents_of(reading.table.document), elsewhere, 1)
        if found:
            return True
    return False


def _named_in_full(rows: Sequence[Chunk], reading: Reading) -> list[Chunk]:
    """Of rows that hold the phrases somewhere, those whose values they name; each phrase must name one."""
    spoken = {canonical(phrase) for phrases in reading.lookups.values() for phrase in phrases}
    names = [name for name, phrases in reading.lookups.items() if phrases]
    kept: list[Chunk] = []
    seen: set[tuple[str, ...]] = set()
    for row in rows:
        told = {phrase for name in names for phrase, _ in spellings(str(row.metadata.get(name, "")))}
        if found := spoken & told:
            kept.append(row)
            seen |= found
    if seen == spoken:
        reading.leftover = frozenset()
    return kept


def _whole_rows(chunks: Sequence[Chunk], table: Table) -> list[Chunk]:
    """Rows in their order. A row that is too long for one chunk has several, divided between its lines: they are joined
    again, so that every cell is found."""
    names = {column.name for column in table.columns}
    rows: list[Chunk] = []
    for part in sorted(chunks, key=in_order):
        last = rows[-1] if rows else None
        if last is None or (last.document_id, last.page_or_row) != (part.document_id, part.page_or_row):
            rows.append(part)
        elif last.char_end is not None and part.char_start == last.char_end + 1:
            if part.content.partition(": ")[0].strip() in names:
                content = f"{last.content}\n{part.content}"
                rows[-1] = replace(last, content=content, char_end=part.char_end)
        elif part.page_or_row is None:
            rows.append(part)
    return rows


def is_plain(name: str) -> bool:
    """False for a name that the filter language would read as something else; such a column is checked here instead."""
    return not name.startswith("$") and "\\" not in name


def key_of(name: str) -> str:
    """A column's name as the filter language writes a key: a dot in it is no path."""
    return name.replace(".", "\\.")


def _anywhere(phrase: str) -> str:
    """A pattern for the words of a phrase in their order, whatever stands between them."""
    return f"%{'%'.join(canonical(phrase))}%"


def _patterns(period: Period, form: str | None) -> list[str]:
    year, month, day = period.year, period.month, period.day
    if form in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm", "yyyy-mm") and month is not None:
        return [f"{year}-{month:02d}-{day:02d}%" if day is not None else f"{year}-{month:02d}%"]
    return [f"%{year}%"]


def _meets(row: Chunk, reading: Reading, asked: Asked) -> bool:
    for name, values in reading.conditions.items():
        if row.metadata.get(name) not in values:
            return False
    for column in reading.table.columns:
        if column.name in reading.lookups and column.is_time:
            date = date_of(row.metadata.get(column.name), column.form)
            granularity = column.granularity if column.type == "date" else "year"
            if date is None or not any(period.holds(date, granularity) for period in asked.periods):
                return False
    return True


def is_whole(value: Any, home: frozenset[str] = frozenset()) -> bool:
    """True for a value that stands for all others of its column: "overall", "both", the home country, "-"."""
    text = " ".join(words(str(value)))
    return text in AGGREGATES or text in home or (value is not None and not text)


def _of_the_whole(rows: list[Chunk], reading: Reading) -> list[Chunk]:
    """Of several rows, those of the whole ("overall", "both") in columns that the question says nothing about."""
    targets = {column.name for column in reading.targets}
    texts = [column.name for column in reading.table.columns if column.type == "text" and column.name not in targets]
    open_ = [name for name in texts if name not in reading.conditions]
    abroad = {column.name for column in reading.table.columns if column.lists_countries}
    for name in open_:
        if len(rows) > 1:
            told = [row for row in rows if row.metadata.get(name) is not None]
            home = frozenset[str]() if name in abroad else reading.home
            rows = [row for row in told if is_whole(row.metadata[name], home)] or rows
    before = 0
    while 1 < len(rows) != before:
        # An empty cell is the whole of those rows that say the same in all other columns, and else only empty.
        before = len(rows)
        for name in open_:
            others = [each.name for each in reading.table.columns if each.is_time or each.name in texts]
            others = [each for each in others if each != name]
            empty = {_cells(row, others) for row in rows if row.metadata.get(name) is None}
            if empty and all(_cells(row, others) in empty for row in rows):
                rows = [row for row in rows if row.metadata.get(name) is None]
    return rows


def _cells(row: Chunk, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(row.metadata.get(name)) for name in names)


def in_order(row: Chunk) -> tuple[int, str, int, str]:
    number = row.page_or_row if isinstance(row.page_or_row, int) else -1
    return (number, row.document_id or "", row.char_start or 0, row.id or "")


def documents_of(table: Document) -> list[str]:
    """The documents that hold a table's rows: a long one has several, which its profile names."""
    return list((table.profile or {}).get("documents", (table.id,)))
