"""What a collection's own questions say of its confidence, per tenant and mode of answering."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from rag_pgvector.sql import control_fence

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "calibrations",
        sa.Column("collection_id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, server_default="", nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("content", JSONB, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("collection_id", "tenant_id", "scope", "mode", name="calibrations_pkey"),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["rag.collections.id"], name="calibrations_collection_id_fkey", ondelete="CASCADE"
        ),
        schema="rag",
    )
    op.execute(control_fence("calibrations"))


def downgrade() -> None:
    op.drop_table("calibrations", schema="rag")
