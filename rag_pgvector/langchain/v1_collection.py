"""What langchain_postgres's v1 store keeps of a collection besides its chunks, and the view of it that programs read
through ``store.session_maker``: SQLAlchemy models over our own tables, made for each store and kept nowhere."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.orm import column_property, registry

from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import SCHEMA, Table
from rag_pgvector.write import json_text

__all__ = ["StoredCollection", "delete_v1", "find", "has_v1", "is_known", "models", "set_known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCollection:
    """A row of ``langchain_pg_collection``, as v1's ``get_collection`` gives it."""

    uuid: uuid.UUID
    name: str
    cmetadata: dict[str, Any] | None


def find(name: str) -> Plan[StoredCollection | None]:
    """The collection of that name, or None."""
    rows = yield Execute(
        sql.SQL("SELECT id, name, metadata -> 'langchain' -> 'cmetadata' FROM rag.collections WHERE name = %s"), (name,)
    )
    if not rows:
        return None
    return StoredCollection(uuid=_uuid(rows[0][0]), name=rows[0][1], cmetadata=rows[0][2])


def is_known(table: Table) -> Plan[bool]:
    """Whether a PGVector has opened the collection before, and has adopted what v1 left of it."""
    query = sql.SQL("SELECT coalesce(metadata ? 'langchain', false) FROM rag.collections WHERE id = %s")
    rows = yield Execute(query, (table.collection_id,))
    return bool(rows and rows[0][0])


def set_known(table: Table, metadata: dict[str, Any] | None) -> Plan[None]:
    """Record that, and the metadata of the collection. Raises ChunkError for what is not JSON."""
    text = "null" if metadata is None else json_text(metadata, "collection_metadata")
    query = sql.SQL(
        "UPDATE rag.collections SET metadata = coalesce(metadata, '{}') || jsonb_build_object('langchain', "
        "jsonb_build_object('cmetadata', %s::jsonb)) WHERE id = %s AND NOT coalesce(metadata ? 'langchain', false)"
    )
    yield Execute(query, (text, table.collection_id))


def has_v1(name: str) -> Plan[bool]:
    """Whether langchain_postgres's own tables hold a collection of that name."""
    rows = yield Execute(
        sql.SQL(
            "SELECT to_regclass('langchain_pg_collection') IS NOT NULL "
            "AND to_regclass('langchain_pg_embedding') IS NOT NULL"
        )
    )
    if not rows[0][0]:
        return False
    rows = yield Execute(sql.SQL("SELECT 1 FROM langchain_pg_collection WHERE name = %s"), (name,), prepare=False)
    return bool(rows)


def delete_v1(name: str) -> Plan[None]:
    """Delete a collection from v1's own tables, as v1's ``delete_collection`` does; else it would be adopted again."""
    if (yield from has_v1(name)):
        yield Execute(sql.SQL("DELETE FROM langchain_pg_collection WHERE name = %s"), (name,), prepare=False)


def _uuid(id: int) -> uuid.UUID:
    """A collection's UUID, which v1's programs ask for: made of its number, here and in ``models``."""
    return uuid.UUID(hashlib.md5(f"rag_pgvector:{id}".encode(), usedforsecurity=False).hexdigest())


def models(table: Table) -> tuple[type[Any], type[Any]]:
    """``(EmbeddingStore, CollectionStore)`` for reading, under v1's names of the columns."""
    from pgvector.sqlalchemy import HALFVEC, Vector

    metadata = sa.MetaData(schema=SCHEMA)
    vector = (Vector if table.config.storage == "vector" else HALFVEC)(table.config.dimensions)
    chunks = sa.Table(
        table.name,
        metadata,
        *(sa.Column(name, sa.Text, primary_key=True) for name in (*table.owner_columns, "id")),
        sa.Column("content", sa.Text, key="document"),
        sa.Column("metadata", JSONB, key="cmetadata"),
        sa.Column("embedding", vector),
    )
    collections = sa.Table(
        "collections",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text),
        sa.Column("metadata", JSONB),
    )
    # Classes made here, not in the module: another store has another table, and each mapping is for one class.
    embedding_store = type("EmbeddingStore", (), {})
    collection_store = type("CollectionStore", (), {})
    mapped = registry()
    own = sa.cast(sa.literal(str(_uuid(table.collection_id))), UUID(as_uuid=True))
    mapped.map_imperatively(embedding_store, chunks, properties={"collection_id": column_property(own)})
    made = sa.func.md5(sa.func.concat("rag_pgvector:", collections.c.id))
    mapped.map_imperatively(
        collection_store,
        collections,
        properties={
            "uuid": column_property(sa.cast(made, UUID(as_uuid=True))),
            "cmetadata": column_property(collections.c.metadata["langchain"]["cmetadata"]),
            "_metadata": collections.c.metadata,  # a model has an attribute of that name
        },
    )
    return embedding_store, collection_store
