"""Cells as answers: how a value is worded, and the row that it is cited from."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.evidence import Source, cite, source_of
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.steps import Step, Texts
from rag_pgvector.answer.types import Citation, FailureMode, GroundedAnswer
from rag_pgvector.types import Chunk

__all__ = ["Cell", "citations", "columns_of", "failure", "texts_of", "worded", "written"]


@dataclass(slots=True)
class Cell:
    """One value that answers: its row, its column and how it is worded."""

    reading: Reading
    chunk: Chunk
    column: Column
    text: str = ""
    source: Source | None = None


def texts_of(cells: Sequence[Cell]) -> Generator[Step, Any, Mapping[str, str]]:
    ids = sorted({cell.chunk.document_id for cell in cells if cell.chunk.document_id is not None})
    texts: Mapping[str, str] = (yield Texts(ids)) if ids else {}
    return texts


def citations(cells: Sequence[Cell], most: int) -> Generator[Step, Any, tuple[Citation, ...]]:
    texts = yield from texts_of(cells)
    found: dict[str | None, Citation] = {}
    for cell in cells:
        source = source_of(cell.chunk, texts)
        found.setdefault(cell.chunk.id, cite(cell.chunk, source, source.start, source.end, columns=columns_of(cell)))
    return tuple(found.values())[:most]


def columns_of(cell: Cell) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*cell.reading.conditions, cell.column.name]))


def worded(cell: Cell, cells: Sequence[Cell], several_tables: bool, things: Collection[str] = ()) -> str:
    """The value as its source writes it, and what it is: "119.3 (transport, 2015-03-01)"; of ``things`` alone, where it
    is a value of these that several rows repeat."""
    told = [cell.column.name]
    apart = things or _apart(cell, cells)
    for column in cell.reading.table.columns:
        if cell.chunk.metadata.get(column.name) is None or column.name == cell.column.name:
            continue
        if column.name in cell.reading.conditions or column.name in apart or (column.is_time and not things):
            told.append(written(cell, column))
    if several_tables:
        told.append(cell.chunk.source or cell.reading.table.document.source)
    return f"{written(cell, cell.column)} ({', '.join(told)})"


def _apart(cell: Cell, cells: Sequence[Cell]) -> set[str]:
    """The columns that tell a row from the others: names, months and quarters; figures kept as text where none is."""
    varying: list[tuple[str, bool]] = []
    for column in cell.reading.table.columns:
        period = bool({"month", "quarter"} & set(column.terms))
        if column.type == "text" or period:
            values = [str(other.chunk.metadata.get(column.name)) for other in cells]
            if len(set(values)) > 1:
                in_words = 2 * sum(any(map(str.isalpha, value)) for value in values) > len(values)
                varying.append((column.name, period or in_words))
    names = {name for name, is_name in varying if is_name}
    return names or {name for name, _ in varying}


def written(cell: Cell, column: Column) -> str:
    """A value as it stands in its row's text, so that its format is the source's."""
    if cell.source is not None:
        row = cell.source.text[cell.source.start : cell.source.end]
        for line in row.split("\n"):
            name, colon, rest = line.partition(": ")
            if colon and name.strip() == column.name and rest.strip():
                return rest.strip()
    return str(cell.chunk.metadata.get(column.name))


def failure(mode: FailureMode, threshold: float, reading: Reading, **fields: Any) -> GroundedAnswer:
    return GroundedAnswer(
        answer=None,
        confidence=fields.pop("confidence", 0.0),
        failure_mode=mode,
        threshold=threshold,
        mode="table",
        applied_filters=(dict(reading.applied()),),
        **fields,
    )
