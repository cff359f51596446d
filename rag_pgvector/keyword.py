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
from rag_pgvector.plan import Execute, Plan, Row, numbered
from rag_pgvector.postings import code_of
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
#: Up to so many of the best, frequent terms are left for the end: k = 10 took .82 of the time, k = 100 1.17 (by hand).
PRUNED = 40
#: The bar for the best k is set by documents that hold a rarest term, about so many for each of the k ...
_FIRST = 10
#: ... by what the terms with this share of the postings, the rarer ones, give them.
_SHARE = 0.3
_PART = sql.SQL("idf / (1 + (c0 + c1 * (posting & 2097151)::float8) / (posting >> 21 & 2047)::float8)")


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
    single = len(terms) == 1
    pruned = limit is not None and limit <= PRUNED and not single
    params: list[Any] = [
        terms,
        [float(weight) for weight in question.terms.values()],
        [code_of(term) for term in terms],
        *owner,  # segments
        *owner,  # tombstones
        *owner,  # pending: terms
        *owner,  # pending: statistics
        *tenant,  # blocks
        options.k1 * (1.0 - options.b),
        options.k1 * options.b,
        *([limit] * (5 if pruned else 2)),  # scores
        *owner,  # unindexed
        *liked,
        *([] if vector is None else [vector]),
        *owner,  # chunks
        *values,
        *required,
        k,
    ]
    shape = _Shape(bool(table.scope), len(required), len(patterns) - len(required), vector is not None, pruned, single)
    if where is None:
        return Execute(_plain(table, shape), params, numbered=True)
    return Execute(_composed(table, shape, where), params)


def hits_of(rows: Sequence[Row]) -> tuple[list[Candidate], int, int]:
    """The chunks found, how many documents were looked at, and how many rows of the owner are not in the index."""
    hits = [Candidate(row, row[_SCORE], row[_DISTANCE]) for row in rows if row[0] is not None]
    return hits, rows[0][_SCORE + 2], rows[0][_SCORE + 3]


_DISTANCE = CHUNK_WIDTH
_SCORE = CHUNK_WIDTH + 1

_QUERY = sql.SQL(
    """WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(%s::text[], %s::float8[], %s::bigint[]) AS a(term, weight, code)
), parts AS MATERIALIZED (
    SELECT segment, documents, length, buckets FROM {segments} WHERE {owner}
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
), blocks AS MATERIALIZED (
    SELECT a.term, s.segment, b.postings, cardinality(b.postings) AS documents FROM asked a CROSS JOIN parts s
    CROSS JOIN LATERAL (
        SELECT CASE WHEN b.terms IS NULL THEN b.postings ELSE b.postings[
            coalesce(b.ends[array_position(b.terms, a.term) - 1], 0) + 1 : b.ends[array_position(b.terms, a.term)]
        ] END AS postings FROM {postings} AS b WHERE b.tenant_id = %s AND b.segment = s.segment
            AND b.term = CASE s.buckets WHEN 0 THEN a.term ELSE chr(1) || mod(a.code, s.buckets) END OFFSET 0
    ) AS b
), frequency AS MATERIALIZED (
    SELECT term, sum(documents) AS df FROM (
        SELECT term, documents FROM blocks
        UNION ALL SELECT term, 1 FROM waiting
        UNION ALL SELECT term, -1 FROM (
            SELECT term, segment + (posting >> 32) AS seq
            FROM (SELECT term, segment, unnest(postings) AS posting FROM blocks) AS unnested
            UNION ALL SELECT term, seq FROM waiting
        ) AS held WHERE EXISTS (SELECT FROM dead) AND (seq IN (SELECT seq FROM dead)) IS TRUE
    ) AS counted GROUP BY term
), weighed AS MATERIALIZED (
    -- The rarest first. before: postings of rarer terms; most: what a document can get of this term and those after it.
    SELECT term, idf, c0, c1, sum(df) OVER () AS total,
        coalesce(sum(df) OVER (rarest ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before,
        sum(idf) OVER (rarest ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS most
    FROM (
        SELECT term, df::float8 AS df, weight * ln(1 + (documents - df + 0.5) / (df + 0.5))::float8 AS idf,
            %s::float8 AS c0, %s::float8 * documents / length AS c1
        FROM frequency JOIN asked USING (term) CROSS JOIN size WHERE df > 0
    ) AS found WINDOW rarest AS (ORDER BY df, term)
{scores})
SELECT hit.*, said.* FROM (
    SELECT (SELECT count(*) FROM best) AS examined, (SELECT count(*) FROM (
        SELECT FROM {table} WHERE keyword_length IS NULL AND {owner} LIMIT {counted}) AS rows) AS unindexed
) AS said LEFT JOIN (
    SELECT c.*, (best.score{liked})::real AS score, best.seq FROM best CROSS JOIN LATERAL (
        SELECT {columns}, {distance} AS distance FROM {table} WHERE {owner} AND seq = best.seq{condition} OFFSET 0
    ) AS c ORDER BY score DESC, seq LIMIT %s
) AS hit ON true ORDER BY hit.score DESC, hit.seq"""
)

#: The scores of every document that holds a term. One term stands in a document once, and needs no sum.
_EVERY = sql.SQL(
    """), scored AS (
    SELECT seq, {total}::real AS score FROM (
        SELECT segment + (posting >> 32) AS seq, {part} AS part FROM (
            SELECT segment, idf, c0, c1, unnest(postings) AS posting FROM blocks JOIN weighed USING (term)
        ) AS unnested
        UNION ALL SELECT seq, idf / (1 + (c0 + c1 * length) / tf) FROM waiting JOIN weighed USING (term)
    ) AS parted{grouped}
), ranked AS (
    -- With room for all of the dead, so that they need not be looked for among every document.
    SELECT seq, score FROM scored ORDER BY score DESC, seq LIMIT %s::bigint + (SELECT count(*) FROM dead)
), best AS MATERIALIZED (
    SELECT seq, score FROM ranked WHERE (seq IN (SELECT seq FROM dead)) IS NOT TRUE ORDER BY score DESC, seq LIMIT %s
"""
)
#: The same best ones by MaxScore (Turtle and Flood 1995) for sets. The best documents of the rarest terms set a bar;
#: documents without any of the terms that are needed to reach it are never made; and the frequent terms are looked up
#: for those alone that may still reach it.
_PRUNED = sql.SQL(
    """), few AS MATERIALIZED (
    SELECT seq FROM (
        SELECT segment + (posting >> 32) AS seq, {part} AS part FROM (
            SELECT segment, idf, c0, c1, unnest(postings) AS posting FROM blocks JOIN weighed USING (term)
            WHERE before < {first} * %s::bigint
        ) AS unnested
    ) AS parted WHERE (seq IN (SELECT seq FROM dead)) IS NOT TRUE ORDER BY part DESC LIMIT 2 * {first} * %s::bigint
), bar AS MATERIALIZED (
    -- The score that the k-th best has at least.
    SELECT coalesce((
        SELECT 0.999999 * sum(part) FROM (
            SELECT segment + (posting >> 32) AS seq, {part} AS part FROM (
                SELECT segment, idf, c0, c1, unnest(postings) AS posting FROM blocks JOIN weighed USING (term)
                WHERE before < greatest({share} * total, {first} * %s::bigint)
            ) AS unnested WHERE (segment + (posting >> 32) IN (SELECT seq FROM few)) IS TRUE
        ) AS parted GROUP BY seq ORDER BY sum(part) DESC OFFSET %s::bigint - 1 LIMIT 1), 0) AS score
), chosen AS MATERIALIZED (
    -- Documents without a needed term stay below the bar, and so do those of a posting that is below its own.
    SELECT *, most >= score AS needed, score - (sum(idf) OVER () - idf) AS least FROM weighed CROSS JOIN bar
), begun AS MATERIALIZED (
    SELECT seq, sum(part) AS score FROM (
        SELECT segment + (posting >> 32) AS seq, {part} AS part, least FROM (
            SELECT segment, idf, c0, c1, least, unnest(postings) AS posting
            FROM blocks JOIN chosen USING (term) WHERE needed
        ) AS unnested OFFSET 0
    ) AS parted WHERE part >= least GROUP BY seq
    HAVING sum(part) >= (SELECT score FROM bar) - (SELECT coalesce(max(most), 0) FROM chosen WHERE NOT needed)
), more AS MATERIALIZED (
    SELECT segment + (posting >> 32) AS seq, sum({part}) AS score FROM (
        SELECT segment, idf, c0, c1, unnest(postings) AS posting FROM blocks JOIN chosen USING (term) WHERE NOT needed
    ) AS unnested WHERE (segment + (posting >> 32) IN (SELECT seq FROM begun)) IS TRUE GROUP BY 1
), scored AS (
    -- A full join is never a nested loop, whatever the planner takes the numbers of rows for.
    SELECT seq, begun.score + coalesce(more.score, 0) AS score FROM begun FULL JOIN more USING (seq)
    UNION ALL SELECT seq, sum(idf / (1 + (c0 + c1 * length) / tf)) FROM waiting JOIN weighed USING (term) GROUP BY seq
), best AS MATERIALIZED (
    SELECT seq, score::real AS score FROM scored
    WHERE score >= (SELECT score FROM bar) AND (seq IN (SELECT seq FROM dead)) IS NOT TRUE
    ORDER BY score::real DESC, seq LIMIT %s
"""
)


class _Shape(NamedTuple):
    """What two statements over one table differ in, the condition aside."""

    scoped: bool
    required: int
    liked: int
    near: bool
    pruned: bool
    single: bool


@lru_cache(maxsize=256)
def _plain(table: Table, shape: _Shape) -> bytes:
    return numbered(_composed(table, shape, None).as_bytes(None))


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
        scores=_PRUNED.format(share=sql.Literal(_SHARE), first=sql.Literal(_FIRST), part=_PART)
        if shape.pruned
        else _EVERY.format(
            part=_PART,
            total=sql.SQL("part" if shape.single else "sum(part)"),
            grouped=sql.SQL("" if shape.single else " GROUP BY seq"),
        ),
        condition=sql.SQL("").join([sql.SQL(" AND ") + part for part in parts]),
        **{kind: table.relation(kind) for kind in KEYWORD_KINDS},
    )
