"""A default that is asked for: what only describes the setting is no answer."""

from __future__ import annotations

import pytest

from rag_pgvector.answer.defaults import default_asked_for, has_no_subject
from rag_pgvector.answer.lexical import read_query

DESCRIBED = "`pool.depth` is how many jobs wait."
TOLD = f"{DESCRIBED} The default is 12."


@pytest.mark.parametrize(
    ("question", "yes", "no"),
    [
        (
            "What is the default of pool.depth?",
            [TOLD, "pool.depth: int = 12", "pool.depth (12 by default)"],
            [DESCRIBED],
        ),
        (
            "What is the default of pool.depth?",
            [],
            ["The default is 12.", "pool.depths == 3", "The default of d is 3."],
        ),
        ("What is the default value of the timeout?", ["Timeouts default to 5 s."], ["A timeout of 9 s is too long."]),
        ("What is m's default?", ["`m`: links. The default is 16."], ["`n`: links. The default is 16."]),
        ("Apakah nilai lalai bagi pool.depth?", [TOLD, "Nilai lalai pool.depth ialah 12."], [DESCRIBED]),
        ("How many jobs wait by default?", ["By default 12 jobs wait."], ["Up to 90 jobs wait."]),
        ("By default, how long does a client wait?", ["A client waits (default 30)."], ["A client waits a day."]),
    ],
)
def test_what_can_tell_a_default(question: str, yes: list[str], no: list[str]) -> None:
    default = default_asked_for(read_query(question))
    assert default is not None
    assert [text for text in [*yes, *no] if default.told_by(text)] == yes


def test_a_description_without_the_default_is_no_rival() -> None:
    default = default_asked_for(read_query("What is the default of pool.depth?"))
    assert default is not None
    assert [default.only_described_by(text) for text in (DESCRIBED, TOLD, "The default is 3.")] == [True, False, False]


@pytest.mark.parametrize(
    "question",
    ["How do I change the default port?", "Does it retry by default?", "What is pool.depth?", "Who defaulted?"],
)
def test_other_questions_are_left_alone(question: str) -> None:
    assert default_asked_for(read_query(question)) is None


def test_a_default_without_a_subject() -> None:
    assert has_no_subject(TOLD, len(DESCRIBED) + 1)
    assert has_no_subject("Defaults to 3.", 0)
    assert not has_no_subject(TOLD, 0)
    assert not has_no_subject("The default of `m` is 3.", 0)
