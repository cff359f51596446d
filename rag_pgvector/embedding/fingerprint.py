"""Telling embedding models apart by what they do, whatever wrapper they come in and whatever they are called."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from rag_pgvector.embedding.protocol import Embedder, Vectors

__all__ = ["PROBE", "fingerprint", "same_model"]

#: Embedded by every collection's model and stored: changing it makes every stored fingerprint worthless. Upper case,
#: digits, accents and another script are in it because tokenisers and normalisers differ in those.
PROBE = "The quick brown fox paid €12.50 for 3 cafés in São Paulo; 向量 is Chinese for VECTOR."

#: Reduced precision (bf16, fp16) of one model stays above it, other models stay far below.
_LEAST_COSINE = 0.999


def fingerprint(embedder: Embedder) -> Vectors:
    """The vector of ``PROBE`` as a document, ``(dimensions,)``. Raises EmbeddingError."""
    found: Vectors = embedder.embed_documents([PROBE])[0]
    return found


def same_model(a: ArrayLike, b: ArrayLike) -> bool:
    """Whether two fingerprints come from one model: equal length and a cosine of at least .999."""
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.shape != y.shape:
        return False
    norms = float(np.linalg.norm(x) * np.linalg.norm(y))
    return norms > 0 and float(x @ y) >= _LEAST_COSINE * norms
