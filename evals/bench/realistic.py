"""Vectors for the search benchmarks: real ones of MiniLM, perturbed to as many as are wanted, or clusters where the
research data is not at hand. Which of the two it was stands in the report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Vectors", "clusters", "kept_vectors", "perturbed", "unit"]

Matrix = NDArray[np.float32]

SETS = ("ir_scifact", "ir_cranfield", "ir_cisi")
SENTENCES = 3_000
QUESTIONS = 300
_CLUSTERS = 100


@dataclass(frozen=True)
class Vectors:
    """``rows`` ``(n, dimensions)`` and ``queries`` ``(q, dimensions)`` of length 1, and where they come from."""

    rows: Matrix
    queries: Matrix
    origin: str


def unit(matrix: NDArray[np.floating]) -> Matrix:
    found: Matrix = (matrix / np.linalg.norm(matrix, axis=-1, keepdims=True)).astype(np.float32)
    return found


def kept_vectors(file: Path | None, make: Callable[[], Vectors]) -> Vectors:
    """Those in ``file``, else those that ``make`` makes, which are kept there from then on."""
    if file is None:
        return make()
    if not file.is_file():
        made = make()
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        np.savez(file, rows=made.rows, queries=made.queries, origin=np.array(made.origin))
    with np.load(file) as found:
        return Vectors(found["rows"], found["queries"], str(found["origin"]))


def perturbed(data: Path, rows: int, queries: int, *, seed: int = 7) -> Vectors:
    """Sentences of BEIR-layout folders, mixed in pairs with noise on top; the queries are those folders' own."""
    from rag_pgvector.embedding import resolve_embedder

    draw = np.random.default_rng(seed)
    sentences = sorted({text for name in SETS for text in _sentences(data / name / "corpus.jsonl")})
    questions = sorted({text for name in SETS for text in _texts(data / name / "queries.jsonl")})
    chosen = [sentences[i] for i in draw.permutation(len(sentences))[:SENTENCES]]
    asked = [questions[i] for i in draw.permutation(len(questions))[: min(queries, QUESTIONS)]]
    embedder = resolve_embedder(None)
    base = unit(np.asarray(embedder.embed_documents(chosen)))
    mixed = draw.uniform(0, 0.3, size=(rows, 1))
    noise = 0.35 * unit(draw.standard_normal((rows, base.shape[1]), dtype=np.float32))
    one, two = (base[draw.integers(len(base), size=rows)] for _ in range(2))
    return Vectors(
        unit((1 - mixed) * one + mixed * two + noise),
        unit(np.asarray(embedder.embed_documents(asked))),
        f"{len(chosen)} sentences of {', '.join(SETS)} by MiniLM, mixed in pairs with noise of length .35; "
        f"{len(asked)} questions of the same folders, as they are",
    )


def clusters(rows: int, queries: int, *, dimensions: int = 384, seed: int = 7) -> Vectors:
    """Gaussian clusters, and queries that are rows with noise."""
    draw = np.random.default_rng(seed)
    centres = draw.standard_normal((_CLUSTERS, dimensions), dtype=np.float32)
    vectors = unit(
        centres[draw.integers(_CLUSTERS, size=rows)] + draw.standard_normal((rows, dimensions), dtype=np.float32)
    )
    noise = 0.5 * unit(draw.standard_normal((queries, dimensions), dtype=np.float32))
    return Vectors(vectors, unit(vectors[draw.integers(rows, size=queries)] + noise), f"{_CLUSTERS} Gaussian clusters")


def _texts(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield str(json.loads(line)["text"])


def _sentences(path: Path) -> Iterator[str]:
    for text in _texts(path):
        yield from (part for part in re.split(r"(?<=[.!?])\s+", text) if 40 < len(part) < 220)
