"""Language models in the verbs that measure: a judge, a writer of questions; and the sweep of the vector index."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_pgvector import Chunk, CollectionConfig, Database
from rag_pgvector.cli.app import run as rag
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.sweep import sweep
from tests.answering.scripted import Exchange, ScriptedServer

CONTEXT = "The wau bulan is a kite that comes from Kelantan, a state in the north. It is shaped like a moon."


def model(exchange: Exchange) -> None:
    if "test set" in exchange.prompt:
        exchange.say({"question": "Where is it from?", "answer": "Kelantan"})
    elif '"statements"' in exchange.prompt:
        exchange.say({"statements": [{"text": "a", "supported": True}]})
    else:
        exchange.say("no verdict")


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer({"scripted": model}) as server:
        yield server


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    answer = {"text": "Kelantan", "answer_start": CONTEXT.index("Kelantan")}
    asked = {
        "id": "1",
        "question": "From which state does the wau bulan kite come?",
        "is_impossible": False,
        "answers": [answer],
    }
    document = {"version": "v2.0", "data": [{"title": "Kites", "paragraphs": [{"context": CONTEXT, "qas": [asked]}]}]}
    path = tmp_path / "kites.json"
    path.write_text(json.dumps(document))
    return path


def test_answers_are_judged_beside_their_metrics(
    database_url: str, golden: Path, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["eval", "answers", str(golden), "--url", database_url, "--threshold", "0"]
    judged = ["--judge-model", "scripted", "--judge-url", server.url]
    html = golden.with_suffix(".html")
    assert rag([*common, *judged, "--html", str(html), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["metrics"]["right"] == 1.0
    assert found["judged"]["judge"] == "scripted at 127.0.0.1"
    assert found["judged"]["metrics"] == {"faithfulness": 1.0, "answer_relevance": None, "correctness": None}
    assert found["judged"]["unmeasured"] == {"faithfulness": 0, "answer_relevance": 1, "correctness": 1}
    assert "Judged by a language model" in html.read_text()
    assert rag([*common, *judged]) == 0
    out, err = capsys.readouterr()
    assert "judged by scripted at 127.0.0.1" in out
    assert "no verdict: a reply that cannot be read (2)" in err
    assert rag([*common, "--judge-model", "scripted"]) == 2
    assert "--judge-url" in capsys.readouterr().err


def test_a_model_writes_candidates(
    database_url: str, tmp_path: Path, server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    with Database(database_url) as db:
        docs = db.collection("docs", config=CollectionConfig(), embedder=None)
        docs.add([Chunk(id="1", content=CONTEXT, embedding=[1.0] * 384), Chunk(id="2", content="Tops spin.")])
    file = tmp_path / "review.csv"
    arguments = ["golden", "candidates", str(file), "-c", "docs", "--url", database_url]
    assert rag([*arguments, "--model", "scripted", "--model-url", server.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"candidates": 2, "with_question": 1}
    with file.open(newline="") as lines:
        rows = {row["passage"]: row for row in csv.DictReader(lines)}
    assert (rows[CONTEXT]["question"], rows[CONTEXT]["answer"]) == ("Where is it from?", "Kelantan")
    assert rows["Tops spin."]["note"] == "the model's answer does not stand in the passage"


def directions(texts: list[str]) -> Any:
    """A direction for each text, the same for the same one."""
    draws = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=16) for text in texts]
    return np.asarray(draws, dtype=np.float32)


def test_a_sweep_goes_from_quick_to_exact(database_url: str) -> None:
    with Database(database_url) as db:
        docs = db.collection("docs", config=CollectionConfig(dimensions=16), embedder=directions)
        questions = [f"question {i}" for i in range(20)]
        with pytest.raises(ConfigError, match="HNSW index"):
            sweep(docs, questions)
        docs.add([Chunk(id=str(i), content=f"text {i}") for i in range(1_500)])
        docs.build_index()
        points = sweep(docs, questions, ef_search=(10, 400))
        assert [(each["name"], each["ef_search"]) for each in points] == [("hnsw", 10), ("hnsw", 400), ("exact", None)]
        assert points[2]["recall"] == 1.0
        assert points[0]["recall"] <= points[1]["recall"]
        assert points[1]["recall"] > 0.9
        assert all(each["ms"] > 0 for each in points)
        with pytest.raises(ConfigError, match="needs questions"):
            sweep(docs, [])
