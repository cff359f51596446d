"""How like texts are to a question: by their vectors, and token by token where the embedder shows its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.embedding.protocol import Embedder, TokenVectors, Vectors

__all__ = ["Likeness", "alikeness", "late_interaction", "likeness"]


@dataclass(frozen=True, slots=True)
class Likeness:
    """Of some texts to one question.

    Attributes:
        cosines: Of their vectors, ``(n,)``, -1 to 1; 0 where one has no direction.
        tokens: ``late_interaction``, ``(n, 2)``; None where the embedder has no ``token_vectors``.
    """

    cosines: NDArray[np.float64]
    tokens: NDArray[np.float64] | None = None


def likeness(embedder: Embedder, question: str, texts: Sequence[str], *, tokens: bool = True) -> Likeness:
    """Embeds the question and the texts in one call. ``tokens=False``: by vectors alone. Raises EmbeddingError."""
    many = getattr(embedder, "token_vectors", None) if tokens else None
    found: TokenVectors | None = many([question, *texts]) if many is not None else None
    if found is None:
        return Likeness(_cosines(embedder.embed_documents([question, *texts])))
    vectors, states = found
    return Likeness(_cosines(vectors), np.array([late_interaction(states[0], each) for each in states[1:]]))


async def alikeness(embedder: Embedder, question: str, texts: Sequence[str], *, tokens: bool = True) -> Likeness:
    """``likeness`` that leaves the event loop free."""
    many = getattr(embedder, "atoken_vectors", None) if tokens else None
    found: TokenVectors | None = await many([question, *texts]) if many is not None else None
    if found is None:
        return Likeness(_cosines(await embedder.aembed_documents([question, *texts])))
    vectors, states = found
    return Likeness(_cosines(vectors), np.array([late_interaction(states[0], each) for each in states[1:]]))


def late_interaction(question: Vectors, text: Vectors) -> tuple[float, float]:
    """How near each of the question's tokens finds one in the text, as two numbers from -1 to 1, both 0 for no tokens.

    The mean, over the question's tokens, of the greatest cosine to a token of the text; and the same over the third of
    them that find least: most words of a question are in what answers it and in what only speaks of the same thing.

    Source: Khattab and Zaharia 2020, "ColBERT" (their sum, here means, since they are compared between questions).

    Args:
        question: Its tokens' vectors, normalised, ``(tokens, dimensions)``.
        text: The same.
    """
    if not len(question) or not len(text):
        return 0.0, 0.0
    found = np.sort((question @ text.T).max(axis=1))
    return float(found.mean()), float(found[: max(1, len(found) // 3)].mean())


def _cosines(vectors: Vectors) -> NDArray[np.float64]:
    found = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(found, axis=1, keepdims=True)
    directions = found / np.where(norms > 0, norms, 1.0)
    return np.asarray(np.nan_to_num(directions[1:] @ directions[0]), dtype=np.float64)
