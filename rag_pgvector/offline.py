"""The schema as plain SQL, for a DBA to read and to run: what the plans would do to a database that has none of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg import sql

from rag_pgvector import index, migrations, schema
from rag_pgvector.config import CollectionConfig
from rag_pgvector.plan import Execute, Plan, Row
from rag_pgvector.table import Table, check_name, table_name

__all__ = ["script"]


def script(name: str | None, config: CollectionConfig, role: str | None) -> str:
    """The migrations; with a role, its grants; with a name, that collection as *config* says. Needs no database."""
    parts = ["SET client_encoding = 'UTF8';", migrations.offline_sql().strip()]
    if role is not None:
        parts.append(_script(_statements(schema.grant_control_tables(role))))
    if name is not None:
        parts.append(_collection_sql(check_name(name), config, role))
    return "\n\n".join(parts)


def _collection_sql(name: str, config: CollectionConfig, role: str | None) -> str:
    """The statements that ``Database.collection`` and ``build_index`` run for a new collection."""
    table = Table(0, name, table_name(name), config)
    statements = ["BEGIN", *_statements(schema.create_collection(name, config))]
    if role is not None:
        statements += _statements(schema.grant_collection(table, role))
    return _script([*statements, "COMMIT", index.create_index_sql(table).as_string(None)])  # in no transaction


def _statements(plan: Plan[Any]) -> list[str]:
    """What a plan does to a database where it finds nothing: its statements but the SELECTs, values written in."""
    statements: list[str] = []
    rows: list[Row] | None = None
    while True:
        try:
            step = plan.send(rows)  # type: ignore[arg-type]  # the first send of a generator is None
        except StopIteration:
            return statements
        assert isinstance(step, Execute)
        assert isinstance(step.query, sql.Composable)
        text = step.query.as_string(None)
        rows = [(0,)] if " RETURNING " in text else []
        if not text.startswith("SELECT"):
            statements.append(_written_in(text, step.params))


def _written_in(text: str, params: Sequence[Any]) -> str:
    if not params:
        return text
    first, *rest = text.split("%s")
    written = zip((sql.Literal(value).as_string(None) for value in params), rest, strict=True)
    return first + "".join(value + between for value, between in written)


def _script(statements: Iterable[str]) -> str:
    return "\n\n".join(statement + ";" for statement in statements)
