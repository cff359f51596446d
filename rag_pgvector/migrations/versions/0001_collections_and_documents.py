"""Control tables for collections and their documents, and the functions for people in psql."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from rag_pgvector.sql import read_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    op.create_table(
        "collections",
        sa.Column("id", sa.Integer, sa.Identity(), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("dimensions", sa.Integer, nullable=False),
        sa.Column("distance", sa.Text, nullable=False),
        sa.Column("storage", sa.Text, nullable=False),
        sa.Column("tenancy", sa.Text, nullable=False),
        sa.Column("hnsw_m", sa.SmallInteger, nullable=False),
        sa.Column("hnsw_ef_construction", sa.SmallInteger, nullable=False),
        sa.Column("embedder", sa.Text),
        sa.Column("fingerprint", ARRAY(sa.REAL)),
        sa.Column("index_wanted", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="collections_pkey"),
        sa.UniqueConstraint("name", name="collections_name_key"),
        sa.UniqueConstraint("table_name", name="collections_table_name_key"),
        schema="rag",
    )
    op.create_table(
        "documents",
        sa.Column("collection_id", sa.Integer, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, server_default="", nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("loader", sa.Text, nullable=False),
        sa.Column("metadata", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("profile", JSONB),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("chunks", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("collection_id", "tenant_id", "scope", "id", name="documents_pkey"),
        sa.ForeignKeyConstraint(
            ["collection_id"], ["rag.collections.id"], name="documents_collection_id_fkey", ondelete="CASCADE"
        ),
        schema="rag",
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Integer, sa.Identity(), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("key_hash", sa.LargeBinary, nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("scope", sa.Text, server_default="", nullable=False),
        sa.Column("permissions", ARRAY(sa.Text), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="api_keys_pkey"),
        sa.UniqueConstraint("key_hash", name="api_keys_key_hash_key"),
        schema="rag",
    )
    for name in ("chunk_trigger.sql", "filters.sql", "functions.sql", "tenants.sql"):
        op.execute(read_sql(name))


def downgrade() -> None:
    op.execute("DROP SCHEMA rag CASCADE")
