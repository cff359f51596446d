"""Dividing by sentence, tokens, page, group of rows and meaning: exact slices, whole, and never more than fits."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_text_splitters import MarkdownHeaderTextSplitter, RecursiveCharacterTextSplitter
from llama_index.core.node_parser import MarkdownNodeParser, SentenceSplitter, SentenceWindowNodeParser

from rag_pgvector.errors import ConfigError
from rag_pgvector.ingest import ChunkOptions, chunk_document, load
from rag_pgvector.ingest.loaders import LoadedDocument, SourceFile
from rag_pgvector.ingest.loaders.text import MarkdownLoader
from rag_pgvector.llamaindex import as_splitter
from rag_pgvector.types import Chunk
from tests.unit.test_chunking import _TEXTS, assert_exact, words


def topic(texts: list[str]) -> Any:
    """Vectors by what a text mentions."""
    return [[text.count("cat") + 0.1, text.count("stock") + 0.1, len(text) % 3 * 0.01] for text in texts]


def loaded(folder: Path, text: str, name: str = "t.md") -> LoadedDocument:
    (folder / name).write_bytes(text.encode())
    return next(load(folder / name))


def chunks_of(document: LoadedDocument, limit: int | None = None, **options: Any) -> list[Chunk]:
    given = ChunkOptions(**{"size": 40, "overlap": 8, **options})
    return list(chunk_document(document, options=given, count=words, limit=limit, embed=topic))


@pytest.mark.parametrize("by", ["paragraph", "sentence", "tokens", "page", "semantic"])
@settings(max_examples=100, deadline=None)
@given(text=_TEXTS, size=st.integers(16, 60))
def test_any_text_by(tmp_path_factory: pytest.TempPathFactory, by: str, text: str, size: int) -> None:
    path = tmp_path_factory.mktemp("any") / "text"
    path.write_bytes(b"\xef\xbb\xbf" + (text + "x").encode("utf-8", "replace"))
    document = next(MarkdownLoader().load(SourceFile(path=path, source="text", document_id="text")))
    assert_exact(document, chunks_of(document, size=size, overlap=size // 4, by=by), size)


def test_by_sentence(tmp_path: Path) -> None:
    text = "# A\n\n" + "\n\n".join(f"First of {i}, some words. Second of {i} follows it." for i in range(20))
    chunks = chunks_of(loaded(tmp_path, text), by="sentence", size=32)
    assert all(chunk.content.endswith(".") for chunk in chunks)
    for before, after in pairwise(chunks):
        assert after.char_start is not None
        assert before.char_end is not None
        assert before.char_start < after.char_start < before.char_end  # type: ignore[operator]  # a sentence again
        assert after.content.startswith(("First", "Second"))


def test_by_paragraph(tmp_path: Path) -> None:
    """What a long paragraph is divided into keeps its neighbours out, but for one that announces it."""
    long = " ".join(f"Sentence {i} of the long paragraph." for i in range(9))
    document = loaded(tmp_path, f"Before it.\n\n{long}\n\nAfter it.\n\nMore of it.\n\nNamely:\n\n{long}")
    mixed = chunks_of(document, size=26, overlap=0)
    assert mixed[0].content.startswith("Before it.\n\nSentence 0")
    apart = [chunk.content for chunk in chunks_of(document, size=26, overlap=0, by="paragraph")]
    assert apart[0] == "Before it."
    assert apart[1].startswith("Sentence 0")
    assert "Sentence 8 of the long paragraph." in apart
    (after,) = [content for content in apart if "After" in content]
    assert after.startswith("After it.\n\nMore of it.")
    assert [content for content in apart if "Namely:" in content] == [
        content for content in apart if "Namely:\n\nSentence 0" in content
    ]


def test_by_tokens(tmp_path: Path) -> None:
    text = " ".join(f"w{i}" for i in range(100)) + "\n\n## Title\n\nw100 w101"
    document = loaded(tmp_path, text)
    chunks = chunks_of(document, by="tokens", size=20, overlap=5)
    assert [chunk.content.split()[0] for chunk in chunks] == [f"w{i}" for i in range(0, 91, 15)]
    assert {words(chunk.content) for chunk in chunks[:-1]} == {20}
    assert chunks[-1].content.endswith("w101")


def test_by_page(tmp_path: Path) -> None:
    text = "\n\n".join(f"## Part {i}\n\nA few words of it, here and there." for i in range(4))
    assert len(chunks_of(loaded(tmp_path, text))) == 4
    (one,) = chunks_of(loaded(tmp_path, text), by="page", size=60)
    assert one.content == text
    document = loaded(tmp_path, text)
    pages = [piece.__class__(**{**_fields(piece), "page_or_row": i // 2}) for i, piece in enumerate(document.pieces)]
    paged = LoadedDocument(document=document.document, pieces=pages)
    assert [(c.page_or_row, c.content.count("##")) for c in chunks_of(paged, by="page")] == [(0, 2), (1, 2)]
    assert len(chunks_of(paged, by="page", size=16)) == 4


def _fields(piece: Any) -> dict[str, Any]:
    return {name: getattr(piece, name) for name in piece.__dataclass_fields__}


@pytest.mark.parametrize("by", ["structure", "paragraph", "sentence", "tokens", "page", "semantic"])
def test_rows_stay_rows(tmp_path: Path, by: str) -> None:
    document = loaded(tmp_path, "a,b\n" + "".join(f"{i},x\n" for i in range(7)), "t.csv")
    assert [chunk.page_or_row for chunk in chunks_of(document, by=by)] == list(range(7))
    groups = chunks_of(document, by=by, rows=3)
    assert [chunk.page_or_row for chunk in groups] == [0, 3, 6]
    assert groups[0].content.count("a: ") == 3


def test_by_meaning(tmp_path: Path) -> None:
    cats = " ".join(f"The cat number {i} sleeps." for i in range(12))
    stocks = " ".join(f"The stock number {i} falls." for i in range(12))
    chunks = chunks_of(loaded(tmp_path, f"{cats} {stocks}"), by="semantic", size=200, overlap=0)
    assert 2 <= len(chunks) <= 4
    assert not any("cat" in chunk.content and chunk.content.count("stock") > 1 for chunk in chunks)
    with pytest.raises(ConfigError, match="embedder"):
        list(chunk_document(loaded(tmp_path, cats), options=ChunkOptions(by="semantic"), count=words))


def test_a_foreign_splitter_is_never_cut_off_by_the_model(tmp_path: Path) -> None:
    document = loaded(tmp_path, " ".join(f"word{i}" for i in range(300)))
    splitter = RecursiveCharacterTextSplitter(chunk_size=5_000, chunk_overlap=0)
    assert [words(chunk.content) for chunk in chunks_of(document, splitter=splitter)] == [300]
    chunks = chunks_of(document, limit=50, splitter=splitter)
    assert max(words(chunk.content) for chunk in chunks) <= 50
    assert_exact(document, chunks, 50)


@pytest.mark.parametrize(
    "splitter",
    [
        RecursiveCharacterTextSplitter(chunk_size=200, chunk_overlap=40),
        MarkdownHeaderTextSplitter([("#", "one"), ("##", "two")]),
        SentenceSplitter(chunk_size=60, chunk_overlap=10),
        as_splitter(SentenceWindowNodeParser.from_defaults()),
        as_splitter(MarkdownNodeParser()),
    ],
    ids=lambda splitter: getattr(splitter, "__qualname__", type(splitter).__qualname__),
)
def test_splitters_of_both_frameworks(tmp_path: Path, splitter: Any) -> None:
    text = "# One\n\n" + "\n\n".join(f"## Part {i}\n\nSome text of it. And more of {i}." for i in range(9))
    document = loaded(tmp_path, text)
    chunks = chunks_of(document, splitter=splitter)
    assert len(chunks) >= 9
    for chunk in chunks:
        assert text[chunk.char_start : chunk.char_end] == chunk.content


def test_what_is_no_method_is_refused() -> None:
    for wrong in ({"by": "magic"}, {"by": "tokens", "splitter": str.split}):
        with pytest.raises(ConfigError, match="by="):
            ChunkOptions(**wrong)
    with pytest.raises(ConfigError, match="node parsers"):
        as_splitter(str.split)
    assert ChunkOptions(by="page").describe() != ChunkOptions().describe()


def test_real_documents_by_each_method(data_root: Path) -> None:
    path = data_root / "docs_rust_book"
    file = max(path.rglob("*.md"), key=lambda each: each.stat().st_size)
    (document,) = load(file)
    sizes = {}
    for by in ("sentence", "tokens", "page", "semantic"):
        chunks = chunks_of(document, by=by, size=100, overlap=16)
        assert_exact(document, chunks, 100)
        sizes[by] = np.mean([words(chunk.content) for chunk in chunks])
    assert sizes["tokens"] > 90
    assert sizes["page"] > sizes["semantic"]
