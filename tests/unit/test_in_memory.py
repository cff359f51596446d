"""The collection in memory that negatives are made with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_pgvector.answer.llm import LLM_WEIGHTS
from rag_pgvector.answer.signals import SIGNALS
from rag_pgvector.evals import fit_llm
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
    assert set(given.signals) >= set(SIGNALS)
    places = {at for at, name in enumerate(TEXTS) if name == "Velm0"}
    without = collection.ask(question, without=places)
    assert all(each.chunk_id != "Velm0" for each in without.citations)

    cache.save()
    kept = VectorCache(lambda texts: np.empty((0, 0)), tmp_path)
    assert np.array_equal(kept([question]), cache([question]))


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
    assert len(weights) == 2 + len(fit_llm.FITTED) + len(fit_llm.KEPT) == 1 + len(LLM_WEIGHTS)
    assert all(weight >= 0 for weight in weights[1:])
    assert weights[-len(fit_llm.KEPT) :] == pytest.approx([LLM_WEIGHTS[name] for name in fit_llm.KEPT], abs=0.01)
