"""What a column of a table's rows comes to, computed by the database from the rows' metadata."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from psycopg import sql

from rag_pgvector.plan import Execute, Plan
from rag_pgvector.read import Where
from rag_pgvector.table import Table

__all__ = ["ColumnTotals", "totals", "totals_by"]


@dataclass(frozen=True, slots=True)
class ColumnTotals:
    """One column over some rows.

    Attributes:
        rows: Rows, one for each place in a document, however many chunks it was divided into.
        filled: Rows with a value in the column.
        numbers: Rows whose value is a number; "1,234", "RM 12" and "12 %" are.
        distinct: Different values.
        sum: Of the numbers, exact; with the others ``None`` where there is no number.
        mean: Of the numbers.
        least: Of the numbers.
        greatest: Of the numbers.
    """

    rows: int
    filled: int
    numbers: int
    distinct: int
    sum: Decimal | None
    mean: Decimal | None
    least: Decimal | None
    greatest: Decimal | None


_TOTALS = sql.SQL(
    """WITH cells AS (
    SELECT DISTINCT ON ({document}, {row}) {json} ->> %s::text AS cell, {json} ->> %s::text AS kind
    FROM {table}{where} ORDER BY {document}, {row}
), figures AS (
    SELECT cell, kind, regexp_replace(cell, '^(RM|USD|IDR|Rp|[$€£])|[,%% ]', '', 'g') AS bare FROM cells
), numbers AS (
    SELECT cell, kind, CASE WHEN bare ~ '^[-+]?[0-9]{{1,30}}([.][0-9]{{1,30}})?([eE][-+]?[0-9]{{1,2}})?$'
        THEN bare::numeric END AS number
    FROM figures
)
SELECT {shown}count(*), count(cell), count(number), count(DISTINCT cell), sum(number), avg(number), min(number),
    max(number)
FROM numbers{grouped}"""
)


def totals(table: Table, condition: Where | None, column: str) -> Plan[ColumnTotals]:
    """The totals of one key of the metadata over the rows that the condition selects."""
    rows = yield _statement(table, condition, column, None)
    return ColumnTotals(*rows[0])


def totals_by(table: Table, condition: Where | None, column: str, by: str) -> Plan[dict[str | None, ColumnTotals]]:
    """The totals of one key of the metadata for each value of another, as text; ``None`` for rows without one."""
    rows = yield _statement(table, condition, column, by)
    return {kind: ColumnTotals(*figures) for kind, *figures in rows}


def _statement(table: Table, condition: Where | None, column: str, by: str | None) -> Execute:
    clause, params = (sql.SQL(""), []) if condition is None else (sql.SQL(" WHERE ") + condition[0], condition[1])
    layout = table.layout
    query = _TOTALS.format(
        document=layout.origin("document_id"),
        row=layout.origin("page_or_row"),
        json=layout.json,
        table=table.identifier,
        where=clause,
        shown=sql.SQL("") if by is None else sql.SQL("kind, "),
        grouped=sql.SQL("") if by is None else sql.SQL(" GROUP BY kind"),
    )
    return Execute(query, [column, column if by is None else by, *params])
