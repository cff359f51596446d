"""The column map: how one collection lies in Postgres. Every statement about a collection is written in its terms."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import cached_property

from psycopg import sql

from rag_pgvector.analysis import ANALYSER_VERSION
from rag_pgvector.config import CollectionConfig
from rag_pgvector.errors import ConfigError, TenantError
from rag_pgvector.layout import NATIVE, SCHEMA, Layout

__all__ = ["DISTANCES", "KEYWORD_KINDS", "SCHEMA", "DistanceSQL", "Table", "check_name", "check_tenant", "table_name"]

#: The tables of a collection's keyword index, see keyword_schema.py.
KEYWORD_KINDS = ("postings", "segments", "pending", "tombstones")

#: NAMEDATALEN - 1: Postgres cuts longer identifiers, so that two collections could become one.
MAX_NAME_BYTES = 63


@dataclass(frozen=True, slots=True)
class DistanceSQL:
    """pgvector's operator for a distance, and its HNSW operator class without the ``vector_``/``halfvec_`` prefix."""

    operator: sql.SQL
    opclass: str


DISTANCES = {
    "cosine": DistanceSQL(sql.SQL("<=>"), "cosine_ops"),
    "l2": DistanceSQL(sql.SQL("<->"), "l2_ops"),
    "inner_product": DistanceSQL(sql.SQL("<#>"), "ip_ops"),
}


_DIGESTED = re.compile(r"_[0-9a-f]{8}\Z")


def table_name(collection: str, kind: str = "chunks") -> str:
    """The identifier for a collection's table, or for another ``kind`` of relation of it: readable, at most 63 bytes.

    Unique over all collections and kinds, since tables, indexes and sequences share one name space: the kind stands in
    front, and a name ends in a digest if it is cut, holds a % (which psycopg would take for a placeholder), or looks as
    if it ended in one.
    """
    name = f"{kind}_{collection}"
    if len(name.encode()) <= MAX_NAME_BYTES and "%" not in name and not _DIGESTED.search(name):
        return name
    digest = hashlib.sha256(collection.encode()).hexdigest()[:8]
    room = MAX_NAME_BYTES - len(f"_{digest}")
    return f"{name.replace('%', '_').encode()[:room].decode(errors='ignore')}_{digest}"


def check_name(collection: object) -> str:
    """A usable collection name, or ConfigError."""
    if not isinstance(collection, str) or not collection.strip():
        raise ConfigError(f"collection name {collection!r}: use a non-empty text")
    try:
        size = len(collection.encode())
    except UnicodeEncodeError as error:
        raise ConfigError(f"collection name {collection!r}: not valid Unicode") from error
    if size > MAX_NAME_BYTES:
        raise ConfigError(f"collection name {collection!r} has {size} bytes: use at most {MAX_NAME_BYTES}")
    if any(ord(c) < 32 for c in collection):
        raise ConfigError(f"collection name {collection!r}: control characters are not allowed")
    return collection


_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def check_tenant(name: object, what: str = "tenant") -> str:
    """A usable name of a tenant or scope, or TenantError. What it allows is what the table's CHECK allows."""
    if not isinstance(name, str) or _TENANT.fullmatch(name) is None:
        raise TenantError(
            f"{what} {name!r:.80}: use 1 to 63 letters, digits, '.', '_' and '-', beginning with a letter or digit"
        )
    return name


@dataclass(frozen=True)
class Table:
    """A collection's table.

    Attributes:
        collection_id: Key in ``rag.collections``.
        collection: The collection's name.
        name: The table's name in schema ``rag``.
        config: With ``dimensions`` set.
        analyser_version: Of the analyser that made the keyword index.
        tenant: The tenant that every statement is bound to; a single-tenant collection keeps its rows under "".
        scope: A part of the tenant that narrows what is seen; "" sees all of it and writes to none of its parts.
        alpha: The share of the vectors in its hybrid searches, where one was set.
        layout: Which columns hold what: our own, or those of a peer's table, which has one owner and no documents.
    """

    collection_id: int
    collection: str
    name: str
    config: CollectionConfig
    analyser_version: int = ANALYSER_VERSION
    tenant: str = field(default="", compare=False)  # no statement holds it: prepared ones serve every tenant
    scope: str = field(default="", compare=False)
    alpha: float | None = field(default=None, compare=False)
    layout: Layout = NATIVE

    def bound(self, tenant: str, scope: str | None) -> Table:
        """The same table for one tenant, or for one scope of it. Raises TenantError."""
        if not self.multi:
            raise TenantError(f"collection {self.collection!r} has no tenants: open it without one, or convert it")
        if self.tenant and (tenant != self.tenant or (self.scope and scope != self.scope)):  # else it would widen
            whose = f"{self.tenant!r}, scope {self.scope!r}" if self.scope else f"{self.tenant!r}"
            raise TenantError(f"this object is bound to {whose}: call for_tenant on the unbound collection")
        return replace(self, tenant=check_tenant(tenant), scope="" if scope is None else check_tenant(scope, "scope"))

    @property
    def multi(self) -> bool:
        """Whether rows belong to tenants; then nothing may run without one."""
        return self.config.tenancy == "multi"

    def require_tenant(self) -> None:
        """Raises TenantError where a tenant is needed and none is bound."""
        if self.multi and not self.tenant:
            raise TenantError(
                f"collection {self.collection!r} keeps tenants apart: name one with for_tenant('...') (--tenant)"
            )

    @cached_property
    def key(self) -> sql.Composed:
        """The columns of the primary key."""
        return sql.SQL(", ").join(map(sql.Identifier, (*self.owner_columns, self.layout.id)))

    @property
    def owner_columns(self) -> tuple[str, ...]:
        """The columns that say whose a row is."""
        if not self.layout.native:
            return ()
        return ("tenant_id", "scope") if self.multi else ("tenant_id",)

    @property
    def owner(self) -> tuple[str, ...]:
        """The values that a written row gets in ``owner_columns``."""
        if not self.layout.native:
            return ()
        return (self.tenant, self.scope) if self.multi else (self.tenant,)

    @cached_property
    def owner_condition(self) -> sql.Composed:
        """The condition for the rows that a write through this table owns: of exactly the bound scope. Its values are
        ``owner``; only a native table has one."""
        return sql.SQL(" AND ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in self.owner_columns)

    @cached_property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.layout.schema, self.name)

    def require_native(self, what: str) -> None:
        """Raises ConfigError for what a peer's table has no room for."""
        if not self.layout.native:
            raise ConfigError(
                f"table {self.name!r} is laid out by another library and has no {what}: import it into a collection"
            )

    @property
    def has_keywords(self) -> bool:
        """Whether there is a keyword index, which a peer's table has no ``seq`` for."""
        return self.layout.native

    def relation(self, kind: str) -> sql.Identifier:
        """Another table of the collection, one of ``KEYWORD_KINDS``."""
        return sql.Identifier(SCHEMA, table_name(self.collection, kind))

    @cached_property
    def sequence(self) -> sql.Identifier:
        """The sequence of ``seq``; the trigger draws from it as the writer's role."""
        return sql.Identifier(SCHEMA, table_name(self.collection, "seq"))

    @cached_property
    def key_name(self) -> sql.Identifier:
        """The primary key's."""
        return sql.Identifier(table_name(self.collection, "pkey"))

    @cached_property
    def index_name(self) -> str:
        """The vector index's. It says its kind, so that an index of another kind is never taken for it."""
        return self.layout.index or table_name(self.collection, self._index_label)

    @cached_property
    def index_identifier(self) -> sql.Identifier:
        return sql.Identifier(self.layout.schema, self.index_name)

    @cached_property
    def index_leftovers(self) -> tuple[str, str]:
        """The names of an index while it is built to replace another, and of one that was replaced."""
        new, old = (table_name(self.collection, f"{state}{self._index_label}") for state in ("new", "old"))
        return new, old

    @property
    def _index_label(self) -> str:
        config = self.config  # no underscore: it ends the kind in a name
        return config.index + ("" if config.index_holds == config.storage else config.index_holds)

    @cached_property
    def vector_type(self) -> sql.SQL:
        return sql.SQL("vector") if self.config.storage == "vector" else sql.SQL("halfvec")

    @cached_property
    def distance(self) -> DistanceSQL:
        return DISTANCES[self.config.distance]
