"""Plans for database roles: the owner of multi-tenant tables, the application's, the worker's, and who may log in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

from psycopg import sql

from rag_pgvector.errors import ConfigError, IsolationError
from rag_pgvector.fence import APP, OWNER, WORKER
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import Table

__all__ = ["ensure_roles", "grant_login", "grant_table"]


def ensure_roles() -> Plan[None]:
    """Create the roles that are missing. Run it in one transaction, as a role with CREATEROLE."""
    yield Execute(sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended('rag_pgvector roles', 0))"))
    rows = yield Execute(
        sql.SQL("SELECT rolname::text, rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = ANY(%s::text[])"),
        ([OWNER, APP, WORKER],),
    )
    found: dict[str, bool] = dict(rows)
    for role in (OWNER, APP, WORKER):
        if found.get(role):
            raise IsolationError(
                f"role {role!r} is a superuser or has BYPASSRLS: run ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS"
            )
        if role not in found:
            yield Execute(
                sql.SQL("CREATE ROLE {} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE").format(
                    sql.Identifier(role)
                ),
                prepare=False,
            )
    for statement in (
        "GRANT USAGE ON SCHEMA rag TO {app}, {worker}",
        "GRANT SELECT ON rag.alembic_version TO {app}, {worker}",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON rag.collections, rag.documents, rag.ingest_runs, rag.ingest_failures, "
        "rag.eval_runs, rag.calibrations TO {app}",
        "GRANT SELECT ON rag.collections TO {worker}",
        "GRANT EXECUTE ON FUNCTION rag.authenticate_key(bytea) TO {app}",
        "GRANT USAGE, CREATE ON SCHEMA rag TO {owner}",
    ):
        yield Execute(
            sql.SQL(statement).format(
                app=sql.Identifier(APP), worker=sql.Identifier(WORKER), owner=sql.Identifier(OWNER)
            ),
            prepare=False,
        )


def grant_table(table: Table) -> Plan[None]:
    """Give a multi-tenant table to the owner role, and the application and the worker what they need of it."""
    for statement in (
        "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {app}",
        "GRANT USAGE ON SEQUENCE {sequence} TO {app}",
        "GRANT SELECT (tenant_id, scope, id, content, content_hash, embedding_hash, embedding), "
        "UPDATE (embedding, embedding_hash) ON {table} TO {worker}",
        "ALTER TABLE {table} OWNER TO {owner}",
    ):
        yield Execute(
            sql.SQL(statement).format(
                table=table.identifier,
                sequence=table.sequence,
                app=sql.Identifier(APP),
                worker=sql.Identifier(WORKER),
                owner=sql.Identifier(OWNER),
            ),
            prepare=False,
        )


def _verifier(password: str) -> str:
    """What Postgres stores of a password (RFC 5803), so that the password itself reaches neither server nor log.

    One that is not ASCII goes as it is: the server normalises it (SASLprep) before it makes the same.
    """
    if not password.isascii():
        return password
    salt, rounds = os.urandom(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${rounds}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def grant_login(role: str, *, create: bool = False, password: str | None = None) -> Plan[None]:
    """Make ``role`` one that the application may log in as. Run it in one transaction, as an administrator.

    ``create`` makes it where it is missing. Raises IsolationError for a role that would escape row-level security.
    """
    yield from ensure_roles()
    rows = yield Execute(
        sql.SQL("SELECT rolsuper, rolbypassrls, pg_has_role(rolname, %s, 'MEMBER') FROM pg_roles WHERE rolname = %s"),
        (OWNER, role),
    )
    if not rows:
        if not create:
            raise ConfigError(f"role {role!r} does not exist: create it, or add --create")
        yield Execute(
            sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE").format(
                sql.Identifier(role)
            ),
            prepare=False,
        )
    elif any(rows[0]):
        what = "is a superuser" if rows[0][0] else "has BYPASSRLS" if rows[0][1] else f"is a member of {OWNER}"
        raise IsolationError(f"role {role!r} {what}, so it would see every tenant's rows: use another role")
    if password is not None:
        yield Execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(_verifier(password))),
            prepare=False,
        )
    yield Execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(APP), sql.Identifier(role)), prepare=False)
