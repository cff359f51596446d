"""The verbs of a collection, in both colours: what goes in, what comes out, and what stays."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, Document, SearchOptions, WriteCounts
from rag_pgvector.errors import (
    CollectionNotFoundError,
)

Call = Callable[..., Any]
Make = Callable[..., Collection]

FULL = Chunk(
    id="full",
    content="Text with 'quotes', 😀 and \\ backslashes",
    metadata={"n": 1, "list": [1, "two"], "nested": {"a": None}},
    document_id="d",
    source="d.md",
    page_or_row=0,
    char_start=5,
    char_end=9,
    embedding=[1, 2, 3],
)


@pytest.fixture
def docs(make: Make) -> Collection:
    return make()


def chunk(id: str, text: str = "text", **fields: Any) -> Chunk:
    return Chunk(**{"id": id, "content": text, "embedding": [1, 2, 3], **fields})


# -------------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize("more", [0, 100, 300], ids=["one statement", "staged", "copied"])
@pytest.mark.parametrize("storage", ["vector", "halfvec"])
def test_every_field_comes_back_as_it_went_in(make: Make, call: Call, more: int, storage: str) -> None:
    docs = make(storage=storage)
    others = [chunk(f"{i}") for i in range(more)]
    assert call(docs, "add", [FULL, *others]) == ["full", *(f"{i}" for i in range(more))]
    [found] = call(docs, "get", ["full"], embeddings=True)
    assert found == FULL
    assert found.embedding == [1, 2, 3]
    assert call(docs, "get", ["full"])[0].embedding is None
    assert call(docs, "count") == more + 1


def test_ids_come_back_in_the_order_given(docs: Collection, call: Call) -> None:
    ids = call(docs, "add", [chunk("b"), Chunk(content="x", embedding=[1, 0, 0]), chunk("a"), chunk("b", "last")])
    assert (ids[0], ids[2], ids[3]) == ("b", "a", "b")
    assert str(uuid.UUID(ids[1])) == ids[1]
    assert call(docs, "get", ["b"])[0].content == "last"
    assert call(docs, "count") == 3
    assert call(docs, "add", []) == []


@pytest.mark.parametrize("more", [0, 100, 300], ids=["one statement", "staged", "copied"])
def test_upsert_counts_what_it_did_and_touches_nothing_else(
    docs: Collection, call: Call, more: int, db: Database
) -> None:
    others = [chunk(f"{i}") for i in range(more)]
    assert call(docs, "upsert", [chunk("a"), chunk("b"), chunk("a"), *others]) == WriteCounts(added=2 + more)

    def versions() -> dict[str, str]:
        with psycopg.connect(db.url) as conn:
            query = psycopg.sql.SQL("SELECT id, xmin::text FROM {}").format(docs._table.identifier)
            return dict(conn.execute(query).fetchall())

    before = versions()
    counts = call(docs, "upsert", [chunk("a"), chunk("b", metadata={"new": 1}), chunk("c"), *others])
    assert counts == WriteCounts(added=1, updated=1, unchanged=1 + more)
    after = versions()
    assert {id for id in before if before[id] != after[id]} == {"b"}
    fields: dict[str, Any] = {
        "content": "new",
        "source": "s",
        "page_or_row": 1,
        "embedding": [3, 2, 1],
        "document_id": "d",
    }
    for change in ({name: value} for name, value in fields.items()):
        assert call(docs, "upsert", [chunk("a", **change)]).updated == 1
    [found] = call(docs, "get", ["a"], embeddings=True)
    assert (found.content, found.source, found.embedding) == ("text", None, [1, 2, 3]), "replaced, not merged"


def test_texts_are_embedded_and_the_given_vectors_kept(make: Make, call: Call) -> None:
    seen: list[str] = []

    def embed(texts: list[str]) -> list[list[float]]:
        seen.extend(texts)
        return [[len(text), 1, 0] for text in texts]

    docs = make(embed)
    call(docs, "add", [Chunk(id="a", content="four"), chunk("b", "given"), Chunk(id="c", content="fifteen")])
    assert seen[-2:] == ["four", "fifteen"]
    assert [c.embedding for c in docs.get(["a", "b", "c"], embeddings=True)] == [[4, 1, 0], [1, 2, 3], [7, 1, 0]]
    assert call(docs, "search", "1234", k=1)[0].chunk.id == "a"
    assert call(docs, "embed_documents", ["ab"]).tolist() == [[2, 1, 0]]
    assert call(docs, "embed_query", "abc").tolist() == [3, 1, 0]


# ------------------------------------------------------------------------------------------------- reading and deleting


def test_get_keeps_the_order_asked(docs: Collection, call: Call) -> None:
    call(docs, "add", [chunk(id) for id in "abc"])
    assert [c.id for c in call(docs, "get", ["c", "nope", "a", "c"])] == ["c", "a", "c"]
    assert call(docs, "get", []) == []
    assert [c.id for c in call(docs, "get", (id for id in "ba"))] == ["b", "a"]


def test_pages_are_in_the_order_of_code_points(docs: Collection, call: Call) -> None:
    ids = ["Z", "a", "10", "9", "é", "e\u0301", "😀", "ab", "A b", "_", "ﬀ"]
    call(docs, "add", [chunk(id, metadata={"n": i}) for i, id in enumerate(ids)])
    assert [c.id for c in call(docs, "list")] == sorted(ids)
    pages = [call(docs, "list", limit=3, offset=offset) for offset in range(0, 12, 3)]
    assert [c.id for page in pages for c in page] == sorted(ids)
    assert call(docs, "list", limit=0) == []
    assert call(docs, "list", offset=100) == []
    assert {c.id for c in call(docs, "list", filter={"n": {"$lt": 2}})} == {"Z", "a"}
    assert call(docs, "count", {"n": {"$lt": 2}}) == call(docs, "count", filter={"n": {"$lt": 2}}) == 2


def test_a_documents_chunks_are_in_the_order_of_its_text(docs: Collection, call: Call) -> None:
    call(
        docs, "add", [chunk("x", document_id="d", char_start=9), chunk("y", document_id="d", char_start=0), chunk("z")]
    )
    assert [c.id for c in call(docs, "list", document_id="d")] == ["y", "x"]
    assert call(docs, "list", document_id="other") == []


def test_delete_by_ids_by_filter_and_by_both(docs: Collection, call: Call) -> None:
    def fill() -> None:
        docs.add([chunk(f"{i}", metadata={"n": i}) for i in range(10)])

    fill()
    assert call(docs, "delete", ["1", "2", "2", "nope"]) == 2
    assert call(docs, "delete", filter={"n": {"$gte": 8}}) == 2
    assert call(docs, "delete", ["3", "4"], filter={"n": 4}) == 1
    assert [c.id for c in docs.list()] == ["0", "3", "5", "6", "7"]
    fill()
    assert call(docs, "delete", [f"{i}" for i in range(70_000)]) == 10
    assert call(docs, "get", [f"{i}" for i in range(70_000)]) == []


def test_drop_removes_everything(db: Database, docs: Collection, call: Call, caplog: pytest.LogCaptureFixture) -> None:
    docs.put_document(Document(id="d", source="s", text="t", loader="l"), [chunk("a")])
    docs.build_index()
    call(docs, "drop")
    assert docs.name not in call(db, "collections")
    with pytest.raises(CollectionNotFoundError, match="does not exist"):
        call(db, "collection", docs.name)
    paper = Document(id="d", source="s", text="t", loader="l")
    uses: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("count", [], {}),
        ("search", [], {"vector": [1, 2, 3]}),
        ("search", ["a"], {"vector": [1, 2, 3], "options": SearchOptions(mode="hybrid")}),
        ("add", [[chunk("a")]], {}),
        ("put_document", [paper, [chunk("a")]], {}),
        ("build_index", [], {}),
    ]
    for method, arguments, options in uses:
        with pytest.raises(CollectionNotFoundError, match="dropped by somebody else"):
            call(docs, method, *arguments, **options)
    again = call(db, "collection", docs.name, config=CollectionConfig(dimensions=5))
    for method, arguments, options in uses[3:5]:  # the table of that name is another's by now
        with pytest.raises(CollectionNotFoundError, match="dropped by somebody else"):
            call(docs, method, *arguments, **options)
    assert (again.count(), again.documents(), again.config.dimensions) == (0, [], 5)
    assert caplog.text == ""


# ------------------------------------------------------------------------------------------------------------ searching


def brute_force(distance: str, vectors: np.ndarray[Any, Any], query: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Distances in double precision."""
    if distance == "l2":
        found = np.linalg.norm(vectors - query, axis=1)
    elif distance == "inner_product":
        found = -(vectors @ query)
    else:
        found = 1 - (vectors @ query) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    return np.asarray(found)


@pytest.mark.parametrize(
    ("distance", "storage"), list(itertools.product(["cosine", "l2", "inner_product"], ["vector", "halfvec"]))
)
@pytest.mark.parametrize("filter", [None, {"odd": True}])
def test_exact_search_is_brute_force(make: Make, call: Call, distance: str, storage: str, filter: Any) -> None:
    random = np.random.default_rng(3)
    kind = np.float16 if storage == "halfvec" else np.float32
    vectors = random.normal(size=(300, 16)).astype(kind).astype(np.float64)
    query = random.normal(size=16).astype(kind).astype(np.float64)
    docs = make(dimensions=16, distance=distance, storage=storage)
    docs.add([chunk(f"{i}", embedding=v, metadata={"odd": bool(i % 2)}) for i, v in enumerate(vectors)])
    found = call(docs, "search", vector=query, k=20, filter=filter)
    assert found.plan.kind == "exact"
    distances = brute_force(distance, vectors, query)
    order = [i for i in np.argsort(distances) if filter is None or i % 2][:20]
    assert [hit.chunk.id for hit in found] == [str(i) for i in order]
    assert [hit.distance for hit in found] == pytest.approx(distances[order], abs=1e-5)
    scores = {"cosine": 1 - distances, "l2": 1 / (1 + distances), "inner_product": -distances}[distance]
    assert [hit.score for hit in found] == pytest.approx(scores[order], abs=1e-5)
    assert len(call(docs, "search", vector=query, k=1000)) == 300


def test_rows_without_an_embedding_are_counted_but_not_found(docs: Collection, call: Call) -> None:
    document = Document(id="d", source="s", text="t", loader="l")
    call(docs, "put_document", document, [Chunk(id="a", content="no vector"), chunk("b")])
    assert call(docs, "count") == 2
    assert [hit.chunk.id for hit in call(docs, "search", vector=[1, 0, 0], k=10)] == ["b"]
    assert [c.embedding for c in call(docs, "get", ["a", "b"], embeddings=True)] == [None, [1, 2, 3]]
    assert len(call(docs, "search", vector=[1, 0, 0], filter={"nope": 1})) == 0


# ------------------------------------------------------------------------------------------------------------ documents


def test_a_document_and_its_chunks_are_replaced_together(make: Make, call: Call) -> None:
    docs = make(lambda texts: [[len(t), 1, 0] for t in texts])
    document = Document(id="d", source="d.md", text="one two", loader="text", metadata={"a": 1}, content_hash=b"1")
    table = Document(id="t", source="a.csv", text="x", loader="csv", profile={"columns": []}, content_hash=b"2")
    assert call(docs, "put_document", document, [chunk("a"), chunk("b"), Chunk(content="c")]) == WriteCounts(added=3)
    assert call(docs, "put_document", table, []) == WriteCounts()
    docs.add([chunk("other")])
    assert call(docs, "document", "d") == document
    assert [d.id for d in call(docs, "documents")] == ["t", "d"]
    assert call(docs, "documents")[1].text == ""
    assert [d.profile for d in call(docs, "tables")] == [{"columns": []}]
    assert call(docs, "texts", ["d", "nope"]) == {"d": "one two"}
    assert {c.source for c in call(docs, "list", document_id="d")} == {"d.md"}

    new = Document(id="d", source="d.md", text="two", loader="text", content_hash=b"3")
    chunks = [Chunk(id="b", content="text"), Chunk(id="n", content="new")]
    assert call(docs, "put_document", new, chunks) == WriteCounts(added=1, unchanged=1, deleted=2)
    assert call(docs, "document", "d") == new
    kept, fresh = call(docs, "get", ["b", "n"], embeddings=True)
    assert (kept.embedding, fresh.embedding) == ([1, 2, 3], None), "the same text keeps what was made of it"
    moved = [Chunk(id="b", content="text", metadata={"moved": True}), Chunk(id="n", content="new")]
    assert call(docs, "put_document", new, moved) == WriteCounts(updated=1, unchanged=1)
    assert docs.get(["b"], embeddings=True)[0].embedding == [1, 2, 3], "whatever else of it changed"
    changed = [Chunk(id="b", content="changed"), Chunk(id="n", content="new", embedding=[3, 1, 0])]
    assert call(docs, "put_document", new, changed) == WriteCounts(updated=2)
    assert [c.embedding for c in docs.get(["b", "n"], embeddings=True)] == [None, [3, 1, 0]]
    assert call(docs, "delete_document", "d") == 2
    assert call(docs, "delete_document", "d") == 0
    assert call(docs, "document", "d") is None
    assert [c.id for c in docs.list()] == ["other"]


def test_what_each_embedding_was_made_of(make: Make, call: Call) -> None:
    docs = make(lambda texts: [[len(t), 1, 0] for t in texts])
    document = Document(id="d", source="s", text="t", loader="l")
    by_model = docs.embed_documents(["text"])[0]
    call(docs, "put_document", document, [chunk("a", embedding=by_model), Chunk(id="b", content="none")])
    assert call(docs, "embedded_hashes", "d") == {"a": docs.embedding_hash("text")}
    assert docs.embedding_hash("text") != docs.embedding_hash("other")
    docs.add([chunk("a", document_id="d")])
    assert call(docs, "embedded_hashes", "d")["a"] != docs.embedding_hash("text"), "given by hand"
