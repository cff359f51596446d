"""Runs the questions of a golden set against a search and measures what comes back."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.config import Mode
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.formats import CorpusDocument, RetrievalSet
from rag_pgvector.evals.metrics import bootstrap, metric

__all__ = [
    "CollectionSearch",
    "Evaluation",
    "KeyedBy",
    "Search",
    "default_metrics",
    "evaluate",
    "temporary_collection",
]

KeyedBy = Literal["id", "document_id", "source"]

#: From so many rows on a temporary collection gets a vector index, as ``ingest`` builds it.
INDEX_ROWS = 10_000
_ADD_ROWS = 1_000


class Search(Protocol):
    """What is evaluated: ids of documents for a question, best first. Any retriever becomes one with a lambda."""

    def __call__(self, question: str, k: int, /) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a search reached on a golden set.

    Attributes:
        metrics: The mean of each metric over all judged questions.
        intervals: Its 95 % bootstrap interval over the questions, ``[low, high]``.
        per_query: Each metric of each question, by the question's id.
        rankings: The ids found for each question, best first.
        latency_ms: p50 and p95 of a search, the question's embedding included.
        seconds: How long all searches took.
    """

    metrics: Mapping[str, float]
    intervals: Mapping[str, list[float]]
    per_query: Mapping[str, Mapping[str, float]] = field(repr=False)
    rankings: Mapping[str, Sequence[str]] = field(repr=False)
    latency_ms: Mapping[str, float]
    seconds: float


def default_metrics(k: int) -> list[str]:
    """The measures of a search for ``k`` documents: of the first ten, and of all."""
    few = min(10, k)
    names = [f"nDCG@{few}", f"nDCG_exp@{few}", f"R@{few}", f"P@{few}", f"RR@{few}", f"Success@{few}", f"AP@{k}"]
    return names if few == k else [*names, f"R@{k}"]


def evaluate(search: Search, golden: RetrievalSet, *, metrics: Sequence[str], k: int) -> Evaluation:
    """Ask every judged question for ``k`` documents. Raises ConfigError for a metric that looks deeper than ``k``."""
    measures = {}
    for name in metrics:
        measures[name], depth = metric(name)
        if depth > k:
            raise ConfigError(f"metric {name!r} looks {depth} deep, and k is {k}: search deeper")
    rankings: dict[str, list[str]] = {}
    times = []
    for id_, question in golden.queries.items():
        start = time.perf_counter()
        found = search(question, k)
        times.append(time.perf_counter() - start)
        rankings[id_] = list(dict.fromkeys(found))
    per_query = {
        id_: {name: measure(rankings[id_], golden.qrels[id_]) for name, measure in measures.items()}
        for id_ in golden.queries
    }
    columns = {name: [values[name] for values in per_query.values()] for name in measures}
    p50, p95 = np.percentile(np.asarray(times) * 1e3, [50, 95])
    return Evaluation(
        metrics={name: float(np.mean(values)) for name, values in columns.items()},
        intervals={name: bootstrap(values) for name, values in columns.items()},
        per_query=per_query,
        rankings=rankings,
        latency_ms={"p50": float(p50), "p95": float(p95)},
        seconds=sum(times),
    )


class CollectionSearch:
    """A collection as a ``Search``; it counts the plans that ran, and keeps their warnings.

    ``by`` says what the judgements call a document: the chunk's id, its ``document_id`` or its ``source``. Of a
    document with several chunks the best one counts; so many chunks are fetched that ``k`` documents can come out.
    """

    def __init__(self, collection: Collection, *, mode: Mode, by: KeyedBy = "id") -> None:
        self._collection = collection
        self._options = SearchOptions(mode=mode)
        self._by = by
        self.plans: Counter[str] = Counter()
        self.warnings: Counter[str] = Counter()

    def __call__(self, question: str, k: int, /) -> list[str]:
        wanted = k
        while True:
            result = self._collection.search(question, k=wanted, options=self._options)
            found = list(dict.fromkeys(key for hit in result if (key := getattr(hit.chunk, self._by)) is not None))
            if len(found) >= k or len(result) < wanted or self._by == "id":
                break
            wanted *= 4
        self.plans[result.plan.kind] += 1
        self.warnings.update(result.plan.warnings)
        return found[:k]


@contextmanager
def temporary_collection(
    db: Database,
    documents: Sequence[CorpusDocument],
    *,
    mode: Mode,
    embedder: Any = None,
    config: Mapping[str, Any] | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Iterator[Collection]:
    """A collection of a corpus, one chunk per document, under a name of its own; dropped at the end, whatever happens.

    Documents without any text are left out: there is nothing to find them by. For ``keyword`` nothing is embedded.
    ``config`` holds further options of ``CollectionConfig``.
    """
    options = dict(config or {})
    if mode == "keyword":
        options["dimensions"] = 1
    name = f"eval_{uuid.uuid4().hex[:16]}"
    collection = db.collection(name, config=CollectionConfig(**options), embedder=embedder)
    try:
        full = [document for document in documents if document.content.strip()]
        placeholder = [1.0] if mode == "keyword" else None
        for start in range(0, len(full), _ADD_ROWS):
            part = full[start : start + _ADD_ROWS]
            collection.add([Chunk(id=each.id, content=each.content, embedding=placeholder) for each in part])
            if progress is not None:
                progress(start + len(part), len(full), "documents")
        if mode != "keyword":
            collection.build_index(min_rows=INDEX_ROWS)
        yield collection
    finally:
        collection.drop()
