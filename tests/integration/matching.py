"""What a filter says of rows, by the compiled SQL and by the function for people in psql."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from rag_pgvector.filters import compile_filter, parse_filter

__all__ = ["METADATA", "Connection", "by_compiled", "by_function"]

METADATA = sql.Identifier("metadata")
Connection = psycopg.Connection[Any]


def by_compiled(conn: Connection, filter: Any, rows: Sequence[Any]) -> list[bool | None]:
    """What the compiled condition says of each row."""
    read = parse_filter(filter)
    assert read is not None
    condition, params = compile_filter(read, METADATA)
    query = sql.SQL(
        "SELECT {} FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS t(metadata, i) ORDER BY i"
    ).format(condition)
    return [row[0] for row in conn.execute(query, [*params, json.dumps(rows)])]


def by_function(conn: Connection, filter: Any, rows: Sequence[Any]) -> list[bool | None]:
    """What rag.metadata_matches says of each row."""
    query = (
        "SELECT rag.metadata_matches(metadata, %s::jsonb) "
        "FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS t(metadata, i) ORDER BY i"
    )
    return [row[0] for row in conn.execute(query, [json.dumps(filter), json.dumps(rows)])]
