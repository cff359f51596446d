"""The benchmarks of hybrid search and of size run from end to end on little data, and leave nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import psycopg
import pytest

from rag_pgvector.evals.bench import hybrid, scale
from rag_pgvector.evals.bench.hybrid_peers import PEERS
from rag_pgvector.evals.formats import read_beir

TEXTS = [
    "The wau bulan is a moon-shaped kite.",
    "Gasing are spinning tops of wood.",
    "Nasi lemak is rice in coconut milk.",
]


class Letters:
    """An embedder without a model: how often each letter occurs."""

    name = "letters"

    def embed_documents(self, texts: list[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        counts = [[1 + text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
        return np.asarray(counts, dtype=np.float32)


@pytest.fixture(autouse=True)
def embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (hybrid, scale):
        monkeypatch.setattr(module, "default_embedder", lambda _: Letters())


def left_behind(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as conn:
        return conn.execute(r"SELECT datname FROM pg_database WHERE datname LIKE 'rag\_bench\_%'").fetchall()


def test_hybrid(server_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    corpus = [json.dumps({"_id": f"en-{i}", "text": text}) for i, text in enumerate(TEXTS)]
    (folder / "corpus.jsonl").write_text("\n".join([*corpus, json.dumps({"_id": "zh-1", "text": "风筝"})]))
    (folder / "queries.jsonl").write_text('{"_id": "en-q", "text": "moon kite"}\n{"_id": "zh-q", "text": "风筝"}\n')
    (folder / "qrels.tsv").write_text("en-q\ten-0\t1\nzh-q\tzh-1\t1\n")
    assert len(read_beir(folder).documents) == 4
    arguments = [
        "--data",
        str(tmp_path),
        "--sets",
        "tiny:en",
        "--url",
        server_url,
        "--out",
        str(tmp_path / "out"),
        "--json",
    ]
    assert hybrid.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["left_out"] == {}
    one = report["sets"]["tiny:en"]
    assert (one["documents"], one["queries"]) == (3, 1)
    assert {"dense", "keyword", "hybrid", "hybrid, rrf"} <= one["rows"].keys()
    assert one["rows"]["keyword"]["nDCG@10"] == one["rows"]["hybrid"]["nDCG@10"] == 1.0
    assert all(0.0 <= value <= 1.0 for value in one["best_peer_hybrid"].values())
    assert (tmp_path / "out" / "bench-hybrid.png").stat().st_size > 1000
    assert hybrid.main([*arguments, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["sets"] == report["sets"]  # latency, too: nothing was asked again
    assert hybrid.main([*arguments, "--systems", "rag-pgvector"]) == 0  # with the vectors of before
    assert json.loads(capsys.readouterr().out)["sets"]["tiny:en"]["best_peer_hybrid"] == dict.fromkeys(PEERS)
    assert left_behind(server_url) == []


def test_scale(server_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(tmp_path / "none"), "--sizes", "300", "--sentences", "20", "--queries", "3"]
    arguments += ["--seconds", "0.1", "--url", server_url, "--out", str(tmp_path), "--json"]
    assert scale.main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    one = report["sizes"]["300"]
    assert one["rows"] == 300
    assert one["disk_bytes"]["chunks_bench"] > one["disk_bytes"]["vector index, contained"] > 0
    assert set(one["modes"]) == {"dense", "keyword", "hybrid"}
    for found in one["modes"].values():
        assert 0 < found["p50_ms"] <= found["p95_ms"]
        assert set(found["qps"]) == {"1", "4", "16"}
    assert "300: hybrid / (keyword + dense)" in report["targets"]
    assert "made, not real" in report["data"]
    assert (tmp_path / "bench-scale.png").stat().st_size > 1000

    assert scale.main([*arguments, "--resume"]) == 0
    assert json.loads(capsys.readouterr().out)["sizes"]["300"] == one
    assert left_behind(server_url) == []


def test_building_and_measuring_apart(parent: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(tmp_path / "none"), "--sizes", "200", "--sentences", "20", "--queries", "3"]
    arguments += ["--seconds", "0.1", "--home", str(parent / "kept"), "--out", str(tmp_path)]
    assert scale.main([*arguments, "--build"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["rows"] == 200
    assert not (tmp_path / "bench-scale.json").exists()
    assert scale.main([*arguments, "--json"]) == 0
    one = json.loads(capsys.readouterr().out)["sizes"]["200"]
    assert built == {name: value for name, value in one.items() if name != "modes"}  # it was not built again
    assert one["modes"]["hybrid"]["p50_ms"] > 0


@pytest.mark.parametrize("wrong", [["--sizes", "5"], ["--queries", "0"], ["--sentences", "1"]])
def test_sizes_that_measure_nothing_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        scale.main(["--url", "postgresql://nowhere.invalid/", *wrong])
    assert stopped.value.code == 2
    assert "at least" in capsys.readouterr().err
