"""Groups of rows, ranked: the sums are computed by the database, one for each group, and the rows are cited.

A sum is only one where every row adds something of its own. Refused are figures of one thing (ages, prices, levels),
what there is at a time over several times, figures that repeat what another column says (the total of an order on each
of its lines), rows of parts beside rows of their whole, and months of which there are several of one name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from rag_pgvector.answer.adding import STOCKS, adds_up, has_empty_wholes, has_units, parts_of, repeats, told_by
from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.calculate import CITED, TOLD, together, written_number
from rag_pgvector.answer.cells import Cell, failure, texts_of
from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.confidence import TABLE_CALCULATED
from rag_pgvector.answer.evidence import cite, source_of
from rag_pgvector.answer.groups import Ranking, ranking_of
from rag_pgvector.answer.periods import date_of
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.rows import LISTED, Selected, documents_of, is_whole, select
from rag_pgvector.answer.steps import Step, Totals
from rag_pgvector.answer.types import GroundedAnswer
from rag_pgvector.totals import ColumnTotals
from rag_pgvector.types import Chunk
from rag_pgvector.written import is_missing

__all__ = ["rank"]

#: Figures called so, and no more, may be of anything.
_ANY = frozenset("value figure number statistic data index nilai angka".split())
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_NAMES = {"max": "highest", "min": "lowest"}
Groups = Mapping[str, list[Chunk]]


def rank(
    readings: Sequence[Reading], asked: Asked, filter: Mapping[str, Any] | None, threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    """The answer to a question for the group with the most of something; a failure where it cannot be told; ``None``
    where no such thing is asked for, or every group has one row."""
    found: list[tuple[Reading, GroundedAnswer]] = []
    refused: GroundedAnswer | None = None
    for reading in readings:
        if reading.absent_time or reading.negated or reading.mismatch or any(reading.lookups.values()):
            continue
        plan = ranking_of(reading, asked)
        if plan is None:
            continue
        selected = yield from select(reading, asked, filter, all_rows=True)
        answered = yield from _ranked(selected, reading, plan, threshold)
        if answered is not None and answered.answer is not None:
            found.append((reading, answered))
        else:
            refused = refused or answered
    if refused is not None or len(found) > TOLD:
        return refused or failure("low_confidence", threshold, found[0][0])
    return together(found, several_tables=True) if len(found) > 1 else found[0][1] if found else None


def _ranked(
    selected: Selected, reading: Reading, plan: Ranking, threshold: float
) -> Generator[Step, Any, GroundedAnswer | None]:
    nothing = failure("low_confidence", threshold, reading)
    if not selected.rows:
        return nothing
    rows, clauses = parts_of(selected.rows, reading, (plan.group,))
    groups = _grouped(rows, plan)
    if groups and all(len(each) == 1 for each in groups.values()):
        return None  # the highest of the rows is the highest of the groups
    if (
        len(groups) < 2
        or not _is_sound(groups, reading, plan)
        or (plan.operation == "min" and _lacks_some(groups, plan, reading))
    ):
        return nothing
    where = {"$and": [*([selected.filter] if selected.filter else []), *clauses]}
    totals = yield from _totals(groups, reading, plan, where if where["$and"] else None)
    if totals is None or len(totals) < 2 or (plan.how == "sum" and _has_a_whole(totals, reading)):
        return nothing
    best = (max if plan.operation == "max" else min)(totals.values())
    first = [name for name, total in totals.items() if total == best]
    if len(first) > LISTED:
        return nothing
    return (yield from _told(first, best, groups, rows, reading, plan, threshold))


def _grouped(rows: Sequence[Chunk], plan: Ranking) -> dict[str, list[Chunk]]:
    """The rows by group, without those that tell none."""
    groups: defaultdict[str, list[Chunk]] = defaultdict(list)
    for row in rows:
        value = row.metadata.get(plan.group.name)
        name = "" if value is None or is_missing(str(value)) else str(value)
        if name and plan.part not in ("", "own", "date"):
            date = date_of(value, plan.group.form)
            name = _part_of(date, plan.part) if date else ""
        if name:
            groups[name].append(row)
    return dict(groups)


def _lacks_some(groups: Groups, plan: Ranking, reading: Reading) -> bool:
    """True where there may be a group with nothing, which no row tells of: it would be the lowest."""
    if plan.part in ("", "own"):
        named = [
            each for each in plan.group.distinct or () if not (is_missing(str(each)) or is_whole(each, reading.home))
        ]
        return not named or not {*map(str, named)} <= {*groups}
    if plan.part == "date":
        return True
    dates = [date for rows in groups.values() for row in rows if (date := _date(row, plan))]
    length = {"month": 1, "quarter": 3, "year": 12}[plan.part]
    parts = [(12 * year + month - 1) // length for year, month, _ in dates]
    return len({*parts}) < max(parts) - min(parts) + 1


def _date(row: Chunk, plan: Ranking) -> tuple[int, int, int] | None:
    return date_of(row.metadata.get(plan.group.name), plan.group.form)


def _part_of(date: tuple[int, int, int], part: str) -> str:
    year, month, _ = date
    names = {"month": f"{_MONTHS[month - 1]} {year}", "quarter": f"Q{(month + 2) // 3} {year}"}
    return names.get(part, str(year))


def _is_sound(groups: Groups, reading: Reading, plan: Ranking) -> bool:
    """True where the rows of each group may be added up, or counted."""
    rows = [row for each in groups.values() for row in each]
    columns = [each for each in reading.table.columns if each.name not in reading.conditions or each.is_time]
    texts = [each for each in columns if each.type == "text" and not each.figures and each.name != plan.group.name]
    if (
        has_units(rows, texts)
        or len(told_by(rows, reading.table.columns)) < len(rows)
        or has_empty_wholes(rows, texts, columns)
    ):
        return False
    if not _is_of_the_time(rows, columns, plan):
        return False
    if plan.how == "mean":
        return _may_be_averaged(rows, columns, plan)
    if plan.how != "sum":
        once = all(len(told_by(each, [plan.column])) == len(each) for each in groups.values())
        # An order has several lines; a patient who came twice may be meant twice.
        return plan.how == "rows" or once or (plan.column.is_code and plan.part in ("", "own"))
    terms = {*plan.column.terms}
    if not adds_up(plan.column) or (terms <= _ANY and not plan.column.is_money):
        return False
    if terms & STOCKS:
        things = [each for each in texts if not each.is_code and (each.distinct_count or 0) < len(rows)]
        if len(told_by(rows, [plan.group, *things])) < len(rows):
            return False  # of one thing at several times
    return not any(repeats(rows, plan.column, each) for each in columns if each not in (plan.column, plan.group))


def _may_be_averaged(rows: Sequence[Chunk], columns: Sequence[Column], plan: Ranking) -> bool:
    """True for a figure of each row: no share of something, no mean already, and no other column's."""
    column = plan.column
    if column.is_rate or {"mean", "median"} & {*column.terms} or ({*column.terms} <= _ANY and not column.is_money):
        return False
    return not any(repeats(rows, column, each) for each in columns if each not in (column, plan.group))


def _is_of_the_time(rows: Sequence[Chunk], columns: Sequence[Column], plan: Ranking) -> bool:
    """True where the rows are of days, or of one time, or their times are what is compared; months, where a sum is
    asked for by name."""
    dates = [each for each in columns if each.type == "date"]
    years = [each for each in columns if each.type == "year" and each.terms == ("year",)]
    if plan.part in ("month", "quarter", "own"):
        told = {date[0] for each in dates for row in rows if (date := date_of(row.metadata.get(each.name), each.form))}
        if len(told) > 1 or any(len(told_by(rows, [each])) > 1 for each in years if each is not plan.group):
            return False  # "which month": of every year, or of one?
    if plan.part:
        rough = {"month": ("quarter", "year"), "quarter": ("year",), "date": ("month", "quarter", "year")}
        return plan.group.type != "date" or plan.group.granularity not in rough.get(plan.part, ())
    if any(each.granularity == "day" for each in dates):
        return True
    coarse = [each for each in dates if len(told_by(rows, [each])) > 1]
    if any(len(told_by(rows, [each])) > 1 for each in years if each is not plan.group):
        return False
    return not coarse or (plan.explicit and all(each.granularity in ("month", "quarter") for each in coarse))


def _totals(
    groups: Groups, reading: Reading, plan: Ranking, filter: Mapping[str, Any] | None
) -> Generator[Step, Any, dict[str, Decimal] | None]:
    """What each group comes to; ``None`` where the database's rows are not those that are cited."""
    rows = [row for each in groups.values() for row in each]
    raw = sorted({str(row.metadata[plan.group.name]) for row in rows})
    documents = documents_of(reading.table.document)
    told: Mapping[str | None, ColumnTotals] = yield Totals(documents, plan.column.name, filter, plan.group.name)
    if any(name not in told for name in raw) or sum(told[name].rows for name in raw) != len(rows):
        return None
    found: dict[str, Decimal] = {}
    for name, members in groups.items():
        parts = [told[value] for value in {str(row.metadata[plan.group.name]) for row in members}]
        if sum(part.rows for part in parts) != len(members):
            return None
        if plan.how in ("sum", "mean"):
            if any(part.numbers != part.filled for part in parts):
                return None
            sums = [part.sum for part in parts if part.sum is not None]
            if sums and plan.how == "mean":
                found[name] = sum(sums, Decimal()) / sum(part.numbers for part in parts)
            elif sums:
                found[name] = sum(sums, Decimal())
        elif plan.how == "distinct" and len(parts) == 1:
            found[name] = Decimal(parts[0].distinct)
        else:
            found[name] = Decimal(len(members))
    return found


def _has_a_whole(totals: Mapping[str, Decimal], reading: Reading) -> bool:
    """True where one group comes to as much as all others together: it is their total, unless each row is an order or
    the like."""
    if reading.table.kinds:
        return False
    highest, everything = max(totals.values()), sum(totals.values(), Decimal())
    rest = everything - highest
    return len(totals) > 2 and rest != 0 and abs(highest - rest) <= abs(rest) / 1_000


def _told(
    first: Sequence[str],
    best: Decimal,
    groups: Groups,
    rows: Sequence[Chunk],
    reading: Reading,
    plan: Ranking,
    threshold: float,
) -> Generator[Step, Any, GroundedAnswer]:
    confidence = round(TABLE_CALCULATED * (0.6 + 0.4 * reading.exactness), 4)
    if confidence < threshold:
        return failure("low_confidence", threshold, reading, confidence=confidence)
    column, counted = plan.column, [row for name in first for row in groups[name]]
    others = [row for name, each in groups.items() if name not in first for row in each]
    cells = [Cell(reading, row, column) for row in [*counted, *others][:CITED]]
    texts = yield from texts_of(cells)
    figures = plan.how in ("sum", "mean")
    numbers = {"rows": "number of rows", "distinct": f"number of {column.name}"}
    of_what = numbers.get(plan.how, f"{plan.how} of {column.name}")
    figure = written_number(best, rows, column) if figures else str(best)
    filled = {name: sum(row.metadata.get(column.name) is not None for row in groups[name]) for name in first}
    over = {name: f" over {filled[name]} rows" if figures else "" for name in first}
    told = "; ".join(f"{name}: {figure} ({of_what}{over[name]})" for name in first)
    answer = f"{told}: {_NAMES[plan.operation]} of {len(groups)}"
    columns = tuple(dict.fromkeys([*reading.conditions, plan.group.name, *([column.name] * (plan.how != "rows"))]))
    sources = [source_of(cell.chunk, texts) for cell in cells]
    cited = tuple(
        cite(cell.chunk, source, source.start, source.end, answer_span=(0, len(answer)), columns=columns)
        for cell, source in zip(cells, sources, strict=True)
    )
    everything = len(counted) + len(others)
    empty = sum(row.metadata.get(column.name) is None for row in [*counted, *others]) if figures else 0
    warnings = (
        (everything > CITED, f"{everything} rows were counted, of which the first {CITED} are cited"),
        (everything < len(rows), f"{len(rows) - everything} of {len(rows)} rows have no {plan.group.name}"),
        (empty > 0, f"{empty} of {everything} rows have no {column.name} and are left out"),
    )
    return GroundedAnswer(
        answer=answer,
        citations=cited,
        confidence=confidence,
        threshold=threshold,
        mode="table",
        signals={"rows": float(everything), "exactness": reading.exactness, "groups": float(len(groups))},
        applied_filters=(dict(reading.applied()),),
        warnings=tuple(warning for holds, warning in warnings if holds),
    )
