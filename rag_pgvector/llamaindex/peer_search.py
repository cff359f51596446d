"""Searching a table of llama-index-vector-stores-postgres: by vector as any collection, by words through its tsvector.

The words are an OR of the question's lexemes in the table's text search configuration, ranked by ``ts_rank``, as the
peer has it; but the parser of Postgres reads the question, not a regular expression.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from psycopg import sql

from rag_pgvector import fusion, read
from rag_pgvector.config import SearchOptions
from rag_pgvector.llamaindex.calls import Asking, RunPlan
from rag_pgvector.llamaindex.contents import CollectionArms
from rag_pgvector.llamaindex.customized import customized
from rag_pgvector.llamaindex.peer import TEXT_SEARCH_COLUMN, PeerTable
from rag_pgvector.llamaindex.query import Found, Request, of_both
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.search import SIMILARITIES
from rag_pgvector.table import Table
from rag_pgvector.types import ScoredChunk
from rag_pgvector.vectors import VectorParam, as_vector

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["PeerArms", "search_text"]


class PeerArms(CollectionArms):
    """How a peer's table is searched. ``searchable`` says whether it has a column for text search."""

    def __init__(self, collection: Collection, peer: PeerTable, *, searchable: bool) -> None:
        super().__init__(collection)
        self.peer = peer
        self.searchable = searchable

    def dense(self, request: Request, k: int) -> Asking[list[Found]]:
        options = request.options or SearchOptions()
        if options.ef_search is None and self.peer.ef_search is not None:
            request = replace(request, options=replace(options, ef_search=self.peer.ef_search))
        if self.peer.customize is None:
            return (yield from super().dense(request, k))
        return list((yield self._customized(request, k, words=False)))

    def words(self, request: Request, k: int) -> Asking[list[Found]]:
        if self.peer.customize is not None:
            return list((yield self._customized(request, k, words=True)))
        table = self.collection._table
        make = partial(
            search_text,
            table,
            str(request.words),
            k=k,
            condition=read.where(table, filter=request.filter),
            config=self.peer.text_config,
            stored=self.searchable,
            vector=as_vector(request.vector or [], self.collection.config) if request.mode == "hybrid" else None,
        )
        return list((yield RunPlan(make)))

    def hybrid(self, request: Request) -> Asking[list[Found]]:
        deep = max(request.k, request.words_k, fusion.CANDIDATES)
        dense = yield from self.dense(request, deep)
        words = yield from self.words(request, deep)
        found = {each.hit.chunk.id: each for each in (*words, *dense)}
        arms = [each.hit for each in dense], [each.hit for each in words]
        alpha = request.alpha if request.options is None or request.alpha is not None else request.options.alpha
        fused = fusion.convex(
            *arms,
            key=lambda hit: hit.chunk.id,
            alpha=fusion.share(*arms) if alpha is None else alpha,
            keyword_complete=len(words) < deep,
            similarity=SIMILARITIES[self.collection.config.distance],
        )
        both = [
            replace(found[hit.chunk.id], hit=replace(hit, score=score, keyword_score=by_words))
            for hit, score, by_words in fused
        ]
        return of_both(dense, words, both, request)

    def mmr(self, request: Request) -> Asking[list[Found]]:
        found = yield from super().mmr(request)
        if self.peer.customize is None or not found:
            return found
        # What it selects beside the candidates, and whether it lets them through.
        keep = replace(request, filter=_only(request, [str(each.hit.chunk.id) for each in found]))
        rows = {each.hit.chunk.id: each.custom for each in (yield self._customized(keep, len(found), words=False))}
        return [replace(each, custom=rows[each.hit.chunk.id]) for each in found if each.hit.chunk.id in rows]

    def listed(self, request: Request) -> Asking[list[Found]]:
        if self.peer.customize is None:
            return (yield from super().listed(request))
        return list((yield self._customized(request, request.k, words=False)))

    def _customized(self, request: Request, k: int, *, words: bool) -> RunPlan:
        table, peer = self.collection._table, self.peer
        return RunPlan(
            lambda: customized(
                table,
                peer,
                request,
                k=k,
                condition=read.where(table, filter=request.filter),
                words=words,
                stored=self.searchable,
            )
        )


def _only(request: Request, ids: Sequence[str]) -> Any:
    from rag_pgvector.filters import And, KeyIn

    own = KeyIn("id", tuple(ids))
    return own if request.filter is None else And((request.filter, own))


def search_text(
    table: Table,
    words: str,
    *,
    k: int,
    condition: read.Where | None,
    config: str,
    stored: bool,
    vector: VectorParam | None = None,
) -> Plan[list[Found]]:
    """The ``k`` rows that rank best for any of the words, and their distances to ``vector``, where there is one.

    ``stored`` says whether there is a tsvector column.
    """
    document = document_sql(stored)
    query = sql.SQL("{document} @@ {question}").format(document=document, question=QUESTION)
    rank = sql.SQL("ts_rank({document}, {question})").format(document=document, question=QUESTION)
    params: list[Any] = [*([] if stored else [config]), config, words]
    where, values = condition or (sql.SQL("true"), [])
    rows = yield Execute(
        sql.SQL(
            "SELECT {columns}, {rank}::float8 AS rank, embedding {operator} %s::{type} AS distance "
            "FROM {table} AS c WHERE {query} AND ({where}) "
            "ORDER BY rank DESC, c.id LIMIT %s"
        ).format(
            columns=table.layout.chunk_columns,
            rank=rank,
            table=table.identifier,
            query=query,
            where=where,
            operator=table.distance.operator,
            type=table.vector_type,
        ),
        [*params, vector, *params, *values, k],
    )
    return [Found(ScoredChunk(read.chunk_of(table, row), row[-2], row[-1])) for row in rows]


#: An OR of the lexemes; plainto_tsquery joins them by & and quotes each.
QUESTION = sql.SQL("(SELECT replace(plainto_tsquery(%s::regconfig, %s)::text, ' & ', ' | ')::tsquery)")


def document_sql(stored: bool) -> sql.Composable:
    """What is searched; takes the configuration where it is not stored."""
    return sql.Identifier(TEXT_SEARCH_COLUMN) if stored else sql.SQL("to_tsvector(%s::regconfig, text)")
