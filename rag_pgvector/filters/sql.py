"""The filter AST as SQL over a jsonb column. Keys, patterns and values are all bound; the result is never NULL."""

from __future__ import annotations

from typing import Any

from psycopg import sql

from rag_pgvector.filters.ast import And, Compare, Exists, Filter, In, IsEmpty, Like, Not, Or, Path

__all__ = ["compile_filter"]

_ORDER = {"gt": sql.SQL(">"), "gte": sql.SQL(">="), "lt": sql.SQL("<"), "lte": sql.SQL("<=")}


def compile_filter(filter: Filter, column: sql.Composable) -> tuple[sql.Composed, list[Any]]:
    """The condition and its parameters, in order."""
    params: list[Any] = []
    return sql.Composed([_condition(filter, column, params)]), params


def _condition(node: Filter, column: sql.Composable, params: list[Any]) -> sql.Composable:
    if isinstance(node, (And, Or)):
        joint = sql.SQL(" AND " if isinstance(node, And) else " OR ")
        return sql.SQL("({})").format(joint.join([_condition(part, column, params) for part in node.parts]))
    if isinstance(node, Not):
        return sql.SQL("NOT {}").format(_condition(node.part, column, params))
    if isinstance(node, Compare):
        return _compare(node, column, params)
    value = _value(column, node.path, params)
    if isinstance(node, Exists):
        return sql.SQL("({} IS NOT NULL)").format(value)
    if isinstance(node, In):
        params.append(list(node.json))
        return sql.SQL("coalesce({} = ANY(%s::text[]::jsonb[]), false)").format(value)
    if isinstance(node, IsEmpty):
        return sql.SQL("""(coalesce({}, 'null') IN ('null', '""', '[]'))""").format(value)
    again = _value(column, node.path, params)
    if isinstance(node, Like):
        params.append(node.pattern)
        # A CASE fixes the order of evaluation: #>> is asked of texts only.
        return sql.SQL("CASE WHEN jsonb_typeof({}) = 'string' THEN ({} #>> '{{}}') {} %s ELSE false END").format(
            value, again, sql.SQL("ILIKE" if node.ignore_case else "LIKE")
        )
    params.append(list(node.json))
    return sql.SQL("CASE WHEN jsonb_typeof({}) = 'array' THEN {} @> {}(%s::text[]::jsonb[]) ELSE false END").format(
        value, again, sql.SQL("ALL" if node.every else "ANY")
    )


def _compare(node: Compare, column: sql.Composable, params: list[Any]) -> sql.Composable:
    value = _value(column, node.path, params)
    if node.op == "eq":
        params.append(node.json)
        if node.json == "null":
            return sql.SQL("(coalesce({}, 'null') = %s::jsonb)").format(value)
        return sql.SQL("coalesce({} = %s::jsonb, false)").format(value)
    again = _value(column, node.path, params)
    if node.text is not None:
        params.append(node.text)
        return sql.SQL(
            """CASE WHEN jsonb_typeof({}) = 'string' THEN ({} #>> '{{}}') COLLATE "C" {} %s ELSE false END"""
        ).format(value, again, _ORDER[node.op])
    params.append(node.json)
    return sql.SQL("CASE WHEN jsonb_typeof({}) = 'number' THEN {} {} %s::jsonb ELSE false END").format(
        value, again, _ORDER[node.op]
    )


def _value(column: sql.Composable, path: Path, params: list[Any]) -> sql.Composable:
    """The value at ``path``: NULL where it is missing. ``->`` with a text goes through objects, never through lists."""
    params.extend(path)
    return sql.Composed([column, *[sql.SQL(" -> %s::text")] * len(path)])
