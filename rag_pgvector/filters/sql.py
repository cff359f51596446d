"""The filter AST as a condition over a jsonb column, and over metadata that has columns of its own.

Keys, patterns and values are always bound. Every condition is true or false, never NULL, and no stored value can make
one fail: operators that compare by type are used, never casts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from rag_pgvector.errors import FilterError
from rag_pgvector.filters.ast import And, Compare, Contains, Exists, Filter, In, KeyIn, Like, Not, Or, Path
from rag_pgvector.filters.typed import typed_condition

__all__ = ["Fields", "compile_filter"]

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
_IS_ANY = sql.SQL(" = ANY(%s::text[])")
_IS_TEXT = sql.SQL(") = 'string') IS TRUE")
_AS_JSON, _WHOLE_TEXT = sql.SQL("to_jsonb({})"), sql.SQL(" #>> '{}'")


_OWN_KEYS = {"id": sql.SQL("id"), "document_id": sql.SQL("document_id")}


@dataclass(frozen=True)
class Fields:
    """Where the value of a key is found.

    Attributes:
        json: A jsonb expression, or None where all metadata has columns.
        keys: The chunk's own id and document_id, as text.
        columns: Keys that have a column of their own, with its type; they go before the same key in ``json``.
    """

    json: sql.Composable | None
    keys: Mapping[str, sql.Composable] = field(default_factory=lambda: _OWN_KEYS)
    columns: Mapping[str, tuple[sql.Composable, str]] = field(default_factory=dict)

    def at(self, path: Path) -> tuple[sql.Composable, Path]:
        """The jsonb expression to look in, and the rest of the path. Raises FilterError for a key of neither."""
        if path[0] in self.columns:
            column, type_ = self.columns[path[0]]
            return column if type_ == "jsonb" else _AS_JSON.format(column), path[1:]
        if self.json is None:
            raise FilterError(
                f"{path[0]!r:.80} is no column of the metadata (there are: {', '.join(self.columns)}), and the "
                "table has no JSON column"
            )
        return self.json, path


def compile_filter(filter: Filter, fields: Fields | sql.Composable) -> tuple[sql.Composed, list[Any]]:
    """The condition and its parameters in order. ``fields`` may be just a jsonb column.

    Equality with a scalar and the conditions on lists can use a GIN index (``jsonb_path_ops`` or ``jsonb_ops``).
    Raises FilterError for more conditions than a statement can have parameters.
    """
    out = _Writer(fields if isinstance(fields, Fields) else Fields(fields))
    out.write(filter)
    if len(out.params) > MAX_PARAMETERS:
        raise FilterError(
            f"the filter has too many conditions ({len(out.params)} parameters, at most {MAX_PARAMETERS}): use $in "
            "with a list in place of $or"
        )
    return sql.Composed(out.parts), out.params


class _Writer:
    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.parts: list[sql.Composable] = []
        self.params: list[Any] = []

    def write(self, node: Filter) -> None:
        add = self.parts.append
        typed = self.typed(node)
        if typed is not None:
            self.parts += (_OPEN, typed[0], _CLOSE)
            self.params += typed[1]
        elif isinstance(node, Compare):
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
            column, path = self.fields.at(node.path)
            add(column)
            add(_HOLDS if node.every else _HOLDS_ANY)
            if node.every:
                self.params.append(_nested(path, _array(node.json)))
            else:
                self.params.append(_array([_nested(path, f"[{item}]") for item in node.json]))
        elif isinstance(node, KeyIn):
            self.parts += (self.fields.keys[node.column], _IS_ANY)  # NULL is not true, and Not asks for no more
            self.params.append(list(node.values))
        elif isinstance(node, Exists):
            add(_OPEN)
            self.value(node.path)
            add(_IS_PRESENT)
        else:
            self.like(node)

    def typed(self, node: Filter) -> tuple[sql.Composable, list[Any]] | None:
        """The condition in a column's own type, where the node is about one."""
        if not self.fields.columns or not isinstance(node, (Compare, In, Like)) or len(node.path) > 1:
            return None
        column = self.fields.columns.get(node.path[0])
        return None if column is None else typed_condition(node, *column)

    def compare(self, node: Compare) -> None:
        add = self.parts.append
        column, path = self.fields.at(node.path)
        if node.op != "eq":
            # jsonpath finds the value once where -> and jsonb_typeof find it twice; unequal types are "unknown" to it.
            keys = "".join([f".{json.dumps(key)}" for key in path])
            self.parts += (_OPEN, column, _MATCHES)
            self.params.append(f"strict ${keys} {_ORDER[node.op]} {node.json}")
        elif node.json == "null":
            add(_OR_NULL)
            self.value(node.path)
            add(_IS_NULL)
        elif not path:  # a list would hold a scalar that it contains
            self.parts += (_OPEN, column, _EQUALS)
            self.params.append(node.json)
        elif node.json[0] not in "[{":
            self.parts += (column, _HOLDS)
            self.params.append(_nested(path, node.json))
        else:  # containment finds candidates, also by an index; where it is true, the value is there and not NULL
            self.parts += (_OPEN, column, _HOLDS, _AND)
            self.params.append(_nested(path, node.json))
            self.value(node.path)
            add(_EQUALS)
            self.params.append(node.json)

    def like(self, node: Like) -> None:
        add = self.parts.append
        column, path = self.fields.at(node.path)
        self.parts += (_OPEN, column, *[_STEP] * (len(path) - 1), _TEXT_STEP if path else _WHOLE_TEXT)
        add(_ILIKE if node.ignore_case else _LIKE)
        self.params += (*path, node.pattern)
        self.value(node.path)
        add(_IS_TEXT)

    def value(self, path: Path) -> None:
        """The value at ``path``, NULL where it is missing: ``->`` with a text goes through objects, not into lists."""
        column, rest = self.fields.at(path)
        self.parts += (column, *[_STEP] * len(rest))
        self.params += rest


def _array(items: list[str] | tuple[str, ...]) -> str:
    return f"[{','.join(items)}]"


def _nested(path: Path, text: str) -> str:
    """``text`` as the value at ``path`` of an otherwise empty object."""
    for key in reversed(path):
        text = f"{{{json.dumps(key)}:{text}}}"
    return text
