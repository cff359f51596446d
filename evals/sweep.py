"""Recall against latency: the same questions through the vector index at several settings, and exactly."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rag_pgvector import Collection, SearchOptions
from rag_pgvector.errors import ConfigError

__all__ = ["EF_SEARCH", "sweep"]

EF_SEARCH = (10, 20, 40, 80, 120, 200, 400)


def sweep(
    collection: Collection,
    questions: Sequence[str],
    *,
    k: int = 10,
    ef_search: Sequence[int] = EF_SEARCH,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[dict[str, Any]]:
    """Points ``{"name", "ef_search", "ms", "recall"}``: p50 of a search, its embedding left out, and the share of the
    ``k`` nearest chunks that it found. What is nearest, the exact search says, which is the last point.

    Raises ConfigError where there are no questions, or no HNSW index to walk through.
    """
    status = collection.index_status()
    if status.method != "hnsw" or status.state != "valid":
        raise ConfigError(
            f"a sweep needs an HNSW index, and that of {collection.name!r} is {status.method}, {status.state}: "
            "build_index() makes one, or 'rag-pgvector index build'"
        )
    if not questions:
        raise ConfigError("a sweep needs questions")
    vectors = [collection.embedder.embed_query(text) for text in questions]
    settings = [SearchOptions(mode="dense", exact=True)]
    settings += [SearchOptions(mode="dense", exact=False, ef_search=ef) for ef in ef_search]
    truth: list[set[str | None]] = []
    points = []
    for done, options in enumerate(settings):
        times, found = [], []
        for vector in vectors:
            start = time.perf_counter()
            hits = collection.search(vector=vector, k=k, options=options)
            times.append(time.perf_counter() - start)
            found.append({hit.chunk.id for hit in hits})
        truth = truth or found
        shares = [len(ours & best) / len(best) for ours, best in zip(found, truth, strict=True) if best]
        points.append(
            {
                "name": "exact" if options.exact else "hnsw",
                "ef_search": None if options.exact else options.ef_search,
                "ms": float(np.median(times)) * 1e3,
                "recall": float(np.mean(shares)) if shares else 1.0,
            }
        )
        if progress is not None:
            progress(done + 1, len(settings), "settings")
    return [*points[1:], points[0]]
