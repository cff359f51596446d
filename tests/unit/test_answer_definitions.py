"""Questions for what something is prefer the sentence that says it."""

from __future__ import annotations

import pytest

from rag_pgvector.answer.definitions import term_asked_for
from tests.unit.test_answer_places import collection


@pytest.mark.parametrize(
    ("question", "says", "says_not"),
    [
        ("What is HNSW?", "HNSW (a graph) is an index for vectors.", "HNSW is slow to build."),
        ("What was Tymnet", "Tymnet was a network of packets.", "Tymnet was also connected to others."),
        (
            "What are T cells?",
            "T cells are white blood cells.",
            "T cells that matured in the thymus leave it and are active.",
        ),
        (
            "What does ef_search do?",
            "`ef_search` controls how long it looks.",
            "Raise `ef_search` for recall.",
        ),
        ("What does DTO mean?", "A DTO means an object for transfer.", "The DTO of an order is sent."),
        ("Apa itu pestisida?", "Pestisida atau pembasmi hama adalah bahan.", "Pestisida biasanya beracun."),
        ("Apakah yang dimaksud dengan ekologi?", "Ekologi diartikan sebagai ilmu.", "Istilah ekologi tua."),
        ("Siapakah Tun Perak?", "Tun Perak ialah bendahara.", "Tun Perak mengalahkan mereka."),
    ],
)
def test_a_definition(question: str, says: str, says_not: str) -> None:
    term = term_asked_for(question)
    assert term is not None
    assert term.defined_by(says)
    assert not term.defined_by(says_not)


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "What is the notice period after probation?",
        "What is the default value that the new parser uses?",
        "Who built it?",
        "Apakah warna bendera yang baru?",
    ],
)
def test_other_questions_ask_for_no_definition(question: str) -> None:
    assert term_asked_for(question) is None


def test_the_sentence_that_says_what_it_is_comes_first() -> None:
    says = "Pestisida atau pembasmi hama adalah bahan yang digunakan untuk mengendalikan organisme."
    assert collection("Pestisida, pestisida: beracun.", says).ask("Apa itu pestisida?").answer == says
