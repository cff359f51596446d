"""One meaning of a filter: the compiled SQL, rag.metadata_matches and a reference written here agree on every row."""

from __future__ import annotations

import datetime
import decimal
import json
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag_pgvector.filters import parse_filter
from tests.integration.matching import Connection, by_compiled, by_function


def matching(conn: Connection, filter: Any, rows: Mapping[str, Any]) -> list[str]:
    """The names of the rows that match, on which both must agree."""
    compiled, function = by_compiled(conn, filter, list(rows.values())), by_function(conn, filter, list(rows.values()))
    assert compiled == function
    assert None not in compiled
    return [name for name, matched in zip(rows, compiled, strict=True) if matched]


# --------------------------------------------------------------------------------------------------------- the document


def documented() -> tuple[dict[str, Any], list[tuple[str, list[str]]]]:
    """The rows and the table of docs/filters.md."""
    text = (Path(__file__).parents[2] / "docs" / "filters.md").read_text(encoding="utf-8")
    block = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert block is not None
    cases = re.findall(r"^\| `(\{.*\})` \| ([r0-9 ]*)\|$", text, re.MULTILINE)
    return json.loads(block[1]), [(filter, names.split()) for filter, names in cases]


def test_the_documented_truth_table(conn: Connection) -> None:
    rows, cases = documented()
    assert len(cases) >= 45
    wrong = []
    for text, expected in cases:
        filter = json.loads(text)
        if filter:
            found = matching(conn, filter, rows)
        else:
            assert parse_filter(filter) is None
            found = [n for n, hit in zip(rows, by_function(conn, filter, list(rows.values())), strict=True) if hit]
        if found != expected:
            wrong.append((text, found, expected))
    assert not wrong


# -------------------------------------------------------------------------------------------------------- the reference


def canonical(value: Any) -> Any:
    """A value such that equality means equality of JSON values."""
    if isinstance(value, bool) or value is None:
        return ("literal", value)
    if isinstance(value, (int, float)):
        return ("number", decimal.Decimal(repr(value)))
    if isinstance(value, str):
        return ("string", value)
    if isinstance(value, list):
        return ("array", tuple(map(canonical, value)))
    return ("object", frozenset((key, canonical(item)) for key, item in value.items()))


MISSING = object()


def look_up(metadata: Any, key: str) -> Any:
    for part in re.split(r"(?<!\\)\.", key):
        name = part.replace("\\.", ".")
        if not isinstance(metadata, dict) or name not in metadata:
            return MISSING
        metadata = metadata[name]
    return metadata


def equal(value: Any, other: Any) -> bool:
    return bool(canonical(None if value is MISSING else value) == canonical(other))


def like(text: Any, pattern: str, flags: int = 0) -> bool:
    if not isinstance(text, str):
        return False
    tokens = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    regex = "".join(wild.get(token) or re.escape(token[-1]) for token in tokens)
    return re.fullmatch(regex, text, re.DOTALL | flags) is not None


def ordered(value: Any, other: Any) -> int | None:
    """-1, 0 or 1, or None where there is no order."""
    if value is MISSING:
        return None
    (kind, a), (other_kind, b) = canonical(value), canonical(other)
    if kind != other_kind or kind not in ("number", "string"):
        return None
    return int(a > b) - int(a < b)


def holds(metadata: Any, filter: dict[str, Any]) -> bool:
    """The reference: the semantics of docs/filters.md, written as plainly as possible."""
    return all(condition_holds(metadata, key, operand) for key, operand in filter.items())


def condition_holds(metadata: Any, key: str, operand: Any) -> bool:
    logical = key.lower()
    if logical == "$and":
        return all(holds(metadata, part) for part in operand)
    if logical == "$or":
        return any(holds(metadata, part) for part in operand)
    if logical == "$not":
        return not any(holds(metadata, part) for part in (operand if isinstance(operand, list) else [operand]))
    value = look_up(metadata, key)
    return value_holds(value, operand) if isinstance(operand, dict) else equal(value, operand)


def value_holds(value: Any, operators: dict[str, Any]) -> bool:
    return all(operator_holds(value, operator, operand) for operator, operand in operators.items())


def operator_holds(value: Any, operator: str, operand: Any) -> bool:
    match operator:
        case "$eq":
            return equal(value, operand)
        case "$ne":
            return not equal(value, operand)
        case "$gt":
            return ordered(value, operand) == 1
        case "$gte":
            return ordered(value, operand) in (0, 1)
        case "$lt":
            return ordered(value, operand) == -1
        case "$lte":
            return ordered(value, operand) in (-1, 0)
        case "$between":
            return ordered(value, operand[0]) in (0, 1) and ordered(value, operand[1]) in (-1, 0)
        case "$in":
            return any(equal(value, item) for item in operand)
        case "$nin":
            return not any(equal(value, item) for item in operand)
        case "$any":
            return isinstance(value, list) and any(equal(item, wanted) for item in value for wanted in operand)
        case "$all":
            return isinstance(value, list) and all(any(equal(item, w) for item in value) for w in operand)
        case "$like":
            return like(value, operand)
        case "$ilike":
            return like(value, operand, re.IGNORECASE)
        case "$exists":
            return (value is not MISSING) is bool(operand)
        case "$not":
            return not value_holds(value, operand)
    raise AssertionError(operator)


# ------------------------------------------------------------------------------------------------------- the properties

# Few keys, and values that collide across types: "2", 2, 2.0, true, [2]. No É: the database's locale folds in ILIKE.
NAMES = ["a", "b", "c", "a.b", "k'\"", "é"]
TEXTS = st.one_of(
    st.sampled_from(
        ["", "2", "%", "_", "a", "A", "ab", "a%", "a_", "a\\b", "true", "null", "O'Brien", "\uffff", "😀", "é"]
    ),
    st.text(alphabet="aAbB2%_\\'\"\n é😀", max_size=4),
)
NUMBERS = st.one_of(
    st.sampled_from(
        [0, 1, 2, 2.0, -2, 2.5, 0.1, 1e300, 10**30, 10**30 + 1, 1e30, 9007199254740993, 9007199254740992.0]
    ),
    st.integers(-3, 3),
    st.floats(allow_nan=False, allow_infinity=False),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "0", ""]), inner, max_size=3),
    max_leaves=5,
)
ROWS = st.lists(st.dictionaries(st.sampled_from([*NAMES, "", "$a", "0"]), VALUES, max_size=5), min_size=15, max_size=15)
KEYS = st.lists(st.sampled_from([*NAMES, "0"]), min_size=1, max_size=2).map(
    lambda parts: ".".join(part.replace(".", "\\.") for part in parts)
)


def _some(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(inner, min_size=1, max_size=3)


def _pattern(text: str) -> str:
    """Not ending in an escape."""
    return text + "\\" if (len(text) - len(text.rstrip("\\"))) % 2 else text


PATTERNS = TEXTS.map(_pattern)
LISTS = st.lists(SCALARS, max_size=4)
ORDERED = NUMBERS | TEXTS


def _operator(name: str) -> st.SearchStrategy[tuple[str, Any]]:
    operands: dict[str, st.SearchStrategy[Any]] = {
        "$eq": VALUES,
        "$ne": VALUES,
        "$in": LISTS,
        "$nin": LISTS,
        "$any": LISTS,
        "$all": LISTS,
        "$between": st.lists(NUMBERS, min_size=2, max_size=2) | st.lists(TEXTS, min_size=2, max_size=2),
        "$like": PATTERNS,
        "$ilike": PATTERNS,
        "$exists": st.booleans(),
    }
    return operands.get(name, ORDERED).map(lambda operand: (name, operand))


OPERATOR_NAMES = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$between", "$in", "$nin", "$any", "$all", "$like"]
OPERATOR_NAMES += ["$ilike", "$exists"]
OPERATORS = st.recursive(
    st.lists(st.sampled_from(OPERATOR_NAMES).flatmap(_operator), min_size=1, max_size=2).map(dict),
    lambda inner: inner.map(lambda operators: {"$not": operators}),
    max_leaves=2,
)
CONDITIONS = st.dictionaries(
    KEYS, OPERATORS | VALUES.filter(lambda value: not isinstance(value, dict)), min_size=1, max_size=2
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        st.builds(lambda name, parts: {name: parts}, st.sampled_from(["$and", "$or", "$Or", "$not"]), _some(inner)),
        st.builds(lambda part: {"$not": part}, inner),
        st.builds(lambda parts, other: {"$or": parts, **other}, _some(inner), CONDITIONS),
    ),
    max_leaves=6,
)


PROPERTY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PROPERTY
@given(filter=FILTERS, rows=ROWS)
def test_sql_function_and_reference_agree(conn: Connection, filter: dict[str, Any], rows: list[Any]) -> None:
    expected = [holds(row, filter) for row in rows]
    assert by_compiled(conn, filter, rows) == expected
    assert by_function(conn, filter, rows) == expected


#: Values beside which every operand is tried: random rows alone seldom hit.
NEAR: list[Any] = [2, 2.5, "2", "", True, None, [], ["2"], [2], {"a": 2}]


@pytest.mark.parametrize("name", OPERATOR_NAMES)
@settings(PROPERTY, max_examples=40)
@given(data=st.data(), key=KEYS, negated=st.booleans())
def test_each_operator_on_values_near_its_operand(
    conn: Connection, name: str, data: st.DataObject, key: str, negated: bool
) -> None:
    operator, operand = data.draw(_operator(name))
    near = [*NEAR, operand, [operand], str(operand), *(operand if isinstance(operand, list) else [])]
    near += [float(value) for value in near if isinstance(value, int) and abs(value) < 1e15]
    rows: list[Any] = [{}]
    for value in near:
        for part in reversed(re.split(r"(?<!\\)\.", key)):
            value = {part.replace("\\.", "."): value}
        rows.append(value)
    filter = {key: {"$not": {operator: operand}} if negated else {operator: operand}}
    expected = [holds(row, filter) for row in rows]
    assert by_compiled(conn, filter, rows) == expected
    assert by_function(conn, filter, rows) == expected


@settings(PROPERTY, max_examples=60)
@given(one=FILTERS, other=FILTERS, rows=ROWS)
def test_not_is_the_exact_complement(
    conn: Connection, one: dict[str, Any], other: dict[str, Any], rows: list[Any]
) -> None:
    for ask in (by_compiled, by_function):
        assert ask(conn, {"$not": one}, rows) == [not matched for matched in ask(conn, one, rows)]
        left, right = {"$not": {"$and": [one, other]}}, {"$or": [{"$not": one}, {"$not": other}]}
        assert ask(conn, left, rows) == ask(conn, right, rows)
        assert ask(conn, {"$not": [one, other]}, rows) == ask(conn, {"$not": {"$or": [one, other]}}, rows)


def test_metadata_that_is_no_object_has_no_keys(conn: Connection) -> None:
    rows = {"list": ["a", {"a": 1}], "text": "a", "number": 1, "null": None, "object": {"a": 1}}
    assert matching(conn, {"a": 1}, rows) == ["object"]
    assert matching(conn, {"a": {"$ne": 1}}, rows) == ["list", "text", "number", "null"]
    assert matching(conn, {"0": {"$exists": True}}, rows) == []
    query = "SELECT rag.metadata_matches(NULL, %s), rag.metadata_matches(NULL, %s)"
    assert conn.execute(query, ['{"a": 1}', '{"$not": {"a": 1}}']).fetchone() == (False, True)


# --------------------------------------------------------------------------------------------------------- python types


@pytest.mark.parametrize(
    ("stored", "filter"),
    [
        (10**4000, {"v": 10**4000}),
        (10**4000, {"v": {"$gt": 10**4000 - 1, "$lt": 10**4000 + 1}}),
        (1, {"v": {"$lt": 10**100_000, "$gt": -(10**100_000)}}),
        (1, {"v": {"$lt": decimal.Decimal("1E+131071"), "$gt": decimal.Decimal("1E-16383")}}),
        (0.1, {"v": decimal.Decimal("0.10")}),
        (0.1, {"v": {"$in": [decimal.Decimal("1E-1")]}}),
        (9007199254740993, {"v": {"$gt": 9007199254740992.0}}),
        ("2024-02-29", {"v": datetime.date(2024, 2, 29)}),
        ("2024-02-29T10:00:00", {"v": {"$between": [datetime.datetime(2024, 2, 29), datetime.date(2024, 3, 1)]}}),
        ("10:00:00", {"v": {"$lt": datetime.time(11)}}),
        (str(uuid.UUID(int=5)), {"v": {"$in": [uuid.UUID(int=5)]}}),
        ([1, "2024-02-29"], {"v": [decimal.Decimal("1.0"), datetime.date(2024, 2, 29)]}),
        (-0.0, {"v": 0}),
        (5e-324, {"v": 5e-324}),
        (1.7976931348623157e308, {"v": {"$gte": 1.7976931348623157e308}}),
    ],
    ids=range(15),
)
def test_python_values(conn: Connection, stored: Any, filter: dict[str, Any]) -> None:
    assert by_compiled(conn, filter, [{"v": stored}]) == [True]
    assert by_compiled(conn, {"$not": filter}, [{"v": stored}]) == [False]
