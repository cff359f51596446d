"""The value that is asked for inside of an answer, and sources that give two."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_pgvector.answer import GroundedAnswer, drive
from rag_pgvector.answer.lexical import read_query
from rag_pgvector.answer.llm import answer_with_model
from rag_pgvector.answer.models import Reply, Request
from rag_pgvector.answer.shown import answer_html
from rag_pgvector.answer.spans import minimal_span
from rag_pgvector.answer.steps import Answering
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.in_memory import MemoryCollection
from rag_pgvector.types import Chunk


@pytest.mark.parametrize(
    ("question", "text", "value"),
    [
        ("When was the lighthouse built?", "The lighthouse was built in May 1871 by Ada Holm.", "May 1871"),
        ("Who built the lighthouse?", "The lighthouse of Cape Verity was built in 1871 by Ada Holm.", "Ada Holm"),
        ("Who built the lighthouse?", "In 1871 Ada Holm built the lighthouse. Visitors came later.", "Ada Holm"),
        ("How many rooms has the house?", "The house has 14 rooms and 3 doors.", "14"),
        ("How many rooms has the house?", "Built in 1902, the house has 14 rooms.", "14"),
        ("How many flats owe money?", "2.1 Tan said that seven flats owe £4,310.", "seven"),
        ("How many species were caught on roofs?", "We sampled 36 roofs. In total 61 species were caught.", "61"),
        ("How much notice is given?", "4.8 Notice is given twenty-four hours before.", "twenty-four"),
        ("How many days may be kept?", "Up to five days may be kept and must be taken by 31 March.", "five"),
        # Nobody can say which is meant, or nothing of the kind is there.
        ("When did it open and close?", "It ran from 1871, it seems, or perhaps 1872.", None),
        ("When does the lease expire?", "The lease begins on 1 April 2025 and expires on 31 March 2026.", None),
        ("Who built the lighthouse?", "The lighthouse was built by Greek sailors.", None),
        ("Who built the lighthouse?", "According to sailors, the lighthouse was built early.", None),
        ("When was the war of 1812 fought?", "The war of 1812 was long.", None),
        ("What is tea?", "Tea is a drink of 1700.", None),
    ],
)
def test_the_value_that_is_asked_for(question: str, text: str, value: str | None) -> None:
    span = minimal_span(read_query(question), text)
    assert (text[slice(*span)] if span else None) == value


def embed(texts: Sequence[str]) -> NDArray[Any]:
    return np.array([[1.0 + text.casefold().count(letter) for letter in "abcdefghijklmnop"] for text in texts])


def ask(question: str, *texts: str, sources: Sequence[str] = ()) -> GroundedAnswer:
    chunks = [
        Chunk(id=str(at), document_id=str(at), source=sources[at] if sources else f"{at}.txt", content=text)
        for at, text in enumerate([*texts, "Something else stands here.", "A road leads to the village of Orrin."])
    ]
    return MemoryCollection(chunks, embed).ask(question)


FEE = "The yearly fee for a member of the rowing club is {} ringgit."


@pytest.mark.parametrize(
    ("question", "texts"),
    [
        ("What is the yearly fee of the rowing club?", (FEE.format(120), FEE.format(150))),
        ("How much is the yearly fee of the rowing club?", (FEE.format(120), FEE.format("1,200"))),
        (
            "When was the mill of Orrin sold?",
            ("The mill of Orrin was sold in 1890.", "The mill of Orrin was sold in 1891."),
        ),
        (
            "Who built the mill of Orrin?",
            ("The mill of Orrin was built by Ada Holm.", "The mill of Orrin was built by Ben Tan."),
        ),
    ],
)
def test_sources_that_disagree(question: str, texts: tuple[str, str]) -> None:
    given = ask(question, *texts)
    assert given.failure_mode == "conflicting_evidence"
    assert given.answer is None
    assert {each.snippet for each in given.near_misses} == set(texts)
    assert {each.source for each in given.near_misses} == {"0.txt", "1.txt"}


@pytest.mark.parametrize(
    ("question", "texts"),
    [
        # The same value, in another spelling too.
        ("What is the yearly fee of the rowing club?", (FEE.format(120), FEE.format(120))),
        ("What is the yearly fee of the rowing club?", (FEE.format("1,200"), FEE.format(1200))),
        # Other years, other things, other words.
        (
            "What is the fee of the rowing club?",
            tuple(f"In {year} the fee of the rowing club was {fee}." for year, fee in ((2022, 120), (2023, 150))),
        ),
        ("What is the yearly fee of the rowing club?", (FEE.format(120), FEE.format(150).replace("rowing", "chess"))),
        ("What is the yearly fee of the rowing club?", (FEE.format(120), "The rowing club has 150 members.")),
    ],
)
def test_sources_that_do_not(question: str, texts: tuple[str, str]) -> None:
    assert ask(question, *texts).failure_mode is None


def test_one_source_does_not_contradict_itself() -> None:
    given = ask("What is the yearly fee?", FEE.format(120), FEE.format(150), sources=["a", "a", "b", "c"])
    assert given.failure_mode is None


def test_a_risk_of_the_settings_yields_to_what_a_call_says(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, float | None]] = []

    def record(question: str, *, threshold: float, target_risk: float | None, **_: Any) -> Answering:
        seen.append((threshold, target_risk))
        return GroundedAnswer(answer=None, confidence=0.0, failure_mode="no_results")
        yield  # a generator

    monkeypatch.setattr(drive, "answer", record)
    monkeypatch.setattr(drive, "answer_with_model", record)
    nothing: Any = None
    common: dict[str, Any] = {"k": None, "filter": None}
    drive.ask(nothing, "q", threshold=None, **common)
    monkeypatch.setenv("TARGET_RISK", "0.2")
    drive.ask(nothing, "q", threshold=None, **common)
    drive.ask(nothing, "q", threshold=None, target_risk=0.1, **common)
    drive.ask(nothing, "q", threshold=0.7, **common)
    asyncio.run(drive.aask(nothing, "q", threshold=None, **common))
    drive.ask(nothing, "q", threshold=None, llm=Silent(), **common)
    assert seen == [(0.6, None), (0.6, 0.2), (0.6, 0.1), (0.7, None), (0.6, 0.2), (0.6, 0.2)]


class Silent:
    """A language model that quotes the first passage."""

    def reply(self, request: Request) -> Reply:
        found = re.search(r" passage id=(\w+)>\n\([^\n]*\)\n(.*?)\n</", request.user, re.DOTALL)
        assert found
        return Reply({"statements": [{"text": found[2], "citations": [{"id": found[1], "quote": found[2]}]}]})

    async def areply(self, request: Request) -> Reply:
        return self.reply(request)


def test_no_risk_is_promised_for_a_model() -> None:
    steps = answer_with_model("q", target_risk=1.5)
    with pytest.raises(ConfigError, match="target_risk"):
        next(steps)
    chunks = [Chunk(id=str(at), source=f"{at}", content=FEE.format(fee)) for at, fee in enumerate((120, 120))]
    collection = MemoryCollection(chunks, embed)
    bounded = answer_with_model("What is the yearly fee?", threshold=0.0, target_risk=0.2)
    given = collection._drive(bounded, (), Silent())
    assert given.mode == "llm"
    assert any("target_risk=0.2 is not promised" in warning for warning in given.warnings)
    assert collection.ask("What is the yearly fee?", llm=Silent()).warnings == ()


def test_an_answer_holds_its_span() -> None:
    given = ask("When was the mill of Orrin sold?", "The mill of Orrin was sold in <1890>.", "The mill is old.")
    assert given.answer is not None
    assert given.span == "1890"
    assert given.citations[0].snippet == given.answer
    assert "&lt;<b>1890</b>&gt;" in answer_html(given)
    for bad in (
        {"span_start": 3, "span_end": None},
        {"span_start": 3, "span_end": 99},
        {"span_start": 5, "span_end": 5},
    ):
        with pytest.raises(ValueError, match="span"):
            GroundedAnswer.model_validate(given.model_dump() | bad)
    assert ask("Who is the queen?", "A mill.").span is None
