"""search_chunks compares all rows where a walk was cut short; an embedding set by hand is known as such."""

from __future__ import annotations

from alembic import op

from rag_pgvector.sql import read_sql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("chunk_trigger.sql", "functions.sql"):
        op.execute(read_sql(name))


def downgrade() -> None:
    """The functions of the revision before do the same and less: these may stay."""
