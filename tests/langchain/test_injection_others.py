"""SQL injection through what stands beside the stores: PGVector, records, chat history and the importer."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from psycopg import sql

from rag_pgvector import CollectionConfig, Database
from rag_pgvector.ingest.importers import adopt, import_v1, import_v2, v1_rows, v2_rows
from rag_pgvector.langchain import PGRecordManager, PGRetriever, PGVector, PostgresChatMessageHistory
from tests.langchain.hostile import FOREIGN, IDENTIFIERS, KEYS, OPERATORS, VALUES, World, world
from tests.langchain.stores import Angles, contents

EVERYTHING = [*VALUES, *KEYS, *OPERATORS, *IDENTIFIERS]


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with Database(database_url) as db:
        yield db


@pytest.fixture
def attacked(db: Database) -> Iterator[World]:
    """A store with a foreign row, and one of ours; its records are there, too."""
    PGRecordManager("n", connection=db).create_schema()
    PGVector(Angles(), connection=db, collection_name="docs").add_texts(
        [FOREIGN, "ours"], metadatas=[{"owner": "them"}, {"owner": "me"}], ids=["1", "2"]
    )
    db.collection("imported", config=CollectionConfig(dimensions=3))
    with world(db.url) as made:
        yield made


@pytest.fixture
def store(attacked: World, db: Database) -> PGVector:
    return PGVector(Angles(), connection=db, collection_name="docs")


def test_filters_of_pgvector_and_of_the_retriever(store: PGVector, attacked: World) -> None:
    retriever = PGRetriever(store=store)
    filters: list[Any] = [{"owner": value} for value in VALUES]
    filters += [{"owner": {"$in": [value, "zzz"]}} for value in VALUES]
    filters += [{key: "zzz"} for key in KEYS if key != "metadata"]
    filters += [{"owner": {operator: "zzz"}} for operator in OPERATORS]
    filters += [{operator: [{"owner": "zzz"}]} for operator in OPERATORS]
    filters += [*VALUES, [*VALUES]]
    for filter in filters:
        attempts = {
            "search": lambda filter=filter: store.similarity_search("x", filter=filter),
            "mmr": lambda filter=filter: store.max_marginal_relevance_search("x", filter=filter),
            "delete": lambda filter=filter: store.delete(filter=filter),
            "retriever": lambda filter=filter: retriever.invoke("x", filter=filter),
        }
        for name, attempt in attempts.items():
            attacked.attempt(f"{name} {filter}", attempt)
    assert contents(store.get_by_ids(["1", "2"])) == [FOREIGN, "ours"]


def test_ids_and_texts_of_pgvector(store: PGVector, attacked: World) -> None:
    for value in VALUES:
        attacked.attempt(f"get {value}", lambda value=value: store.get_by_ids([value]))  # type: ignore[misc]
        attacked.attempt(f"delete {value}", lambda value=value: store.delete([value]))  # type: ignore[misc]
    store.add_documents([Document(value, id=value, metadata={"v": value}) for value in VALUES])
    for value in VALUES:
        assert contents(store.similarity_search("x", k=1, filter={"v": value})) == [value]
    store.delete([*VALUES])
    assert store.collection.count() == 2


def test_names_of_collections(attacked: World, db: Database) -> None:
    """A name is a value: each makes a collection of its own, or is refused."""
    for name in IDENTIFIERS:
        try:
            store = PGVector(Angles(), connection=db, collection_name=name)
        except ValueError:
            continue
        assert store.similarity_search("x") == []
        store.delete_collection()


def test_tenants_of_a_chain(store: PGVector, attacked: World) -> None:
    for value in EVERYTHING:
        config: Any = {"configurable": {"tenant": value}}
        attacked.attempt(f"tenant {value}", lambda config=config: PGRetriever(store=store).invoke("x", config))  # type: ignore[misc]


def test_records(attacked: World, db: Database) -> None:
    for value in EVERYTHING:
        records = PGRecordManager(value, connection=db)
        if "\0" in value:
            continue
        records.update([value], group_ids=[value])
        assert records.list_keys(group_ids=[value]) == records.list_keys() == [value]
        assert records.exists([value, "other"]) == [True, False]
        records.delete_keys([value])
        assert records.list_keys() == []
    for name in IDENTIFIERS:

        def elsewhere(name: str = name) -> list[bool]:
            return PGRecordManager("n", connection=db, schema_name=name).exists(["x"])

        attacked.attempt(f"schema {name}", elsewhere, may_miss=("42P01", "3F000"))


def test_chat_history(attacked: World, db: Database) -> None:
    with psycopg.connect(db.url) as conn:
        for name in IDENTIFIERS:
            if name != "SELECT":
                with pytest.raises(ValueError, match="table name"):
                    PostgresChatMessageHistory.create_tables(conn, name)
        PostgresChatMessageHistory.create_tables(conn, "SELECT")
        history = PostgresChatMessageHistory("SELECT", str(uuid.uuid4()), sync_connection=conn)
        history.add_messages([HumanMessage(value) for value in VALUES])
        assert [message.content for message in history.messages] == [*VALUES]
        PostgresChatMessageHistory.drop_table(conn, "SELECT")


def test_the_importer(attacked: World, db: Database) -> None:
    docs = db.collection("imported")
    for name in EVERYTHING:
        for rows in (v1_rows(name), v2_rows(name), v2_rows("victim", schema=name), v2_rows("victim", id_column=name)):
            attacked.attempt(f"import {name}", lambda rows=rows: db.run(lambda: rows))  # type: ignore[misc]
        attacked.attempt(f"import {name}", lambda name=name: import_v1(db, name, docs))  # type: ignore[misc]
        attacked.attempt(f"import {name}", lambda name=name: import_v2(db, name, docs))  # type: ignore[misc]
    assert docs.count() == 0


def test_tables_of_hostile_names_are_imported(db: Database) -> None:
    """What a database holds is not what its owner would have chosen."""
    docs = db.collection("imported", config=CollectionConfig(dimensions=3))
    names = [name for name in IDENTIFIERS if name and not set("\0%") & set(name) and len(name) < 60]
    with psycopg.connect(db.url, autocommit=True) as conn:
        for i, name in enumerate(names):
            query = sql.SQL("CREATE TABLE {0} ({1} text PRIMARY KEY, {2} text, {3} vector(3), {4} text)")
            columns = [sql.Identifier(f"{kind}{name}") for kind in ("id", "text", "vector", "meta")]
            conn.execute(query.format(sql.Identifier(name), *columns))
            insert = sql.SQL("INSERT INTO {} VALUES (%s, %s, '[1,2,3]', %s)").format(sql.Identifier(name))
            conn.execute(insert, (str(i), f"text {i}", "value"))
            rows = db.run(lambda name=name: v2_rows(name, content_column=f"text{name}"))  # type: ignore[misc]
            assert adopt(db, rows, docs).added == 1
            assert docs.get([str(i)])[0].metadata == {f"meta{name}": "value"}
