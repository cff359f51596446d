"""PGRecordManager and LangChain's index(), and PostgresChatMessageHistory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import aindex, index
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from psycopg_pool import ConnectionPool

from rag_pgvector import Collection, Database
from rag_pgvector.errors import ChunkError, ConfigError, DatabaseError
from rag_pgvector.langchain import PGDocumentIndex, PGRecordManager, PGVector, PostgresChatMessageHistory

Call = Callable[..., Any]


@pytest.fixture
def records(db: Database) -> PGRecordManager:
    records = PGRecordManager(str(uuid.uuid4()), connection=db)
    records.create_schema()
    return records


# ---------------------------------------------------------------------------------------------------------- records


def test_records_are_kept_by_namespace(records: PGRecordManager, db: Database, call: Call) -> None:
    other = PGRecordManager(records.namespace + "x", connection=db)
    call(records, "update", ["a", "b", "a"], group_ids=["g", "h", "g"])
    call(other, "update", ["a"])
    assert call(records, "exists", ["b", "missing", "a"]) == [True, False, True]
    assert call(records, "list_keys", group_ids=["g"]) == ["a"]
    call(records, "delete_keys", ["a", "missing"])
    assert call(records, "exists", ["a", "b"]) == [False, True]
    assert call(other, "exists", ["a"]) == [True]
    call(records, "clear")
    assert call(records, "list_keys") == []
    assert call(other, "list_keys") == ["a"]


def test_the_clock_is_the_servers(records: PGRecordManager, call: Call) -> None:
    call(records, "update", ["old"])
    between = call(records, "get_time")
    call(records, "update", ["new"], time_at_least=between)
    assert call(records, "list_keys", before=between) == ["old"]
    assert call(records, "list_keys", after=between) == ["new"]
    assert call(records, "list_keys", limit=1) == ["old"]
    with pytest.raises(DatabaseError, match="clock"):
        call(records, "update", ["x"], time_at_least=between + 1000)
    assert call(records, "exists", ["x"]) == [False]


def test_many_keys_are_one_statement(records: PGRecordManager, call: Call) -> None:
    keys = [f"key {i} O'Brien" for i in range(70_000)]
    call(records, "update", keys)
    assert all(call(records, "exists", keys))
    call(records, "delete_keys", keys)
    assert call(records, "list_keys") == []


def test_records_of_tenants_are_apart(db: Database, records: PGRecordManager) -> None:
    acme, apex = (PGRecordManager(records.namespace, connection=db, tenant=tenant) for tenant in ("acme", "apex"))
    acme.update(["a"])
    assert apex.exists(["a"]) == records.exists(["a"]) == [False]
    with pytest.raises(ConfigError):
        records.update(["a"], group_ids=[])
    with pytest.raises(ConfigError):
        PGRecordManager("n", connection=db, scope="s")


def test_the_table_may_be_made_by_many_at_once(database_url: str) -> None:
    async def run() -> None:
        async with Database(database_url) as db:
            await asyncio.gather(*(PGRecordManager("n", connection=db).acreate_schema() for _ in range(5)))

    asyncio.run(run())


# ------------------------------------------------------------------------------------------------------------ index


def documents(*texts: str, source: str = "one") -> list[Document]:
    return [Document(text, metadata={"source": source}) for text in texts]


@pytest.mark.filterwarnings("ignore:Using SHA-1:UserWarning")
@pytest.mark.parametrize("encoder", ["sha1", "sha256", "blake2b"])
@pytest.mark.parametrize(
    ("cleanup", "left"),
    [
        (None, {"a", "b", "c", "d"}),
        ("incremental", {"b", "c", "d"}),
        ("full", {"b", "c"}),
        ("scoped_full", {"b", "c", "d"}),
    ],
)
def test_index_in_every_mode(
    make: Callable[..., Collection], records: PGRecordManager, loop: Any, cleanup: Any, left: set[str], encoder: Any
) -> None:
    """Documents of source one change, those of source two are not given again."""
    for colour in ("sync", "async"):
        embedder = DeterministicFakeEmbedding(size=6)
        docs = make(embedder, dimensions=6)
        store: Any = PGDocumentIndex(store=docs)
        if colour == "async":
            store = PGVector(embedder, collection_name=docs.name, connection=docs.database)
        records.clear()

        def run(given: list[Document], store: Any = store, colour: str = colour) -> Any:
            options: Any = {"cleanup": cleanup, "source_id_key": "source", "key_encoder": encoder}
            if colour == "sync":
                return index(given, records, store, **options)
            return loop.run_until_complete(aindex(given, records, store, **options))

        first = run(documents("a", "b") + documents("d", source="two"))
        assert (first["num_added"], first["num_skipped"]) == (3, 0)
        second = run(documents("b", "c"))
        assert (second["num_added"], second["num_skipped"]) == (1, 1)
        assert second["num_deleted"] == 4 - len(left)
        assert {chunk.content for chunk in docs.list()} == left
        assert set(records.list_keys()) == {chunk.id for chunk in docs.list()}


# ------------------------------------------------------------------------------------------------------------- chat

MESSAGES: list[BaseMessage] = [SystemMessage("Meow"), AIMessage("woof \U0001f415 O'Brien"), HumanMessage("bark\\u0000")]


def test_chat_history(module_database_url: str) -> None:
    session, other = str(uuid.uuid4()), str(uuid.uuid4())
    with psycopg.connect(module_database_url) as connection:
        for _ in range(2):
            PostgresChatMessageHistory.create_tables(connection, "User")
        history = PostgresChatMessageHistory("User", session, sync_connection=connection)
        neighbour = PostgresChatMessageHistory("User", other, sync_connection=connection)
        neighbour.add_messages(MESSAGES[:1])
        history.add_messages(MESSAGES)
        history.add_messages(MESSAGES)
        assert history.messages == MESSAGES * 2
        history.messages = MESSAGES[:2]
        assert history.messages == MESSAGES[:2]
        history.add_user_message("more")
        with pytest.raises(ChunkError, match="NUL"):
            history.add_messages([HumanMessage("a\0b")])
        connection.rollback()
        assert len(history.messages) == 3
        history.clear()
        assert history.messages == []
        assert neighbour.messages == MESSAGES[:1]
        with pytest.raises(ConfigError, match="async_connection"):
            asyncio.run(history.aget_messages())
        PostgresChatMessageHistory.drop_table(connection, "User")


async def test_chat_history_async(module_database_url: str) -> None:
    session = str(uuid.uuid4())
    async with await psycopg.AsyncConnection.connect(module_database_url) as connection:
        await PostgresChatMessageHistory.acreate_tables(connection, "chat_async")
        history = PostgresChatMessageHistory("chat_async", session, async_connection=connection)
        await history.aadd_messages(MESSAGES)
        assert await history.aget_messages() == MESSAGES
        await history.aclear()
        assert await history.aget_messages() == []
        with pytest.raises(ConfigError, match="sync_connection"):
            history.add_messages(MESSAGES)
        await PostgresChatMessageHistory.adrop_table(connection, "chat_async")


def test_chat_history_over_a_database(db: Database, module_database_url: str, call: Call) -> None:
    name = "chat_" + "x" * 58
    with psycopg.connect(module_database_url) as connection:
        PostgresChatMessageHistory.create_tables(connection, name)
    history = PostgresChatMessageHistory(name, str(uuid.uuid4()), database=db)
    call(history, "add_messages", MESSAGES)
    assert call(history, "get_messages") == MESSAGES


def test_chat_history_refuses_what_cannot_be(module_database_url: str, db: Database) -> None:
    with pytest.raises(ConfigError):
        PostgresChatMessageHistory("t", str(uuid.uuid4()))
    for table, session in (
        ("t", "1"),
        ("t; DROP TABLE x", str(uuid.uuid4())),
        ("t\n", str(uuid.uuid4())),
        ("x" * 64, ""),
    ):
        with pytest.raises(ConfigError):
            PostgresChatMessageHistory(table, session, database=db)
    with ConnectionPool(module_database_url, open=True) as pool, pool.connection() as connection:
        with pytest.raises(ConfigError):
            PostgresChatMessageHistory.create_tables(connection, "a b")
