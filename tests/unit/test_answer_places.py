"""Places that a question names and nothing knows; versions, and dates that stand in headings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_pgvector.answer import GroundedAnswer
from rag_pgvector.answer.lexical import read_query, term_set, terms
from rag_pgvector.answer.places import strangers
from rag_pgvector.evals.in_memory import MemoryCollection, NoReader
from rag_pgvector.types import Chunk

KNOWN = (
    "The median household income of Malaysia was highest in Kuala Lumpur. Canadians earn more, and Norwegians. "
    "John Sheepshanks gave his pictures to the House of Representatives (HR)."
)


@pytest.mark.parametrize(
    ("question", "lacking"),
    [
        ("What is the median household income in Jakarta?", ["Jakarta"]),
        ("How many people came from New York, and what did they earn?", ["New York"]),
        ("Berapakah pendapatan penengah di Jakarta?", ["Jakarta"]),
        ("¿Cuál es el ingreso en Yakarta?", ["Yakarta"]),
        ("What is the income in Malawi?", ["Malawi"]),
        # Known, in another form or spelling, or by its initials.
        ("What is the median household income in Malaysia?", []),
        ("What is the income in Kuala Lumpur?", []),
        ("What do people earn in Canada, and in Norway?", []),
        ("What is in Sheeshanks?", []),
        ("Who sat in House Representatives?", []),
        # No place, or nothing that can be told.
        ("What does President Biden say of Acme?", []),
        ("How many jobs are named in Biden's speech?", []),
        ("What was earned in January and on Monday?", []),
        ("Is it in SQL, or in JSON?", []),
        ("What Is The Median Income In Jakarta?", []),
        ("WHAT IS THE INCOME IN JAKARTA?", []),
        ("Wie hoch ist das Haushaltseinkommen in Jakarta?", []),
        ("Describe it in short", []),
    ],
)
def test_places_that_nothing_knows(question: str, lacking: list[str]) -> None:
    assert strangers(question, [KNOWN], term_set(KNOWN)) == lacking


def embed(texts: Sequence[str]) -> NDArray[Any]:
    return np.array([[1.0 + text.casefold().count(letter) for letter in "abcdefghijklmnop"] for text in texts])


def collection(*texts: str, headings: Sequence[str] = ()) -> MemoryCollection:
    chunks = [
        Chunk(
            id=str(at),
            document_id=str(at),
            source=f"{at}.md",
            content=text,
            char_start=0,
            char_end=len(text),
            metadata={"headings": list(headings)},
        )
        for at, text in enumerate([*texts, "A road leads to the village of Orrin."])
    ]
    texts_ = {chunk.document_id or "": chunk.content for chunk in chunks}
    return MemoryCollection(chunks, embed, texts=texts_, reader=NoReader())  # vectors that say nothing, and no reader


INCOME = "The median income of a household in the city is 4,500 ringgit a month."


def test_a_place_that_nothing_knows_is_a_veto() -> None:
    question = "What is the median income of a household in Jakarta?"
    given = collection(INCOME).ask(question)
    assert (given.failure_mode, given.confidence) == ("insufficient_evidence", 0.0)
    assert given.near_misses[0].snippet == INCOME
    # Another chunk, a heading or a source that knows it is enough for the confidence to decide.
    assert collection(INCOME, "A flight to Jakarta takes two hours.").ask(question).answer == INCOME
    assert collection(INCOME, headings=["Jakarta in figures"]).ask(question).answer == INCOME


def test_versions() -> None:
    assert terms("v0.8.1 and 2.0.0") == ["0.8.1", "0.8", "and", "2.0.0", "2.0"]
    # Who asks about a series may be told of its releases; who asks about one of them, of that one.
    assert read_query("What is new in 2.0?").required == {"2.0"}
    assert read_query("What is new in v2.0.1?").required == {"2.0.1"}
    assert read_query("Which Python versions does it run on?").wants == "version"
    assert read_query("What is the release date?").wants != "version"
    # "When" asks for a date where it is the question's word, and not where it says in which case.
    assert read_query("Who led them when they entered the valley?").wants == "name"
    assert read_query("When using tools, what does it mean?").wants == ""
    # "Who" likewise.
    assert read_query("What happens to people who are late?").wants == ""
    assert read_query("By whom was it built?").wants == read_query("Who built it?").wants == "name"
    assert read_query("Bila butang ditekan, apa yang berlaku?").wants == ""
    for question in ("When did it end?", "Tell me when it ends.", "Since when is it open?", "Bila ia berakhir?"):
        assert read_query(question).wants == "date", question
    changed = collection("In 2.0.0 the extra dictionary was replaced by the other one.")
    assert changed.ask("What replaced the extra dictionary in 2.0?").failure_mode is None
    assert changed.ask("What replaced the extra dictionary in 2.0.1?").failure_mode == "insufficient_evidence"


LOG = """# Changes

## 0.8.0 (2024-10-30)

- Added iterative scans of the index
- Added casts of arrays

## 0.7.0 (2024-04-29)

- Added the halfvec type
"""


@pytest.mark.parametrize(
    ("question", "answer", "span"),
    [
        (
            "In which version did iterative scans of the index arrive?",
            "0.8.0 (2024-10-30)\nAdded iterative scans of the index",
            "0.8.0",
        ),
        ("When was the halfvec type added?", "0.7.0 (2024-04-29)\nAdded the halfvec type", "2024-04-29"),
        ("When was 0.7.0 released?", "0.7.0 (2024-04-29)\nAdded the halfvec type", "2024-04-29"),
        # Nobody asks when.
        ("What type was added?", "Added the halfvec type", None),
    ],
)
def test_the_heading_says_when(question: str, answer: str, span: str | None) -> None:
    given: GroundedAnswer = collection(LOG).ask(question)
    assert (given.answer, given.span) == (answer, span)
    assert given.answer is not None
    for each in given.citations:
        assert LOG[each.char_start : each.char_end] == each.snippet
        if each.answer_start is not None:
            assert given.answer[each.answer_start : each.answer_end] == each.snippet


def test_a_heading_alone_may_be_the_answer() -> None:
    log = "# Tea\n\n## Release of 2024-04-29\n\nMany drink it cold.\n\n## How to steep\n\nIn water."
    assert collection(log).ask("When was the release of tea?").answer == "## Release of 2024-04-29"
    assert collection(log).ask("What was the release of tea?").answer != "## Release of 2024-04-29"


def test_no_heading_beyond_what_may_be_shown() -> None:
    """The heading outside of the chunk is cited only where the chunk's metadata name it, and nothing around it."""
    start = LOG.index("Added casts")
    content = LOG[start : start + len("Added casts of arrays")]
    question = "When were casts of arrays added?"

    def ask(headings: list[str], k: int = 3) -> GroundedAnswer:
        chunk = Chunk(
            id="c",
            document_id="d",
            source="c.md",
            content=content,
            char_start=start,
            char_end=start + len(content),
            metadata={"headings": headings},
        )
        other = Chunk(id="o", document_id="o", source="o.md", content="A road leads to the village of Orrin.")
        return MemoryCollection([chunk, other], embed, texts={"d": LOG}).ask(question, k=k)

    shown = ask(["Changes", "0.8.0 (2024-10-30)"])
    assert [each.snippet for each in shown.citations] == [content, "0.8.0 (2024-10-30)"]
    assert shown.citations[1].before == shown.citations[1].after == ""
    assert ask([]).answer == content
    assert ask(["Changes", "0.8.0 (2024-10-30)"], k=1).answer == content


def test_a_year_alone_is_no_evidence() -> None:
    """The passage has the year, and nothing of what the question names."""
    text = "The fee for members was 2,022 ringgit in 2022, and the population of the club grew."
    question = "What was the population of Johor in 2022?"
    assert collection(text).ask(question).failure_mode == "insufficient_evidence"
    assert collection(f"{text} Johor is near.").ask(question).failure_mode is None
    assert collection(text, headings=["Clubs of Johor"]).ask(question).failure_mode is None
    assert collection(text).ask("What was the population of the club in 2022?").failure_mode is None


def test_to_be_alone_is_no_evidence() -> None:
    """Where a veto leaves one candidate, its rivals are those that the veto took."""
    texts = ("The population of Orrin was large.", "The population grew.", "It was written in 2022 by many of Orrin.")
    given = collection(*texts).ask("What was the population of Orrin in 2022?")
    assert given.answer == texts[2]
    assert given.signals["margin"] < 0.5
