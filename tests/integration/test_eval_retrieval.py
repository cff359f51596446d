"""``eval retrieval``: the temporary collection, other searches by the same code, and the verb as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database
from rag_pgvector.errors import ConfigError, EmbeddingError
from rag_pgvector.evals.formats import RetrievalSet, read_beir
from rag_pgvector.evals.retrieval import CollectionSearch, default_metrics, evaluate, temporary_collection

PROGRAM = str(Path(sys.executable).with_name("rag-pgvector"))
TEXTS = {
    "kite": "The wau bulan is a moon-shaped kite from Kelantan.",
    "top": "Gasing are spinning tops of wood and iron.",
    "rice": "Nasi lemak is rice cooked in coconut milk.",
    "empty": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def lines(rows: list[dict[str, Any]]) -> str:
        return "".join(json.dumps(row) + "\n" for row in rows)

    (tmp_path / "corpus.jsonl").write_text(lines([{"_id": id_, "text": text} for id_, text in TEXTS.items()]))
    (tmp_path / "queries.jsonl").write_text(
        lines(
            [{"_id": "1", "text": "Which kite is shaped like the moon?"}, {"_id": "2", "text": "What is nasi lemak?"}]
        )
    )
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\tkite\t1\n2\trice\t1\n2\tnowhere\t1\n")
    return tmp_path


def rag(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "RAG_PGVECTOR_DEBUG")}
    return subprocess.run(
        [PROGRAM, "eval", "retrieval", *arguments],
        env=env,
        capture_output=True,
        encoding="utf-8",
        timeout=240,
        check=False,
    )


def test_the_verb_measures_and_leaves_nothing(database_url: str, folder: Path) -> None:
    done = rag(str(folder), "--mode", "dense", "--url", database_url, "--json")
    assert done.returncode == 0, done.stderr
    assert (
        done.stderr
        == "rag-pgvector: warning: 1 judged relevant documents are not in the corpus: nothing can find them\n"
    )
    report = json.loads(done.stdout)
    assert report["metrics"]["Success@10"] == 1.0
    assert report["metrics"]["RR@10"] == 1.0
    assert report["metrics"]["R@100"] == 0.75  # half of the second question's documents are nowhere
    assert report["metrics"].keys() == report["intervals"].keys() == set(default_metrics(100))
    assert (report["queries"], report["documents"], report["judged_but_absent"]) == (2, 3, 1)
    assert report["plans"] == {"exact": 2}
    assert report["model"] == "sentence-transformers/all-MiniLM-L6-v2"
    with Database(database_url) as db:
        assert db.collections() == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--mode", "sparse"], "'sparse'"),
        (["--metric", "nDCG"], "nDCG@10"),
        (["--metric", "R@200"], "200 deep"),
        (["--by", "row"], "'row'"),
        (["--by", "source"], "--collection"),
        (["--split", "dev"], "dev.tsv"),
    ],
)
def test_wrong_usage_is_one_line(database_url: str, folder: Path, arguments: list[str], part: str) -> None:
    refused = rag(str(folder), "--mode", "dense", "--url", database_url, *arguments)
    assert refused.returncode in (1, 2)
    assert refused.stdout == ""
    assert part in refused.stderr.splitlines()[-1]
    with Database(database_url) as db:
        assert db.collections() == []


def letters(texts: list[str]) -> Any:
    """An embedder without a model: how often each letter occurs."""
    counts = [[1 + text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
    return np.asarray(counts, dtype=np.float32)


@pytest.fixture
def golden(folder: Path) -> RetrievalSet:
    return read_beir(folder)


def test_the_temporary_collection_goes_also_after_an_error(database_url: str, golden: RetrievalSet) -> None:
    with Database(database_url) as db:

        def interrupted() -> None:
            with temporary_collection(db, golden.documents, mode="dense", embedder=letters) as collection:
                assert db.collections() == [collection.name]
                assert collection.count() == 3  # nothing is there to find the empty one by
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert db.collections() == []

        def fails(texts: list[str]) -> Any:
            raise OSError("no network")

        broken = temporary_collection(db, golden.documents, mode="dense", embedder=fails, config={"dimensions": 26})
        with pytest.raises(EmbeddingError, match="no network"):
            broken.__enter__()
        assert db.collections() == []


def chunked(db: Database) -> Collection:
    docs = db.collection("docs", config=CollectionConfig(dimensions=26), embedder=letters)
    docs.add(
        Chunk(id=f"{name}{i}", content=text, document_id=name, source=f"{name}.md")
        for name, text in TEXTS.items()
        for i in range(9)
        if text
    )
    return docs


@pytest.mark.parametrize("by", ["document_id", "source"])
def test_a_document_of_many_chunks_counts_once(database_url: str, by: Any) -> None:
    with Database(database_url) as db:
        search = CollectionSearch(chunked(db), mode="dense", by=by)
        ending = ".md" if by == "source" else ""
        found = search(TEXTS["top"], 3)
        assert found[0] == f"top{ending}"
        assert sorted(found) == [f"{name}{ending}" for name in ("kite", "rice", "top")]  # 27 chunks had to be fetched
        assert search.plans == {"exact": 1}


def test_questions_without_results_count_as_zero(golden: RetrievalSet) -> None:
    answers = {"1": ["kite"], "2": []}
    by_text = {text: answers[id_] for id_, text in golden.queries.items()}
    found = evaluate(lambda question, k: by_text[question], golden, metrics=["nDCG@10", "R@100"], k=100)
    assert found.metrics == {"nDCG@10": 0.5, "R@100": 0.5}
    assert found.per_query["2"] == {"nDCG@10": 0.0, "R@100": 0.0}


def test_a_metric_deeper_than_the_search_is_refused(golden: RetrievalSet) -> None:
    with pytest.raises(ConfigError, match="100 deep"):
        evaluate(lambda question, k: [], golden, metrics=["R@100"], k=10)
