"""Plans that read chunks by key, and the WHERE clause that all reading and deleting share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from psycopg import sql

from rag_pgvector.arguments import as_ids, as_key
from rag_pgvector.filters import Filter, compile_filter, parse_filter
from rag_pgvector.plan import Execute, Plan, Row
from rag_pgvector.table import Table
from rag_pgvector.types import Chunk, ScoredChunk

__all__ = ["CHUNK_WIDTH", "Candidate", "Where", "chunk_of", "count", "get", "list_chunks", "owned", "where"]

Where = tuple[sql.Composed, list[Any]]

#: How many columns ``chunk_of`` reads.
CHUNK_WIDTH = 9


class Candidate(NamedTuple):
    """What a search found, of which not all becomes a chunk.

    Attributes:
        row: Its first columns are ``table.layout.chunk_columns``. Empty: not read yet.
        seq: Of the chunk, where the search was asked for it, else 0.
    """

    row: Row
    score: float
    distance: float | None = None
    seq: int = 0

    def scored(self, table: Table) -> ScoredChunk:
        return ScoredChunk(chunk_of(table, self.row), self.score, self.distance)


def chunk_of(table: Table, row: Row, embedding: Sequence[float] | None = None) -> Chunk:
    """The chunk in the first columns of a row, which are ``table.layout.chunk_columns``."""
    return Chunk(
        id=row[0],
        content=row[1],
        metadata=table.layout.metadata_of(row[2]),
        document_id=row[3],
        source=row[4],
        page_or_row=row[5],
        char_start=row[6],
        char_end=row[7],
        node=None if row[8] is None else json.loads(row[8]),
        embedding=embedding,
    )


def where(
    table: Table,
    *,
    filter: Mapping[str, Any] | Filter | None = None,
    ids: Sequence[str] | None = None,
    document_id: str | Sequence[str] | None = None,
) -> Where | None:
    """The condition for rows, or None for all of them. Raises FilterError, TenantError.

    A tenant is bound here although row-level security fences it too: two locks, and a plan that Postgres can use.
    """
    parts, params = owned(table)
    if ids is not None:
        parts.append(table.layout.ids_condition)
        params.append(table.layout.known_ids(ids))
    if document_id is not None:
        one = isinstance(document_id, str)
        same = sql.SQL("{} = %s" if one else "{} = ANY(%s::text[])")
        parts.append(same.format(table.layout.origin("document_id")))
        params.append(as_key(document_id) if one else as_ids(document_id))
    parsed = parse_filter(filter)
    if parsed is not None:
        condition, values = compile_filter(parsed, table.layout.fields)
        parts.append(condition)
        params.extend(values)
    return (sql.SQL(" AND ").join(parts), params) if parts else None


def owned(table: Table) -> tuple[list[sql.Composable], list[Any]]:
    """The conditions that bind a statement to the table's tenant and scope. Raises TenantError where there is none."""
    table.require_tenant()
    if not table.multi:
        return [], []
    if table.scope:
        return [sql.SQL("tenant_id = %s"), sql.SQL("scope = %s")], [table.tenant, table.scope]
    return [sql.SQL("tenant_id = %s")], [table.tenant]


def _and(condition: Where | None) -> tuple[sql.Composable, list[Any]]:
    if condition is None:
        return sql.SQL(""), []
    return sql.SQL(" WHERE ") + condition[0], condition[1]


def get(table: Table, ids: Sequence[str], *, embeddings: bool = False) -> Plan[list[Chunk]]:
    """The chunks of these ids in the order asked; those that are not there are left out.

    Seen from above its scopes, a tenant may hold several chunks of one id.
    """
    condition = where(table, ids=ids)
    assert condition is not None
    layout = table.layout
    vector = sql.SQL(", {}::real[]").format(layout.embedding_column) if embeddings else sql.SQL("")
    query = sql.SQL("SELECT {}{} FROM {} WHERE {}").format(layout.chunk_columns, vector, table.identifier, condition[0])
    rows = yield Execute(query, condition[1])
    found: dict[str, list[Chunk]] = {}
    for row in rows:
        found.setdefault(row[0], []).append(chunk_of(table, row, row[CHUNK_WIDTH] if embeddings else None))
    return [chunk for id_ in layout.known_ids(ids) for chunk in found.get(id_, ())]


def count(table: Table, condition: Where | None) -> Plan[int]:
    """How many rows the condition selects."""
    clause, params = _and(condition)
    rows = yield Execute(sql.SQL("SELECT count(*) FROM {}{}").format(table.identifier, clause), params)
    return int(rows[0][0])


def list_chunks(
    table: Table,
    condition: Where | None,
    *,
    limit: int | None = None,
    offset: int = 0,
    by_position: bool = False,
    embeddings: bool = False,
) -> Plan[list[Chunk]]:
    """A page of chunks, or all of them, in the order of their ids, or of their place in the document."""
    clause, params = _and(condition)
    layout = table.layout
    order: sql.Composable = layout.by_id
    if by_position:
        order = sql.SQL("{}, {}").format(layout.origin("char_start"), order)
    vector = sql.SQL(", {}::real[]").format(layout.embedding_column) if embeddings else sql.SQL("")
    query = sql.SQL("SELECT {}{} FROM {}{} ORDER BY {} LIMIT %s OFFSET %s").format(
        layout.chunk_columns, vector, table.identifier, clause, order
    )
    rows = yield Execute(query, [*params, limit, offset])
    return [chunk_of(table, row, row[CHUNK_WIDTH] if embeddings else None) for row in rows]
