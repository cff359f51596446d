"""The highest, the lowest, the sum, the mean and the number of rows: computed by the database, every row cited.

A calculation is made only where its rows differ in one thing, of which the question may name the kind ("which state"):
rows of a whole ("overall", "both") are left out of their parts, and where a part is left open (men or women) there is
no answer.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.cells import Cell, failure, texts_of, worded
from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.confidence import TABLE_CALCULATED
from rag_pgvector.answer.evidence import cite, source_of
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.rows import documents_of, is_plain, is_whole, select
from rag_pgvector.answer.steps import Step, Totals
from rag_pgvector.answer.tabular import measures_named
from rag_pgvector.answer.types import Citation, GroundedAnswer
from rag_pgvector.answer.vocabulary import CALCULATIONS, NEUTRAL, RATES
from rag_pgvector.totals import ColumnTotals
from rag_pgvector.types import Chunk

__all__ = ["calculate"]

#: Rows cited at most; a warning tells of more.
CITED = 50
#: What makes no sense when added up.
_NOT_ADDED = RATES | frozenset("mean median index price gini size temperature minimum maximum cpi ppi humidity".split())
_NAMES = {"max": "highest", "min": "lowest", "sum": "sum", "mean": "mean", "count": "number"}


def calculate(
    readings: Sequence[Reading], asked: Asked, filter: Mapping[str, Any] | None, threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    """The answer to a question for a calculation, or ``None`` where none of the tables can give it."""
    for reading in readings:
        if reading.absent_time or reading.negated or reading.lookups:
            continue
        plan = _planned(reading, asked)
        if plan is None:
            continue
        operation, column, entities = plan
        selected = yield from select(reading, asked, filter, all_rows=True)
        if not selected.rows:
            continue
        rows, clauses = _parts(selected.rows, reading, entities)
        if len(rows) < 2 or not _one_thing_varies(rows, reading, column, entities, operation):
            continue
        where = {"$and": [*([selected.filter] if selected.filter else []), *clauses]}
        documents = documents_of(reading.table.document)
        total: ColumnTotals = yield Totals(documents, column.name, where if where["$and"] else None)
        if total.rows != len(rows) or total.filled != total.rows:
            continue
        if operation != "count" and total.numbers != total.rows:
            continue
        answering = replace_targets(reading, column)
        return (yield from _told(answering, column, operation, total, rows, threshold))
    return None


def replace_targets(reading: Reading, column: Column) -> Reading:
    return replace(reading, targets=(column,))


def _planned(reading: Reading, asked: Asked) -> tuple[str, Column, list[Column]] | None:
    """What to calculate over which column, and the columns whose kind the question names; ``None`` for a look-up."""
    free = [column for column in reading.table.columns if column.name not in reading.conditions]
    heard = set(asked.terms) - NEUTRAL
    entities = [
        column
        for column in free
        if column.type == "text" and not (column.figures or column.is_code) and heard & set(column.terms)
    ]
    kinds = {term for column in entities for term in column.terms}
    places = {place for place, term in enumerate(asked.terms) if term in kinds}
    measures = [column for column in reading.targets if column.is_measure] or measures_named(reading, asked)
    named = {place for column in measures for place, term in enumerate(asked.terms) if term in column.terms}
    operations = {place: how for place, how in asked.operations.items() if place not in named}
    rest = reading.leftover - places - named - set(operations)
    if rest or any(asked.words[place] in CALCULATIONS for place in asked.content - named - set(operations)):
        return None
    hows = set(operations.values())
    if len(hows) == 1 and len(measures) == 1:
        how = hows.pop()
        if how == "sum" and (_NOT_ADDED & set(measures[0].terms) or measures[0].is_rate):
            return None
        return how, measures[0], entities
    counted = not hows and asked.wants == "count" and len(entities) == 1 and bool(reading.conditions)
    if counted and all(column in entities for column in reading.targets):
        return "count", entities[0], entities
    return None


def _parts(
    rows: Sequence[Chunk], reading: Reading, entities: Sequence[Column]
) -> tuple[list[Chunk], list[Mapping[str, Any]]]:
    """The rows of the parts, and the conditions that select them: what is compared has no whole among it, and of other
    columns the whole is meant."""
    kept = list(rows)
    clauses: list[Mapping[str, Any]] = []
    for column in reading.table.columns:
        if column.name in reading.conditions or column.type != "text" or not is_plain(column.name) or column.figures:
            continue
        whole = {str(value) for row in kept if is_whole(value := row.metadata.get(column.name, ""), reading.home)}
        whole.discard("")
        if not whole:
            continue
        parts = column in entities
        chosen = [row for row in kept if (str(row.metadata.get(column.name)) in whole) != parts]
        if chosen:
            kept = chosen
            clauses.append({column.name: {"$nin" if parts else "$in": sorted(whole)}})
    return kept, clauses


def _one_thing_varies(
    rows: Sequence[Chunk], reading: Reading, column: Column, entities: Sequence[Column], operation: str
) -> bool:
    """True where one column tells the rows apart: the one whose kind is named, else any."""
    if operation == "count":
        return True
    others = [each for each in reading.table.columns if each != column and (each.type == "text" or each.is_time)]
    telling = [each for each in others if len({str(row.metadata.get(each.name)) for row in rows}) == len(rows)]
    return any(each in entities for each in telling) if entities else bool(telling)


def _told(
    reading: Reading, column: Column, operation: str, total: ColumnTotals, rows: Sequence[Chunk], threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    confidence = round(TABLE_CALCULATED * (0.6 + 0.4 * reading.exactness), 4)
    if confidence < threshold:
        return failure("low_confidence", threshold, reading, confidence=confidence)
    value = {"max": total.greatest, "min": total.least, "sum": total.sum, "mean": total.mean}.get(operation)
    first = list(rows)
    if operation in ("max", "min"):
        first = [row for row in rows if _number(row.metadata.get(column.name)) == value]
        if not first:
            return None
    cited = [*first, *(row for row in rows if row not in first)] if operation in ("max", "min") else first
    cells = [Cell(reading, row, column) for row in cited[:CITED]]
    texts = yield from texts_of(cells)
    for cell in cells:
        cell.source = source_of(cell.chunk, texts)
    over = f"{_NAMES[operation]} of {total.rows} rows"
    if operation in ("max", "min"):
        answer = "; ".join(worded(cell, cells, False) for cell in cells[: len(first)]) + f": {over}"
    elif operation == "count":
        answer = f"{total.distinct} ({column.name}, {over})"
    else:
        assert value is not None
        answer = f"{_written(value, rows, column)} ({operation} of {column.name} over {total.rows} rows)"
    citations: list[Citation] = []
    for cell in cells:
        assert cell.source is not None
        columns = tuple(dict.fromkeys([*reading.conditions, column.name]))
        citations.append(
            cite(
                cell.chunk,
                cell.source,
                cell.source.start,
                cell.source.end,
                answer_span=(0, len(answer)),
                columns=columns,
            )
        )
    more = f"{total.rows} rows were counted, of which the first {CITED} are cited"
    return GroundedAnswer(
        answer=answer,
        citations=tuple(citations),
        confidence=confidence,
        threshold=threshold,
        mode="table",
        signals={"rows": float(total.rows), "exactness": reading.exactness},
        applied_filters=(dict(reading.applied()),),
        warnings=(more,) * (total.rows > CITED),
    )


def _number(value: Any) -> Decimal | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return Decimal(str(value))
    text = str(value).replace(",", "").replace("%", "").replace(" ", "")
    for sign in ("RM", "USD", "IDR", "Rp", "$", "€", "£"):
        text = text.removeprefix(sign)
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def _written(value: Decimal, rows: Sequence[Chunk], column: Column) -> str:
    """A computed number with the separators and the unit of the cells, at most four decimals beyond what is whole."""
    cells = [str(row.metadata.get(column.name)) for row in rows]
    rounded = format(round(value, 4), "f")
    if "." in rounded:
        rounded = rounded.rstrip("0").rstrip(".")
    if any("," in cell for cell in cells):
        whole, point, decimals = rounded.partition(".")
        rounded = f"{int(whole):,}{point}{decimals}"
    return f"{rounded} %" if all("%" in cell for cell in cells) else rounded
