"""What cannot be stored or searched for: errors name the thing, its value and the way out, and nothing is written."""

from __future__ import annotations

import datetime
import math
import uuid
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, Document, SearchOptions
from rag_pgvector.errors import (
    ChunkError,
    ConfigError,
    DimensionError,
    EmbeddingError,
    FilterError,
    RagPgvectorError,
    VectorError,
)

NAN = float("nan")
GOOD = [1.0, 2.0, 3.0]

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def shared(db: Database) -> Collection:
    docs = db.collection("docs", config=CollectionConfig(dimensions=3), embedder=embed)
    docs.put_document(Document(id="d", source="d.md", text="text", loader="text"), [good("old")])
    return docs


@pytest.fixture
def docs(shared: Collection) -> Iterator[Collection]:
    """A collection that must stay as it is."""
    before = shared.list(), shared.documents()
    assert [chunk.id for chunk in before[0]] == ["old"]
    yield shared
    assert (shared.list(), shared.documents()) == before, "something was written or lost"


@pytest.fixture
def unpaid(db: Database) -> Collection:
    """A collection whose embedder must not be asked."""

    def paid(texts: list[str]) -> Any:
        raise AssertionError("embedding costs money")

    return db.collection("unpaid", config=CollectionConfig(dimensions=3), embedder=paid)


def embed(texts: list[str]) -> list[list[float]]:
    return [[1.0, len(text), 0.0] for text in texts]


def good(id: str) -> Chunk:
    return Chunk(id=id, content="text", embedding=GOOD)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


BAD_CHUNKS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"embedding": [1, NAN, 3]}, VectorError, "chunk 'bad' holds nan at position 1"),
    ({"embedding": [1, math.inf, 3]}, VectorError, "chunk 'bad' holds inf at position 1"),
    ({"embedding": [0, 0, 0]}, VectorError, "chunk 'bad' is all zeros"),
    ({"embedding": [1, 2]}, DimensionError, "chunk 'bad' has 2 dimensions, the collection has 3"),
    ({"embedding": [[1, 2, 3]]}, VectorError, "chunk 'bad'"),
    ({"embedding": "abc"}, VectorError, "chunk 'bad': not a list of numbers"),
    ({"content": "a\0b"}, ChunkError, "chunk 'bad': content holds a NUL byte at position 1"),
    ({"content": "a\ud800"}, ChunkError, "chunk 'bad': content holds a lone surrogate at position 1"),
    ({"content": None}, ChunkError, "chunk 'bad': content is NoneType, it must be text"),
    ({"content": b"bytes"}, ChunkError, "chunk 'bad': content is bytes, it must be text"),
    ({"id": "a\0"}, ChunkError, "id holds a NUL byte at position 1"),
    ({"id": "\udfff"}, ChunkError, "id holds a lone surrogate"),
    ({"id": ""}, ChunkError, "id has 0 bytes: use 1 to 512"),
    ({"id": "x" * 513}, ChunkError, "id has 513 bytes: use 1 to 512"),
    ({"id": "é" * 257}, ChunkError, "id has 514 bytes"),
    ({"id": 5}, ChunkError, "chunk 5: id is int, it must be text"),
    ({"id": ["a"]}, ChunkError, "id is list, it must be text"),
    ({"source": "a\0"}, ChunkError, "chunk 'bad': source holds a NUL byte"),
    ({"source": 5}, ChunkError, "chunk 'bad': source is int"),
    ({"metadata": {"a": "x\0"}}, ChunkError, "chunk 'bad': metadata holds a NUL byte"),
    ({"metadata": {"a": [{"b": "\0"}]}}, ChunkError, "chunk 'bad': metadata holds a NUL byte"),
    ({"metadata": {"\0": 1}}, ChunkError, "chunk 'bad': metadata holds a NUL byte"),
    ({"metadata": {"a": "\ud800"}}, ChunkError, "chunk 'bad': metadata is not JSON"),
    ({"metadata": {"a": NAN}}, ChunkError, "chunk 'bad': metadata is not JSON"),
    ({"metadata": {"a": np.float32("inf")}}, ChunkError, "chunk 'bad': metadata is not JSON"),
    ({"metadata": {"b": 1, "p": {"q": [1, NAN]}}}, ChunkError, "compliant, in ['p']['q'][1])"),
    ({"metadata": {"a": Decimal("NaN")}}, ChunkError, "Decimal NaN is not exactly a float"),
    ({"metadata": {"a": Decimal("0.1234567890123456789")}}, ChunkError, "round it, in ['a'])"),
    ({"metadata": {"a": pd.NaT}}, ChunkError, "no time (NaT): leave the key out, in ['a'])"),
    ({"metadata": {"a": object()}}, ChunkError, "chunk 'bad': metadata is not JSON (object"),
    ({"metadata": {"a": b"bytes"}}, ChunkError, "chunk 'bad': metadata is not JSON (bytes"),
    ({"metadata": {("a", 1): 1}}, ChunkError, "chunk 'bad': metadata is not JSON"),
    ({"metadata": nested(100_000)}, ChunkError, "chunk 'bad': metadata is not JSON"),
    ({"metadata": [1]}, ChunkError, "chunk 'bad': metadata is list [1]: use a dictionary"),
    ({"metadata": "text"}, ChunkError, "chunk 'bad': metadata is str 'text': use a dictionary"),
    ({"page_or_row": -1}, ChunkError, "chunk 'bad': page_or_row=-1 is not a whole number from 0 to 2**31 - 1"),
    ({"page_or_row": 2**31}, ChunkError, "page_or_row=2147483648"),
    ({"page_or_row": 1.5}, ChunkError, "page_or_row=1.5"),
    ({"page_or_row": True}, ChunkError, "page_or_row=True"),
    ({"page_or_row": "3"}, ChunkError, "page_or_row='3'"),
    ({"char_start": -1}, ChunkError, "char_start=-1"),
    ({"char_end": 2**40}, ChunkError, "char_end=1099511627776"),
]
#: Only add() takes these: put_document writes its own.
BAD_DOCUMENT_IDS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"document_id": "\0"}, ChunkError, "chunk 'bad': document_id holds a NUL byte"),
    ({"document_id": ""}, ChunkError, "chunk 'bad': document_id has 0 bytes"),
    ({"document_id": "x" * 2001}, ChunkError, "chunk 'bad': document_id has 2001 bytes: use 1 to 2000"),
]


@pytest.mark.parametrize(("fields", "kind", "message"), [*BAD_CHUNKS, *BAD_DOCUMENT_IDS])
@pytest.mark.parametrize("count", [1, 40], ids=["one statement", "staged"])
def test_a_bad_chunk_keeps_its_whole_batch_out(
    docs: Collection, call: Call, fields: dict[str, Any], kind: type[Exception], message: str, count: int
) -> None:
    bad = Chunk(**{"id": "bad", "content": "text", "embedding": GOOD, **fields})
    chunks = [good("first"), bad, *(good(f"{i}") for i in range(count))]
    with pytest.raises(kind) as caught:
        call(docs, "add", chunks)
    assert message in str(caught.value)
    assert isinstance(caught.value, RagPgvectorError)
    assert len(str(caught.value)) < 400


def test_decimals_are_numbers_and_times_are_texts(docs: Collection) -> None:
    given = {"price": Decimal("19.90"), "count": Decimal("3.0"), "day": date(2024, 2, 29)}
    docs.add([Chunk(id="a", content="text", embedding=GOOD, metadata=given)])
    [stored] = docs.get(["a"])
    assert stored.metadata == {"price": 19.9, "count": 3, "day": "2024-02-29"}
    assert docs.count(filter={"price": {"$lt": 20}}) == 1
    docs.delete(["a"])


@pytest.mark.parametrize(("fields", "kind", "message"), [each for each in BAD_CHUNKS if "embedding" not in each[0]])
def test_a_bad_chunk_is_found_before_anything_is_embedded(
    unpaid: Collection, fields: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        unpaid.add([Chunk(**{"id": "bad", "content": "text", **fields})])
    assert message in str(caught.value)


@pytest.mark.parametrize(("fields", "kind", "message"), [each for each in BAD_CHUNKS if "source" not in each[0]])
def test_a_bad_chunk_leaves_the_document_as_it_was(
    docs: Collection, call: Call, fields: dict[str, Any], kind: type[Exception], message: str
) -> None:
    bad = Chunk(**{"id": "bad", "content": "text", "embedding": GOOD, **fields})
    with pytest.raises(kind) as caught:
        call(docs, "put_document", Document(id="d", source="new.md", text="new", loader="text"), [good("new"), bad])
    assert message in str(caught.value)
    assert docs.document("d") == Document(id="d", source="d.md", text="text", loader="text")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        *(({name: "a\0"}, f"{name} holds a NUL byte at position 1") for name in ("id", "source", "text", "loader")),
        *(({name: "a\ud800"}, f"{name} holds a lone surrogate") for name in ("id", "source", "text", "loader")),
        *(({name: None}, f"{name} is NoneType, it must be text") for name in ("id", "source", "text", "loader")),
        ({"id": ""}, "id has 0 bytes: use 1 to 2000"),
        ({"id": "x" * 2001}, "id has 2001 bytes"),
        ({"metadata": {"a": NAN}}, "metadata is not JSON"),
        ({"metadata": [1]}, "metadata is list"),
        ({"profile": {"a": NAN}}, "profile is not JSON"),
        ({"profile": {"a": object()}}, "profile is not JSON"),
        ({"profile": {"a": "\0"}}, "profile holds a NUL byte"),
        ({"content_hash": "text"}, "content_hash is str, it must be bytes"),
    ],
)
@pytest.mark.parametrize("chunks", [[], [good("new")]], ids=["empty", "one"])
def test_a_bad_document_is_not_stored(
    docs: Collection, call: Call, fields: dict[str, Any], message: str, chunks: list[Chunk]
) -> None:
    document = Document(**{"id": "bad", "source": "s", "text": "t", "loader": "l", **fields})
    with pytest.raises(ChunkError) as caught:
        call(docs, "put_document", document, chunks)
    assert message in str(caught.value)
    assert "document" in str(caught.value)


@pytest.mark.parametrize("chunks", [None, 5, "text", b"x", good("a"), {"id": "a"}])
def test_what_is_no_list_of_chunks(docs: Collection, call: Call, chunks: Any) -> None:
    document = Document(id="d", source="s", text="", loader="l")
    arguments: list[Any]
    for method, arguments in (("add", [chunks]), ("upsert", [chunks]), ("put_document", [document, chunks])):
        with pytest.raises(ConfigError, match="give a list of Chunk"):
            call(docs, method, *arguments)


@pytest.mark.parametrize("item", ["text", {"content": "x"}, None, 5])
def test_what_is_no_chunk(docs: Collection, call: Call, item: Any) -> None:
    with pytest.raises(ChunkError, match=rf"chunk 1 is {type(item).__name__} .*: use Chunk\(content="):
        call(docs, "add", [good("a"), item])
    with pytest.raises(ConfigError, match=r"use Document\("):
        call(docs, "put_document", item, [])


def test_a_generator_that_fails_writes_nothing(docs: Collection, call: Call) -> None:
    def chunks() -> Iterator[Chunk]:
        yield from (good(f"{i}") for i in range(100))
        raise KeyError("the source broke")

    with pytest.raises(KeyError, match="the source broke"):
        call(docs, "add", chunks())


# ------------------------------------------------------------------------------------------------------------ accepted


def test_what_looks_odd_but_is_fine(db: Database, call: Call) -> None:
    docs = db.collection(f"odd {uuid.uuid4()}", config=CollectionConfig(dimensions=3))
    now, some = datetime.datetime.now(datetime.timezone.utc), uuid.uuid4()
    odd = {
        "date": now,
        "day": now.date(),
        "uuid": some,
        "numpy": np.float32(0.5),
        "array": np.arange(3),
        "set": {"b", "a"},
        "tuple": (1, 2),
        "escape": "\\u0000 \\0",
        "proxy": MappingProxyType({"a": 1}),
        "large": 10**300,
        "": None,
        "𝄞": "😀",
    }
    long = "Lorem ipsum 😀 " * 770_000
    assert len(long.encode()) > 10_000_000
    call(
        docs,
        "add",
        [
            Chunk(id="odd", content="", metadata=MappingProxyType(odd), embedding=np.array(GOOD, dtype=np.float16)),
            Chunk(id="x" * 512, content="'; DROP TABLE rag.collections; --", embedding=(1, 2, 3)),
            Chunk(id="%s {0} \\ \" '", content="\x01\x7f\u200b\ufeff\uffff", metadata=None, embedding=[5e-20, 0, 0]),  # type: ignore[arg-type]
            Chunk(id="long", content=long, embedding=GOOD, page_or_row=2**31 - 1, document_id="x" * 2000),
        ],
    )
    call(docs, "add", [Chunk(id=f"{i}", content=long if i == 7 else "", embedding=GOOD) for i in range(40)])
    found = {chunk.id: chunk for chunk in docs.list(limit=100)}
    assert len(found) == 44
    assert found["odd"].metadata == {
        "date": now.isoformat(),
        "day": now.date().isoformat(),
        "uuid": str(some),
        "numpy": 0.5,
        "array": [0, 1, 2],
        "set": ["a", "b"],
        "tuple": [1, 2],
        "escape": "\\u0000 \\0",
        "proxy": {"a": 1},
        "large": 10**300,
        "": None,
        "𝄞": "😀",
    }
    assert found["long"].content == found["7"].content == long
    assert found["%s {0} \\ \" '"].content == "\x01\x7f\u200b\ufeff\uffff"
    assert found["%s {0} \\ \" '"].metadata == {}
    assert call(docs, "get", ["%s {0} \\ \" '", "\0", "\ud800"])[0].content[0] == "\x01"


# ----------------------------------------------------------------------------------------------- searching and reading


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "4", None, 2**31, 10**30])
def test_k_must_be_a_whole_number_from_1(docs: Collection, call: Call, k: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        call(docs, "search", vector=GOOD, k=k)
    assert str(caught.value) == f"k={k!r}: use a whole number from 1"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({}, ConfigError, "either a question or vector="),
        ({"query": ""}, ConfigError, "question '': use a non-empty text"),
        ({"query": " \n"}, ConfigError, "use a non-empty text"),
        ({"query": GOOD}, ConfigError, "use a non-empty text"),
        ({"vector": [1, 2]}, DimensionError, "the query vector has 2 dimensions, the collection has 3"),
        ({"vector": [0, 0, 0]}, VectorError, "the query vector is all zeros"),
        ({"vector": [1, NAN, 3]}, VectorError, "the query vector holds nan"),
        ({"vector": "abc"}, VectorError, "the query vector: not a list of numbers"),
        ({"vector": GOOD, "filter": {"a": {"$nope": 1}}}, FilterError, "$nope"),
        ({"vector": GOOD, "filter": "a = 1"}, FilterError, "a = 1"),
        ({"vector": GOOD, "options": {"exact": True}}, ConfigError, "options={'exact': True}: use SearchOptions"),
    ],
)
def test_a_search_that_cannot_be(
    docs: Collection, call: Call, arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        call(docs, "search", **arguments)
    assert message in str(caught.value)


def test_a_bad_filter_is_found_before_the_question_is_embedded(unpaid: Collection) -> None:
    with pytest.raises(FilterError):
        unpaid.search("question", filter={"a": {"$nope": 1}})


@pytest.mark.parametrize("name", ["limit", "offset"])
@pytest.mark.parametrize("value", [-1, 1.5, "10", None, True, 2**63])
def test_a_page_that_cannot_be(docs: Collection, call: Call, name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        call(docs, "list", **{name: value})
    assert str(caught.value) == f"{name}={value!r}: use a whole number from 0"


@pytest.mark.parametrize("ids", ["a", "", b"a", 5, [5], ["a", None]])
def test_ids_that_cannot_be(docs: Collection, call: Call, ids: Any) -> None:
    for method in ("get", "delete", "texts"):
        with pytest.raises(ConfigError, match=r"give a list of ids|ids are text"):
            call(docs, method, ids)


@pytest.mark.parametrize("document_id", ["a\0", "\ud800", "x" * 5000])
def test_an_id_that_cannot_be_stored_is_not_there(docs: Collection, call: Call, document_id: str) -> None:
    assert call(docs, "document", document_id) is None
    assert call(docs, "texts", [document_id, "d"]) == {"d": "text"}
    assert call(docs, "list", document_id=document_id) == []
    assert call(docs, "embedded_hashes", document_id) == {}
    assert call(docs, "delete_document", document_id) == 0
    assert call(docs, "get", [document_id]) == []
    assert call(docs, "delete", [document_id]) == 0


@pytest.mark.parametrize("document_id", [None, 5, b"d"])
def test_a_document_id_that_is_no_text(docs: Collection, call: Call, document_id: Any) -> None:
    for method in ("document", "embedded_hashes", "delete_document"):
        with pytest.raises(ConfigError, match="ids are text"):
            call(docs, method, document_id)


def test_delete_needs_to_know_what(docs: Collection, call: Call) -> None:
    nothing: Any
    for nothing in ({}, None):
        with pytest.raises(ConfigError, match=r"delete\(\) needs ids or a filter"):
            call(docs, "delete", filter=nothing)
    with pytest.raises(FilterError):
        call(docs, "delete", [], filter={"a": {"$nope": 1}})
    assert call(docs, "delete", []) == 0
    assert call(docs, "delete", (id_ for id_ in ["nope"])) == 0


# ------------------------------------------------------------------------------------------------------------ embedders


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (lambda texts: [], EmbeddingError, "returned 0 vectors for"),
        (lambda texts: None, EmbeddingError, "returned NoneType"),
        (lambda texts: [[1.0, NAN, 3.0] for _ in texts], EmbeddingError, "nan at position 1"),
        (lambda texts: [["a", "b", "c"] for _ in texts], EmbeddingError, "not a list of numbers"),
        (lambda texts: [[1.0, 2.0] for _ in texts], DimensionError, "gives 2 dimensions, collection 'docs' has 3"),
        (lambda texts: 1 / 0, EmbeddingError, "ZeroDivisionError"),
    ],
)
def test_an_embedder_that_talks_nonsense(
    docs: Collection, call: Call, answer: Callable[[list[str]], Any], kind: type[Exception], message: str
) -> None:
    other = docs.database.collection("docs", embedder=answer)
    argument: Any
    for method, argument, options in (
        ("add", [Chunk(content="text")], {}),
        ("search", "question", {"options": SearchOptions(fallback=False)}),
    ):
        with pytest.raises(kind) as caught:
            call(other, method, argument, **options)
        assert message in str(caught.value)
    if kind is EmbeddingError:  # by words alone, and the result says so; a wrong configuration is an error in any case
        assert message in str(call(other, "search", "question").plan.warnings)


def test_an_embedder_that_gives_zeros_for_one_text(docs: Collection, call: Call) -> None:
    def some_zeros(texts: list[str]) -> list[list[float]]:
        return [[0.0, 0, 0] if text == "void" else [1.0, 0, 0] for text in texts]

    other = docs.database.collection("docs", embedder=some_zeros)
    with pytest.raises(VectorError, match="chunk 'z' is all zeros"):
        call(other, "add", [Chunk(id="a", content="text"), Chunk(id="z", content="void")])
    with pytest.raises(VectorError, match="the query vector is all zeros"):
        call(other, "search", "void")
