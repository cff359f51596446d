"""LlamaIndex's queries as calls of a collection: which mode, how many, with which filter and which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from llama_index.core.vector_stores.types import VectorStoreQuery

from rag_pgvector.arguments import as_ids
from rag_pgvector.config import SearchOptions
from rag_pgvector.errors import ConfigError
from rag_pgvector.filters import And, Filter, KeyIn
from rag_pgvector.filters.llamaindex import parse_metadata_filters
from rag_pgvector.llamaindex.calls import Asking
from rag_pgvector.types import ScoredChunk

__all__ = ["Arms", "Found", "Request", "condition", "find", "of_both", "read_query"]

#: As llama-index-vector-stores-postgres has them.
MMR_PREFETCH_FACTOR = 4.0
MMR_THRESHOLD = 0.5

_KNOWN = ("hnsw_ef_search", "ivfflat_probes", "mmr_threshold", "mmr_prefetch_factor", "mmr_prefetch_k")
_MODES = {
    "default": "dense",
    "sparse": "words",
    "text_search": "words",
    "hybrid": "hybrid",
    "mmr": "mmr",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A hit, and what a ``customize_query_fn`` selected beside it."""

    hit: ScoredChunk
    custom: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A query, checked.

    Attributes:
        mode: How to search: ``dense``, ``words``, ``hybrid`` or ``mmr``; ``list`` searches nothing: what the filter
            lets pass.
        vector: The question's embedding.
        words: Its text.
        k: Most results of the dense arm, and of ``dense`` and ``mmr``.
        words_k: Most results of the arm of words.
        hybrid_k: Most results of ``hybrid``; None keeps those of both arms.
        alpha: 1 ranks by vectors alone, 0 by words alone; None leaves it to the collection and the question.
        prefetch_k: Candidates of ``mmr``.
        threshold: 1 ranks them by relevance alone, 0 by difference.
        filter: Which chunks to search.
        options: How.
        extra: Keywords for a ``customize_query_fn``.
    """

    mode: str
    vector: Sequence[float] | None
    words: str | None
    k: int
    words_k: int
    hybrid_k: int | None
    alpha: float | None
    prefetch_k: int
    threshold: float
    filter: Filter | None
    options: SearchOptions | None
    extra: Mapping[str, Any] | None = None


class Arms(Protocol):
    """How a store searches: our collections and a peer's table differ in it."""

    def dense(self, request: Request, k: int) -> Asking[list[Found]]: ...

    def words(self, request: Request, k: int) -> Asking[list[Found]]: ...

    def hybrid(self, request: Request) -> Asking[list[Found]]: ...

    def mmr(self, request: Request) -> Asking[list[Found]]: ...

    def listed(self, request: Request) -> Asking[list[Found]]: ...


def find(arms: Arms, request: Request) -> Asking[list[Found]]:
    """Run a request."""
    if request.mode == "dense":
        return (yield from arms.dense(request, request.k))
    if request.mode == "words":
        return (yield from arms.words(request, request.words_k))
    if request.mode == "hybrid":
        return (yield from arms.hybrid(request))
    if request.mode == "list":
        return (yield from arms.listed(request))
    return (yield from arms.mmr(request))


def condition(
    filters: Any, *, ids: Sequence[str] | None = None, document_ids: Sequence[str] | None = None
) -> Filter | None:
    """One filter of LlamaIndex's filters, node ids and document ids; None where all are. Raises FilterError."""
    parts: list[Filter] = []
    parsed = parse_metadata_filters(filters)
    if parsed is not None:
        parts.append(parsed)
    for column, values in (("id", as_ids(ids)), ("document_id", as_ids(document_ids))):
        if values is not None:
            parts.append(KeyIn(column, tuple(values)))  # type: ignore[arg-type]
    return None if not parts else parts[0] if len(parts) == 1 else And(tuple(parts))


def read_query(
    query: VectorStoreQuery, options: SearchOptions | None, given: Mapping[str, Any], *, custom: bool = False
) -> Request:
    """Check a query and the keywords beside it.

    An empty ``node_ids`` is no restriction, since ``VectorStoreIndex.as_retriever`` always sends one; an empty
    ``doc_ids`` finds nothing. Without words, as VectorIndexAutoRetriever asks where a filter says all, it is the vector
    alone that counts, and without a vector the filter. Raises ConfigError, FilterError.
    """
    mode = getattr(query.mode, "value", query.mode)
    how = _MODES.get(str(mode))
    if how is None:
        raise ConfigError(f"mode={mode!r}: use default, sparse (text_search), hybrid or mmr")
    if not custom and (unknown := sorted(given.keys() - set(_KNOWN))):
        raise ConfigError(f"query() got the unknown keyword {unknown[0]!r}: use {', '.join(_KNOWN)}")
    vector = query.query_embedding
    words = query.query_str
    if how == "dense" and vector is None and words:
        how = "words"  # nobody embedded the question
    restriction = condition(query.filters, ids=query.node_ids or None, document_ids=query.doc_ids)
    blank = not words.strip() if isinstance(words, str) else how == "dense"
    if restriction is not None and blank:
        how = "list" if vector is None else "mmr" if how == "mmr" else "dense"
    if vector is None and how not in ("words", "list"):
        if words is not None and blank:
            raise ConfigError(f"query_str is {words!r:.60}: use a non-empty question")
        raise ConfigError(f"{_upper(how)} query requires query_embedding: embed the question first")
    if how in ("words", "hybrid") and not (isinstance(words, str) and words.strip()):
        raise ConfigError(f"query_str must be specified for a {mode} query: it is {words!r:.60}")
    k = _count("similarity_top_k", query.similarity_top_k)
    prefetch_k, threshold = _mmr(query, given, k) if how == "mmr" else (k, MMR_THRESHOLD)
    ef_search, probes = given.get("hnsw_ef_search"), given.get("ivfflat_probes")
    if ef_search is not None:
        options = replace(options or SearchOptions(), ef_search=ef_search)
    if probes is not None:
        options = replace(options or SearchOptions(), probes=_count("ivfflat_probes", probes))
    return Request(
        mode=how,
        vector=vector,
        words=words,
        k=k,
        words_k=k if query.sparse_top_k is None else _count("sparse_top_k", query.sparse_top_k),
        hybrid_k=None if query.hybrid_top_k is None else _count("hybrid_top_k", query.hybrid_top_k),
        alpha=None if query.alpha is None else _share("alpha", query.alpha),
        prefetch_k=prefetch_k,
        threshold=threshold,
        filter=restriction,
        options=options,
        extra={name: value for name, value in given.items() if name not in _KNOWN[2:]},
    )


def _mmr(query: VectorStoreQuery, given: Mapping[str, Any], k: int) -> tuple[int, float]:
    factor, fetch = given.get("mmr_prefetch_factor"), given.get("mmr_prefetch_k")
    if factor is not None and fetch is not None:
        raise ConfigError("'mmr_prefetch_factor' and 'mmr_prefetch_k' cannot coexist in a call to query(): give one")
    if fetch is None:
        factor = MMR_PREFETCH_FACTOR if factor is None else factor
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor < 1e6:
            raise ConfigError(f"mmr_prefetch_factor={factor!r}: use a number above 0")
        fetch = int(k * factor)
    threshold = query.mmr_threshold if query.mmr_threshold is not None else given.get("mmr_threshold")
    return (
        max(_count("mmr_prefetch_k", fetch), k),
        MMR_THRESHOLD if threshold is None else _share("mmr_threshold", threshold),
    )


def _count(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < 2**31:
        raise ConfigError(f"{name}={value!r:.80}: use a whole number from 1")
    return value


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ConfigError(f"{name}={value!r:.80}: must be between 0 and 1")
    return float(value)


def _upper(how: str) -> str:
    return "MMR" if how == "mmr" else how


def of_both(dense: Sequence[Found], words: Sequence[Found], ranked: Sequence[Found], request: Request) -> list[Found]:
    """The ranking without what is in the first ``k`` by vectors nor in the first ``words_k`` by words, cut at
    ``hybrid_k``."""
    kept = {each.hit.chunk.id for each in (*dense[: request.k], *words[: request.words_k])}
    return [each for each in ranked if each.hit.chunk.id in kept][: request.hybrid_k]
