"""The comparison with the peers runs from end to end on little data, and leaves nothing behind."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from rag_pgvector.evals.bench import evals
from rag_pgvector.evals.bench.scripted_reader import UNKNOWN, reply_to
from rag_pgvector.evals.kept_vectors import KeptVectors

TEXTS = {
    "kite": "The wau bulan is a moon-shaped kite. It comes from Kelantan, a northern state.",
    "top": "Gasing are spinning tops of wood. They weigh five kilograms.",
    "rice": "Nasi lemak is rice in coconut milk. It is eaten in the morning.",
}


class Letters:
    """An embedder without a model: how often each letter occurs."""

    name = "letters"

    def embed_documents(self, texts: Iterable[str]) -> Any:
        counts = [[1 + text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
        return np.asarray(counts, dtype=np.float32)

    def embed_query(self, text: str) -> Any:
        return self.embed_documents([text])[0]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(evals, "KeptVectors", lambda file: KeptVectors(file, Letters()))
    tiny = tmp_path / "ir_xquad"
    tiny.mkdir()
    corpus = [json.dumps({"_id": f"en-{id_}", "text": text}) for id_, text in TEXTS.items()]
    (tiny / "corpus.jsonl").write_text("\n".join([*corpus, json.dumps({"_id": "zh-1", "text": "风筝"})]))
    asked = [("en-q", "moon kite", "en"), ("en-r", "spinning tops", "en"), ("zh-q", "风筝", "zh")]
    lines = [json.dumps({"_id": id_, "text": text, "metadata": {"lang": lang}}) for id_, text, lang in asked]
    (tiny / "queries.jsonl").write_text("\n".join(lines))
    (tiny / "qrels.tsv").write_text("en-q\ten-kite\t1\nen-r\ten-top\t1\nzh-q\tzh-1\t1\n")
    squad = tmp_path / "qa_squad2"
    squad.mkdir()
    paragraph = {
        "context": TEXTS["kite"],
        "qas": [
            {"id": "1", "question": "Which northern state does it come from?", "is_impossible": False,
             "answers": [{"text": "Kelantan", "answer_start": TEXTS["kite"].index("Kelantan")}]},
            {"id": "2", "question": "Who flew the first one?", "is_impossible": True, "answers": []},
        ],
    }  # fmt: skip
    document = {"version": "v2.0", "data": [{"title": "Kites", "paragraphs": [paragraph]}]}
    (squad / "squad2_dev.json").write_text(json.dumps(document))
    faq = tmp_path / "csv_faq_covid"
    faq.mkdir()
    rows = [("What is a top?", "A top is a toy that spins on its point."), ("What is a kite?", "It flies in the wind.")]
    with (faq / "faq_covidbert.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("question", "answer"), *rows])
    pairs = [("What is a top?", "What are tops?", 1), ("What is a kite?", "Who is Kate?", 0)]
    with (faq / "eval_question_similarity_en.csv").open("w", newline="") as out:
        csv.writer(out).writerows([("question_1", "question_2", "similar"), *pairs])
    return tmp_path


def left_behind(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as conn:
        return conn.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'rag\_bench\_%'").fetchall()


def test_everybody_is_measured_by_the_same_harness(
    server_url: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(data), "--url", server_url, "--out", str(data / "out")]
    assert evals.main(["--sets", "ir_xquad", "qa_squad2", "--limit", "9", "--json", *common]) == 0
    report = json.loads(capsys.readouterr().out)
    found = report["retrieval"]["ir_xquad"]
    assert (found["documents"], found["queries"], found["left_out"]) == (4, 3, {})
    retrievers = {"langchain-postgres: retriever", "llama-index: retriever"}
    assert {"hybrid", "dense", "keyword", *retrievers} <= set(found["rows"])
    assert found["rows"]["keyword"]["nDCG@10"] == 1.0
    assert {key: row["questions"] for key, row in found["rows"]["hybrid"]["slices"].items()} == {"en": 2, "zh": 1}
    # The same vectors and the same exact search: the retrievers agree with ours.
    assert len({found["rows"][name]["nDCG@10"] for name in ("dense", *retrievers)}) == 1
    squad = report["answers"]["qa_squad2"]
    assert set(squad["rows"]) == {"rag_pgvector", "rag_pgvector, llm", "langchain", "llama-index"}
    for name in ("langchain", "llama-index"):
        row = squad["rows"][name]
        assert row["counts"]["right"] == 1, name
        assert row["citation_source_precision"] == 1.0, name
        assert row["abstention_recall"] == 0.0, name  # letters are alike everywhere: the threshold keeps nothing back
    assert left_behind(server_url) == []


def test_one_language_of_a_set_and_some_questions_of_each(data: Path) -> None:
    english = evals.read_set(data, "ir_xquad:en", 1)
    assert {each.id for each in english.documents} == {"en-kite", "en-top", "en-rice"}
    assert len(english.queries) == 1
    assert len(evals.read_set(data, "ir_xquad", 1).queries) == 2  # one of each language


def test_paraphrases_of_questions_with_a_row(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = data / "faq.csv"
    assert evals.main(["--data", str(data), "--write-faq", str(file)]) == 0
    assert capsys.readouterr().out == f"1 questions in {file}\n"
    asked, paths = evals.read_answers(data, "csv_faq_covid", data)
    assert paths == [data / "csv_faq_covid" / "faq_covidbert.csv"]
    assert [(each.question, each.answer, each.page_or_row) for each in asked.questions] == [
        ("What are tops?", "A top is a toy that spins on its point.", 0)
    ]


def test_a_threshold_above_everything_withholds_everything(
    server_url: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(data), "--url", server_url, "--out", str(data / "out")]
    assert evals.main(["--sets", "qa_squad2", "--threshold", "1.0", "--json", *common]) == 0
    rows = json.loads(capsys.readouterr().out)["answers"]["qa_squad2"]["rows"]
    for name in ("langchain", "llama-index"):
        assert (rows[name]["answered"], rows[name]["abstention_recall"]) == (0.0, 1.0), name
        # It was asked for again without the threshold: confidence is judged on what it would have said.
        assert rows[name]["confidence"]["auroc"] is not None, name


def test_the_reader_copies_a_sentence_and_imagines_nothing() -> None:
    ours = "<m> passage id=x"
    prompt = f"Question: From which state does it come?\n\n<abc passage id=p1>\n(t)\n{TEXTS['kite']}\n</abc>\n\n{ours}"
    reply = json.loads(reply_to({"messages": [{"role": "user", "content": prompt}]})["content"])
    assert reply["statements"][0]["citations"] == [{"id": "p1", "quote": "It comes from Kelantan, a northern state."}]
    nothing = reply_to({"messages": [{"role": "system", "content": "..."}, {"role": "user", "content": "Why?"}]})
    assert json.loads(nothing["content"]) == {"answer": UNKNOWN, "citations": []}
