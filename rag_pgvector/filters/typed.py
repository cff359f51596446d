"""Conditions on metadata that has a column of its own, in the column's type, so that its indexes serve them.

What is not here (real numbers, lists, JSON, other types) is compared as JSON, to the same effect. A value of another
type than the column's equals nothing and has no order to it, as everywhere. Dates and times are compared as such; one
without a zone is taken for UTC.
"""

from __future__ import annotations

import json
import re
import uuid
from datetime import datetime, time, timezone
from decimal import Decimal
from typing import Any, TypeAlias

from psycopg import sql

from rag_pgvector.filters.ast import Compare, Filter, In, Like

__all__ = ["typed_condition"]

#: A value and the type that it is compared in.
_Typed: TypeAlias = tuple[str, Any]

_OPERATORS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_TEXT = re.compile(r"text|character varying(\([0-9]+\))?")
_TIMED = re.compile(r"(date)|(timestamp|time)(?:\([0-9]\))? (with|without) time zone")


def typed_condition(node: Filter, column: sql.Composable, type_: str) -> tuple[sql.Composable, list[Any]] | None:
    """The condition and its parameters, NULL for a row whose column is; None where JSON does it."""
    kind = _kind(type_)
    if kind is None:
        return None
    if isinstance(node, Compare):
        if node.json == "null":
            return sql.SQL("{} IS NULL").format(column), []
        typed = _typed(kind, node.json)
        if typed is None or (kind == "uuid" and node.op != "eq"):
            return sql.SQL("false"), []
        collation = sql.SQL(' COLLATE "C"' if kind == "text" and node.op != "eq" else "")
        shape = sql.SQL("{} {} %s::{}{}")
        return shape.format(column, sql.SQL(_OPERATORS[node.op]), sql.SQL(typed[0]), collation), [typed[1]]
    if isinstance(node, In):
        values = [typed for typed in (_typed(kind, each) for each in node.json) if typed is not None]
        name = {"integer": "bigint", "date": "timestamp"}.get(kind, kind)
        condition: sql.Composable = sql.SQL("{} = ANY(%s::{}[])").format(column, sql.SQL(name))
        if "null" in node.json:
            condition = sql.SQL("({} OR {} IS NULL)").format(condition, column)
        return condition, [[value for type_, value in values if type_ == name]]  # no integer equals a fraction
    if isinstance(node, Like) and kind == "text":
        operator = sql.SQL("ILIKE" if node.ignore_case else "LIKE")
        return sql.SQL("{} {} %s::text").format(column, operator), [node.pattern]
    return None


def _kind(type_: str) -> str | None:
    if _TEXT.fullmatch(type_):
        return "text"
    if type_ in ("smallint", "integer", "bigint"):
        return "integer"
    if type_ == "uuid":
        return "uuid"
    timed = _TIMED.fullmatch(type_)
    if timed is None:
        return None
    if timed[1]:
        return "date"
    zoned = timed[3] == "with"
    if timed[2] == "time":
        return None if zoned else "time"
    return "timestamptz" if zoned else "timestamp"


def _typed(kind: str, text: str) -> _Typed | None:
    """A JSON value in the column's terms, or None for one of another type."""
    value = json.loads(text, parse_float=Decimal, parse_int=Decimal)  # an int has at most so many digits
    if kind == "integer":
        if not isinstance(value, Decimal):
            return None
        whole = int(value) if value == int(value) else None
        return ("bigint", whole) if whole is not None and -(2**63) <= whole < 2**63 else ("numeric", value)
    if not isinstance(value, str):
        return None
    if kind == "text":
        return kind, value
    try:
        if kind == "uuid":
            return kind, uuid.UUID(value)
        if kind == "time":
            moment = time.fromisoformat(value)
            return None if moment.tzinfo else (kind, moment)
        stamp = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
        stamp = stamp.replace(tzinfo=timezone.utc) if stamp.tzinfo is None else stamp.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None
    return ("timestamptz", stamp) if kind == "timestamptz" else ("timestamp", stamp.replace(tzinfo=None))
