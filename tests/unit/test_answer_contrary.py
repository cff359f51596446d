"""Evidence that shares a question's words and tells of another office, act or condition."""

from __future__ import annotations

import pytest

from rag_pgvector.answer.conditions import contrary_to
from rag_pgvector.answer.evidence import extend, refers_back, source_of, units
from rag_pgvector.answer.offices import office_asked_for
from rag_pgvector.types import Chunk


@pytest.mark.parametrize(
    ("question", "told", "untold"),
    [
        ("Who is the caretaker of the house?", "Ben looks after it.", "Ada Holm (Chair), Ben Ng (Treasurer)"),
        ("Who was the first treasurer?", "Ada kept the accounts.", "Ada was its chairman."),
        ("Who is the head nurse of Ward 14?", "Sister Ada", "Ring Ward 14."),
        ("Who's the owner of the farm?", "The farm belongs to Ada.", "Ada sells the eggs of the farm."),
        ("Siapakah pengurus jabatan itu?", "Jabatan itu diketuai oleh Puan Ada.", "Hubungi Puan Ada di jabatan itu."),
        ("Who funded the study of bees?", "Paid for by the Tea Trust.", "We caught bees in Kyoto."),
        ("When was the society founded?", "It has met since 1990.", "Newsletter of the society, Spring 2025"),
    ],
)
def test_an_office_or_act_is_told_where_the_answer_is(question: str, told: str, untold: str) -> None:
    asked = office_asked_for(question)
    assert asked is not None
    assert asked.by(told)
    assert not asked.by(untold)


@pytest.mark.parametrize(
    "question", ["Who was the main enemy of Rome?", "Who heads it?", "Who wrote the report?", "What is a caretaker?"]
)
def test_other_questions_ask_for_no_office(question: str) -> None:
    assert office_asked_for(question) is None


@pytest.mark.parametrize(
    ("question", "text", "contrary"),
    [
        ("What is the notice after probation?", "During probation it is a week.", True),
        ("What is the notice after probation?", "During probation it is a week, afterwards a month.", False),
        ("What is the notice after probation?", "During the summer it is a week.", False),
        ("How much is a tent in high season?", "In low season a tent is £14.", True),
        ("How much is a tent in high season?", "Low season £14, high season £19.", False),
        ("How much is a tent?", "In low season a tent is £14.", False),
        ("Berapa lama notis selepas percubaan?", "Semasa percubaan, notis ialah seminggu.", True),
    ],
)
def test_a_contrary_condition_of_the_same_noun(question: str, text: str, contrary: bool) -> None:
    assert contrary_to(question, text) is contrary


@pytest.mark.parametrize(
    "second", ["The tenant may do so by nine.", "After that it is a week.", "Jika tidak, ia batal."]
)
def test_what_refers_back_is_read_with_the_sentence_before(second: str) -> None:
    text = f"The landlord may end it by six months. {second}\n\nIt is cold. Boil it."
    source = source_of(Chunk(content=text, document_id="d", char_start=0, char_end=len(text)), {"d": text})
    first, back, *_, last = found = units(source)
    assert back.lead == "The landlord may end it by six months."
    assert text[slice(*extend(source, found, back))] == f"{back.lead} {second}"
    assert refers_back(source, first, back)
    assert last.lead == ""
