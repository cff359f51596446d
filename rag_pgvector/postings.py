"""Plans that keep a collection's keyword index: a log-structured inverted index in plain tables (keyword_schema.py).

Few documents are listed one by one in ``pending``; when there are enough of them they become a segment, and segments of
a size become one. The method is that of log-structured merge trees (O'Neil et al. 1996) and of Lucene's segments.
Whoever merges holds a lock that nobody waits for, and every change is one statement, so that readers see it whole or
not at all. All of it runs in the transaction of the write that caused it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from rag_pgvector.analysis import BATCH, Terms, analyser
from rag_pgvector.plan import CopyIn, Execute, Plan
from rag_pgvector.table import KEYWORD_KINDS, Table

__all__ = [
    "PENDING",
    "Segment",
    "Segments",
    "add_segments",
    "choose",
    "clean_up",
    "code_of",
    "json_counts",
    "owner_of",
    "segments_of",
    "take_in",
]

#: So many documents may be pending: each costs a search about 2 µs.
PENDING = 256
#: Postings in one block, so that four blocks fill a page of 8 kB.
BLOCK = 224
#: Documents in a segment: what a write merges, or a bulk load makes, at most.
WRITE_MERGE = 8_192
SEGMENT = BATCH
#: A segment of up to so many documents, which will be merged again soon, has its terms in buckets of about so many
#: postings: 500 documents of 70 words are 275 rows instead of 4,756.
BUCKETED, BUCKET = WRITE_MERGE, 128
#: So many segments of a size become one.
FANOUT = 5
#: A segment with this share of dead documents is written anew.
DEAD_SHARE = 0.25

_TF_SHIFT, _SEQ_SHIFT = 21, 32


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: its name, how many documents it was made of, and about how many of them are dead."""

    name: int
    documents: int
    dead: int


def code_of(term: str) -> int:
    """What decides a term's bucket: the rest of it divided by their number."""
    return zlib.crc32(term.encode())


def _buckets(documents: Sequence[tuple[int, Terms]]) -> int:
    """Over how many buckets a segment's terms are spread; 0: each has rows of its own."""
    if len(documents) > BUCKETED:
        return 0
    return max(1, sum(terms.length for _, terms in documents) // BUCKET)


def json_counts(terms: Terms) -> str:
    """How often each term occurs, as ``pending`` holds it."""
    return json.dumps(terms.counts, ensure_ascii=False, separators=(",", ":"))


def owner_of(table: Table) -> tuple[str, str]:
    """Whose documents a write through this table lists: tenant and scope, "" where there is none."""
    return table.tenant, table.scope


def take_in(table: Table, *, limit: int = 2_000) -> Plan[int]:
    """List rows that plain SQL wrote, ``limit`` of them at most; returns how many. Run it in a transaction.

    Rows that somebody else is changing are left for another time.
    """
    owned = sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in table.owner_columns)
    query = sql.SQL(
        "SELECT seq, content FROM {} WHERE {} AND keyword_length IS NULL ORDER BY seq LIMIT %s FOR UPDATE SKIP LOCKED"
    )
    rows = yield Execute(query.format(table.identifier, owned), [*table.owner, limit])
    analysed = analyser(table.config.language).all_terms([content for _, content in rows])
    documents = [(seq, terms) for (seq, _), terms in zip(rows, analysed, strict=True)]
    if not documents:
        return 0
    marked = sql.SQL(
        "UPDATE {} AS c SET keyword_length = v.length FROM unnest(%s::bigint[], %s::integer[]) AS v(seq, length) "
        "WHERE c.tenant_id = %s AND c.seq = v.seq"
    )
    seqs, lengths = [seq for seq, _ in documents], [terms.length for _, terms in documents]
    yield Execute(marked.format(table.identifier), (seqs, lengths, table.tenant), prepare=False)
    if len(documents) > PENDING:
        yield from add_segments(table, segments_of(table, documents))
    else:
        listed = sql.SQL(
            "INSERT INTO {} (tenant_id, scope, seq, length, terms) "
            "SELECT %s, %s, v.* FROM unnest(%s::bigint[], %s::integer[], %s::jsonb[]) AS v"
        ).format(table.relation("pending"))
        counts = [json_counts(terms) for _, terms in documents]
        yield Execute(listed, [*owner_of(table), seqs, lengths, counts], prepare=False)
    yield from clean_up(table, flush_all=len(documents) <= PENDING)
    return len(documents)


# ------------------------------------------------------------------------------------------------- segments at once


@dataclass(frozen=True, slots=True)
class Segments:
    """Documents, ``(seq, terms)``, divided into segments, and their rows in PostgreSQL's binary COPY format."""

    parts: Sequence[Sequence[tuple[int, Terms]]]
    rows: Iterable[bytes]


def segments_of(table: Table, documents: Sequence[tuple[int, Terms]]) -> Segments:
    """What ``add_segments`` writes; the rows are made while they are read."""
    ordered = sorted(documents, key=lambda document: document[0])
    parts = [ordered[i : i + SEGMENT] for i in range(0, len(ordered), SEGMENT)]
    return Segments(parts, (block for part in parts for block in _blocks(table, part)))


def add_segments(table: Table, made: Segments) -> Plan[None]:
    """List documents as segments of their own."""
    parts = made.parts
    if not parts:
        return
    blocks = chain([b"PGCOPY\n\xff\r\n\0" + bytes(8)], made.rows, [b"\xff\xff"])
    columns = sql.SQL("(segment, block, tenant_id, scope, term, postings, terms, ends)")
    if table.multi:  # COPY does not work into a table under row-level security
        temporary = sql.SQL(
            "CREATE TEMP TABLE IF NOT EXISTS rag_postings (segment bigint, block integer, tenant_id text, scope text, "
            "term text, postings bytea, terms text[], ends integer[]) ON COMMIT DROP"
        )
        yield Execute(temporary, prepare=False)
        yield Execute(sql.SQL("DELETE FROM pg_temp.rag_postings"), prepare=False)
        copy = sql.SQL("COPY pg_temp.rag_postings {} FROM STDIN (FORMAT BINARY)").format(columns)
        yield CopyIn(copy, blocks)
        insert = sql.SQL(
            "INSERT INTO {} {} SELECT segment, block, tenant_id, scope, term, postings, terms, ends "
            "FROM pg_temp.rag_postings"
        )
        yield Execute(insert.format(table.relation("postings"), columns), prepare=False)
    else:
        copy = sql.SQL("COPY {} {} FROM STDIN (FORMAT BINARY)").format(table.relation("postings"), columns)
        yield CopyIn(copy, blocks)
    rows = [
        (*owner_of(table), part[0][0], part[-1][0], len(part), sum(t.length for _, t in part), _buckets(part))
        for part in parts
    ]
    one = sql.SQL("(%s, %s, %s, %s, %s, %s, %s)")
    yield Execute(
        sql.SQL("INSERT INTO {} (tenant_id, scope, segment, last, documents, length, buckets) VALUES {}").format(
            table.relation("segments"), sql.SQL(", ").join([one] * len(rows))
        ),
        [value for row in rows for value in row],
        prepare=False,
    )


_END = np.dtype([("size", ">i4"), ("value", ">i4")])
_length = struct.Struct(">i").pack
_block_number = struct.Struct(">ii").pack
_array_head = struct.Struct(">iiiiii").pack  # bytes, dimensions, nulls, type, elements, first index
_INT4, _TEXT = 23, 25
_NO_TERMS = _length(-1) * 2


def _blocks(table: Table, documents: Sequence[tuple[int, Terms]]) -> Iterator[bytes]:
    """A segment's rows in PostgreSQL's binary COPY format, header and trailer aside."""
    segment = documents[0][0]
    vocabulary, words, document, tf = _sorted(documents)
    names = [word.encode() for word in vocabulary]
    keys: list[tuple[bytes, Sequence[bytes]]] = [(name, ()) for name in names]
    counts = np.bincount(words, minlength=len(names))
    if buckets := _buckets(documents):
        bucket = np.fromiter(map(zlib.crc32, names), dtype=np.int64, count=len(names)) % buckets
        order = np.argsort(bucket[words], kind="stable")
        document, tf = document[order], tf[order]
        by_bucket = np.argsort(bucket, kind="stable")
        ends = np.cumsum(counts[by_bucket])
        edges = np.searchsorted(bucket[by_bucket], np.arange(buckets + 1)).tolist()
        used = [(i, by_bucket[a:b].tolist()) for i, (a, b) in enumerate(pairwise(edges)) if a < b]
        keys = [(f"\x01{i}".encode(), [names[word] for word in mine]) for i, mine in used]
        counts = np.bincount(bucket[words], minlength=buckets)[[i for i, _ in used]]
        local = ends - np.repeat(np.cumsum(counts) - counts, [len(mine) for _, mine in used])
        upto = np.empty(len(local), dtype=_END)
        upto["size"], upto["value"] = 4, local
        limits = memoryview(upto.tobytes())
    offsets = np.array([seq - segment for seq, _ in documents], dtype=np.int64) << _SEQ_SHIFT
    heads = offsets | np.array([terms.length for _, terms in documents], dtype=np.int64)
    packed = np.concatenate([heads, heads[document] | (tf << _TF_SHIFT)]).astype(">i8")
    starts = np.cumsum([0, len(heads), *counts.tolist()]).tolist()
    data = memoryview(packed.tobytes())
    width = packed.itemsize
    head = struct.pack(">hiq", 8, 8, segment)
    owner = b"".join(_length(len(value)) + value for value in (part.encode() for part in owner_of(table)))
    out: list[bytes | memoryview] = []
    size = place = 0
    for (key, terms), (start, end) in zip([(b"", ()), *keys], pairwise(starts), strict=True):
        named = owner + _length(len(key)) + key
        held: Sequence[bytes | memoryview] = (_NO_TERMS,)
        if terms:
            listed = b"".join([_length(len(term)) + term for term in terms])
            held = (
                _array_head(20 + len(listed), 1, 0, _TEXT, len(terms), 1),
                listed,
                _array_head(20 + len(terms) * _END.itemsize, 1, 0, _INT4, len(terms), 1),
                limits[place * _END.itemsize : (place + len(terms)) * _END.itemsize],
            )
            place += len(terms)
        step = end - start if terms else BLOCK
        for block, at in enumerate(range(start, end, step)):
            count = min(step, end - at)
            out += (
                head,
                _block_number(4, block),
                named,
                _length(count * width),
                data[at * width : (at + count) * width],
                *held,
            )
            size += count * width
        if size >= 1 << 18:
            yield b"".join(out)
            out, size = [], 0
    yield b"".join(out)


def _sorted(
    documents: Sequence[tuple[int, Terms]],
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The vocabulary, and for each posting, ordered by word and document, the indices of both and the frequency."""
    indices = np.array([terms.index for _, terms in documents], dtype=np.int64)
    batch = documents[0][1].batch
    if batch is not None and all(t.batch is batch for _, t in documents) and bool((np.diff(indices) > 0).all()):
        vocabulary, word, text, tf = batch.postings
        place = np.full(len(batch), -1, dtype=np.int64)
        place[indices] = np.arange(len(documents))
        document = place[text]
        listed = document >= 0
        return vocabulary, word[listed], document[listed], tf[listed]
    words: list[str] = []
    frequencies: list[int] = []
    for _, terms in documents:
        words.extend(terms.counts)
        frequencies.extend(terms.counts.values())
    vocabulary = sorted(set(words))
    code = {word: i for i, word in enumerate(vocabulary)}
    codes = np.fromiter(map(code.__getitem__, words), dtype=np.int64, count=len(words))
    order = np.argsort(codes, kind="stable")  # documents stay in the order of seq
    document = np.repeat(np.arange(len(documents)), [len(terms.counts) for _, terms in documents])
    return vocabulary, codes[order], document[order], np.array(frequencies, dtype=np.int64)[order]


# ------------------------------------------------------------------------------------------------ pending, merging

#: From CTEs ``documents`` (seq, length) and ``live`` (term, seq, tf, length; every document under the term '' as well)
#: to a segment. Searches do not need postings in the order of seq, and sorting them would be most of the work.
_STORE = sql.SQL(
    """, named AS MATERIALIZED (
    SELECT min(seq) AS segment FROM documents
), listed AS MATERIALIZED (
    SELECT term, string_agg(
        int8send(((seq - (SELECT segment FROM named)) << 32) | (tf::bigint << 21) | length::bigint), ''
    ) AS postings FROM live GROUP BY term
), stored AS (
    INSERT INTO {postings} (segment, block, tenant_id, scope, term, postings)
    SELECT (SELECT segment FROM named), block, %s, %s, term, substring(postings FROM block * {bytes} + 1 FOR {bytes})
    FROM (
        SELECT *, generate_series(0, (octet_length(postings) - 1) / {bytes}) AS block FROM listed
    ) AS divided
    ORDER BY term, block
)
INSERT INTO {segments} (tenant_id, scope, segment, last, documents, length)
SELECT %s, %s, min(seq), max(seq), count(*), sum(length) FROM documents HAVING count(*) > 0"""
)

_FLUSH = sql.SQL(
    """WITH taken AS (
    DELETE FROM {pending} WHERE tenant_id = %s AND scope = %s RETURNING seq, length, terms
), dead AS (
    DELETE FROM {tombstones} t
    WHERE t.tenant_id = %s AND t.scope = %s AND t.seq = ANY (ARRAY(SELECT seq FROM taken)) RETURNING t.seq
), documents AS MATERIALIZED (
    SELECT seq, length, terms FROM taken WHERE seq NOT IN (SELECT d.seq FROM dead d)
), live AS (
    SELECT '' AS term, seq, 0 AS tf, length FROM documents
    UNION ALL SELECT e.key, seq, e.value::integer, length FROM documents, jsonb_each_text(terms) AS e
)"""
)

_MERGE = sql.SQL(
    """WITH old AS (
    DELETE FROM {segments} WHERE tenant_id = %s AND scope = %s AND segment = ANY(%s::bigint[]) RETURNING segment
), taken AS (
    -- The concatenation decompresses them, once.
    DELETE FROM {postings} WHERE tenant_id = %s AND scope = %s AND segment = ANY(%s::bigint[])
    RETURNING segment, term, postings || '' AS postings, terms, ends
), lists AS (
    SELECT segment, term, postings FROM taken WHERE terms IS NULL
    UNION ALL SELECT segment, term, substring(postings FROM 8 * coalesce(ends[n - 1], 0) + 1
        FOR 8 * (ends[n] - coalesce(ends[n - 1], 0))) FROM (
        SELECT segment, unnest(terms) AS term, generate_subscripts(terms, 1) AS n, postings, ends
        FROM taken WHERE terms IS NOT NULL
    ) AS bucket
), numbers AS NOT MATERIALIZED (
    -- bytea has no quicker way to a number before Postgres 18.
    SELECT segment, term, ('x' || encode(substring(postings FROM 8 * n + 1 FOR 8), 'hex'))::bit(64)::bigint AS posting
    FROM (
        SELECT segment, term, postings, generate_series(0, octet_length(postings) / 8 - 1) AS n FROM lists
    ) AS each_of_them
), held AS MATERIALIZED (
    SELECT segment + (posting >> 32) AS seq, (posting & 2097151)::integer AS length FROM numbers WHERE term = ''
), dead AS (
    -- ANY and NOT IN: an index scan and a hashed subplan, where joins of unknown size become nested loops.
    DELETE FROM {tombstones} t
    WHERE t.tenant_id = %s AND t.scope = %s AND t.seq = ANY (ARRAY(SELECT seq FROM held)) RETURNING t.seq
), documents AS MATERIALIZED (
    -- Reads old, so that its rows are gone before one of the same name comes: what nobody reads is run last.
    SELECT h.* FROM held h WHERE h.seq NOT IN (SELECT d.seq FROM dead d) AND (SELECT count(*) FROM old) > 0
), live AS (
    SELECT term, segment + (posting >> 32) AS seq, posting >> 21 & 2047 AS tf, posting & 2097151 AS length
    FROM numbers WHERE segment + (posting >> 32) NOT IN (SELECT d.seq FROM dead d)
)"""
)
_LOCK = sql.SQL("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 3))")
_SEGMENTS = sql.SQL(
    "SELECT s.segment, s.documents, (SELECT count(*) FROM {tombstones} t WHERE t.tenant_id = s.tenant_id "
    "AND t.scope = s.scope AND t.seq BETWEEN s.segment AND s.last) FROM {segments} s "
    "WHERE s.tenant_id = %s AND s.scope = %s ORDER BY s.segment"
)


def clean_up(table: Table, *, flush_all: bool = False, limit: int = WRITE_MERGE) -> Plan[bool]:
    """Make pending documents a segment and merge what should be merged, at most ``limit`` documents; False if nothing
    was left to do, or somebody else is at it.

    Run it in a transaction. Nobody waits for the lock that it takes.
    """
    rows = yield Execute(_LOCK, ("\x01".join((table.collection, *owner_of(table))),))
    if not rows[0][0]:
        return False
    owner = list(owner_of(table))
    if flush_all:
        yield _step(table, [_FLUSH, _STORE], owner * 4)
    rows = yield _step(table, [_SEGMENTS], owner)
    chosen = choose([Segment(*row) for row in rows], limit=limit)
    if chosen:
        names = [segment.name for segment in chosen]
        yield _step(table, [_MERGE, _STORE], [*owner, names, *owner, names, *owner * 3])
    return bool(chosen)


def choose(segments: Sequence[Segment], *, limit: int) -> list[Segment]:
    """The segments to write as one: those of a size when there are ``FANOUT`` of them, or one with many dead."""
    tiers: dict[int, list[Segment]] = {}
    for segment in segments:
        tier = 0
        while segment.documents > 2 * PENDING * FANOUT**tier:
            tier += 1
        tiers.setdefault(tier, []).append(segment)
    for _, alike in sorted(tiers.items()):
        if len(alike) >= FANOUT and sum(segment.documents for segment in alike[:FANOUT]) <= limit:
            return alike[:FANOUT]
    dying = [s for s in segments if s.dead >= DEAD_SHARE * s.documents and s.documents <= max(limit, SEGMENT)]
    return sorted(dying, key=lambda segment: segment.dead)[-1:]


def _step(table: Table, parts: Sequence[sql.SQL], params: list[Any]) -> Execute:
    relations = {kind: table.relation(kind) for kind in KEYWORD_KINDS}
    composed = [part.format(**relations, bytes=sql.Literal(8 * BLOCK)) for part in parts]
    return Execute(sql.Composed(composed), params)
