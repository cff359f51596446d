"""Answers from the cells of tables. No language model, and never the nearest row: the one asked for, or none.

The column profiles of all tables are read against the question (``tabular``); of the tables that account for every
word of it, the rows are fetched by exact conditions and the cells are quoted with their rows. What is asked for and
absent (a year, a place, an indicator) is a reason to abstain.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag_pgvector.answer.asked import Asked, Period, date_of, read_asked
from rag_pgvector.answer.columns import Column, Table
from rag_pgvector.answer.confidence import TABLE_CONFIDENCE, TABLE_LIST_CONFIDENCE
from rag_pgvector.answer.evidence import Source, cite, source_of
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.steps import Rows, Step, Texts
from rag_pgvector.answer.tabular import read
from rag_pgvector.answer.types import Citation, FailureMode, GroundedAnswer
from rag_pgvector.answer.vocabulary import AGGREGATES, canonical, words
from rag_pgvector.types import Chunk, Document

__all__ = ["look_up"]

#: Rows fetched for one table; more than this cannot be one answer.
FETCHED = 500
#: Cells listed at most where several rows are what was asked for.
LISTED = 12
#: Tables whose rows are fetched for one question.
TABLES = 6
#: A word that stands for the place that all tables are about.
_HOMES = {"malaysia": frozenset({"malaysia", "malaysian"}), "indonesia": frozenset({"indonesia", "indonesian"})}
_STATES_OF_MALAYSIA = frozenset(
    "johor kedah kelantan melaka pahang perak perlis sabah sarawak selangor terengganu putrajaya labuan".split()
) | {"negeri sembilan", "pulau pinang", "kuala lumpur"}


@dataclass(slots=True)
class _Cell:
    """One value that answers: its row, its column and how it is worded."""

    reading: Reading
    chunk: Chunk
    column: Column
    text: str = ""
    source: Source | None = None


def look_up(
    question: str, documents: Sequence[Document], *, filter: Mapping[str, Any] | None, threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    """Answers from the tables.

    Returns:
        An answer; or a failure, where the question is about a table that lacks what it asks for; or ``None``, where it
        does not read like a question about any of the tables.
    """
    tables = [table for document in documents if (table := Table.of(document))]
    asked = read_asked(question)
    home = _home(tables)
    readings = [reading for table in tables if (reading := read(table, asked, home=home))]
    if not readings:
        return None
    readings.sort(key=lambda each: (_rank(each), each.table.document.source, each.table.document.id))
    full = [
        each
        for each in readings
        if not each.absent_time and not each.negated and not each.mismatch and (not each.leftover or each.lookups)
    ]
    found: list[tuple[Reading, list[Chunk]]] = []
    for reading in full[:TABLES]:
        if found and _rank(reading)[:3] > _rank(found[0][0])[:3]:
            break
        rows = yield from _rows(reading, asked, filter)
        if rows is None:
            return None if not reading.by_name else _failure("low_confidence", threshold, reading)
        if rows and not reading.leftover:
            found.append((reading, rows))
    cells = _cells(found)
    if not cells:
        return (yield from _absent(readings, asked, filter, threshold))
    if asked.calculates & frozenset(asked.content - _names(cells[0])) or len(cells) > LISTED:
        misses = yield from _citations(cells[:3], 3)
        return _failure("low_confidence", threshold, cells[0].reading, near_misses=misses)
    if len(cells) > 1 and not all(each.reading.conditions for each in cells):
        return None
    return (yield from _answer(cells, threshold))


def _rank(reading: Reading) -> tuple[Any, ...]:
    """Smaller is better: everything accounted for, by name, exactly."""
    return (
        reading.absent_time,
        len(reading.leftover),
        not reading.by_name,
        -len(reading.explained),
        -reading.exactness,
        -reading.fit,
    )


def _home(tables: Sequence[Table]) -> frozenset[str]:
    """The country that the tables are about, where they say so: by name, or by the names of its states."""
    for country, names in _HOMES.items():
        for table in tables:
            if country in table.terms:
                return names
            for column in table.columns:
                if column.type != "text" or column.distinct is None:
                    continue
                values = {" ".join(canonical(str(value))) for value in column.distinct[:200]}
                if country in values or (country == "malaysia" and len(values & _STATES_OF_MALAYSIA) >= 5):
                    return names
    return frozenset()


def _names(cell: _Cell) -> set[int]:
    return cell.reading.explained


def _rows(reading: Reading, asked: Asked, filter: Mapping[str, Any] | None) -> Generator[Step, Any, list[Chunk] | None]:
    """The rows that meet every condition; ``None`` where there are too many to tell."""
    clauses: list[Mapping[str, Any]] = [] if filter is None else [filter]
    for name, values in reading.conditions.items():
        if _plain(name):
            clauses.append({name: {"$in": list(values)}})
    unlisted = {column.name: column for column in reading.table.columns if column.name in reading.lookups}
    for column in unlisted.values():
        if column.type == "date" and _plain(column.name):
            patterns = [pattern for period in asked.periods for pattern in _patterns(period, column.form)]
            if patterns:
                clauses.append({"$or": [{column.name: {"$like": pattern}} for pattern in patterns]})
        elif column.type == "year" and _plain(column.name):
            clauses.append({column.name: {"$in": sorted({period.year for period in asked.periods})}})
    phrases = [
        {name: {"$ilike": _escaped(phrase)}}
        for name, column in unlisted.items()
        if column.type == "text" and _plain(name)
        for phrase in reading.lookups[name]
    ]
    if phrases:
        clauses.append({"$or": phrases})
    where = None if not clauses else clauses[0] if len(clauses) == 1 else {"$and": clauses}
    rows: list[Chunk] = yield Rows(documents_of(reading.table.document), where, FETCHED)
    full = len(rows) >= FETCHED
    rows = [row for row in _whole_rows(rows, reading.table) if _meets(row, reading, asked)]
    if phrases and rows:
        texts = {" ".join(words(str(row.metadata.get(name, "")))) for row in rows for name in unlisted}
        spoken = {phrase for phrases_ in reading.lookups.values() for phrase in phrases_}
        if spoken <= texts:
            reading.leftover = frozenset()
    rows = _of_the_whole(rows, reading)
    return None if full and len(rows) > LISTED else rows


def _whole_rows(chunks: Sequence[Chunk], table: Table) -> list[Chunk]:
    """Rows in their order. A row that is too long for one chunk has several, divided between its lines: they are joined
    again, so that every cell is found."""
    names = {column.name for column in table.columns}
    rows: list[Chunk] = []
    for part in sorted(chunks, key=_order):
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


def _plain(name: str) -> bool:
    """False for a name that the filter language would read as something else; such a column is checked here instead."""
    return not name.startswith("$") and "." not in name


def _escaped(phrase: str) -> str:
    return phrase.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


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


def _of_the_whole(rows: list[Chunk], reading: Reading) -> list[Chunk]:
    """Of several rows, those of the whole ("overall", "both") in columns that the question says nothing about."""
    targets = {column.name for column in reading.targets}
    for column in reading.table.columns:
        if len(rows) < 2 or column.name in reading.conditions or column.name in targets or column.type != "text":
            continue
        names = AGGREGATES | reading.home
        whole = [row for row in rows if " ".join(words(str(row.metadata.get(column.name, "")))) in names]
        rows = whole or rows
    return rows


def _order(row: Chunk) -> tuple[int, str, int, str]:
    number = row.page_or_row if isinstance(row.page_or_row, int) else -1
    return (number, row.document_id or "", row.char_start or 0, row.id or "")


def _cells(found: Sequence[tuple[Reading, list[Chunk]]]) -> list[_Cell]:
    """The cells that answer, of the tables with the fewest; a text that repeats counts once."""
    if not found:
        return []
    by_table = []
    for reading, rows in found:
        cells = [
            _Cell(reading, row, column)
            for row in rows
            for column in reading.targets
            if row.metadata.get(column.name) is not None
        ]
        if reading.targets and not any(column.is_measure for column in reading.targets):
            once = {(cell.column.name, str(cell.chunk.metadata[cell.column.name])): cell for cell in reversed(cells)}
            cells = list(reversed(once.values()))
        if cells:
            by_table.append(cells)
    fewest = min(map(len, by_table), default=0)
    if fewest > LISTED:
        return by_table[0] if len(by_table[0]) == fewest else next(each for each in by_table if len(each) == fewest)
    return [cell for cells in by_table if len(cells) == fewest for cell in cells]


def _absent(
    readings: Sequence[Reading], asked: Asked, filter: Mapping[str, Any] | None, threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    """The failure to report where a table is what the question is about but lacks what it asks for."""
    about = [each for each in readings if each.by_name or each.by_table]
    if not about:
        return None
    best = min(about, key=lambda each: (-len(asked.content & each.explained), *_rank(each)))
    known = len(asked.content & best.explained)
    anchored = bool(best.conditions) or bool(asked.periods)
    if not anchored or known == 0 or known < len(asked.content) / 2:
        return None
    entities = {name: values for name, values in best.conditions.items() if name not in best.time and _plain(name)}
    clauses = [{name: {"$in": list(values)}} for name, values in entities.items()]
    if filter is not None:
        clauses.append(dict(filter))
    where: Mapping[str, Any] | None = None if not clauses else {"$and": clauses} if len(clauses) > 1 else clauses[0]
    rows: list[Chunk] = yield Rows(documents_of(best.table.document), where, 3)
    cells = [_Cell(best, row, best.targets[0]) for row in sorted(rows, key=_order)]
    misses = yield from _citations(cells, 3)
    return _failure("insufficient_evidence", threshold, best, near_misses=misses)


def documents_of(table: Document) -> list[str]:
    """The documents that hold a table's rows: a long one has several, which its profile names."""
    return list((table.profile or {}).get("documents", (table.id,)))


def _answer(cells: list[_Cell], threshold: float) -> Generator[Step, Any, GroundedAnswer]:
    several_tables = len({id(cell.reading) for cell in cells}) > 1
    texts = yield from _texts(cells)
    for cell in cells:
        cell.source = source_of(cell.chunk, texts)
        cell.text = _worded(cell, cells, several_tables)
    values = {cell.chunk.metadata.get(cell.column.name) for cell in cells}
    entries: list[str] = []
    citations: list[Citation] = []
    at = 0
    for cell in cells:
        assert cell.source is not None
        if cell.text in entries and not several_tables:
            continue
        entries.append(cell.text)
        citations.append(
            cite(
                cell.chunk,
                cell.source,
                cell.source.start,
                cell.source.end,
                answer_span=(at, at + len(cell.text)),
                columns=_columns(cell),
            )
        )
        at += len(cell.text) + len("; ")
    reading = cells[0].reading
    confidence = TABLE_CONFIDENCE if len(values) == 1 else TABLE_LIST_CONFIDENCE
    confidence = round(confidence * (0.6 + 0.4 * min(cell.reading.exactness for cell in cells)), 4)
    if confidence < threshold:
        misses = yield from _citations(cells[:3], 3)
        return _failure("low_confidence", threshold, reading, near_misses=misses, confidence=confidence)
    return GroundedAnswer(
        answer="; ".join(entries),
        citations=tuple(citations),
        confidence=confidence,
        threshold=threshold,
        mode="table",
        signals={"rows": float(len(cells)), "exactness": reading.exactness},
        applied_filters=tuple(
            dict(each.applied()) for each in {id(cell.reading): cell.reading for cell in cells}.values()
        ),
        warnings=("several rows are what was asked for",) * (len(values) > 1),
    )


def _texts(cells: Sequence[_Cell]) -> Generator[Step, Any, Mapping[str, str]]:
    ids = sorted({cell.chunk.document_id for cell in cells if cell.chunk.document_id is not None})
    texts: Mapping[str, str] = (yield Texts(ids)) if ids else {}
    return texts


def _citations(cells: Sequence[_Cell], most: int) -> Generator[Step, Any, tuple[Citation, ...]]:
    texts = yield from _texts(cells)
    found: dict[str | None, Citation] = {}
    for cell in cells:
        source = source_of(cell.chunk, texts)
        found.setdefault(cell.chunk.id, cite(cell.chunk, source, source.start, source.end, columns=_columns(cell)))
    return tuple(found.values())[:most]


def _columns(cell: _Cell) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*cell.reading.conditions, cell.column.name]))


def _worded(cell: _Cell, cells: Sequence[_Cell], several_tables: bool) -> str:
    """The value as its source writes it, and what it is: "119.3 (transport, 2015-03-01)"."""
    told = [cell.column.name]
    for column in cell.reading.table.columns:
        value = cell.chunk.metadata.get(column.name)
        if value is None or column.name == cell.column.name:
            continue
        condition = column.name in cell.reading.conditions
        varies = (
            len(cells) > 1
            and column.type == "text"
            and (len({str(other.chunk.metadata.get(column.name)) for other in cells}) > 1)
        )
        if condition or varies or column.is_time:
            told.append(_written(cell, column))
    if several_tables:
        told.append(cell.chunk.source or cell.reading.table.document.source)
    return f"{_written(cell, cell.column)} ({', '.join(told)})"


def _written(cell: _Cell, column: Column) -> str:
    """A value as it stands in its row's text, so that its format is the source's."""
    if cell.source is not None:
        row = cell.source.text[cell.source.start : cell.source.end]
        for line in row.split("\n"):
            name, colon, rest = line.partition(": ")
            if colon and name.strip() == column.name and rest.strip():
                return rest.strip()
    return str(cell.chunk.metadata.get(column.name))


def _failure(mode: FailureMode, threshold: float, reading: Reading, **fields: Any) -> GroundedAnswer:
    return GroundedAnswer(
        answer=None,
        confidence=fields.pop("confidence", 0.0),
        failure_mode=mode,
        threshold=threshold,
        mode="table",
        applied_filters=(dict(reading.applied()),),
        **fields,
    )
