"""The filter AST as a condition over a jsonb column.

Keys, patterns and values are always bound. Every condition is true or false, never NULL, and no stored value can make
one fail: operators that compare by type are used, never casts.
"""

from __future__ import annotations

import json
from typing import Any

from psycopg import sql

from rag_pgvector.errors import FilterError
from rag_pgvector.filters.ast import And, Compare, Contains, Exists, Filter, In, Like, Not, Or, Path

__all__ = ["compile_filter"]

#: The protocol allows 65,535 parameters in a statement; a query adds some of its own.
MAX_PARAMETERS = 60_000

_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

_AND, _OR, _OPEN, _CLOSE = map(sql.SQL, (" AND ", " OR ", "(", ")"))
_IS_TRUE, _IS_NOT_TRUE = sql.SQL(") IS TRUE"), sql.SQL(" IS NOT TRUE)")
_STEP, _TEXT_STEP = sql.SQL(" -> %s::text"), sql.SQL(" ->> %s::text")
_HOLDS, _MATCHES = sql.SQL(" @> %s::jsonb"), sql.SQL(" @@ %s::jsonpath) IS TRUE")
_HOLDS_ANY = sql.SQL(" @> ANY (ARRAY(SELECT jsonb_array_elements(%s::jsonb)))")
_EQUALS, _IS_PRESENT = sql.SQL(" = %s::jsonb)"), sql.SQL(" IS NOT NULL)")
_OR_NULL, _IS_NULL = sql.SQL("coalesce("), sql.SQL(", 'null') = 'null'")
_IS_IN = sql.SQL(", 'null') IN (SELECT jsonb_array_elements(%s::jsonb))) IS TRUE")
_LIKE, _ILIKE = sql.SQL(" LIKE %s::text AND jsonb_typeof("), sql.SQL(" ILIKE %s::text AND jsonb_typeof(")
_IS_TEXT = sql.SQL(") = 'string') IS TRUE")


def compile_filter(filter: Filter, column: sql.Composable) -> tuple[sql.Composed, list[Any]]:
    """The condition and its parameters in order. ``column`` is jsonb and NOT NULL.

    Equality with a scalar and the conditions on lists can use a GIN index (``jsonb_path_ops`` or ``jsonb_ops``).
    Raises FilterError for more conditions than a statement can have parameters.
    """
    out = _Writer(column)
    out.write(filter)
    if len(out.params) > MAX_PARAMETERS:
        raise FilterError(
            f"the filter has too many conditions ({len(out.params)} parameters, at most {MAX_PARAMETERS}): use $in "
            "with a list in place of $or"
        )
    return sql.Composed(out.parts), out.params


class _Writer:
    def __init__(self, column: sql.Composable) -> None:
        self.column = column
        self.parts: list[sql.Composable] = []
        self.params: list[Any] = []

    def write(self, node: Filter) -> None:
        add = self.parts.append
        if isinstance(node, Compare):
            self.compare(node)
        elif isinstance(node, (And, Or)):
            add(_OPEN)
            for i, part in enumerate(node.parts):
                if i:
                    add(_AND if isinstance(node, And) else _OR)
                self.write(part)
            add(_CLOSE)
        elif isinstance(node, Not):
            add(_OPEN)
            self.write(node.part)
            add(_IS_NOT_TRUE)
        elif isinstance(node, In):
            # A hashed subplan, built once: ANY(array) compares one by one under a generic plan. IS TRUE keeps the
            # planner from making it a join, which would lose the order of the vector index.
            self.parts += (_OPEN, _OR_NULL)
            self.value(node.path)
            add(_IS_IN)
            self.params.append(_array(node.json))
        elif isinstance(node, Contains):
            add(self.column)
            add(_HOLDS if node.every else _HOLDS_ANY)
            if node.every:
                self.params.append(_nested(node.path, _array(node.json)))
            else:
                self.params.append(_array([_nested(node.path, f"[{item}]") for item in node.json]))
        elif isinstance(node, Exists):
            add(_OPEN)
            self.value(node.path)
            add(_IS_PRESENT)
        else:
            self.like(node)

    def compare(self, node: Compare) -> None:
        add = self.parts.append
        if node.op != "eq":
            # jsonpath finds the value once where -> and jsonb_typeof find it twice; unequal types are "unknown" to it.
            keys = "".join([f".{json.dumps(key)}" for key in node.path])
            self.parts += (_OPEN, self.column, _MATCHES)
            self.params.append(f"strict ${keys} {_ORDER[node.op]} {node.json}")
        elif node.json == "null":
            add(_OR_NULL)
            self.value(node.path)
            add(_IS_NULL)
        elif node.json[0] not in "[{":
            self.parts += (self.column, _HOLDS)
            self.params.append(_nested(node.path, node.json))
        else:  # containment finds candidates, also by an index; where it is true, the value is there and not NULL
            self.parts += (_OPEN, self.column, _HOLDS, _AND)
            self.params.append(_nested(node.path, node.json))
            self.value(node.path)
            add(_EQUALS)
            self.params.append(node.json)

    def like(self, node: Like) -> None:
        add = self.parts.append
        add(_OPEN)
        self.value(node.path[:-1])
        self.parts += (_TEXT_STEP, _ILIKE if node.ignore_case else _LIKE)
        self.params += (node.path[-1], node.pattern)
        self.value(node.path)
        add(_IS_TEXT)

    def value(self, path: Path) -> None:
        """The value at ``path``, NULL where it is missing: ``->`` with a text goes through objects, not into lists."""
        self.parts += (self.column, *[_STEP] * len(path))
        self.params += path


def _array(items: list[str] | tuple[str, ...]) -> str:
    return f"[{','.join(items)}]"


def _nested(path: Path, text: str) -> str:
    """``text`` as the value at ``path`` of an otherwise empty object."""
    for key in reversed(path):
        text = f"{{{json.dumps(key)}:{text}}}"
    return text
