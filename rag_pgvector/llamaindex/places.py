"""Where a store's nodes are: opened at its first use, and made where they may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rag_pgvector.collection import Collection
from rag_pgvector.config import CollectionConfig
from rag_pgvector.errors import CollectionNotFoundError, ConfigError
from rag_pgvector.llamaindex.contents import Contents
from rag_pgvector.llamaindex.peer import PeerTable
from rag_pgvector.llamaindex.peer_search import PeerArms
from rag_pgvector.table import check_tenant

if TYPE_CHECKING:
    from rag_pgvector.database import Database

__all__ = ["in_collection", "in_peer_table"]


def in_collection(
    db: Database,
    collection: Collection | str,
    tenant: str | None,
    scope: str | None,
    config: CollectionConfig | None,
    embedder: Any,
) -> Callable[[int | None], Contents]:
    """What opens a collection. Where there is none of the name, it is made for vectors of so many dimensions.

    Raises ConfigError and TenantError at once, CollectionNotFoundError when it is opened.
    """
    if scope is not None and tenant is None:
        raise ConfigError(f"scope={scope!r}: a scope is a part of a tenant: give tenant=, too")
    if tenant is not None:
        check_tenant(tenant)
    if scope is not None:
        check_tenant(scope, "scope")
    if config is not None and not isinstance(config, CollectionConfig):
        raise ConfigError(f"config={config!r:.80}: use CollectionConfig(...)")

    def find(dimensions: int | None) -> Collection:
        if isinstance(collection, Collection):
            return collection
        try:
            found = db.collection(collection, embedder=embedder)
        except CollectionNotFoundError:
            wanted = config or CollectionConfig(tenancy="single" if tenant is None else "multi")
            wanted = replace(wanted, dimensions=wanted.dimensions or dimensions)
            if wanted.dimensions is None:
                raise  # nothing was added yet
            return db.collection(collection, config=wanted, embedder=embedder)
        if config is None:
            return found
        stored = replace(config, dimensions=config.dimensions or found.config.dimensions)
        return db.collection(collection, config=stored, embedder=embedder)  # they must agree

    def open(dimensions: int | None) -> Contents:
        found = find(dimensions)
        bound = found if tenant is None else found.for_tenant(tenant, scope=scope)
        bound._table.require_tenant()
        return Contents(bound)

    return open


def in_peer_table(db: Database, peer: PeerTable, embedder: Any) -> Callable[[int | None], Contents]:
    """What opens a table of llama-index-vector-stores-postgres, or makes it."""

    def open(_: int | None) -> Contents:
        collection, searchable = peer.open(db, embedder)
        return Contents(collection, PeerArms(collection, peer, searchable=searchable), native=False)

    return open
