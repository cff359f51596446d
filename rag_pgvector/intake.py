"""The keyword index brought up to date: rows that plain SQL wrote are listed, and what is in pieces is merged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from psycopg import sql

from rag_pgvector import postings
from rag_pgvector.fence import fenced
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.read import owned
from rag_pgvector.table import Table
from rag_pgvector.tenants import require_unfenced

if TYPE_CHECKING:
    from rag_pgvector.database import Database

__all__ = ["take_in"]

T = TypeVar("T")


def take_in(db: Database, table: Table) -> int:
    """List every row that is not in the keyword index yet, and merge its segments; returns how many rows were listed.

    For the tenant (or scope) that the table is bound to, else for all of them, whom the administrator's role has to see
    (PermissionDeniedError if row-level security holds it). In batches of a transaction each: it may be interrupted.
    """
    taken = 0
    for owner in _owners(db, table, "keyword_length IS NULL", table.identifier):
        bound = _bound(table, owner)
        while count := _atomic(db, bound, lambda bound=bound: postings.take_in(bound)):  # type: ignore[misc]
            taken += count
    for owner in _owners(db, table, "true", table.relation("segments")):
        bound = _bound(table, owner)
        while _atomic(db, bound, lambda bound=bound: postings.clean_up(bound, limit=postings.SEGMENT * 4)):  # type: ignore[misc]
            pass
    return taken


def _owners(db: Database, table: Table, condition: str, relation: sql.Identifier) -> list[tuple[str, str]]:
    """Whose rows there are: ``(tenant, scope)``."""
    if not table.multi:
        return [("", "")]

    def plan() -> Plan[list[tuple[str, str]]]:
        if not table.tenant:
            yield from require_unfenced([table.name])
        parts, params = owned(table) if table.tenant else ([], [])
        query = sql.SQL("SELECT DISTINCT tenant_id, scope FROM {} WHERE {} ORDER BY 1, 2")
        conditions = sql.SQL(" AND ").join([sql.SQL(condition), *parts])
        rows = yield Execute(query.format(relation, conditions), params)
        return [(tenant, scope) for tenant, scope in rows]

    return _atomic(db, table, plan) if table.tenant else db.run_admin(plan)


def _bound(table: Table, owner: tuple[str, str]) -> Table:
    return replace(table, tenant=owner[0], scope=owner[1])


def _atomic(db: Database, table: Table, plan: Callable[[], Plan[T]]) -> T:
    return db.run(fenced(table, plan, atomic=True), atomic=True)
