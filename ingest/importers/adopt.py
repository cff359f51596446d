"""Copies rows of a foreign table into a collection, page by page in the order of its key.

Where both are in one database the vectors never leave it: each page is one INSERT ... SELECT into the staging table
that every large write goes through, and only the texts are read, for the keyword index. Otherwise a page is read there
and copied in here. A page is one transaction, and a row that is here already is not written again: an import that was
killed is simply run again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from psycopg import sql

from rag_pgvector import connect, intake, write
from rag_pgvector.analysis import analyser
from rag_pgvector.collection import Collection
from rag_pgvector.database import Database
from rag_pgvector.errors import ConfigError
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import Table
from rag_pgvector.types import WriteCounts
from rag_pgvector.vectors import VectorParam

__all__ = ["AdoptReport", "PeerRows", "adopt", "dimensions_of"]

#: Rows in a page: some 10 MB of 384 dimensions.
PAGE = 5_000


@dataclass(frozen=True, kw_only=True)
class PeerRows:
    """The rows to adopt, as SQL expressions over ``relation``.

    Attributes:
        relation: What stands behind FROM.
        tables: The tables that must be readable.
        key: A unique column, which the pages follow; best the primary key.
        id: text; of an id that comes twice the row with the greatest key stays.
        content: text.
        embedding: vector or halfvec.
        metadata: jsonb, or NULL.
        document_id: text; None takes the metadata's ``document_id`` where it is a text.
        source, page_or_row, char_start, char_end: The chunk's place; None takes ``source`` from the metadata, where it
            is a text, and leaves the others empty.
        node: jsonb, as rag_pgvector.llamaindex has it.
        condition: Which rows, with its ``params``; None for all.
    """

    relation: sql.Composable
    tables: tuple[sql.Identifier, ...]
    key: sql.Composable
    id: sql.Composable
    content: sql.Composable
    embedding: sql.Composable
    metadata: sql.Composable
    document_id: sql.Composable | None = None
    source: sql.Composable | None = None
    page_or_row: sql.Composable | None = None
    char_start: sql.Composable | None = None
    char_end: sql.Composable | None = None
    node: sql.Composable | None = None
    condition: sql.Composable | None = None
    params: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptReport:
    """What an import did, in rows. ``rows`` is the sum of added, updated, unchanged and the three that were not taken.

    Attributes:
        via: ``server``: the vectors never left the database; ``stream``: they came from another one.
        without_embedding: Taken, to be embedded later: they had none,
        other_dimensions: ... one of another length than most,
        zero_vectors: ... or one of zeros, which cosine cannot rank.
        without_content: Not taken: no text.
        unusable_ids: Not taken: no id, or one of more than 512 bytes.
        duplicate_ids: Not taken: a later row of the same page has the same id.
    """

    collection: str
    via: Literal["server", "stream"]
    rows: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    without_embedding: int = 0
    other_dimensions: int = 0
    zero_vectors: int = 0
    without_content: int = 0
    unusable_ids: int = 0
    duplicate_ids: int = 0


_COUNTED = ("without_embedding", "other_dimensions", "zero_vectors")
_REFUSED = ("without_content", "unusable_ids", "duplicate_ids")


def adopt(
    source: Database,
    rows: PeerRows,
    collection: Collection,
    *,
    page: int = PAGE,
    progress: Callable[[int], None] | None = None,
) -> AdoptReport:
    """Copy ``rows`` of ``source`` into a collection (bound to a tenant, where it has tenants).

    Rows that change behind the reader while it works may be missed: run it again. Raises DatabaseError, TenantError.
    """
    table = collection._table
    table.require_tenant()
    table.require_native("room for a foreign row")
    server = connect.same_database(source.url, collection.database.url) and collection.database.run(
        lambda: _readable(rows.tables), retry=True
    )
    report = AdoptReport(collection=collection.name, via="server" if server else "stream")
    after: str | None = None
    while True:
        if server:
            found, written = collection._run(partial(_move, table, rows, after, page), atomic=True, retry=True)
        else:
            found, records = source.run(partial(_read, table, rows, after, page), retry=True)
            written = collection._run(partial(write.upsert, table, records), atomic=True, retry=True)
        if not found.rows:
            intake.take_in(collection.database, table)  # merges what the pages listed
            collection._note_write(report.rows)
            return report
        after = found.last
        report = _sum(report, found, written)
        if progress is not None:
            progress(report.rows)


def dimensions_of(rows: PeerRows) -> Plan[int | None]:
    """The length of most of the first thousand embeddings; None where there are none."""
    query = sql.SQL(
        "SELECT dims FROM (SELECT vector_dims(({embedding})::vector) AS dims FROM {relation} "
        "WHERE ({embedding}) IS NOT NULL AND {condition} LIMIT 1000) AS sample GROUP BY dims "
        "ORDER BY count(*) DESC, dims LIMIT 1"
    ).format(embedding=rows.embedding, relation=rows.relation, condition=rows.condition or sql.SQL("true"))
    found = yield Execute(query, rows.params)
    return int(found[0][0]) if found else None


@dataclass(frozen=True, slots=True)
class _Page:
    last: str | None
    rows: int
    counts: dict[str, int]


def _sum(report: AdoptReport, page: _Page, written: WriteCounts) -> AdoptReport:
    changes = {name: getattr(report, name) + page.counts[name] for name in (*_COUNTED, *_REFUSED)}
    for name in ("added", "updated", "unchanged"):
        changes[name] = getattr(report, name) + getattr(written, name)
    return replace(report, rows=report.rows + page.rows, **changes)


# ------------------------------------------------------------------------------------------------------------ plans


def _readable(tables: Sequence[sql.Identifier]) -> Plan[bool]:
    """Whether the role sees and may read all of these tables."""
    for table in tables:
        query = sql.SQL("SELECT coalesce(has_table_privilege(to_regclass(%s), 'SELECT'), false)")
        if not (yield Execute(query, (table.as_string(None),)))[0][0]:
            return False
    return True


def _move(table: Table, rows: PeerRows, after: str | None, page: int) -> Plan[tuple[_Page, WriteCounts]]:
    """One page, inside the database."""
    yield from write.stage(table, ())
    query = sql.SQL(
        "{judged}, moved AS (INSERT INTO pg_temp.rag_staging (id, document_id, source, page_or_row, char_start, "
        "char_end, node, content, metadata, embedding, embedding_hash, seq) SELECT id, document_id, source, "
        "page_or_row, char_start, char_end, node, content, metadata, CASE WHEN lack IS NULL THEN "
        "embedding::{type} END, CASE WHEN lack IS NULL THEN sha256(convert_to(chr(1) || content, 'UTF8')) END, "
        "nextval({sequence}) FROM judged WHERE fault IS NULL) "
        "SELECT (array_agg(key_text ORDER BY key DESC))[1], count(*), {counts} FROM judged"
    ).format(
        judged=_judged(table, rows, after),
        type=table.vector_type,
        sequence=sql.Literal(table.sequence.as_string(None)),
        counts=sql.SQL(", ").join(
            sql.SQL("count(*) FILTER (WHERE {} = {}{})").format(
                sql.SQL("lack" if name in _COUNTED else "fault"),
                sql.Literal(name),
                sql.SQL(" AND fault IS NULL" if name in _COUNTED else ""),
            )
            for name in (*_COUNTED, *_REFUSED)
        ),
    )
    answer = (yield Execute(query, _params(rows, after, page), prepare=False))[0]
    found = _Page(answer[0], answer[1], dict(zip((*_COUNTED, *_REFUSED), answer[2:], strict=True)))
    taken = found.rows - sum(found.counts[name] for name in _REFUSED)
    return found, (yield from write.store_foreign(table, taken))


def _read(table: Table, rows: PeerRows, after: str | None, page: int) -> Plan[tuple[_Page, list[write.Record]]]:
    """One page, out of another database."""
    query = sql.SQL(
        "{judged} SELECT key_text, fault, lack, id, document_id, source, page_or_row, char_start, char_end, content, "
        "metadata::text, node::text, "
        "CASE WHEN lack IS NULL AND fault IS NULL THEN embedding::{type} END FROM judged ORDER BY key"
    ).format(judged=_judged(table, rows, after), type=table.vector_type)
    answer = yield Execute(query, _params(rows, after, page), prepare=False)
    counts = dict.fromkeys((*_COUNTED, *_REFUSED), 0)
    analyse = analyser(table.config.language).terms
    records = []
    for _, fault, lack, id_, document_id, source, page, start, end, content, metadata, node, embedding in answer:
        if fault is not None or lack is not None:
            counts[fault or lack] += 1
        if fault is None:
            vector = None if embedding is None else VectorParam(embedding)
            made = None if vector is None else write.embedding_hash(content)
            place = (document_id, source, page, start, end)
            records.append(write.Record(id_, *place, content, metadata, vector, made, node, analyse(content)))
    return _Page(answer[-1][0] if answer else None, len(answer), counts), records


def _params(rows: PeerRows, after: str | None, page: int) -> list[Any]:
    return [*rows.params, *([] if after is None else [after]), page]


def _judged(table: Table, rows: PeerRows, after: str | None) -> sql.Composed:
    """``WITH page AS ..., judged AS ...``: a page of rows in our terms, each with what it lacks or why it is not taken.

    The key goes out and comes back as text without a type, so that it compares as what its column is.
    """
    dimensions = table.config.dimensions
    if dimensions is None:
        raise ConfigError("the collection has no dimensions")
    return sql.SQL(
        "WITH page AS MATERIALIZED (SELECT {key} AS key, ({key})::text AS key_text, ({id})::text AS id, "
        "({content})::text AS content, ({embedding})::vector AS embedding, {metadata} AS given, "
        "{document} AS document, {source} AS source, {page} AS page_or_row, {start} AS char_start, "
        "{end} AS char_end, {node} AS node "
        "FROM {relation} WHERE {condition}{after} ORDER BY {key} LIMIT %s), "
        "clean AS (SELECT *, CASE WHEN given IS NULL OR jsonb_typeof(given) = 'null' THEN '{{}}' "
        "WHEN jsonb_typeof(given) = 'object' THEN given ELSE jsonb_build_object('metadata', given) END AS metadata "
        "FROM page), "
        "judged AS (SELECT key, key_text, id, content, embedding, metadata, page_or_row, char_start, char_end, node, "
        "CASE WHEN octet_length(document) BETWEEN 1 AND {most} THEN document "
        "WHEN {fallback} AND jsonb_typeof(given -> 'document_id') = 'string' "
        "AND octet_length(given ->> 'document_id') BETWEEN 1 AND {most} THEN given ->> 'document_id' END "
        "AS document_id, "
        "coalesce(source, CASE WHEN jsonb_typeof(given -> 'source') = 'string' THEN given ->> 'source' END) AS source, "
        "CASE WHEN content IS NULL THEN 'without_content' "
        "WHEN id IS NULL OR octet_length(id) NOT BETWEEN 1 AND {most_id} THEN 'unusable_ids' "
        "WHEN row_number() OVER (PARTITION BY id ORDER BY content IS NULL, key DESC) > 1 THEN 'duplicate_ids' "
        "END AS fault, "
        "CASE WHEN embedding IS NULL THEN 'without_embedding' "
        "WHEN vector_dims(embedding) <> {dimensions} THEN 'other_dimensions' "
        "WHEN {nonzero} AND vector_norm(embedding) = 0 THEN 'zero_vectors' END AS lack FROM clean)"
    ).format(
        key=rows.key,
        id=rows.id,
        content=rows.content,
        embedding=rows.embedding,
        metadata=rows.metadata,
        document=rows.document_id or sql.SQL("NULL::text"),
        fallback=sql.Literal(rows.document_id is None),
        source=rows.source or sql.SQL("NULL::text"),
        page=rows.page_or_row or sql.SQL("NULL::integer"),
        start=rows.char_start or sql.SQL("NULL::integer"),
        end=rows.char_end or sql.SQL("NULL::integer"),
        node=rows.node or sql.SQL("NULL::jsonb"),
        relation=rows.relation,
        condition=rows.condition or sql.SQL("true"),
        after=sql.SQL("") if after is None else sql.SQL(" AND {} > %s").format(rows.key),
        most=sql.Literal(write.MAX_DOCUMENT_ID_BYTES),
        most_id=sql.Literal(write.MAX_ID_BYTES),
        dimensions=sql.Literal(dimensions),
        nonzero=sql.Literal(table.config.distance == "cosine"),
    )
