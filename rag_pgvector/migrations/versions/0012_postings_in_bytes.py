"""Keyword indexes keep their postings in bytes, which the server sends as they are (keyword_schema.py)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from rag_pgvector import keyword_schema
from rag_pgvector.config import CollectionConfig
from rag_pgvector.table import Table

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_IS_OLD = (
    "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass(:relation) "
    "AND attname = 'postings' AND atttypid = 'bigint[]'::regtype)"
)


def upgrade() -> None:
    if context.is_offline_mode():  # a new database, which has no collection
        return
    connection = op.get_bind()
    connection.exec_driver_sql(keyword_schema.PACK_SQL)
    for id_, name, table_name in connection.execute(sa.text("SELECT id, name, table_name FROM rag.collections")).all():
        table = Table(id_, name, table_name, CollectionConfig(dimensions=1))
        relation = table.relation("postings").as_string(None)
        if connection.execute(sa.text(_IS_OLD), {"relation": relation}).scalar():
            connection.exec_driver_sql(keyword_schema.pack_sql(table).as_string(None).replace("%", "%%"))
    connection.exec_driver_sql("DROP FUNCTION rag.packed_postings(bigint[])")


def downgrade() -> None:
    raise NotImplementedError("postings in bytes cannot be read by the revision before: restore a backup")
