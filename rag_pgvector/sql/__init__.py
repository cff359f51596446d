"""SQL files by name."""

from __future__ import annotations

from importlib import resources

from psycopg import sql

__all__ = ["control_fence", "read_sql"]


def read_sql(name: str) -> str:
    """The text of ``rag_pgvector/sql/<name>``."""
    return (resources.files(__name__) / name).read_text(encoding="utf-8")


def control_fence(table: str) -> str:
    """The statements that fence a control table of schema ``rag`` and let the documents' writers use it."""
    name = sql.Identifier("rag", table)
    return (
        sql.SQL(read_sql("control_fence.sql"))
        .format(table=name, named=sql.Literal(name.as_string(None)))
        .as_string(None)
    )
