"""Measures of an answer and of its citations, by hand and against formulas written out another way."""

from __future__ import annotations

import re
import string
from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, jaccard_score

from rag_pgvector.evals.answer_metrics import (
    contains,
    exact_match,
    is_right,
    normalise,
    number_coverage,
    numbers_in,
    numeric_match,
    span_f1,
    span_iou,
    statement_coverage,
    statements,
    token_f1,
)

texts = st.text(alphabet="aA tThe.,'!-é 1", max_size=30)
spans = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(lambda pair: (min(pair), max(pair))), max_size=3)


def official(answer: str, truth: str) -> tuple[float, float]:
    """SQuAD 2's evaluation script: compute_exact and compute_f1."""

    def tokens(text: str) -> list[str]:
        text = "".join(char for char in text.lower() if char not in set(string.punctuation))
        return re.sub(r"\b(a|an|the)\b", " ", text).split()

    gold, found = tokens(truth), tokens(answer)
    common = sum((Counter(gold) & Counter(found)).values())
    if not gold or not found:
        return float(gold == found), float(gold == found)
    if common == 0:
        return float(gold == found), 0.0
    precision, recall = common / len(found), common / len(gold)
    return float(gold == found), 2 * precision * recall / (precision + recall)


@given(answer=texts, references=st.lists(texts, min_size=1, max_size=3))
def test_exact_match_and_f1_are_squads(answer: str, references: list[str]) -> None:
    both = [official(answer, each) for each in references]
    assert exact_match(answer, references) == max(exact for exact, _ in both)
    assert token_f1(answer, references) == pytest.approx(max(f1 for _, f1 in both), abs=1e-9)


def test_without_references_nothing_is_measured() -> None:
    assert exact_match("x", []) is token_f1("x", []) is numeric_match("x", ["none"]) is None


@given(ours=spans, gold=spans)
def test_spans_are_compared_as_scikit_learn_compares_labels(
    ours: list[tuple[int, int]], gold: list[tuple[int, int]]
) -> None:
    def flags(of: list[tuple[int, int]]) -> list[int]:
        return [int(any(start <= at < end for start, end in of)) for at in range(31)]

    if not any(flags(gold)):
        assert span_f1(ours, gold) is span_iou(ours, gold) is None
        return
    assert span_f1(ours, gold) == pytest.approx(f1_score(flags(gold), flags(ours), zero_division=0), abs=1e-9)
    assert span_iou(ours, gold) == pytest.approx(jaccard_score(flags(gold), flags(ours), zero_division=0), abs=1e-9)


@pytest.mark.parametrize(
    ("answer", "expected", "found"),
    [
        ("it is 64.", "64", True),
        ("it is 64,000", "64", False),
        ("it is 64.5", "64", False),
        ("14.5", "4.5", False),
        ("-1.2 in 2020", "1.2", False),
        ("-1.2 in 2020", "-1.2", True),
        ("2010-2012", "2012", True),
        ("from KOTA  BHARU\nto", "kota bharu", True),
        ("the <=> operator", "<=>", True),
        ("Kelantanese", "Kelantan", False),
        ("anything", "", False),
    ],
)
def test_contains(answer: str, expected: str, found: bool) -> None:
    assert contains(answer, expected) is found


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("RM13,325 and 4.5%", ["13325", "4.5"]),
        ("−1.2, -3, 2010-2012", ["-1.2", "-3", "2010", "2012"]),
        ("1,2,3 and 1.2.3 v2 x86", []),
        ("12,34", []),
        ("no. 5.", ["5"]),
        ("$(1,577.00)", ["1577.00"]),
    ],
)
def test_numbers(text: str, numbers: list[str]) -> None:
    assert numbers_in(text) == [Decimal(number) for number in numbers]


def test_numeric_match_is_exact_unless_told_otherwise() -> None:
    assert numeric_match("RM 13325.0 a month", ["13,325"]) == 1.0
    assert numeric_match("13,326", ["13,325"]) == 0.0
    assert numeric_match("13,326", ["13,325"], tolerance=0.001) == 1.0
    assert numeric_match("from 3 to 5", ["3 and 5"]) == 1.0
    assert numeric_match("3", ["3 and 5"]) == 0.0


def test_a_figure_is_right_by_its_value() -> None:
    assert is_right("13325 (mean_income_rm)", ["RM13,325"])
    assert is_right("1577", ["$1577.00"])
    assert not is_right("12", ["12 per cent of men"])
    assert is_right("Twelve, or 12 per cent of men", ["12 per cent of men"])


def test_normalise_keeps_every_script() -> None:
    assert normalise("The  Café, «an» 東京!") == "café « » 東京"


# ---------------------------------------------------------------------------------------------------------- citations


def test_sentences() -> None:
    answer = "One is 1.5 here. Two!\nThree"
    assert [answer[start:end] for start, end in statements(answer)] == ["One is 1.5 here.", "Two!", "Three"]


def test_a_sentence_is_carried_by_words_and_numbers() -> None:
    answer = "The rate was 6 % in May. It fell in June."
    rate, fell = (0, 24), (25, 41)
    assert statement_coverage(answer, [("In May the rate was 6 %.", rate), ("In June it fell.", fell)]) == 1.0
    assert statement_coverage(answer, [("In May the rate was 5 %.", rate), ("In June it fell.", fell)]) == 0.5
    assert statement_coverage(answer, [("In May the rate was 6 %.", rate)]) == 0.5
    assert statement_coverage(answer, [("Something else entirely", None)]) == 0.0
    assert statement_coverage(answer, []) == 0.0
    assert statement_coverage(" ", []) is None


def test_every_number_stands_in_a_citation() -> None:
    assert number_coverage("6 of 1,000", ["it is 1000", "it is 6"]) == 1.0
    assert number_coverage("6 of 1,000", ["it is 1000 and 5"]) == 0.5
    assert number_coverage("none", ["x"]) is None
