"""SQL injection through the LangChain store, on both layouts: keys, operators, values, identifiers, languages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.documents import Document

from rag_pgvector.errors import FilterError
from rag_pgvector.langchain import Column, HybridSearchConfig, PGEngine, PGVectorStore
from tests.langchain.hostile import FOREIGN, IDENTIFIERS, KEYS, LANGUAGES, OPERATORS, VALUES, World, world
from tests.langchain.stores import Angles, contents, table


@pytest.fixture
def attacked(store: PGVectorStore) -> Iterator[World]:
    """A store with a foreign row, and one of ours."""
    store.add_texts([FOREIGN, "ours"], [{"owner": "them"}, {"owner": "me", "n": 1}], ids=["1", "2"])
    with world(store.collection.database.url) as made:
        yield made
    assert contents(store.get_by_ids(["1", "2"])) == [FOREIGN, "ours"]


def test_there_are_enough_attacks() -> None:
    assert len({*VALUES, *KEYS, *OPERATORS, *IDENTIFIERS, *LANGUAGES}) >= 60


def test_values(store: PGVectorStore, attacked: World) -> None:
    for value in VALUES:
        for filter in (
            {"owner": value},
            {"owner": {"$in": [value]}},
            {"owner": {"$eq": value}},
            {"owner": {"$between": [value, value]}},
            {"$and": [{"owner": value}, {"owner": {"$exists": True}}]},
            {"owner.deeper": value},
        ):
            attacked.attempt(f"{filter}", lambda filter=filter: store.similarity_search("x", filter=filter))  # type: ignore[misc]
            attacked.attempt(f"delete {filter}", lambda filter=filter: store.delete(filter=filter))  # type: ignore[misc]
        if not set(value) & set("%_"):
            like = {"owner": {"$like": value}}
            attacked.attempt(f"{like}", lambda like=like: store.get(where=like))  # type: ignore[misc]
            attacked.attempt(f"text {like}", lambda value=value: store.get(where_document={"$like": value}))  # type: ignore[misc]
        attacked.attempt(f"id {value}", lambda value=value: store.get_by_ids([value]))  # type: ignore[misc]
        attacked.attempt(f"delete id {value}", lambda value=value: store.delete([value]))  # type: ignore[misc]


def test_values_are_stored_and_found_as_they_are(store: PGVectorStore, attacked: World) -> None:
    ids = store.add_texts(VALUES, [{"v": value} for value in VALUES], ids=[f"id {value}" for value in VALUES])
    for value, id_ in zip(VALUES, ids, strict=True):
        assert contents(store.similarity_search("x", filter={"v": value})) == [value]
        assert contents(store.get_by_ids([id_])) == [value]
    assert store.delete(ids) is True


def test_keys(store: PGVectorStore, attacked: World) -> None:
    for key in KEYS:
        for operand in ("zzz", {"$eq": "zzz"}, {"$gt": "zzz"}, {"$in": ["zzz"]}, {"$like": "zzz"}, {"$exists": True}):
            attacked.attempt(
                f"{key} {operand}",
                lambda key=key, operand=operand: store.similarity_search("x", filter={key: operand}),  # type: ignore[misc]
            )


def test_operators(store: PGVectorStore, attacked: World) -> None:
    for operator in OPERATORS:
        with pytest.raises(FilterError):
            store.similarity_search("x", filter={"owner": {operator: "zzz"}})
        for operand in ("zzz", [{"owner": "zzz"}], {"owner": "zzz"}):
            filter = {operator: operand}
            attacked.attempt(f"{filter}", lambda filter=filter: store.similarity_search("x", filter=filter))  # type: ignore[misc]


@pytest.mark.parametrize("filter", ["owner = 'me'", ["owner"], 1, {"owner"}, True, b"x", Document(page_content="x")])
def test_what_is_no_filter_is_refused(store: PGVectorStore, attacked: World, filter: Any) -> None:
    for call in (store.similarity_search, store.max_marginal_relevance_search):
        with pytest.raises(ValueError, match="a filter is a mapping"):
            call("x", filter=filter)
    with pytest.raises(ValueError, match="a filter is a mapping"):
        store.delete(filter=filter)
    with pytest.raises(ValueError, match="a filter is a mapping"):
        store.get(where=filter)


def test_questions(store: PGVectorStore, attacked: World) -> None:
    for value in VALUES:
        store.similarity_search(value, hybrid_search_config=HybridSearchConfig())
        store.similarity_search("x", hybrid_search_config=HybridSearchConfig(fts_query=value))


def test_languages(store: PGVectorStore, attacked: World) -> None:
    for language in LANGUAGES:
        config = HybridSearchConfig(tsv_lang=language)
        attacked.attempt(
            f"language {language}",
            lambda config=config: store.similarity_search("x", filter={"owner": "me"}, hybrid_search_config=config),  # type: ignore[misc]
            may_miss=["42704"],
        )


def test_identifiers(engine: PGEngine) -> None:
    store = table(engine, metadata_columns=[Column("owner", "TEXT")])
    store.add_texts([FOREIGN], [{"owner": "them"}])
    with world(engine.database.url) as attacked:
        for name in IDENTIFIERS:
            quoted = re.fullmatch(r"[^\0\n%]{1,63}", name) is not None
            for given in (
                {"table_name": name},
                {"table_name": "t", "schema_name": name},
                {"table_name": "t", "id_column": name},
                {"table_name": "t", "content_column": name},
                {"table_name": "t", "embedding_column": name},
                {"table_name": "t", "metadata_columns": [name]},
            ):
                with pytest.raises(ValueError):
                    PGVectorStore.create_sync(engine, Angles(), **given)
            attacked.attempt(f"index {name}", lambda name=name: store.is_valid_index(name))  # type: ignore[misc]
            attacked.attempt(f"drop index {name}", lambda name=name: store.drop_vector_index(name))  # type: ignore[misc]
            attacked.attempt(f"reindex {name}", lambda name=name: store.reindex(name))  # type: ignore[misc]
            attacked.attempt(f"drop {name}", lambda name=name: engine.drop_table(name))  # type: ignore[misc]
            if quoted:  # a name like any other
                engine.init_vectorstore_table(name, 3, metadata_columns=[Column(name + "x"[: 63 - len(name)], "TEXT")])
                engine.drop_table(name)
            else:
                with pytest.raises(ValueError):
                    engine.init_vectorstore_table(name, 3)
            for type_ in (name, f"TEXT {name}", f"TEXT, {name} TEXT"):
                attacked.attempt(
                    f"type {type_}",
                    lambda type_=type_: engine.init_vectorstore_table(  # type: ignore[misc]
                        "made", 3, metadata_columns=[Column("c", type_)]
                    ),
                    may_miss=["42704"],
                )
                engine.drop_table("made")  # pg_catalog.pg_class is a type
        for size in ("3); DROP TABLE victim; --", -1, True, 1.5, None):
            with pytest.raises(ValueError):
                engine.init_vectorstore_table("made", size)  # type: ignore[arg-type]
