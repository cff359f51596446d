"""The store benchmark measures every contender, finds the true neighbours with each, and leaves nothing behind."""

from __future__ import annotations

import json
import sys
from typing import Any

import psycopg
import pytest

from rag_pgvector.evals.bench.store import main

CONTENDERS = {"ours", "raw", "langchain-postgres", "llama-index"}


def run(url: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["--json", "--url", url, "--rows", "300", "--queries", "5"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_the_report_covers_every_contender(server_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    report = run(server_url, capsys)

    assert report["left_out"] == {}
    assert report["data"] == {"rows": 300, "dimensions": 384, "queries": 5}
    assert set(report["add"]["rows_per_s"]) == CONTENDERS
    assert set(report["add_live_hnsw"]["rows_per_s"]) == {"ours", "raw", "llama-index"}
    live = report["add_live_hnsw"]
    assert live["base_rows"] + live["calls"] // live["rounds"] * live["rows_per_call"] == 300
    assert set(report["query"]["contenders"]) == CONTENDERS
    for numbers in report["query"]["contenders"].values():
        assert numbers["recall_at_10"] >= 0.9  # ef_search 100 of 300 rows: each really asked for these vectors
        assert 0 < numbers["p50_ms"] <= numbers["p95_ms"]
    assert set(report["targets"]) == {
        "add_vs_langchain",
        "live_vs_raw_copy",
        "load_then_index_vs_llama_index_live",
        "query_p50_vs_raw",
    }
    for target in report["targets"].values():
        reached = target["value"] <= target["target"] if target["at_most"] else target["value"] >= target["target"]
        assert target["met"] is reached
    assert report["versions"]["psycopg"] == psycopg.__version__
    assert report["machine"]["cores"] >= 1

    with psycopg.connect(server_url) as conn:
        left = conn.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'rag\_bench\_%'").fetchall()
    assert left == []


def test_a_missing_peer_is_left_out(
    server_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "langchain_postgres", None)

    report = run(server_url, capsys)

    assert set(report["left_out"]) == {"langchain-postgres"}
    assert set(report["query"]["contenders"]) == CONTENDERS - {"langchain-postgres"}
    assert report["targets"]["add_vs_langchain"] == {"value": None, "target": 10, "at_most": False, "met": None}


@pytest.mark.parametrize("wrong", [["--rows", "99"], ["--queries", "0"]])
def test_sizes_that_measure_nothing_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--url", "postgresql://nowhere.invalid/", *wrong])
    assert stopped.value.code == 2
    assert wrong[1] in capsys.readouterr().err
