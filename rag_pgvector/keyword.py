"""Keyword search: BM25 over a collection's postings, in one statement.

    score = sum over terms of  ln(1 + (N - df + .5) / (df + .5)) * tf / (tf + k1 * (1 - b + b * length / average))

Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework"; the idf, which is never negative, and the constant
factor that is left out are Lucene's (Kamphuis et al. 2020, "Which BM25 Do You Mean?"). N, df and the average length are
those of the tenant, or scope, that the table is bound to: nobody's ranks tell of another's texts. They are exact at any
moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from psycopg import sql

from rag_pgvector.analysis import ANALYSER_VERSION, Question, analyser, phrase_pattern
from rag_pgvector.config import SearchOptions
from rag_pgvector.plan import Execute, Plan, Row
from rag_pgvector.read import CHUNK_WIDTH, Candidate, Where
from rag_pgvector.search import Found
from rag_pgvector.table import KEYWORD_KINDS, Table
from rag_pgvector.types import SearchPlan
from rag_pgvector.vectors import VectorParam

__all__ = ["UNINDEXED_COUNTED", "first_look", "hits_of", "plan_of", "question_of", "search", "statement"]

#: Unindexed rows are counted up to here.
UNINDEXED_COUNTED = 10_000
#: With a filter, so many of the best documents are looked at before all are.
_FIRST_LOOK = 1_000


def question_of(table: Table, text: str) -> Question:
    """What a text asks for, in the collection's language."""
    return analyser(table.config.language).question(text)


def search(
    table: Table,
    question: Question,
    *,
    k: int,
    condition: Where | None,
    options: SearchOptions,
    vector: VectorParam | None = None,
) -> Plan[Found]:
    """The ``k`` chunks of the highest BM25 score among those that the condition selects, ties by ``seq``.

    Fewer come back only if fewer hold a term of the question (and all of its phrases). With ``vector`` each hit
    gets its distance, which fusion needs and which costs next to nothing here.
    """
    limit = first_look(question, k, condition)
    rows = yield statement(table, question, k=k, condition=condition, options=options, limit=limit, vector=vector)
    hits, examined, unindexed = hits_of(rows)
    if len(hits) < k and examined == limit:  # the filter left too few of the best
        rows = yield statement(table, question, k=k, condition=condition, options=options, limit=None, vector=vector)
        hits, examined, unindexed = hits_of(rows)
    return hits, plan_of(table, question, unindexed)


def plan_of(table: Table, question: Question, unindexed: int) -> SearchPlan:
    """What the result says of a search for this question."""
    reason = f"BM25 of {len(question.terms)} terms" if question.terms else "the question has no term to look up"
    if question.phrases:
        reason += f", {len(question.phrases)} phrases that "
        reason += "must stand in the text" if question.strict else "count twice where they stand in the text"
    stale = (
        f"the keyword index was made by analyser {table.analyser_version}, this is {ANALYSER_VERSION}: build it anew"
    )
    warnings = (stale,) if table.analyser_version != ANALYSER_VERSION else ()
    return SearchPlan("keyword", reason, unindexed=unindexed, warnings=warnings)


def first_look(question: Question, k: int, condition: Where | None) -> int:
    """How many of the best documents are joined with the chunks at first."""
    return max(_FIRST_LOOK, 10 * k) if condition is not None or question.phrases else k


def statement(
    table: Table,
    question: Question,
    *,
    k: int,
    condition: Where | None,
    options: SearchOptions,
    limit: int | None,
    vector: VectorParam | None = None,
) -> Execute:
    """The one statement; ``hits_of`` reads its rows. ``limit``: how many of the best documents to look at (None: all).

    It may be sent in a ``Batch``: it needs no setting and no other statement.
    """
    table.require_native("keyword index")
    where, values = condition if condition is not None else (None, [])
    patterns = [phrase_pattern(phrase) for phrase in question.phrases]
    required = patterns if question.strict else []
    liked: list[Any] = []
    if not question.strict:
        for pattern, its_terms in zip(patterns, question.phrase_terms, strict=True):
            liked += [pattern, list(its_terms), 1.0 + options.k1]
    tenant = [table.tenant]
    owner = [table.tenant, table.scope] if table.scope else tenant
    terms = list(question.terms)
    params: list[Any] = [
        terms,
        [float(weight) for weight in question.terms.values()],
        *owner,  # segments
        *owner,  # tombstones
        *owner,  # pending: terms
        *owner,  # pending: statistics
        *tenant,  # postings of the dead
        *tenant,  # df
        options.k1 * (1.0 - options.b),
        options.k1 * options.b,
        *tenant,  # scores
        limit,
        limit,
        *owner,  # unindexed
        *liked,
        *([] if vector is None else [vector]),
        *owner,  # chunks
        *values,
        *required,
        k,
    ]
    shape = _Shape(bool(table.scope), len(required), len(patterns) - len(required), vector is not None)
    return Execute(_plain(table, shape) if where is None else _composed(table, shape, where), params)


def hits_of(rows: Sequence[Row]) -> tuple[list[Candidate], int, int]:
    """The chunks found, how many documents were looked at, and how many rows of the owner are not in the index."""
    hits = [Candidate(row, row[_SCORE], row[_DISTANCE]) for row in rows if row[0] is not None]
    return hits, rows[0][_SCORE + 2], rows[0][_SCORE + 3]


_DISTANCE = CHUNK_WIDTH
_SCORE = CHUNK_WIDTH + 1

_QUERY = sql.SQL(
    """WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(%s::text[], %s::float8[]) AS a(term, weight)
), parts AS MATERIALIZED (
    SELECT segment, documents, length FROM {segments} WHERE {owner}
), dead AS MATERIALIZED (
    SELECT seq, length FROM {tombstones} WHERE {owner}
), waiting AS MATERIALIZED (
    SELECT a.term, p.seq, p.length, (p.terms ->> a.term)::float8 AS tf
    FROM {pending} p CROSS JOIN asked a WHERE {owner} AND p.terms ? a.term
), size AS MATERIALIZED (
    SELECT sum(documents)::float8 AS documents, sum(length)::float8 AS length FROM (
        SELECT documents, length FROM parts
        UNION ALL SELECT count(*), sum(length) FROM {pending} WHERE {owner}
        UNION ALL SELECT -count(*), -sum(length) FROM dead
    ) AS counted
), dead_terms AS MATERIALIZED (
    SELECT term, count(*) AS documents FROM (
        SELECT term, segment + (posting >> 32) AS seq FROM (
            SELECT a.term, s.segment, unnest(b.postings) AS posting FROM asked a CROSS JOIN parts s
            CROSS JOIN LATERAL ({block} AND b.term = a.term OFFSET 0) AS b
        ) AS unnested
        UNION ALL SELECT term, seq FROM waiting
    ) AS held WHERE EXISTS (SELECT FROM dead) AND seq IN (SELECT seq FROM dead) GROUP BY term
), frequency AS MATERIALIZED (
    SELECT a.term, a.weight, coalesce((
            SELECT sum(cardinality(b.postings)) FROM parts s
            CROSS JOIN LATERAL ({block} AND b.term = a.term OFFSET 0) AS b
        ), 0) + (SELECT count(*) FROM waiting w WHERE w.term = a.term) - coalesce(d.documents, 0) AS df
    FROM asked a LEFT JOIN dead_terms d USING (term)
), weighed AS MATERIALIZED (
    SELECT term, weight * ln(1 + (documents - df + 0.5) / (df + 0.5))::float8 AS idf,
        %s::float8 AS c0, %s::float8 * documents / length AS c1
    FROM frequency CROSS JOIN size WHERE df > 0
), scored AS (
    SELECT seq, sum(part)::real AS score FROM (
        SELECT segment + (posting >> 32) AS seq,
            idf / (1 + (c0 + c1 * (posting & 2097151)::float8) / (posting >> 21 & 2047)::float8) AS part
        FROM (
            SELECT s.segment, w.idf, w.c0, w.c1, unnest(b.postings) AS posting FROM weighed w CROSS JOIN parts s
            CROSS JOIN LATERAL ({block} AND b.term = w.term OFFSET 0) AS b
        ) AS unnested
        UNION ALL SELECT seq, idf / (1 + (c0 + c1 * length) / tf) FROM waiting JOIN weighed USING (term)
    ) AS parted GROUP BY seq
), ranked AS (
    -- With room for all of the dead, so that they need not be looked for among every document.
    SELECT seq, score FROM scored ORDER BY score DESC, seq LIMIT %s::bigint + (SELECT count(*) FROM dead)
), best AS MATERIALIZED (
    SELECT seq, score FROM ranked WHERE seq NOT IN (SELECT d.seq FROM dead d) ORDER BY score DESC, seq LIMIT %s
)
SELECT hit.*, said.* FROM (
    SELECT (SELECT count(*) FROM best) AS examined, (SELECT count(*) FROM (
        SELECT FROM {table} WHERE keyword_length IS NULL AND {owner} LIMIT {counted}) AS rows) AS unindexed
) AS said LEFT JOIN (
    SELECT c.*, (best.score{liked})::real AS score, best.seq FROM best CROSS JOIN LATERAL (
        SELECT {columns}, {distance} AS distance FROM {table} WHERE {owner} AND seq = best.seq{condition} OFFSET 0
    ) AS c ORDER BY score DESC, seq LIMIT %s
) AS hit ON true ORDER BY hit.score DESC, hit.seq"""
)


class _Shape(NamedTuple):
    """What two statements over one table differ in, the condition aside."""

    scoped: bool
    required: int
    liked: int
    near: bool


@lru_cache(maxsize=256)
def _plain(table: Table, shape: _Shape) -> bytes:
    return _composed(table, shape, None).as_bytes(None)


def _owner(scoped: bool) -> sql.SQL:
    return sql.SQL("tenant_id = %s AND scope = %s" if scoped else "tenant_id = %s")


#: A phrase in a sentence is one more term, which stands in the chunk once: Lucene's optional PhraseQuery, whose idf is
#: the sum of its terms', in a chunk of average length.
_LIKED = sql.SQL(
    " + CASE WHEN normalize(c.content, NFKC) ~* %s "
    "THEN (SELECT coalesce(sum(idf), 0) FROM weighed WHERE term = ANY(%s::text[])) / %s ELSE 0 END"
)


def _composed(table: Table, shape: _Shape, where: sql.Composable | None) -> sql.Composed:
    parts: list[sql.Composable] = [] if where is None else [where]
    parts += [sql.SQL("normalize(content, NFKC) ~* %s")] * shape.required
    return _QUERY.format(
        table=table.identifier,
        columns=table.layout.chunk_columns,
        distance=sql.SQL("{} {} %s::{}").format(
            table.layout.embedding_column, table.distance.operator, table.vector_type
        )
        if shape.near
        else sql.SQL("NULL::float8"),
        counted=sql.Literal(UNINDEXED_COUNTED),
        owner=_owner(shape.scoped),
        liked=sql.SQL("").join([_LIKED] * shape.liked),
        block=sql.SQL("SELECT postings FROM {} AS b WHERE b.tenant_id = %s AND b.segment = s.segment").format(
            table.relation("postings")
        ),
        condition=sql.SQL("").join([sql.SQL(" AND ") + part for part in parts]),
        **{kind: table.relation(kind) for kind in KEYWORD_KINDS if kind != "postings"},
    )
