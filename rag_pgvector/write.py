"""Plans that change chunks. Many rows go by binary COPY: into the table if it has no tenants and none of the ids, else
into a temporary table and from there in one statement. They are sorted by key, so that concurrent writers lock rows in
one order (unsorted, six writers got 116 deadlocks in five seconds)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

from psycopg import sql

from rag_pgvector import copying, postings
from rag_pgvector.analysis import analyser
from rag_pgvector.plan import Batch, CopyIn, Execute, Plan, Row, Together, computed
from rag_pgvector.records import (
    COLUMNS,
    MAX_DOCUMENT_ID_BYTES,
    MAX_ID_BYTES,
    TYPES,
    Record,
    check,
    check_length,
    check_text,
    embedding_hash,
    json_text,
    new_id,
    prepare,
)
from rag_pgvector.table import Table
from rag_pgvector.types import WriteCounts

__all__ = [
    "MAX_DOCUMENT_ID_BYTES",
    "MAX_ID_BYTES",
    "Record",
    "check",
    "check_length",
    "check_text",
    "delete",
    "embedding_hash",
    "json_text",
    "new_id",
    "prepare",
    "stage",
    "store_foreign",
    "store_staged",
    "upsert",
]

#: Up to this many rows, one INSERT is quicker than a staging table (measured with 384 dimensions: equal at 35 rows).
SMALL_WRITE = 32
#: Postings of so many rows are made ahead and held, 1.5 kB a row of 70 words.
_EAGER = postings.SEGMENT
#: Rows that are stored before the others' terms are counted: with a vector index, about the time that hundreds take.
_FIRST = 64
#: Seconds that a thread waits, so that the next statement is on its way before the two compete for the interpreter.
_HEAD_START = 0.001
#: Bytes up to which a staged row stays whole; by default the vector of one of more than 2 kB is kept apart.
_WIDEST_ROW = 8_160
T = TypeVar("T")

_COLUMN_LIST = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))


# ------------------------------------------------------------------------------------------------------------ plans


def upsert(table: Table, records: Sequence[Record]) -> Plan[WriteCounts]:
    """Insert records or replace those of the same id; rows that would not change are not touched. One transaction."""
    if not records:
        return WriteCounts()
    if not table.layout.unique:  # nothing else keeps two writers from storing an id twice
        yield Execute(_LOCK, (table.identifier.as_string(None),))
    if len(records) <= SMALL_WRITE:
        ordered = sorted(records, key=lambda record: record.id)
        params: list[Any] = []
        for record in ordered:
            params += [*record.values(), postings.json_counts(record.terms)]
        rows = yield Execute(_upsert_query(table, len(ordered), listed=True), [*params, *_owners(table)])
        return (yield from _written(table, rows[0], len(records)))
    if len(records) > postings.PENDING and table.has_keywords and table.layout.unique:
        if not table.multi and (yield from _insert(table, records)):
            return WriteCounts(added=len(records))
        return (yield from _upsert_ahead(table, records))
    seqs = yield from stage(table, records)
    return (yield from store_staged(table, records, seqs))


def _insert(table: Table, records: Sequence[Record]) -> Plan[bool]:
    """Store records by COPY into the table itself, where none of their ids is there: nothing is written twice, and the
    server stores the first while the others' terms are counted. False where an id is there, or came meanwhile."""
    taken = sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} AND id = ANY(%s::text[]))").format(
        table.identifier, table.owner_condition
    )
    find = Execute(taken, (*table.owner, [record.id for record in records]), prepare=False)
    drawn, [(known,)] = yield Together([_draw(table, len(records)), find])
    if known:
        return False
    documents = [(seq, record.terms) for (seq,), record in zip(drawn, records, strict=True)]
    order = sorted(range(len(records)), key=lambda i: records[i].id)
    made: list[Future[postings.Segments]] = []

    def blocks() -> Iterator[bytes]:
        yield from copying.rows([(records[i], documents[i][0]) for i in order], owner=table.owner)
        if len(documents) <= _EAGER:  # while the server stores the last ones
            made.append(_in_thread(lambda: _made(postings.segments_of(table, documents))))

    columns = sql.SQL(", ").join(map(sql.Identifier, (*table.owner_columns, *COLUMNS, "seq")))
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(table.identifier, columns)
    [(stored,)] = yield CopyIn(copy, blocks(), or_undo=True)
    if stored:
        segments = (yield from computed(made[0].result)) if made else postings.segments_of(table, documents)
        yield from postings.add_segments(table, segments)
        yield from postings.clean_up(table)
    return bool(stored)


def _upsert_ahead(table: Table, records: Sequence[Record]) -> Plan[WriteCounts]:
    """Store the first records while the others' terms are counted, and the others while postings are made of them: the
    server's part, insertion into the vector index above all, and Python's run side by side."""
    # Not one way with _insert: COPY knows no conflict of ids and no row-level security. Staged at once, as few rows
    # are, all rows would be counted while the server waits.
    seqs = yield from _staging(table, len(records))
    pairs = sorted(zip(records, seqs, strict=True), key=lambda pair: pair[0].id)
    yield _copy(table, pairs[:_FIRST], listed=False)
    counted = _in_thread(lambda: [record.terms.length for record, _ in pairs])
    first = yield Execute(_upsert_query(table, None, listed=False), table.owner, prepare=False)
    yield Execute(sql.SQL("DELETE FROM pg_temp.rag_staging"), prepare=False)
    yield from computed(counted.result)
    yield _copy(table, pairs[_FIRST:], listed=False)
    return (yield from store_staged(table, records, seqs, before=first[0]))


def stage(table: Table, records: Sequence[Record]) -> Plan[Sequence[int]]:
    """Fill the temporary table ``rag_staging`` of this transaction; returns the ``seq`` that each record was given."""
    seqs = yield from _staging(table, len(records))
    yield _copy(table, list(zip(records, seqs, strict=True)), listed=len(records) <= postings.PENDING)
    return seqs


def _staging(table: Table, count: int) -> Plan[Sequence[int]]:
    typed = zip((*COLUMNS, "seq", "terms"), (*TYPES, "bigint", "jsonb"), strict=True)
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), table.vector_type if type_ == "vector" else sql.SQL(type_))
        for name, type_ in typed
    )
    create = Execute(_CREATE_STAGING.format(columns, sql.Literal(_WIDEST_ROW)), prepare=False)
    if not table.has_keywords:
        yield create
        return range(count)
    # Drawn beforehand, so that it is known which rows got theirs: a row whose content stays keeps its old one.
    rows = yield Batch([create, _draw(table, count)])
    return [row[0] for row in rows]


def _draw(table: Table, count: int) -> Execute:
    draw = sql.SQL("SELECT nextval({}) FROM generate_series(1, %s)").format(_sequence(table))
    return Execute(draw, (count,), prepare=False)


_CREATE_STAGING = sql.SQL("CREATE TEMP TABLE rag_staging ({}) WITH (toast_tuple_target = {}) ON COMMIT DROP")


def _copy(table: Table, records: Sequence[tuple[Record, int]], *, listed: bool) -> CopyIn:
    copy = sql.SQL("COPY pg_temp.rag_staging ({}, seq, terms) FROM STDIN (FORMAT BINARY)").format(_COLUMN_LIST)
    terms = _listed_terms if listed else _no_terms
    return CopyIn(copy, copying.rows(records, terms=terms))


def _listed_terms(record: Record) -> bytes:
    return copying.jsonb(postings.json_counts(record.terms))


def _no_terms(record: Record) -> bytes:
    return copying.NULL


def store_staged(
    table: Table, records: Sequence[Record], seqs: Sequence[int], *, before: Row = (0, 0, None)
) -> Plan[WriteCounts]:
    """Upsert the staged records and list the terms of ``records`` for keyword search.

    ``before`` is what the upsert of those that are staged no more returned: added, updated, their ``seq``.
    """
    listed = len(records) <= postings.PENDING
    params = _owners(table) if listed else table.owner
    documents = [(seq, record.terms) for record, seq in zip(records, seqs, strict=True)]
    made = None
    if table.has_keywords and not listed and len(documents) <= _EAGER:
        # Most often every row is new: their postings are made while the server stores them.
        made = _in_thread(lambda: _made(postings.segments_of(table, documents)))
    rows = yield Execute(_upsert_query(table, None, listed=listed), params, prepare=False)
    if table.has_keywords and not listed:
        changed = {*(before[2] or ()), *(rows[0][2] or ())}
        if made is None or len(changed) < len(documents):
            segments = postings.segments_of(table, [each for each in documents if each[0] in changed])
        else:
            segments = yield from computed(made.result)
        yield from postings.add_segments(table, segments)
        yield from postings.clean_up(table)
    added, updated, third = rows[0]
    return (yield from _written(table, (before[0] + added, before[1] + updated, third), len(records)))


def _made(segments: postings.Segments) -> postings.Segments:
    return replace(segments, rows=list(segments.rows))


def _in_thread(work: Callable[[], T]) -> Future[T]:
    # A thread of its own: a pool's would be missing in a process that was forked.
    future: Future[T] = Future()

    def run() -> None:
        time.sleep(_HEAD_START)
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  # raised again by result()
            future.set_exception(error)

    threading.Thread(target=run, name="rag_pgvector terms", daemon=True).start()
    return future


def store_foreign(table: Table, count: int) -> Plan[WriteCounts]:
    """Upsert ``count`` rows that SQL staged, ``seq`` included, and list them for keyword search: of those that are new
    or have another text, the text is read and counted here."""
    query = sql.SQL(
        "SELECT s.seq, s.content FROM pg_temp.rag_staging AS s LEFT JOIN {} AS c ON c.id = s.id AND {} "
        "WHERE c.content IS DISTINCT FROM s.content"
    )
    rows = yield Execute(query.format(table.identifier, table.owner_condition), table.owner, prepare=False)
    analysed = analyser(table.config.language).all_terms([content for _, content in rows])
    documents = [(seq, terms) for (seq, _), terms in zip(rows, analysed, strict=True)]
    if documents:
        lengths = sql.SQL(
            "UPDATE pg_temp.rag_staging AS s SET keyword_length = v.length "
            "FROM unnest(%s::bigint[], %s::integer[]) AS v(seq, length) WHERE s.seq = v.seq"
        )
        yield Execute(lengths, ([seq for seq, _ in documents], [t.length for _, t in documents]), prepare=False)
    rows = yield Execute(_upsert_query(table, None, listed=False), table.owner, prepare=False)
    changed = set(rows[0][2] or ())
    written = [document for document in documents if document[0] in changed]
    yield from postings.add_segments(table, postings.segments_of(table, written))
    yield from postings.clean_up(table)
    return WriteCounts(added=rows[0][0], updated=rows[0][1], unchanged=count - rows[0][0] - rows[0][1])


def _written(table: Table, row: Row, count: int) -> Plan[WriteCounts]:
    added, updated, pending = row
    if isinstance(pending, int) and pending >= postings.PENDING:
        yield from postings.clean_up(table, flush_all=True)
    return WriteCounts(added=added, updated=updated, unchanged=count - added - updated)


def _sequence(table: Table) -> sql.Composed:
    return sql.SQL("{}::regclass").format(sql.Literal(table.sequence.as_string(None)))


def _owners(table: Table) -> list[str]:
    """The parameters that follow the rows' own in ``_upsert_query``."""
    return [*table.owner, *(postings.owner_of(table) * 2 if table.has_keywords else ())]


@lru_cache(maxsize=256)
def _upsert_query(table: Table, rows: int | None, *, listed: bool) -> bytes:
    """The upsert from ``rows`` tuples of parameters, or from the staging table (None).

    ``listed`` puts what is new into the keyword index's pending documents and returns how many there were before;
    else the ``seq`` of every row written is returned.
    """
    layout, keywords = table.layout, table.has_keywords
    if rows is None:
        given: sql.Composable = sql.SQL("SELECT * FROM pg_temp.rag_staging")
    else:
        one = sql.SQL(", ").join(
            sql.SQL("%s::{}").format(table.vector_type if type_ == "vector" else sql.SQL(type_))
            for type_ in (*TYPES, "jsonb")
        )
        given = sql.SQL("SELECT {} AS seq, v.* FROM (VALUES {}) AS v({}, terms)").format(
            sql.SQL("nextval({})").format(_sequence(table)) if keywords else sql.SQL("NULL::bigint"),
            sql.SQL(", ").join([sql.SQL("({})").format(one)] * rows),
            _COLUMN_LIST,
        )
    values, join = layout.values(table.identifier)
    owner = [sql.SQL("%s::text")] * len(table.owner_columns)
    pending = table.relation("pending")
    return (
        (_UPSERT if layout.unique else _REPLACE)
        .format(
            table=table.identifier,
            target=sql.SQL(", ").join(map(layout.column, (*table.owner_columns, *layout.written))),
            values=sql.SQL(", ").join([*owner, values]),
            given=given,
            materialized=sql.SQL("NOT MATERIALIZED" if rows is None else "MATERIALIZED"),
            join=join,
            id=layout.column(layout.id),
            key=table.key,
            assignments=layout.assignments,
            changed=layout.changed,
            seq=sql.SQL("c.seq" if keywords else "0"),
            listing=_LISTING.format(pending) if keywords and listed else sql.SQL(""),
            third=sql.SQL("0") if not keywords else _COUNTED.format(pending) if listed else sql.SQL("array_agg(seq)"),
        )
        .as_bytes(None)
    )


_LOCK = sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended(%s, 4))")
# The order is that of sorted(), so that small and large writes lock rows in one order.
_UPSERT = sql.SQL("""WITH given AS {materialized} ({given}), written AS (
    INSERT INTO {table} AS c ({target})
    SELECT {values} FROM (SELECT * FROM given ORDER BY id COLLATE "C") AS s{join}
    ON CONFLICT ({key}) DO UPDATE SET {assignments}
    WHERE {changed}
    RETURNING {seq} AS seq, xmax = 0 AS added
){listing}
SELECT count(*) FILTER (WHERE added), count(*) FILTER (WHERE NOT added), {third} FROM written""")
_LISTING = sql.SQL(""", listed AS (
    INSERT INTO {} (tenant_id, scope, seq, length, terms)
    SELECT %s, %s, seq, keyword_length, terms FROM given JOIN written USING (seq)
)""")
_COUNTED = sql.SQL("(SELECT count(*) FROM {} WHERE tenant_id = %s AND scope = %s)")
#: Where ids are in no unique index. Both parts see the table as it was, so that the new rows are not deleted.
_REPLACE = sql.SQL("""WITH s AS MATERIALIZED ({given}), gone AS (
    DELETE FROM {table} AS c USING s WHERE c.{id} = s.id RETURNING s.id
), written AS (
    INSERT INTO {table} ({target}) SELECT {values} FROM s{join} RETURNING 1
)
SELECT w.count - g.count, g.count, {third}
FROM (SELECT count(*) FROM written) AS w, (SELECT count(DISTINCT id) FROM gone) AS g""")


def delete(table: Table, where: sql.Composed, params: Sequence[Any]) -> Plan[int]:
    """Delete the rows that ``where`` selects; returns how many."""
    query = sql.SQL("WITH gone AS (DELETE FROM {} AS c WHERE {} RETURNING 1) SELECT count(*) FROM gone")
    rows = yield Execute(query.format(table.identifier, where), params)
    return int(rows[0][0])
