"""The pytest plugin, run in a pytest of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = """
pytest_plugins = ["rag_pgvector.evals.pytest_plugin"]
"""
TEST = """
FOUND = {found!r}

def test_search(golden_gate):
    drop = {{"nDCG@10": 0.01}}
    run = golden_gate(lambda question, k: FOUND[question], "beir", baseline="base/line.json", max_drop=drop)
    assert run["queries"] == 40

def test_answers(golden_gate):
    golden_gate(lambda question: "Kelantan", "faq.csv", fail_under={{"right": {floor}}})
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "conftest.py").write_text(PROJECT)
    (tmp_path / "faq.csv").write_text("question,answer\nWhere from?,Kelantan\nWho?,Ali\n")
    beir = tmp_path / "beir"
    beir.mkdir()
    (beir / "corpus.jsonl").write_text('{"_id": "a", "text": "x"}\n{"_id": "b", "text": "y"}\n')
    (beir / "queries.jsonl").write_text("".join(json.dumps({"_id": str(i), "text": f"q{i}"}) + "\n" for i in range(40)))
    (beir / "qrels.tsv").write_text("".join(f"{i}\ta\t1\n" for i in range(40)))
    return tmp_path


def run(project: Path, *arguments: str, good: int = 40, floor: float = 0.5) -> subprocess.CompletedProcess[str]:
    found = {f"q{i}": ["a"] if i < good else ["b"] for i in range(40)}
    (project / "test_quality.py").write_text(TEST.format(found=found, floor=floor))
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *arguments],
        cwd=project,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_baseline_regression_and_floor(project: Path) -> None:
    missing = run(project)
    assert missing.returncode == 1
    assert "no baseline" in missing.stdout
    assert run(project, "--golden-update", "-k", "search").returncode == 0
    good = run(project)
    assert good.returncode == 0, good.stdout
    assert "test_search (40 questions): nDCG@10 1.0000" in good.stdout
    worse = run(project, good=30, floor=0.9)
    assert worse.returncode == 1
    assert "nDCG@10 went from 1.0000 to 0.7500 over 40 questions (10 worse, 0 better" in worse.stdout
    assert "1.000 -> 0.000  30  q30" in worse.stdout
    assert "right is 0.5000, beyond the limit 0.9" in worse.stdout
