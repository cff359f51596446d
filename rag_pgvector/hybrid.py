"""Search by words, by vectors, or by both at once: plans that put the two arms together."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rag_pgvector import fusion, keyword
from rag_pgvector.config import Mode, SearchOptions
from rag_pgvector.plan import Plan, together
from rag_pgvector.read import CHUNK_WIDTH, Candidate, Where, chunk_of
from rag_pgvector.search import SIMILARITIES, Found
from rag_pgvector.table import Table
from rag_pgvector.types import ScoredChunk, SearchPlan, SearchResult
from rag_pgvector.vectors import VectorParam

__all__ = ["Asked", "DensePlan", "resolve_mode", "search_all"]

#: Plans the search by vectors for so many chunks, whose rows end in ``seq`` if that is asked for.
DensePlan = Callable[[VectorParam, int, bool], Plan[Found]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question of a search: what can be looked up of it, and what the result has to say about that.

    ``mode`` is what will be done; ``note`` says in the plan why that is not what the caller left open or asked for.
    """

    mode: Mode
    text: str | None
    vector: VectorParam | None
    note: str = ""
    warnings: tuple[str, ...] = ()


def resolve_mode(
    table: Table, options: SearchOptions, *, text: bool, vector: bool
) -> tuple[Mode, str, tuple[str, ...]]:
    """What a search is to do, why in words if that was not the caller's choice, and what to warn of.

    A table without a keyword index, which is a peer's, is searched by vectors alone.
    """
    mode = options.mode or ("hybrid" if text else "dense")
    if mode == "hybrid" and not table.layout.native:
        note = "no keyword index: the table is laid out by another library"
        return "dense", note, (f"hybrid search became dense: {note}",) if options.mode == "hybrid" else ()
    if mode == "keyword":
        table.require_native("keyword index")
    return mode, "", ()


def search_all(
    table: Table,
    asked: Sequence[Asked],
    *,
    k: int,
    condition: Where | None,
    options: SearchOptions,
    dense: DensePlan,
) -> Plan[list[SearchResult]]:
    """The results of several questions. All arms of all of them go to the server together, and then once more for the
    chunks that only the words found.

    ``condition`` is the caller's filter, for the keyword arm.
    """
    deep = max(k, options.candidates or fusion.CANDIDATES)
    plans: list[Plan[Found]] = []
    words: dict[int, int] = {}
    vectors: dict[int, int] = {}
    near: list[dict[int, Candidate]] = [{} for _ in asked]  # what the vectors found, by seq
    # Words first: what a walk of the vector index sets holds for all that is sent after it.
    for i, each in enumerate(asked):
        if each.mode != "dense":
            assert each.text is not None
            words[i] = len(plans)
            question = keyword.question_of(table, each.text)
            depth = k if each.mode == "keyword" else deep
            vector = each.vector if each.mode == "hybrid" else None
            plans.append(
                keyword.search(
                    table, question, k=depth, condition=condition, options=options, vector=vector, known=near[i]
                )
            )
    for i, each in enumerate(asked):
        if each.mode != "keyword":
            assert each.vector is not None
            vectors[i] = len(plans)
            if each.mode == "dense":
                plans.append(dense(each.vector, k, False))
            else:
                plans.append(_noted(dense(each.vector, deep, True), near[i]))
    results = [(yield from plans[0])] if len(plans) == 1 else (yield from together(plans))
    found = []
    for i, each in enumerate(asked):
        if each.mode == "hybrid":
            result = _fused(table, results[vectors[i]], results[words[i]], k, deep, options)
        else:
            hits, plan = results[vectors[i] if each.mode == "dense" else words[i]]
            result = SearchResult([hit.scored(table) for hit in hits], plan)
        found.append(_annotated(result, each))
    return found


def _noted(search: Plan[Found], near: dict[int, Candidate]) -> Plan[Found]:
    found = yield from search
    near.update((hit.row[CHUNK_WIDTH + 1], hit) for hit in found[0])
    return found


_KEY = operator.attrgetter("key")


def _fused(table: Table, by_vectors: Found, by_words: Found, k: int, deep: int, options: SearchOptions) -> SearchResult:
    (dense, dense_plan), (words, words_plan) = by_vectors, by_words
    alpha = options.alpha if options.alpha is not None else table.alpha
    if options.fusion == "rrf":
        hits = fusion.reciprocal_ranks(dense, words, key=_KEY, limit=k)
        alpha, reason = None, "reciprocal rank fusion"
    else:
        reason = "share of the vectors given" if options.alpha is not None else "the collection's share of the vectors"
        if alpha is None:
            alpha, reason = fusion.share(dense, words), "share of the vectors by how sharp each arm is"
        hits = fusion.convex(
            dense,
            words,
            key=_KEY,
            alpha=alpha,
            keyword_complete=len(words) < deep,
            similarity=SIMILARITIES[table.config.distance],
            limit=k,
        )
    warnings: tuple[str, ...] = ()
    if unindexed := words_plan.unindexed:
        warnings = (f"keyword search cannot see {unindexed} chunks yet: run 'rag-pgvector index build'",)
    plan = SearchPlan(
        "hybrid",
        f"{len(dense)} by vectors, {len(words)} by words; {reason}",
        parts=(dense_plan, words_plan),
        alpha=None if alpha is None else round(alpha, 4),
        unindexed=unindexed,
        warnings=warnings,
    )
    chunks = [
        ScoredChunk(chunk_of(table, each.hit.row), each.score, each.hit.distance, each.keyword_score) for each in hits
    ]
    return SearchResult(chunks, plan)


def _annotated(result: SearchResult, asked: Asked) -> SearchResult:
    if not asked.note and not asked.warnings:
        return result
    plan = result.plan
    reason = f"{plan.reason} ({asked.note})" if asked.note else plan.reason
    return SearchResult(list(result), replace(plan, reason=reason, warnings=(*asked.warnings, *plan.warnings)))
