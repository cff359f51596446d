"""What langchain-postgres gets wrong (docs/migrating.md) and a store here must not: writing, reading, searching."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import psycopg
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding

from rag_pgvector import Database
from rag_pgvector.errors import ChunkError, ConfigError
from rag_pgvector.langchain import Column, DistanceStrategy, HybridSearchConfig, PGEngine, PGVectorStore
from tests.langchain.stores import Angles, contents, table

# ------------------------------------------------------------------------------------------------------------ writing


def test_generators_are_read_once(store: PGVectorStore) -> None:
    ids = store.add_texts((text for text in "abc"), ({"n": n} for n in range(3)), ids=(id_ for id_ in ("1", "2", "3")))
    assert ids == ["1", "2", "3"]
    assert [(doc.page_content, doc.metadata) for doc in store.get_by_ids(ids)] == [
        ("a", {"n": 0}),
        ("b", {"n": 1}),
        ("c", {"n": 2}),
    ]
    assert len(store.add_documents(Document(page_content=text) for text in "de")) == 2
    assert len(store.get()["ids"]) == 5


async def test_generators_are_read_once_asynchronously(store: PGVectorStore) -> None:
    assert len(await store.aadd_texts(text for text in "abc")) == 3
    assert len(await store.aadd_documents(Document(page_content=text) for text in "de")) == 2
    assert len((await store.aget())["ids"]) == 5
    await store.collection.database.aclose()


@pytest.mark.parametrize(
    "wrong", [{"metadatas": [{}]}, {"ids": ["1"]}, {"metadatas": [{}, {}, {}, {}]}], ids=["metadatas", "ids", "more"]
)
def test_nothing_is_cut_to_the_shortest(store: PGVectorStore, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="one for each text"):
        store.add_texts(["a", "b", "c"], **wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="one for each text"):
        store.add_embeddings(["a", "b"], [[1, 0, 0]])
    assert store.get()["ids"] == []


def test_a_call_is_all_or_nothing(store: PGVectorStore) -> None:
    with pytest.raises(ChunkError, match="NUL"):
        store.add_texts(["fine", "not \0 fine"])
    assert store.get()["ids"] == []


def test_many_rows_and_many_ids(store: PGVectorStore) -> None:
    count = 14_000
    ids = [str(n) for n in range(count)]
    store.add_embeddings(["text"] * count, [[1, 0, 0]] * count, ids=ids)
    many = [str(n) for n in range(70_000)]
    assert len(store.get_by_ids(many)) == count
    assert store.delete(many) is True
    assert store.get()["ids"] == []


def test_the_last_of_one_id_stays(store: PGVectorStore) -> None:
    store.add_texts(["first", "second"], ids=["same", "same"])
    assert contents(store.get_by_ids(["same"])) == ["second"]


def test_documents_and_arguments_are_only_read(engine: PGEngine) -> None:
    documents = [Document(page_content="a", metadata={"x": {"y": [1]}, "t": "v"})]
    before = copy.deepcopy(documents)
    columns = [Column('odd " name', "TEXT"), Column("t", "TEXT")]
    config = HybridSearchConfig(fusion_function_parameters={"primary_results_weight": 0.7})
    kept = copy.deepcopy((columns, config))
    store = table(engine, metadata_columns=columns, hybrid_search_config=config)
    store.add_documents(documents)
    store.similarity_search("a", k=3)
    assert documents == before
    assert (columns, config) == kept


def test_ids_of_documents_are_kept(database_url: str) -> None:
    documents = [Document(page_content="a", id="my id"), Document(page_content="b")]
    store = PGVectorStore.from_documents(documents, Angles(), collection="docs", connection=database_url)
    assert contents(store.get_by_ids(["my id"])) == ["a"]
    assert len(store.get()["ids"]) == 2
    store.collection.database.close()


def test_one_id_in_two_collections(database_url: str) -> None:
    with Database(database_url) as db:
        one, two = (PGVectorStore(Angles(), collection=name, connection=db) for name in ("one", "two"))
        one.add_texts(["in one"], ids=["same"])
        two.add_texts(["in two"], ids=["same"])
        assert contents(one.get_by_ids(["same"])) == ["in one"]
        two.delete(["same"])
        assert contents(one.get_by_ids(["same"])) == ["in one"]


def test_two_sizes_of_vectors_in_one_process(database_url: str) -> None:
    with Database(database_url) as db:
        for size in (4, 6):
            store = PGVectorStore(DeterministicFakeEmbedding(size=size), collection=f"of {size}", connection=db)
            store.add_texts(["a"])
            assert contents(store.similarity_search("a", k=1)) == ["a"]


def test_an_id_that_the_column_cannot_hold_is_named(engine: PGEngine) -> None:
    store = table(engine)
    with pytest.raises(ChunkError, match="'foo' is no uuid"):
        store.add_texts(["a"], ids=["foo"])
    assert store.get_by_ids(["foo"]) == []
    assert store.delete(["foo"]) is True


@pytest.mark.parametrize("value", [{"a": 1}, [1, {"b": None}], "text", 1.5, True, None])
def test_json_columns_hold_any_json(engine: PGEngine, value: object) -> None:
    store = table(engine, metadata_columns=[Column("j", "JSON"), Column("b", "JSONB")])
    [id_] = store.add_texts(["a"], [{"j": value, "b": value}])
    assert store.get_by_ids([id_])[0].metadata == {"j": value, "b": value}


def test_the_types_of_columns_survive(engine: PGEngine) -> None:
    import datetime
    import decimal

    values = {
        "d": datetime.date(2024, 2, 29),
        "z": datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc),
        "n": decimal.Decimal("1.10"),
        "l": ["a", "b"],
        "f": 1.5,
    }
    types = {"d": "DATE", "z": "TIMESTAMP WITH TIME ZONE", "n": "NUMERIC(10,2)", "l": "TEXT[]", "f": "FLOAT"}
    store = table(engine, metadata_columns=[Column(name, type_) for name, type_ in types.items()])
    [id_] = store.add_texts(["a"], [{**values, "n": 1.1}])
    assert store.get_by_ids([id_])[0].metadata == values


# ------------------------------------------------------------------------------------------------------------ reading


def test_no_ids_are_no_rows(store: PGVectorStore) -> None:
    store.add_texts(["a"], ids=["1"])
    assert store.get_by_ids([]) == []
    assert store.get(ids=[])["ids"] == []
    assert store.delete([]) is True
    assert store.delete() is False
    assert store.delete(filter={}) is False
    assert store.get()["ids"] == ["1"]


def test_get_says_what_was_asked_for(store: PGVectorStore) -> None:
    store.add_texts(["apple pie", "plum pie", "apple"], [{"n": n} for n in range(3)], ids=["1", "2", "3"])
    assert store.get(where_document={"$like": "%pie"})["ids"] == ["1", "2"]
    found = store.get(where={"n": {"$gt": 0}}, where_document={"$like": "apple%"}, include=["embeddings"])
    assert list(found) == ["ids", "embeddings"]
    assert found["ids"] == ["3"]
    assert len(found["embeddings"][0]) == 3
    assert store.get(ids=["3", "1", "9"], limit=1, offset=1)["documents"] == ["apple"]
    with pytest.raises(ConfigError, match="include"):
        store.get(include=["document"])


def test_identifiers_of_every_kind(engine: PGEngine) -> None:
    store = table(
        engine,
        name='Ta"ble',
        schema_name="public",
        id_column="User",
        content_column="select",
        embedding_column='em"bed',
        metadata_columns=[Column("user", "TEXT"), Column("Name", "TEXT"), Column("extra", "TEXT")],
        metadata_json_column="order",
    )
    given = {"user": "alice", "Name": "A", "extra": "e", "embedding": "metadata", "langchain_id": "too", "content": "c"}
    [id_] = store.add_texts(["a"], [given])
    assert store.get_by_ids([id_])[0].metadata == given
    store.apply_vector_index()
    assert store.is_valid_index()
    for key, value in given.items():
        assert contents(store.similarity_search("a", filter={key: value})) == ["a"]
    assert store.similarity_search("a", filter={"user": "postgres"}) == []
    assert store.delete([id_], filter={"user": "alice"}) is True
    assert store.get()["ids"] == []


# ---------------------------------------------------------------------------------------------------------- searching


def on_a_circle(store: PGVectorStore, angles: dict[str, float]) -> None:
    embeddings = store.embeddings
    assert isinstance(embeddings, Angles)
    embeddings.angles.update(angles)
    store.add_texts([name for name in angles if name != "?"])


def test_mmr_takes_its_own_order(store: PGVectorStore) -> None:
    on_a_circle(store, {"?": 0, "near": 1, "twin": 2, "far": 60, "farther": 80})
    assert contents(store.max_marginal_relevance_search("?", k=3, lambda_mult=0.3)) == ["near", "farther", "twin"]
    assert contents(store.similarity_search("?", k=3)) == ["near", "twin", "far"]


def test_mmr_minds_fetch_k_and_lambda_zero(store: PGVectorStore) -> None:
    on_a_circle(store, {"?": 0, "near": 1, "twin": 2, "far": 60, "opposite": 170})
    assert contents(store.max_marginal_relevance_search("?", k=2, lambda_mult=0.0)) == ["near", "opposite"]
    assert contents(store.max_marginal_relevance_search("?", k=2, lambda_mult=1.0)) == ["near", "twin"]
    assert contents(store.max_marginal_relevance_search("?", k=2, fetch_k=3, lambda_mult=0.0)) == ["near", "far"]
    assert contents(store.max_marginal_relevance_search("?", k=2, fetch_k=2, lambda_mult=0.0)) == ["near", "twin"]


async def test_mmr_of_half_precision(engine: PGEngine) -> None:
    store = table(engine)
    with psycopg.connect(engine.database.url, autocommit=True) as conn:
        conn.execute("ALTER TABLE t ALTER embedding TYPE halfvec(3)")
    store = PGVectorStore.create_sync(engine, Angles(), "t")
    on_a_circle(store, {"?": 0, "near": 1, "twin": 2, "opposite": 170})
    vector = Angles({"?": 0}).embed_query("?")
    found = await store.amax_marginal_relevance_search_with_score_by_vector(vector, k=2, lambda_mult=0.0)
    assert [doc.page_content for doc, _ in found] == ["near", "opposite"]
    await engine.close()


def test_relevance_of_inner_products(engine: PGEngine) -> None:
    table(engine)
    store = PGVectorStore.create_sync(engine, Angles(), "t", distance_strategy=DistanceStrategy.INNER_PRODUCT)
    on_a_circle(store, {"?": 0, "same": 0, "near": 30, "far": 89})
    found = store.similarity_search_with_relevance_scores("?", k=3)
    assert [doc.page_content for doc, _ in found] == ["same", "near", "far"]
    assert [score for _, score in found] == pytest.approx([1.0, 0.866, 0.0175], abs=1e-3)
    found = store.similarity_search_with_relevance_scores("?", k=3, score_threshold=0.5)
    assert [doc.page_content for doc, _ in found] == ["same", "near"]


def test_a_misspelt_argument_is_no_search_over_everything(store: PGVectorStore) -> None:
    store.add_texts(["a"], [{"owner": "somebody else"}])
    with pytest.raises(ConfigError, match="filters"):
        store.similarity_search("a", filters={"owner": "me"})
    with pytest.raises(ConfigError, match="filters"):
        store.max_marginal_relevance_search("a", filters={"owner": "me"})


# -------------------------------------------------------------------------------------------------------- event loops


def test_one_store_in_loop_after_loop(store: PGVectorStore) -> None:
    async def round_trip(text: str) -> list[str]:
        await store.aadd_texts([text])
        found = await store.asimilarity_search(text, k=1)
        await store.collection.database.aclose()
        return contents(found)

    assert asyncio.run(round_trip("one")) == ["one"]
    assert asyncio.run(round_trip("two")) == ["two"]
    assert contents(store.similarity_search("two", k=1)) == ["two"]


async def test_synchronous_calls_inside_of_a_loop(store: PGVectorStore) -> None:
    store.add_texts(["a"])
    assert contents(store.similarity_search("a", k=1)) == ["a"]
    assert contents(await store.asimilarity_search("a", k=1)) == ["a"]
    await store.collection.database.aclose()


async def test_asynchronous_embedding_stays_in_the_callers_loop(store: PGVectorStore) -> None:
    loops = []

    class Native(Angles):
        async def aembed_query(self, text: str) -> list[float]:
            loops.append(asyncio.get_running_loop())
            return self.embed_query(text)

        async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
            loops.append(asyncio.get_running_loop())
            return self.embed_documents(texts)

    native = PGVectorStore(Native(), collection=store.collection)
    await native.aadd_texts(["a"])
    await native.asimilarity_search("a")
    assert set(loops) == {asyncio.get_running_loop()}
    await store.collection.database.aclose()


async def test_first_calls_at_once(database_url: str) -> None:
    stores = [PGVectorStore(Angles(), collection="docs", connection=database_url) for _ in range(5)]
    await asyncio.gather(*(store.aadd_texts([f"text {n}"]) for n, store in enumerate(stores)))
    assert len((await stores[0].aget())["ids"]) == 5
    for store in stores:
        await store.collection.database.aclose()


async def test_an_engine_of_sqlalchemy_lends_only_its_address(empty_database: str) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.ext.asyncio import create_async_engine

    url = empty_database.replace("postgresql://", "postgresql+psycopg://")
    theirs: Any = create_async_engine(url)
    engine = PGEngine.from_engine(theirs)
    engine.init_vectorstore_table("t", 3)  # synchronous, though the engine is not
    store = await PGVectorStore.create(engine, Angles(), "t")
    await store.aadd_texts(["a"])
    assert contents(store.similarity_search("a")) == ["a"]
    assert theirs.pool.checkedout() == 0
    assert theirs.pool.checkedin() == 0
    await engine.close()
    with pytest.raises(ConfigError, match="creator"):
        PGEngine.from_engine(create_engine(url, creator=lambda: psycopg.connect(empty_database)))
