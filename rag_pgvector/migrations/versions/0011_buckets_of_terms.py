"""Fresh segments of keyword indexes hold their terms in buckets (keyword_schema.py): columns for those made before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from rag_pgvector import keyword_schema
from rag_pgvector.config import CollectionConfig
from rag_pgvector.table import Table

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if context.is_offline_mode():  # a new database, which has no collection
        return
    connection = op.get_bind()
    for id_, name, table_name in connection.execute(sa.text("SELECT id, name, table_name FROM rag.collections")).all():
        table = Table(id_, name, table_name, CollectionConfig(dimensions=1))
        for statement in keyword_schema.add_bucket_columns_sql(table):
            connection.exec_driver_sql(statement.as_string(None).replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("postings in buckets cannot be read by the revision before: restore a backup")
