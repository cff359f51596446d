"""The highest, the lowest, the sum, the mean and the number of rows: computed by the database, every row cited.

A calculation is made only where its rows differ in one thing, of which the question may name the kind ("which state"),
or where they are single observations, of which nothing but their number tells one from the other (a penguin, a bill):
rows of a whole ("overall", "both") are left out of their parts, and where a part is left open (men or women) there is
no answer. Rows without a value are left out and told of.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.cells import Cell, failure, texts_of, worded
from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.confidence import TABLE_CALCULATED
from rag_pgvector.answer.evidence import cite, source_of
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.rows import documents_of, is_plain, is_whole, key_of, select
from rag_pgvector.answer.steps import Step, Totals
from rag_pgvector.answer.targets import measures_named
from rag_pgvector.answer.types import Citation, GroundedAnswer
from rag_pgvector.answer.vocabulary import CALCULATIONS, NEUTRAL, PERSONS, RATES, SUBJECTS, words
from rag_pgvector.totals import ColumnTotals
from rag_pgvector.types import Chunk

__all__ = ["calculate"]

#: Rows cited at most; a warning tells of more.
CITED = 50
#: Calculations told together at most.
TOLD = 4
#: What makes no sense when added up.
_NOT_ADDED = RATES | frozenset("mean median index price gini size temperature minimum maximum cpi ppi humidity".split())
#: What there is at a time: not added up over several.
_STOCKS = frozenset(
    "population employment unemployment debt density area capacity stock household student teacher school bed balance "
    "value capital level".split()
) | {"labour force"}
#: Words after which stands what is counted.
_MANY = frozenset("many of ramai banyak bilangan".split())
_NAMES = {"max": "highest", "min": "lowest", "sum": "sum", "mean": "mean", "count": "number"}


def calculate(
    readings: Sequence[Reading], asked: Asked, filter: Mapping[str, Any] | None, threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    """The answer to a question for a calculation, or ``None`` where none of the tables can give it."""
    told: list[tuple[Reading, GroundedAnswer]] = []
    left: list[Reading] = []
    for reading in readings:
        if told and reading.rank != told[0][0].rank:
            break
        if reading.absent_time or reading.negated or reading.mismatch or any(reading.lookups.values()):
            continue
        found: list[GroundedAnswer] = []
        plans = _planned(reading, asked)
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
    return _warned(_together(told, several_tables=several), others)


def _calculated(
    reading: Reading, plan: _Plan, asked: Asked, filter: Mapping[str, Any] | None, threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    operation, column = plan.operation, plan.column
    selected = yield from select(reading, asked, filter, all_rows=True)
    if not selected.rows:
        return None
    rows, clauses = _parts(selected.rows, reading, plan.entities)
    if not _is_sound(rows, reading, plan):
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


def _together(told: Sequence[tuple[Reading, GroundedAnswer]], *, several_tables: bool) -> GroundedAnswer:
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


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to calculate over which column, and the columns whose kind the question names."""

    operation: str
    column: Column
    entities: tuple[Column, ...]
    #: A number of rows is asked for, not of the column's different values.
    of_rows: bool = False


def _planned(reading: Reading, asked: Asked) -> list[_Plan]:
    """The calculations that a question asks for, several for "the highest level and capacity"; none for a look-up."""
    free = [column for column in reading.table.columns if column.name not in reading.conditions]
    heard = set(asked.terms) - NEUTRAL
    entities = tuple(
        column
        for column in free
        if column.type == "text" and not (column.figures or column.is_code) and heard & set(column.terms)
    )
    kinds = {term for column in entities for term in column.terms}
    places = {place for place, term in enumerate(asked.terms) if term in kinds}
    measures = [column for column in reading.targets if column.is_measure] or measures_named(reading, asked)
    named = {place for column in measures for place, term in enumerate(asked.terms) if term in column.terms}
    operations = {place: how for place, how in asked.operations.items() if place not in named}
    rest = reading.leftover - places - named
    subjects = {place for place, word in enumerate(asked.words) if word in SUBJECTS}
    if not operations and (totalled := asked.totalled - named):
        operations = dict.fromkeys(totalled, "sum")
        if not _tells_of_persons(reading):  # "jumlah penduduk" is no sum of prices
            rest |= subjects
    rest -= set(operations)
    if asked.wants == "count" and not operations:
        rest -= subjects
    if rest or any(asked.words[place] in CALCULATIONS for place in asked.content - named - set(operations)):
        return []
    hows = set(operations.values())
    if len(hows) == 1 and (len(measures) == 1 or _each_named(measures, asked)):
        how = hows.pop()
        if how == "sum" and any(_NOT_ADDED & set(column.terms) or column.is_rate for column in measures):
            return []
        return [_Plan(how, column, entities) for column in measures]
    if hows or asked.wants != "count" or any(column.is_measure for column in reading.targets if reading.by_name):
        return []
    counted = next((place + 1 for place, word in enumerate(asked.words) if word in _MANY), 0)
    if entities and not places & {counted, counted + 1}:
        # "How many work remotely" does not ask how many values the column "remote" has.
        return []
    if len(entities) == 1 and all(column in entities for column in reading.targets if reading.by_name):
        about = reading.conditions or reading.by_table or set(entities[0].terms) & reading.table.terms
        return [_Plan("count", entities[0], entities)] if about else []
    rows = _rows_counted(reading, asked) if not entities else None
    return [] if rows is None else [rows]


def _each_named(columns: Sequence[Column], asked: Asked) -> bool:
    """True where "and" joins the columns, and each is named by a word that is not another's."""
    others = [{term for other in columns if other is not column for term in other.terms} for column in columns]
    own = [set(column.terms) & set(asked.terms) - names for column, names in zip(columns, others, strict=True)]
    return bool({"and", "dan", "serta"} & set(asked.words)) and len(columns) > 1 and all(own)


def _rows_counted(reading: Reading, asked: Asked) -> _Plan | None:
    """The number of rows, where the table's own name says what its rows are ("how many penguins"), or they are persons
    and persons are counted."""
    held = {place for span in reading.spans.values() for place in span} | asked.time_words
    kinds = {term for column in reading.table.columns if column.name in reading.conditions for term in column.terms}
    counted = {place for place in asked.content if place not in held and asked.terms[place] not in kinds}
    persons = _tells_of_persons(reading)
    rows_are = reading.table.terms | reading.table.kinds
    by_name = bool(counted) and all(asked.terms[place] in rows_are for place in counted)
    by_person = persons and any(asked.words[place] in SUBJECTS for place in counted)
    if not (by_name or (by_person and all(asked.words[place] in SUBJECTS for place in counted))):
        return None
    column = next((column for column in reading.table.columns if column.name not in reading.conditions), None)
    return None if column is None else _Plan("count", column, (), of_rows=True)


def _tells_of_persons(reading: Reading) -> bool:
    return any(PERSONS & {*column.terms, *words(column.name)} for column in reading.table.columns)


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


def _is_sound(rows: Sequence[Chunk], reading: Reading, plan: _Plan) -> bool:
    """True where the rows may be taken together: one column tells them apart (the one whose kind is named, else any),
    or nothing does, since each is an observation."""
    if not rows or (len(rows) < 2 and plan.operation != "count"):
        return False
    others = [each for each in reading.table.columns if each != plan.column and (each.type == "text" or each.is_time)]
    telling = [each for each in others if len({str(row.metadata.get(each.name)) for row in rows}) == len(rows)]
    if plan.operation == "count" and not plan.of_rows:
        return True
    if plan.entities:
        return any(each in plan.entities for each in telling)
    if plan.operation == "sum" and _STOCKS & set(plan.column.terms) and telling and all(t.is_time for t in telling):
        return False
    return bool(telling) or len(rows) < 2 or _are_observations(rows, others)


def _are_observations(rows: Sequence[Chunk], columns: Sequence[Column]) -> bool:
    """True where rows repeat each other in all that names them: no table of a value for each of several things."""
    names = [column.name for column in columns if not (column.figures or column.is_code)]
    told = {tuple(str(row.metadata.get(name)) for name in names) for row in rows}
    return len(told) < len(rows)


def _told(
    reading: Reading, plan: _Plan, total: ColumnTotals, rows: Sequence[Chunk], threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    operation, column = plan.operation, plan.column
    confidence = round(TABLE_CALCULATED * (0.6 + 0.4 * reading.exactness), 4)
    if confidence < threshold:
        return failure("low_confidence", threshold, reading, confidence=confidence)
    value = {"max": total.greatest, "min": total.least, "sum": total.sum, "mean": total.mean}.get(operation)
    filled = rows if operation == "count" else [row for row in rows if row.metadata.get(column.name) is not None]
    first = list(filled)
    if operation in ("max", "min"):
        first = [row for row in filled if _number(row.metadata.get(column.name)) == value]
        if not first:
            return None
    cited = [*first, *(row for row in filled if row not in first)] if operation in ("max", "min") else first
    cells = [Cell(reading, row, column) for row in cited[:CITED]]
    texts = yield from texts_of(cells)
    for cell in cells:
        cell.source = source_of(cell.chunk, texts)
    over = f"{_NAMES[operation]} of {len(filled)} rows"
    if operation in ("max", "min"):
        answer = "; ".join(worded(cell, cells, False) for cell in cells[: len(first)]) + f": {over}"
    elif operation == "count":
        answer = f"{total.rows} (number of rows)" if plan.of_rows else f"{total.distinct} ({column.name}, {over})"
    else:
        assert value is not None
        answer = f"{_written(value, rows, column)} ({operation} of {column.name} over {len(filled)} rows)"
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
