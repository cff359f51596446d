"""Chunks are exact slices, cover the text, and stay within their tokens, whatever the text is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_pgvector.errors import ConfigError, LoadError
from rag_pgvector.ingest import ChunkOptions, chunk_document, estimate_tokens, load
from rag_pgvector.ingest.loaders import LoadedDocument, Piece, SourceFile
from rag_pgvector.ingest.loaders.text import MarkdownLoader, RstLoader, TextLoader
from rag_pgvector.types import Chunk, Document


def words(text: str) -> int:
    """A tokeniser for tests: words, and every other character that is not white space."""
    return len(re.findall(r"\w+|[^\w\s]", text))


def loaded(tmp_path: Path, name: str, text: str) -> LoadedDocument:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return next(load(path))


def chunks_of(document: LoadedDocument, size: int = 40, overlap: int = 8) -> list[Chunk]:
    return list(chunk_document(document, options=ChunkOptions(size=size, overlap=overlap), count=words))


def assert_exact(document: LoadedDocument, chunks: list[Chunk], size: int) -> None:
    text = document.document.text
    covered = [False] * len(text)
    for chunk in chunks:
        assert chunk.char_start is not None
        assert chunk.char_end is not None
        assert text[chunk.char_start : chunk.char_end] == chunk.content
        assert chunk.content.strip()
        assert words(chunk.content) <= size
        covered[chunk.char_start : chunk.char_end] = [True] * len(chunk.content)
    missed = [text[at] for at, held in enumerate(covered) if not held and not text[at].isspace()]
    assert missed == []
    starts = [chunk.char_start or 0 for chunk in chunks]
    assert starts == sorted(starts)
    assert len({chunk.id for chunk in chunks}) == len(chunks)


_FRAGMENTS = st.sampled_from(
    [
        *("\n", "\r\n", "\r", "\n\n", "\r\n\r\n", " ", "\t", "\f", "\x85", "\u2028", "\xa0" * 3, " " * 700),
        *("One sentence. ", "Is this e.g. another? ", "第一句。第二句！", "same same same. ", "ﬁnal oﬃce "),
        *("e\u0301le\u0300ve ", "a\u0323\u0307" * 9, "👩\u200d👩\u200d👧\u200d👦", "🇲🇾🇮🇩🇸🇬", "👍🏽", "नमस्ते "),
        *("x" * 60, "ab" * 400, "https://example.org/?q=" + "%20" * 80),
        *("# Title\n", "## Deeper\n", "Title\n=====\n", "Title\n-----\n", "```\n", "~~~~\n", "---\n", "::\n"),
        *("- item one\n", "1. item\n", "| a | b |\n", "> quoted\n", ".. _label:\n"),
        *(".. code:: python\n\n    x = 1\n\n    y = 2\n", "For example::\n\n    literal\n\n"),
    ]
)
_TEXTS = st.lists(
    st.one_of(_FRAGMENTS, st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn"]), max_size=20))
).map("".join)


@pytest.mark.parametrize("loader", [TextLoader(), MarkdownLoader(), RstLoader()], ids=lambda loader: loader.name)
@settings(max_examples=150, deadline=None)
@given(text=_TEXTS, size=st.integers(16, 60))
def test_any_text(tmp_path_factory: pytest.TempPathFactory, loader: TextLoader, text: str, size: int) -> None:
    path = tmp_path_factory.mktemp("any") / "text"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode("utf-8", "replace"))
    file = SourceFile(path=path, source="text", document_id="text")
    if not text.strip():
        with pytest.raises(LoadError, match="white space"):
            next(loader.load(file))
        return
    document = next(loader.load(file))
    assert document.document.text == text.encode("utf-8", "replace").decode()
    assert_exact(document, chunks_of(document, size, size // 4), size)


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.sampled_from("ab \n.\u0301👩\u200d🇲🇾"), max_size=400))
def test_a_cut_never_falls_between_base_and_mark(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Unless one such cluster alone is longer than a chunk, and not where the mark has no base."""
    if not text.strip() or re.search(r"[\u0301\u200d👩🇲🇾]{15}", text):
        return
    path = tmp_path_factory.mktemp("any") / "text"
    path.write_text(text, encoding="utf-8", newline="")
    document = next(load(path))
    for chunk in chunk_document(document, options=ChunkOptions(size=16, overlap=0), count=len):
        start = chunk.char_start or 0
        if start and not text[start - 1].isspace():
            assert not chunk.content.startswith(("\u0301", "\u200d"))
            assert text[start - 1] != "\u200d"


def test_a_word_without_end_is_cut_and_never_slow(tmp_path: Path) -> None:
    document = loaded(tmp_path, "a.txt", "x" * 300_000 + " " + "`" + "Sentence. " * 30_000)
    chunks = chunks_of(document, 200, 24)
    assert_exact(document, chunks, 200)
    assert max(len(chunk.content) for chunk in chunks) < 200 * 11


def test_sections_and_heading_paths(tmp_path: Path) -> None:
    text = "# Guide\n\nIntro.\n\n## Install\n\n### Linux\n\nRun make.\n\n## Use\n\nCall it.\n\nEmpty\n=====\n"
    document = loaded(tmp_path, "a.md", text)
    assert [(chunk.content, chunk.metadata["headings"]) for chunk in chunks_of(document)] == [
        ("# Guide\n\nIntro.", ["Guide"]),
        ("## Install\n\n### Linux\n\nRun make.", ["Guide", "Install", "Linux"]),
        ("## Use\n\nCall it.", ["Guide", "Use"]),
        ("Empty\n=====", ["Empty"]),
    ]


def test_rst_titles_by_order_of_their_rules(tmp_path: Path) -> None:
    text = (
        "=====\nTitle\n=====\n\nIntro.\n\n.. _first:\n\nFirst\n-----\n\nText.\n\nDeeper\n~~~~~~\n\nMore.\n\n"
        "Second\n------\n\n=====  =====\nA      B\n=====  =====\n1      2\n=====  =====\n"
    )
    document = loaded(tmp_path, "a.rst", text)
    assert [(chunk.content, chunk.metadata["headings"]) for chunk in chunks_of(document, 80)] == [
        ("=====\nTitle\n=====\n\nIntro.", ["Title"]),
        (".. _first:\n\nFirst\n-----\n\nText.", ["Title", "First"]),
        ("Deeper\n~~~~~~\n\nMore.", ["Title", "First", "Deeper"]),
        (text[text.index("Second") :].rstrip(), ["Title", "Second"]),
    ]


def test_a_hash_in_code_is_no_heading(tmp_path: Path) -> None:
    code = "```sh\n# not a title\n\nmake install\n```"
    document = loaded(tmp_path, "a.md", f"# Title\n\n{code}\n\nAfter.\n")
    assert [chunk.metadata["headings"] for chunk in chunks_of(document)] == [["Title"]]


def test_code_stays_whole_where_it_fits(tmp_path: Path) -> None:
    code = "```python\n" + "\n\n".join(f"a{n} = {n}" for n in range(8)) + "\n```"
    prose = "Many words stand before the code here. " * 4
    chunks = chunks_of(loaded(tmp_path, "a.md", f"{prose}\n\n{code}\n\n{prose}\n"), size=48)
    assert code in [chunk.content for chunk in chunks]
    literal = "    first\n\n    second\n\n    third"
    chunks = chunks_of(loaded(tmp_path, "a.rst", f"{prose}\n\nLook at this::\n\n{literal}\n\n{prose}\n"), size=40)
    assert any(f"Look at this::\n\n{literal}" in chunk.content for chunk in chunks)


def test_an_example_goes_with_its_announcement(tmp_path: Path) -> None:
    prose = "Some words stand here first. " * 5
    chunks = chunks_of(loaded(tmp_path, "a.md", f"{prose}\n\nFor example:\n\n```\nx = 1\n```\n"), size=36)
    assert chunks[1].content == "For example:\n\n```\nx = 1\n```"


def test_a_heading_stays_with_its_text(tmp_path: Path) -> None:
    paragraph = " ".join(f"Sentence number {n} stands here." for n in range(7))  # 42 words and stops
    document = loaded(tmp_path, "a.md", f"# One of three words\n\n{paragraph}\n")
    first, second = chunks_of(document, size=44, overlap=0)
    assert first.content.startswith("# One of three words\n\nSentence number 0")
    assert second.content.startswith("Sentence number")


def test_overlap_is_whole_sentences_within_a_paragraph(tmp_path: Path) -> None:
    sentences = [f"Sentence number {n} stands here." for n in range(12)]
    document = loaded(tmp_path, "a.txt", " ".join(sentences) + "\n\nA new paragraph. It repeats nothing at all.\n")
    chunks = chunks_of(document, size=30, overlap=8)
    assert chunks[1].content.startswith(sentences[4])  # the last one of the chunk before
    assert chunks[0].content.endswith(sentences[4])
    assert all(chunk.content.split(". ")[0] in document.document.text for chunk in chunks)
    without = chunks_of(document, size=30, overlap=0)
    assert without[1].content.startswith(sentences[5])


def test_a_changed_paragraph_leaves_the_other_ids(tmp_path: Path) -> None:
    paragraphs = [f"Paragraph {n} says {'very ' * (n % 5)}little. " * 3 for n in range(60)]
    before = {chunk.id for chunk in chunks_of(loaded(tmp_path, "a.txt", "\n\n".join(paragraphs)))}
    paragraphs[10] = "This one was written anew, and it is longer than it was. " * 5
    after = {chunk.id for chunk in chunks_of(loaded(tmp_path, "a.txt", "\n\n".join(paragraphs)))}
    assert len(after - before) <= 5
    assert len(before & after) >= 20


def test_equal_paragraphs_have_ids_of_their_own(tmp_path: Path) -> None:
    text = "\n\n".join(["# Same\n\nThe same text."] * 3)
    ids = [chunk.id or "" for chunk in chunks_of(loaded(tmp_path, "a.md", text))]
    assert [id_.removeprefix(ids[0]) for id_ in ids] == ["", "-2", "-3"]
    assert re.fullmatch(r"a\.md#[0-9a-f]{16}", ids[0])


def test_a_piece_without_blocks_stays_whole_where_it_fits() -> None:
    text = "word " * 500
    document = Document(id="t", source="t", text=text, loader="csv")
    piece = Piece(char_start=0, char_end=len(text), page_or_row=7, metadata={"a": 1})
    (chunk,) = chunks_of(LoadedDocument(document=document, pieces=[piece]), 700)
    assert (chunk.id, chunk.page_or_row, chunk.content) == ("t#7", 7, text.rstrip())
    first, second, *_ = chunks_of(LoadedDocument(document=document, pieces=[piece]), 200)
    assert [(part.id, part.page_or_row, part.metadata) for part in (first, second)] == [
        ("t#7", 7, {"a": 1}),
        ("t#7-2", 7, {"a": 1}),
    ]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.txt", b"", "empty"),
        ("blank.md", b" \n\t\r\n", "white space"),
        ("nul.txt", b"one\ntwo\0three\n", "NUL"),
        ("image.bin", bytes(range(256)) * 20, "no loader for .bin"),
        ("report.docx", b"PK\x03\x04" + bytes(100), "cannot be opened as a zip archive"),
        ("report.odt", b"PK\x03\x04" + bytes(100), "no loader for .odt"),
        ("named.txt", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3", "PDF"),
        ("half.txt", b"\xff\xfea\0b", "UTF-16"),
    ],
)
def test_what_is_not_text_is_refused(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(LoadError, match=reason) as caught:
        list(load(tmp_path / name))
    assert caught.value.source == name
    if name == "nul.txt":
        assert caught.value.where == "line 2"


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings(tmp_path: Path, codec: str) -> None:
    text = "Grüße aus Köln, sagte sie.\r\nZweite Zeile des Textes\r\n"
    (tmp_path / "LICENSE").write_bytes(text.encode(codec))
    (document,) = load(tmp_path / "LICENSE")
    assert document.document.text == text


def test_east_asian_encoding(tmp_path: Path) -> None:
    text = "日本語の文章です。文字コードを正しく判定できるかどうかを確かめます。" * 20
    (tmp_path / "a.txt").write_bytes(text.encode("shift_jis"))
    assert next(load(tmp_path / "a.txt")).document.text == text


def test_the_estimate_is_rather_too_many() -> None:
    assert estimate_tokens("four") == 1
    assert estimate_tokens("four five") == 3
    assert estimate_tokens("日本語") == 3


def test_options_check_themselves() -> None:
    with pytest.raises(ConfigError, match="size=5"):
        ChunkOptions(size=5)
    with pytest.raises(ConfigError, match="overlap=150"):
        ChunkOptions(overlap=150)


@pytest.mark.parametrize("folder", ["docs_pgvector", "docs_rust_book"])
def test_real_documents(data_root: Path, folder: str) -> None:
    files = [path for path in sorted((data_root / folder).rglob("*")) if path.is_file()]
    assert files
    for path in files:
        (document,) = load(path)
        assert_exact(document, chunks_of(document, 200, 24), 200)
