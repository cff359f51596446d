"""Re-ranking: a slower, better judge reads the question together with each of the chunks that a search found.

    found = docs.search(question, k=50)
    best = rerank(question, found, CrossEncoderReranker("cross-encoder/ms-marco-MiniLM-L6-v2"), k=5)

No connection is held meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from rag_pgvector.errors import ConfigError, EmbeddingError, MissingDependencyError, RagPgvectorError
from rag_pgvector.types import ScoredChunk, SearchResult

__all__ = ["CrossEncoderReranker", "Reranker", "arerank", "rerank"]


class Reranker(Protocol):
    """Judges texts by a question. It may be called from several threads at once."""

    def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One score per text, higher-better, in the order of the texts."""


def rerank(query: str, found: SearchResult, reranker: Reranker, *, k: int | None = None) -> SearchResult:
    """The chunks found in the order of the re-ranker's scores, the best ``k`` of them (``None``: all).

    ``score`` is the re-ranker's, ``distance`` and ``plan`` are the search's. Of equal scores the one found first stays
    first. Raises ConfigError; EmbeddingError where the re-ranker fails or gives something else than one number a text.
    """
    if k is not None and (type(k) is not int or k < 1):
        raise ConfigError(f"k={k!r}: use a whole number from 1")
    if not isinstance(query, str) or not query.strip():
        raise ConfigError(f"question {query!r:.80}: use a non-empty text")
    if not callable(getattr(reranker, "rerank", None)):
        raise ConfigError(f"reranker={reranker!r:.80}: give an object with rerank(query, texts)")
    if not found:
        return found
    who = type(reranker).__name__
    try:
        scores = np.asarray(reranker.rerank(query, [hit.chunk.content for hit in found]), dtype=np.float64)
    except RagPgvectorError:
        raise
    except Exception as error:
        raise EmbeddingError(f"re-ranker {who} failed: {type(error).__name__}: {error}") from error
    if scores.shape != (len(found),) or not np.isfinite(scores).all():
        raise EmbeddingError(f"re-ranker {who}: {len(found)} texts need as many finite scores, not {scores!r:.80}")
    best = np.argsort(-scores, kind="stable")[:k].tolist()
    return SearchResult([ScoredChunk(found[i].chunk, float(scores[i]), found[i].distance) for i in best], found.plan)


async def arerank(query: str, found: SearchResult, reranker: Reranker, *, k: int | None = None) -> SearchResult:
    """``rerank`` in a thread, which leaves the event loop free."""
    return await asyncio.to_thread(rerank, query, found, reranker, k=k)


class CrossEncoderReranker:
    """A cross-encoder of the sentence-transformers library. The model and torch load at first use.

    Args:
        model: A folder, or a name on the Hugging Face hub, of a model with one output.
        device: ``cpu``, ``cuda`` ...; ``None`` takes a GPU where there is one.
        batch_size: Pairs judged at a time.
        max_length: Tokens of a pair that are read; ``None`` leaves the model's own limit.

    Raises MissingDependencyError without the extra ``local``, EmbeddingError where the model cannot be loaded.
    """

    def __init__(
        self, model: str, *, device: str | None = None, batch_size: int = 32, max_length: int | None = None
    ) -> None:
        self.name = model
        self._device, self._batch_size, self._max_length = device, batch_size, max_length
        self._lock = threading.Lock()
        self._model: Any = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def rerank(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """One score per text, as the model gives it (a probability where it ends in a sigmoid)."""
        if not texts:
            return []
        pairs = [(query, text) for text in texts]
        with self._lock:  # the tokeniser's settings are set at each call, which fails when two threads come at once
            model = self._loaded()
            scores = np.asarray(model.predict(pairs, batch_size=self._batch_size, show_progress_bar=False))
        if scores.ndim != 1:
            raise EmbeddingError(f"model {self.name!r} gives {scores.shape[-1]} outputs: a re-ranker has one")
        found: list[float] = scores.astype(np.float64).tolist()
        return found

    def _loaded(self) -> Any:
        if self._model is None:
            try:
                from sentence_transformers import CrossEncoder
            except ModuleNotFoundError as error:
                raise MissingDependencyError("sentence-transformers", "local") from error
            try:
                self._model = CrossEncoder(self.name, device=self._device, max_length=self._max_length)
            except Exception as error:
                raise EmbeddingError(
                    f"re-ranker {self.name!r} could not be loaded ({type(error).__name__}: {error}): name a folder or "
                    "a model of the Hugging Face hub"
                ) from error
        return self._model
