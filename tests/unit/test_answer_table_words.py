"""Questions that use other words than the table does: abbreviations, codes, concepts, and an embedder's synonyms."""

from __future__ import annotations

import pytest

from rag_pgvector.evals.bench.answers_tables import verdict
from rag_pgvector.evals.bench.table_questions import questions
from rag_pgvector.evals.bench.table_worlds import tables
from tests.unit.tables_in_memory import World

TABLES = tables()
#: What needs the real model, or prose: ``make bench-answers`` asks them.
ASKED = [each for each in questions(TABLES) if each.kind != "document"]
#: Not answered yet: see docs/results.md.
MISSED = {
    "How many new electric cars were registered in May 2022?",
    "How many ringgit did a US dollar (USD) cost on 3 May 2021?",
}


@pytest.fixture(scope="module")
def world() -> World:
    return World(TABLES)


@pytest.mark.parametrize("kind", sorted({each.kind for each in ASKED}))
def test_every_kind_of_question_over_the_invented_tables(world: World, kind: str) -> None:
    wrong = {
        each.text: given
        for each in ASKED
        if each.kind == kind and verdict(each, given := world.ask(each.text), TABLES) != "right"
    }
    assert wrong.keys() <= MISSED, wrong


def test_a_share_is_no_share_of_something_else(world: World) -> None:
    for of in ("labour force was employed", "population was jobless", "jobless were women"):
        assert world.ask(f"What share of the {of} in June 2022?").answer is None


def test_a_synonym_is_one_for_the_embedder_alone() -> None:
    table = {"clinics/staff_2020.csv": "district,medics,porters\nMuar,41,9\nKulim,38,7\n"}
    question = "How many surgeons were there in Muar in 2020?"
    assert World(table).ask(question).answer is None
    given = World(table, same=[{"surgeons", "medics"}]).ask(question)
    assert given.answer is None  # no column is named: nothing says that it is the medics
    question = "How many medics orderlies were there in Muar in 2020?"
    assert World(table).ask(question).answer is None
    given = World(table, same=[{"orderlies", "medics"}]).ask(question)
    assert given.answer is not None
    assert given.answer.startswith("41 (medics")
    assert given.confidence < 0.95
    # What the embedder finds as near as it finds men and women is no synonym.
    alike = [{"orderlies", "medics", "imports", "exports"}]
    assert World(table, same=alike).ask(question).answer is None


@pytest.mark.parametrize(
    "question",
    [
        "How many registrations of cars not petrol were there in May 2022?",
        "What was the rate of deaths in Kedah in 2018?",
        "How much was a kilo of beef in Gemas in Atlantis in 2019?",
    ],
)
def test_a_value_negated_or_of_another_kind_is_not_answered(world: World, question: str) -> None:
    assert world.ask(question).answer is None
