"""The benchmark of tenants measures every way to search, finds what is there, and leaves nothing behind."""

from __future__ import annotations

import json

import psycopg
import pytest

from rag_pgvector.evals.bench.tenants import main

CONTENDERS = {"ours", "ours_first_call", "no_fence", "raw", "post_filter_ef40", "post_filter_ef100"}


def test_the_report_covers_every_size_of_tenant(server_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--rows", "600", "--tenants", "12", "--queries", "6"]
    assert main(["--json", "--url", server_url, *size]) == 0
    report = json.loads(capsys.readouterr().out)

    assert report["data"]["rows"] == 600
    assert [(band["rows"]["most"] <= 100) for band in report["bands"]] == [True, False]
    assert sum(band["tenants"] for band in report["bands"]) == 12
    for band in report["bands"]:
        assert set(band["contenders"]) == CONTENDERS
        assert set(band["ratios"]) == {f"ours/{name}" for name in CONTENDERS - {"ours"}}
        assert band["plans"] == ["exact"]
        for name, numbers in band["contenders"].items():
            assert 0 < numbers["p50_ms"] <= numbers["p95_ms"]
            assert numbers["recall_at_10"] == 1.0 or name.startswith("post_filter")
    assert report["not_yours"]["p50_ratio"] > 0
    assert set(report["load"]) == {"add_s", "build_index_s", "peer_copy_s", "peer_index_s"}
    assert report["targets"]["recall_where_exact"] == {"value": 1.0, "target": 1.0, "at_most": False, "met": True}
    assert report["targets"]["recall_elsewhere"]["met"] is None

    with psycopg.connect(server_url) as conn:
        left = conn.execute(
            r"SELECT datname::text FROM pg_database WHERE datname LIKE 'rag\_bench\_%' "
            r"UNION ALL SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'rag\_bench\_%'"
        ).fetchall()
    assert left == []


@pytest.mark.parametrize("wrong", [["--tenants", "1"], ["--rows", "100"], ["--queries", "0"]])
def test_sizes_that_measure_nothing_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--url", "postgresql://nowhere.invalid/", *wrong])
    assert stopped.value.code == 2
    assert wrong[1] in capsys.readouterr().err
