"""The column map: how one collection lies in Postgres. Every statement about a collection is written in its terms."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from psycopg import sql

from rag_pgvector.config import CollectionConfig
from rag_pgvector.errors import ConfigError

__all__ = ["DISTANCES", "SCHEMA", "DistanceSQL", "Table", "check_name", "table_name"]

SCHEMA = "rag"

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


def table_name(collection: str, suffix: str = "") -> str:
    """The identifier for a collection's table (or index): readable, at most 63 bytes, unique per name."""
    name = f"chunks_{collection}{suffix}"
    if len(name.encode()) <= MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(collection.encode()).hexdigest()[:8]
    room = MAX_NAME_BYTES - len(f"chunks__{digest}{suffix}")
    return f"chunks_{collection.encode()[:room].decode(errors='ignore')}_{digest}{suffix}"


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


@dataclass(frozen=True)
class Table:
    """A collection's table.

    Attributes:
        collection_id: Key in ``rag.collections``.
        collection: The collection's name.
        name: The table's name in schema ``rag``.
        config: With ``dimensions`` set.
        tenant: The tenant that every statement is bound to; a single-tenant collection keeps its rows under "".
    """

    collection_id: int
    collection: str
    name: str
    config: CollectionConfig
    tenant: str = ""

    @cached_property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(SCHEMA, self.name)

    @cached_property
    def index_name(self) -> str:
        return table_name(self.collection, "_hnsw")

    @cached_property
    def vector_type(self) -> sql.SQL:
        return sql.SQL("vector") if self.config.storage == "vector" else sql.SQL("halfvec")

    @cached_property
    def distance(self) -> DistanceSQL:
        return DISTANCES[self.config.distance]
