"""Files into a collection: what is stored, what a second run does, and what an interrupted or a bad one leaves."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_pgvector import Collection, CollectionConfig, Database
from rag_pgvector.embedding import Embedder, resolve_embedder
from rag_pgvector.errors import ConfigError, LoadError
from rag_pgvector.ingest import ChunkOptions, IngestReport, LoadedDocument, SourceFile, ingest, register_loader


class Recording:
    """The real model, and what it was given."""

    def __init__(self, model: Embedder) -> None:
        self._model = model
        self.texts: list[str] = []
        self.fail_after: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def embed_documents(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self.fail_after is not None and len(self.texts) >= self.fail_after:
            raise KeyboardInterrupt
        self.texts += texts
        return self._model.embed_documents(texts)


@pytest.fixture(scope="module")
def model() -> Embedder:
    return resolve_embedder()


@pytest.fixture
def embedder(model: Embedder) -> Recording:
    return Recording(model)


@pytest.fixture
def collection(database_url: str, embedder: Recording) -> Iterator[Collection]:
    with Database(database_url) as db:
        yield db.collection("docs", config=CollectionConfig(dimensions=384), embedder=embedder)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    (folder / "tables").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "secret.txt").write_text("Nobody asked for this.")
    (folder / "guide.md").write_text(
        "# Guide\n\nHow to begin.\n\n## Index\n\nBuild an HNSW index.\r\n\r\nThen search.\n"
    )
    (folder / "LICENSE").write_text("Do as you please.\n")
    (folder / "tables" / "cpi.csv").write_text(
        "state,year,index\nJohor,2020,99.5\nKedah,2021,101.0\n,,\nPerak,2022,103.5\n"
    )
    return folder


def counts(report: IngestReport) -> tuple[int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.deleted


def assert_whole(collection: Collection) -> None:
    """Every chunk is the slice of its document that it says, and is embedded."""
    for document in collection.documents():
        stored = collection.document(document.id)
        assert stored is not None
        chunks = collection.list(document_id=document.id, limit=10_000)
        assert len(chunks) == document.metadata["chunks"]
        assert collection.embedded_hashes(document.id).keys() == {chunk.id for chunk in chunks}
        for chunk in chunks:
            assert stored.text[chunk.char_start : chunk.char_end] == chunk.content
            assert chunk.source == document.source


def test_a_folder(collection: Collection, corpus: Path) -> None:
    report = ingest(collection, corpus)
    assert (report.documents, report.chunks, report.failed) == (3, 6, ())
    assert counts(report) == (6, 0, 0, 0)
    assert_whole(collection)
    assert [document.source for document in collection.documents()] == [
        "corpus/LICENSE", "corpus/guide.md", "corpus/tables/cpi.csv",
    ]  # fmt: skip
    (row,) = collection.get(["corpus/tables/cpi.csv#3"])
    assert (row.content, row.page_or_row) == ("state: Perak\nyear: 2022\nindex: 103.5", 3)
    assert row.metadata == {"state": "Perak", "year": 2022, "index": 103.5}
    (hit,) = collection.search("How do I make the vector index?", k=1)
    assert hit.chunk.source == "corpus/guide.md"
    assert hit.chunk.metadata == {"headings": ["Guide", "Index"]}
    assert hit.chunk.content == "## Index\n\nBuild an HNSW index.\r\n\r\nThen search."
    found = collection.search("index", k=5, filter={"year": {"$gte": 2021}})
    assert {hit.chunk.metadata["state"] for hit in found} == {"Kedah", "Perak"}


def test_the_second_run_does_nothing(
    collection: Collection, embedder: Recording, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(collection, corpus)
    embedder.texts.clear()
    for method in ("put_document", "_put_documents"):
        monkeypatch.setattr(Collection, method, lambda *_: pytest.fail("an unchanged document was written"))
    before = collection.list(limit=100)
    report = ingest(collection, [str(corpus)])
    assert counts(report) == (0, 0, 6, 0)
    assert (report.documents, report.chunks) == (3, 6)
    assert embedder.texts == []
    assert collection.list(limit=100) == before


def test_only_what_changed_is_embedded(collection: Collection, embedder: Recording, corpus: Path) -> None:
    ingest(collection, corpus)
    embedder.texts.clear()
    guide = corpus / "guide.md"
    guide.write_bytes(guide.read_bytes().replace(b"How to begin", b"How to start"))
    report = ingest(collection, corpus)
    assert embedder.texts == ["# Guide\n\nHow to start."]
    assert counts(report) == (1, 0, 5, 1)
    assert_whole(collection)


def test_rows_that_only_moved_keep_their_embeddings(collection: Collection, embedder: Recording, corpus: Path) -> None:
    ingest(collection, corpus)
    embedder.texts.clear()
    table = corpus / "tables" / "cpi.csv"
    table.write_text(table.read_text().replace("Johor,", "Sabah,2019,97.0\nJohor,"))
    report = ingest(collection, table.parent.parent)
    assert embedder.texts == ["state: Sabah\nyear: 2019\nindex: 97.0"]
    assert report.chunks == 7
    assert_whole(collection)
    vectors = {chunk.content: chunk.embedding for chunk in collection.get(["corpus/tables/cpi.csv#1"], embeddings=True)}
    (content,) = vectors
    assert content.startswith("state: Johor")
    assert np.allclose(np.asarray(vectors[content]), embedder.embed_documents([content])[0], atol=1e-2)


def test_other_chunk_options_are_a_change(collection: Collection, corpus: Path) -> None:
    (corpus / "LICENSE").write_text("This sentence is one of many of its kind. " * 20)
    first = ingest(collection, corpus)
    second = ingest(collection, corpus, options=ChunkOptions(size=40, overlap=0))
    assert second.chunks > first.chunks
    assert_whole(collection)


def test_bad_files_and_rows_are_told_and_the_rest_goes_in(collection: Collection, corpus: Path) -> None:
    (corpus / "empty.txt").touch()
    (corpus / "scan.pdf").write_bytes(b"%PDF-1.7\n\0")
    (corpus / "bad.csv").write_text("a,b\n1,2,3\n4,5\n")
    os.symlink("/etc/hostname", corpus / "outside.txt")
    os.mkfifo(corpus / "pipe.txt")
    report = ingest(collection, corpus)
    assert [(failure.source, failure.where) for failure in report.failed] == [
        ("corpus/bad.csv", "line 2"),
        ("corpus/empty.txt", ""),
        ("corpus/outside.txt", ""),
        ("corpus/pipe.txt", ""),
        ("corpus/scan.pdf", ""),
    ]
    assert report.documents == 4
    assert collection.get(["corpus/bad.csv#1"])[0].metadata == {"a": 4, "b": 5}
    assert ingest(collection, corpus).failed == report.failed
    assert report.to_dict()["failed"][0] == {
        "source": "corpus/bad.csv",
        "where": "line 2",
        "reason": "3 cells where the header has 2",
    }
    with pytest.raises(LoadError, match="line 2: 3 cells"):
        ingest(collection, corpus / "bad.csv", strict=True)


def test_paths_that_are_not_there_stop_at_once(collection: Collection, tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "nothing").mkdir()
    for path in ("missing.csv", "nothing", "*.xyz"):
        with pytest.raises(LoadError, match=r"no such file|holds no files|no file matches"):
            ingest(collection, [corpus, tmp_path / path])
    assert collection.count() == 0


def test_globs_and_single_files(collection: Collection, tmp_path: Path, corpus: Path) -> None:
    report = ingest(collection, [str(corpus / "**" / "*.csv"), corpus / "LICENSE", corpus / "tables" / "cpi.csv"])
    assert [document.source for document in collection.documents()] == ["LICENSE", "corpus/tables/cpi.csv"]
    other = tmp_path / "other" / "corpus"
    other.mkdir(parents=True)
    (other / "LICENSE").write_text("Do not.")
    report = ingest(collection, [corpus, other])
    assert [(failure.source, "two files" in failure.reason) for failure in report.failed] == [("corpus/LICENSE", True)]


def test_an_interrupted_run_leaves_whole_documents(
    collection: Collection, embedder: Recording, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_pgvector.ingest.pipeline._WINDOW", 1)
    embedder.fail_after = 3
    with pytest.raises(KeyboardInterrupt):
        ingest(collection, corpus)
    assert 0 < len(collection.documents()) < 3
    assert_whole(collection)
    embedder.fail_after = None
    embedder.texts.clear()
    report = ingest(collection, corpus)
    assert report.chunks == 6
    assert len(embedder.texts) == report.added < 6
    assert_whole(collection)


def test_progress(collection: Collection, corpus: Path) -> None:
    told: list[tuple[int, int, str]] = []
    ingest(collection, corpus, progress=lambda done, total, description: told.append((done, total, description)))
    assert told[-1] == (6, 6, "index")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    assert "embedding" in {description for _, _, description in told}


def test_a_loader_of_ones_own(collection: Collection, tmp_path: Path) -> None:
    class Broken:
        name = "broken"
        version = 1

        def load(self, file: SourceFile) -> Iterator[LoadedDocument]:
            raise ZeroDivisionError("by hand")

    register_loader([".broken"], Broken)
    (tmp_path / "a.broken").write_text("x")
    (failure,) = ingest(collection, tmp_path / "a.broken").failed
    assert failure.reason == "the loader 'broken' failed: ZeroDivisionError: by hand"
    with pytest.raises(ConfigError, match="begin it with a dot"):
        register_loader(["xyz"], Broken)


def test_the_statistics_and_the_documents(collection: Collection, data_root: Path) -> None:
    """Every file of two real folders, without the wide census tables, which take the model minutes."""
    tables = data_root / "csv_dosm"
    report = ingest(collection, [tables / "opendosm", data_root / "docs_pgvector" / "pgvector"])
    assert (report.failed, report.documents) == ((), 7)
    assert_whole(collection)
    (row,) = collection.get(["opendosm/cpi_headline.csv#156"])
    assert (row.metadata["date"], row.metadata["overall"]) == ("2023-01-01", 129.5)


def test_scopes_do_not_take_each_others_documents_for_their_own(
    tenant_db: Database, embedder: Recording, corpus: Path
) -> None:
    config = CollectionConfig(dimensions=384, tenancy="multi")
    whole = tenant_db.collection("docs", config=config, embedder=embedder)
    acme, audit = whole.for_tenant("acme"), whole.for_tenant("acme", scope="audit")
    assert ingest(audit, corpus).added == (first := ingest(acme, corpus).added)
    assert (len(audit.documents()), len(acme.documents(exact_scope=True)), len(acme.documents())) == (3, 3, 6)
    # The same row of another scope has the same id and another vector.
    table = corpus / "tables" / "cpi.csv"
    table.write_text(table.read_text().replace("99.5", "88.5"))
    ingest(audit, corpus)
    table.write_text(table.read_text() + "Kedah,2023,107.0\n")
    embedder.texts.clear()
    report = ingest(acme, corpus)
    assert (report.added, report.updated, len(embedder.texts)) == (1, 1, 2)
    for bound in (acme, audit):
        found = {each.id: each for each in bound.documents(exact_scope=True)}
        for chunk in bound.list(limit=1000):
            assert chunk.document_id in found
    vectors = {c.content: c.embedding for c in acme.get([str(c.id) for c in acme.list(limit=99)], embeddings=True)}
    for content, vector in vectors.items():
        assert vector == pytest.approx(embedder.embed_documents([content])[0], abs=2e-2)
    assert acme.count() == 2 * first + 1
