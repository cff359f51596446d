"""Filters as mappings: the operator language of langchain-postgres, a superset of it.

``{"year": {"$gte": 2020}, "state": "Johor"}``; see docs/filters.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rag_pgvector.errors import FilterError
from rag_pgvector.filters.ast import And, Compare, Contains, Exists, Filter, In, Like, Not, Operator, Or, Path
from rag_pgvector.filters.values import check_text, is_number, plain, to_json

__all__ = ["parse_filter"]

#: Deeper nesting is refused: it is an attack or a mistake, and would exhaust a stack further down.
MAX_DEPTH = 100


def parse_filter(filter: Mapping[str, Any] | None) -> Filter | None:
    """Read a filter; ``None`` and ``{}`` are no filter.

    Raises FilterError naming the key, the operator or the value. Nothing that is malformed ever means "no filter".
    """
    if filter is None:
        return None
    if not isinstance(filter, Mapping):
        raise FilterError(f"a filter is a mapping such as {{'year': {{'$gte': 2020}}}}, not {type(filter).__name__}")
    return _mapping(filter, 0) if filter else None


def _mapping(filter: Any, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise FilterError(f"the filter is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(filter, Mapping):
        raise FilterError(f"{filter!r:.80} stands where a condition such as {{'year': 2020}} belongs")
    if not filter:
        raise FilterError("an empty {} stands inside the filter: leave it out, or write a condition")
    return _all([_entry(key, value, depth) for key, value in filter.items()])


def _all(parts: list[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _entry(key: Any, value: Any, depth: int) -> Filter:
    if not isinstance(key, str):
        raise FilterError(f"the key {key!r:.80} is {type(key).__name__}: keys are text")
    if key.startswith("$"):
        logical = key.lower()
        if logical == "$not" and not isinstance(value, list):
            return Not(_mapping(value, depth + 1))
        if logical not in ("$and", "$or", "$not"):
            raise FilterError(f"unknown operator {key!r:.80} where a field belongs: use $and, $or or $not")
        if not isinstance(value, (list, tuple)) or not value:
            raise FilterError(f"{key} takes a list of conditions that is not empty, not {value!r:.80}")
        parts = tuple(_mapping(part, depth + 1) for part in value)
        if logical == "$or":
            return Or(parts)
        return And(tuple(Not(part) for part in parts) if logical == "$not" else parts)
    path = tuple(check_text(key, "key").split("."))
    if not all(path):
        raise FilterError(f"the key {key!r} has an empty part: write a.b for the key b inside a")
    return _field(path, value, depth)


def _field(path: Path, value: Any, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise FilterError(f"the filter is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(value, Mapping):
        return _equal(path, value, "$eq")
    if not value:
        raise FilterError(f"{'.'.join(path)}: an empty {{}} is no condition: write {{'$eq': {{}}}} to compare with it")
    parts: list[Filter] = []
    for name, operand in value.items():
        if name == "$not":
            parts.append(Not(_field(path, operand, depth + 1)))
            continue
        read = _OPERATORS.get(name) if isinstance(name, str) else None
        if read is None:
            raise FilterError(
                f"{'.'.join(path)}: unknown operator {name!r:.80}: use one of {', '.join(_OPERATORS)}, $not; for a key "
                f"inside it write {'.'.join(path)}.key"
            )
        parts.append(read(path, operand, name))
    return _all(parts)


def _what(path: Path, name: str) -> str:
    return f"{'.'.join(path)} {name}"


def _equal(path: Path, value: Any, name: str) -> Filter:
    what = _what(path, name)
    value = plain(value, what)
    return Compare(path, "eq", to_json(value, what), value if isinstance(value, str) else None)


def _order(op: Operator) -> Callable[[Path, Any, str], Filter]:
    def read(path: Path, value: Any, name: str) -> Filter:
        what = _what(path, name)
        value = plain(value, what)
        if isinstance(value, str):
            return Compare(path, op, to_json(value, what), value)
        if not is_number(value):
            raise FilterError(f"{what}: {value!r:.80} has no order: use a number, a text or a date")
        return Compare(path, op, to_json(value, what))

    return read


def _scalars(path: Path, values: Any, name: str) -> tuple[str, ...]:
    what = _what(path, name)
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__iter__"):
        raise FilterError(f"{what} takes a list, not {values!r:.80}")
    found = [plain(value, what) for value in values]
    for value in found:
        if isinstance(value, (list, tuple, dict)):
            raise FilterError(f"{what}: {value!r:.80} is no single value")
    return tuple(to_json(value, what) for value in found)


def _in(path: Path, values: Any, name: str) -> Filter:
    texts = _scalars(path, values, name)
    some = In(path, tuple(text for text in texts if text != "null"))
    return Or((some, Compare(path, "eq", "null"))) if "null" in texts else some


def _between(path: Path, values: Any, name: str) -> Filter:
    if not isinstance(values, (list, tuple)) or len(values) != 2:
        raise FilterError(f"{_what(path, name)} takes a list of two values, not {values!r:.80}")
    return And((_order("gte")(path, values[0], name), _order("lte")(path, values[1], name)))


def _exists(path: Path, value: Any, name: str) -> Filter:
    if not isinstance(value, bool):
        raise FilterError(f"{_what(path, name)} takes true or false, not {value!r:.80}")
    return Exists(path) if value else Not(Exists(path))


def _like(ignore_case: bool) -> Callable[[Path, Any, str], Filter]:
    def read(path: Path, value: Any, name: str) -> Filter:
        what = _what(path, name)
        if not isinstance(value, str):
            raise FilterError(f"{what} takes a text pattern such as 'a%', not {value!r:.80}")
        check_text(value, what)
        if (len(value) - len(value.rstrip("\\"))) % 2:
            raise FilterError(f"{what}: the pattern {value!r:.80} ends in an escape: double the backslash")
        return Like(path, value, ignore_case)

    return read


_OPERATORS: dict[str, Callable[[Path, Any, str], Filter]] = {
    "$eq": _equal,
    "$ne": lambda path, value, name: Not(_equal(path, value, name)),
    "$gt": _order("gt"),
    "$gte": _order("gte"),
    "$lt": _order("lt"),
    "$lte": _order("lte"),
    "$in": _in,
    "$nin": lambda path, values, name: Not(_in(path, values, name)),
    "$between": _between,
    "$exists": _exists,
    "$like": _like(False),
    "$ilike": _like(True),
    "$any": lambda path, values, name: Contains(path, _scalars(path, values, name)),
    "$all": lambda path, values, name: Contains(path, _scalars(path, values, name), every=True),
}
