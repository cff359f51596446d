"""The invariants of answers and citations."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from rag_pgvector.answer import Citation, GroundedAnswer, PredictResponse, answer
from rag_pgvector.errors import ConfigError

HASH = "0" * 64


def citation(**fields: Any) -> Citation:
    given: dict[str, Any] = {
        "source": "a.md",
        "snippet": "four",
        "page_or_row": None,
        "char_start": 3,
        "char_end": 7,
        "chunk_id": "a:0",
        "content_sha256": HASH,
    }
    return Citation(**(given | fields))


def test_a_span_is_as_long_as_its_snippet() -> None:
    assert citation(snippet="né€😀").char_end == 7
    with pytest.raises(ValidationError, match="as long as the snippet"):
        citation(char_end=8)


@pytest.mark.parametrize(
    "fields",
    [
        {"snippet": "", "char_end": 3},
        {"char_start": -1, "char_end": 3},
        {"retrieval_score": math.nan},
        {"answer_start": 2},
        {"answer_start": 2, "answer_end": 2},
        {"content_sha256": "abc"},
        {"match": "fuzzy"},
        {"colour": "red"},
    ],
)
def test_citations_that_cannot_be(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        citation(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"answer": "yes"},
        {"answer": None, "citations": [citation()]},
        {"answer": "", "citations": [citation()]},
        {"answer": "yes", "citations": [citation()], "confidence": 0.59},
        {"answer": "yes", "citations": [citation()], "failure_mode": "low_confidence"},
        {"answer": None, "citations": [citation()], "failure_mode": "low_confidence"},
        {"answer": "yes", "citations": [citation()], "near_misses": [citation()]},
        {"answer": "yes", "citations": [citation(answer_start=0, answer_end=4)]},
        {"answer": "yes", "citations": [citation()], "confidence": math.nan},
        {"answer": "yes", "citations": [citation()], "confidence": 1.01},
        {"answer": "yes", "citations": [citation()], "signals": {"x": math.inf}},
        {"answer": None, "failure_mode": "bad_luck"},
    ],
)
def test_answers_that_cannot_be(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GroundedAnswer(**({"confidence": 0.9, "failure_mode": None} | fields))


def test_an_answer_is_frozen() -> None:
    given = GroundedAnswer(answer="four", citations=(citation(),), confidence=0.9)
    with pytest.raises(ValidationError):
        given.answer = "five"  # type: ignore[misc]


def test_the_compact_view_has_four_keys() -> None:
    given = GroundedAnswer(answer="four", citations=(citation(page_or_row=2),), confidence=0.9)
    response = PredictResponse(prediction=given, latency_ms=12, model_version="1")
    assert json.loads(json.dumps(response.compact())) == {
        "prediction": {
            "answer": "four",
            "citations": [{"source": "a.md", "snippet": "four", "page_or_row": 2}],
            "confidence": 0.9,
            "failure_mode": None,
        },
        "latency_ms": 12,
        "model_version": "1",
    }


def test_json_there_and_back() -> None:
    given = GroundedAnswer(
        answer=None, confidence=0.0, failure_mode="insufficient_evidence", near_misses=(citation(columns=("a", "b")),)
    )
    assert GroundedAnswer.model_validate_json(given.model_dump_json()) == given


@pytest.mark.parametrize("question", [None, 5, b"text", ["text"], np.int64(3), object()])
def test_a_question_that_is_no_text_is_refused(question: Any) -> None:
    with pytest.raises(ConfigError, match="question="):
        answer(question)


@pytest.mark.parametrize("value", ["0.5", True, float("nan"), -0.1, 1.5, Decimal("NaN"), [0.5], np.array([0.1, 0.2])])
@pytest.mark.parametrize("name", ["threshold", "target_risk"])
def test_a_probability_that_is_none_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name}="):
        answer("text", **{name: value})


def test_numpy_s_numbers_are_probabilities() -> None:
    given: dict[str, Any] = {"threshold": np.float32(0.5), "target_risk": np.float64(0.1)}
    answer("text", **given)
