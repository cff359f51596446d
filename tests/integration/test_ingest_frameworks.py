"""Documents of LangChain and LlamaIndex go in as they are, and our loaders serve both frameworks."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core.schema import Document as LlamaDocument
from llama_index.core.schema import TextNode

from rag_pgvector import Collection
from rag_pgvector.errors import ConfigError, LoadError
from rag_pgvector.ingest import ingest
from rag_pgvector.langchain import FileLoader
from rag_pgvector.llamaindex import FileReader


def test_documents_of_both_frameworks(docs: Collection) -> None:
    given = [
        LangChainDocument(page_content="First page.", metadata={"source": "a.pdf", "page": 0, "year": 2023}),
        LangChainDocument(page_content="Second page.", metadata={"source": "a.pdf", "page": 1}),
        LangChainDocument(page_content="Named.", id="mine"),
        LlamaDocument(text="# Guide\n\nHow to begin.", metadata={"file_path": "g.md"}),
        TextNode(text="A node.", id_="node-1", metadata={"page_label": "7"}),
    ]
    report = ingest(docs, given)
    assert (report.documents, report.added, report.failed) == (5, 5, ())
    chunks = {chunk.document_id: chunk for chunk in docs.list()}
    assert set(chunks) == {"a.pdf#1", "a.pdf#2", "mine", "g.md", "node-1"}
    first = chunks["a.pdf#1"]
    assert (first.content, first.page_or_row, first.source) == ("First page.", 1, "a.pdf")
    assert first.metadata["year"] == 2023
    assert chunks["g.md"].metadata["headings"] == ["Guide"]
    assert chunks["node-1"].page_or_row == 7
    again = ingest(docs, [*given[1:], LangChainDocument(page_content="First page!", metadata=dict(given[0].metadata))])
    assert (again.unchanged, again.added, again.deleted, again.embedded) == (4, 1, 1, 1)
    with pytest.raises(ConfigError, match="no text"):
        ingest(docs, LangChainDocument(page_content=" "))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "t.csv").write_text("k,v\none,1\ntwo,2\n")
    (tmp_path / "d" / "g.md").write_text("# G\n\nBody.\n\n## H\n\nMore.\n")
    return tmp_path / "d"


def test_langchain_loader(folder: Path) -> None:
    guide, first, second = FileLoader(folder).load()
    assert (guide.id, guide.page_content) == ("d/g.md", "# G\n\nBody.\n\n## H\n\nMore.\n")
    assert (first.id, first.page_content) == ("d/t.csv#0", "k: one\nv: 1")
    assert second.metadata == {"source": "d/t.csv", "document_id": "d/t.csv", "row": 1, "k": "two", "v": 2}
    assert [document.id for document in FileLoader([folder / "t.csv"]).lazy_load()] == ["t.csv#0", "t.csv#1"]
    chunks = FileLoader(folder / "g.md", chunks=True, size=16, overlap=0).load()
    assert [chunk.metadata["char_start"] for chunk in chunks][:1] == [0]

    async def collect() -> list[LangChainDocument]:
        return [document async for document in FileLoader(folder).alazy_load()]

    assert [document.id for document in asyncio.run(collect())] == ["d/g.md", "d/t.csv#0", "d/t.csv#1"]
    (folder / "bad.pdf").write_bytes(b"%PDF-nothing")
    with pytest.raises(LoadError, match=r"bad\.pdf"):
        FileLoader(folder).load()
    assert len(FileLoader(folder, skip=True).load()) == 3


def test_llama_index_reader(folder: Path) -> None:
    guide, first, second = FileReader().load_data(folder)
    assert (guide.id_, first.id_, second.id_) == ("d/g.md", "d/t.csv#0", "d/t.csv#1")
    assert second.metadata["row"] == 1
    assert [document.id_ for document in FileReader().load_data(folder)] == [guide.id_, first.id_, second.id_]


def test_what_a_loader_gives_goes_back_in(docs: Collection, folder: Path) -> None:
    ingest(docs, FileLoader(folder).load())
    assert {chunk.source for chunk in docs.list()} == {"d/g.md", "d/t.csv"}
    assert docs.list(document_id="d/t.csv#1")[0].metadata["k"] == "two"
