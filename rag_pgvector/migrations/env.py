"""Alembic's entry point: online on the connection that ``upgrade`` gives, offline into a buffer."""

from __future__ import annotations

from typing import Any

from alembic import context

from rag_pgvector.models import Base
from rag_pgvector.table import SCHEMA

_OPTIONS: dict[str, Any] = {
    "target_metadata": Base.metadata,
    "version_table": "alembic_version",
    "version_table_schema": SCHEMA,
    "include_schemas": True,
}


def run() -> None:
    attributes = context.config.attributes
    if context.is_offline_mode():
        # The default paramstyle doubles every % of the functions' bodies, for a driver that is not there.
        context.configure(
            dialect_name="postgresql",
            dialect_opts={"paramstyle": "named"},
            output_buffer=attributes["output_buffer"],
            **_OPTIONS,
        )
        with context.begin_transaction():
            context.get_context().impl.static_output("CREATE SCHEMA IF NOT EXISTS rag;")
            context.run_migrations()
    else:
        context.configure(connection=attributes["connection"], **_OPTIONS)
        context.run_migrations()


run()
