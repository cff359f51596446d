"""What was ingested when and how, and what could not be: for people and for a retry, not for resuming."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from rag_pgvector.sql import control_fence

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ingest_runs",
        sa.Column("collection_id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, server_default="", nullable=False),
        sa.Column("id", sa.Uuid, server_default=sa.func.gen_random_uuid(), nullable=False),
        sa.Column("state", sa.Text, server_default="running", nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("options", JSONB, nullable=False),
        sa.Column("source_hash", sa.LargeBinary),
        sa.Column("loaders", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("counts", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("collection_id", "tenant_id", "scope", "id", name="ingest_runs_pkey"),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["rag.collections.id"], name="ingest_runs_collection_id_fkey", ondelete="CASCADE"
        ),
        schema="rag",
    )
    op.create_table(
        "ingest_failures",
        sa.Column("collection_id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, server_default="", nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("file", sa.Text, nullable=False),
        sa.Column("path", sa.Text),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("options", JSONB, nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("collection_id", "tenant_id", "scope", "key", name="ingest_failures_pkey"),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["rag.collections.id"], name="ingest_failures_collection_id_fkey", ondelete="CASCADE"
        ),
        schema="rag",
    )
    op.execute(control_fence("ingest_runs"))
    op.execute(control_fence("ingest_failures"))


def downgrade() -> None:
    op.drop_table("ingest_failures", schema="rag")
    op.drop_table("ingest_runs", schema="rag")
