"""Which names, configurations and embedders a collection takes, and what it says to the others."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from psycopg import sql
from psycopg.conninfo import make_conninfo

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, Document, SearchOptions
from rag_pgvector.errors import (
    CollectionMismatchError,
    CollectionNotFoundError,
    ConfigError,
    DatabaseError,
    DimensionError,
    EmbedderMismatchError,
)

Call = Callable[..., Any]
Make = Callable[..., Collection]


@pytest.fixture
def docs(make: Make) -> Collection:
    return make()


def chunk(id: str, text: str = "text", **fields: Any) -> Chunk:
    return Chunk(**{"id": id, "content": text, "embedding": [1, 2, 3], **fields})


@pytest.mark.parametrize(
    "name",
    [
        "collections", "documents", "alembic_version", "docs", "DOCS", "Mixed Case", "日本語", "a\"b'c`d", "a;b--",
        "x" * 63, "é" * 31, "100%", "%s %(a)s %%", "{}", "a.b", " padded ", "😀", "__class__", "pg_class",
        "\u200b\u0301", "a\\b",
    ],
)  # fmt: skip
def test_names_that_work(db: Database, call: Call, name: str) -> None:
    docs = call(db, "collection", name, config=CollectionConfig(dimensions=3))
    docs.put_document(Document(id="d", source="s", text="t", loader="l"), [chunk(f"{i}") for i in range(50)])
    docs.add([chunk("a", metadata={"n": 1})])
    docs.add([chunk("a", "changed")])
    assert docs.build_index().state == "valid"
    assert call(docs, "search", vector=[1, 2, 3], k=1, filter={"n": {"$exists": False}})
    assert name in call(db, "collections") == sorted(db.collections())
    assert (docs.name, docs.count(), docs.delete(["a"])) == (name, 51, 1)
    call(docs, "drop")
    assert name not in db.collections()


@pytest.mark.parametrize("name", ["", " ", "x" * 64, "é" * 32, "a\0b", "a\nb", "\ud800", None, 5, b"a"])
def test_names_that_do_not(db: Database, call: Call, name: Any) -> None:
    with pytest.raises(ConfigError, match="collection name"):
        call(db, "collection", name, config=CollectionConfig(dimensions=3))


def test_collections_never_share_a_table_an_index_or_a_sequence(db: Database) -> None:
    """Whatever one collection is called, another one's relations are not in its way."""
    long = "n" * 57
    names = [
        "x",
        "x_hnsw",
        "x_document",
        "x_pkey",
        "x_seq",
        "x_seq_seq",
        "hnsw_x",
        "100%",
        "100_",
        long + "1",
        long + "2",
    ]
    made = [db.collection(name, config=CollectionConfig(dimensions=3)) for name in names]
    names += [docs._table.name.removeprefix("chunks_") for docs in made if docs.name in ("100%", long + "1")]
    made = [db.collection(name, config=CollectionConfig(dimensions=3)) for name in names]
    assert len({docs._table.name for docs in made}) == len(names)
    for docs in made:
        docs.add([chunk("a", docs.name)])
        assert docs.build_index().reason == "built"
    for docs in made:
        assert [c.content for c in docs.list()] == [docs.name]
        assert all(len(docs._table.name.encode()) <= 63 for docs in made)
    for docs in made:
        docs.drop()


@pytest.mark.parametrize(
    "changed",
    [
        {"dimensions": 4},
        {"distance": "l2"},
        {"storage": "halfvec"},
        {"hnsw_m": 8},
        {"hnsw_ef_construction": 100},
        {"tenancy": "multi"},
    ],
)
def test_another_configuration_is_refused(db: Database, docs: Collection, call: Call, changed: dict[str, Any]) -> None:
    [(field, value)] = changed.items()
    with pytest.raises(
        CollectionMismatchError, match=rf"exists with {field}=.*, not {value!r}: open it without config"
    ):
        call(db, "collection", docs.name, config=CollectionConfig(**{"dimensions": 3, **changed}))
    for config in (None, CollectionConfig(), CollectionConfig(dimensions=3)):
        assert call(db, "collection", docs.name, config=config).config == docs.config


def test_an_unknown_collection_names_those_there_are(db: Database, docs: Collection, call: Call) -> None:
    with pytest.raises(CollectionNotFoundError, match=rf"'nope' does not exist \(there are: .*{docs.name}.*\): create"):
        call(db, "collection", "nope")


# ------------------------------------------------------------------------------------------------------------ embedders


def test_the_embedder_gives_the_dimensions(db: Database, call: Call) -> None:
    model = DeterministicFakeEmbedding(size=7)
    docs = call(db, "collection", str(uuid.uuid4()), config=CollectionConfig(), embedder=model)
    assert docs.config.dimensions == 7
    call(docs, "add", [Chunk(id="a", content="text")])
    found = docs.get(["a"], embeddings=True)[0].embedding
    assert found == pytest.approx(model.embed_documents(["text"])[0], rel=1e-6)


def test_another_model_is_refused_and_the_same_in_another_wrapper_is_not(db: Database, make: Make, call: Call) -> None:
    model = DeterministicFakeEmbedding(size=8)
    docs = make(model, dimensions=8)
    call(docs, "add", [Chunk(id="a", content="text")])

    other = db.collection(
        docs.name, embedder=lambda texts: [list(np.random.default_rng(1).normal(size=8))] * len(texts)
    )
    smaller = db.collection(docs.name, embedder=DeterministicFakeEmbedding(size=4))
    for method, arguments in (("add", [[Chunk(content="x")]]), ("search", ["x"]), ("embed_query", ["x"])):
        with pytest.raises(EmbedderMismatchError, match=r"embedded by 'DeterministicFakeEmbedding'.*use the first, or"):
            call(other, method, *arguments)
        with pytest.raises(DimensionError, match=r"gives 4 dimensions, collection .* has 8"):
            call(smaller, method, *arguments)
    assert call(other, "search", vector=np.ones(8), k=1)[0].chunk.id == "a", "a vector of one's own is one's own affair"
    call(other, "add", [chunk("b", embedding=np.ones(8))])

    rounded = db.collection(docs.name, embedder=lambda t: np.asarray(model.embed_documents(t), dtype=np.float16))
    assert call(rounded, "search", "text", k=1)[0].chunk.id == "a"
    assert rounded.embedding_hash("text") == docs.embedding_hash("text"), "one model, one name"
    assert docs.count() == 2


def test_a_read_only_database_without_our_tables_says_what_is_missing(empty_database: str) -> None:
    options = "-c default_transaction_read_only=on"
    with Database(make_conninfo(empty_database, options=options)) as db:
        with pytest.raises(
            DatabaseError, match=r"rag_pgvector's tables are not there yet: .*name the primary"
        ) as caught:
            db.collection("docs")
    assert caught.value.sqlstate == "25006"


@pytest.mark.parametrize("how", ["read-only transactions", "a role that may only read"])
def test_searching_writes_nothing(database_url: str, how: str) -> None:
    embedder = DeterministicFakeEmbedding(size=8)
    role = f"rag_test_reader_{uuid.uuid4().hex[:8]}"
    with Database(database_url) as db:
        docs = db.collection("read", config=CollectionConfig(dimensions=8), embedder=embedder)
        docs.add([Chunk(id="a", content="mangoes are sweet"), Chunk(id="b", content="lemons are sour")])
    with psycopg.connect(database_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        grants = "GRANT USAGE ON SCHEMA rag TO {0}; GRANT SELECT ON ALL TABLES IN SCHEMA rag TO {0}"
        conn.execute(sql.SQL(grants).format(sql.Identifier(role)))
        options = "-c default_transaction_read_only=on" if how == "read-only transactions" else f"-c role={role}"
        with Database(make_conninfo(database_url, options=options)) as db:
            docs = db.collection("read", embedder=embedder)
            for mode in ("dense", "keyword", "hybrid"):
                assert docs.search("mangoes are sweet", k=1, options=SearchOptions(mode=mode))[0].chunk.id == "a"
            assert docs.ask("Are mangoes sweet?", threshold=0.0).failure_mode != "no_results"
        conn.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))
