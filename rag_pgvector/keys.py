"""API keys as data: a secret stands for one tenant, perhaps one scope of it, and the permissions that it lists.

Only the SHA-256 of a secret is stored: 256 random bits need no slow hash. The application's role cannot read
``rag.api_keys``; it can only ask what a secret stands for, through ``rag.authenticate_key``.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal, get_args

from psycopg import sql

from rag_pgvector.errors import AccessDeniedError, ConfigError
from rag_pgvector.plan import Execute, Plan, Row
from rag_pgvector.table import check_tenant

if TYPE_CHECKING:
    from rag_pgvector.database import Database

__all__ = [
    "PERMISSIONS",
    "KeyInfo",
    "NewKey",
    "Permission",
    "Principal",
    "aauthenticate",
    "authenticate",
    "create_key",
    "list_keys",
    "revoke_key",
]

#: Searching and asking; adding and replacing; deleting; exporting and removing the whole tenant. None implies another.
Permission = Literal["data.vector_search", "data.ingest", "data.delete", "data.admin"]
PERMISSIONS: tuple[Permission, ...] = get_args(Permission)

_SECRET = re.compile(r"rag_[A-Za-z0-9_-]{43}")
_INFO = sql.SQL("id, name, tenant_id, scope, permissions, created_at, expires_at, revoked_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who holds a valid key. ``scope`` is ``None`` for a key of the whole tenant."""

    name: str
    tenant: str
    scope: str | None
    permissions: frozenset[str]

    def require(self, permission: Permission) -> None:
        """Raises AccessDeniedError unless the key lists this permission."""
        if permission not in self.permissions:
            raise AccessDeniedError(
                f"the API key {self.name!r} lacks the permission {permission!r}: use a key that lists it"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key as it is made: ``secret`` is shown this once and cannot be had again."""

    id: int
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What an administrator may see of a key: everything but the secret."""

    id: int
    name: str
    tenant: str
    scope: str | None
    permissions: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    @property
    def state(self) -> Literal["valid", "expired", "revoked"]:
        if self.revoked_at is not None:
            return "revoked"
        expired = self.expires_at is not None and self.expires_at <= datetime.now(timezone.utc)
        return "expired" if expired else "valid"


# --------------------------------------------------------------------------------------------------- administration


def create_key(
    db: Database,
    name: str,
    tenant: str,
    *,
    permissions: Iterable[str],
    scope: str | None = None,
    expires_at: datetime | None = None,
) -> NewKey:
    """Make a key. Runs as the administrator.

    Args:
        name: What people call it; it appears in errors and lists.
        permissions: Of ``PERMISSIONS``; what is not listed is refused.
        scope: Narrows the key to one scope of the tenant.
        expires_at: With a time zone; ``None`` never.

    Raises ConfigError, TenantError, PermissionDeniedError.
    """
    check_tenant(tenant)
    if scope is not None:
        check_tenant(scope, "scope")
    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise ConfigError(f"key name {name!r:.80}: use 1 to 200 printable characters")
    wanted = sorted({permissions} if isinstance(permissions, str) else set(permissions))
    if not wanted or not set(wanted) <= set(PERMISSIONS):
        raise ConfigError(f"permissions {wanted}: use one or more of {', '.join(PERMISSIONS)}")
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= datetime.now(timezone.utc)):
        raise ConfigError(f"expires_at={expires_at.isoformat()}: use a time in the future, with its time zone")
    secret = "rag_" + secrets.token_urlsafe(32)
    db.ensure_schema()
    return NewKey(
        id=db.run_admin(lambda: _insert(name, _hash(secret), tenant, scope or "", wanted, expires_at)), secret=secret
    )


def list_keys(db: Database, tenant: str | None = None) -> list[KeyInfo]:
    """All keys, or one tenant's, oldest first; never a secret. Runs as the administrator."""
    if tenant is not None:
        check_tenant(tenant)
    db.ensure_schema()
    return db.run_admin(lambda: _list(tenant))


def revoke_key(db: Database, id: int) -> KeyInfo:
    """Make a key worthless from now on; it stays in the list. Runs as the administrator. Raises ConfigError."""
    db.ensure_schema()
    return db.run_admin(lambda: _revoke(id))


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _insert(
    name: str, key_hash: bytes, tenant: str, scope: str, permissions: list[str], expires_at: datetime | None
) -> Plan[int]:
    rows = yield Execute(
        sql.SQL(
            "INSERT INTO rag.api_keys (name, key_hash, tenant_id, scope, permissions, expires_at) "
            "VALUES (%s, %s, %s, %s, %s, %s) RETURNING id"
        ),
        (name, key_hash, tenant, scope, permissions, expires_at),
    )
    return int(rows[0][0])


def _list(tenant: str | None) -> Plan[list[KeyInfo]]:
    query = sql.SQL("SELECT {} FROM rag.api_keys WHERE %s::text IS NULL OR tenant_id = %s ORDER BY id").format(_INFO)
    rows = yield Execute(query, (tenant, tenant))
    return [_info(row) for row in rows]


def _revoke(id: int) -> Plan[KeyInfo]:
    query = sql.SQL("UPDATE rag.api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s RETURNING {}")
    rows = yield Execute(query.format(_INFO), (id,))
    if not rows:
        raise ConfigError(f"there is no key {id}: see 'rag-pgvector keys list'")
    return _info(rows[0])


def _info(row: Row) -> KeyInfo:
    id_, name, tenant, scope, permissions, created, expires, revoked = row
    return KeyInfo(
        id=id_,
        name=name,
        tenant=tenant,
        scope=scope or None,
        permissions=tuple(permissions),
        created_at=created,
        expires_at=expires,
        revoked_at=revoked,
    )


# --------------------------------------------------------------------------------------------------- authentication


def authenticate(db: Database, secret: str) -> Principal:
    """Who holds this key. Runs as the application.

    Raises AccessDeniedError, with the same words for a key that is unknown, expired or revoked.
    """
    _check(secret)
    db.ensure_schema()
    return db.as_application().run(lambda: _authenticate(secret), retry=True)


async def aauthenticate(db: Database, secret: str) -> Principal:
    """``authenticate`` for asynchronous callers."""
    _check(secret)
    await asyncio.to_thread(db.ensure_schema)
    application = await asyncio.to_thread(db.as_application)
    return await application.arun(lambda: _authenticate(secret), retry=True)


def _check(secret: object) -> None:
    if not isinstance(secret, str) or _SECRET.fullmatch(secret) is None:
        raise _denied()


def _authenticate(secret: str) -> Plan[Principal]:
    query = sql.SQL("SELECT name, tenant_id, scope, permissions FROM rag.authenticate_key(%s)")
    rows = yield Execute(query, (_hash(secret),))
    if not rows:
        raise _denied()
    name, tenant, scope, permissions = rows[0]
    return Principal(name=name, tenant=tenant, scope=scope or None, permissions=frozenset(permissions))


def _denied() -> AccessDeniedError:
    return AccessDeniedError("the API key is not valid: make one with 'rag-pgvector keys create'")
