"""What evaluations measured, so that numbers can be followed over time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from rag_pgvector.sql import control_fence

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "eval_runs",
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, server_default="", nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.func.gen_random_uuid(), nullable=False),
        sa.Column("collection_id", sa.Integer),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("golden_sha256", sa.Text, nullable=False),
        sa.Column("label", sa.Text, server_default="", nullable=False),
        sa.Column("run", JSONB, nullable=False),
        sa.Column("verdict", sa.Text),
        sa.Column("reasons", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "scope", "id", name="eval_runs_pkey"),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["rag.collections.id"], name="eval_runs_collection_id_fkey", ondelete="CASCADE"
        ),
        schema="rag",
    )
    op.execute(control_fence("eval_runs"))


def downgrade() -> None:
    op.drop_table("eval_runs", schema="rag")
