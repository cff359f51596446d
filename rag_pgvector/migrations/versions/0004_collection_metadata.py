"""What a program says about a collection as a whole: LangChain's collection_metadata, under the key "langchain".

Revision ID: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("collections", sa.Column("metadata", JSONB), schema="rag")


def downgrade() -> None:
    op.drop_column("collections", "metadata", schema="rag")
