"""What an ingestion writes down: its runs, and what it could not take in, to be shown and tried again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from rag_pgvector import Collection, CollectionConfig, Database, convert, tenants
from rag_pgvector.cli.app import app
from rag_pgvector.errors import ConfigError, EmbeddingError, LoadError
from rag_pgvector.ingest import ChunkOptions, TableOptions, failures, ingest, retry_failed, runs

EIGHT = CollectionConfig(dimensions=8)


def embed(texts: list[str]) -> list[Any]:
    return [np.random.default_rng(list(text.encode())).standard_normal(8) for text in texts]


@pytest.fixture
def docs(database_url: str) -> Iterator[Collection]:
    with Database(database_url) as db:
        yield db.collection("docs", config=EIGHT, embedder=embed)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.md").write_text("# A\n\nSome text.\n")
    (folder / "b.csv").write_text("k,v\nx,1\ny,2\n")
    return folder


def told(docs: Collection) -> list[tuple[str, str, str]]:
    return [(each.source, each.where, each.reason.split(" (")[0]) for each in failures(docs)]


def test_a_run_is_recorded(docs: Collection, folder: Path) -> None:
    report = ingest(docs, folder, options=ChunkOptions(size=100))
    (run,) = runs(docs)
    assert (run.state, run.mode, run.error) == ("done", "append", None)
    assert run.loaders == {"markdown": 1, "csv": 1}
    assert (run.counts["chunks"], run.counts["embedded"], run.counts["failed"]) == (3, 3, 0)
    assert run.counts["seconds"] == report.seconds > 0
    assert run.options["chunking"]["size"] == 100
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at
    ingest(docs, folder, options=ChunkOptions(size=100), mode="sync")
    (folder / "a.md").write_text("# A\n\nOther text.\n")
    ingest(docs, folder, options=ChunkOptions(size=100), dry_run=True)
    ingest(docs, folder, options=ChunkOptions(size=100))
    changed, same, first = runs(docs)
    assert first == run
    assert (same.mode, same.source_hash, same.counts["embedded"]) == ("sync", first.source_hash, 0)
    assert changed.source_hash != first.source_hash
    assert runs(docs, limit=1) == [changed]
    with pytest.raises(ConfigError):
        runs(docs, limit=0)


def test_what_failed_is_known_until_it_goes_in(docs: Collection, folder: Path) -> None:
    (folder / "rows.csv").write_text("k,v\nx,1\ny,2,3\nz,\0\n")
    (folder / "none.txt").touch()
    ingest(docs, folder)
    wrong = [
        ("files/none.txt", "", "the file is empty"),
        ("files/rows.csv", "line 3", "3 cells where the header has 2"),
        ("files/rows.csv", "line 4", "a NUL character"),
    ]
    assert told(docs) == wrong
    assert failures(docs)[0].path == str(folder / "none.txt")
    ingest(docs, folder)  # the file of rows is left alone now, and its bad rows are still bad
    assert told(docs) == wrong
    (folder / "rows.csv").write_text("k,v\nx,1\ny,2\nz,3,4\n")
    ingest(docs, folder / "a.md")
    assert told(docs) == wrong
    ingest(docs, folder)
    assert told(docs) == [wrong[0], ("files/rows.csv", "line 4", wrong[1][2])]
    (folder / "none.txt").unlink()
    ingest(docs, folder)
    assert len(told(docs)) == 2
    ingest(docs, folder, mode="sync")
    assert [source for source, *_ in told(docs)] == ["files/rows.csv"]


def test_a_retry_reads_only_what_failed_and_as_it_was_read(docs: Collection, folder: Path) -> None:
    (folder / "late.csv").touch()
    (folder / "late.md").touch()
    ingest(docs, folder / "late.csv", table=TableOptions(content="{k} is {v}", metadata_columns=("v",)))
    ingest(docs, folder, options=ChunkOptions(size=16, overlap=0))
    assert len(told(docs)) == 3  # late.csv under both its names
    (folder / "late.csv").write_text("k,v\nx,1\ny,2,3\n")
    (folder / "late.md").write_text("One sentence of words here. " * 8)
    (folder / "a.md").write_text("changed, and not failed")
    report = retry_failed(docs)
    assert (report.documents, report.added, len(report.failed)) == (3, 6, 2)
    assert docs.get(["late.csv#0"])[0].content == "x is 1"
    assert docs.get(["late.csv#0"])[0].metadata == {"v": 1}
    assert len(docs.list(document_id="files/late.md")) == 4
    assert {source for source, *_ in told(docs)} == {"late.csv", "files/late.csv"}
    (folder / "late.csv").write_text("k,v\nx,1\ny,2\n")
    assert retry_failed(docs).failed == ()
    assert told(docs) == []
    assert [run.mode for run in runs(docs, limit=2)] == ["retry", "retry"]
    assert retry_failed(docs).documents == 0
    (folder / "a.md").write_bytes(b"\0")
    ingest(docs, folder)
    (folder / "a.md").unlink()
    assert "is gone" in retry_failed(docs).failed[0].reason


def test_a_retry_needs_what_a_splitter_divided(docs: Collection, folder: Path) -> None:
    (folder / "a.md").write_bytes(b"\0")
    ingest(docs, folder, options=ChunkOptions(splitter=str.split))
    with pytest.raises(ConfigError, match="splitter"):
        retry_failed(docs)


def test_a_run_that_ends_by_an_error(docs: Collection, folder: Path, database_url: str) -> None:
    (folder / "c.txt").touch()
    with pytest.raises(LoadError):
        ingest(docs, folder, strict=True)
    assert (runs(docs)[0].state, "c.txt" in str(runs(docs)[0].error)) == ("failed", True)
    assert told(docs) == [("files/c.txt", "", "the file is empty")]

    def fail(texts: list[str]) -> list[Any]:
        raise EmbeddingError("no model today")

    with Database(database_url) as db:
        broken = db.collection("docs2", config=EIGHT, embedder=fail)
        with pytest.raises(EmbeddingError):
            ingest(broken, folder)
        assert (runs(broken)[0].state, runs(broken)[0].error) == ("failed", "EmbeddingError: no model today")
        broken.drop()

        def interrupt(texts: list[str]) -> Any:
            raise KeyboardInterrupt

        stopped = db.collection("docs3", config=EIGHT, embedder=interrupt)
        with pytest.raises(KeyboardInterrupt):
            ingest(stopped, folder)
        assert (runs(stopped)[0].state, runs(stopped)[0].error) == ("failed", "interrupted")
        stopped.drop()
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT count(*) FROM rag.ingest_runs").fetchone() == (1,)


def test_old_runs_go(docs: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag_pgvector.runs.KEPT", 2)
    for _ in range(4):
        ingest(docs, folder)
    assert len(runs(docs)) == 2


def test_tenants_know_their_own_runs(tenant_db: Database, folder: Path, database_url: str) -> None:
    shared = tenant_db.collection("shared", config=CollectionConfig(dimensions=8, tenancy="multi"), embedder=embed)
    (folder / "none.txt").touch()
    acme, part, bolt = shared.for_tenant("acme"), shared.for_tenant("acme", scope="part"), shared.for_tenant("bolt")
    ingest(acme, folder)
    ingest(part, folder / "none.txt")
    assert [(len(runs(who)), len(failures(who))) for who in (acme, part, bolt)] == [(1, 1), (1, 1), (0, 0)]
    assert tenants.move_tenant(tenant_db, "acme", "apex")["ingest_runs"] == 2
    assert len(failures(shared.for_tenant("apex"))) == 1
    assert tenants.delete_tenant(tenant_db, "apex")["ingest_failures"] == 2
    with psycopg.connect(database_url) as conn:
        assert conn.execute("SELECT count(*) FROM rag.ingest_runs").fetchone() == (0,)


def test_a_converted_collection_keeps_its_runs(tenant_db: Database, folder: Path, database_url: str) -> None:
    with Database(database_url) as admin:
        single = admin.collection("one", config=EIGHT, embedder=embed)
        (folder / "none.txt").touch()
        ingest(single, folder)
        convert.convert_to_multi(admin, "one", "acme")
    acme = tenant_db.collection("one", embedder=embed).for_tenant("acme")
    assert (len(runs(acme)), len(failures(acme))) == (1, 1)


# ------------------------------------------------------------------------------------------------------- side by side


def everything(docs: Collection) -> tuple[Any, Any]:
    chunks = [(c.id, c.content, c.document_id, c.char_start, c.metadata) for c in docs.list(limit=10_000)]
    return chunks, {d.id: (d.content_hash, docs.embedded_hashes(d.id)) for d in docs.documents()}


@pytest.mark.parametrize("tenancy", ["single", "multi"])
def test_runs_at_once_neither_wait_for_ever_nor_write_twice(tenant_db: Database, tmp_path: Path, tenancy: Any) -> None:
    """Three runs over changing files, in step: each document is written by all of them at the same moment."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    config = CollectionConfig(dimensions=8, tenancy=tenancy)
    start = threading.Barrier(3)

    def opened(name: str, db: Database = tenant_db) -> Collection:
        docs = db.collection(name, config=config, embedder=embed)
        return docs.for_tenant("acme") if tenancy == "multi" else docs

    db = Database(str(tenant_db._admin_url)) if tenancy == "single" else tenant_db
    docs = opened("docs", db)

    def run(number: int) -> Any:
        start.wait()
        return ingest(docs, corpus, mode="sync")

    for turn in range(3):
        for i in range(12):
            lines = "\n\n".join(f"## Part {j}\n\nText {i} {j} of turn {turn * (j % 2)}." for j in range(8))
            (corpus / f"{i:02}.md").write_text(f"# Title {i}\n\n{lines}\n")
        (corpus / "t.csv").write_text("k,v\n" + "".join(f"row {i},{i * turn}\n" for i in range(300 - turn)))
        (corpus / "bad.csv").write_text("k,v\n1,2,3\n4,5\n")
        with ThreadPoolExecutor(3) as pool:
            reports = list(pool.map(run, range(3)))
        assert {report.chunks for report in reports} == {reports[0].chunks}
        clean = opened(f"clean{turn}", db)
        ingest(clean, corpus)
        assert everything(docs) == everything(clean)
        assert len(failures(docs)) == 1
    assert [each.state for each in runs(docs)] == ["done"] * 9
    if db is not tenant_db:
        db.close()


# ------------------------------------------------------------------------------------------------- on the command line


def test_the_verbs(docs: Collection, folder: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "none.txt").touch()

    def done(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            app(["ingest", "--collection", "docs", "--url", database_url, *arguments])
        assert ended.value.code in (0, None)
        return capsys.readouterr().out

    assert done("--retry-failed") == "nothing to try again\n"
    ingest(docs, folder)
    assert done("--show-failed") == "files/none.txt: the file is empty\n"
    (failure,) = json.loads(done("--show-failed", "--json"))
    assert (failure["file"], failure["path"]) == ("files/none.txt", str(folder / "none.txt"))
    assert "append done" in done("--show-runs")
    (run,) = json.loads(done("--show-runs", "--json"))
    assert (run["counts"]["documents"], run["counts"]["failed"]) == (2, 1)
