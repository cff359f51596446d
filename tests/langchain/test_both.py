"""One table, both frameworks: what LangChain stores LlamaIndex finds, filters, updates and deletes, and the reverse."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain_core.documents import Document
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)

from rag_pgvector import Chunk, CollectionConfig, Database
from rag_pgvector.langchain import PGVectorStore
from rag_pgvector.llamaindex import PGVectorStore as LlamaStore
from tests.langchain.stores import Angles, contents

Stores = tuple[PGVectorStore, LlamaStore]


@pytest.fixture
def both(database_url: str) -> Iterator[Stores]:
    with Database(database_url) as db:
        db.collection("docs", config=CollectionConfig(dimensions=3), embedder=Angles())
        yield (
            PGVectorStore(Angles(), collection="docs", connection=db),
            LlamaStore(collection="docs", connection=db),
        )


def node(text: str, id_: str, **metadata: object) -> TextNode:
    return TextNode(
        text=text,
        id_=id_,
        metadata=metadata,
        embedding=Angles().embed_query(text),
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc-1")},
    )


def asked(text: str, **given: object) -> VectorStoreQuery:
    return VectorStoreQuery(query_embedding=Angles().embed_query(text), similarity_top_k=5, **given)


def test_from_langchain_to_llamaindex(both: Stores) -> None:
    lc, li = both
    metadata = {"source": "a.txt", "page_or_row": 2, "year": 2024, "nested": {"k": [1, None]}}
    lc.add_documents([Document(page_content="alpha", metadata=metadata, id="1")])
    year = MetadataFilters(filters=[MetadataFilter(key="year", value=2020, operator=FilterOperator.GT)])
    found = li.query(asked("alpha", filters=year))
    assert found.ids == ["1"]
    [read] = li.get_nodes(node_ids=["1"])
    assert (read.get_content(), read.metadata["nested"], read.metadata["source"]) == (
        "alpha",
        {"k": [1, None]},
        "a.txt",
    )
    read.embedding = Angles().embed_query("beta")
    assert isinstance(read, TextNode)
    read.text = "beta"
    li.add([read])
    [document] = lc.get_by_ids(["1"])
    assert document.page_content == "beta"
    assert document.metadata == metadata
    [chunk] = lc.collection.get(["1"])
    assert (chunk.source, chunk.page_or_row) == ("a.txt", 2)
    li.delete_nodes(node_ids=["1"])
    assert lc.get()["ids"] == []


def test_from_llamaindex_to_langchain(both: Stores) -> None:
    lc, li = both
    li.add([node("alpha", "1", year=2024), node("gamma", "2", year=2019)])
    [document] = lc.similarity_search("alpha", filter={"year": {"$gt": 2020}})
    assert (document.id, document.page_content, document.metadata["year"]) == ("1", "alpha", 2024)
    lc.add_documents([Document(page_content="changed", metadata={**document.metadata, "more": True}, id="1")])
    [read] = li.get_nodes(node_ids=["1"])
    assert (read.get_content(), read.metadata["more"], read.metadata["year"]) == ("changed", True, 2024)
    assert read.ref_doc_id == "doc-1"
    assert lc.delete(filter={"year": 2019}) is True
    assert li.get_nodes(node_ids=["2"]) == []
    li.delete("doc-1")
    assert lc.get()["ids"] == []


def test_what_ingestion_stored_is_seen_by_both(both: Stores) -> None:
    lc, li = both
    lc.collection.add(
        [Chunk(id="1", content="alpha", document_id="d", source="s.pdf", page_or_row=3, char_start=0, char_end=5)]
    )
    [document] = lc.similarity_search("alpha", filter={"source": "s.pdf"})
    assert document.metadata == {
        "document_id": "d",
        "source": "s.pdf",
        "page_or_row": 3,
        "char_start": 0,
        "char_end": 5,
    }
    assert li.query(asked("alpha")).ids == ["1"]
    assert contents(lc.similarity_search("alpha")) == ["alpha"]
