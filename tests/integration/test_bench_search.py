"""The benchmark of filtered search measures everybody, finds what is there, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from rag_pgvector.evals.bench.search import FIXED, PEERS, PEERS_EF, SHARES, main


def test_the_report_covers_every_selectivity(
    server_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag_pgvector.evals.bench.throughput._QPS_SECONDS", 0.2)
    monkeypatch.delenv("RAG_PGVECTOR_DATA", raising=False)
    assert main(["--json", "--url", server_url, "--rows", "400", "--queries", "3", "--out", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    peers = {f"{name}_ef{ef}" for name in PEERS for ef in PEERS_EF}
    assert [at["share"] for at in report["fresh"]] == list(SHARES)
    for at in report["fresh"]:
        assert set(at["asked"]) == {"ours", *FIXED, *peers}
        assert at["asked"]["ours"]["recall_at_10"] == at["asked"]["exact"]["recall_at_10"] == 1.0
    for at in report["after_updates_and_deletes"]:
        assert set(at["asked"]) == {"ours", "exact", *peers}
        assert at["asked"]["ours"]["recall_at_10"] == 1.0
    assert report["after_updates_and_deletes"][-1]["passing"] == 300
    assert set(report["without_filter"]["qps"]) == {"1_client", "16_clients"}
    assert report["targets"]["recall"]["met"] is True
    assert (tmp_path / "bench-search.png").read_bytes().startswith(b"\x89PNG")
    with psycopg.connect(server_url) as conn:
        left = conn.execute(r"SELECT datname::text FROM pg_database WHERE datname LIKE 'rag\_bench\_%'").fetchall()
    assert left == []


def test_in_pieces(parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--json",
        "--rows",
        "300",
        "--queries",
        "2",
        "--no-peers",
        "--home",
        str(parent / "kept"),
        "--out",
        str(tmp_path),
    ]
    assert main([*arguments, "--phases", "build"]) == 0
    assert json.loads(capsys.readouterr().out)["fresh"] == []
    assert main([*arguments, "--phases", "fresh", "--shares", "0.01", "1.0"]) == 0
    before = json.loads(capsys.readouterr().out)
    assert [at["share"] for at in before["fresh"]] == [0.01, 1.0]
    assert before["targets"]["p50_vs_raw"]["met"] is None
    assert main([*arguments, "--phases", "disturb", "changed", "fresh", "--shares", "1.0"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["fresh"] == before["fresh"]  # it was measured before the rows changed
    (changed,) = report["after_updates_and_deletes"]
    assert changed["passing"] == 225
    assert changed["asked"]["ours"]["recall_at_10"] == 1.0
    assert "ours" in report["dead_rows"]
    with pytest.raises(SystemExit, match="300 rows"):
        main([*arguments, "--rows", "400"])


@pytest.mark.parametrize("wrong", [["--rows", "10"], ["--queries", "0"], ["--phases", "fresh"]])
def test_sizes_that_measure_nothing_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--url", "postgresql://nowhere.invalid/", *wrong])
    assert stopped.value.code == 2
