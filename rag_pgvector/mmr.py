"""Maximal marginal relevance: results that are near the question and unlike each other.

Carbonell and Goldstein, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing Summaries"
(SIGIR 1998): the next result is the candidate D with the largest ``lambda * sim(D, question) - (1 - lambda) * max
sim(D, chosen)``. As in LangChain and LlamaIndex, the first is the nearest one, whatever lambda is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from rag_pgvector.config import Distance
from rag_pgvector.errors import ConfigError
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.read import where
from rag_pgvector.table import Table
from rag_pgvector.types import SearchResult
from rag_pgvector.vectors import VectorParam, from_bytes

__all__ = ["check_mmr", "choose", "diverse", "order", "with_embeddings"]


def check_mmr(fetch_k: object, lambda_mult: object) -> None:
    """Raises ConfigError for what cannot be."""
    if type(fetch_k) is not int or fetch_k < 1:
        raise ConfigError(f"fetch_k={fetch_k!r}: use a whole number from 1")
    if isinstance(lambda_mult, bool) or not isinstance(lambda_mult, (int, float)) or not 0 <= lambda_mult <= 1:
        raise ConfigError(f"lambda_mult={lambda_mult!r}: use 0 (unlike each other) to 1 (near the question)")


def order(
    relevance: NDArray[np.floating], similarity: NDArray[np.floating], *, k: int, lambda_mult: float
) -> list[int]:
    """Which candidates to take, best first: at most ``k`` indices.

    Args:
        relevance: ``(n,)`` similarity to the question, higher-better.
        similarity: ``(n, n)`` similarity of the candidates to each other, on the same scale.
    """
    left = np.ones(len(relevance), dtype=bool)
    chosen: list[int] = []
    nearest = np.full(len(relevance), -np.inf)
    while len(chosen) < min(k, len(relevance)):
        value = relevance if not chosen else lambda_mult * relevance - (1 - lambda_mult) * nearest
        best = int(np.argmax(np.where(left, value, -np.inf)))  # of equals the one that stands first
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, similarity[best])
    return chosen


def choose(
    distances: Sequence[float], vectors: NDArray[np.float32], distance: Distance, *, k: int, lambda_mult: float
) -> list[int]:
    """``order`` for candidates by their distances to the question, ``(n,)``, and their vectors, ``(n, dimensions)``.

    Similarities follow the collection's distance, so that lambda 1 keeps a search's order: the cosine, the inner
    product, or ``1 - d²/2`` of the Euclidean distance. All three are the cosine for vectors of length 1.
    """
    matrix = vectors.astype(np.float64)
    to_question = np.asarray(distances, dtype=np.float64)
    if distance == "cosine":
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        matrix = matrix / np.where(lengths > 0, lengths, 1.0)
    similarity = matrix @ matrix.T
    if distance == "l2":
        squares = np.diag(similarity)
        similarity = 1 - (squares[:, None] + squares[None, :] - 2 * similarity) / 2
        relevance = 1 - to_question**2 / 2
    else:
        relevance = -to_question if distance == "inner_product" else 1 - to_question
    return order(relevance, similarity, k=k, lambda_mult=lambda_mult)


def diverse(
    candidates: SearchResult, vectors: Sequence[bytes | None], table: Table, *, k: int, lambda_mult: float
) -> SearchResult:
    """The candidates that ``choose`` takes, with their own scores and distances and the plan that found them.

    ``vectors`` are theirs as ``with_embeddings`` reads them; one that is None was deleted meanwhile and is left out.
    """
    kept = [(hit, vector) for hit, vector in zip(candidates, vectors, strict=True) if vector is not None]
    if not kept:
        return SearchResult([], candidates.plan)
    matrix = from_bytes([vector for _, vector in kept], table.config)
    distances = [hit.distance for hit, _ in kept if hit.distance is not None]
    chosen = choose(distances, matrix, table.config.distance, k=k, lambda_mult=lambda_mult)
    return SearchResult([kept[i][0] for i in chosen], candidates.plan)


def with_embeddings(table: Table, candidates: SearchResult, vector: VectorParam) -> Plan[list[bytes | None]]:
    """The stored vectors of these hits in pgvector's binary format; None for a hit that is no longer there.

    Seen from above its scopes, a tenant may hold several chunks of one id: the distance to ``vector``, the question's,
    tells them apart.
    """
    condition = where(table, ids=[str(hit.chunk.id) for hit in candidates])
    assert condition is not None
    query = sql.SQL("SELECT {id}, {e} {} %s::{}, {}({e}) FROM {} WHERE {e} IS NOT NULL AND {}").format(
        table.distance.operator,
        table.vector_type,
        sql.SQL("vector_send" if table.config.storage == "vector" else "halfvec_send"),
        table.identifier,
        condition[0],
        id=table.layout.id_text,
        e=table.layout.embedding_column,
    )
    rows = yield Execute(query, [vector, *condition[1]])
    by_id: dict[str, bytes] = {}
    same: dict[tuple[str, float], list[bytes]] = {}
    for id_, distance, stored in rows:
        by_id[id_] = stored
        same.setdefault((id_, distance), []).append(stored)
    found: list[bytes | None] = []
    for hit in candidates:
        exactly = same.get((str(hit.chunk.id), hit.distance or 0.0))
        found.append(exactly.pop(0) if exactly else by_id.get(str(hit.chunk.id)))
    return found
