"""Connection strings and the translation of what psycopg raises: no message ever holds a password."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolTimeout

from rag_pgvector.errors import (
    ConfigError,
    ConnectionFailedError,
    DatabaseError,
    ExtensionError,
    PermissionDeniedError,
)

__all__ = [
    "describe",
    "is_lost",
    "is_rolled_back",
    "libpq_options",
    "may_retry",
    "normalise_url",
    "same_database",
    "translate",
]

_DRIVERS = ("+psycopg", "+psycopg_async", "+psycopg2", "+asyncpg")
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_UNREADABLE = (
    "the database URL cannot be read: use postgresql://user:password@host:5432/name and write special characters of "
    "the password as %XX"
)


#: How often a transaction that Postgres rolled back for another's sake (deadlock, serialization) is run again.
ROLLED_BACK_RETRIES = 5
_MANY_CONNECTIONS = "raise max_connections (or the role's CONNECTION LIMIT), or lower pool_size"
_POOLED = (
    "behind a pooler in transaction mode use Database(url, prepare=False), or PgBouncer >= 1.21 with "
    "max_prepared_statements; for eval and tune, name the server itself"
)
#: By SQLSTATE: what the operator of the server can do.
_REMEDIES = {
    "57014": "raise statement_timeout for the role, or give the statement less to do",
    "42P05": _POOLED,
    "26000": _POOLED,
    "55P03": "somebody holds a lock: try again, or raise lock_timeout for the role",
    "25006": "nothing can be written there: name the primary server, or switch default_transaction_read_only off",
    "53100": "the server's disk is full: make room, and run it again (what was stored is whole)",
    "53200": "the server is out of memory: lower maintenance_work_mem, or write less at once",
}


def normalise_url(url: str) -> str:
    """A libpq URL or conninfo from what SQLAlchemy, LangChain and LlamaIndex users write. Raises ConfigError."""
    if not isinstance(url, str):
        # An object may hold a password and show it: only its kind is named.
        raise ConfigError(
            f"database URL of type {type(url).__name__}: use a text, postgresql://user:password@host/name"
        )
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+._-]*)://", url)  # a password may hold "://", too
    if scheme is None:
        return _as_url(_read(url))
    head, rest = scheme[1], url[scheme.end() :]
    for driver in _DRIVERS:
        head = head.removesuffix(driver)
    if head not in ("postgresql", "postgres"):
        raise ConfigError(f"database URL begins with {head + '://'!r}: use postgresql://user:password@host:5432/name")
    rest = _with_sslmode(rest)
    authority, _, name = rest.partition("?")[0].partition("/")
    given = _read(f"{head}://{rest}")
    # libpq takes the rest of a password that holds a plain @ or / for the host, the port and the name.
    if authority.count("@") > 1 or "@" in name or re.search(r"[^0-9,]", str(given.get("port", ""))):
        raise ConfigError(_UNREADABLE)
    return f"{head}://{rest}"


def _with_sslmode(rest: str) -> str:
    """asyncpg calls libpq's sslmode ``ssl``."""
    address, mark, query = rest.rpartition("?")
    if not mark:
        return rest
    return f"{address}?" + "&".join(
        f"sslmode={value}" if name == "ssl" and value in _SSL_MODES else part
        for part in query.split("&")
        for name, _, value in [part.partition("=")]
    )


def _read(url: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(url)
    except (psycopg.ProgrammingError, UnicodeError):
        # Its text quotes the string, password and all.
        raise ConfigError(_UNREADABLE) from None


def _as_url(given: Mapping[str, Any]) -> str:
    """The URL form of a key=value conninfo, for clients that take nothing else."""
    rest = {key: str(value) for key, value in given.items()}
    user, password, name = rest.pop("user", ""), rest.pop("password", ""), rest.pop("dbname", "")
    where = ""
    if re.fullmatch(r"[\w.-]+", rest.get("host", ""), re.ASCII):  # a socket's folder, IPv6, several hosts: no authority
        port = rest.pop("port", "")
        where = rest.pop("host") + (":" + port if port else "")
    if user or password:
        where = f"{quote(user, safe='')}:{quote(password, safe='')}".removesuffix(":") + "@" + where
    return f"postgresql://{where}/{quote(name, safe='')}" + ("?" + urlencode(rest, quote_via=quote) if rest else "")


def same_database(url: str, other: str, *, pooled: bool = False) -> bool:
    """Whether two URLs name the same database of the same server, as whoever.

    ``pooled``: one of them may be a pooler's address, so that only the database's name tells.
    """
    one, two = conninfo_to_dict(url), conninfo_to_dict(other)
    parts = (("dbname", ""),) if pooled else (("host", ""), ("port", "5432"), ("dbname", ""))
    return all((one.get(key) or default) == (two.get(key) or default) for key, default in parts)


def describe(conninfo: str) -> str:
    """Where a conninfo points to, without its password."""
    given = conninfo_to_dict(conninfo)
    host = given.get("host") or given.get("hostaddr") or "the local socket"
    return f"{host}:{given.get('port') or 5432}/{given.get('dbname') or given.get('user') or ''}"


def is_lost(error: BaseException) -> bool:
    """Whether the connection broke, so that an idempotent operation may be tried again on another."""
    if isinstance(error, psycopg.Error) and not isinstance(error, PoolTimeout):
        state = error.sqlstate
        if state is None:
            return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        return state.startswith("08") or state in ("57P01", "57P02", "57P03")
    return False


def is_rolled_back(error: BaseException) -> bool:
    """Whether Postgres undid the whole transaction for another's sake: safe to run again, whatever it was."""
    return isinstance(error, (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure))


def may_retry(error: BaseException, attempt: int, *, atomic: bool, retry: bool) -> bool:
    """Whether to run an operation again after its ``attempt``-th failed: ``retry`` if it is idempotent."""
    if is_lost(error):
        return retry and attempt == 1
    return atomic and is_rolled_back(error) and attempt <= ROLLED_BACK_RETRIES


def translate(error: psycopg.Error | PoolTimeout, conninfo: str = "") -> DatabaseError:
    """The rag_pgvector error for one of psycopg's; the caller raises it ``from`` the original.

    Only the primary message is kept: DETAIL may quote values of rows.
    """
    state = error.sqlstate
    place = describe(conninfo) if conninfo else "the database"
    text = (error.diag.message_primary or str(error)).strip().splitlines()
    message = text[0] if text else type(error).__name__
    kind: type[DatabaseError] = DatabaseError
    if state is None and (is_lost(error) or isinstance(error, PoolTimeout)):
        kind = ConnectionFailedError
        lowered = str(error).lower()
        if "password authentication failed" in lowered or "no password supplied" in lowered:
            message = f"{place} refused the user or the password: check both in DATABASE_URL"
        elif "does not exist" in lowered:
            message = f"{place}: {_reason(str(error))}: create it, or correct DATABASE_URL"
        elif "too many c" in lowered or "remaining connection slots" in lowered:
            message = f"{place}: {_reason(str(error))}: {_MANY_CONNECTIONS}"
        elif isinstance(error, PoolTimeout):
            message = f"no connection to {place} became free in time: raise pool_size or use fewer workers"
        else:
            message = f"no connection to {place} ({_reason(str(error))}): is the server running, is DATABASE_URL right?"
    elif state in ("28P01", "28000"):
        kind, message = ConnectionFailedError, f"{place} refused the user or the password: check both in DATABASE_URL"
    elif state == "42501":
        kind, message = PermissionDeniedError, f"{message}: grant it, or set ADMIN_DATABASE_URL to a role that may"
    elif state in ("58P01", "0A000") and "vector" in message:
        kind = ExtensionError
        message = f"{message}: install pgvector >= 0.8 on the server of {place} (package postgresql-NN-pgvector)"
    elif state and (state.startswith("08") or state in ("57P01", "57P02", "57P03")):
        kind, message = ConnectionFailedError, f"the connection to {place} broke ({message}): try again"
    elif state == "53300":
        kind, message = ConnectionFailedError, f"{place}: {message}: {_MANY_CONNECTIONS}"
    elif state in _REMEDIES:
        message = f"{place}: {message}: {_REMEDIES[state]}"
    elif state == "42P01":
        message = f"{message}: was the collection dropped by somebody else? Open it again"
    return kind(message, state)


def _reason(text: str) -> str:
    """The last clause of libpq's many-line message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = next((line for line in lines if "Is the server" not in line and not line.startswith("- ")), "")
    return first.rsplit("failed: ", 1)[-1].removeprefix("FATAL:").strip() or "unknown reason"


def libpq_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a driver's connection parameters that libpq knows."""
    known = {option.keyword.decode() for option in psycopg.pq.Conninfo.get_defaults()}
    return {key: value for key, value in parameters.items() if key in known and value is not None}
