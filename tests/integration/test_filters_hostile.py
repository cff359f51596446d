"""Filters that mean harm, or are wrong, long or deep: nothing matches wrongly, nothing fails in the database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg import sql

from rag_pgvector.errors import FilterError
from rag_pgvector.filters import compile_filter, parse_filter
from tests.integration.matching import METADATA, Connection, by_compiled, by_function

HOSTILE = [
    "'",
    "''",
    '"',
    '""',
    "\\",
    "\\\\",
    "\\'",
    ";",
    "; DROP TABLE t; --",
    "--",
    "/* x",
    "*/",
    "$$",
    "$1",
    "$tag$",
    "%",
    "%%",
    "%s",
    "%(x)s",
    "%b",
    "{}",
    "{0}",
    "{a,b}",
    "[",
    "]",
    "[0]",
    "[*]",
    "(",
    ")",
    "?",
    "? (@ > 0)",
    "@",
    "@@",
    "@>",
    "->>",
    "#>>",
    "::int",
    ":foo",
    ":'foo'",
    "`",
    "|",
    "||",
    "&&",
    "=",
    "<",
    ">=",
    "*",
    "**",
    "strict $",
    "lax $",
    "like_regex",
    "\t",
    "\n",
    "\r\n",
    "\x01",
    "\x1b[31m",
    "\x7f",
    "\u02bc",
    "\uff07",
    "\u2019",
    "\u200b",
    "\u202e",
    "\u2028",
    "\ufeff",
    "\uffff",
    "😀",
    "e\u0301",
    "é",
    " ",
    "  a  ",
    "a b",
    "a-b",
    "A",
    "0",
    "-1",
    "1e400",
    "NaN",
    "infinity",
    "null",
    "true",
    "NULL",
    "user",
    "select",
    "metadata",
    "constructor",
    "__proto__",
    "zzz' OR '1'='1",
    "s' = 'zzz' OR '1'='1' --",
    'k" == 1 || $."a" == "x',
    '" || true || "',
    "a' UNION SELECT 1",
    "\\u0041",
    "\\x41",
    "(a+)+$",
    "%a" * 900,
    "x" * 65_536,
    "'" * 4_000,
]


def escaped(key: str) -> str:
    return key.replace(".", "\\.")


def test_hostile_keys_reach_their_own_row_only(conn: Connection) -> None:
    assert len(set(HOSTILE)) >= 60
    keys = [key for key in HOSTILE if not key.startswith("$")]
    rows: list[Any] = [{}, {"v": "other"}, *({key: "hit", "l": {key: ["hit"]}} for key in keys)]
    for i, key in enumerate(keys):
        own = [j == i + 2 for j in range(len(rows))]
        for operand in (
            "hit",
            {"$gte": "hit"},
            {"$in": ["hit"]},
            {"$like": "hi_"},
            {"$exists": True},
            {"$between": ["h", "i"]},
        ):
            assert by_compiled(conn, {escaped(key): operand}, rows) == own, (key, operand)
            assert by_function(conn, {escaped(key): operand}, rows) == own, (key, operand)
        for list_operand in ({"$any": ["hit"]}, {"$all": ["hit"]}, ["hit"]):
            assert by_compiled(conn, {f"l.{escaped(key)}": list_operand}, rows) == own, (key, list_operand)
        assert by_compiled(conn, {escaped(key): {"$ne": "hit"}}, rows) == [not hit for hit in own], key


def test_hostile_values_reach_their_own_row_only(conn: Connection) -> None:
    rows: list[Any] = [{}, {"v": "other"}, *({"v": text, "l": [text], "o": {"k": text}} for text in HOSTILE)]
    for i, text in enumerate(HOSTILE):
        own = [j == i + 2 for j in range(len(rows))]
        pattern = re.sub(r"([\\%_])", r"\\\1", text)
        filters: list[dict[str, Any]] = [
            {"v": text},
            {"v": {"$in": [text]}},
            {"v": {"$gte": text, "$lte": text}},
            {"v": {"$between": [text, text]}},
            {"v": {"$like": pattern}},
            {"l": {"$any": [text]}},
            {"l": {"$all": [text]}},
            {"l": [text]},
            {"o": {"$eq": {"k": text}}},
            {"o.k": {"$not": {"$ne": text}}},
        ]
        for filter in filters:
            if "wildcards" in _refusal(filter):
                continue
            assert by_compiled(conn, filter, rows) == own, (text, filter)
            assert by_function(conn, filter, rows) == own, (text, filter)


def _refusal(filter: Any) -> str:
    try:
        parse_filter(filter)
    except FilterError as error:
        return str(error)
    return ""


def test_hostile_operators_are_refused_by_both(conn: Connection) -> None:
    for text in HOSTILE:
        for filter in ({"a": {text: 1}}, {"a": {f"${text}": 1}}, {f"${text}": 1}, {f"${text}": [{"a": 1}]}):
            refused_by_both(conn, filter)


def test_patterns_that_would_exhaust_a_matcher(conn: Connection) -> None:
    rows = [{"v": "a" * 20_000}]
    conn.execute("SET statement_timeout = '20s'")
    for pattern in ("%a" * 900 + "b", "%" * 1000 + "b", "%_" * 900 + "b"):
        assert by_compiled(conn, {"v": {"$like": pattern}}, rows) == [False]
        assert by_function(conn, {"v": {"$ilike": pattern}}, rows) == [False]
    conn.execute("RESET statement_timeout")


def refused_by_both(conn: Connection, filter: Any, rows: Sequence[Any] = ({},)) -> None:
    with pytest.raises(FilterError):
        parse_filter(filter)
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        by_function(conn, filter, rows)


#: JSON filters that are refused; tests/unit/test_filters.py has those that only Python can write.
MALFORMED: list[Any] = [
    "year",
    5,
    True,
    [],
    [{"a": 1}],
    {"": 1},
    {"a.": 1},
    {"a..b": 1},
    {".": 1},
    {"$eq": 1},
    {"$where": 1},
    {"$": 1},
    {"a": {}},
    {"a": {"b": 1}},
    {"a": {"$regex": "x"}},
    {"a": {"$EQ": 1}},
    {"a": {"$eq": 1, "b": 2}},
    {"a": {"$and": [{"$gt": 1}]}},
    {"$and": []},
    {"$or": []},
    {"$not": []},
    {"$not": {}},
    {"$not": None},
    {"$and": {"a": 1}},
    {"$or": "ab"},
    {"$and": [{}]},
    {"$or": [{"a": 1}, {}]},
    {"$and": [None]},
    {"$and": [[{"a": 1}]]},
    {"a": {"$not": 1}},
    {"a": {"$not": [1]}},
    {"a": {"$not": {}}},
    {"a": {"$not": {"b": 1}}},
    {"a": {"$gt": None}},
    {"a": {"$gt": True}},
    {"a": {"$lt": [1]}},
    {"a": {"$lte": {"b": 1}}},
    {"a": {"$in": None}},
    {"a": {"$in": "abc"}},
    {"a": {"$in": {"b": 1}}},
    {"a": {"$in": [[1]]}},
    {"a": {"$in": [1, {}]}},
    {"a": {"$nin": 5}},
    {"a": {"$any": "x"}},
    {"a": {"$all": [["x"]]}},
    {"a": {"$between": [1]}},
    {"a": {"$between": [1, 2, 3]}},
    {"a": {"$between": "ab"}},
    {"a": {"$between": [1, "b"]}},
    {"a": {"$between": [None, 2]}},
    {"a": {"$between": [False, True]}},
    {"a": {"$between": {"low": 1}}},
    {"a": {"$exists": 1}},
    {"a": {"$exists": None}},
    {"a": {"$like": 5}},
    {"a": {"$like": "a\\"}},
    {"a": {"$ilike": "\\\\\\"}},
    {"a": {"$like": "%" * 1001}},
]


@pytest.mark.parametrize("filter", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_is_refused_by_both_whatever_the_row(conn: Connection, filter: Any) -> None:
    rows = [{"a": 1}]  # one after another: the first refusal ends a query
    for row in ({}, {"a": 1}, {"a": "x"}, {"a": [1]}, {"a": {"b": 1}}, {"a": None}):
        refused_by_both(conn, filter, [row])
        refused_by_both(conn, {"$or": [{"a": {"$exists": True}}, {"$not": [filter]}]}, [row])
        refused_by_both(conn, {"$and": [{"zz": 1}, filter]}, [row])
    assert by_function(conn, {"a": 1}, rows) == [True]


def test_a_null_filter_is_no_filter_only_by_saying_so(conn: Connection) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        conn.execute("SELECT rag.metadata_matches('{}', NULL)")
    assert by_function(conn, {}, [{}, {"a": 1}]) == [True, True]


def nested(levels: int, how: str) -> dict[str, Any]:
    found: dict[str, Any] = {"a": 1} if how != "operator" else {"$eq": 1}
    for _ in range(levels - 1):
        found = {"$not" if how == "operator" else how: found if how in ("$not", "operator") else [found]}
    return {"a": found} if how == "operator" else found


@pytest.mark.parametrize("how", ["$and", "$or", "$not", "operator"])
def test_a_hundred_levels_and_no_more(conn: Connection, how: str) -> None:
    rows = [{"a": 1}, {}]
    for levels in (99, 100):
        hit = how in ("$and", "$or") or levels % 2 == 1
        for ask in (by_compiled, by_function):
            assert ask(conn, nested(levels, how), rows) == [hit, not hit]
    refused_by_both(conn, nested(101, how))
    refused_by_both(conn, nested(400, how))


def test_long_lists_and_many_conditions(conn: Connection) -> None:
    rows: list[Any] = [{"v": 69_999}, {"v": 70_000}, {"v": "5"}, {}]
    long = list(range(70_000))
    conn.execute("SET statement_timeout = '60s'")
    for ask in (by_compiled, by_function):
        assert ask(conn, {"v": {"$in": long}}, rows) == [True, False, False, False]
        assert ask(conn, {"v": {"$nin": long}}, rows) == [False, True, True, True]
        assert ask(conn, {"v": {"$in": [*map(str, long), None]}}, rows) == [False, False, True, True]
        assert ask(conn, {"v": {"$any": long}}, [{"v": [1, "x"]}, *rows]) == [True, False, False, False, False]
        assert ask(conn, {"v": {"$all": long}}, [{"v": [1, 2]}, *rows]) == [False] * 5
        assert ask(conn, {"v": {"$all": long[:500]}}, [{"v": long[:500]}, {"v": long[1:500]}]) == [True, False]
        assert ask(conn, {"$or": [{"v": i} for i in long[::7]]}, [*rows, {"v": 7}]) == [False] * 4 + [True]
        assert ask(conn, {"$and": [{"v": {"$ne": i}} for i in long[::7]]}, [*rows, {"v": 7}]) == [True] * 4 + [False]
    conn.execute("RESET statement_timeout")


# ------------------------------------------------------------------------------------------------------------- planning


@pytest.fixture(scope="module")
def table(conn: Connection) -> sql.Identifier:
    conn.execute(
        "CREATE TABLE many AS SELECT jsonb_build_object('n', i, 's', 's' || i % 50, 'o', jsonb_build_object('k', i), "
        "'l', jsonb_build_array('x' || i % 500, i)) AS metadata FROM generate_series(1, 20000) AS i"
    )
    conn.execute("CREATE INDEX ON many USING gin (metadata jsonb_path_ops)")
    conn.execute("VACUUM ANALYZE many")
    return sql.Identifier("many")


def explain(conn: Connection, filter: Any, table: sql.Identifier) -> str:
    read = parse_filter(filter)
    assert read is not None
    condition, params = compile_filter(read, METADATA)
    query = sql.SQL("EXPLAIN SELECT FROM {} WHERE {}").format(table, condition)
    return "\n".join(row[0] for row in conn.execute(query, params))


@pytest.mark.parametrize(
    "filter",
    [
        {"n": 7},
        {"o.k": 7},
        {"l": ["x7", 7]},
        {"o": {"$eq": {"k": 7}}},
        {"l": {"$all": ["x7"]}},
        {"l": {"$any": ["x7", "x8"]}},
        {"n": 7, "s": {"$gte": "s1"}},
    ],
    ids=str,
)
def test_equality_and_lists_can_use_a_gin_index(
    conn: Connection, table: sql.Identifier, filter: dict[str, Any]
) -> None:
    assert "Bitmap Index Scan" in explain(conn, filter, table)


def test_a_long_list_is_hashed_also_in_a_generic_plan(conn: Connection, table: sql.Identifier) -> None:
    """One by one, 70,000 values for 20,000 rows would take minutes."""
    read = parse_filter({"n": {"$in": list(range(70_000))}})
    assert read is not None
    condition, params = compile_filter(read, METADATA)
    query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table, condition)
    conn.execute("SET statement_timeout = '20s'; SET plan_cache_mode = force_generic_plan")
    assert conn.execute(query, params, prepare=True).fetchone() == (20_000,)
    conn.execute("RESET statement_timeout; RESET plan_cache_mode")
    assert "hashed SubPlan" in explain(conn, {"n": {"$in": [1]}}, table)


def test_a_prepared_statement_serves_other_values(conn: Connection, table: sql.Identifier) -> None:
    conn.execute("SET plan_cache_mode = force_generic_plan")
    for value, expected in ((5, 5), (100, 100), ("s", 0), (-1, 0)):
        read = parse_filter({"n": {"$lte": value}, "l": {"$not": {"$any": [value, None, "zz"]}}})
        assert read is not None
        condition, params = compile_filter(read, METADATA)
        query = sql.SQL("SELECT count(*) FROM {} WHERE {}").format(table, condition)
        count = conn.execute(query, params, prepare=True).fetchone()
        assert count == (max(0, expected - 1),)
    conn.execute("RESET plan_cache_mode")


def test_the_function_ignores_the_callers_search_path(conn: Connection) -> None:
    conn.execute(
        "CREATE SCHEMA evil; "
        "CREATE FUNCTION evil.yes(jsonb, jsonb) RETURNS boolean LANGUAGE sql AS 'SELECT true'; "
        "CREATE OPERATOR evil.= (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = evil.yes); "
        "CREATE FUNCTION evil.jsonb_typeof(jsonb) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'; "
        "SET search_path = evil, pg_catalog"
    )
    try:
        assert by_function(conn, {"a": 1}, [{"a": 1}, {"a": 2}]) == [True, False]
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            by_function(conn, {"a": {"$bad": 1}}, [{}])
    finally:
        conn.execute("RESET search_path; DROP SCHEMA evil CASCADE")
