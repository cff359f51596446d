"""Hostile keys, operators, values, names and languages: nothing that LlamaIndex's front door takes becomes SQL."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery, VectorStoreQueryMode

from rag_pgvector import Database
from rag_pgvector.errors import DatabaseError, RagPgvectorError
from rag_pgvector.llamaindex import PGVectorStore
from tests.llamaindex.conftest import PLACES, Make
from tests.llamaindex.test_store import near, node

HOSTILE = [
    "zzz' OR '1'='1",
    "zzz' OR '1'='1' --",
    "s' = 'zzz' OR '1'='1' --",
    "'",
    "''",
    "'''",
    '"',
    '""',
    '"; DROP TABLE canary; --',
    "'; DROP TABLE canary; --",
    "'); DROP TABLE canary; --",
    "') OR true --",
    "a') IS NOT NULL OR (true",
    "x'::jsonb OR true --",
    "$$; DROP TABLE canary; $$",
    "$1",
    "$2",
    "%s",
    "%(x)s",
    "%",
    "%%",
    "%s%s%s%s",
    ":foo",
    "::text",
    ":p0",
    "{}",
    "{0}",
    "{table}",
    "\\",
    "\\'",
    "\\\\",
    "E'\\x27'",
    "\\u0027 OR 1=1",
    "/* */",
    "/*",
    "*/ OR true /*",
    "--",
    "; SELECT pg_sleep(10)",
    "1; SELECT pg_sleep(10)",
    "(SELECT version())",
    "pg_sleep(10)",
    "current_user",
    "user",
    "metadata_",
    "metadata",
    "_node_content",
    "tenant_id",
    "content",
    "embedding",
    "id = id",
    "*",
    "$.s",
    "$.** ? (@ == 1)",
    '" || true',
    '"."',
    "a.b",
    "a[*]",
    "->>",
    "?|",
    "?",
    "@>",
    "OR",
    "NULL",
    "null",
    "true",
    "nan",
    "inf",
    "1e999",
    "0x41",
    "'||(SELECT 1/0)||'",
    "ＯＲ １＝１",
    "\u2019 OR 1=1",
    "\u202e' OR 1=1",
    "a\nb'--",
    "\t",
    "public.canary",
    'public"."canary',
    "'a' < 'b'",
    "<script>",
    "' UNION SELECT * FROM canary --",
    "é" * 300,
]
OPERATORS = [
    "==",
    "!=",
    "<",
    ">=",
    "in",
    "nin",
    "any",
    "all",
    "contains",
    "text_match",
    "text_match_insensitive",
    "is_empty",
]


def one(key: Any, operator: Any, value: Any) -> Any:
    return SimpleNamespace(filters=[SimpleNamespace(key=key, operator=operator, value=value)], condition="and")


@pytest.fixture(scope="module", params=PLACES)
def target(request: pytest.FixtureRequest, make: Make, db: Database, tenant_db: Database) -> PGVectorStore:
    store = make(request.param)
    store.add([node("mine", "my text", [1, 0], "d1", s="a"), node("own", "own text", [1, 1], "d2", s="b")])
    if request.param == "tenant":
        other = PGVectorStore(collection=store.collection.name, connection=tenant_db, tenant="apex")
        other.add([node("foreign", "foreign text", [1, 0], "d9", s="a")])
    return store


@pytest.fixture(autouse=True)
def canary(module_database_url: str) -> Any:
    with psycopg.connect(module_database_url, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS canary (x int)")
        before = catalogue(conn)
        yield
        assert catalogue(conn) == before


def catalogue(conn: psycopg.Connection[Any]) -> list[Any]:
    """Everything that a statement of somebody else's could have made or dropped."""
    return conn.execute(
        "SELECT n.nspname, c.relname, c.relkind::text, c.relacl::text FROM pg_class c "
        "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' ORDER BY 1, 2"
    ).fetchall()


@contextlib.contextmanager
def refusals_of_ours() -> Iterator[None]:
    """Lets pass what we refuse ourselves. What reaches the database must be no error of syntax there."""
    try:
        yield
    except DatabaseError as error:
        if error.sqlstate in ("42601", "42703", "42P01", "22P02", "42804"):
            raise AssertionError(f"reached the database as SQL: {error}") from error
    except RagPgvectorError:
        pass


def run(store: PGVectorStore, filters: Any) -> set[str]:
    """What a filter finds, by reading and by both kinds of search. Errors must be ours, and not of syntax."""
    found: set[str] = set()
    with refusals_of_ours():
        found |= {each.node_id for each in store.get_nodes(filters=filters)}
    with refusals_of_ours():
        found |= set(store.query(near([1, 0], 10, filters=filters)).ids)
    assert "foreign" not in found
    return found


def test_there_are_enough() -> None:
    assert len(set(HOSTILE)) >= 60


def test_hostile_keys_match_nothing(target: PGVectorStore) -> None:
    for key in HOSTILE:
        assert run(target, one(key, "==", "a")) == set(), key
        assert run(target, one(key, "in", ["a", "b"])) == set(), key
        assert run(target, one(key, "any", ["a"])) == set(), key
        assert run(target, one(key, "text_match", "a")) <= ({"mine", "own"} if key == "_node_content" else set()), key
        assert run(target, one(key, ">", "")) <= ({"mine", "own"} if key == "_node_content" else set()), key


def test_hostile_values_match_nothing(target: PGVectorStore) -> None:
    for value in HOSTILE:
        for operator in ("==", "in", "any", "all", "contains", "text_match"):
            given = [value] if operator in ("in", "any", "all") else value
            assert run(target, one("s", operator, given)) == set(), (operator, value)
    everything = one("s", "nin", HOSTILE)
    assert run(target, everything) == {"mine", "own"}
    assert run(target, SimpleNamespace(filters=[everything], condition="not")) == set()


def test_hostile_operators_and_conditions_are_refused(target: PGVectorStore) -> None:
    for text in HOSTILE:
        for filters in (one("s", text, "a"), SimpleNamespace(filters=one("s", "==", "a").filters, condition=text)):
            with pytest.raises(RagPgvectorError):
                target.get_nodes(filters=filters)
            with pytest.raises(RagPgvectorError):
                target.delete_nodes(filters=filters)
    assert run(target, MetadataFilters(filters=[])) == {"mine", "own"}


def test_hostile_ids_delete_and_find_nothing(target: PGVectorStore) -> None:
    target.delete_nodes(list(HOSTILE))
    for text in HOSTILE:
        target.delete(text)
        target.delete_nodes(filters=one(text, "==", text))
        target.delete_nodes(filters=one("s", "==", text))
    assert target.get_nodes(list(HOSTILE)) == []
    assert target.query(near([1, 0], 10, node_ids=HOSTILE, doc_ids=HOSTILE)).ids == []
    assert run(target, MetadataFilters(filters=[])) == {"mine", "own"}


def test_hostile_nodes_come_back_as_they_are(target: PGVectorStore) -> None:
    nodes = [node(f"{i} {text}"[:99], text, [0, 1], text, **{text: text}) for i, text in enumerate(HOSTILE)]
    target.add(nodes)
    for each, text in zip(nodes, HOSTILE, strict=True):
        [found] = target.get_nodes([each.node_id])
        assert (found.get_content(), found.metadata, found.ref_doc_id) == (text, {text: text}, text)
        if text not in ("true", "_node_content"):
            assert [n.node_id for n in target.get_nodes([each.node_id], one(text, "==", text))] == [each.node_id]
    target.delete_nodes([each.node_id for each in nodes])
    assert run(target, MetadataFilters(filters=[])) == {"mine", "own"}


def test_hostile_words_are_only_looked_for(target: PGVectorStore) -> None:
    for text in HOSTILE:
        query = VectorStoreQuery(query_str=text, similarity_top_k=5, mode=VectorStoreQueryMode.TEXT_SEARCH)
        with refusals_of_ours():
            assert "foreign" not in target.query(query).ids


@pytest.mark.parametrize("argument", ["table_name", "schema_name", "text_search_config", "collection"])
def test_hostile_names_are_names_or_errors(db: Database, module_database_url: str, argument: str) -> None:
    for text in HOSTILE[:40]:
        options: dict[str, Any] = {"table_name": uuid.uuid4().hex[:12], "embed_dim": 2, "hybrid_search": True}
        if argument == "collection":
            options = {}
        with refusals_of_ours():
            store = PGVectorStore(connection=db, **{**options, argument: text})
            store.add([node("x", "x", [1, 0])])
            assert store.query(near([1, 0])).ids == ["x"]
            drop(store, module_database_url)


@pytest.mark.parametrize("target", ["tenant"], indirect=True)
def test_hostile_tenants_are_tenants_or_errors(target: PGVectorStore, tenant_db: Database) -> None:
    for text in HOSTILE:
        bindings: list[dict[str, Any]] = [{"tenant": text}, {"tenant": "other", "scope": text}]
        for bound in bindings:
            with refusals_of_ours():
                stranger = PGVectorStore(collection=target.collection.name, connection=tenant_db, **bound)
                assert stranger.get_nodes(["mine"]) == []
                stranger.clear()
    assert target.query(near([1, 0])).ids == ["mine", "own"]


def drop(store: PGVectorStore, url: str) -> None:
    from psycopg import sql

    table = store.collection._table
    if table.layout.native:
        store.collection.drop()
        return
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(sql.SQL("DROP TABLE {}").format(table.identifier))
        if table.layout.schema not in ("public", "rag"):
            conn.execute(sql.SQL("DROP SCHEMA IF EXISTS {}").format(sql.Identifier(table.layout.schema)))


def test_hostile_index_arguments_are_refused(db: Database) -> None:
    for text in HOSTILE:
        for options in (
            {"hnsw_kwargs": {"hnsw_m": text, "hnsw_ef_construction": 64}},
            {"hnsw_kwargs": {"hnsw_m": 16, "hnsw_ef_construction": text}},
            {"hnsw_kwargs": {"hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_dist_method": text}},
            {"indexed_metadata_keys": [("k", text)]},
            {"embed_dim": text},
        ):
            with pytest.raises(RagPgvectorError):
                PGVectorStore(connection=db, table_name="never", **options)
