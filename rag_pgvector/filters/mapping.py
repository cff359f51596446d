"""Filters as mappings: the operator language of langchain-postgres, and ``$any`` and ``$all`` for lists.

``{"year": {"$gte": 2020}, "state": "Johor"}``; see docs/filters.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rag_pgvector.errors import FilterError
from rag_pgvector.filters.ast import And, Compare, Contains, Exists, Filter, In, Like, Not, Operator, Or, Path
from rag_pgvector.filters.values import MAX_DEPTH, check_pattern, check_text, show, to_json

__all__ = ["parse_filter"]


def parse_filter(filter: Mapping[str, Any] | Filter | None) -> Filter | None:
    """Read a filter; ``None`` and ``{}`` are no filter, and what is read already is returned as it is.

    Raises FilterError naming the key, the operator or the value. Nothing that is malformed ever means "no filter".
    """
    if filter is None or isinstance(filter, Filter):
        return filter
    if not isinstance(filter, Mapping):
        raise FilterError(f"a filter is a mapping such as {{'year': {{'$gte': 2020}}}}, not {show(filter)}")
    return _conditions(filter, 1) if filter else None


def _conditions(filter: Any, level: int) -> Filter:
    if level > MAX_DEPTH:
        raise FilterError(f"the filter is nested deeper than {MAX_DEPTH} levels")
    if not isinstance(filter, Mapping):
        raise FilterError(f"{show(filter)} stands where a condition such as {{'year': 2020}} belongs")
    if not filter:
        raise FilterError("an empty {} stands inside the filter: leave it out, or write a condition")
    return _all([_condition(key, operand, level) for key, operand in filter.items()])


def _all(parts: Sequence[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def _condition(key: Any, operand: Any, level: int) -> Filter:
    if not isinstance(key, str):
        raise FilterError(f"the key {show(key)} is of type {type(key).__name__}: keys are text")
    if not key.startswith("$"):
        return _field(_path(key), operand, f"{key!r:.80}", level)
    logical = key.lower()
    if logical not in ("$and", "$or", "$not"):
        raise FilterError(f"unknown operator {show(key)} where a field belongs: use $and, $or, $not or a field")
    if logical == "$not" and isinstance(operand, Mapping):
        return Not(_conditions(operand, level + 1))
    if not isinstance(operand, (list, tuple)) or not operand:
        raise FilterError(f"{key} takes a list of conditions that is not empty, not {show(operand)}")
    parts = [_conditions(part, level + 1) for part in operand]
    if logical == "$or":
        return Or(tuple(parts))
    return _all([Not(part) for part in parts] if logical == "$not" else parts)


def _path(key: str) -> Path:
    """``a.b`` is the key b inside a; ``a\\.b`` the key "a.b"."""
    check_text(key, "the filter's key")
    path: Path = (key,)
    if "." in key:
        path = tuple(part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", key))
    if not all(path):
        raise FilterError(f"the key {show(key)} has an empty part: write a.b for the key b inside a")
    return path


def _field(path: Path, operand: Any, key: str, level: int) -> Filter:
    if not isinstance(operand, Mapping):
        return _equal(path, operand, key)
    if not operand:
        raise FilterError(f"{key}: an empty {{}} is no condition: write {{'$eq': {{}}}} to compare with it")
    parts: list[Filter] = []
    for name, value in operand.items():
        known = _OPERATORS.get(name) if isinstance(name, str) else None
        if known is not None:
            parts.append(known(path, value, f"{key} {name}"))
        elif isinstance(name, str) and name.lower() == "$not":
            if level == MAX_DEPTH:
                raise FilterError(f"the filter is nested deeper than {MAX_DEPTH} levels")
            if not isinstance(value, Mapping):
                raise FilterError(f"{key} $not takes operators such as {{'$gt': 5}}, not {show(value)}: or use $ne")
            parts.append(Not(_field(path, value, key, level + 1)))
        else:
            raise FilterError(
                f"{key}: unknown operator {show(name)}: use {', '.join(_OPERATORS)} or $not; for a key inside of "
                f"{key} write a dotted key"
            )
    return _all(parts)


def _equal(path: Path, value: Any, what: str) -> Filter:
    return Compare(path, "eq", to_json(value, what))


def _ordered(value: Any, what: str) -> str:
    text = to_json(value, what)
    if text[0] not in '"-0123456789':
        raise FilterError(f"{what}: {show(value)} has no order: use a number, a text or a date")
    return text


def _order(op: Operator) -> Callable[[Path, Any, str], Filter]:
    return lambda path, value, what: Compare(path, op, _ordered(value, what))


def _between(path: Path, bounds: Any, what: str) -> Filter:
    if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
        raise FilterError(f"{what} takes a list of two values, not {show(bounds)}")
    low, high = (_ordered(bound, what) for bound in bounds)
    if (low[0] == '"') != (high[0] == '"'):
        raise FilterError(f"{what}: {show(bounds)} mixes a number and a text, so that nothing lies between them")
    return And((Compare(path, "gte", low), Compare(path, "lte", high)))


def _scalars(values: Any, what: str) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple, set, frozenset)):
        raise FilterError(f"{what} takes a list of values, not {show(values)}")
    texts = tuple([to_json(value, what) for value in values])
    for value, text in zip(values, texts, strict=True):
        if text[0] in "[{":
            raise FilterError(f"{what}: {show(value)} inside the list is not a single value")
    return texts


def _exists(path: Path, value: Any, what: str) -> Filter:
    if not isinstance(value, bool):
        raise FilterError(f"{what} takes True or False, not {show(value)}")
    return Exists(path) if value else Not(Exists(path))


_OPERATORS: dict[str, Callable[[Path, Any, str], Filter]] = {
    "$eq": _equal,
    "$ne": lambda path, value, what: Not(_equal(path, value, what)),
    "$gt": _order("gt"),
    "$gte": _order("gte"),
    "$lt": _order("lt"),
    "$lte": _order("lte"),
    "$between": _between,
    "$in": lambda path, values, what: In(path, _scalars(values, what)),
    "$nin": lambda path, values, what: Not(In(path, _scalars(values, what))),
    "$any": lambda path, values, what: Contains(path, _scalars(values, what)),
    "$all": lambda path, values, what: Contains(path, _scalars(values, what), every=True),
    "$like": lambda path, pattern, what: Like(path, check_pattern(pattern, what)),
    "$ilike": lambda path, pattern, what: Like(path, check_pattern(pattern, what), ignore_case=True),
    "$exists": _exists,
}
