"""URLs in every form that people write, and psycopg's errors in our words. A password never shows."""

from __future__ import annotations

import re
import traceback
from typing import Any

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import PoolTimeout
from sqlalchemy import make_url

from rag_pgvector import Database
from rag_pgvector.connect import describe, is_lost, is_rolled_back, normalise_url, same_database, translate
from rag_pgvector.errors import (
    ConfigError,
    ConnectionFailedError,
    DatabaseError,
    ExtensionError,
    PermissionDeniedError,
)

SECRETS = ["s3cret", "p@ss w0rd/?#:%", "abc://def", 'it\'s \\ "quoted"', "пароль", "a=b c=d"]


@pytest.mark.parametrize(
    ("given_url", "expected"),
    [
        ("postgresql://u:p@h:5433/d", "postgresql://u:p@h:5433/d"),
        ("postgres://u@h/d", "postgres://u@h/d"),
        ("postgresql+psycopg://u@h/d", "postgresql://u@h/d"),
        ("postgresql+psycopg_async://u@h/d", "postgresql://u@h/d"),
        ("postgresql+psycopg2://u@h/d", "postgresql://u@h/d"),
        ("postgresql+asyncpg://u@h/d?sslmode=require", "postgresql://u@h/d?sslmode=require"),
        ("postgresql+asyncpg://u@h/d?ssl=require", "postgresql://u@h/d?sslmode=require"),
        (
            "postgresql://u@h/d?connect_timeout=3&ssl=verify-full",
            "postgresql://u@h/d?connect_timeout=3&sslmode=verify-full",
        ),
        ("postgresql://u:a?ssl=require@h/d", "postgresql://u:a?ssl=require@h/d"),
        ("postgresql://u:pa?ss@h/d", "postgresql://u:pa?ss@h/d"),
        ("postgresql://u@[::1]:5433/d", "postgresql://u@[::1]:5433/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///d?host=/run/postgresql"),
        ("host=h user=u dbname=d port=5433", "postgresql://u@h:5433/d"),
        ("dbname=d", "postgresql:///d"),
    ],
)
def test_urls_of_other_clients_are_taken(given_url: str, expected: str) -> None:
    assert normalise_url(given_url) == expected


# An empty value means "not given" to libpq.
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "user": _TEXT,
            "password": _TEXT,
            "host": st.sampled_from(["h", "127.0.0.1", "::1", "/tmp/a folder/with +", "a,b", "@abstract"]),
            "port": st.sampled_from(["5433", "1"]),
            "dbname": _TEXT,
            "application_name": _TEXT,
            "options": st.sampled_from(["-c statement_timeout=5s -c x.y=a+b", "-csearch_path=a,b"]),
        },
    )
)
@example({"host": "a,b", "port": "1,2", "password": "s3cret"})
@example({"user": "u", "password": "abc://def", "host": "h"})
def test_a_conninfo_becomes_a_url_that_says_the_same(parts: dict[str, Any]) -> None:
    url = normalise_url(make_conninfo(**parts))
    assert url.startswith("postgresql://")
    assert conninfo_to_dict(url) == parts


@pytest.mark.parametrize(
    "parts",
    [
        {"host": "h", "user": "u", "password": "p@ss w/?#:%", "dbname": "d"},
        {"host": "/tmp/a folder", "user": "u", "password": "s", "dbname": "d", "port": "5433"},
        {"host": "::1", "port": "5433", "dbname": "d"},
    ],
)
def test_sqlalchemy_reads_the_url_alike(parts: dict[str, str]) -> None:
    url = make_url(normalise_url(make_conninfo(**parts)))
    host = url.query.get("host", url.host)
    port = url.query.get("port", url.port)
    assert (host, str(port or ""), url.username, url.password, url.database) == (
        parts["host"],
        parts.get("port", ""),
        parts.get("user"),
        parts.get("password"),
        parts["dbname"],
    )


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "form",
    [
        "mysql://u:{}@h/d",
        "postgresql://u:{}@h:port/d",
        "postgresql://u:{}@h/d?nonsense=1",
        "u:{}@h/d",
        "host=h password={} nonsense=1",
        "host=h password='{}",
        "sqlite:///{}",
    ],
)
def test_a_url_that_cannot_be_is_refused_without_showing_it(form: str, secret: str) -> None:
    caught = None
    try:
        shown = describe(normalise_url(form.format(secret)))  # some secrets are fine in some forms
    except ConfigError as error:
        caught, shown = error, "".join(traceback.format_exception(error))
    assert caught is None or "postgresql://user:password@host:5432/name" in str(caught)
    assert not leaks(secret, shown)


def leaks(secret: str, shown: str) -> bool:
    """Whether four characters of the secret show; this file's own lines, which a traceback quotes, aside."""
    shown = "\n".join(line for line in shown.splitlines() if not line.startswith("    "))
    return any(secret[i : i + 4] in shown for i in range(len(secret) - 3)) and "password" not in secret


@pytest.mark.parametrize("secret", SECRETS)
def test_no_repr_or_description_shows_the_password(secret: str) -> None:
    conninfo = make_conninfo(host="h", user="u", password=secret, dbname="d", port=5433)
    db = Database(conninfo, admin_url=conninfo)
    for shown in (repr(db), str(db), describe(conninfo), describe(db.url)):
        assert not leaks(secret, shown)
        assert "h:5433/d" in shown


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:p@h/d", "h:5432/d"),
        ("host=/tmp/x user=u", "/tmp/x:5432/u"),
        ("hostaddr=10.0.0.1 dbname=d", "10.0.0.1:5432/d"),
        ("dbname=d", "the local socket:5432/d"),
    ],
)
def test_where_a_url_points_to(url: str, place: str) -> None:
    assert describe(url) == place


@pytest.mark.parametrize("password", ["pa/ss", "12/34", "p@ss", "p@ss/word", "pa#s/s"])
def test_a_password_that_was_not_escaped_is_not_taken_for_a_host(password: str) -> None:
    """libpq reads postgresql://u:12/34@h/d as host u, port 12, database 34@h/d, and messages show all three."""
    with pytest.raises(ConfigError, match="%XX") as caught:
        normalise_url(f"postgresql://u:{password}@h/d")
    assert password not in str(caught.value)


def test_databases_are_compared_without_their_users() -> None:
    assert same_database("postgresql://app:x@h/d", "postgres://owner:y@h:5432/d")
    assert same_database("host=h dbname=d", "postgresql://h/d")
    for other in ("postgresql://h/e", "postgresql://i/d", "postgresql://h:5433/d"):
        assert not same_database("postgresql://h/d", other)
    assert same_database("postgresql://pooler:6432/d", "postgresql://h/d", pooled=True)
    assert not same_database("postgresql://pooler:6432/d", "postgresql://h/e", pooled=True)


# ---------------------------------------------------------------------------------------------------------- translation


def sqlstate(code: str, message: str = "something") -> psycopg.Error:
    return psycopg.errors.lookup(code)(message)


@pytest.mark.parametrize(
    ("error", "kind", "message", "state"),
    [
        (
            psycopg.OperationalError('connection failed: FATAL:  password authentication failed for user "u"'),
            ConnectionFailedError,
            "h:5432/d refused the user or the password",
            None,
        ),
        (
            psycopg.OperationalError("connection failed: fe_sendauth: no password supplied"),
            ConnectionFailedError,
            "refused the user or the password",
            None,
        ),
        (
            psycopg.OperationalError('connection failed: FATAL:  database "d" does not exist'),
            ConnectionFailedError,
            'database "d" does not exist: create it',
            None,
        ),
        (
            psycopg.OperationalError(
                'connection failed: connection to server at "127.0.0.1", port 1 failed: Connection refused\n'
                "\tIs the server running on that host and accepting TCP/IP connections?"
            ),
            ConnectionFailedError,
            "no connection to h:5432/d (Connection refused): is the server running",
            None,
        ),
        (psycopg.OperationalError("the connection is lost"), ConnectionFailedError, "the connection is lost", None),
        (psycopg.InterfaceError("the connection is closed"), ConnectionFailedError, "closed", None),
        (PoolTimeout("couldn't get a connection after 1 sec"), ConnectionFailedError, "raise pool_size", None),
        (sqlstate("28P01"), ConnectionFailedError, "refused the user or the password", "28P01"),
        (sqlstate("28000"), ConnectionFailedError, "refused the user or the password", "28000"),
        (sqlstate("42501", "permission denied for table x"), PermissionDeniedError, "ADMIN_DATABASE_URL", "42501"),
        (sqlstate("0A000", 'extension "vector" is not available'), ExtensionError, "install pgvector >= 0.8", "0A000"),
        (sqlstate("58P01", 'could not open "vector.control"'), ExtensionError, "install pgvector >= 0.8", "58P01"),
        (sqlstate("0A000", "not supported"), DatabaseError, "not supported", "0A000"),
        (sqlstate("08006"), ConnectionFailedError, "broke (something): try again", "08006"),
        (sqlstate("57P01"), ConnectionFailedError, "broke (something): try again", "57P01"),
        (sqlstate("53300", "too many clients"), ConnectionFailedError, "raise max_connections", "53300"),
        (sqlstate("42P01", 'relation "x" does not exist'), DatabaseError, "Open it again", "42P01"),
        (sqlstate("57014", "canceling"), DatabaseError, "h:5432/d: canceling: raise statement_timeout", "57014"),
        (sqlstate("42P05", 'prepared statement "_pg3_0" already exists'), DatabaseError, "prepare=False", "42P05"),
        (sqlstate("26000", 'prepared statement "_pg3_0" does not exist'), DatabaseError, "prepare=False", "26000"),
        (sqlstate("55P03", "lock"), DatabaseError, "raise lock_timeout", "55P03"),
        (sqlstate("25006", "cannot execute INSERT"), DatabaseError, "name the primary server", "25006"),
        (sqlstate("53100", "could not extend file"), DatabaseError, "the server's disk is full", "53100"),
        (sqlstate("53200", "out of memory"), DatabaseError, "lower maintenance_work_mem", "53200"),
        (
            psycopg.OperationalError('connection failed: FATAL:  too many connections for role "app"'),
            ConnectionFailedError,
            'h:5432/d: too many connections for role "app": raise max_connections',
            None,
        ),
        (sqlstate("22012", "division by zero\nDETAIL: secret row"), DatabaseError, "division by zero", "22012"),
        (psycopg.DataError("text fields cannot contain NUL"), DatabaseError, "NUL", None),
        (psycopg.ProgrammingError(""), DatabaseError, "ProgrammingError", None),
    ],
)
def test_errors_of_psycopg_in_our_words(
    error: psycopg.Error, kind: type[DatabaseError], message: str, state: str | None
) -> None:
    found = translate(error, "postgresql://u:s3cret@h/d")
    assert type(found) is kind
    assert message in str(found)
    assert found.sqlstate == state
    assert "\n" not in str(found)
    assert "s3cret" not in str(found)
    assert "DETAIL" not in str(found)


def test_only_a_broken_connection_counts_as_lost() -> None:
    lost = ["08000", "08003", "08006", "57P01", "57P02", "57P03"]
    for code in lost:
        assert is_lost(sqlstate(code)), code
    for code in ("57014", "40P01", "40001", "42501", "23505", "53300", "22P02", "55P03"):
        assert not is_lost(sqlstate(code)), code
    assert is_lost(psycopg.OperationalError("server closed the connection unexpectedly"))
    assert not is_lost(PoolTimeout("nothing became free"))
    assert not is_lost(psycopg.DataError("NUL"))
    assert not is_lost(ValueError("no"))


def test_only_what_postgres_undid_counts_as_rolled_back() -> None:
    assert is_rolled_back(sqlstate("40P01"))
    assert is_rolled_back(sqlstate("40001"))
    for code in ("57P01", "23505", "57014"):
        assert not is_rolled_back(sqlstate(code))


def test_every_branch_of_the_reason_is_one_line() -> None:
    many = psycopg.OperationalError(
        'connection failed: connection to server at "h", port 1 failed: timeout expired\nMultiple attempts failed.'
    )
    assert re.search(r"\(timeout expired\)", str(translate(many, "host=h")))


@pytest.mark.parametrize("wrong", [5, b"postgresql://a:secret@h/d", ["secret"], object(), "\ud800"])
def test_what_is_no_url_is_refused_without_showing_it(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="database URL") as caught:
        normalise_url(wrong)
    assert "secret" not in str(caught.value)
