"""What searching costs on this machine, and policies that read the tenant's settings once a statement."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from rag_pgvector.sql import read_sql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "search_costs",
        sa.Column("id", sa.SmallInteger, server_default="1", nullable=False),
        *(
            sa.Column(name, sa.Double, nullable=False)
            for name in ("search_us", "row_us", "scattered_row_us", "distance_us", "candidate_us", "comparisons")
        ),
        sa.Column("measured_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="search_costs_pkey"),
        sa.CheckConstraint("id = 1", name="search_costs_id_check"),
        schema="rag",
    )
    op.execute(read_sql("search_costs.sql"))


def downgrade() -> None:
    op.drop_table("search_costs", schema="rag")
