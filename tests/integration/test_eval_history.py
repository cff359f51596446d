"""Runs kept in the database, for a tenant and for nobody; the canary; the verbs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database
from rag_pgvector.cli.app import run as rag
from rag_pgvector.errors import ConfigError, TenantError
from rag_pgvector.evals.formats import read_beir
from rag_pgvector.evals.history import canary, history, history_svg, save
from rag_pgvector.evals.retrieval import evaluate
from rag_pgvector.evals.runs import retrieval_run

WORDS = [f"word{i}" for i in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "words"
    path.mkdir()
    (path / "corpus.jsonl").write_text("".join(json.dumps({"_id": w, "text": f"the {w} here"}) + "\n" for w in WORDS))
    (path / "queries.jsonl").write_text("".join(json.dumps({"_id": w, "text": f"{w}?"}) + "\n" for w in WORDS))
    (path / "qrels.tsv").write_text("".join(f"{w}\t{w}\t1\n" for w in WORDS))
    return path


def letters(texts: list[str]) -> Any:
    return np.asarray([[1 + text.count(letter) for letter in "word0123"] for text in texts], dtype=np.float32)


def fill(collection: Collection) -> Collection:
    collection.add(Chunk(id=word, content=f"the {word} here", embedding=letters([word])[0]) for word in WORDS)
    return collection


def measured(folder: Path, lost: int = 0) -> dict[str, Any]:
    golden = read_beir(folder)
    found = evaluate(
        lambda question, k: [] if question[:-1] in WORDS[:lost] else [question[:-1]], golden, metrics=["nDCG@10"], k=10
    )
    return retrieval_run(golden, found)


def test_runs_are_kept_and_listed(db: Database, folder: Path) -> None:
    first = save(db, measured(folder), label="before")
    second = save(db, measured(folder, 20), label="after", verdict="fail", reasons=["nDCG@10 went down"])
    found = history(db)
    assert [each.id for each in found] == [second, first]
    assert (found[0].verdict, found[0].reasons, found[1].verdict) == ("fail", ("nDCG@10 went down",), None)
    assert [each.run["metrics"]["nDCG@10"] for each in found] == [0.5, 1.0]
    assert "questions" not in found[0].run
    assert [each.id for each in history(db, limit=1)] == [second]
    assert history(db, dataset="another") == []
    svg = history_svg(found, ["nDCG@10"])
    assert svg.count("<circle") == 2
    assert "xmlns" in svg  # a file of its own
    assert all(words in svg for words in (">before<", ">after<", "before 1.0000", "after 0.5000"))
    with pytest.raises(ConfigError, match="no run has a value"):
        history_svg(found, ["R@10"])


def test_tenants_see_their_own_runs(tenant_db: Database, folder: Path) -> None:
    shared = tenant_db.collection("shared", config=CollectionConfig(dimensions=3, tenancy="multi"))
    acme, apex = (shared.for_tenant(name) for name in ("acme", "apex"))
    kept = save(tenant_db, measured(folder), collection=acme)
    save(tenant_db, measured(folder), collection=acme.for_tenant("acme", scope="audit"))
    assert [each.id for each in history(tenant_db, collection=acme)][1:] == [kept]
    assert len(history(tenant_db, collection=acme.for_tenant("acme", scope="audit"))) == 1
    assert history(tenant_db, collection=apex) == history(tenant_db) == []
    assert history(tenant_db, collection=acme)[0].collection == "shared"
    with pytest.raises(TenantError, match="for_tenant"):
        save(tenant_db, {}, collection=shared)
    with pytest.raises(TenantError, match="for_tenant"):
        history(tenant_db, collection=shared)


def test_a_canary_has_a_verdict_with_reasons(folder: Path) -> None:
    def good() -> dict[str, Any]:
        return measured(folder)

    def bad() -> dict[str, Any]:
        return measured(folder, 20)

    assert canary(good, good, max_drop={"nDCG@10": 0.01}).state == "pass"
    assert canary(bad, good, max_drop={"nDCG@10": 0.01}).state == "pass"
    worse = canary(good, bad, max_drop={"nDCG@10": 0.01})
    assert worse.state == "fail"
    assert "nDCG@10 went from 1.0000 to 0.5000 over 40 questions" in worse.reasons[0]
    assert canary(good, lambda: measured(folder, 1), max_drop={"nDCG@10": 0.01}).state == "marginal"
    slow = {"latency_ms": {"p50": 1.0, "p95": 9.0}}
    quick = {"latency_ms": {"p50": 1.0, "p95": 2.0}}
    late = canary(lambda: good() | quick, lambda: good() | slow, max_drop={"nDCG@10": 0.01}, slower=2.0)
    assert (late.state, late.reasons[-1]) == (
        "marginal",
        "p95 is 4.50 times the current one's (2.0 ms), 2 allowed",
    )


def test_the_verbs(database_url: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Database(database_url) as db:
        fill(db.collection("docs", config=CollectionConfig(dimensions=8)))
    golden, url = str(folder), ["--url", database_url]
    asked = ["eval", "retrieval", golden, "--collection", "docs", "--mode", "keyword", "-k", "10", *url]
    before, report, xml = tmp_path / "before.json", tmp_path / "a.html", tmp_path / "a.xml"
    assert rag([*asked, "--output", str(before), "--html", str(report), "--save", "--label", "one"]) == 0
    assert rag([*asked, "--baseline", str(before), "--fail-under", "nDCG@10=.9", "--junit", str(xml), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))
    assert printed["gate"]["state"] == "pass"
    assert 'failures="0"' in xml.read_text()
    assert report.read_text().startswith("<!doctype html>")
    with Database(database_url) as db:
        db.collection("docs").delete(WORDS[:20])
    assert rag([*asked, "--baseline", str(before), "--max-drop", "nDCG@10=.01", "--save"]) == 1
    shown = capsys.readouterr().out
    assert "fail     nDCG@10 went from 1.0000 to 0.5000 over 40 questions (20 worse, 0 better" in shown
    assert "1.000 -> 0.000  word0  word0?" in shown
    with Database(database_url) as db:
        fill(db.collection("whole", config=CollectionConfig(dimensions=8)))
    canary_verb = ["eval", "canary", golden, "--collection", "whole", "--mode", "keyword", *url]
    assert rag([*canary_verb, "--max-drop", "nDCG@10=.01"]) == 0
    assert rag([*canary_verb, "--candidate", "docs", "--label", "half"]) == 1
    capsys.readouterr()
    drawing = tmp_path / "history.svg"
    assert rag(["eval", "history", "--json", "--svg", str(drawing), *url]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(each["collection"], each["verdict"], each["label"]) for each in listed] == [
        ("docs", "fail", "half"),
        ("whole", "pass", ""),
        ("docs", "fail", ""),
        ("docs", None, "one"),
    ]
    assert drawing.read_text().count("<polyline") == 2
