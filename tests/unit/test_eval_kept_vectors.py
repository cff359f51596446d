"""Embeddings that are kept on disk: asked for once, the same ones afterwards, each model's apart."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_pgvector.evals.counting import CountingEmbedder
from rag_pgvector.evals.kept_vectors import KeptVectors


class Lengths:
    """An embedder without a model that counts what it is asked."""

    def __init__(self, name: str = "lengths") -> None:
        self.name = name
        self.asked: list[str] = []

    def embed_documents(self, texts: Iterable[str]) -> Any:
        found = list(texts)
        self.asked += found
        return np.asarray([[len(text), 1.0] for text in found], dtype=np.float32).reshape(-1, 2)

    def embed_query(self, text: str) -> Any:
        self.asked.append(text)
        return np.asarray([len(text), 2.0], dtype=np.float32)


def test_a_text_is_embedded_once_by_each_model(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "vectors.sqlite"
    first = Lengths()
    kept = KeptVectors(file, first)
    found = kept.embed_documents(["a", "bb", "a", "\ud800"])
    assert found.tolist() == [[1, 1], [2, 1], [1, 1], [1, 1]]
    assert kept.embed_query("a").tolist() == [1, 2]  # a question is not a document
    kept.close()
    asked = [each for each in first.asked if len(each) < 3]
    assert sorted(asked) == ["a", "a", "bb", "\ud800"]

    second, other = Lengths(), Lengths("others")
    again = KeptVectors(file, second)
    assert again.embed_documents(["bb", "ccc"]).tolist() == [[2, 1], [3, 1]]
    assert again.embed_query("a").tolist() == [1, 2]
    assert "bb" not in second.asked
    assert second.asked.count("ccc") == 1
    assert KeptVectors(file, other).embed_documents(["bb"]).tolist() == [[2, 1]]
    assert "bb" in other.asked


@pytest.mark.asyncio
async def test_questions_are_asked_anew_where_their_time_is_measured(tmp_path: Path) -> None:
    inner = Lengths()
    kept = KeptVectors(tmp_path / "vectors.sqlite", inner, questions=False)
    for _ in range(2):
        await kept.aembed_query("why")
        await kept.aembed_documents(["because"])
    assert inner.asked.count("why") == 2
    assert inner.asked.count("because") == 1


def test_an_answer_that_is_asked_for_once_more_costs_nothing() -> None:
    inner = Lengths()
    counting = CountingEmbedder(inner)
    first = counting.embed_documents(["a", "bb"])
    first[0] = 9
    assert counting.embed_documents(["a", "bb"]).tolist() == [[1, 1], [2, 1]]
    assert (counting.calls, counting.texts) == (1, 2)
    counting.embed_documents(["a"])
    assert counting.calls == 2
