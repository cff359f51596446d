"""An answer as the command line and the service give it: with its latency and the versions that made it."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rag_pgvector.answer.types import PredictResponse

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["model_version", "predict"]


def predict(
    collection: Collection,
    question: str,
    *,
    k: int | None = None,
    filter: Mapping[str, Any] | None = None,
    threshold: float | None = None,
    target_risk: float | None = None,
) -> PredictResponse:
    """``Collection.ask``, timed. Takes its arguments and raises what it raises."""
    started = time.perf_counter()
    prediction = collection.ask(question, k=k, filter=filter, threshold=threshold, target_risk=target_risk)
    elapsed = time.perf_counter() - started
    return PredictResponse(
        prediction=prediction, latency_ms=round(elapsed * 1000), model_version=model_version(collection)
    )


def model_version(collection: Collection) -> str:
    """What decides over an answer beside the data: the version of this package, and the embedder."""
    return f"rag-pgvector/{importlib.metadata.version('rag-pgvector')} {collection.embedder.name}"
