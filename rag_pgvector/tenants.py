"""Tenants as a whole: which there are, and deleting or renaming one in every table that holds something of it.

The tables are found in the catalogue: every one in schema ``rag`` with a column ``tenant_id``, so that a table added
later is covered without a change here. All of it runs as the administrator (``Database.run_admin``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING

from psycopg import sql

from rag_pgvector import schema
from rag_pgvector.errors import CollectionNotFoundError, DatabaseError, PermissionDeniedError, TenantError
from rag_pgvector.fence import bind
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import KEYWORD_KINDS, SCHEMA, Table, check_tenant, table_name

if TYPE_CHECKING:
    from rag_pgvector.database import Database

__all__ = ["TenantInfo", "TenantSize", "delete_tenant", "list_tenants", "move_tenant", "require_unfenced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantSize:
    """What a tenant holds in one collection."""

    chunks: int = 0
    documents: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantInfo:
    """A tenant: its size by collection, and how many API keys it has (worthless ones included)."""

    tenant: str
    collections: dict[str, TenantSize] = field(default_factory=dict)
    keys: int = 0


def list_tenants(db: Database, collection: str | None = None) -> list[TenantInfo]:
    """All tenants by name, or those of one collection.

    Row-level security is forced on the owner of the tables, too: an administrator who is neither a superuser nor has
    BYPASSRLS would see nobody, and gets PermissionDeniedError instead. Raises CollectionNotFoundError.
    """
    db.ensure_schema()
    return db.run_admin(lambda: _list(collection))


def delete_tenant(db: Database, tenant: str, *, collection: str | None = None) -> dict[str, int]:
    """Delete everything of a tenant, or what it has in one collection (then its API keys stay).

    Returns how many rows went from each table. They are deleted in one transaction and counted again after it. Raises
    DatabaseError if anything is left, which means that somebody still writes: revoke the tenant's keys first.
    """
    check_tenant(tenant)
    db.ensure_schema()
    deleted = db.run_admin(lambda: _each(_DELETE, tenant, collection))
    left = {name: rows for name, rows in db.run_admin(lambda: _each(_COUNT, tenant, collection)).items() if rows}
    if left:
        found = ", ".join(f"{rows} in rag.{name}" for name, rows in left.items())
        raise DatabaseError(
            f"tenant {tenant!r} still has rows ({found}): somebody is writing; revoke its keys and delete it again"
        )
    return deleted


def move_tenant(db: Database, tenant: str, to: str) -> dict[str, int]:
    """Give a tenant another name, in one transaction; returns how many rows changed in each table.

    Its keys go on working. Nobody writes meanwhile, so that no row of ``to`` can appear between the look and the move:
    reading goes on, writers wait. To bring a tenant into another collection, export it and import it there. Raises
    TenantError if ``to`` has anything already or ``tenant`` has nothing; PermissionDeniedError as ``list_tenants``.
    """
    if check_tenant(to) == check_tenant(tenant):
        raise TenantError(f"tenant {tenant!r} has that name already: give another one")
    db.ensure_schema()
    return db.run_admin(lambda: _move(tenant, to))


# ------------------------------------------------------------------------------------------------------------ plans

_DELETE = sql.SQL("WITH gone AS (DELETE FROM {} WHERE {} RETURNING 1) SELECT count(*) FROM gone")
_COUNT = sql.SQL("SELECT count(*) FROM {} WHERE {}")


def require_unfenced(tables: Sequence[str]) -> Plan[None]:
    """Raises PermissionDeniedError if row-level security holds the connection's role on any of these tables."""
    rows = yield Execute(
        sql.SQL(
            "SELECT current_user::text FROM pg_class WHERE relnamespace = to_regnamespace('rag') "
            "AND relname = ANY(%s::text[]) AND row_security_active(oid) LIMIT 1"
        ),
        (list(tables),),
    )
    if rows:
        raise PermissionDeniedError(
            f"row-level security keeps role {rows[0][0]!r} from the rows of all tenants: set ADMIN_DATABASE_URL to a "
            "superuser, or to an administrator's role after ALTER ROLE ... BYPASSRLS (never the application's)",
            "42501",
        )


def _list(collection: str | None) -> Plan[list[TenantInfo]]:
    rows = yield Execute(
        sql.SQL(
            "SELECT id, name, table_name FROM rag.collections WHERE tenancy = 'multi' AND (%s::text IS NULL OR name = "
            '%s) ORDER BY name COLLATE "C"'
        ),
        (collection, collection),
    )
    if collection is not None and not rows:
        raise CollectionNotFoundError(f"no collection {collection!r} keeps tenants apart: see 'rag-pgvector db status'")
    yield from require_unfenced(["documents", *(table for _, _, table in rows)])
    found: dict[str, TenantInfo] = {}
    for id_, name, table in rows:
        sizes = yield Execute(
            sql.SQL(
                "SELECT tenant_id, sum(chunks)::bigint, sum(documents)::bigint FROM ("
                "SELECT tenant_id, count(*) AS chunks, 0 AS documents FROM {} GROUP BY 1 UNION ALL "
                "SELECT tenant_id, 0, count(*) FROM rag.documents WHERE collection_id = %s GROUP BY 1) s GROUP BY 1"
            ).format(sql.Identifier(SCHEMA, table)),
            (id_,),
        )
        for tenant, chunks, documents in sizes:
            info = found.setdefault(tenant, TenantInfo(tenant=tenant))
            info.collections[name] = TenantSize(chunks=chunks, documents=documents)
    rows = yield Execute(sql.SQL("SELECT tenant_id, count(*) FROM rag.api_keys GROUP BY 1"))
    keys: dict[str, int] = dict(rows)
    names = found.keys() if collection is not None else found.keys() | keys.keys()
    return [
        TenantInfo(tenant=name, collections=found[name].collections if name in found else {}, keys=keys.get(name, 0))
        for name in sorted(names)
    ]


def _tables() -> Plan[list[tuple[str, bool]]]:
    """The tables with a column ``tenant_id``, those that refer to others first; and whether they have collection_id."""
    rows = yield Execute(
        sql.SQL(
            "SELECT c.relname::text, EXISTS (SELECT FROM pg_attribute k WHERE k.attrelid = c.oid "
            "AND k.attname = 'collection_id' AND NOT k.attisdropped), "
            "ARRAY(SELECT f.relname::text FROM pg_constraint r JOIN pg_class f ON f.oid = r.conrelid "
            "WHERE r.confrelid = c.oid AND r.contype = 'f' AND r.conrelid <> c.oid) "
            "FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' "
            "AND NOT a.attisdropped WHERE c.relnamespace = to_regnamespace('rag') AND c.relkind IN ('r', 'p') "
            'AND NOT c.relispartition ORDER BY c.relname COLLATE "C"'
        )
    )
    per_collection = {name: has for name, has, _ in rows}
    order = TopologicalSorter({name: referring for name, _, referring in rows}).static_order()
    found = [(name, per_collection[name]) for name in order if name in per_collection]
    return sorted(found, key=lambda table: table[0].startswith("tombstones_"))  # deleting chunks fills them


def _collection_tables() -> Plan[list[str]]:
    rows = yield Execute(sql.SQL("SELECT table_name FROM rag.collections"))
    return [row[0] for row in rows]


def _each(query: sql.SQL, tenant: str, collection: str | None) -> Plan[dict[str, int]]:
    """Run ``query`` on the tenant's rows of every table, or of those that belong to one collection.

    The tenant is bound and named in the WHERE, so that this needs no role that escapes row-level security.
    """
    chosen = None if collection is None else (yield from _multi(collection))
    own = () if chosen is None else (chosen.name, *(table_name(chosen.collection, kind) for kind in KEYWORD_KINDS))
    yield bind(tenant)
    counts = {}
    for name, per_collection in (yield from _tables()):
        condition = sql.SQL("tenant_id = %s")
        params: list[str | int] = [tenant]
        if chosen is not None and name not in own:
            if not per_collection:
                continue
            condition = sql.SQL("tenant_id = %s AND collection_id = %s")
            params.append(chosen.collection_id)
        rows = yield Execute(query.format(sql.Identifier(SCHEMA, name), condition), params)
        counts[name] = int(rows[0][0])
    return counts


def _multi(collection: str) -> Plan[Table]:
    table = yield from schema.find_collection(collection)
    if table is None or not table.multi:
        raise CollectionNotFoundError(f"no collection {collection!r} keeps tenants apart: see 'rag-pgvector db status'")
    return table


def _move(tenant: str, to: str) -> Plan[dict[str, int]]:
    tables = [name for name, _ in (yield from _tables())]
    # One setting cannot be both names, so that the fence would refuse either the old rows or the new ones.
    yield from require_unfenced(tables)
    # In the order of whoever writes a document: its text, its chunks, and what is made of them. One who holds the
    # second and waits for the first would be a deadlock.
    ranks = {"documents": 0} | dict.fromkeys((yield from _collection_tables()), 1)
    order = sorted(tables, key=lambda name: (ranks.get(name, 2), name))
    locked = sql.SQL(", ").join(sql.Identifier(SCHEMA, name) for name in order)
    yield Execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(locked), prepare=False)
    taken = yield from _each(_COUNT, to, None)
    if any(taken.values()):
        found = ", ".join(f"{rows} rows in rag.{name}" for name, rows in taken.items() if rows)
        raise TenantError(f"tenant {to!r} exists ({found}): two tenants are never merged; use another name")
    yield Execute(sql.SQL("SELECT set_config('rag.moving', 'on', true)"))  # postings move along
    moved = {}
    for name in reversed(tables):
        query = sql.SQL(
            "WITH moved AS (UPDATE {} SET tenant_id = %s WHERE tenant_id = %s RETURNING 1) SELECT count(*) FROM moved"
        )
        moved[name] = int((yield Execute(query.format(sql.Identifier(SCHEMA, name)), (to, tenant)))[0][0])
    if not any(moved.values()):
        raise TenantError(f"tenant {tenant!r} has nothing: see 'rag-pgvector tenants list'")
    return moved
