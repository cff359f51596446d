"""The highest, the lowest, the sum, the mean and the number of rows: computed by the database, every row cited.

A calculation is made only where its rows differ in one thing, of which the question may name the kind ("which state"),
or where they are single observations, of which nothing but their number tells one from the other (a penguin, a bill):
rows of a whole ("overall", "both") are left out of their parts, and where a part is left open (men or women) there is
no answer. Rows without a value are left out and told of.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any

from rag_pgvector.answer.adding import STOCKS, adds_up, parts_of, told_by
from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.calculation import NOT_ADDED, Calculation, entities_named, planned
from rag_pgvector.answer.cells import Cell, failure, texts_of, worded, written
from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.confidence import TABLE_CALCULATED
from rag_pgvector.answer.evidence import cite, source_of
from rag_pgvector.answer.groups import group_asked
from rag_pgvector.answer.pieces import are_pieces
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.rows import LISTED, documents_of, select
from rag_pgvector.answer.steps import Step, Totals
from rag_pgvector.answer.types import Citation, GroundedAnswer
from rag_pgvector.answer.vocabulary import DEGREES, NEUTRAL
from rag_pgvector.totals import ColumnTotals
from rag_pgvector.types import Chunk

__all__ = ["CITED", "TOLD", "calculate", "together", "written_number"]

#: Rows cited at most; a warning tells of more.
CITED = 50
#: Calculations told together at most.
TOLD = 4
#: What is measured at a time, and never added up; and words that say that a figure is a single reading.
_MEASURED = frozenset("temperature humidity pressure speed wind ph depth level concentration turbidity".split())
_SAYS_MEASURED = frozenset("recorded measured observed reading readings ever logged dicatat direkodkan diukur".split())
_NAMES = {"max": "highest", "min": "lowest", "sum": "sum", "mean": "mean", "count": "number"}


def calculate(
    readings: Sequence[Reading], asked: Asked, filter: Mapping[str, Any] | None, threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    """The answer to a question for a calculation, or ``None`` where none of the tables can give it."""
    readings = sorted(readings, key=lambda reading: _order(reading, asked))
    told: list[tuple[Reading, GroundedAnswer]] = []
    left: list[Reading] = []
    for reading in readings:
        if told and reading.rank != told[0][0].rank:
            break
        if reading.absent_time or reading.negated or reading.mismatch or any(reading.lookups.values()):
            continue
        found: list[GroundedAnswer] = []
        plans = planned(reading, asked)
        for plan in plans:
            answered = yield from _calculated(reading, plan, asked, filter, threshold)
            if answered is not None:
                found.append(answered)
        if found and len(found) == len(plans):
            told += [(reading, each) for each in found]
        elif plans:
            left.append(reading)
    if not told or any(each.explained > told[0][0].explained for each in left):
        return None  # or another table is meant: "shop b" is not "shop_a.csv"
    others = [each for each in left if each.rank == told[0][0].rank]
    if len(told) == 1:
        return _warned(told[0][1], others)
    lacking = next((each for _, each in told if each.answer is None), None)
    several = len({id(reading) for reading, _ in told}) > 1
    if lacking is not None or len(told) > TOLD:
        return lacking or failure("low_confidence", threshold, told[0][0])
    return _warned(together(told, several_tables=several), others)


def _order(reading: Reading, asked: Asked) -> tuple[float, ...]:
    """The rank of a reading, where the kinds of its rows ("which product") are accounted for, and a column that is
    named by several words is ahead of one that is named by one of them."""
    absent, _, other, *rest = reading.rank
    left = reading.leftover - {place for _, places in entities_named(reading, asked) for place in places}
    return (absent, len(left), other, reading.fit < 2.0, *rest)


def _calculated(
    reading: Reading, plan: Calculation, asked: Asked, filter: Mapping[str, Any] | None, threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    operation, column = plan.operation, plan.column
    selected = yield from select(reading, asked, filter, all_rows=True)
    if not selected.rows:
        return None
    rows, clauses = parts_of(selected.rows, reading, plan.entities)
    if not _is_sound(rows, reading, plan, asked):
        return None
    where = {"$and": [*([selected.filter] if selected.filter else []), *clauses]}
    documents = documents_of(reading.table.document)
    total: ColumnTotals = yield Totals(documents, column.name, where if where["$and"] else None)
    if total.rows != len(rows) or total.filled == 0:
        return None
    if operation != "count" and total.numbers != total.filled:
        return None
    return (yield from _told(replace_targets(reading, column), plan, total, rows, threshold))


def _warned(answer: GroundedAnswer, others: Sequence[Reading]) -> GroundedAnswer:
    """The answer, with a word on the tables that were asked for as much and that it does not count."""
    sources = sorted({other.table.document.source for other in others})
    if answer.answer is None or not sources:
        return answer
    warning = f"not counted, though it has a column of that name: {', '.join(sources[:TOLD])}"
    return answer.model_copy(update={"warnings": (*answer.warnings, warning)})


def together(told: Sequence[tuple[Reading, GroundedAnswer]], *, several_tables: bool) -> GroundedAnswer:
    """One answer of several: of two columns that are asked for, or of tables that answer the same question."""
    texts: list[str] = []
    cited: list[Citation] = []
    for reading, each in told:
        at = sum(map(len, texts)) + 2 * len(texts)
        texts.append(f"{each.answer}{f' in {reading.table.document.source}' * several_tables}")
        span = {"answer_start": at, "answer_end": at + len(texts[-1])}
        cited += [citation.model_copy(update=span) for citation in each.citations]
    first = told[0][1]
    warnings = dict.fromkeys(warning for _, each in told for warning in each.warnings)
    return first.model_copy(
        update={
            "answer": "; ".join(texts),
            "citations": tuple(cited),
            "confidence": min(each.confidence for _, each in told),
            "applied_filters": tuple(filter for _, each in told for filter in each.applied_filters),
            "warnings": (*(("several tables hold what was asked for",) if several_tables else ()), *warnings),
        }
    )


def replace_targets(reading: Reading, column: Column) -> Reading:
    return replace(reading, targets=(column,))


def _is_sound(rows: Sequence[Chunk], reading: Reading, plan: Calculation, asked: Asked) -> bool:
    """True where the rows may be taken together: one column tells them apart (the one whose kind is named, else any),
    or nothing does, since each is an observation."""
    if not rows or (len(rows) < 2 and plan.operation != "count"):
        return False
    if reading.adds:
        return are_pieces(rows, reading, plan.column)
    others = [each for each in reading.table.columns if each != plan.column and (each.type == "text" or each.is_time)]
    telling = [each for each in others if len({str(row.metadata.get(each.name)) for row in rows}) == len(rows)]
    if plan.operation == "count" and not plan.of_rows:
        return True
    kinds = reading.table.kinds - {*plan.column.terms}
    if kinds & {*asked.terms} and len(told_by(rows, others)) == len(rows):
        return True  # "which match": the rows themselves
    if plan.operation in ("max", "min") and _is_of_the_noun(plan, asked):
        return False
    if plan.operation in ("max", "min") and _may_be_of_a_month(reading, plan, asked):
        return False
    if plan.operation == "sum" and reading.by_name and _are_events(rows, reading, plan):
        return True
    if plan.entities:
        if any(each in plan.entities for each in telling):
            return True
        # What each row is of is one of theirs: all lines of a budget are those of all its departments.
        if plan.operation == "sum":
            return any(each.type == "text" for each in telling)
        return plan.operation in ("max", "min") and (
            _are_readings(rows, reading, plan, asked) or _has_one_each(rows, reading, plan)
        )
    if plan.operation == "sum" and STOCKS & set(plan.column.terms) and telling and all(t.is_time for t in telling):
        return False
    if plan.operation in ("max", "min") and _are_readings(rows, reading, plan, asked):
        return True
    return bool(telling) or len(rows) < 2 or _are_observations(rows, others)


def _is_of_the_noun(plan: Calculation, asked: Asked) -> bool:
    """True for a number of guests where it is asked which guest is the oldest."""
    run, terms = group_asked(asked), {*plan.column.terms}
    named = {place for place, term in enumerate(asked.terms) if term in terms}
    return bool(asked.degree and named) and named <= {*run} and not terms & DEGREES.get(asked.degree, frozenset())


def _may_be_of_a_month(reading: Reading, plan: Calculation, asked: Asked) -> bool:
    """True for "which month had the highest attendance" of rows of days: that of one day, or of all its days."""
    asks = {asked.terms[place] for place in group_asked(asked)} & {"month", "quarter", "year"}
    daily = any(each.type == "date" and each.granularity == "day" for each in reading.table.columns)
    said = {*plan.column.terms} & _MEASURED or _SAYS_MEASURED & {*asked.words}
    return bool(asks) and daily and adds_up(plan.column) and not said


def _has_one_each(rows: Sequence[Chunk], reading: Reading, plan: Calculation) -> bool:
    """True for what is never added up, such as a price, where each thing has one in all of its rows, or where they
    tell no time, so that the rows are kinds of it: bags of rice."""
    if not (NOT_ADDED & {*plan.column.terms} or plan.column.is_rate or plan.column.is_time):
        return False
    things = [tuple(str(row.metadata.get(column.name)) for column in plan.entities) for row in rows]
    values = [str(row.metadata.get(plan.column.name)) for row in rows]
    timeless = not any(column.is_time for column in reading.table.columns if column is not plan.column)
    return timeless or len(set(things)) == len(set(zip(things, values, strict=True)))


def _are_readings(rows: Sequence[Chunk], reading: Reading, plan: Calculation, asked: Asked) -> bool:
    """True where each thing was measured several times, so that the highest of all readings is its: a level or the
    like, or the question says so ("recorded"). What can be added up (sales of several days) may be meant as a sum."""
    times = [column for column in reading.table.columns if column.is_time]
    things = plan.entities or tuple(column for column in reading.table.columns if column.type == "text")
    told = {tuple(str(row.metadata.get(column.name)) for column in (*things, *times)) for row in rows}
    measured = (_MEASURED & set(plan.column.terms)) or plan.column.is_rate or (_SAYS_MEASURED & set(asked.words))
    return bool(times) and len(told) == len(rows) and bool(measured)


def _are_events(rows: Sequence[Chunk], reading: Reading, plan: Calculation) -> bool:
    """True where each row is of a day, and of one thing or another on it: what was counted then adds up."""
    texts = [column for column in reading.table.columns if column.type == "text" and not column.figures]
    days = [column for column in reading.table.columns if column.type == "date" and column.granularity == "day"]
    if not days or STOCKS & {*plan.column.terms} or {*plan.column.terms} <= NEUTRAL:
        return False
    if any("unit" in column.terms for column in texts):
        return False  # of several units
    return len(told_by(rows, [*texts, *days])) == len(rows)


def _are_observations(rows: Sequence[Chunk], columns: Sequence[Column]) -> bool:
    """True where rows repeat each other in all that names them: no table of a value for each of several things."""
    names = [column.name for column in columns if not (column.figures or column.is_code)]
    told = {tuple(str(row.metadata.get(name)) for name in names) for row in rows}
    return len(told) < len(rows)


def _told(
    reading: Reading, plan: Calculation, total: ColumnTotals, rows: Sequence[Chunk], threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    operation, column = plan.operation, plan.column
    confidence = round(TABLE_CALCULATED * (0.6 + 0.4 * reading.exactness), 4)
    if confidence < threshold:
        return failure("low_confidence", threshold, reading, confidence=confidence)
    value = {"max": total.greatest, "min": total.least, "sum": total.sum, "mean": total.mean}.get(operation)
    filled = rows if operation == "count" else [row for row in rows if row.metadata.get(column.name) is not None]
    first, things = list(filled), frozenset[str]()
    if operation in ("max", "min"):
        first = [row for row in filled if _number(row.metadata.get(column.name)) == value]
        if not first:
            return None
        if plan.entities and not _told_apart(first, plan):
            # A price that is said again in every order is one price.
            once = {tuple(row.metadata.get(each.name) for each in plan.entities): row for row in reversed(first)}
            first, things = list(reversed(once.values())), frozenset(each.name for each in plan.entities)
    cited = [*first, *(row for row in filled if row not in first)] if operation in ("max", "min") else first
    cells = [Cell(reading, row, column) for row in cited[:CITED]]
    texts = yield from texts_of(cells)
    for cell in cells:
        cell.source = source_of(cell.chunk, texts)
    over = f"{_NAMES[operation]} of {len(filled)} rows"
    if operation in ("max", "min") and len(first) > LISTED:
        answer = f"{written(cells[0], column)} ({column.name}, in {len(first)} rows): {over}"
    elif operation in ("max", "min"):
        answer = "; ".join(worded(cell, cells, False, things) for cell in cells[: len(first)]) + f": {over}"
    elif operation == "count":
        answer = f"{total.rows} (number of rows)" if plan.of_rows else f"{total.distinct} ({column.name}, {over})"
    else:
        assert value is not None
        answer = f"{written_number(value, rows, column)} ({operation} of {column.name} over {len(filled)} rows)"
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
    more = f"{len(filled)} rows were counted, of which the first {CITED} are cited"
    without = f"{len(rows) - len(filled)} of {len(rows)} rows have no {column.name} and are left out"
    return GroundedAnswer(
        answer=answer,
        citations=tuple(citations),
        confidence=confidence,
        threshold=threshold,
        mode="table",
        signals={"rows": float(total.rows), "exactness": reading.exactness},
        applied_filters=(dict(reading.applied()),),
        warnings=(more,) * (len(filled) > CITED) + (without,) * (len(filled) < len(rows)),
    )


def _told_apart(rows: Sequence[Chunk], plan: Calculation) -> bool:
    return len({tuple(row.metadata.get(each.name) for each in plan.entities) for row in rows}) == len(rows)


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


def written_number(value: Decimal, rows: Sequence[Chunk], column: Column) -> str:
    """A computed number with the separators and the unit of the cells, at most four decimals beyond what is whole."""
    cells = [str(row.metadata.get(column.name)) for row in rows]
    rounded = format(round(value, 4), "f")
    if "." in rounded:
        rounded = rounded.rstrip("0").rstrip(".")
    if any("," in cell for cell in cells):
        whole, point, decimals = rounded.partition(".")
        rounded = f"{int(whole):,}{point}{decimals}"
    return f"{rounded} %" if all("%" in cell for cell in cells) else rounded
