"""What an attacker would put into a filter, an id, a name or a question; for the adapters of both frameworks.

``world`` makes a table with rows that nobody asked for and a picture of the schema. Whatever is tried through
``World.attempt`` may find no foreign row and cause no error of SQL syntax, and at the end the schema and the victim's
rows must stand as they stood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from rag_pgvector.errors import DatabaseError, RagPgvectorError

__all__ = ["FOREIGN", "IDENTIFIERS", "KEYS", "LANGUAGES", "OPERATORS", "VALUES", "World", "world"]

FOREIGN = "foreign-canary"

VALUES = (
    "zzz' OR '1'='1",
    "zzz') OR ('1'='1",
    "x' OR 1=1 --",
    "x'; DROP TABLE victim; --",
    "x' UNION SELECT * FROM victim --",
    "O'Brien",
    'a "quoted" text',
    "a\\",
    "\\' OR 1=1 --",
    "$1",
    "%s",
    "%(owner)s",
    ":owner",
    "{0}",
    "{}",
    "a;b",
    "/* comment */",
    "E'\\x27'",
    "$$ OR true $$",
    "true",
    "null",
    "nan",
    "inf",
    "1e999",
    "0123",
    "' || current_user || '",
    "current_user",
    "\u2019 OR 1=1",
    "%",
    "_",
    "*",
    "\n'; DELETE FROM victim; --",
    "\"}'::jsonb OR true --",
    '{"$gt": ""}',
    "$.*",
    '" || true || "',
)
KEYS = (
    "owner' = 'zzz' OR '1'='1' --",
    "owner' OR 1=1 --",
    "owner') OR true --",
    'owner" OR 1=1 --',
    "owner'; DROP TABLE victim; --",
    "owner->>'x' OR true",
    "metadata",
    "langchain_metadata",
    "tenant_id",
    "embedding",
    "1=1",
    "owner\\' OR true",
    "%s",
    "%(x)s",
    ":x",
    "{}",
    "user",
    "current_user",
    "$.owner",
    "\"}' OR true --",
    "ow\u200bner",
    "a.b' OR true --",
    "id) IS NOT NULL OR (true",
    "owner::text",
    "(SELECT 1)",
)
OPERATORS = (
    "$eq OR true",
    "= 'x' OR 1=1 --",
    "$regex",
    "$where",
    "$nor",
    "$expr",
    "$sql",
    "$",
    "",
    "$EQ",
    "$eq'",
    "==",
    "LIKE",
    "$in) OR (true",
)
IDENTIFIERS = (
    'x"; DROP TABLE victim; --',
    "x'; DROP TABLE victim; --",
    "victim; --",
    'victim" --',
    "x(id)",
    "pg_catalog.pg_class",
    "x%s",
    "\0",
    "",
    "x" * 64,
    "a\nb",
    "SELECT",
)
LANGUAGES = (
    "english'); DROP TABLE victim; --",
    "english', '') OR true --",
    "pg_catalog.english::text",
    "nonsense",
    "english; SELECT 1",
    'english" --',
    "%s",
    "simple'::regconfig, 'x') || to_tsvector('simple",
)

#: SQLSTATEs of statements that were put together wrongly.
_SYNTAX = ("42601", "42602", "42703", "42704", "42P01", "42P18", "42804", "42883")


@dataclass(frozen=True)
class World:
    """A database under attack."""

    url: str
    before: tuple[Any, ...]

    def attempt(self, what: str, call: Callable[[], Any], *, may_miss: Iterable[str] = ()) -> None:
        """Run something hostile: it may find nothing or be refused, and that is all.

        ``may_miss``: SQLSTATEs that only say that something of that name does not exist.
        """
        state, found = None, None
        try:
            found = call()
        except DatabaseError as error:
            state, found = error.sqlstate, str(error)
        except (RagPgvectorError, ValueError, TypeError):  # refused: the message may quote what was asked
            pass
        assert state in tuple(may_miss) or state not in _SYNTAX, f"{what}: {found}"
        assert FOREIGN not in repr(found), f"{what} found a foreign row"

    def check(self) -> None:
        """The schema and the rows are what they were."""
        assert picture(self.url) == self.before


def picture(url: str) -> tuple[Any, ...]:
    """Every table, column, index and function of the database, and every row of the victim."""
    with psycopg.connect(url, autocommit=True) as conn:
        columns = conn.execute(
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2, 3"
        ).fetchall()
        indexes = conn.execute("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1").fetchall()
        functions = conn.execute("SELECT count(*) FROM pg_proc").fetchall()
        victims = conn.execute("SELECT * FROM victim ORDER BY 1").fetchall()
    return columns, indexes, functions, victims


@contextmanager
def world(url: str) -> Iterator[World]:
    """Beside whatever is in the database already, a table ``victim``; checked at the end."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE victim (secret text)")
        conn.execute("INSERT INTO victim VALUES (%s)", (FOREIGN,))
    attacked = World(url, picture(url))
    yield attacked
    attacked.check()
