"""PGVector's collections: how they come and go, whose rows are seen, and what langchain_postgres left is adopted."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from sqlalchemy import select

from rag_pgvector import CollectionConfig, Database
from rag_pgvector.errors import CollectionMismatchError, CollectionNotFoundError, ConfigError, TenantError
from rag_pgvector.langchain import PGVector

Call = Callable[..., Any]
EMBEDDER = DeterministicFakeEmbedding(size=6)


@pytest.fixture
def new(db: Database) -> Callable[..., PGVector]:
    """Makes a store of a new collection."""

    def new(embedder: Embeddings = EMBEDDER, **options: Any) -> PGVector:
        options = {"collection_name": str(uuid.uuid4()), "connection": db, **options}
        return PGVector(embeddings=embedder, **options)

    return new


def contents(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]


def test_collections_come_and_go(new: Callable[..., PGVector], call: Call) -> None:
    store = new(collection_metadata={"a": [1]})
    found = call(store, "get_collection", None)
    assert (found.name, found.cmetadata) == (store.collection_name, {"a": [1]})
    call(store, "add_texts", ["x"])
    again = new(collection_name=store.collection_name)
    assert contents(again.similarity_search("x")) == ["x"]
    assert again.get_collection().cmetadata == {"a": [1]}  # type: ignore[union-attr]
    call(store, "delete_collection")
    assert call(store, "get_collection", None) is None
    for method in ("add_texts", "similarity_search"):
        with pytest.raises(CollectionNotFoundError):
            call(store, method, "x")
    call(store, "delete_collection")
    call(store, "create_collection")
    assert call(store, "similarity_search", "x") == []


def test_a_collection_keeps_its_distance(new: Callable[..., PGVector]) -> None:
    store = new(distance_strategy="l2")
    with pytest.raises(CollectionMismatchError, match="distance"):
        new(collection_name=store.collection_name)
    with pytest.raises(ConfigError):
        new(distance_strategy="near")


def test_the_models_are_for_reading(new: Callable[..., PGVector], module_database_url: str) -> None:
    url = module_database_url.replace("postgresql://", "postgresql+psycopg://")
    one, two = new(connection=url, collection_metadata={"about": "one"}), new(connection=url)
    one.add_texts(["a", "b"], metadatas=[{"n": 1}, {"n": 2}], ids=["1", "2"])
    with one.session_maker() as session:
        rows = session.query(one.EmbeddingStore).filter(one.EmbeddingStore.cmetadata["n"].as_integer() == 2).all()
        assert [(row.id, row.document, row.cmetadata) for row in rows] == [("2", "b", {"n": 2})]
        assert rows[0].collection_id == one.get_collection().uuid  # type: ignore[union-attr]
        stored = session.execute(select(two.CollectionStore).filter_by(name=one.collection_name)).scalar_one()
        assert stored.cmetadata == {"about": "one"}
        stored = session.execute(select(two.CollectionStore).filter_by(name=two.collection_name)).scalar_one()
        assert stored.cmetadata is None
        assert stored.uuid == two.get_collection().uuid  # type: ignore[union-attr]
        assert session.query(two.EmbeddingStore).all() == []
        engine = session.get_bind()
    one.session_maker.remove()
    engine.dispose()


def test_tenants(tenant_db: Database) -> None:
    options: Any = {
        "connection": tenant_db,
        "collection_name": "shared",
        "config": CollectionConfig(dimensions=6, tenancy="multi"),
    }
    stores = {name: PGVector(EMBEDDER, tenant=name, **options) for name in ("acme", "apex")}
    for name, store in stores.items():
        store.add_texts([f"of {name}"], ids=["1"])
    for name, store in stores.items():
        assert contents(store.similarity_search("x")) == [f"of {name}"]
        assert contents(store.get_by_ids(["1"])) == [f"of {name}"]
    nobody = PGVector(EMBEDDER, **options)
    for forgetful in (
        lambda: nobody.add_texts(["x"]),
        lambda: nobody.add_embeddings(["x"], [[1.0] * 6]),
        lambda: nobody.add_documents([Document("x")]),
        lambda: nobody.similarity_search("x"),
        lambda: nobody.similarity_search_by_vector([1.0] * 6),
        lambda: nobody.max_marginal_relevance_search("x"),
        lambda: nobody.get_by_ids(["1"]),
        lambda: nobody.delete(["1"]),
        lambda: nobody.delete(filter={"n": 1}),
        lambda: nobody.as_retriever().invoke("x"),
    ):
        with pytest.raises(TenantError):
            forgetful()
    for method, *arguments in (
        ("aadd_texts", ["x"]),
        ("aadd_embeddings", ["x"], [[1.0] * 6]),
        ("aadd_documents", [Document("x")]),
        ("asimilarity_search", "x"),
        ("asimilarity_search_by_vector", [1.0] * 6),
        ("amax_marginal_relevance_search", "x"),
        ("aget_by_ids", ["1"]),
        ("adelete", ["1"]),
    ):
        with pytest.raises(TenantError):
            asyncio.run(getattr(nobody, method)(*arguments))
    stores["acme"].delete_collection()
    assert contents(stores["apex"].similarity_search("x")) == ["of apex"]


# --------------------------------------------------------------------------------------------------------- adoption


def v1_tables(url: str, name: str = "old", rows: int = 3) -> None:
    with psycopg.connect(url) as conn:
        conn.execute(
            "CREATE TABLE langchain_pg_collection (uuid uuid PRIMARY KEY, name varchar NOT NULL UNIQUE, cmetadata json)"
        )
        conn.execute(
            "CREATE TABLE langchain_pg_embedding (id varchar PRIMARY KEY, collection_id uuid REFERENCES "
            "langchain_pg_collection ON DELETE CASCADE, embedding vector, document varchar, cmetadata jsonb)"
        )
        collection = uuid.uuid4()
        conn.execute("INSERT INTO langchain_pg_collection VALUES (%s, %s, NULL)", (collection, name))
        for i in range(rows):
            vector = str([float(x) for x in EMBEDDER.embed_query(f"old {i}")])
            conn.execute(
                "INSERT INTO langchain_pg_embedding VALUES (%s, %s, %s::vector, %s, %s::jsonb)",
                (str(i), collection, vector, f"old {i}", f'{{"n": {i}}}'),
            )


def test_a_program_finds_what_v1_stored(new: Callable[..., PGVector], database_url: str) -> None:
    """Only the import line changes: the rows must be there, and must not come back once they were deleted."""
    v1_tables(database_url)
    store = new(collection_name="old", connection=database_url)
    found = store.similarity_search_with_score("old 1", k=1, filter={"n": {"$lt": 2}})
    assert (found[0][0].id, found[0][0].page_content) == ("1", "old 1")
    assert found[0][1] == pytest.approx(0, abs=1e-6)
    store.delete(["1"])
    assert new(collection_name="old", connection=database_url).collection.count() == 2
    store.delete_collection()
    assert new(collection_name="old", connection=database_url).collection.count() == 0


def test_an_adoption_that_was_cut_off_goes_on(
    new: Callable[..., PGVector], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    v1_tables(database_url)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("rag_pgvector.ingest.importers.import_v1", die)
        with pytest.raises(KeyboardInterrupt):
            new(collection_name="old", connection=database_url)
    store = new(collection_name="old", connection=database_url, collection_metadata={"a": 1})
    assert store.collection.count() == 3
    assert store.get_collection().cmetadata == {"a": 1}  # type: ignore[union-attr]


def test_nobody_inherits_by_coming_first(tenant_db: Database, database_url: str) -> None:
    v1_tables(database_url)
    config = CollectionConfig(dimensions=6, tenancy="multi")
    store = PGVector(EMBEDDER, connection=tenant_db, collection_name="old", config=config, tenant="acme")
    assert store.similarity_search("old 1") == []
