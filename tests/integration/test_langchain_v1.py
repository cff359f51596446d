"""PGVector, langchain_postgres's first store, where its own goes wrong (their issue numbers in brackets)."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from rag_pgvector import Database
from rag_pgvector.errors import (
    ConfigError,
    DimensionError,
    FilterError,
)
from rag_pgvector.langchain import PGVector

Call = Callable[..., Any]
EMBEDDER = DeterministicFakeEmbedding(size=6)


class Plane(Embeddings):
    """A text "x y" is the vector (x, y)."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> list[float]:
        parts = text.split()
        return [float(part) for part in parts] if len(parts) == 2 and "." in text else [1.0, 0.5]


@pytest.fixture
def new(db: Database) -> Callable[..., PGVector]:
    """Makes a store of a new collection."""

    def new(embedder: Embeddings = EMBEDDER, **options: Any) -> PGVector:
        options = {"collection_name": str(uuid.uuid4()), "connection": db, **options}
        return PGVector(embeddings=embedder, **options)

    return new


def contents(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


# ---------------------------------------------------------------------------------------------------------- writing


def test_any_iterable_is_stored(new: Callable[..., PGVector], call: Call) -> None:
    store = new()
    made = call(store, "add_texts", (f"t{i}" for i in range(3)), metadatas=({"n": i} for i in range(3)))
    made += call(store, "add_documents", (Document("d", id="mine") for _ in range(1)))
    assert made[3] == "mine"
    assert contents(call(store, "get_by_ids", made)) == ["t0", "t1", "t2", "d"]
    assert call(store, "get_by_ids", []) == []


def test_lists_of_unequal_length_store_nothing(new: Callable[..., PGVector], call: Call) -> None:
    """[135]: v1 stores one of three texts and says nothing."""
    store = new()
    wrong: Any
    for wrong in ({"metadatas": [{}]}, {"ids": ["1"]}):
        with pytest.raises(ConfigError, match="3 texts and 1"):
            call(store, "add_texts", ["a", "b", "c"], **wrong)
    with pytest.raises(ConfigError):
        call(store, "add_embeddings", ["a", "b"], [[1.0] * 6])
    assert store.collection.count() == 0


def test_an_id_belongs_to_its_collection(new: Callable[..., PGVector], call: Call) -> None:
    """[139]: in v1 the second collection overwrites the first one's row, and sees nothing itself."""
    one, two = new(), new()
    call(one, "add_texts", ["of one"], ids=["1"])
    call(two, "add_texts", ["of two"], ids=["1"])
    assert contents(call(one, "similarity_search", "x")) == ["of one"]
    assert contents(call(two, "similarity_search", "x")) == ["of two"]
    call(two, "delete", ["1"])
    call(two, "delete", ["1"], collection_only=False)
    assert contents(call(one, "get_by_ids", ["1"])) == ["of one"]


def test_an_id_twice_in_a_call(new: Callable[..., PGVector], call: Call) -> None:
    store = new()
    assert call(store, "add_texts", ["old", "new"], ids=["1", "1"]) == ["1", "1"]
    assert contents(call(store, "get_by_ids", ["1"])) == ["new"]


def test_no_limit_on_rows(new: Callable[..., PGVector]) -> None:
    """v1 fails above 13,107 rows, and deleting 70,000 ids."""
    store = new(Plane())
    ids = [str(i) for i in range(13_200)]
    store.add_embeddings(["t"] * len(ids), [[1.0, 2.0]] * len(ids), ids=ids)
    assert store.collection.count() == 13_200
    store.delete([str(i) for i in range(70_000)])
    assert store.collection.count() == 0


def test_documents_keep_their_ids(db: Database, loop: Any) -> None:
    given = [Document("a", id="mine"), Document("b")]
    options: Any = {"connection": db}
    one = PGVector.from_documents(given, EMBEDDER, collection_name=str(uuid.uuid4()), **options)
    two = loop.run_until_complete(
        PGVector.afrom_documents(given, EMBEDDER, collection_name=str(uuid.uuid4()), **options)
    )
    for store in (one, two):
        assert contents(store.get_by_ids(["mine"])) == ["a"]
        assert store.collection.count() == 2


def test_delete_by_filter(new: Callable[..., PGVector], call: Call) -> None:
    """[272]"""
    store = new()
    call(store, "add_texts", ["a", "b", "c"], metadatas=[{"n": i} for i in range(3)])
    call(store, "delete")
    call(store, "delete", filter={"n": {"$gte": 1}})
    assert contents(call(store, "similarity_search", "x")) == ["a"]


# -------------------------------------------------------------------------------------------------------- searching


def test_filters_never_fail_on_what_is_stored(new: Callable[..., PGVector], call: Call) -> None:
    store = new()
    values = [1, "1", "abc", "O'Brien", None, True, 2.0, ["x", "y"], {"k": 1}]
    call(store, "add_texts", [repr(v) for v in values], metadatas=[{"v": v} for v in values], ids=map(str, range(9)))
    call(store, "add_texts", ["missing"])

    def found(condition: Any) -> set[str]:
        return set(contents(call(store, "similarity_search", "x", k=20, filter=condition)))

    assert found({"v": 1}) == {"1"}
    assert found({"v": "1"}) == {"'1'"}
    assert found({"v": {"$in": [2]}}) == {"2.0"}
    assert found({"v": {"$in": [True, "O'Brien"]}}) == {"True", repr("O'Brien")}
    assert found({"v": {"$in": []}}) == set()
    assert found({"v": {"$gt": 1}}) == {"2.0"}
    assert found({"$not": {"v": {"$gt": 1}}}) == {repr(v) for v in values} - {"2.0"} | {"missing"}
    assert found({"v.k": 1}) == {"{'k': 1}"}
    assert found({"v": None}) == {"None", "missing"}
    wrong: Any
    for wrong in (["v"], "v = 1", {"v": {"$eqq": 1}}, {"$or": {}}, {"v": {}}):
        with pytest.raises(FilterError):
            found(wrong)
    with pytest.raises(ConfigError, match="filters"):
        call(store, "similarity_search", "x", filters={"v": 1})


def test_mmr_comes_in_its_own_order(new: Callable[..., PGVector], call: Call) -> None:
    """v1 gives the chosen ones in the order of their distance."""
    store = new(Plane())
    call(store, "add_texts", ["1.0 0.0", "1.0 0.01", "1.0 0.02", "0.0 1.0"])
    assert contents(call(store, "max_marginal_relevance_search", "1.0 0.0", k=3, lambda_mult=0.0)) == [
        "1.0 0.0",
        "0.0 1.0",
        "1.0 0.02",
    ]
    assert contents(call(store, "max_marginal_relevance_search", "1.0 0.0", k=3, fetch_k=3))[0] == "1.0 0.0"
    scored = call(store, "max_marginal_relevance_search_with_score", "1.0 0.0", k=1)
    assert scored[0][1] == pytest.approx(0)


@pytest.mark.filterwarnings("ignore:Relevance scores must be:UserWarning")
@pytest.mark.parametrize(
    ("strategy", "scores"),
    [("cosine", [1.0, 0.0, 0.0]), ("l2", [1.0, 0.0, -0.4142]), ("inner", [1.0, 0.0, 0.0])],
)
def test_relevance_is_higher_for_what_is_nearer(
    new: Callable[..., PGVector], call: Call, strategy: str, scores: list[float]
) -> None:
    """v1 makes 0.8 of an inner product of -0.2."""
    store = new(Plane(), distance_strategy=strategy)
    call(store, "add_texts", ["1.0 0.0", "0.0 1.0", "-1.0 0.0"])
    found = store.similarity_search_with_relevance_scores("1.0 0.0", k=1)
    assert found[0][0].page_content == "1.0 0.0"
    assert found[0][1] == pytest.approx(1)
    function = store._select_relevance_score_fn()
    relevance = [function(d) for _, d in call(store, "similarity_search_with_score", "1.0 0.0", k=3)]
    assert relevance == sorted(relevance, reverse=True)
    assert relevance[0] == pytest.approx(scores[0])
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs={"score_threshold": 0.9})
    assert contents(call(retriever, "invoke", "1.0 0.0")) == ["1.0 0.0"]


def test_every_search_type_of_a_retriever(new: Callable[..., PGVector], call: Call) -> None:
    store = new()
    call(store, "add_texts", ["a", "b", "c"])
    for kind, options in (("similarity", {"k": 2, "fetch_k": 9}), ("mmr", {"k": 2, "fetch_k": 3, "lambda_mult": 0.1})):
        found = call(store.as_retriever(search_type=kind, search_kwargs=options), "invoke", "a")
        assert len(found) == 2
        assert found[0].page_content == "a"
    assert contents(call(store, "similarity_search", ""))


# ------------------------------------------------------------------------------------------------------ both colours


def test_a_subclass_stays_one(db: Database, loop: Any) -> None:
    """v1's afrom_existing_index always makes a PGVector."""

    class Mine(PGVector):
        pass

    options: Any = {"collection_name": str(uuid.uuid4()), "connection": db}
    one = Mine.from_embeddings([("a", [1.0] * 6)], EMBEDDER, ids=["1"], **options)
    two = loop.run_until_complete(Mine.afrom_existing_index(EMBEDDER, **options))
    assert (type(one), type(two)) == (Mine, Mine)
    assert contents(two.get_by_ids(["1"])) == ["a"]


def test_both_colours_of_one_store(new: Callable[..., PGVector]) -> None:
    """In v1 a synchronous store has no asynchronous methods, and a second asyncio.run breaks the other kind."""
    for store in (new(), new(async_mode=True)):
        store.add_texts(["a"])
        for _ in range(2):
            assert contents(asyncio.run(store.asimilarity_search("a"))) == ["a"]
        assert contents(store.similarity_search("a")) == ["a"]


def test_the_first_calls_may_come_together(new: Callable[..., PGVector]) -> None:
    """v1: of five concurrent first calls, four fail."""

    async def run() -> None:
        store = new(async_mode=True)
        await asyncio.gather(*(store.aadd_texts([f"t{i}"]) for i in range(5)))
        assert len(await store.asimilarity_search("x", k=9)) == 5

    asyncio.run(run())


def test_stores_may_be_made_together(new: Callable[..., PGVector], database_url: str) -> None:
    """No race of CREATE TABLE, not even for the schema itself."""
    errors: list[BaseException] = []

    def make() -> None:
        try:
            new(collection_name="same", connection=database_url).add_texts(["x"], ids=["1"])
        except BaseException as error:  # noqa: BLE001 - whatever a thread meets
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_dimensions_are_a_collections_own(new: Callable[..., PGVector], call: Call) -> None:
    """In v1 the first embedding_length of a process wins, for every store."""
    two, six = new(Plane(), embedding_length=2), new(embedding_length=6)
    call(two, "add_texts", ["1.0 2.0"])
    call(six, "add_texts", ["x"])
    with pytest.raises(DimensionError):
        call(two, "add_embeddings", ["x"], [[1.0] * 3])
    wide = new(DeterministicFakeEmbedding(size=3072))
    assert wide.collection.config.storage == "halfvec"
    call(wide, "add_texts", ["a", "b"])
    assert contents(call(wide, "max_marginal_relevance_search", "a", k=2))[0] == "a"


# ------------------------------------------------------------------------------------------------------ connections


@pytest.fixture
def engines(module_database_url: str) -> Iterator[list[Any]]:
    made: list[Any]
    url = module_database_url.replace("postgresql://", "postgresql+psycopg://")
    made = [create_engine(url), create_async_engine(url.replace("+psycopg", "+asyncpg"))]
    yield made
    made[0].dispose()


def test_engines_lend_their_address(new: Callable[..., PGVector], engines: list[Any]) -> None:
    for engine in engines:
        store = new(connection=engine)
        store.add_texts(["a"])
        assert contents(store.similarity_search("a")) == ["a"]
        assert contents(asyncio.run(store.asimilarity_search("a"))) == ["a"]
        assert new(connection=engine)._db is store._db
        assert "postgres" not in repr(store)


def test_connections_that_cannot_be(new: Callable[..., PGVector], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError):
        new(connection=7)
    engine = create_engine("postgresql+psycopg://", creator=lambda: None)
    with pytest.raises(ConfigError, match="creator"):
        new(connection=engine)
    monkeypatch.delenv("PGVECTOR_CONNECTION_STRING", raising=False)
    with pytest.raises(ConfigError, match="PGVECTOR_CONNECTION_STRING"):
        PGVector.from_texts(["a"], EMBEDDER)
    with pytest.raises(NotImplementedError):
        new(use_jsonb=False)
    url = PGVector.connection_string_from_db_params("psycopg", "h", 1, "d", "u", "p@ss/word")
    assert url == "postgresql+psycopg://u:p%40ss%2Fword@h:1/d"


def test_stores_of_one_address_share_a_pool(new: Callable[..., PGVector], module_database_url: str) -> None:
    """[151]: a store for each request opened a pool for each."""
    one, two = (new(connection=module_database_url) for _ in range(2))
    assert one._db is two._db
