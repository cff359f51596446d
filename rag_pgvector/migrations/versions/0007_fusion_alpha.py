"""The share of the vectors in a collection's hybrid searches, where one was set."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("collections", sa.Column("alpha", sa.REAL), schema="rag")


def downgrade() -> None:
    op.drop_column("collections", "alpha", schema="rag")
