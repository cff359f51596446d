"""The defences, each taken away alone: what scripts/prove_isolation.py runs the suite against.

A patch goes in before the collection is made, statements of the superuser after it was opened; both undo exactly one
thing. ``test`` is a test that must then go red.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from psycopg import sql

from rag_pgvector import documents, fence, keyword, open, planner, postings, read, transfer
from rag_pgvector.fence import CONTROL
from rag_pgvector.table import KEYWORD_KINDS, Table

__all__ = ["MUTANTS", "Mutant"]


@dataclass(frozen=True)
class Mutant:
    """One defence less."""

    removed: str
    test: str
    patch: Callable[[pytest.MonkeyPatch], None] | None = None
    ddl: tuple[str, ...] = ()


def _where(patch: pytest.MonkeyPatch) -> None:
    for module in (read, planner, transfer):
        patch.setattr(module, "owned", lambda table: ([sql.SQL("true")], []))


def _documents_where(patch: pytest.MonkeyPatch) -> None:
    def everybody(table: Table, *more: str) -> tuple[sql.Composed, list[Any]]:
        return sql.SQL(" AND ").join(map(sql.SQL, ("collection_id = %s", *more))), [table.collection_id]

    patch.setattr(documents, "_of_collection", everybody)


def _vanished_where(patch: pytest.MonkeyPatch) -> None:
    def everybodys(table: Table, document_id: str) -> tuple[sql.Composed, list[Any]]:
        return sql.SQL("document_id = %s").format(), [document_id]

    patch.setattr(documents, "_own_chunks", everybodys)


def _keyword_where(patch: pytest.MonkeyPatch) -> None:
    """Parameters stay bound, and select nothing any more."""
    condition = "%s::text IS NOT NULL"
    patch.setattr(keyword, "_owner", lambda scoped: sql.SQL(f"{condition} AND {condition}" if scoped else condition))


def _pending_where(patch: pytest.MonkeyPatch) -> None:
    own, everybodys = (
        "tenant_id = %s AND scope = %s RETURNING",
        "%s::text IS NOT NULL AND %s::text IS NOT NULL RETURNING",
    )
    text = postings._TAKE_PENDING.as_string(None)
    assert own in text
    patch.setattr(postings, "_TAKE_PENDING", sql.SQL(text.replace(own, everybodys, 1)))


def _session_setting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        fence, "_BIND", sql.SQL("SELECT set_config('rag.tenant_id', %s, false), set_config('rag.scope', %s, false)")
    )


def _role_check(patch: pytest.MonkeyPatch) -> None:
    def anybody(table: Table) -> Any:
        yield from ()

    patch.setattr(open, "require_fenced_role", anybody)


def _key_on_id(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Table, "key", property(lambda table: sql.SQL("{}").format(sql.Identifier("id"))))


def _no_tenant_needed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Table, "require_tenant", lambda table: None)


MUTANTS: dict[str, Mutant] = {
    "tenant-policy": Mutant(
        "the policy 'tenant' of the chunks",
        "test_the_policy_alone_keeps_chunks_apart",
        ddl=("DROP POLICY tenant ON {table}",),
    ),
    "force": Mutant(
        "FORCE ROW LEVEL SECURITY",
        "test_the_owner_of_the_table_is_fenced_too",
        ddl=("ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",),
    ),
    "where": Mutant("the tenant in the WHERE of chunks", "test_the_where_alone_keeps_chunks_apart", patch=_where),
    "documents-where": Mutant(
        "the tenant in the WHERE of documents", "test_the_where_alone_keeps_documents_apart", patch=_documents_where
    ),
    "vanished-where": Mutant(
        "the tenant in the WHERE of a document's vanished chunks",
        "test_the_where_alone_keeps_documents_apart",
        patch=_vanished_where,
    ),
    "local-setting": Mutant(
        "set_config(..., local)", "test_nothing_stays_on_a_pooled_connection", patch=_session_setting
    ),
    "role-check": Mutant("the check of the role at opening", "test_a_role_that_escapes_is_refused", patch=_role_check),
    "composite-key": Mutant(
        "tenant and scope in the primary key", "test_the_same_id_belongs_to_each_tenant_alone", patch=_key_on_id
    ),
    "enable": Mutant(
        "ENABLE ROW LEVEL SECURITY",
        "test_the_policy_alone_keeps_chunks_apart",
        ddl=("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",),
    ),
    "scope-policy": Mutant(
        "the policy 'scope' of the chunks",
        "test_the_policy_alone_keeps_scopes_apart",
        ddl=("DROP POLICY scope ON {table}",),
    ),
    "restrictive": Mutant(
        "RESTRICTIVE of the policy 'tenant'",
        "test_a_permissive_policy_added_later_widens_nothing",
        ddl=(
            "DROP POLICY tenant ON {table}",
            "DROP POLICY base ON {table}",
            "CREATE POLICY tenant ON {table} USING (tenant_id = nullif(current_setting('rag.tenant_id', true), ''))",
        ),
    ),
    "with-check": Mutant(
        "WITH CHECK of the policy 'tenant'",
        "test_nothing_is_written_under_another_name",
        ddl=(
            "DROP POLICY tenant ON {table}",
            "CREATE POLICY tenant ON {table} AS RESTRICTIVE "
            "USING (tenant_id = nullif(current_setting('rag.tenant_id', true), '')) WITH CHECK (true)",
        ),
    ),
    **{
        f"{table}-policy": Mutant(
            f"the policy 'tenant' of rag.{table}",
            "test_the_policy_alone_keeps_documents_and_runs_apart",
            ddl=(f"DROP POLICY tenant ON rag.{table}",),
        )
        for table in CONTROL
    },
    "require-tenant": Mutant(
        "TenantError where none is named", "test_without_a_tenant_everything_is_refused", patch=_no_tenant_needed
    ),
    "grants": Mutant(
        "no TRUNCATE for the application",
        "test_the_application_has_no_right_that_policies_do_not_hold",
        ddl=("GRANT TRUNCATE ON {table} TO rag_app",),
    ),
    **{
        f"{kind}-policy": Mutant(
            f"the policy 'tenant' of the keyword index's {kind}",
            "test_the_policy_alone_keeps_keywords_apart",
            ddl=(f"DROP POLICY tenant ON {{{kind}}}",),
        )
        for kind in KEYWORD_KINDS
    },
    "keyword-where": Mutant(
        "the tenant in the WHERE of keyword search", "test_the_where_alone_keeps_keywords_apart", patch=_keyword_where
    ),
    "pending-where": Mutant(
        "the tenant in the WHERE of what becomes a segment",
        "test_the_where_alone_keeps_what_waits_apart",
        patch=_pending_where,
    ),
}
