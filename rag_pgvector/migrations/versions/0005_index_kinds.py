"""The kind of a collection's vector index, and who builds it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from rag_pgvector.sql import read_sql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("index_method", sa.Text, server_default="hnsw", nullable=False),
        sa.Column("quantization", sa.Text),
        sa.Column("ivfflat_lists", sa.Integer),
        sa.Column("index_build_at", sa.DateTime(timezone=True)),
    ):
        op.add_column("collections", column, schema="rag")
    op.execute(read_sql("functions.sql"))


def downgrade() -> None:
    for name in ("index_build_at", "ivfflat_lists", "quantization", "index_method"):
        op.drop_column("collections", name, schema="rag")
