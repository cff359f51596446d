"""LangChain and LlamaIndex on one table: what one writes the other finds, filters, changes and deletes."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from llama_index.core.schema import IndexNode, NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import FilterOperator, MetadataFilter, MetadataFilters, VectorStoreQuery
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from rag_pgvector import Collection, CollectionConfig, Database, roles
from rag_pgvector.ingest import ingest
from rag_pgvector.langchain import PGVectorStore as LangChainStore
from rag_pgvector.llamaindex import PGVectorStore as LlamaStore

EMBEDDING = DeterministicFakeEmbedding(size=6)
Stores = tuple[Collection, Any, LlamaStore]


@pytest.fixture(params=["single", "multi"])
def stores(request: pytest.FixtureRequest, database_url: str, server_url: str) -> Iterator[Stores]:
    """The collection, bound to a tenant where it has tenants, and both stores on it."""
    login = f"rag_both_{uuid.uuid4().hex[:12]}"
    url = database_url
    if request.param == "multi":
        password = conninfo_to_dict(database_url).get("password")
        with Database(database_url) as admin:
            admin.run_admin(
                lambda: roles.grant_login(login, create=True, password=None if password is None else str(password))
            )
        url = make_url(database_url).set(username=login).render_as_string(hide_password=False)
    db = Database(url, admin_url=database_url)
    tenant = "acme" if request.param == "multi" else None
    config = CollectionConfig(dimensions=6, tenancy=request.param)
    docs = db.collection("docs", config=config, embedder=EMBEDDING)
    if tenant:
        docs = docs.for_tenant(tenant)
    yield docs, LangChainStore(EMBEDDING, collection="docs", connection=db, tenant=tenant), LlamaStore(collection=docs)
    asyncio.run(db.aclose())
    if request.param == "multi":
        with psycopg.connect(database_url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(login)))
        with psycopg.connect(server_url, autocommit=True) as conn:
            conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(login)))


METADATA = {"topic": "foxes", "year": 2024, "tags": ["a", "b"], "deep": {"y": 1, "x": None}, "who": "O'Brien"}


def node(id_: str = "n1", text: str = "Foxes dig dens.", **metadata: Any) -> TextNode:
    return TextNode(
        id_=id_,
        text=text,
        metadata={**METADATA, "file_path": "dens.md", "page_label": "3", **metadata},
        embedding=EMBEDDING.embed_query(text),
        start_char_idx=10,
        end_char_idx=10 + len(text),
        excluded_llm_metadata_keys=["year"],
        relationships={
            NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc1", metadata={"k": 1}),
            NodeRelationship.NEXT: RelatedNodeInfo(node_id="n2"),
        },
    )


def where(key: str, value: Any, operator: FilterOperator = FilterOperator.EQ) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


def near(text: str, **options: Any) -> VectorStoreQuery:
    return VectorStoreQuery(query_embedding=EMBEDDING.embed_query(text), similarity_top_k=10, **options)


def bare(given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.to_dict().items() if name != "embedding"}


def test_what_llama_index_writes_langchain_reads(stores: Stores) -> None:
    docs, langchain, llama = stores
    llama.add([node()])
    [(found, score)] = langchain.similarity_search_with_score("Foxes dig dens.", k=1)
    assert (found.id, found.page_content) == ("n1", "Foxes dig dens.")
    assert {name: found.metadata[name] for name in METADATA} == METADATA
    place = {"document_id": "doc1", "source": "dens.md", "page_or_row": 3, "char_start": 10, "char_end": 25}
    assert {name: found.metadata[name] for name in place} == place
    [chunk] = docs.get(["n1"])
    assert {name: getattr(chunk, name) for name in place} == place
    assert score == pytest.approx(0, abs=1e-5) or score == pytest.approx(1, abs=1e-5)
    for filter in ({"year": {"$gte": 2024}}, {"who": "O'Brien"}, {"tags": {"$any": ["a"]}}, {"deep.y": 1}):
        assert [each.id for each in langchain.similarity_search("x", k=5, filter=filter)] == ["n1"]
    assert langchain.similarity_search("x", k=5, filter={"year": {"$lt": 2024}}) == []


def test_what_langchain_writes_llama_index_reads(stores: Stores) -> None:
    _, langchain, llama = stores
    place = {"document_id": "doc1", "source": "dens.md", "page_or_row": 3, "char_start": 10, "char_end": 25}
    langchain.add_documents([Document(id="l1", page_content="Foxes dig dens.", metadata={**METADATA, **place})])
    [found] = llama.query(near("Foxes dig dens.")).nodes
    assert (found.node_id, found.get_content(), found.ref_doc_id) == ("l1", "Foxes dig dens.", "doc1")
    assert (found.start_char_idx, found.end_char_idx) == (10, 25)
    assert {name: found.metadata[name] for name in METADATA} == METADATA
    assert found.metadata["source"] == "dens.md"
    for filters in (
        where("year", 2024, FilterOperator.GTE),
        where("who", "O'Brien"),
        where("tags", ["a"], FilterOperator.ANY),
        where("ref_doc_id", "doc1"),
        where("source", "dens.md"),
    ):
        assert llama.query(near("x", filters=filters)).ids == ["l1"]
    assert llama.query(near("x", doc_ids=["doc1"])).ids == ["l1"]
    assert llama.query(near("x", doc_ids=["doc2"])).ids == []


def test_a_node_survives_langchain_s_changes(stores: Stores) -> None:
    """Read, changed and stored again by LangChain: the node has the change, and all that LangChain does not know."""
    _, langchain, llama = stores
    index = IndexNode(id_="i1", text="An index.", index_id="n1", embedding=EMBEDDING.embed_query("An index."))
    llama.add([node(), index])
    documents = langchain.get_by_ids(["n1", "i1"])
    langchain.add_documents(documents)
    assert {each.node_id: bare(each) for each in llama.get_nodes(["n1", "i1"])} == {
        "n1": bare(node()),
        "i1": bare(index),
    }
    [document] = langchain.get_by_ids(["n1"])
    document.metadata["year"] = 2025
    document.metadata["new"] = True
    del document.metadata["who"]
    langchain.add_documents([Document(id="n1", page_content="Foxes dig deep.", metadata=document.metadata)])
    [changed] = llama.get_nodes(["n1"])
    expected = node(text="Foxes dig deep.", year=2025, new=True)
    del expected.metadata["who"]
    assert bare(changed) == bare(expected)
    assert llama.query(near("Foxes dig deep.")).similarities[0] == pytest.approx(1, abs=1e-5)


def test_a_document_survives_llama_index_s_changes(stores: Stores) -> None:
    docs, langchain, llama = stores
    place = {"document_id": "doc1", "source": "dens.md", "page_or_row": 3, "char_start": 10, "char_end": 25}
    langchain.add_documents([Document(id="l1", page_content="Foxes dig dens.", metadata={**METADATA, **place})])
    [before] = docs.get(["l1"])
    [found] = llama.get_nodes(["l1"])
    llama.add([found])
    assert docs.get(["l1"]) == [before]
    found.metadata["year"] = 2025
    llama.add([found])
    [document] = langchain.get_by_ids(["l1"])
    assert document.metadata == {**METADATA, **place, "year": 2025}


def test_each_replaces_and_deletes_the_other_s(stores: Stores) -> None:
    docs, langchain, llama = stores
    llama.add([node("a"), node("b"), node("c")])
    langchain.add_texts(["by LangChain"], [{"n": 1}], ids=["a"])
    llama.add([node("l", "by LlamaIndex")])
    assert docs.count() == 4
    langchain.delete(["b"])
    assert llama.get_nodes(["b"]) == []
    langchain.add_texts(["x", "y"], [{"document_id": "doc9"}, {"z": 1}], ids=["x", "y"])
    llama.delete("doc9")
    assert langchain.get_by_ids(["x"]) == []
    llama.delete_nodes(["y", "no such"])
    llama.delete_nodes(filters=where("topic", "foxes"))
    assert [chunk.id for chunk in docs.list()] == ["a"]
    llama.clear()
    assert langchain.similarity_search("x", k=5) == []


def test_a_file_that_was_ingested_is_seen_by_both(stores: Stores, tmp_path: Path) -> None:
    docs, langchain, llama = stores
    (tmp_path / "dens.md").write_text("# Dens\n\nFoxes dig dens.\n\n## Food\n\nThey hunt mice at dusk.\n")
    ingest(docs, tmp_path / "dens.md")
    [document] = docs.documents()
    text = docs.texts([document.id])[document.id]
    chunks = {str(chunk.id): chunk for chunk in docs.list()}
    nodes = llama.query(near("Foxes dig dens.")).nodes
    documents = {str(each.id): each for each in langchain.similarity_search("Foxes dig dens.", k=10)}
    assert set(documents) == {each.node_id for each in nodes} == set(chunks)
    for each in nodes:
        assert each.ref_doc_id == document.id
        assert text[each.start_char_idx : each.end_char_idx] == each.get_content()
        assert each.metadata["source"] == documents[each.node_id].metadata["source"] == document.source
    llama.add(list(llama.get_nodes(list(chunks))))
    after = {str(chunk.id): chunk for chunk in docs.list()}
    for id_, chunk in chunks.items():
        for name in ("content", "document_id", "source", "page_or_row", "char_start", "char_end"):
            assert getattr(after[id_], name) == getattr(chunk, name)
    llama.delete(document.id)
    assert (docs.count(), docs.documents()) == (0, [])


async def test_asynchronously(stores: Stores) -> None:
    _, langchain, llama = stores
    await asyncio.gather(llama.async_add([node()]), langchain.aadd_texts(["other"], ids=["o"]))
    assert [each.id for each in await langchain.asimilarity_search("Foxes dig dens.", k=1)] == ["n1"]
    assert set((await llama.aquery(near("x"))).ids) == {"n1", "o"}
    await langchain.adelete(["n1"])
    assert await llama.aget_nodes(["n1"]) == []
