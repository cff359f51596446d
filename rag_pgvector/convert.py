"""From one owner to many: a single-tenant collection becomes a multi-tenant one, all its rows one tenant's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg import sql

from rag_pgvector import index, keyword_schema, roles, schema
from rag_pgvector.errors import CollectionNotFoundError, TenantError
from rag_pgvector.fence import CONTROL, fence_sql
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import KEYWORD_KINDS, SCHEMA, Table, check_tenant
from rag_pgvector.tenants import require_unfenced
from rag_pgvector.types import IndexReport

if TYPE_CHECKING:
    from rag_pgvector.database import Database

__all__ = ["convert", "convert_to_multi"]


def convert_to_multi(db: Database, collection: str, tenant: str) -> IndexReport | None:
    """Give all rows of a single-tenant collection to ``tenant`` and keep tenants apart in it from now on.

    One transaction of the administrator, during which nobody else uses the collection: its table is written anew. The
    vector index is dropped there and built again afterwards without locking anybody out; searches are exact until
    then. Returns its report, or ``None`` where there was none. Collections opened before must be opened again, by a
    role that ``roles.grant_login`` made one of the application.

    Raises CollectionNotFoundError, TenantError, PermissionDeniedError.
    """
    check_tenant(tenant)
    db.ensure_schema()
    table, indexed = db.run_admin(lambda: convert(collection, tenant))
    return db.run_admin(lambda: index.build(table), atomic=False) if indexed else None


def convert(collection: str, tenant: str) -> Plan[tuple[Table, bool]]:
    """Change table, documents and grants; returns the table as it is then, and whether it had a vector index."""
    yield Execute(sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))"), (collection,))
    single = yield from schema.find_collection(collection)
    if single is None:
        raise CollectionNotFoundError(f"collection {collection!r} does not exist: see 'rag-pgvector db status'")
    if single.multi:
        raise TenantError(f"collection {collection!r} keeps tenants apart already: nothing to convert")
    yield from require_unfenced(CONTROL)  # their old owner is '', which no setting lets one change
    table = replace(single, config=replace(single.config, tenancy="multi"))
    yield Execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(table.identifier), prepare=False)
    rows = yield Execute(sql.SQL("SELECT to_regclass(%s) IS NOT NULL"), (table.index_identifier.as_string(None),))
    indexed = bool(rows[0][0])
    yield Execute(sql.SQL("DROP INDEX IF EXISTS {}").format(table.index_identifier), prepare=False)
    yield Execute((yield from _alter_table(table, tenant)), prepare=False)
    for name in CONTROL:
        given = sql.SQL("UPDATE {} SET tenant_id = %s WHERE collection_id = %s").format(sql.Identifier(SCHEMA, name))
        yield Execute(given, (tenant, table.collection_id))
    for kind in KEYWORD_KINDS:
        own = sql.SQL("ALTER TABLE {} ALTER COLUMN tenant_id TYPE text USING {}")
        yield Execute(own.format(table.relation(kind), sql.Literal(tenant)), prepare=False)
    for statement in keyword_schema.trigger_sql(table):  # which know of a scope now
        yield Execute(statement, prepare=False)
    yield Execute(sql.SQL("UPDATE rag.collections SET tenancy = 'multi' WHERE id = %s"), (table.collection_id,))
    yield from roles.ensure_roles()
    for statement in [*fence_sql(table.identifier), *keyword_schema.fence_and_grant_sql(table)]:
        yield Execute(statement, prepare=False)
    yield from roles.grant_table(table)
    return table, indexed


def _alter_table(table: Table, tenant: str) -> Plan[sql.Composed]:
    """One ALTER TABLE. USING rewrites the table once; an UPDATE would run the trigger and leave every row twice."""
    rows = yield Execute(
        sql.SQL(
            "SELECT r.conname::text FROM pg_constraint r JOIN pg_attribute a ON a.attrelid = r.conrelid "
            "AND a.attname = 'tenant_id' WHERE r.conrelid = to_regclass(%s) AND r.contype = 'c' "
            "AND r.conkey = ARRAY[a.attnum]"
        ),
        (table.identifier.as_string(None),),
    )
    dropped = [sql.SQL("DROP CONSTRAINT {}").format(sql.Identifier(name)) for (name,) in rows]
    return sql.SQL("ALTER TABLE {} {}").format(
        table.identifier,
        sql.SQL(", ").join(
            [
                *dropped,
                sql.SQL("DROP CONSTRAINT {}").format(table.key_name),
                sql.SQL("ALTER COLUMN tenant_id DROP DEFAULT"),
                sql.SQL("ALTER COLUMN tenant_id TYPE text USING {}").format(sql.Literal(tenant)),
                sql.SQL("ADD COLUMN {}").format(schema.SCOPE_COLUMN),
                sql.SQL("ADD {}").format(schema.TENANT_CHECK),
                sql.SQL("ADD CONSTRAINT {} PRIMARY KEY ({})").format(table.key_name, table.key),
            ]
        ),
    )
