"""The findings that follow from a survey of a database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rag_pgvector.doctor import CollectionState, Finding, Survey, diagnose
from rag_pgvector.index import INDEX_PAYS_ROWS

DOCS = CollectionState(
    name="docs",
    table="chunks_docs",
    dimensions=384,
    distance="cosine",
    storage="vector",
    embedder="some-model",
    documents=3,
    rows=120,
    null_embeddings=0,
    index="missing",
)
HEALTHY = Survey(
    server_version="18.4",
    role="app",
    vector_version="0.8.5",
    vector_available="0.8.5",
    revision="0001",
    collections=[DOCS],
)


def findings(found: Survey) -> list[tuple[str, str]]:
    return [(finding.level, finding.check) for finding in diagnose(found, needed_revision="0001")]


def about(state: CollectionState) -> Finding:
    (finding,) = diagnose(replace(HEALTHY, collections=[state]), needed_revision="0001")
    return finding


def test_a_small_collection_without_an_index_is_healthy() -> None:
    assert findings(HEALTHY) == []


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("0.7.4", [("error", "pgvector")]),
        ("0.8.0", [("warning", "pgvector")]),
        ("0.8.3", [("warning", "pgvector")]),
        ("0.8.4", []),
        ("0.10.0", []),
        ("1.0", []),
    ],
)
def test_versions_of_pgvector(version: str, expected: list[tuple[str, str]]) -> None:
    assert findings(replace(HEALTHY, vector_version=version)) == expected


def test_pgvector_that_is_not_there() -> None:
    empty = replace(HEALTHY, vector_version=None, revision=None, collections=[])
    assert findings(empty) == [("warning", "schema")]  # the first use creates both
    assert findings(replace(empty, vector_available=None)) == [("error", "pgvector"), ("warning", "schema")]
    assert findings(replace(HEALTHY, vector_version=None)) == [("error", "pgvector")]


def test_a_schema_of_another_revision() -> None:
    (finding,) = diagnose(replace(HEALTHY, revision="0000"), needed_revision="0001")
    assert finding.level == "error"
    assert "0000" in finding.what
    assert "0001" in finding.what
    assert "db upgrade" in finding.remedy


def test_what_cannot_be_examined_is_no_proof() -> None:
    standby = replace(HEALTHY, read_only=True)
    assert findings(standby) == [("warning", "read_only")]
    assert findings(replace(standby, collections=[replace(DOCS, tenancy="multi")])) == [("error", "read_only")]


@pytest.mark.parametrize(
    ("state", "level", "check", "said"),
    [
        (replace(DOCS, rows=None, null_embeddings=None, reason="no such table"), "error", "table", "chunks_docs"),
        (replace(DOCS, rows=None, null_embeddings=None, reason="permission denied"), "error", "table", "may not read"),
        (replace(DOCS, null_embeddings=7), "warning", "embeddings", "7 of 120"),
        (replace(DOCS, index="invalid"), "error", "index", "invalid"),
        (replace(DOCS, index="wanted"), "warning", "index", "wanted"),
        (replace(DOCS, rows=INDEX_PAYS_ROWS), "warning", "index", str(INDEX_PAYS_ROWS)),
    ],
)
def test_findings_about_a_collection(state: CollectionState, level: str, check: str, said: str) -> None:
    finding = about(state)
    assert (finding.level, finding.check, finding.collection) == (level, check, "docs")
    assert said in finding.what
    assert finding.why
    assert finding.remedy


def test_one_row_less_needs_no_index() -> None:
    assert findings(replace(HEALTHY, collections=[replace(DOCS, rows=INDEX_PAYS_ROWS - 1)])) == []
    assert findings(replace(HEALTHY, collections=[replace(DOCS, rows=INDEX_PAYS_ROWS, index="valid")])) == []


def test_errors_come_first() -> None:
    mixed = replace(HEALTHY, vector_version="0.8.0", collections=[replace(DOCS, index="invalid", null_embeddings=1)])
    assert findings(mixed) == [("error", "index"), ("warning", "pgvector"), ("warning", "embeddings")]
