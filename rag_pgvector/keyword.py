"""Keyword search: BM25 over a collection's postings.

    score = sum over terms of  ln(1 + (N - df + .5) / (df + .5)) * tf / (tf + k1 * (1 - b + b * length / average))

Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework"; the idf, which is never negative, and the constant
factor that is left out are Lucene's (Kamphuis et al. 2020, "Which BM25 Do You Mean?"). N, df and the average length are
those of the tenant, or scope, that the table is bound to: nobody's ranks tell of another's texts. They are exact at any
moment.

One statement, and so one snapshot, brings the postings of the question's terms as they are stored; they are added up
here (bm25.py), where one costs a tenth of what it costs the server; a second statement brings the chunks of the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from psycopg import sql

from rag_pgvector.analysis import ANALYSER_VERSION, Question, analyser, phrase_pattern
from rag_pgvector.bm25 import Block, Ranking, rank
from rag_pgvector.config import SearchOptions
from rag_pgvector.plan import Execute, Plan, Row, numbered
from rag_pgvector.postings import code_of
from rag_pgvector.read import CHUNK_WIDTH, Candidate, Where
from rag_pgvector.search import Found
from rag_pgvector.table import KEYWORD_KINDS, Table
from rag_pgvector.types import SearchPlan
from rag_pgvector.vectors import VectorParam

__all__ = [
    "ATTEMPTS",
    "UNINDEXED_COUNTED",
    "best",
    "chunks_statement",
    "is_narrowed",
    "plan_of",
    "postings_statement",
    "question_of",
    "ranked",
    "search",
]

#: Unindexed rows are counted up to here.
UNINDEXED_COUNTED = 10_000
#: With a filter, so many of the best documents are looked at before all are.
_FIRST_LOOK = 1_000
#: A search is begun so often where its best documents are gone when it looks for their chunks: somebody just wrote.
ATTEMPTS = 3


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
    hits: list[Candidate] = []
    for attempt in range(ATTEMPTS):
        rows = yield postings_statement(table, question)
        ranking, unindexed = ranked(question, rows, options)
        narrowed = is_narrowed(question, condition)
        # At last with some to spare for those that are gone.
        limit = max(_FIRST_LOOK, 10 * k) if narrowed or attempt == ATTEMPTS - 1 else k
        if not narrowed and limit == k:
            hits, all_there = yield from _read(table, ranking, k, vector)
        else:
            hits, all_there = yield from _looked_up(table, question, ranking, limit, k, condition, options, vector)
        if narrowed and len(hits) < k and limit < len(ranking.seqs):  # the filter left too few of the best
            hits, all_there = yield from _looked_up(table, question, ranking, None, k, condition, options, vector)
        if all_there:
            break
    return hits, plan_of(table, question, unindexed)


def best(table: Table, question: Question, *, k: int, options: SearchOptions) -> Plan[Found]:
    """What ``search`` finds of a question that nothing narrows, in one round trip: no chunk is read."""
    rows = yield postings_statement(table, question)
    ranking, unindexed = ranked(question, rows, options)
    hits = [Candidate((), score, None, seq) for seq, score in zip(*ranking.best(k), strict=True)]
    return hits, plan_of(table, question, unindexed)


def is_narrowed(question: Question, condition: Where | None) -> bool:
    """Whether the scores alone do not tell which chunks are the best."""
    return condition is not None or bool(question.phrases)


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


# --------------------------------------------------------------------------------------------------------- postings

#: The first row holds numbers of eight bytes: how many documents there are, their length in all, how many rows are not
#: indexed, and the seq of each of the dead. The others are blocks of postings; a pending document is one, of itself.
_POSTINGS = sql.SQL(
    """WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(%s::text[], %s::bigint[]) WITH ORDINALITY AS a(term, code, place)
), parts AS MATERIALIZED (
    SELECT segment, documents, length, buckets FROM {segments} WHERE {owner}
), dead AS MATERIALIZED (
    SELECT seq, length FROM {tombstones} WHERE {owner}
)
SELECT 0 AS place, 0 AS segment, (
    SELECT int8send(sum(documents)::bigint) || int8send(coalesce(sum(length), 0)::bigint) FROM (
        SELECT documents, length FROM parts
        UNION ALL SELECT count(*), sum(length) FROM {pending} WHERE {owner}
        UNION ALL SELECT -count(*), -sum(length) FROM dead
    ) AS counted
) || (
    SELECT int8send(count(*)) FROM (SELECT FROM {table} WHERE keyword_length IS NULL AND {owner} LIMIT {most}) AS rows
) || (SELECT coalesce(string_agg(int8send(seq), ''), '') FROM dead) AS postings
UNION ALL SELECT a.place, s.segment, b.postings FROM asked a CROSS JOIN parts s CROSS JOIN LATERAL (
    SELECT CASE WHEN b.terms IS NULL THEN b.postings ELSE (
        SELECT substring(b.postings FROM 8 * coalesce(b.ends[n - 1], 0) + 1
            FOR 8 * (b.ends[n] - coalesce(b.ends[n - 1], 0))) FROM array_position(b.terms, a.term) AS n
    ) END AS postings FROM {postings} AS b WHERE b.tenant_id = %s AND b.segment = s.segment
        AND b.term = CASE s.buckets WHEN 0 THEN a.term ELSE chr(1) || mod(a.code, s.buckets) END OFFSET 0
) AS b
UNION ALL SELECT a.place, p.seq, int8send((p.terms ->> a.term)::bigint << 21 | p.length)
FROM {pending} p CROSS JOIN asked a WHERE {owner} AND p.terms ? a.term"""
)
_HEAD = 3


def postings_statement(table: Table, question: Question) -> Execute:
    """What brings all that the question's scores depend on; ``ranked`` reads its rows.

    It may be sent in a ``Batch``: it needs no setting and no other statement.
    """
    table.require_native("keyword index")
    owner = _owners(table)
    terms = list(question.terms)
    params = [terms, [code_of(term) for term in terms], *owner * 4, table.tenant, *owner]
    return Execute(_postings(table, bool(table.scope)), params, numbered=True)


def ranked(question: Question, rows: Sequence[Row], options: SearchOptions) -> tuple[Ranking, int]:
    """The scores of the documents in these rows, and how many rows of the owner are not in the index."""
    head = next(np.frombuffer(data, dtype=">i8").astype(np.int64) for place, _, data in rows if place == 0)
    documents, length, unindexed = head[:_HEAD].tolist()
    ranking = rank(
        [Block(place - 1, segment, data) for place, segment, data in rows if place > 0 and data is not None],
        list(question.terms.values()),
        documents=documents,
        length=length,
        dead=head[_HEAD:],
        k1=options.k1,
        b=options.b,
    )
    return ranking, unindexed


@lru_cache(maxsize=256)
def _postings(table: Table, scoped: bool) -> bytes:
    composed = _POSTINGS.format(
        table=table.identifier,
        owner=_owner(scoped),
        most=sql.Literal(UNINDEXED_COUNTED),
        **{kind: table.relation(kind) for kind in KEYWORD_KINDS},
    )
    return numbered(composed.as_bytes(None))


def _owner(scoped: bool) -> sql.SQL:
    return sql.SQL("tenant_id = %s AND scope = %s" if scoped else "tenant_id = %s")


# ----------------------------------------------------------------------------------------------------------- chunks

_CHUNKS = sql.SQL(
    """SELECT c.*, best.seq FROM unnest(%s::bigint[]) AS best(seq) CROSS JOIN LATERAL (
    SELECT {columns}, {distance} AS distance FROM {table} WHERE {owner} AND seq = best.seq OFFSET 0
) AS c"""
)
#: Of many, of which not all may pass. Columns are read of those chosen alone. The count tells of documents whose chunks
#: are gone.
_NARROWED = sql.SQL(
    """WITH looked AS MATERIALIZED (
    SELECT best.seq, (best.score + c.more)::real AS score, c.passes
    FROM unnest(%s::bigint[], %s::real[]) AS best(seq, score) CROSS JOIN LATERAL (
        SELECT {passes} AS passes, {more} AS more FROM {table} WHERE {owner} AND seq = best.seq OFFSET 0
    ) AS c
), chosen AS MATERIALIZED (
    SELECT seq, score FROM looked WHERE passes ORDER BY score DESC, seq LIMIT %s
)
SELECT hit.*, said.looked FROM (SELECT count(*) AS looked FROM looked) AS said LEFT JOIN (
    SELECT c.*, chosen.score, chosen.seq FROM chosen CROSS JOIN LATERAL (
        SELECT {columns}, {distance} AS distance FROM {table} WHERE {owner} AND seq = chosen.seq OFFSET 0
    ) AS c
) AS hit ON true ORDER BY hit.score DESC, hit.seq"""
)
_DISTANCE, _SCORE, _SEQ, _LOOKED = range(CHUNK_WIDTH, CHUNK_WIDTH + 4)
#: A phrase in a sentence is one more term, which stands in the chunk once: Lucene's optional PhraseQuery, whose idf is
#: the sum of its terms', in a chunk of average length.
_LIKED = sql.SQL("CASE WHEN normalize(content, NFKC) ~* %s THEN %s::float8 ELSE 0 END")
_REQUIRED = sql.SQL("normalize(content, NFKC) ~* %s")


def _read(table: Table, ranking: Ranking, k: int, vector: VectorParam | None) -> Plan[tuple[list[Candidate], bool]]:
    """The best ``k``, and whether all of these are still there."""
    seqs, scores = ranking.best(k)
    read: dict[int, Row] = {}
    if seqs:
        rows = yield chunks_statement(table, seqs, vector=vector)
        read = {row[-1]: row for row in rows}
    hits = [
        Candidate(read[seq], score, read[seq][_DISTANCE], seq)
        for seq, score in zip(seqs, scores, strict=True)
        if seq in read
    ]
    return hits, len(hits) == len(seqs)


def _looked_up(
    table: Table,
    question: Question,
    ranking: Ranking,
    limit: int | None,
    k: int,
    condition: Where | None,
    options: SearchOptions,
    vector: VectorParam | None,
) -> Plan[tuple[list[Candidate], bool]]:
    """The best ``k`` that pass, of the ``limit`` best; and whether all of these are still there."""
    seqs, scores = ranking.best(limit)
    if not seqs:
        return [], True
    liked = [] if question.strict else _liked(question, ranking, options)
    rows = yield _passing(table, question, seqs, scores, k=k, condition=condition, liked=liked, vector=vector)
    hits = [Candidate(row, row[_SCORE], row[_DISTANCE], row[_SEQ]) for row in rows if row[0] is not None]
    return hits, rows[0][_LOOKED] == len(seqs)


def _liked(question: Question, ranking: Ranking, options: SearchOptions) -> list[Any]:
    """For each phrase of a sentence its pattern and what it adds to a score."""
    idf = dict(zip(question.terms, ranking.idf.tolist(), strict=True))
    found: list[Any] = []
    for phrase, terms in zip(question.phrases, question.phrase_terms, strict=True):
        found += [phrase_pattern(phrase), sum(idf.get(term, 0.0) for term in terms) / (1.0 + options.k1)]
    return found


def chunks_statement(table: Table, seqs: Sequence[int], *, vector: VectorParam | None = None) -> Execute:
    """The chunks of these documents in any order, with their distances to a vector, each followed by its ``seq``."""
    near = [] if vector is None else [vector]
    shape = _Shape(bool(table.scope), vector is not None)
    return Execute(_chunks(table, shape), [_array(seqs), *near, *_owners(table)], numbered=True)


def _passing(
    table: Table,
    question: Question,
    seqs: Sequence[int],
    scores: Sequence[float],
    *,
    k: int,
    condition: Where | None,
    liked: Sequence[Any],
    vector: VectorParam | None,
) -> Execute:
    """The best ``k`` of these documents that pass, and in each row how many were looked at.

    ``liked``: patterns of the phrases that count where they stand, each followed by what it adds.
    """
    owner = _owners(table)
    near = [] if vector is None else [vector]
    where, values = condition if condition is not None else (sql.SQL("true"), [])
    patterns = [phrase_pattern(phrase) for phrase in question.phrases] if question.strict else []
    query = _NARROWED.format(
        passes=sql.SQL(" AND ").join([where, *[_REQUIRED] * len(patterns)]),
        more=sql.SQL(" + ").join([sql.SQL("0"), *[_LIKED] * (len(liked) // 2)]),
        **_columns(table, _Shape(bool(table.scope), vector is not None)),
    )
    return Execute(query, [_array(seqs), _array(scores), *values, *patterns, *liked, *owner, k, *near, *owner])


def _owners(table: Table) -> list[str]:
    return [table.tenant, table.scope] if table.scope else [table.tenant]


def _array(values: Sequence[float]) -> str:
    """As Postgres reads an array: quicker than psycopg's binary one, whose type would follow the greatest number."""
    return f"{{{','.join(map(repr, values))}}}"


class _Shape(NamedTuple):
    """What two statements over one table differ in, the condition aside."""

    scoped: bool
    near: bool


@lru_cache(maxsize=256)
def _chunks(table: Table, shape: _Shape) -> bytes:
    return numbered(_CHUNKS.format(**_columns(table, shape)).as_bytes(None))


def _columns(table: Table, shape: _Shape) -> dict[str, sql.Composable]:
    distance: sql.Composable = sql.SQL("NULL::float8")
    if shape.near:
        distance = sql.SQL("{} {} %s::{}").format(
            table.layout.embedding_column, table.distance.operator, table.vector_type
        )
    return {
        "table": table.identifier,
        "columns": table.layout.chunk_columns,
        "distance": distance,
        "owner": _owner(shape.scoped),
    }
