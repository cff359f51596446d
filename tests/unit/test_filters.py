"""Reading and compiling filters, without a database."""

from __future__ import annotations

import datetime
import decimal
import enum
import sys
import uuid
from collections import UserDict
from typing import Any

import numpy as np
import pytest
from psycopg import sql

from rag_pgvector.errors import FilterError
from rag_pgvector.filters import (
    And,
    Compare,
    Contains,
    Exists,
    Filter,
    In,
    Like,
    Not,
    Or,
    compile_filter,
    parse_filter,
)

METADATA = sql.Identifier("metadata")


class Colour(str, enum.Enum):
    RED = "red"


def year(json: str) -> Compare:
    return Compare(("year",), "eq", json)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"year": 2020}, year("2020")),
        ({"year": {"$eq": 2020}}, year("2020")),
        ({"year": {"$ne": 2020}}, Not(year("2020"))),
        ({"year": None}, year("null")),
        ({"year": {"$gt": 1}}, Compare(("year",), "gt", "1")),
        ({"year": {"$gte": 1, "$lt": 5}}, And((Compare(("year",), "gte", "1"), Compare(("year",), "lt", "5")))),
        ({"year": {"$between": [1, 2]}}, And((Compare(("year",), "gte", "1"), Compare(("year",), "lte", "2")))),
        ({"year": {"$in": [1, "1", None]}}, In(("year",), ("1", '"1"', "null"))),
        ({"year": {"$in": ()}}, In(("year",), ())),
        ({"year": {"$nin": {1}}}, Not(In(("year",), ("1",)))),
        ({"t": {"$any": ["x"]}}, Contains(("t",), ('"x"',))),
        ({"t": {"$all": ["x"]}}, Contains(("t",), ('"x"',), every=True)),
        ({"t": {"$like": "a\\%"}}, Like(("t",), "a\\%")),
        ({"t": {"$ilike": "a%"}}, Like(("t",), "a%", ignore_case=True)),
        ({"t": {"$exists": True}}, Exists(("t",))),
        ({"t": {"$exists": False}}, Not(Exists(("t",)))),
        ({"t": {"$not": {"$gt": 1}}}, Not(Compare(("t",), "gt", "1"))),
        ({"a.b": 1}, Compare(("a", "b"), "eq", "1")),
        ({"a\\.b.c": 1}, Compare(("a.b", "c"), "eq", "1")),
        ({"a": 1, "b": 2}, And((Compare(("a",), "eq", "1"), Compare(("b",), "eq", "2")))),
        ({"$and": [{"year": 1}]}, year("1")),
        ({"$Or": [{"year": 1}, {"year": 2}]}, Or((year("1"), year("2")))),
        ({"$NOT": {"year": 1}}, Not(year("1"))),
        ({"$not": [{"year": 1}, {"year": 2}]}, And((Not(year("1")), Not(year("2"))))),
        ({"o": {"$eq": {"k": [1]}}}, Compare(("o",), "eq", '{"k": [1]}')),
        (UserDict({"year": 1}), year("1")),
    ],
)
def test_the_language(given: dict[str, Any], read: Filter) -> None:
    assert parse_filter(given) == read


@pytest.mark.parametrize("nothing", [None, {}])
def test_only_none_and_an_empty_mapping_are_no_filter(nothing: dict[str, Any] | None) -> None:
    assert parse_filter(nothing) is None


def test_a_filter_that_is_read_already_stays_as_it_is() -> None:
    assert parse_filter(Not(year("1"))) == Not(year("1"))


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (True, "true"),
        (np.True_, "true"),
        (1, "1"),
        (1.0, "1.0"),
        (np.int64(7), "7"),
        (np.float32(0.5), "0.5"),
        (np.float64(0.1), "0.1"),
        (10**5000, "1" + "0" * 5000),
        (-(10**5000), "-1" + "0" * 5000),
        (decimal.Decimal("1.10"), "1.10"),
        (decimal.Decimal("1E+5"), "1E+5"),
        (1e300, "1e+300"),
        (Colour.RED, '"red"'),
        ("é'\"\\", '"\\u00e9\'\\"\\\\"'),
        (datetime.date(2024, 2, 29), '"2024-02-29"'),
        (datetime.datetime(2024, 2, 29, 1, 2, tzinfo=datetime.timezone.utc), '"2024-02-29T01:02:00+00:00"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        ([1, [decimal.Decimal(2)]], "[1, [2]]"),
    ],
    ids=range(18),
)
def test_values(value: Any, json: str) -> None:
    assert parse_filter({"year": value}) == year(json)


def test_values_do_not_depend_on_pythons_limit_for_printing_integers() -> None:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        assert parse_filter({"year": 10**700}) == year("1" + "0" * 700)
    finally:
        sys.set_int_max_str_digits(limit)


def nested(levels: int, how: str = "$and") -> dict[str, Any]:
    """A filter of so many levels."""
    found: dict[str, Any] = {"a": 1}
    for _ in range(levels - 1):
        found = {how: found if how == "$not" else [found]}
    return found


def knot() -> dict[str, Any]:
    """A filter that holds itself."""
    found: dict[str, Any] = {}
    found["$not"] = found
    return found


def tangle() -> list[Any]:
    """A list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def inner_nots(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {"$gt": 1}
    for _ in range(levels):
        found = {"$not": found}
    return {"a": found}


class Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


#: What is refused, and what the message must name.
REFUSED: list[tuple[Any, str]] = [
    ("year = 2020", "year = 2020"),
    ("", "''"),
    ([], "mapping"),
    ([("year", 2020)], "mapping"),
    (0, "mapping"),
    (False, "mapping"),
    (b"{}", "mapping"),
    ({1: 2}, "key 1"),
    ({None: 2}, "None"),
    ({"": 1}, "empty part"),
    ({"a.": 1}, "'a.'"),
    ({".a": 1}, "'.a'"),
    ({"a..b": 1}, "a..b"),
    ({".": 1}, "empty part"),
    ({"a\0b": 1}, "NUL"),
    ({"a\ud800": 1}, "surrogate"),
    ({"$eq": 1}, "$eq"),
    ({"$where": "1=1"}, "$where"),
    ({"$": 1}, "'$'"),
    ({"$and ": [{"a": 1}]}, "$and "),
    ({"a": {"$regex": "x"}}, "$regex"),
    ({"a": {"$EQ": 1}}, "$EQ"),
    ({"a": {"eq": 1}}, "eq"),
    ({"a": {"b": 1}}, "dotted"),
    ({"a": {"$eq": 1, "b": 1}}, "'b'"),
    ({"a": {"$and": [{"$gt": 1}]}}, "$and"),
    ({"a": {1: 1}}, "operator 1"),
    ({"a": {("$eq",): 1}}, "$eq"),
    ({"a": {}}, "empty {}"),
    ({"$and": []}, "$and"),
    ({"$or": []}, "$or"),
    ({"$not": []}, "$not"),
    ({"$not": {}}, "empty {}"),
    ({"$not": None}, "$not"),
    ({"$and": {}}, "$and"),
    ({"$and": {"a": 1}}, "$and"),
    ({"$or": "ab"}, "$or"),
    ({"$and": [{}]}, "empty {}"),
    ({"$or": [{"a": 1}, {}]}, "empty {}"),
    ({"$and": [None]}, "None"),
    ({"$and": [[{"a": 1}]]}, "condition"),
    ({"$and": ["a"]}, "'a'"),
    ({"a": {"$not": 1}}, "$not"),
    ({"a": {"$not": [1]}}, "$not"),
    ({"a": {"$not": {}}}, "empty {}"),
    ({"a": {"$not": {"b": 1}}}, "'b'"),
    ({"a": {"$gt": None}}, "None"),
    ({"a": {"$gt": True}}, "True"),
    ({"a": {"$lt": [1]}}, "[1]"),
    ({"a": {"$lte": {"b": 1}}}, "$lte"),
    ({"a": {"$in": None}}, "$in"),
    ({"a": {"$in": "abc"}}, "'abc'"),
    ({"a": {"$in": {"b": 1}}}, "$in"),
    ({"a": {"$in": [[1]]}}, "[1]"),
    ({"a": {"$nin": 5}}, "$nin"),
    ({"a": {"$nin": [{"b": 1}]}}, "$nin"),
    ({"a": {"$in": [1, float("nan")]}}, "nan"),
    ({"a": {"$in": (x for x in "ab")}}, "$in"),
    ({"a": {"$any": "x"}}, "$any"),
    ({"a": {"$all": [["x"]]}}, "$all"),
    ({"a": {"$between": [1]}}, "$between"),
    ({"a": {"$between": [1, 2, 3]}}, "$between"),
    ({"a": {"$between": "ab"}}, "$between"),
    ({"a": {"$between": [1, "b"]}}, "mixes"),
    ({"a": {"$between": [None, 2]}}, "None"),
    ({"a": {"$between": [False, True]}}, "False"),
    ({"a": {"$between": {"low": 1}}}, "$between"),
    ({"a": {"$exists": 1}}, "$exists"),
    ({"a": {"$exists": None}}, "$exists"),
    ({"a": {"$exists": "true"}}, "$exists"),
    ({"a": {"$like": 5}}, "$like"),
    ({"a": {"$like": None}}, "$like"),
    ({"a": {"$like": ["a%"]}}, "$like"),
    ({"a": {"$like": "a\\"}}, "escape"),
    ({"a": {"$ilike": "\\\\\\"}}, "escape"),
    ({"a": {"$like": "%" * 1001}}, "wildcards"),
    ({"a": {"$like": "\0"}}, "NUL"),
    ({"a": float("nan")}, "nan"),
    ({"a": float("inf")}, "inf"),
    ({"a": [1, -float("inf")]}, "inf"),
    ({"a": decimal.Decimal("NaN")}, "NaN"),
    ({"a": decimal.Decimal("sNaN")}, "NaN"),
    ({"a": decimal.Decimal("-Infinity")}, "Infinity"),
    ({"a": decimal.Decimal("1E+1000000")}, "digits"),
    ({"a": decimal.Decimal("1E-20000")}, "digits"),
    ({"a": 10**140_000}, "digits"),
    ({"a": np.float64("nan")}, "nan"),
    ({"a": np.array([1, 2])}, "ndarray"),
    ({"a": b"bytes"}, "bytes"),
    ({"a": 1j}, "complex"),
    ({"a": {1, 2}}, "set"),
    ({"a": object}, "type"),
    ({"a": Odd()}, "Odd"),
    ({"a": "x\0"}, "NUL"),
    ({"a": "\udfff"}, "surrogate"),
    ({"a": ["\ud800"]}, "surrogate"),
    ({"a": {"$eq": {"k\0": 1}}}, "NUL"),
    ({"a": {"$eq": {1: 1}}}, "key 1"),
    ({"a": {"$eq": {"k": b""}}}, "bytes"),
    (nested(101), "100 levels"),
    (nested(101, "$not"), "100 levels"),
    (inner_nots(100), "100 levels"),
    (nested(200_000), "100 levels"),
    (nested(200_000, "$not"), "100 levels"),
    (knot(), "100 levels"),
    ({"a": tangle()}, "100 levels"),
]


@pytest.mark.parametrize(("bad", "named"), REFUSED, ids=range(len(REFUSED)))
def test_refused(bad: Any, named: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter(bad)
    assert named in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("where", ["$and", "$or", "$not"])
def test_what_is_refused_alone_is_refused_inside(where: str) -> None:
    for bad, _ in REFUSED:
        with pytest.raises(FilterError):
            parse_filter({where: [{"ok": 1}, bad]})


def test_a_hundred_levels_are_read() -> None:
    assert parse_filter(nested(100)) == Compare(("a",), "eq", "1")
    assert parse_filter(nested(100, "$not")) is not None
    assert parse_filter(inner_nots(99)) is not None


def test_the_message_says_key_operator_value_and_what_to_do() -> None:
    with pytest.raises(FilterError) as caught:
        parse_filter({"year": {"$gte": True}})
    assert str(caught.value) == "'year' $gte: True has no order: use a number, a text or a date"


def test_nothing_of_the_caller_stands_in_the_sql() -> None:
    key, value = "ke'y\"%s{}", "va'lue%(x)s"
    given = {
        key: value,
        f"a.{key}": {"$gt": value, "$in": [value], "$like": value, "$any": [value], "$all": [value], "$exists": True},
        f"b.{key}": {"$not": {"$eq": [value]}},
        f"c.{key}": None,
    }
    read = parse_filter(given)
    assert read is not None
    condition, params = compile_filter(read, METADATA)
    text = condition.as_string(None)
    assert "ke'y" not in text
    assert "va'lue" not in text
    assert text.count("%") == text.count("%s") == len(params)


def test_the_sql_is_the_same_for_other_values() -> None:
    """So that a statement prepared once serves them all."""

    def compiled(value: Any, list_: list[Any]) -> str:
        read = parse_filter({"a": {"$gte": value}, "b": value, "c": {"$in": list_}, "d": {"$any": list_}})
        assert read is not None
        return compile_filter(read, METADATA)[0].as_string(None)

    assert compiled(1, [1]) == compiled("x", [None, "y", 2.5])


def test_the_column_is_the_callers() -> None:
    condition, params = compile_filter(year("1"), sql.Identifier("t", "langchain_metadata"))
    assert condition.as_string(None) == '"t"."langchain_metadata" @> %s::jsonb'
    assert params == ['{"year":1}']


def test_a_long_list_is_one_parameter() -> None:
    read = parse_filter({"a": {"$in": list(range(70_000))}})
    assert read is not None
    assert len(compile_filter(read, METADATA)[1]) == 2


def test_more_conditions_than_a_statement_has_room_for_are_refused() -> None:
    read = parse_filter({"$or": [{"a": i} for i in range(70_000)]})
    assert read is not None
    with pytest.raises(FilterError, match=r"70000 parameters.*\$in"):
        compile_filter(read, METADATA)


def test_nodes_tell_true_from_one() -> None:
    assert parse_filter({"a": True}) != parse_filter({"a": 1})
    assert len({parse_filter({"a": True}), parse_filter({"a": 1})}) == 2
