"""Indexes and engines of the LangChain store; langchain-postgres's own objects in their place."""

from __future__ import annotations

from typing import Any

import langchain_postgres as theirs
import psycopg
import pytest
from langchain_postgres.v2 import indexes as their_indexes

from rag_pgvector import SearchOptions
from rag_pgvector.errors import ConfigError, DatabaseError
from rag_pgvector.langchain import (
    Column,
    DistanceStrategy,
    ExactNearestNeighbor,
    HNSWIndex,
    HNSWQueryOptions,
    IVFFlatIndex,
    IVFFlatQueryOptions,
    PGEngine,
    PGVectorStore,
)
from tests.langchain.stores import Angles, contents, table

MANY = [f"text {n}" for n in range(1500)]


def definition(store: PGVectorStore, name: str) -> str:
    with psycopg.connect(store.collection.database.url) as conn:
        row = conn.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", (name,)).fetchone()
    return row[0] if row else ""


def test_without_an_argument(store: PGVectorStore) -> None:
    store.add_texts(MANY)
    assert not store.is_valid_index()
    store.apply_vector_index()
    assert store.is_valid_index()
    assert "USING hnsw" in definition(store, store.collection._table.index_name)
    options = SearchOptions(mode="dense", exact=False)
    found = store.collection.search("text 7", k=3, options=options)
    assert (found[0].chunk.content, found.plan.kind) == ("text 7", "hnsw")
    store.reindex()
    store.drop_vector_index()
    assert not store.is_valid_index()
    assert store.collection.search("text 7", k=3, options=options).plan.kind == "exact"


@pytest.mark.parametrize("concurrently", [False, True])
async def test_as_described(engine: PGEngine, concurrently: bool) -> None:
    store = table(engine, distance_strategy=DistanceStrategy.EUCLIDEAN)
    store.add_texts(MANY)
    await store.aapply_vector_index(
        HNSWIndex(m=8, ef_construction=32, distance_strategy=DistanceStrategy.EUCLIDEAN),
        "any name",
        concurrently=concurrently,
    )
    assert await store.ais_valid_index("any name")
    made = definition(store, "any name")
    assert "vector_l2_ops" in made
    assert "m='8'" in made
    found = await store.collection.asearch("text 7", k=3, options=SearchOptions(mode="dense", exact=False))
    assert found.plan.kind == "hnsw"  # whatever its name
    await store.aapply_vector_index(ExactNearestNeighbor(), "any name")
    assert not await store.ais_valid_index("any name")
    lists = IVFFlatIndex(lists=5, distance_strategy=DistanceStrategy.EUCLIDEAN)
    await store.aapply_vector_index(lists, "another", concurrently=concurrently)
    assert "USING ivfflat" in definition(store, "another")
    found = await store.collection.asearch("text 7", k=3, options=SearchOptions(mode="dense", exact=False))
    assert (found.plan.kind, found[0].chunk.content) == ("ivfflat", "text 7")
    again = await PGVectorStore.create(engine, Angles(), "t", distance_strategy=DistanceStrategy.EUCLIDEAN)
    assert again.collection.config.index == "ivfflat"
    await store.adrop_vector_index("another")
    await engine.close()


def test_half_precision_has_its_operator_class(engine: PGEngine) -> None:
    table(engine)
    with psycopg.connect(engine.database.url, autocommit=True) as conn:
        conn.execute("ALTER TABLE t ALTER embedding TYPE halfvec(3)")
    store = PGVectorStore.create_sync(engine, Angles(), "t")
    store.add_texts(["a"])
    store.apply_vector_index()
    assert "halfvec_cosine_ops" in definition(store, store.collection._table.index_name)


def test_a_failed_build_leaves_nothing_in_the_way(engine: PGEngine) -> None:
    store = table(engine)
    store.add_texts(["a"])
    store.apply_vector_index(name="i")
    with psycopg.connect(engine.database.url, autocommit=True) as conn:
        conn.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass")
    assert not store.is_valid_index("i")
    store.apply_vector_index(name="i")
    assert store.is_valid_index("i")
    with pytest.raises(DatabaseError, match="exists"):
        store.apply_vector_index(name="i")


def test_indexes_of_other_tables_are_left(engine: PGEngine) -> None:
    store, other = table(engine), table(engine, name="other")
    other.apply_vector_index(name="theirs")
    assert not store.is_valid_index("theirs")
    store.drop_vector_index("theirs")
    assert other.is_valid_index("theirs")
    with pytest.raises(ConfigError, match="no index"):
        store.reindex("theirs")


@pytest.mark.parametrize(
    "wrong",
    [
        HNSWIndex(partial_indexes=["owner = 'me'"]),
        HNSWIndex(m="16); DROP TABLE t; --"),  # type: ignore[arg-type]
        their_indexes.HNSWIndex(index_type="btree"),
    ],
)
def test_what_is_no_index_is_refused(engine: PGEngine, wrong: Any) -> None:
    store = table(engine)
    with pytest.raises(ConfigError):
        store.apply_vector_index(wrong)
    with pytest.raises(ConfigError):
        store.apply_hybrid_search_index()
    with pytest.raises(ValueError):
        HNSWIndex(extension_name="vector; DROP TABLE t")


def test_their_objects_work(empty_database: str) -> None:
    url = empty_database.replace("postgresql://", "postgresql+psycopg://")
    their_engine = theirs.PGEngine.from_connection_string(url)
    engine = PGEngine.from_connection_string(url, pool_size=2, max_overflow=1, echo=False)
    engine.init_vectorstore_table(
        "t",
        3,
        id_column=theirs.Column("langchain_id", "TEXT", nullable=False),
        metadata_columns=[theirs.Column("a", "TEXT"), {"name": "b", "data_type": "INTEGER", "nullable": True}],
    )
    strategy = their_indexes.DistanceStrategy.EUCLIDEAN
    store = PGVectorStore.create_sync(
        their_engine,
        Angles(),
        "t",
        metadata_columns=["a", "b"],
        distance_strategy=strategy,
        index_query_options=their_indexes.HNSWQueryOptions(ef_search=50),
    )
    store.add_texts(["x"], [{"a": "1", "b": 2}], ids=["1"])
    store.apply_vector_index(their_indexes.HNSWIndex(distance_strategy=strategy))
    assert contents(store.similarity_search("x", filter={"b": 2})) == ["x"]
    assert store.distance_strategy == DistanceStrategy.EUCLIDEAN
    # and their store reads what ours wrote
    back = theirs.PGVectorStore.create_sync(their_engine, Angles(), "t", metadata_columns=["a", "b"])
    assert back.similarity_search("x")[0].metadata == {"a": "1", "b": 2}
    store.collection.database.close()
    engine.close_sync()
    their_engine._run_as_sync(their_engine._pool.dispose())


def test_what_an_engine_takes(empty_database: str) -> None:
    with pytest.raises(ConfigError, match="ssl_mode"):
        PGEngine.from_connection_string(empty_database, ssl_mode="require")
    with pytest.raises(ValueError):
        PGEngine.from_connection_string("postgresql+pg8000://user:password@host/db")
    with pytest.raises(ConfigError):
        PGEngine("postgresql://")  # type: ignore[arg-type]
    assert "secret" not in repr(PGEngine.from_connection_string("postgresql://me:secret@host/db"))


@pytest.mark.parametrize("wrong", [{"name": "a"}, {"name": "a", "data_type": "TEXT", "nullable": "yes"}])
def test_columns_as_dictionaries(engine: PGEngine, wrong: Any) -> None:
    with pytest.raises(TypeError):
        engine.init_vectorstore_table("t", 3, metadata_columns=[wrong])
    with pytest.raises(ConfigError):
        Column(1, "TEXT")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [HNSWQueryOptions(ef_search=7), IVFFlatQueryOptions(probes=3), None])
def test_query_options(engine: PGEngine, options: Any) -> None:
    store = table(engine, index_query_options=options)
    store.add_texts(["a"])
    assert contents(store.similarity_search("a")) == ["a"]


def test_more_dimensions_than_an_index_holds(engine: PGEngine) -> None:
    class Long(Angles):
        def embed_query(self, text: str) -> list[float]:
            return [*super().embed_query(text), *[0.0] * 3069]

    engine.init_vectorstore_table("long", 3072)
    store = PGVectorStore.create_sync(engine, Long(), "long")
    store.add_texts(MANY)
    store.apply_vector_index()
    found = store.collection.search("text 7", k=1, options=SearchOptions(mode="dense", exact=False))
    assert (found.plan.kind, found[0].chunk.content) == ("hnsw", "text 7")


def test_vectors_of_no_given_length(engine: PGEngine) -> None:
    table(engine)
    with psycopg.connect(engine.database.url, autocommit=True) as conn:
        conn.execute("ALTER TABLE t ALTER embedding TYPE vector")
    store = PGVectorStore.create_sync(engine, Angles(), "t")
    store.add_texts(["a", "b"])
    assert contents(store.similarity_search("b", k=1)) == ["b"]
    with pytest.raises(DatabaseError, match="does not have dimensions"):
        store.apply_vector_index()


@pytest.mark.parametrize("mode", ["keyword", "hybrid"])
def test_our_keywords_are_not_on_their_tables(engine: PGEngine, mode: str) -> None:
    with pytest.raises(ConfigError, match="hybrid_search_config"):
        table(engine).similarity_search("a", mode=mode)


async def test_every_kind_of_retriever(store: PGVectorStore) -> None:
    store.add_texts(["near", "far"], [{"n": 1}, {"n": 2}])
    for search_type, more in (
        ("similarity", {}),
        ("mmr", {"fetch_k": 5, "lambda_mult": 0.0}),
        ("similarity_score_threshold", {"score_threshold": 0.99}),
    ):
        kwargs = {"k": 1, "filter": {"n": 1}, **more}
        retriever = store.as_retriever(search_type=search_type, search_kwargs=kwargs)
        assert contents(retriever.invoke("near")) == ["near"]
        assert contents(await retriever.ainvoke("near")) == ["near"]
        assert contents(store.as_retriever(search_kwargs={"k": 1}).invoke("near", k=2)) == ["near", "far"]
    await store.collection.database.aclose()
