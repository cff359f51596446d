"""Answers from the cells of tables. No language model, and never the nearest row: the one asked for, or none.

The column profiles of all tables are read against the question (``tabular``); of the tables that account for every
word of it, the rows are fetched by exact conditions and the cells are quoted with their rows. What is asked for and
absent (a year, a place, an indicator) is a reason to abstain.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from rag_pgvector.answer.asked import Asked, read_asked
from rag_pgvector.answer.calculate import calculate
from rag_pgvector.answer.cells import Cell, citations, columns_of, failure, texts_of, worded
from rag_pgvector.answer.columns import Column, Table
from rag_pgvector.answer.confidence import TABLE_CONFIDENCE, TABLE_LIST_CONFIDENCE, TABLE_SOFT
from rag_pgvector.answer.evidence import cite, source_of
from rag_pgvector.answer.ranking import rank
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.residue import resolve
from rag_pgvector.answer.rows import LISTED, documents_of, in_order, is_plain, is_whole, key_of, select
from rag_pgvector.answer.steps import Rows, Step
from rag_pgvector.answer.tabular import read
from rag_pgvector.answer.types import Citation, GroundedAnswer
from rag_pgvector.answer.vocabulary import canonical, words
from rag_pgvector.types import Chunk, Document

__all__ = ["look_up"]

_COINS = frozenset("money ringgit dollars euros pounds".split())
#: Tables whose rows are fetched for one question.
TABLES = 6
#: A word that stands for the place that all tables are about.
_HOMES = {"malaysia": frozenset({"malaysia", "malaysian"}), "indonesia": frozenset({"indonesia", "indonesian"})}
_STATES_OF_MALAYSIA = frozenset(
    "johor kedah kelantan melaka pahang perak perlis sabah sarawak selangor terengganu putrajaya labuan".split()
) | {"negeri sembilan", "pulau pinang", "kuala lumpur"}


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
    readings.sort(key=lambda each: (each.rank, each.table.document.source, each.table.document.id))
    counted = any(
        each.by_name and any(column.is_measure and not _is_of_a_key(column, each, asked) for column in each.targets)
        for each in _full(readings)
    )
    counts = asked.wants == "count" and not counted
    pieces = any(each.adds for each in readings)
    if asked.operations or asked.totalled or counts or pieces:
        ranked = yield from rank(readings, asked, filter, threshold)
        if ranked is not None:
            return ranked
        calculated = yield from calculate(readings, asked, filter, threshold)
        if calculated is not None:
            return calculated
    cells = yield from _found(_full(readings), asked, filter)
    if cells is not None and not cells and (soft := (yield from resolve(readings, asked))):
        cells = yield from _found(_full(soft), asked, filter)
        if cells and len(cells) > 1:
            # Rows of several kinds: the word that is not understood may well have said which.
            return failure("insufficient_evidence", threshold, cells[0].reading)
    if cells is None:
        return None if not readings[0].by_name else failure("low_confidence", threshold, readings[0])
    if not cells:
        return (yield from _absent(readings, asked, filter, threshold))
    told = cells[0].reading.explained
    unsaid = asked.operations.keys() - told if cells[0].reading.by_name else frozenset()
    if (
        asked.calculates & frozenset(asked.content - told)
        or unsaid
        or len(cells) > (1 if pieces else LISTED)
        or (counts and not all(_is_number_of(cell.column, cell.reading, asked) for cell in cells))
        or (
            (len(cells) > 1 or _is_of_one(cells[0].column) or cells[0].column.is_code) and _asks_for_a_sum(asked, cells)
        )
    ):
        misses = yield from citations(cells[:3], 3)
        return failure("low_confidence", threshold, cells[0].reading, near_misses=misses)
    if len(cells) > 1 and not all(each.reading.conditions for each in cells):
        return None
    return (yield from _answer(cells, threshold))


def _asks_for_a_sum(asked: Asked, cells: Sequence[Cell]) -> bool:
    """True where "total" is said and no value or column is called so."""
    names = {term for cell in cells for term in cell.column.terms}
    told = cells[0].reading.explained
    return any(asked.terms[place] not in names for place in asked.totalled - told)


def _is_of_a_key(column: Column, reading: Reading, asked: Asked) -> bool:
    """True for an "Order Total" where orders are asked for, which an "Order ID" numbers."""
    said = {*column.terms} & {*asked.terms}
    keys = [each for each in reading.table.columns if each.is_code and each is not column and said <= {*each.terms}]
    return bool(said and keys) and said != {*column.terms}


def _is_number_of(column: Column, reading: Reading, asked: Asked) -> bool:
    """True for a column that tells how many; money does only where it is asked for."""
    if _is_of_a_key(column, reading, asked):
        return False
    named = ({*column.terms} | _COINS) & {*asked.terms, *asked.words}
    return column.is_measure and bool(named or not column.is_money)


def _is_of_one(column: Column) -> bool:
    """True for a price of one piece, which is no total."""
    return "price" in column.terms and bool({"unit", "each", "per", "seunit"} & {*words(column.name)})


def _full(readings: Sequence[Reading]) -> list[Reading]:
    """Those that account for every word, or may once the rows are read."""
    return [
        each
        for each in readings
        if not (each.absent_time or each.negated or each.mismatch) and (not each.leftover or each.lookups)
    ]


def _found(
    full: Sequence[Reading], asked: Asked, filter: Mapping[str, Any] | None
) -> Generator[Step, Any, list[Cell] | None]:
    """The cells of the best readings; ``None`` where one has too many rows to tell."""
    found: list[tuple[Reading, list[Chunk]]] = []
    for reading in full[:TABLES]:
        if found and reading.rank[:3] > found[0][0].rank[:3]:
            break
        rows = (yield from select(reading, asked, filter)).rows
        if rows is None:
            return None
        if rows and not reading.leftover:
            found.append((reading, rows))
    return _cells(found, asked.digits)


def _home(tables: Sequence[Table]) -> frozenset[str]:
    """The country that the tables are about, where they say so: by name, or by the names of its states."""
    for country, names in _HOMES.items():
        for table in tables:
            if country in table.terms:
                return names
            for column in table.columns:
                if column.type != "text" or column.distinct is None or column.lists_countries:
                    continue
                values = {" ".join(canonical(str(value))) for value in column.distinct[:200]}
                if country in values or (country == "malaysia" and len(values & _STATES_OF_MALAYSIA) >= 5):
                    return names
    return frozenset()


def _cells(found: Sequence[tuple[Reading, list[Chunk]]], digits: int = 0) -> list[Cell]:
    """The cells that answer, of the tables with the fewest; a text that repeats counts once."""
    if not found:
        return []
    by_table = []
    for reading, rows in found:
        cells = [
            Cell(reading, row, column)
            for row in rows
            for column in reading.targets
            if (value := row.metadata.get(column.name)) is not None
            and not (reading.code and (is_whole(value) or (digits and len(str(value)) != digits)))
        ]
        if reading.targets and not any(column.is_measure for column in reading.targets):
            once = {(cell.column.name, str(cell.chunk.metadata[cell.column.name])): cell for cell in reversed(cells)}
            cells = list(reversed(once.values()))
        if cells:
            by_table.append(cells)
    fewest = min(map(len, by_table), default=0)
    if fewest > LISTED:
        return by_table[0] if len(by_table[0]) == fewest else next(each for each in by_table if len(each) == fewest)
    chosen = [cells for cells in by_table if len(cells) == fewest]
    for reading in (cells[0].reading for cells in chosen):
        more = [cells[0].reading for cells in by_table if len(cells) > fewest]
        reading.also |= {each.table.document.source for each in more if _asked_of(each) == _asked_of(reading)}
    return [cell for cells in chosen for cell in cells]


def _asked_of(reading: Reading) -> tuple[Any, ...]:
    """What is asked of a table: equal where two tables answer one question, as far as their columns tell."""
    conditions = sorted((name, sorted(map(str, values))) for name, values in reading.conditions.items())
    return (*reading.rank, repr(conditions), tuple(column.name for column in reading.targets))


def _absent(
    readings: Sequence[Reading], asked: Asked, filter: Mapping[str, Any] | None, threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    """The failure to report where a table is what the question is about but lacks what it asks for."""
    about = [each for each in readings if each.by_name or each.by_table]
    if not about:
        return None
    best = min(about, key=lambda each: (-len(asked.content & each.explained), *each.rank))
    known = len(asked.content & best.explained)
    anchored = bool(best.conditions) or bool(asked.periods)
    if not anchored or known == 0 or known < len(asked.content) / 2:
        return None
    entities = {name: values for name, values in best.conditions.items() if name not in best.time and is_plain(name)}
    clauses = [{key_of(name): {"$in": list(values)}} for name, values in entities.items()]
    if filter is not None:
        clauses.append(dict(filter))
    where: Mapping[str, Any] | None = None if not clauses else {"$and": clauses} if len(clauses) > 1 else clauses[0]
    rows: list[Chunk] = yield Rows(documents_of(best.table.document), where, 3)
    cells = [Cell(best, row, best.targets[0]) for row in sorted(rows, key=in_order)]
    misses = yield from citations(cells, 3)
    return failure("insufficient_evidence", threshold, best, near_misses=misses)


def _answer(cells: list[Cell], threshold: float) -> Generator[Step, Any, GroundedAnswer]:
    several_tables = len({id(cell.reading) for cell in cells}) > 1
    texts = yield from texts_of(cells)
    for cell in cells:
        cell.source = source_of(cell.chunk, texts)
        cell.text = worded(cell, cells, several_tables)
    values = {cell.chunk.metadata.get(cell.column.name) for cell in cells}
    also = sorted({source for cell in cells for source in cell.reading.also})
    entries: list[str] = []
    cited: list[Citation] = []
    at = 0
    for cell in cells:
        assert cell.source is not None
        if cell.text in entries and not several_tables:
            continue
        entries.append(cell.text)
        cited.append(
            cite(
                cell.chunk,
                cell.source,
                cell.source.start,
                cell.source.end,
                answer_span=(at, at + len(cell.text)),
                columns=columns_of(cell),
            )
        )
        at += len(cell.text) + len("; ")
    reading = cells[0].reading
    confidence = TABLE_CONFIDENCE if len(values) == 1 else TABLE_LIST_CONFIDENCE
    if any(cell.reading.soft for cell in cells):
        confidence = min(confidence, TABLE_SOFT)
    confidence = round(confidence * (0.6 + 0.4 * min(cell.reading.exactness for cell in cells)), 4)
    if confidence < threshold:
        misses = yield from citations(cells[:3], 3)
        return failure("low_confidence", threshold, reading, near_misses=misses, confidence=confidence)
    return GroundedAnswer(
        answer="; ".join(entries),
        citations=tuple(cited),
        confidence=confidence,
        threshold=threshold,
        mode="table",
        signals={
            "rows": float(len(cells)),
            "exactness": reading.exactness,
            "other_words": float(len(reading.soft)),
        },
        applied_filters=tuple(
            dict(each.applied()) for each in {id(cell.reading): cell.reading for cell in cells}.values()
        ),
        warnings=(
            *("several rows are what was asked for",) * (len(values) > 1),
            *(f"several rows have it in {source}, too" for source in also[:TABLES]),
        ),
    )
