"""Runs the questions of a golden set against a search and measures what comes back."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.config import Mode
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.formats import CorpusDocument, RetrievalSet
from rag_pgvector.evals.given import Search, as_search
from rag_pgvector.evals.metrics import Metric, bootstrap, metric
from rag_pgvector.evals.summary import by_numbers, summarise

__all__ = [
    "CollectionSearch",
    "Evaluation",
    "KeyedBy",
    "Search",
    "default_metrics",
    "evaluate",
    "evaluate_run",
    "temporary_collection",
]

KeyedBy = Literal["id", "document_id", "source"]

#: From so many rows on a temporary collection gets a vector index, as ``ingest`` builds it.
INDEX_ROWS = 10_000
_ADD_ROWS = 1_000


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
        slices: For each slice of the questions, how many it has and the mean of each metric over them.
    """

    metrics: Mapping[str, float]
    intervals: Mapping[str, list[float]]
    per_query: Mapping[str, Mapping[str, float]] = field(repr=False)
    rankings: Mapping[str, Sequence[str]] = field(repr=False)
    latency_ms: Mapping[str, float]
    seconds: float
    slices: Mapping[str, Mapping[str, float | int | None]] = field(default_factory=dict, repr=False)


def default_metrics(k: int) -> list[str]:
    """The measures of a search for ``k`` documents: of the first ten, and of all."""
    few = min(10, k)
    names = [f"nDCG@{few}", f"nDCG_exp@{few}", f"R@{few}", f"P@{few}", f"RR@{few}", f"Success@{few}", f"AP@{k}"]
    return names if few == k else [*names, f"R@{k}"]


def evaluate(
    search: Search | Any,
    golden: RetrievalSet,
    *,
    metrics: Sequence[str],
    k: int,
    by: str | Callable[[Any], str | None] = "id",
    progress: Callable[[int, int, str], None] | None = None,
) -> Evaluation:
    """Ask every judged question for ``k`` documents. Raises ConfigError for a metric that looks deeper than ``k``.

    ``search``: a function of a question and ``k``, a collection, or whatever ``given.as_search`` takes; ``by`` says
    what the judgements call a document.
    """
    measures = _measures(metrics, k)
    if isinstance(search, Collection):
        search = CollectionSearch(search, mode="hybrid", by=by)  # type: ignore[arg-type]  # it checks itself
    ask = as_search(search, by=by)
    rankings: dict[str, list[str]] = {}
    times = []
    for number, (id_, question) in enumerate(golden.queries.items(), 1):
        start = time.perf_counter()
        found = ask(question, k)
        times.append(time.perf_counter() - start)
        rankings[id_] = list(dict.fromkeys(found))
        if progress is not None:
            progress(number, len(golden.queries), "questions")
    p50, p95 = np.percentile(np.asarray(times) * 1e3, [50, 95])
    return _evaluation(rankings, golden, measures, {"p50": float(p50), "p95": float(p95)}, sum(times))


def evaluate_run(rankings: Mapping[str, Sequence[str]], golden: RetrievalSet, *, metrics: Sequence[str]) -> Evaluation:
    """Measure rankings that somebody made before (``trec.read_run``). Questions that it lacks count as 0."""
    known = {id_: list(dict.fromkeys(rankings.get(id_, ()))) for id_ in golden.queries}
    return _evaluation(known, golden, _measures(metrics, None), {}, 0.0)


def _measures(metrics: Sequence[str], k: int | None) -> dict[str, Metric]:
    measures = {}
    for name in metrics:
        measures[name], depth = metric(name)
        if k is not None and depth > k:
            raise ConfigError(f"metric {name!r} looks {depth} deep, and k is {k}: search deeper")
    return measures


def _evaluation(
    rankings: Mapping[str, list[str]],
    golden: RetrievalSet,
    measures: Mapping[str, Metric],
    latency: Mapping[str, float],
    seconds: float,
) -> Evaluation:
    per_query = {
        id_: {name: measure(rankings[id_], golden.qrels[id_]) for name, measure in measures.items()}
        for id_ in golden.queries
    }
    columns = {name: [values[name] for values in per_query.values()] for name in measures}
    slices = golden.slices or by_numbers(golden.queries)
    return Evaluation(
        metrics={name: float(np.mean(values)) for name, values in columns.items()},
        intervals={name: bootstrap(values) for name, values in columns.items()},
        per_query=per_query,
        rankings=rankings,
        latency_ms=latency,
        seconds=seconds,
        slices=summarise(per_query, list(measures), slices).slices,
    )


class CollectionSearch:
    """A collection as a ``Search``; it counts the plans that ran, and keeps their warnings.

    ``by`` says what the judgements call a document: the chunk's id, its ``document_id`` or its ``source``. Of a
    document with several chunks the best one counts; so many chunks are fetched that ``k`` documents can come out.
    """

    def __init__(self, collection: Collection, *, mode: Mode, by: KeyedBy = "id") -> None:
        if by not in get_args(KeyedBy):
            raise ConfigError(f"by={by!r:.40}: use {', '.join(get_args(KeyedBy))}")
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
            collection.add(
                [Chunk(id=each.id, content=each.content, source=each.id, embedding=placeholder) for each in part]
            )
            if progress is not None:
                progress(start + len(part), len(full), "documents")
        if mode != "keyword":
            collection.build_index(min_rows=INDEX_ROWS)
        yield collection
    finally:
        collection.drop()
