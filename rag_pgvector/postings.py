"""Plans that keep a collection's keyword index: a log-structured inverted index in plain tables (keyword_schema.py).

Few documents are listed one by one in ``pending``; when there are enough of them they become a segment, and segments of
a size become one. The method is that of log-structured merge trees (O'Neil et al. 1996) and of Lucene's segments.
Whoever merges holds a lock that nobody waits for. All of it runs in the transaction of the write that caused it, so
that readers, whose statement is one, see it whole or not at all.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql

from rag_pgvector.analysis import BATCH, Terms, analyser
from rag_pgvector.plan import CopyIn, Execute, Plan, computed
from rag_pgvector.segment import Head, head_of, held, merged, part_of, rows_of
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
#: Documents in a segment: what a write merges, or a bulk load makes, at most.
WRITE_MERGE = 32_768
SEGMENT = BATCH
#: So many segments of a size become one.
FANOUT = 5
#: A segment with this share of dead documents is written anew.
DEAD_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment: its name, how many documents it was made of, and about how many of them are dead."""

    name: int
    documents: int
    dead: int


def code_of(term: str) -> int:
    """What decides a term's bucket: the rest of it divided by their number."""
    return zlib.crc32(term.encode())


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
    query = sql.SQL(
        "SELECT seq, content FROM {} WHERE {} AND keyword_length IS NULL ORDER BY seq LIMIT %s FOR UPDATE SKIP LOCKED"
    )
    rows = yield Execute(query.format(table.identifier, table.owner_condition), [*table.owner, limit])
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
    return Segments(parts, (block for part in parts for block in rows_of(part_of(part), owner_of(table))))


def add_segments(table: Table, made: Segments) -> Plan[None]:
    """List documents as segments of their own."""
    if made.parts:
        yield from _stored(table, made.rows, lambda: [head_of(part) for part in made.parts])


def _stored(table: Table, made: Iterable[bytes], heads: Callable[[], Sequence[Head]]) -> Plan[None]:
    blocks = chain([b"PGCOPY\n\xff\r\n\0" + bytes(8)], made, [b"\xff\xff"])
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
    rows = [(*owner_of(table), *head) for head in heads()]
    one = sql.SQL("(%s, %s, %s, %s, %s, %s, %s)")
    yield Execute(
        sql.SQL("INSERT INTO {} (tenant_id, scope, segment, last, documents, length, buckets) VALUES {}").format(
            table.relation("segments"), sql.SQL(", ").join([one] * len(rows))
        ),
        [value for row in rows for value in row],
        prepare=False,
    )


# ------------------------------------------------------------------------------------------------ pending, merging

_TAKE_PENDING = sql.SQL("DELETE FROM {pending} WHERE tenant_id = %s AND scope = %s RETURNING seq, length, terms")
_TAKE_SEGMENTS = sql.SQL("DELETE FROM {segments} WHERE tenant_id = %s AND scope = %s AND segment = ANY(%s::bigint[])")
_TAKE_POSTINGS = sql.SQL(
    "DELETE FROM {postings} WHERE tenant_id = %s AND scope = %s AND segment = ANY(%s::bigint[]) "
    "RETURNING segment, term, postings, terms, ends"
)
_TOMBSTONES = sql.SQL("SELECT seq FROM {tombstones} WHERE tenant_id = %s AND scope = %s AND seq BETWEEN %s AND %s")
_EXHUME = sql.SQL("DELETE FROM {tombstones} WHERE tenant_id = %s AND scope = %s AND seq = ANY(%s::bigint[])")
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
    if flush_all:
        yield from _flush(table)
    rows = yield _step(table, _SEGMENTS, owner_of(table))
    chosen = choose([Segment(*row) for row in rows], limit=limit)
    if chosen:
        yield from _merge(table, [segment.name for segment in chosen])
    return bool(chosen)


def _flush(table: Table) -> Plan[None]:
    """Pending documents as a segment, without the dead among them."""
    rows = yield _step(table, _TAKE_PENDING, owner_of(table))
    dead = yield from _exhumed(table, np.array([row[0] for row in rows], dtype=np.int64))
    gone = set(dead.tolist())
    live = [(seq, Terms(length, counts)) for seq, length, counts in rows if seq not in gone]
    yield from add_segments(table, segments_of(table, live))


def _merge(table: Table, names: Sequence[int]) -> Plan[None]:
    """One segment of several. In Postgres, bytea has no quick way to a number before version 18."""
    for taking in (_TAKE_SEGMENTS, _TAKE_POSTINGS):  # the last one's rows are read
        rows = yield _step(table, taking, (*owner_of(table), list(names)))
    seqs, _ = yield from computed(lambda: held(rows))
    dead = yield from _exhumed(table, seqs)
    part = yield from computed(lambda: merged(rows, dead))
    if part is not None:
        yield from _stored(table, rows_of(part, owner_of(table)), lambda: [part.head])


def _exhumed(table: Table, seqs: NDArray[np.int64]) -> Plan[NDArray[np.int64]]:
    """The tombstones of these documents, which are taken away: nothing will list them any more."""
    if not len(seqs):
        return seqs
    between = (*owner_of(table), int(seqs.min()), int(seqs.max()))
    rows = yield _step(table, _TOMBSTONES, between)
    dead = np.intersect1d(np.array([row[0] for row in rows], dtype=np.int64), seqs)
    if len(dead):
        yield _step(table, _EXHUME, (*owner_of(table), dead.tolist()))
    return dead


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


def _step(table: Table, query: sql.SQL, params: Sequence[Any]) -> Execute:
    return Execute(query.format(**{kind: table.relation(kind) for kind in KEYWORD_KINDS}), params)
