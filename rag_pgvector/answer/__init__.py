"""Grounded answers: verbatim citations, a confidence that means something, or the reason why there is no answer.

``answer`` is a generator of steps (``rag_pgvector.answer.steps``); ``Collection.ask`` and ``Collection.aask`` drive it.
"""

from __future__ import annotations

from rag_pgvector.answer.route import answer
from rag_pgvector.answer.types import Citation, FailureMode, GroundedAnswer, PredictResponse, RejectedCitation

__all__ = ["Citation", "FailureMode", "GroundedAnswer", "PredictResponse", "RejectedCitation", "answer"]
