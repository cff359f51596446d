"""What a run does beside adding: sync, full and dry runs, context, other splitters, long rows, stages that fail."""

from __future__ import annotations

import asyncio
import threading
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_pgvector import Collection, CollectionConfig, Database
from rag_pgvector.errors import ConfigError, EmbeddingError
from rag_pgvector.ingest import ChunkOptions, TableOptions, aingest, ingest


class Hashing:
    """A quick embedder: the same text, the same vector; it remembers what it was given."""

    name = "hashing"
    dimensions = 8
    max_tokens = 64

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.fail_after: int | None = None

    def embed_documents(self, texts: Sequence[str]) -> Any:
        if self.fail_after is not None and len(self.texts) + len(texts) > self.fail_after:
            raise EmbeddingError("no more")
        self.texts += texts
        return np.stack([self.embed_query(text) for text in texts])

    def embed_query(self, text: str) -> Any:
        draw = np.random.default_rng(list(text.encode()))
        return draw.standard_normal(8).astype(np.float32)

    async def aembed_documents(self, texts: Sequence[str]) -> Any:
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> Any:
        return self.embed_query(text)


@pytest.fixture
def embedder() -> Hashing:
    return Hashing()


@pytest.fixture
def docs(database_url: str, embedder: Hashing) -> Iterator[Collection]:
    with Database(database_url) as db:
        yield db.collection("docs", config=CollectionConfig(dimensions=8), embedder=embedder)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.md").write_text("# Alpha\n\nFirst.\n\n## Part\n\nSecond.\n")
    (folder / "b.md").write_text("# Beta\n\nThird.\n")
    (folder / "sub" / "t.csv").write_text("k,v\none,1\ntwo,2\n")
    return folder


def sources(docs: Collection) -> list[str]:
    return [document.source for document in docs.documents()]


def test_append_leaves_what_is_gone_and_sync_deletes_it(docs: Collection, corpus: Path) -> None:
    (corpus.parent / "other.txt").write_text("Not in the folder.")
    ingest(docs, [corpus, corpus.parent / "other.txt"])
    (corpus / "b.md").unlink()
    assert ingest(docs, corpus).deleted == 0
    assert "corpus/b.md" in sources(docs)
    report = ingest(docs, corpus, mode="sync")
    assert report.deleted == 1
    assert sources(docs) == ["corpus/a.md", "corpus/sub/t.csv", "other.txt"]


def test_sync_of_a_glob_covers_what_it_matches(docs: Collection, corpus: Path) -> None:
    ingest(docs, corpus)
    (corpus / "b.md").unlink()
    (corpus / "sub" / "t.csv").unlink()
    (corpus / "sub" / "u.csv").write_text("k\n1\n")
    assert ingest(docs, str(corpus / "*.md"), mode="sync").deleted == 1
    assert sources(docs) == ["corpus/a.md", "corpus/sub/t.csv"]
    assert ingest(docs, str(corpus / "**" / "*.csv"), mode="sync").deleted == 2
    assert sources(docs) == ["corpus/a.md", "corpus/sub/u.csv"]


def test_sync_keeps_what_it_cannot_read_now(docs: Collection, corpus: Path) -> None:
    ingest(docs, corpus)
    (corpus / "b.md").write_bytes(b"\0\0\0")
    report = ingest(docs, corpus, mode="sync")
    assert [failure.source for failure in report.failed] == ["corpus/b.md"]
    assert "corpus/b.md" in sources(docs)
    assert report.deleted == 0


def test_full_reads_everything_again_and_leaves_nothing_else(docs: Collection, corpus: Path, embedder: Hashing) -> None:
    (corpus.parent / "other.txt").write_text("Not in the folder.")
    ingest(docs, [corpus, corpus.parent / "other.txt"])
    embedder.texts.clear()
    report = ingest(docs, corpus, mode="full")
    assert (report.deleted, report.unchanged, report.embedded) == (1, 5, 0)
    assert "other.txt" not in sources(docs)


def test_the_parts_of_a_file_that_are_gone_go(docs: Collection, tmp_path: Path) -> None:
    def pack(**members: str) -> None:
        with zipfile.ZipFile(tmp_path / "z.zip", "w") as out:
            for name, text in members.items():
                out.writestr(f"{name}.md", text)

    pack(one="First.", two="Second.")
    ingest(docs, tmp_path / "z.zip")
    assert sources(docs) == ["z.zip/one.md", "z.zip/two.md"]
    assert ingest(docs, tmp_path / "z.zip").unchanged == 2
    pack(two="Second.", three="Third.")
    report = ingest(docs, tmp_path / "z.zip")
    assert (report.added, report.deleted) == (1, 1)
    assert sources(docs) == ["z.zip/three.md", "z.zip/two.md"]


def test_a_dry_run_tells_what_a_run_then_does(docs: Collection, corpus: Path, embedder: Hashing) -> None:
    def both() -> None:
        seen = len(embedder.texts)
        before = docs.count()
        dry = ingest(docs, corpus, mode="sync", dry_run=True)
        assert (docs.count(), len(embedder.texts)) == (before, seen)
        assert dry.to_dict()["dry_run"] is True
        wet = ingest(docs, corpus, mode="sync")
        for name in ("documents", "chunks", "added", "updated", "unchanged", "deleted", "embedded"):
            assert getattr(dry, name) == getattr(wet, name), name

    docs.embedding_hash("")  # the model is known by its vector of a fixed text
    both()
    (corpus / "a.md").write_text("# Alpha\n\nFirst, changed.\n\n## Part\n\nSecond.\n")
    (corpus / "b.md").unlink()
    (corpus / "c.md").write_text("New.")
    both()
    both()


def test_titles_are_embedded_and_not_stored(docs: Collection, corpus: Path, embedder: Hashing) -> None:
    titled = ChunkOptions(context_tokens=12)
    ingest(docs, corpus, options=titled)
    assert "Alpha\n## Part\n\nSecond." in embedder.texts
    assert "t\nk: one\nv: 1" in embedder.texts
    contents = [chunk.content for chunk in docs.list()]
    assert "## Part\n\nSecond." in contents
    embedder.texts.clear()
    assert ingest(docs, corpus, options=titled).embedded == 0
    assert ingest(docs, corpus).embedded == 2  # those whose titles do not stand in them ("t" does in "two")
    assert "## Part\n\nSecond." in embedder.texts


def test_a_row_longer_than_the_model_reads_is_divided_between_its_lines(
    docs: Collection, tmp_path: Path, embedder: Hashing
) -> None:
    names = [f"measure_{i}" for i in range(40)]
    (tmp_path / "wide.csv").write_text(
        f"state,year,{','.join(names)}\nJohor,2020,{','.join(str(i * 7) for i in range(40))}\n"
        f"Kedah,2020,{','.join(str(i * 9) for i in range(40))}\n"
    )
    ingest(docs, tmp_path / "wide.csv")
    chunks = [chunk for chunk in docs.list(document_id="wide.csv") if chunk.page_or_row == 0]
    assert len(chunks) >= 3
    assert "\n".join(chunk.content for chunk in chunks).count("\n") == 41
    assert all(chunk.metadata["measure_39"] == 273 for chunk in chunks)
    assert all(len(text) / 4 <= embedder.max_tokens for text in embedder.texts)
    answer = docs.ask("What was measure 39 in Kedah in 2020?")
    assert answer.answer is not None
    assert answer.answer.startswith("351")
    document = docs.document("wide.csv")
    assert document is not None
    citation = answer.citations[0]
    assert document.text[citation.char_start : citation.char_end] == citation.snippet


def test_rows_together_and_row_names(docs: Collection, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sku,v\nA,1\nB,2\nC,3\n")
    ingest(docs, tmp_path / "t.csv", options=ChunkOptions(rows=2))
    assert [chunk.content for chunk in docs.list(document_id="t.csv")] == [
        "sku: A\nv: 1\n\nsku: B\nv: 2",
        "sku: C\nv: 3",
    ]
    table = TableOptions(id_column="sku", content="{v} of {sku}")
    ingest(docs, tmp_path / "t.csv", table=table)
    (tmp_path / "t.csv").write_text("sku,v\nC,3\nA,1\n")
    report = ingest(docs, tmp_path / "t.csv", table=table)
    assert (report.added, report.deleted, report.embedded) == (0, 1, 0)
    assert [chunk.id for chunk in docs.list()] == ["t.csv#A", "t.csv#C"]


def test_other_splitters(docs: Collection, tmp_path: Path) -> None:
    from langchain_text_splitters import RecursiveCharacterTextSplitter
    from llama_index.core.node_parser import SentenceSplitter

    text = "One sentence here. Another one there!\n\nA new paragraph, with ümlauts and a ligature ﬁ.\r\nEnd. " * 8
    (tmp_path / "a.txt").write_bytes(text.encode())
    splitters: list[Any] = [
        RecursiveCharacterTextSplitter(chunk_size=80, chunk_overlap=20),
        SentenceSplitter(chunk_size=40, chunk_overlap=5),
        lambda body: body.split(". "),
    ]
    for splitter in splitters:
        ingest(docs, tmp_path / "a.txt", options=ChunkOptions(splitter=splitter))
        document = docs.document("a.txt")
        assert document is not None
        chunks = docs.list(document_id="a.txt", limit=1_000)
        assert len(chunks) > 5
        assert all(document.text[chunk.char_start : chunk.char_end] == chunk.content for chunk in chunks)
    with pytest.raises(ConfigError, match="no slice"):
        ingest(docs, tmp_path / "a.txt", options=ChunkOptions(splitter=lambda body: [body.upper()]))


def test_a_failing_model_leaves_whole_documents_and_no_threads(
    docs: Collection, tmp_path: Path, embedder: Hashing
) -> None:
    for i in range(30):
        (tmp_path / f"{i:02}.txt").write_text("\n\n".join(f"Paragraph {i} {j} " + "word " * 40 for j in range(100)))
    embedder.fail_after = 2_100
    with pytest.raises(EmbeddingError, match="no more"):
        ingest(docs, tmp_path)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rag_pgvector ingest")]
    for document in docs.documents():
        assert len(docs.list(document_id=document.id, limit=1_000)) == document.metadata["chunks"]
    embedder.fail_after = None
    whole = len(docs.documents())
    assert whole < 30
    report = ingest(docs, tmp_path)
    assert report.documents == 30
    assert report.unchanged >= whole * 100


def test_two_runs_at_once_leave_what_one_leaves(database_url: str, docs: Collection, corpus: Path) -> None:
    for i in range(20):
        (corpus / f"{i}.md").write_text(f"# T{i}\n\n" + "\n\n".join(f"Text {i} {j}." for j in range(20)))

    def run(errors: list[BaseException]) -> None:
        try:
            with Database(database_url) as db:
                ingest(db.collection("docs", embedder=Hashing()), corpus)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            errors.append(error)

    errors: list[BaseException] = []
    threads = [threading.Thread(target=run, args=(errors,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert ingest(docs, corpus).unchanged == docs.count()
    assert len(docs.documents()) == 23


def test_in_a_running_loop(docs: Collection, corpus: Path) -> None:
    assert asyncio.run(aingest(docs, corpus, mode="sync")).documents == 3


def test_an_unknown_mode_is_an_error(docs: Collection, corpus: Path) -> None:
    with pytest.raises(ConfigError, match="append, sync or full"):
        ingest(docs, corpus, mode="replace")  # type: ignore[arg-type]
