"""Keyword search: the language of a collection, and the tables of its inverted index (keyword_schema.py)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from psycopg import sql

from rag_pgvector import keyword_schema
from rag_pgvector.config import CollectionConfig
from rag_pgvector.sql import read_sql
from rag_pgvector.table import KEYWORD_KINDS, SCHEMA, Table

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "collections", sa.Column("language", sa.Text, server_default="english", nullable=False), schema=SCHEMA
    )
    version = sa.Column("analyser_version", sa.SmallInteger, server_default=sa.text("1"), nullable=False)
    op.add_column("collections", version, schema=SCHEMA)
    for name in ("chunk_trigger.sql", "keyword.sql"):
        op.execute(read_sql(name))
    if not context.is_offline_mode():
        _convert_collections()


def _convert_collections() -> None:
    """Collections made before get the tables, too. Their rows are unindexed until 'index build' takes them in."""
    connection = op.get_bind()
    found = connection.execute(sa.text("SELECT id, name, table_name, dimensions, tenancy FROM rag.collections")).all()
    for id_, name, table_name, dimensions, tenancy in found:
        table = Table(
            id_, name, table_name, CollectionConfig(dimensions=dimensions, tenancy=tenancy, storage="halfvec")
        )
        statements = [keyword_schema.add_column_sql(table), *keyword_schema.create_sql(table)]
        if table.multi:
            statements += keyword_schema.fence_and_grant_sql(table)
        else:
            statements += _same_grants(connection, table)
        for statement in statements:
            connection.exec_driver_sql(statement.as_string(None).replace("%", "%%"))


def _same_grants(connection: sa.Connection, table: Table) -> list[sql.Composed]:
    """Whoever may write the chunks may write the postings."""
    roles = connection.execute(
        sa.text(
            "SELECT DISTINCT pg_get_userbyid(a.grantee)::text FROM pg_class c, aclexplode(c.relacl) a "
            "WHERE c.oid = to_regclass(:name) AND a.privilege_type = 'INSERT' AND a.grantee NOT IN (0, c.relowner)"
        ),
        {"name": table.identifier.as_string(None)},
    ).scalars()
    return [
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(table.relation(kind), sql.Identifier(role))
        for role in roles
        for kind in KEYWORD_KINDS
    ]


def downgrade() -> None:
    raise NotImplementedError("postings cannot be taken back: restore a backup")
