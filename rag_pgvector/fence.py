"""The tenant fence: the policies that keep tenants apart, and the wrapper that binds every statement to one tenant.

Two locks, either of which holds alone. The statements name the tenant in their WHERE; and row-level security compares
every row with the settings ``rag.tenant_id`` and ``rag.scope``, which are set for one transaction only: reads carry
``set_config`` in the same pipeline, writes as the first statement of the same transaction. Nothing is left behind on a
pooled connection, and a statement that forgets to say whose it is sees nothing. What was measured and what goes wrong
elsewhere: PostgreSQL's "Row Security Policies"; a policy for ALL TO PUBLIC that is RESTRICTIVE cannot be widened by a
permissive one that somebody adds later.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from psycopg import sql

from rag_pgvector.errors import IsolationError
from rag_pgvector.plan import Batch, Compute, CopyIn, Execute, Plan, Row, SetLocal, Together
from rag_pgvector.table import KEYWORD_KINDS, SCHEMA, Table

__all__ = ["APP", "CONTROL", "OWNER", "WORKER", "bind", "fence_sql", "fenced", "require_fenced_role"]

#: The roles, none of which is a superuser, may bypass row-level security, or (but for members) log in.
OWNER, APP, WORKER = "rag_owner", "rag_app", "rag_worker"

#: Tables in schema ``rag`` with rows of all collections, fenced as sql/tenants.sql says: those of a single-tenant
#: collection belong to the tenant "".
CONTROL = ("calibrations", "documents", "eval_runs", "ingest_failures", "ingest_runs")

T = TypeVar("T")

_BIND = sql.SQL("SELECT set_config('rag.tenant_id', %s, true), set_config('rag.scope', %s, true)")

#: NULLIF, since a setting that was local to an earlier transaction is '' afterwards, not NULL. In a SELECT of its own
#: a setting is read once a statement and not once a row, which made an exact search 1.4 times as long.
_TENANT = sql.SQL("tenant_id = (SELECT nullif(current_setting('rag.tenant_id', true), ''))")
_SCOPE = sql.SQL("(SELECT coalesce(current_setting('rag.scope', true), '')) IN ('', scope)")


def fenced(table: Table, make_plan: Callable[[], Plan[T]], *, atomic: bool) -> Callable[[], Plan[T]]:
    """The plan with its tenant bound, or as it is for a single-tenant collection. Raises TenantError at once."""
    table.require_tenant()
    if not table.multi:
        return make_plan
    first = bind(table.tenant, table.scope)
    return lambda: _in_transaction(first, make_plan()) if atomic else _in_pipelines(first, make_plan())


def bind(tenant: str, scope: str = "") -> Execute:
    """The statement that names the tenant for the rest of its transaction."""
    return Execute(_BIND, (tenant, scope))


def _in_transaction(first: Execute, plan: Plan[T]) -> Plan[T]:
    yield first
    return (yield from plan)


def _in_pipelines(first: Execute, plan: Plan[T]) -> Plan[T]:
    reply = None
    while True:
        try:
            step = plan.send(reply)  # type: ignore[arg-type]  # the first send of a generator is None
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if isinstance(step, Compute):
            reply = yield step
            continue
        if isinstance(step, CopyIn):
            raise AssertionError("COPY into a multi-tenant collection runs in a transaction")
        if isinstance(step, Together):
            reply = yield from _together(first, step)
            continue
        head, *rest = step.steps if isinstance(step, Batch) else [step]
        reply = yield Batch([_joined(first, head), *rest] if isinstance(head, SetLocal) else [first, head, *rest])


def _together(first: Execute, step: Together) -> Plan[list[Row]]:
    told = step.meanwhile
    if told is None:
        return (yield Together([first, *step.steps]))[1:]
    return (yield Together([first, *step.steps], step.early + 1, lambda replies: told(replies[1:])))


def _joined(first: Execute, more: SetLocal) -> Execute:
    """The tenant's settings and a plan's own in one statement."""
    assert isinstance(first.query, sql.SQL)
    return Execute(_both(first.query.as_string(None), more.calls), (*first.params, *more.params))


@lru_cache(maxsize=64)
def _both(first: str, calls: bytes) -> bytes:
    return first.encode() + b", " + calls


def fence_sql(relation: sql.Identifier) -> list[sql.Composed]:
    """The statements that fence a table with the columns ``tenant_id`` and ``scope``."""
    statements = [
        sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY"),
        sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY"),
        sql.SQL("CREATE POLICY base ON {} AS PERMISSIVE FOR ALL TO PUBLIC USING (true) WITH CHECK (true)"),
    ]
    composed = [statement.format(relation) for statement in statements]
    for name, condition in (("tenant", _TENANT), ("scope", _SCOPE)):
        composed.append(
            sql.SQL("CREATE POLICY {} ON {} AS RESTRICTIVE FOR ALL TO PUBLIC USING ({}) WITH CHECK ({})").format(
                sql.Identifier(name), relation, condition, condition
            )
        )
    return composed


def require_fenced_role(table: Table) -> Plan[None]:
    """Raises IsolationError if the connection's role escapes the fence, or the table has none."""
    rows = yield Execute(
        sql.SQL(
            "SELECT current_user::text, r.rolsuper, r.rolbypassrls, pg_has_role(c.relowner, 'MEMBER'), "
            "(SELECT bool_and(t.relrowsecurity AND t.relforcerowsecurity AND "
            "(SELECT count(*) = 2 FROM pg_policy p WHERE p.polrelid = t.oid AND NOT p.polpermissive)) "
            "FROM pg_class t WHERE t.oid = c.oid OR t.oid = ANY(%s::regclass[])) "
            "FROM pg_roles r, pg_class c WHERE r.rolname = current_user AND c.oid = to_regclass(%s)"
        ),
        (
            [
                *(sql.Identifier(SCHEMA, name).as_string(None) for name in CONTROL),
                *(table.relation(kind).as_string(None) for kind in KEYWORD_KINDS if table.has_keywords),
            ],
            table.identifier.as_string(None),
        ),
    )
    if not rows:
        return
    role, superuser, bypass, owner, fence = rows[0]
    if not fence:
        raise IsolationError(
            f"table {table.name!r}, its keyword index, or one of {', '.join(CONTROL)} has lost its row-level security: "
            "run 'rag-pgvector doctor' for the remedy"
        )
    reason = "is a superuser" if superuser else "has BYPASSRLS" if bypass else "owns the table" if owner else None
    if reason is not None:
        raise IsolationError(
            f"role {role!r} {reason}, so row-level security would not keep the tenants of {table.collection!r} apart: "
            "run 'rag-pgvector db grant --role NAME --create' as an administrator and set DATABASE_URL to that role"
        )
