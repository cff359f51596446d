"""A bucket of S3: moto's server over HTTP on the loopback, through s3fs."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import s3fs
from moto.server import ThreadedMotoServer

from rag_pgvector import Collection
from rag_pgvector.errors import LoadError
from rag_pgvector.ingest import failures, ingest, retry_failed


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """s3://shelf as another program fills it; the credentials are in the environment, as on a real machine."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    s3fs.S3FileSystem.clear_instance_cache()
    other = s3fs.S3FileSystem(skip_instance_cache=True, use_listings_cache=False)
    other.mkdir("shelf")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("in/c.md", "# C\n\nPacked.\n")
    other.pipe("shelf/data/a.md", b"# A\n\nSome text.\n")
    other.pipe("shelf/data/t/rows.csv", b"k,v\nx,1\ny,2\n")
    other.pipe("shelf/data/t/bad.csv", b"")
    other.pipe("shelf/zips/more.zip", packed.getvalue())
    other.pipe("shelf/other/b.md", b"Text.")
    yield other
    other.rm("shelf", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


def sources(docs: Collection) -> list[str]:
    return [document.source for document in docs.documents()]


def test_a_prefix_and_what_changed_in_it(docs: Collection, bucket: Any) -> None:
    report = ingest(docs, "s3://shelf/data")
    assert (report.documents, report.added, report.embedded) == (2, 3, 3)
    assert sources(docs) == ["data/a.md", "data/t/rows.csv"]
    (failed,) = failures(docs)
    assert (failed.file, failed.path) == ("data/t/bad.csv", "s3://shelf/data/t/bad.csv")
    again = ingest(docs, "s3://shelf/data/")
    assert (again.unchanged, again.embedded) == (3, 0)
    bucket.pipe("shelf/data/t/bad.csv", b"k,v\nz,3\n")
    assert retry_failed(docs).added == 1
    bucket.pipe("shelf/data/new.md", b"New.")
    bucket.pipe("shelf/data/a.md", b"# A\n\nOther text.\n")
    bucket.rm("shelf/data/t/rows.csv")
    changed = ingest(docs, "s3://shelf/data", mode="sync")
    assert (changed.added, changed.deleted, changed.unchanged, changed.embedded) == (2, 3, 1, 2)
    assert sources(docs) == ["data/a.md", "data/new.md", "data/t/bad.csv"]


def test_a_glob_a_file_and_a_zip(docs: Collection, bucket: Any) -> None:
    report = ingest(docs, ["s3://shelf/**/*.md", "s3://shelf/zips/more.zip"])
    assert report.failed == ()
    assert sources(docs) == ["more.zip/in/c.md", "shelf/data/a.md", "shelf/other/b.md"]
    assert ingest(docs, ["s3://shelf/zips/*.zip"]).added == 1
    assert "zips/more.zip/in/c.md" in sources(docs)


def test_what_is_not_there_and_who_may_not(docs: Collection, bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for missing in ("s3://no-such-bucket/data", "s3://shelf/none", "s3://shelf/none/*.md"):
        with pytest.raises(LoadError, match=r"no file|no such file") as refused:
            ingest(docs, missing)
        assert missing.rstrip("*.md") in str(refused.value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(LoadError, match="AWS_ACCESS_KEY_ID"):
        ingest(docs, "s3://shelf/data")
