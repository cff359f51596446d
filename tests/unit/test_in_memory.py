"""The collection in memory that negatives are made with."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_pgvector.answer.llm import LLM_WEIGHTS
from rag_pgvector.answer.signals import SIGNALS
from rag_pgvector.embedding import alikeness, as_embedder, likeness
from rag_pgvector.evals import fit_llm
from rag_pgvector.evals.counting import CountingEmbedder
from rag_pgvector.evals.fit_prior import collect, report
from rag_pgvector.evals.in_memory import MemoryCollection, VectorCache
from rag_pgvector.evals.question_sets import Question, QuestionSet
from rag_pgvector.types import Chunk

TEXTS = {
    f"{place}{part}": f"The {thing} of {place} was {did} in {year}. A road leads there."
    for place, thing, year in (("Orrin", "lighthouse", 1871), ("Velm", "granary", 1902), ("Brae", "aqueduct", 1788))
    for part, did in enumerate(("built", "painted", "sold"))
}


def embed(texts: Sequence[str]) -> NDArray[Any]:
    """Counts of letters: enough to tell texts apart."""
    return np.array([[1.0 + text.casefold().count(letter) for letter in "abcdefghijklmnop"] for text in texts])


def chunks() -> list[Chunk]:
    return [Chunk(id=name, document_id=name, source=name, content=text) for name, text in TEXTS.items()]


def test_what_is_taken_away_is_not_found(tmp_path: Path) -> None:
    cache = VectorCache(embed, tmp_path)
    collection = MemoryCollection(chunks(), cache)
    question = "When was the granary of Velm built?"
    given = collection.ask(question)
    assert given.answer is not None
    assert "1902" in given.answer
    assert given.citations[0].chunk_id == "Velm0"
    assert set(given.signals) >= set(SIGNALS[:-2])  # there are no tokens
    assert "tokens" not in given.signals
    places = {at for at, name in enumerate(TEXTS) if name == "Velm0"}
    without = collection.ask(question, without=places)
    assert all(each.chunk_id != "Velm0" for each in without.citations)

    cache.save()
    kept = VectorCache(lambda texts: np.empty((0, 0)), tmp_path)
    assert np.array_equal(kept([question]), cache([question]))


def test_token_vectors_are_compared_and_remembered(tmp_path: Path) -> None:
    asked: list[str] = []

    def tokens(texts: Sequence[str]) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
        asked.extend(texts)
        return embed(texts).astype(np.float32), [
            np.eye(8, dtype=np.float32)[[len(word) % 8 for word in text.split()]] for text in texts
        ]

    cache = VectorCache(embed, tmp_path, token_vectors=tokens)
    found = cache.likeness("ab cde", ["xy", "xy abc", "xyzuv"])
    assert found.tokens is not None
    assert found.tokens.tolist() == [[0.5, 0.0], [1.0, 1.0], [0.0, 0.0]]
    plain = cache(["ab cde", "xy"])
    assert found.cosines[0] == pytest.approx(float(plain[0] @ plain[1]), abs=1e-5)
    cache.save()
    asked.clear()
    again = VectorCache(embed, tmp_path, token_vectors=tokens).likeness("ab cde", ["xy", "xyzuv"])
    assert again.tokens is not None
    assert (again.tokens.tolist(), asked) == ([[0.5, 0.0], [0.0, 0.0]], [])
    given = MemoryCollection(chunks(), VectorCache(embed, token_vectors=tokens)).ask("When was the granary built?")
    assert 0.0 <= given.signals["tokens"] <= 1.0


def invented(answer: str) -> QuestionSet:
    questions = [
        Question(
            f"{name} {at}",
            f"When was the thing of {name[:-1]} {did}?",
            name[:-1],
            "answerable",
            frozenset({name}),
            (answer,),
        )
        for name in TEXTS
        for at, did in enumerate(("built", "painted", "sold"))
    ]
    return QuestionSet("invented", tuple(chunks()), tuple(name[:-1] for name in TEXTS), tuple(questions))


def test_a_set_is_collected_and_reported() -> None:
    data = invented("18")
    samples = list(collect(data, VectorCache(embed)))
    assert {sample.kind for sample in samples} == {"answerable", "near_miss", "out_of_corpus"}
    assert not any(sample.right for sample in samples if sample.kind != "answerable")
    found = report({"invented": samples})
    assert found["sets"]["invented"]["within"]["mix"]["n"] == len(samples)
    assert all(weight >= 0 for weight in found["weights"].values())


def test_a_simulated_reader_gives_right_and_wrong_answers_to_fit_on() -> None:
    rows = fit_llm.collect(invented("in 1"), VectorCache(embed), most=None)
    right = [found for _, found, _ in rows]
    assert 0 < sum(right) < len(rows)
    weights = fit_llm.fitted(rows)
    assert len(weights) == 2 + len(fit_llm.FITTED) + len(fit_llm.KEPT) == 2 + len(LLM_WEIGHTS)
    assert all(weight >= 0 for weight in weights[1:])
    assert weights[-len(fit_llm.KEPT) :] == pytest.approx([LLM_WEIGHTS[name] for name in fit_llm.KEPT], abs=0.01)


class Shows:
    """An embedder that shows its tokens."""

    name, dimensions = "shows", 16

    def embed_documents(self, texts: Sequence[str]) -> NDArray[Any]:
        return embed(list(texts))

    def embed_query(self, text: str) -> NDArray[Any]:
        first: NDArray[Any] = embed([text])[0]
        return first

    def token_vectors(self, texts: Sequence[str]) -> tuple[NDArray[Any], list[NDArray[np.float32]]]:
        return embed(list(texts)), [np.eye(3, dtype=np.float32)[[len(text) % 3]] for text in texts]

    async def atoken_vectors(self, texts: Sequence[str]) -> tuple[NDArray[Any], list[NDArray[np.float32]]]:
        return self.token_vectors(texts)


def test_a_wrapper_passes_tokens_on_and_counts_them() -> None:
    counting = CountingEmbedder(Shows(), remember=True)
    for embedder in (as_embedder(Shows()), as_embedder(counting)):
        found = likeness(embedder, "a", ["b", "cc"])
        later = asyncio.run(alikeness(embedder, "a", ["b", "cc"]))
        assert found.tokens is not None
        assert later.tokens is not None
        assert found.tokens.tolist() == later.tokens.tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert (counting.calls, counting.texts) == (1, 3)
    assert likeness(as_embedder(lambda texts: embed(texts)), "a", ["b"]).tokens is None
    assert likeness(as_embedder(CountingEmbedder(embed)), "a", ["b"]).tokens is None
