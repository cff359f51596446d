"""Files behind URLs, through fsspec's own memory:// file system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fsspec
import pytest

from rag_pgvector import Collection
from rag_pgvector.errors import LoadError
from rag_pgvector.ingest import failures, ingest, retry_failed
from rag_pgvector.ingest.remote import covers, is_remote, storable
from rag_pgvector.langchain import FileLoader


@pytest.fixture
def bucket() -> Iterator[Any]:
    memory = fsspec.filesystem("memory")
    files = {
        "data/a.md": b"# A\n\nSome text.\n",
        "data/t/rows.csv": b"k,v\nx,1\ny,2\n",
        "data/.hidden": b"x",
        "data/bad.csv": b"",
        "other/b.md": b"Text.",
    }
    for name, data in files.items():
        memory.pipe(f"/bucket/{name}", data)
    yield memory
    memory.rm("/bucket", recursive=True)


def sources(docs: Collection) -> list[str]:
    return [document.source for document in docs.documents()]


def test_a_folder_a_glob_and_a_file(docs: Collection, bucket: Any) -> None:
    report = ingest(docs, "memory://bucket/data")
    assert (report.documents, report.added, len(report.failed)) == (2, 3, 1)
    assert sources(docs) == ["data/a.md", "data/t/rows.csv"]
    again = ingest(docs, ["memory://bucket/data/", "memory://bucket/*/b.md"])
    assert (again.unchanged, again.added) == (3, 1)
    assert sources(docs)[:1] == ["bucket/other/b.md"]
    ingest(docs, "memory://bucket/other/b.md")
    assert "b.md" in sources(docs)
    bucket.rm("/bucket/data/a.md")
    assert ingest(docs, "memory://bucket/data", mode="sync").deleted == 1
    assert "b.md" in sources(docs)
    for missing in ("memory://bucket/none", "memory://bucket/*.none", "nothing://x/y"):
        with pytest.raises(LoadError):
            ingest(docs, missing)


def test_what_failed_there_is_tried_again_there(docs: Collection, bucket: Any) -> None:
    ingest(docs, "memory://bucket/data")
    (failed,) = failures(docs)
    assert (failed.file, failed.path) == ("data/bad.csv", "memory:///bucket/data/bad.csv")
    bucket.pipe("/bucket/data/bad.csv", b"k,v\nz,3\n")
    assert retry_failed(docs).added == 1
    assert failures(docs) == []


def test_our_loaders_in_a_framework_read_them_too(bucket: Any) -> None:
    assert [document.metadata["source"] for document in FileLoader("memory://bucket/other").load()] == ["other/b.md"]


def test_urls() -> None:
    assert is_remote("s3://bucket/x")
    assert not is_remote("C:/x")
    assert not is_remote("data/x.csv")
    assert storable("s3://bucket/x") == "s3://bucket/x"
    assert storable("https://me:key@host/x") is None
    assert storable("https://host/x?X-Amz-Signature=1") is None
    assert covers("s3://bucket/data/*.csv")("data/a.csv")
    assert not covers("s3://bucket/data")("database/a.csv")
    with pytest.raises(LoadError) as refused:
        ingest(None, "https://me:s3cret@127.0.0.1:1/x")  # type: ignore[arg-type]
    assert "s3cret" not in str(refused.value)
