"""The Ray engine stores what the local one stores, and goes on where either was stopped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from ray import cloudpickle

from rag_pgvector import Collection, CollectionConfig, Database
from rag_pgvector.errors import ConfigError, EmbeddingError, MissingDependencyError
from rag_pgvector.ingest import IngestReport, failures, ingest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own
POISON = "the model fails at this text"


def embed(texts: list[str]) -> list[Any]:
    if any("the model fails at this text" in text for text in texts):
        raise RuntimeError("out of memory")
    return [np.random.default_rng(list(text.encode())).standard_normal(8) for text in texts]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the workers do not see the tests
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for i in range(6):
        body = "\n\n".join(f"## Part {j}\n\nText {i} {j} of a small corpus." for j in range(4))
        (folder / f"{i}.md").write_text(f"# Title {i}\n\n{body}\n")
    (folder / "t.csv").write_text("k,v\n" + "".join(f"row {i},{i}\n" for i in range(30)) + "too,many,cells\n")
    (folder / "empty.csv").write_text("")
    return folder


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    with Database(database_url) as db:
        yield db


def made(db: Database, name: str, **config: Any) -> Collection:
    return db.collection(name, config=CollectionConfig(dimensions=8, **config), embedder=embed)


def stored(docs: Collection) -> Any:
    chunks = docs.get([str(chunk.id) for chunk in docs.list(limit=1_000)], embeddings=True)
    told = {c.id: (c, np.asarray(c.embedding).tobytes()) for c in chunks}
    ids = [document.id for document in docs.documents()]
    return told, {id_: (docs.document(id_), docs.embedded_hashes(id_)) for id_ in ids}


def counts(report: IngestReport) -> dict[str, Any]:
    return {**report.to_counts(), "seconds": 0, "failed": sorted((f.source, f.where, f.reason) for f in report.failed)}


def test_the_same_as_here_and_again(db: Database, corpus: Path) -> None:
    here, there = made(db, "here"), made(db, "there")
    assert counts(ingest(there, corpus, engine="ray")) == counts(ingest(here, corpus))
    assert stored(there) == stored(here)
    assert {(f.file, f.where) for f in failures(there)} == {(f.file, f.where) for f in failures(here)}
    (corpus / "0.md").write_text((corpus / "0.md").read_text().replace("Text 0 2", "Word 0 2"))
    (corpus / "1.md").unlink()
    (corpus / "empty.csv").unlink()
    again = ingest(there, corpus, engine="ray", mode="sync")
    assert (again.added, again.deleted, again.embedded) == (1, 5, 1)
    assert counts(again) == counts(ingest(here, corpus, mode="sync"))
    assert stored(there) == stored(here)


def test_a_run_that_ended_goes_on(db: Database, corpus: Path) -> None:
    """What the local engine began, Ray ends, and the other way round."""
    (corpus / "9.md").write_text(POISON)
    docs = made(db, "docs")
    with pytest.raises(EmbeddingError, match="out of memory"):
        ingest(docs, corpus, engine="ray")
    for document in docs.documents():
        assert len(docs.list(document_id=document.id, limit=100)) == document.metadata["chunks"]
    (corpus / "9.md").write_text("It works.")
    ingest(docs, [corpus / "2.md"])
    report = ingest(docs, corpus, engine="ray")
    clean = made(db, "clean")
    ingest(clean, corpus)
    ingest(clean, [corpus / "2.md"])
    assert report.documents == 8
    assert stored(docs) == stored(clean)


def test_a_tenants_scope(tenant_db: Database, corpus: Path) -> None:
    docs = made(tenant_db, "shared", tenancy="multi")
    ingest(docs.for_tenant("acme", scope="part"), corpus / "3.md", engine="ray")
    assert len(docs.for_tenant("acme", scope="part").list()) == 4
    assert docs.for_tenant("acme", scope="whole").list() == []
    assert docs.for_tenant("bolt").list() == []


def test_what_cannot_be_done(db: Database, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = made(db, "docs")
    with pytest.raises(ConfigError, match="use local or ray"):
        ingest(docs, corpus, engine="spark")  # type: ignore[arg-type]
    assert ingest(docs, corpus, engine="ray", dry_run=True).added > 0
    assert docs.count() == 0
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r"rag-pgvector\[ray\]"):
        ingest(docs, corpus, engine="ray")
