"""``tune alpha``: a share is kept only where it proves better on questions that it was not chosen by."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rag_pgvector import Chunk, CollectionConfig, Database
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.alpha import ALPHAS, choose_alpha, fit_alpha
from rag_pgvector.evals.formats import CorpusDocument, RetrievalSet

PROGRAM = str(Path(sys.executable).with_name("rag-pgvector"))
GROUPS = [[str(i)] for i in range(40)]
IDS = [str(i) for i in range(40)]


def test_a_share_that_is_better_everywhere_is_kept() -> None:
    values = np.tile(np.array([1.0 - abs(alpha - 0.3) for alpha in ALPHAS]), (40, 1))
    found = choose_alpha(values, np.full(40, 0.9), GROUPS, IDS, "nDCG@10")
    assert (found.alpha, found.best) == (0.3, 0.3)
    assert found.cross_validated == 1.0
    assert found.gain == pytest.approx(0.1)


def test_noise_is_not_kept() -> None:
    """The best of 21 shares is above the default on the very questions, and not on others."""
    values = np.random.default_rng(5).random((40, len(ALPHAS)))
    found = choose_alpha(values, np.full(40, 0.55), GROUPS, IDS, "nDCG@10")
    assert max(found.by_alpha.values()) > 0.55 > found.cross_validated
    assert found.alpha is None


def test_questions_that_share_a_document_are_not_on_both_sides() -> None:
    with pytest.raises(ConfigError, match="hang together"):
        choose_alpha(np.zeros((40, len(ALPHAS))), np.zeros(40), [IDS], IDS, "nDCG@10")


def test_the_verb_keeps_it_for_all_users(database_url: str, tmp_path: Path) -> None:
    texts = {f"d{i}": f"about subject{i} and thing{i % 3}" for i in range(24)}
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in texts.items()))
    asked = {f"q{i}": f"what of subject{i}" for i in range(24)}
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps({"_id": i, "text": t}) + "\n" for i, t in asked.items()))
    (tmp_path / "qrels.tsv").write_text("".join(f"q{i}\td{i}\t1\n" for i in range(24)))
    with Database(database_url) as db:
        docs = db.collection("words", config=CollectionConfig())
        docs.add([Chunk(id=id_, content=text) for id_, text in texts.items()])
        command = [PROGRAM, "tune", "alpha", "--golden", str(tmp_path), "-c", "words", "--url", database_url, "--json"]
        env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        done = subprocess.run(command, capture_output=True, encoding="utf-8", env=env, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["questions"] == 24
        assert told["stored"]
        with Database(database_url) as other:
            assert other.collection("words")._table.alpha == told["alpha"]
        assert told["alpha"] in (None, told["best"])
        few = RetrievalSet(
            name="few",
            documents=(CorpusDocument(id="d1", title="", text="x"),),
            queries={"q1": "x"},
            qrels={"q1": {"d1": 1}},
            qrels_file="",
            absent=0,
        )
        with pytest.raises(ConfigError, match="20 or more"):
            fit_alpha(docs, few)


def test_where_the_vectors_know_nothing_the_words_get_more(database_url: str) -> None:
    def guess(texts: list[str]) -> list[list[float]]:
        return [np.random.default_rng(len(text) + sum(text.encode())).standard_normal(8).tolist() for text in texts]

    texts = {f"d{i}": f"about subject{i} and thing{i % 3}" for i in range(24)}
    golden = RetrievalSet(
        name="words",
        documents=tuple(CorpusDocument(id=id_, title="", text=text) for id_, text in texts.items()),
        queries={f"q{i}": f"what of subject{i}" for i in range(24)},
        qrels={f"q{i}": {f"d{i}": 1} for i in range(24)},
        qrels_file="",
        absent=0,
    )
    with Database(database_url) as db:
        docs = db.collection("guessed", config=CollectionConfig(dimensions=8), embedder=guess)
        docs.add([Chunk(id=id_, content=text) for id_, text in texts.items()])
        found = fit_alpha(docs, golden)
    assert found.by_alpha[0.0] == 1.0
    assert found.by_alpha[1.0] < 0.6
    assert found.best < 0.5
