"""The table ``data_<name>`` of llama-index-vector-stores-postgres: found as it stands, or made as that makes it.

What is different in a table that is made here: an index on ``node_id``, through which a node is replaced, and one GIN
index for all ``indexed_metadata_keys``, which our filters can use (the peer's casts abort an insert whose value does
not fit, and its own filters cannot use them, run-llama/llama_index#19060).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from psycopg import sql

from rag_pgvector.bound import BoundEmbedder
from rag_pgvector.collection import Collection
from rag_pgvector.config import CollectionConfig, Distance
from rag_pgvector.errors import CollectionMismatchError, CollectionNotFoundError, ConfigError, DatabaseError
from rag_pgvector.layout import Layout
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.schema import require_extension
from rag_pgvector.table import DISTANCES, MAX_NAME_BYTES, Table

if TYPE_CHECKING:
    from rag_pgvector.database import Database

__all__ = ["LAYOUT", "PeerTable", "Shape", "find_shape"]

logger = logging.getLogger("rag_pgvector")

TEXT_SEARCH_COLUMN = "text_search_tsv"
_TYPES = (
    "text",
    "int",
    "integer",
    "numeric",
    "float",
    "double precision",
    "boolean",
    "date",
    "timestamp",
    "uuid",
    "text[]",
)
_LOCK = sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))")
_METHODS: dict[str, Distance] = {"cosine_ops": "cosine", "l2_ops": "l2", "ip_ops": "inner_product"}
_EMBEDDING_TYPE = re.compile(r"(?:[\w\"]+\.)?(vector|halfvec)(?:\(([0-9]+)\))?")

#: Where the peer keeps what. A node's id is in no unique index there: it is replaced by delete and insert.
LAYOUT = Layout(
    schema="public",
    id="node_id",
    content="text",
    embedding="embedding",
    metadata="metadata_",
    metadata_type="json",
    native=False,
    unique=False,
    document_key="ref_doc_id",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What stands in the catalogue about a table of the peer.

    Attributes:
        storage: ``vector`` or ``halfvec``.
        dimensions: Of its embeddings; None for a column without a length.
        metadata_type: ``json`` or ``jsonb``.
        searchable: Whether it has a column for text search.
        indexes: Its valid vector indexes: name, method and operator class.
    """

    storage: str
    dimensions: int | None
    metadata_type: str
    searchable: bool
    indexes: tuple[tuple[str, str, str], ...] = ()


def find_shape(relation: sql.Identifier) -> Plan[Shape | None]:
    """The shape of a table, or None where there is none. Raises CollectionMismatchError for another kind of table."""
    name = relation.as_string(None)
    rows = yield Execute(
        sql.SQL(
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute "
            "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
        ),
        (name,),
    )
    if not rows:
        return None
    columns: dict[str, str] = {row[0]: row[1] for row in rows}
    found = _EMBEDDING_TYPE.fullmatch(columns.get("embedding", ""))
    metadata = columns.get("metadata_")
    if found is None or metadata not in ("json", "jsonb") or not {"node_id", "text", "id"} <= columns.keys():
        raise CollectionMismatchError(
            f"table {name} has the columns {', '.join(sorted(columns))}: it was not made by "
            "llama-index-vector-stores-postgres"
        )
    rows = yield Execute(
        sql.SQL(
            "SELECT r.relname::text, m.amname::text, o.opcname::text FROM pg_index i "
            "JOIN pg_class r ON r.oid = i.indexrelid JOIN pg_am m ON m.oid = r.relam "
            "JOIN pg_opclass o ON o.oid = i.indclass[0] JOIN pg_attribute a ON a.attrelid = i.indrelid "
            "AND a.attnum = i.indkey[0] WHERE i.indrelid = to_regclass(%s) AND i.indisvalid "
            "AND m.amname IN ('hnsw', 'ivfflat') AND a.attname = 'embedding' ORDER BY m.amname, r.relname"
        ),
        (name,),
    )
    dimensions = int(found[2]) if found[2] else None
    indexes = tuple((row[0], row[1], row[2]) for row in rows)
    return Shape(found[1], dimensions, metadata, TEXT_SEARCH_COLUMN in columns, indexes)


class PeerTable:
    """A table of the peer, by the arguments that the peer takes. Raises ConfigError for what cannot be.

    Attributes:
        name: ``table_name`` in lower case, as the peer folds it.
        schema: The same of ``schema_name``.
        relation: The table.
        indexed: ``indexed_metadata_keys``, checked.
        text_config: The text search configuration.
        customize: ``customize_query_fn``.
    """

    def __init__(
        self,
        *,
        table_name: str | None,
        schema_name: str | None,
        embed_dim: int = 1536,
        hybrid_search: bool = False,
        text_search_config: str = "english",
        use_jsonb: bool = False,
        use_halfvec: bool = False,
        hnsw_kwargs: Mapping[str, Any] | None = None,
        indexed_metadata_keys: Iterable[tuple[str, str]] | None = None,
        perform_setup: bool = True,
        customize_query_fn: Callable[..., Any] | None = None,
    ) -> None:
        self.name = _name("table_name", table_name or "llamaindex")
        self.schema = _name("schema_name", schema_name or "public")
        self.table = f"data_{self.name}"
        if len(f"{self.table}_embedding_idx".encode()) > MAX_NAME_BYTES:
            raise ConfigError(
                f"table_name={table_name!r}: Postgres would cut the names made of it: use at most 44 bytes"
            )
        if not isinstance(text_search_config, str) or not text_search_config or "\0" in text_search_config:
            raise ConfigError(f"text_search_config={text_search_config!r}: use a name such as 'english'")
        self.relation = sql.Identifier(self.schema, self.table)
        self.text_config = text_search_config
        self.text_column = hybrid_search
        self.metadata_type = "jsonb" if use_jsonb else "json"
        self.storage = "halfvec" if use_halfvec else "vector"
        self.indexed = _indexed(indexed_metadata_keys)
        self.perform_setup = perform_setup
        self.customize = customize_query_fn
        self.build_index = hnsw_kwargs is not None
        given = dict(hnsw_kwargs or {})
        self.ef_search = given.get("hnsw_ef_search")
        if self.build_index and not {"hnsw_m", "hnsw_ef_construction"} <= given.keys():
            raise ConfigError("hnsw_kwargs: give hnsw_m and hnsw_ef_construction, and hnsw_ef_search if you like")
        self.config = CollectionConfig(
            dimensions=embed_dim,
            distance=_distance(given.get("hnsw_dist_method")),
            storage=self.storage,  # type: ignore[arg-type]
            hnsw_m=given.get("hnsw_m", 16),
            hnsw_ef_construction=given.get("hnsw_ef_construction", 64),
        )

    def open(self, db: Database, embedder: Any = None) -> tuple[Collection, bool]:
        """The table as a collection, and whether it has a column for text search.

        It is made first where there is none and ``perform_setup`` allows it. Raises CollectionNotFoundError.
        """
        shape = db.run(lambda: find_shape(self.relation), retry=True)
        if shape is None and self.perform_setup:
            db.run_admin(self._create)
            shape = db.run(lambda: find_shape(self.relation), retry=True)
        if shape is None:
            raise CollectionNotFoundError(
                f"table {self.relation.as_string(None)} does not exist and perform_setup=False: make it first"
            )
        table = self.layout(shape)
        if self.build_index and self.perform_setup and not self._indexes(shape):
            try:
                db.run_admin(lambda: self._create_index(table))
            except DatabaseError as error:  # the table is right without it, and the role may not own it
                logger.warning("no vector index on %s: %s", self.relation.as_string(None), error)
        return Collection(db, table, BoundEmbedder(db, table, embedder)), shape.searchable

    def layout(self, shape: Shape) -> Table:
        """The column map of the table."""
        config = replace(self.config, dimensions=shape.dimensions or self.config.dimensions, storage=shape.storage)  # type: ignore[arg-type]
        matching = self._indexes(shape)
        layout = replace(
            LAYOUT,
            schema=self.schema,
            metadata_type=shape.metadata_type,
            index=matching[0] if matching else f"{self.table}_embedding_idx",
        )
        return Table(0, f"{self.schema}.{self.table}", self.table, config, layout=layout)

    def _indexes(self, shape: Shape) -> list[str]:
        """The vector indexes that a search by this distance can use (#17311: the peer always asks for cosine)."""
        wanted = f"{shape.storage}_{DISTANCES[self.config.distance].opclass}"
        return [name for name, _, opclass in shape.indexes if opclass == wanted]

    # ---------------------------------------------------------------------------------------------------------- DDL

    def _create(self) -> Plan[None]:
        """Make the table. Any number of processes may do so at the same moment."""
        yield Execute(
            sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))"), (f"{self.schema}.{self.table}",)
        )
        rows = yield Execute(
            sql.SQL("SELECT to_regnamespace(%s) IS NULL"), (sql.Identifier(self.schema).as_string(None),)
        )
        if rows[0][0]:
            yield Execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(self.schema)), prepare=False)
        yield from require_extension(create=True)
        rows = yield Execute(sql.SQL("SELECT to_regclass(%s) IS NULL"), (self.relation.as_string(None),))
        if not rows[0][0]:
            return
        config = sql.Literal(self.text_config)
        column = sql.SQL(
            ", text_search_tsv tsvector GENERATED ALWAYS AS (to_tsvector({}::regconfig, text)) STORED"
        ).format(config)
        yield Execute(
            sql.SQL(
                "CREATE TABLE {} (id bigserial PRIMARY KEY, text varchar NOT NULL, metadata_ {}, node_id varchar, "
                "embedding {}({}){})"
            ).format(
                self.relation,
                sql.SQL("jsonb") if self.metadata_type == "jsonb" else sql.SQL("json"),
                sql.SQL("vector") if self.storage == "vector" else sql.SQL("halfvec"),
                sql.Literal(self.config.dimensions),
                column if self.text_column else sql.SQL(""),
            ),
            prepare=False,
        )
        for name, expression in self._plain_indexes():
            yield Execute(
                sql.SQL("CREATE INDEX {} ON {} USING {}").format(sql.Identifier(name), self.relation, expression),
                prepare=False,
            )

    def _plain_indexes(self) -> list[tuple[str, sql.SQL]]:
        found = [
            (f"{self.name}_idx_1", sql.SQL("btree ((metadata_ ->> 'ref_doc_id'))")),
            (f"{self.name}_idx_node_id", sql.SQL("btree (node_id)")),
        ]
        if self.text_column:
            found.append((f"{self.name}_idx", sql.SQL("gin (text_search_tsv)")))
        if self.indexed and self.metadata_type == "jsonb":
            found.append((f"{self.name}_idx_metadata", sql.SQL("gin (metadata_ jsonb_path_ops)")))
        elif self.indexed:
            found.append((f"{self.name}_idx_metadata", sql.SQL("gin ((metadata_::jsonb) jsonb_path_ops)")))
        return found

    def _create_index(self, table: Table) -> Plan[None]:
        """The HNSW index, under the peer's name or, where one of another distance has that, another."""
        yield Execute(
            sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))"), (f"{self.schema}.{self.table}",)
        )
        shape = yield from find_shape(self.relation)
        if shape is None or self._indexes(shape):
            return
        name = f"{self.table}_embedding_idx"
        if any(name == taken for taken, _, _ in shape.indexes):
            name = f"{self.table}_{self.config.distance}_idx"[:MAX_NAME_BYTES]
        yield Execute(
            sql.SQL("CREATE INDEX {} ON {} USING hnsw (embedding {}) WITH (m = {}, ef_construction = {})").format(
                sql.Identifier(name),
                self.relation,
                sql.Identifier(f"{table.config.storage}_{table.distance.opclass}"),
                sql.Literal(table.config.hnsw_m),
                sql.Literal(table.config.hnsw_ef_construction),
            ),
            prepare=False,
        )


def _name(what: str, given: Any) -> str:
    if not isinstance(given, str) or any(c in given for c in "\0%") or not given.isprintable():
        raise ConfigError(f"{what}={given!r:.80}: use a text without NUL, % and control characters")
    if len(given.encode(errors="replace")) > MAX_NAME_BYTES:
        raise ConfigError(f"{what}={given!r:.80}: Postgres cuts names at {MAX_NAME_BYTES} bytes")
    return given.lower()


def _indexed(given: Iterable[tuple[str, str]] | None) -> tuple[tuple[str, str], ...]:
    pairs = []
    for pair in given or ():
        if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(each, str) for each in pair):
            raise ConfigError(f"indexed_metadata_keys: {pair!r:.80} is no pair of a key and a type")
        key, type_ = pair
        if type_ not in _TYPES:
            raise ConfigError(f"Invalid type {type_} for key {key}. Must be one of {list(_TYPES)}")
        pairs.append((key, type_))
    return tuple(pairs)


def _distance(method: Any) -> Distance:
    if method is None:
        return "cosine"
    found = _METHODS.get(str(method).removeprefix("vector_").removeprefix("halfvec_"))
    if found is None:
        raise ConfigError(
            f"hnsw_dist_method={method!r}: use vector_cosine_ops, vector_l2_ops or vector_ip_ops (halfvec_... likewise)"
        )
    return found
