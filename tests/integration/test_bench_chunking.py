"""The benchmark of chunks, on two texts of its layout, and what it says of chunks that are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rag_pgvector.evals.bench import chunking


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpora").mkdir()
    rows = []
    for name, subject in (("rivers", "river"), ("kites", "kite")):
        text = "\n\n".join(f"About {subject} number {i}: it is {i * 7} metres long. " * 6 for i in range(12))
        (tmp_path / "corpora" / f"{name}.md").write_text(text)
        start = text.index(f"{subject} number 5")
        references = json.dumps([{"content": text[start : start + 40], "start_index": start, "end_index": start + 40}])
        rows.append(f'How long is {subject} number 5?,"{references.replace(chr(34), chr(34) * 2)}",{name}')
    (tmp_path / "questions_df.csv").write_text("question,references,corpus_id\n" + "\n".join(rows) + "\n")
    return tmp_path


def test_the_report(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert chunking.main(["--json", "--data", str(folder), "-k", "3"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["data"] == {"folder": folder.name, "questions": 2, "texts": 2, "k": 3}
    for way in report["ways"].values():
        assert 0 <= way["iou"] <= way["precision"] <= 1
        assert way["iou"] <= way["recall"] <= 1
    assert set(report["targets"]) == {"iou_vs_best_peer", "recall_vs_best_peer"}
    with pytest.raises(SystemExit):
        chunking.main(["--data", str(folder / "corpora")])


def test_tokens_that_begin_in_a_span() -> None:
    starts = np.array([0, 4, 9, 15])
    assert [chunking._held(starts, span) for span in ((0, 4), (1, 10), (15, 99), (16, 20))] == [
        slice(0, 1), slice(1, 3), slice(3, 4), slice(4, 4),
    ]  # fmt: skip
