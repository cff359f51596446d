"""The benchmark of index kinds builds every kind, finds what is there, and leaves nothing behind."""

from __future__ import annotations

import json

import psycopg
import pytest

from rag_pgvector.evals.bench.kinds import KINDS, main


def test_every_kind(server_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAG_PGVECTOR_DATA", raising=False)
    assert main(["--json", "--url", server_url, "--rows", "300", "--queries", "3", "--dimensions", "16"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert list(report["kinds"]) == list(KINDS)
    for one in report["kinds"].values():
        assert one["searched"]["exact True"]["recall_at_10"] == 1.0
        assert 0.5 <= one["searched"]["default"]["recall_at_10"] <= 1.0
        assert one["index_bytes"] > 0
    with psycopg.connect(server_url) as conn:
        left = conn.execute(r"SELECT datname::text FROM pg_database WHERE datname LIKE 'rag\_bench\_%'").fetchall()
    assert left == []


@pytest.mark.parametrize("wrong", [["--rows", "10"], ["--queries", "0"], ["--build"]])
def test_what_measures_nothing_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--url", "postgresql://nowhere.invalid/", *wrong])
    assert stopped.value.code == 2
