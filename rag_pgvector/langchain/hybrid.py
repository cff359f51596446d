"""Hybrid search as ``langchain_postgres.v2.hybrid_search_config`` describes it: vectors, Postgres's full-text search,
and a function that fuses both. A configuration is read and never written to.

The fusion functions take rows (mappings whose first value is the id and whose "distance" is the score) and return the
fused ones, best first, with the fused score, higher-better, as "distance".
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from psycopg import sql

from rag_pgvector.config import Distance
from rag_pgvector.errors import ConfigError
from rag_pgvector.langchain.indexes import DEFAULT_DISTANCE_STRATEGY, distance_of, strategy_of
from rag_pgvector.layout import language_sql
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.read import CHUNK_WIDTH, Where, chunk_of
from rag_pgvector.table import Table
from rag_pgvector.types import Chunk, ScoredChunk, SearchPlan, SearchResult

__all__ = [
    "HybridSearchConfig",
    "by_words",
    "fuse",
    "reciprocal_rank_fusion",
    "weighted_sum_ranking",
]

FoundRow: TypeAlias = Mapping[str, Any]


def weighted_sum_ranking(
    primary_search_results: Sequence[FoundRow],
    secondary_search_results: Sequence[FoundRow],
    primary_results_weight: float = 0.5,
    secondary_results_weight: float = 0.5,
    fetch_top_k: int = 4,
    **kwargs: Any,
) -> Sequence[dict[str, Any]]:
    """The weighted sum of both scores, each scaled to 0 (the worst that was found) to 1 (the best)."""
    is_distance = distance_of(kwargs.get("distance_strategy", DEFAULT_DISTANCE_STRATEGY)) != "inner_product"
    fused: dict[str, dict[str, Any]] = {}
    for rows, weight, lower_better in (
        (primary_search_results, primary_results_weight, is_distance),
        (secondary_search_results, secondary_results_weight, False),
    ):
        for row, score in zip(rows, _normalised(rows, lower_better=lower_better), strict=True):
            stored = fused.setdefault(_key(row), {**row, "distance": 0.0})
            stored["distance"] += score * weight
    return _best(fused, fetch_top_k)


def reciprocal_rank_fusion(
    primary_search_results: Sequence[FoundRow],
    secondary_search_results: Sequence[FoundRow],
    rrf_k: float = 60,
    fetch_top_k: int = 4,
    **kwargs: Any,
) -> Sequence[dict[str, Any]]:
    """The sum of ``1 / (rank + rrf_k)``, ranks from 0. Cormack, Clarke and Buettcher, SIGIR 2009."""
    is_distance = distance_of(kwargs.get("distance_strategy", DEFAULT_DISTANCE_STRATEGY)) != "inner_product"
    fused: dict[str, dict[str, Any]] = {}
    for rows, higher_better in ((primary_search_results, not is_distance), (secondary_search_results, True)):
        ordered = sorted(rows, key=lambda row: row["distance"], reverse=higher_better)
        for rank, row in enumerate(ordered):
            fused.setdefault(_key(row), {**row, "distance": 0.0})["distance"] += 1.0 / (rank + rrf_k)
    return _best(fused, fetch_top_k)


def _key(row: FoundRow) -> str:
    return str(next(iter(row.values())))


def _normalised(rows: Sequence[FoundRow], *, lower_better: bool) -> list[float]:
    scores = [float(row["distance"]) for row in rows]
    if not scores:
        return []
    low, high = min(scores), max(scores)
    if high == low:
        return [1.0] * len(scores)
    return [(high - score if lower_better else score - low) / (high - low) for score in scores]


def _best(fused: Mapping[str, dict[str, Any]], count: int) -> list[dict[str, Any]]:
    return sorted(fused.values(), key=lambda row: row["distance"], reverse=True)[:count]


@dataclass
class HybridSearchConfig:
    """How to search by vectors and words at once.

    Attributes:
        tsv_column: The tsvector column; "" is the one that the table has, or else the text is parsed at every search.
        tsv_lang: Text search configuration; "" or None is the server's default.
        fts_query: What to look for in the text; "" is the question.
        fusion_function: ``weighted_sum_ranking``, ``reciprocal_rank_fusion``, or one of the same form.
        fusion_function_parameters: Its keyword arguments.
        primary_top_k: Least candidates by vector; a larger ``k`` of the search takes as many.
        secondary_top_k: Least candidates by words, likewise.
        index_name: Name of the index that ``apply_hybrid_search_index`` makes.
        index_type: ``GIN`` or ``GIST``.
    """

    tsv_column: str | None = ""
    tsv_lang: str | None = "pg_catalog.english"
    fts_query: str | None = ""
    fusion_function: Callable[..., Sequence[Any]] = weighted_sum_ranking
    fusion_function_parameters: dict[str, Any] = field(default_factory=dict)
    primary_top_k: int = 4
    secondary_top_k: int = 4
    index_name: str = "langchain_tsv_index"
    index_type: str = "GIN"


def by_words(
    table: Table, text: str, config: Any, *, k: int, condition: Where | None
) -> Plan[list[tuple[Chunk, float]]]:
    """What full-text search finds, with its rank (``ts_rank_cd``), best first."""
    layout = table.layout
    language = config.tsv_lang or ""
    searched = layout if language == layout.language else replace(layout, text_search=None, language=language)
    query = sql.SQL(
        "SELECT {columns}, ts_rank_cd({text}, q.q) AS rank FROM {table}, plainto_tsquery({language}, %s) AS q(q) "
        "WHERE {text} @@ q.q{condition} ORDER BY rank DESC, {by_id} LIMIT %s"
    ).format(
        columns=layout.chunk_columns,
        text=searched.searchable_text,
        table=table.identifier,
        language=language_sql(language),
        condition=sql.SQL(" AND {}").format(condition[0]) if condition else sql.SQL(""),
        by_id=layout.by_id,
    )
    limit = max(k, config.secondary_top_k)
    rows = yield Execute(query, [text, *(condition[1] if condition else ()), limit])
    return [(chunk_of(table, row), float(row[CHUNK_WIDTH])) for row in rows]


def fuse(
    table: Table, near: SearchResult, worded: Sequence[tuple[Chunk, float]], config: Any, *, k: int
) -> SearchResult:
    """The ``k`` best of both by the configuration's function; the score of a hit is the fused one."""
    hits = {str(chunk.id): ScoredChunk(chunk, rank) for chunk, rank in worded}
    hits.update({str(hit.chunk.id): hit for hit in near})
    function, distance = config.fusion_function, table.config.distance
    parameters = {**config.fusion_function_parameters, "fetch_top_k": k}
    fused = function(
        [_row(table, hit.chunk, hit.score if distance == "inner_product" else hit.distance) for hit in near],
        [_row(table, chunk, rank) for chunk, rank in worded],
        **parameters,
        distance_strategy=_strategy_for(function, distance),
    )
    found = []
    for row in list(fused)[:k]:
        hit = hits.get(_key(row))
        if hit is None:
            raise ConfigError(
                f"the fusion function {getattr(function, '__name__', function)!r} returned a row whose first value "
                f"{_key(row)!r:.60} is no id that was found: return the rows that were given"
            )
        found.append(ScoredChunk(hit.chunk, float(row["distance"]), hit.distance))
    plan = SearchPlan("hybrid", "vectors and full-text search, as configured", parts=(near.plan,))
    return SearchResult(found, plan)


def _row(table: Table, chunk: Chunk, score: float | None) -> dict[str, Any]:
    layout = table.layout
    row: dict[str, Any] = {layout.id: chunk.id, layout.content: chunk.content}
    row.update({name: chunk.metadata.get(name) for name, _ in layout.columns})
    if layout.metadata is not None:
        row[layout.metadata] = dict(chunk.metadata)
    return {**row, "distance": score}


def _strategy_for(function: Any, distance: Distance) -> Any:
    """The strategy as the function's own package knows it: enumerations of two packages are never equal."""
    ours = strategy_of(distance)
    theirs = sys.modules.get("langchain_postgres.v2.indexes")
    if theirs is not None and str(getattr(function, "__module__", "")).startswith("langchain_postgres."):
        return theirs.DistanceStrategy[ours.name]
    return ours
