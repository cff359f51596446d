"""Finding a collection, or creating it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from rag_pgvector import schema
from rag_pgvector.bound import BoundEmbedder
from rag_pgvector.collection import Collection
from rag_pgvector.config import CollectionConfig
from rag_pgvector.errors import CollectionMismatchError, CollectionNotFoundError
from rag_pgvector.fence import require_fenced_role
from rag_pgvector.planner import Estimates
from rag_pgvector.table import Table, check_name

if TYPE_CHECKING:
    from rag_pgvector.database import Database

__all__ = ["open_collection"]


def open_collection(db: Database, name: str, *, config: CollectionConfig | None, embedder: Any) -> Collection:
    """See ``Database.collection``."""
    check_name(name)
    db.ensure_schema()
    table = db.run(lambda: schema.find_collection(name), retry=True)
    if table is None:
        if config is None:
            names = ", ".join(repr(n) for n in db.run(schema.list_collections)) or "none"
            raise CollectionNotFoundError(
                f"collection {name!r} does not exist (there are: {names}): create it by ingesting into it, or with "
                "db.collection(name, config=CollectionConfig())"
            )
        if config.dimensions is None:
            from rag_pgvector.embedding import resolve_embedder

            embedder = resolve_embedder(embedder)
            config = replace(config, dimensions=embedder.dimensions)
        table = _create(db, name, config)
    if config is not None:
        _require_same(name, config, table.config)
    costs = db.search_costs()
    if table.multi:
        db = db.as_application()
        db.run(lambda: require_fenced_role(table), retry=True)
    return Collection(db, table, BoundEmbedder(db, table, embedder), Estimates(costs))


def _create(db: Database, name: str, config: CollectionConfig) -> Table:
    table = db.run_admin(lambda: schema.create_collection(name, config))
    if db.admin_is_separate and not table.multi:  # those belong to roles of their own
        role = db.run(schema.current_role)
        db.run_admin(lambda: schema.grant_collection(table, role))
    return table


def _require_same(name: str, asked: CollectionConfig, stored: CollectionConfig) -> None:
    for field in fields(CollectionConfig):
        value, existing = getattr(asked, field.name), getattr(stored, field.name)
        if value is not None and value != existing:
            raise CollectionMismatchError(
                f"collection {name!r} exists with {field.name}={existing!r}, not {value!r}: open it without config, or "
                "use another name"
            )
