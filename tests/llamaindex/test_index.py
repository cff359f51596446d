"""LlamaIndex's own machinery on our store: indexes, pipelines and query engines, with the real MiniLM model."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.llms import MockLLM
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import VectorIndexAutoRetriever
from llama_index.core.schema import MetadataMode
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import MetadataInfo, VectorStoreInfo

from rag_pgvector import Collection, CollectionConfig, Database
from rag_pgvector.ingest import ingest
from rag_pgvector.llamaindex import GroundedQueryEngine, PGVectorStore, RagEmbedding
from tests.llamaindex.conftest import Make
from tests.llamaindex.test_store import where

ANIMALS = {
    "foxes": "Foxes are small omnivorous mammals. They dig dens, and they hunt mice at dusk.",
    "bees": "Honey bees gather nectar and pollen. A hive holds one queen and many workers.",
    "whales": "Blue whales eat krill. They are the largest animals known to have lived.",
}


@pytest.fixture(scope="module")
def model() -> RagEmbedding:
    return RagEmbedding()


def documents(**texts: str) -> list[Document]:
    return [
        Document(id_=name, text=text, metadata={"topic": name, "file_name": f"{name}.md"})
        for name, text in (texts or ANIMALS).items()
    ]


def index_of(store: PGVectorStore, model: RagEmbedding) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(
        documents(),
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=model,
        transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0)],
    )


@pytest.fixture(params=["tenant", "json"])
def wide(request: pytest.FixtureRequest, make: Make, model: RagEmbedding) -> PGVectorStore:
    """A store for MiniLM's vectors, on a collection and on the peer's table."""
    return make(request.param, dimensions=model.embedder.dimensions)


def test_an_index_from_documents(wide: PGVectorStore, model: RagEmbedding) -> None:
    index = index_of(wide, model)
    [best, *_] = index.as_retriever(similarity_top_k=2).retrieve("Which insect makes honey?")
    assert best.node.metadata == {"topic": "bees", "file_name": "bees.md"}
    assert best.node.ref_doc_id == "bees"
    assert ANIMALS["bees"][best.node.start_char_idx : best.node.end_char_idx] == best.node.get_content()
    assert 0.3 < best.score <= 1
    opened = VectorStoreIndex.from_vector_store(wide, embed_model=model)
    retriever = opened.as_retriever(similarity_top_k=5, filters=where("topic", "whales"))
    assert {found.node.ref_doc_id for found in retriever.retrieve("honey")} == {"whales"}
    opened.insert(Document(id_="ants", text="Ants farm aphids for honeydew.", metadata={"topic": "ants"}))
    assert opened.as_retriever(similarity_top_k=1).retrieve("aphids")[0].node.ref_doc_id == "ants"
    opened.delete_ref_doc("ants")
    opened.update_ref_doc(Document(id_="foxes", text="Foxes were renamed to zorros.", metadata={"topic": "foxes"}))
    assert wide.get_nodes(filters=where("topic", "ants")) == []
    assert [n.get_content() for n in wide.get_nodes(filters=where("ref_doc_id", "foxes"))] == [
        "Foxes were renamed to zorros."
    ]


async def test_a_query_engine_asynchronously(wide: PGVectorStore, model: RagEmbedding) -> None:
    index = await asyncio.to_thread(index_of, wide, model)
    engine = index.as_query_engine(llm=MockLLM(max_tokens=4), similarity_top_k=1)
    response = await engine.aquery("What do whales eat?")
    assert response.source_nodes[0].node.ref_doc_id == "whales"
    assert "krill" in response.source_nodes[0].node.get_content(metadata_mode=MetadataMode.LLM)
    assert str(response) == str(engine.query("What do whales eat?"))
    mmr = index.as_retriever(
        vector_store_query_mode="mmr", similarity_top_k=2, vector_store_kwargs={"mmr_threshold": 0.2}
    )
    assert len(await mmr.aretrieve("animals")) == 2


def pipeline(store: PGVectorStore, model: RagEmbedding, strategy: DocstoreStrategy) -> IngestionPipeline:
    return IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=64, chunk_overlap=0), model],
        vector_store=store,
        docstore=SimpleDocumentStore(),
        docstore_strategy=strategy,
    )


def contents(store: PGVectorStore) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in store.get_nodes(filters=where("topic", "no such", where("x", 1).filters[0].operator.NE)):
        found.setdefault(str(node.ref_doc_id), []).append(node.get_content())
    return found


@pytest.mark.parametrize("strategy", list(DocstoreStrategy))
def test_ingestion_strategies(wide: PGVectorStore, model: RagEmbedding, strategy: DocstoreStrategy) -> None:
    pipe = pipeline(wide, model, strategy)
    wide.add([])  # nothing
    assert len(pipe.run(documents=documents())) == 3
    assert pipe.run(documents=documents()) == []  # nothing new
    changed = {**ANIMALS, "bees": "Bees were all renamed."}
    assert len(pipe.run(documents=documents(**changed))) == 1
    if strategy == DocstoreStrategy.DUPLICATES_ONLY:  # it knows no documents, only texts
        assert sorted(contents(wide)["bees"]) == ["Bees were all renamed.", ANIMALS["bees"]]
        return
    assert contents(wide)["bees"] == ["Bees were all renamed."]
    del changed["whales"]
    asyncio.run(pipe.arun(documents=documents(**changed)))
    gone = strategy == DocstoreStrategy.UPSERTS_AND_DELETE
    assert set(contents(wide)) == ({"foxes", "bees"} if gone else set(ANIMALS))


# ----------------------------------------------------------------------------------------------------- grounded answers


@pytest.fixture
def handbook(db: Database, model: RagEmbedding, tmp_path: Any) -> Collection:
    (tmp_path / "handbook.md").write_text(
        "# Handbook\n\n## Refunds\n\nRefunds are paid within 14 days of the return.\n\n"
        "## Shipping\n\nParcels are shipped from Rotterdam every Tuesday.\n"
    )
    docs = db.collection(uuid.uuid4().hex, config=CollectionConfig(), embedder=model.embedder)
    ingest(docs, tmp_path / "handbook.md")
    return docs


async def test_grounded_answers(handbook: Collection) -> None:
    engine = GroundedQueryEngine(PGVectorStore(collection=handbook), threshold=0.0)
    response = engine.query("When are refunds paid?")
    assert "14 days" in str(response)
    assert response.metadata["failure_mode"] is None
    assert 0 < response.metadata["confidence"] <= 1
    [best, *_] = response.source_nodes
    document = handbook.document(str(best.node.ref_doc_id))
    assert document is not None
    assert document.text[best.node.start_char_idx : best.node.end_char_idx] == best.node.get_content()
    assert best.node.metadata["source"].endswith("handbook.md")
    assert (await engine.aquery("When are refunds paid?")).response == response.response


async def test_no_answer_says_why(handbook: Collection) -> None:
    engine = GroundedQueryEngine(handbook, no_answer="No idea.")
    for response in (engine.query("Who won the 1954 world cup?"), await engine.aquery("Who won the 1954 world cup?")):
        assert response.response == "No idea."
        assert response.source_nodes == []
        assert response.metadata["failure_mode"] is not None
        assert response.metadata["answer"]["answer"] is None


def test_the_engine_stands_on_nodes_of_llama_index(db: Database, model: RagEmbedding) -> None:
    store = PGVectorStore(collection=uuid.uuid4().hex, connection=db, embedder=model.embedder)
    index_of(store, model)
    response = GroundedQueryEngine(store, threshold=0.0).query("What do blue whales eat?")
    assert "krill" in str(response)
    assert response.source_nodes[0].node.metadata["source"] == "whales.md"
    assert isinstance(RetrieverQueryEngine.from_args, object)


def test_what_cannot_be_a_store_is_refused() -> None:
    with pytest.raises(ValueError, match="PGVectorStore"):
        GroundedQueryEngine("docs")  # type: ignore[arg-type]


def test_the_embedding_is_the_collection_s(handbook: Collection, model: RagEmbedding) -> None:
    assert model.get_query_embedding("x") == pytest.approx(handbook.embed_query("x").tolist())
    assert model.get_text_embedding("x") == pytest.approx(handbook.embed_documents(["x"])[0].tolist())
    assert asyncio.run(model.aget_text_embedding_batch(["x"]))[0] == pytest.approx(model.get_text_embedding("x"))


def test_an_auto_retriever_asks_by_the_filter_alone(wide: PGVectorStore, model: RagEmbedding) -> None:
    """Its model leaves the query empty where the filter says all; nobody embeds that."""
    topic = '{"key": "topic", "operator": "==", "value": "bees"}'
    retriever = VectorIndexAutoRetriever(
        index_of(wide, model),
        vector_store_info=VectorStoreInfo(
            content_info="animals", metadata_info=[MetadataInfo(name="topic", type="str", description="which animal")]
        ),
        llm=MockLLM(),  # which says what it is told
        prompt_template_str=f'{{"query": "", "filters": [{topic}], "top_k": 5}}',
    )
    assert {found.node.ref_doc_id for found in retriever.retrieve("everything about bees")} == {"bees"}
    assert {found.node.ref_doc_id for found in asyncio.run(retriever.aretrieve("all of bees"))} == {"bees"}
