"""BEIR folders: what is read, and the line of each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rag_pgvector.errors import LoadError
from rag_pgvector.evals.formats import read_beir

CORPUS = '{"_id": "a", "title": "Kites", "text": "Wau bulan."}\n{"_id": "b", "text": "Tops."}\n'
QUERIES = '{"_id": "1", "text": "kite?"}\n{"_id": "2", "text": "top?"}\n'
QRELS = "query-id\tcorpus-id\tscore\n1\ta\t2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.jsonl").write_text(CORPUS)
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "qrels.tsv").write_text(QRELS)
    return tmp_path


def test_documents_judged_questions_and_grades(folder: Path) -> None:
    golden = read_beir(folder)
    assert [each.content for each in golden.documents] == ["Kites\nWau bulan.", "Tops."]
    assert golden.queries == {"1": "kite?"}  # nobody judged the other
    assert golden.qrels == {"1": {"a": 2}}
    assert (golden.name, golden.qrels_file, golden.absent) == (folder.name, "qrels.tsv", 0)


@pytest.mark.parametrize(
    ("qrels", "expected"),
    [
        ("1\ta\t1\n", {"1": {"a": 1}}),  # no header
        ("query-id\tcorpus-id\tscore\r\n1\ta\t1\r\n\r\n2\tb\t0\r\n", {"1": {"a": 1}, "2": {"b": 0}}),
        ("1\ta\t1.0\n1\ta\t1\n", {"1": {"a": 1}}),
        ("\ufeffquery-id\tcorpus-id\tscore\n1\tgone\t1\n", {"1": {"gone": 1}}),
    ],
)
def test_judgements_as_people_write_them(folder: Path, qrels: str, expected: dict[str, dict[str, int]]) -> None:
    (folder / "qrels.tsv").write_text(qrels, newline="")
    golden = read_beir(folder)
    assert golden.qrels == expected
    assert golden.absent == ("gone" in expected["1"])


def test_a_line_separator_inside_a_text_is_text(folder: Path) -> None:
    text = "one\u2028two\x85three"
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": 7, "text": text}, ensure_ascii=False) + "\n")
    assert [(each.id, each.text) for each in read_beir(folder).documents] == [("7", text)]


def test_splits(folder: Path) -> None:
    (folder / "qrels.tsv").unlink()
    (folder / "qrels").mkdir()
    (folder / "qrels" / "train.tsv").write_text("1\ta\t1\n")
    assert read_beir(folder).qrels_file == "qrels/train.tsv"
    (folder / "qrels" / "dev.tsv").write_text("1\ta\t1\n")
    with pytest.raises(LoadError, match="dev, train"):
        read_beir(folder)
    (folder / "qrels" / "test.tsv").write_text("2\tb\t1\n")
    assert read_beir(folder).qrels == {"2": {"b": 1}}
    assert read_beir(folder, split="dev").qrels == {"1": {"a": 1}}
    with pytest.raises(LoadError, match=r"no qrels/nope\.tsv"):
        read_beir(folder, split="nope")


@pytest.mark.parametrize(
    ("file", "content", "where", "reason"),
    [
        ("corpus.jsonl", CORPUS + "{oops\n", "line 3", "not JSON"),
        ("corpus.jsonl", "[1]\n", "line 1", "not a JSON object"),
        ("corpus.jsonl", '\n{"text": "x"}\n', "line 2", "_id is None"),
        ("corpus.jsonl", '{"_id": "a"}\n', "line 1", "'text' is None"),
        ("corpus.jsonl", '{"_id": "a", "text": "x", "title": 3}\n', "line 1", "'title' is 3"),
        ("corpus.jsonl", CORPUS + '{"_id": "a", "text": "x"}\n', "line 3", "'a' is the one of line 1"),
        ("corpus.jsonl", "", "", "empty"),
        ("queries.jsonl", '{"_id": "1", "text": " "}\n', "line 1", "'1' is empty"),
        ("qrels.tsv", QRELS + "1\tb\n", "line 3", "2 columns"),
        ("qrels.tsv", QRELS + "1\t0\ta\t1\n", "line 3", "4 columns"),
        ("qrels.tsv", QRELS + "1\tb\tyes\n", "line 3", "'yes'"),
        ("qrels.tsv", QRELS + "1\tb\t0.5\n", "line 3", "'0.5'"),
        ("qrels.tsv", QRELS + "1\tb\tinf\n", "line 3", "'inf'"),
        ("qrels.tsv", QRELS + "9\tb\t1\n", "line 3", "'9' is not in queries.jsonl"),
        ("qrels.tsv", QRELS + "1\ta\t1\n", "line 3", "is 1 here and 2 before"),
        ("qrels.tsv", "query-id\tcorpus-id\tscore\n", "", "no judgements"),
    ],
)
def test_a_mistake_is_named_with_its_line(folder: Path, file: str, content: str, where: str, reason: str) -> None:
    (folder / file).write_text(content)
    with pytest.raises(LoadError, match=reason) as caught:
        read_beir(folder)
    assert (caught.value.source, caught.value.where) == (str(folder / file), where)


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "queries.jsonl").write_bytes(QUERIES.encode() + b'{"_id": "3", "text": "\xff"}\n')
    with pytest.raises(LoadError, match="not UTF-8") as caught:
        read_beir(folder)
    assert caught.value.where == "line 3"


@pytest.mark.parametrize("missing", ["corpus.jsonl", "queries.jsonl", "qrels.tsv"])
def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(LoadError, match=missing.replace(".", r"\.")):
        read_beir(folder)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no such folder"):
        read_beir(tmp_path / "nope")
