"""Chat messages in a table: langchain-postgres's PostgresChatMessageHistory, table and all."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import BaseMessage, message_to_dict, messages_from_dict
from psycopg import sql

from rag_pgvector.database import Database
from rag_pgvector.drivers import adrive, drive
from rag_pgvector.errors import ChunkError, ConfigError
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import table_name as fitting_name

__all__ = ["PostgresChatMessageHistory"]

T = TypeVar("T")


class PostgresChatMessageHistory(BaseChatMessageHistory):
    """The messages of one session, in the order in which they were added.

    Args:
        table_name: Letters, digits and underscores, at most 63 bytes; ``create_tables`` makes it.
        session_id: A UUID.
        sync_connection, async_connection: psycopg connections of the caller, on which every method commits.
        database: A ``Database`` instead of connections: both colours, pooled.
    """

    def __init__(
        self,
        table_name: str,
        session_id: str,
        /,
        *,
        sync_connection: psycopg.Connection[Any] | None = None,
        async_connection: psycopg.AsyncConnection[Any] | None = None,
        database: Database | None = None,
    ) -> None:
        if sync_connection is None and async_connection is None and database is None:
            raise ConfigError("give sync_connection, async_connection, or database")
        try:
            self._session = str(uuid.UUID(session_id))
        except (ValueError, AttributeError, TypeError):
            raise ConfigError(f"session_id={session_id!r:.80}: use a UUID, such as str(uuid.uuid4())") from None
        self._table = _identifier(table_name)
        self._connection, self._aconnection, self._db = sync_connection, async_connection, database

    @staticmethod
    def create_tables(connection: psycopg.Connection[Any], table_name: str, /) -> None:
        """Create the table and its index where there are none."""
        _on(connection, lambda: _create(table_name))

    @staticmethod
    async def acreate_tables(connection: psycopg.AsyncConnection[Any], table_name: str, /) -> None:
        await _aon(connection, lambda: _create(table_name))

    @staticmethod
    def drop_table(connection: psycopg.Connection[Any], table_name: str, /) -> None:
        """Drop the table, with the messages of every session."""
        _on(connection, lambda: _drop(table_name))

    @staticmethod
    async def adrop_table(connection: psycopg.AsyncConnection[Any], table_name: str, /) -> None:
        await _aon(connection, lambda: _drop(table_name))

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Add messages, all or none. Raises ChunkError for a NUL byte, which Postgres cannot store."""
        text = _as_json(messages)
        self._run(lambda: _add(self._table, self._session, text))

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        text = _as_json(messages)
        await self._arun(lambda: _add(self._table, self._session, text))

    def get_messages(self) -> list[BaseMessage]:
        """The session's messages, the oldest first."""
        return messages_from_dict(self._run(lambda: _get(self._table, self._session)))

    async def aget_messages(self) -> list[BaseMessage]:
        return messages_from_dict(await self._arun(lambda: _get(self._table, self._session)))

    @property
    def messages(self) -> list[BaseMessage]:
        """As ``get_messages``; assigning replaces them, in one transaction."""
        return self.get_messages()

    @messages.setter
    def messages(self, value: Sequence[BaseMessage]) -> None:
        text = _as_json(value)
        self._run(lambda: _replace(self._table, self._session, text))

    def clear(self) -> None:
        """Delete the session's messages."""
        self._run(lambda: _clear(self._table, self._session))

    async def aclear(self) -> None:
        await self._arun(lambda: _clear(self._table, self._session))

    def _run(self, make_plan: Callable[[], Plan[T]]) -> T:
        if self._db is not None:
            return self._db.run(make_plan, atomic=True)
        if self._connection is None:
            raise ConfigError("made with async_connection only: use the asynchronous methods, or give sync_connection")
        return _on(self._connection, make_plan)

    async def _arun(self, make_plan: Callable[[], Plan[T]]) -> T:
        if self._db is not None:
            return await self._db.arun(make_plan, atomic=True)
        if self._aconnection is None:
            raise ConfigError("made with sync_connection only: use the synchronous methods, or give async_connection")
        return await _aon(self._aconnection, make_plan)


def _on(connection: psycopg.Connection[Any], make_plan: Callable[[], Plan[T]]) -> T:
    with connection.transaction():
        result = drive(connection, make_plan())
    connection.commit()  # the caller's open transaction, as the peer does
    return result


async def _aon(connection: psycopg.AsyncConnection[Any], make_plan: Callable[[], Plan[T]]) -> T:
    async with connection.transaction():
        result = await adrive(connection, make_plan())
    await connection.commit()
    return result


def _identifier(name: str) -> sql.Identifier:
    if not isinstance(name, str) or re.fullmatch(r"\w+", name) is None or len(name.encode()) > 63:
        raise ConfigError(f"table name {name!r:.80}: use letters, digits and underscores, at most 63 bytes")
    return sql.Identifier(name)


def _as_json(messages: Sequence[BaseMessage]) -> str:
    text = json.dumps([message_to_dict(message) for message in messages])
    if re.search(r"(?<!\\)(\\\\)*\\u0000", text):
        raise ChunkError("a message holds a NUL byte, which Postgres cannot store: remove it")
    return text


# ------------------------------------------------------------------------------------------------------------ plans


def _create(name: str) -> Plan[None]:
    table = _identifier(name)
    # Two CREATE TABLE IF NOT EXISTS at once collide in the catalogue.
    yield Execute(sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended(%s, 4))"), (name,))
    yield Execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (id serial PRIMARY KEY, session_id uuid NOT NULL, message jsonb NOT NULL, "
            "created_at timestamptz NOT NULL DEFAULT now())"
        ).format(table),
        prepare=False,
    )
    index = f"idx_{name}_session_id"
    if len(index.encode()) > 63:
        index = fitting_name(f"{name}_session_id", "idx")
    query = sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} (session_id)").format(sql.Identifier(index), table)
    yield Execute(query, prepare=False)


def _drop(name: str) -> Plan[None]:
    yield Execute(sql.SQL("DROP TABLE IF EXISTS {}").format(_identifier(name)), prepare=False)


def _add(table: sql.Identifier, session: str, text: str) -> Plan[None]:
    query = sql.SQL(
        "INSERT INTO {} (session_id, message) SELECT %s::uuid, message FROM jsonb_array_elements(%s::jsonb) "
        "WITH ORDINALITY AS given (message, place) ORDER BY place"
    )
    yield Execute(query.format(table), (session, text))


def _get(table: sql.Identifier, session: str) -> Plan[list[dict[str, Any]]]:
    rows = yield Execute(
        sql.SQL("SELECT message FROM {} WHERE session_id = %s::uuid ORDER BY id").format(table), [session]
    )
    return [row[0] for row in rows]


def _clear(table: sql.Identifier, session: str) -> Plan[None]:
    yield Execute(sql.SQL("DELETE FROM {} WHERE session_id = %s::uuid").format(table), (session,))


def _replace(table: sql.Identifier, session: str, text: str) -> Plan[None]:
    yield from _clear(table, session)
    yield from _add(table, session, text)
