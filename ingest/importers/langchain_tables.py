"""The tables of langchain-postgres: the shared ones of its first store, and those of its second, one for each store."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

from rag_pgvector.collection import Collection
from rag_pgvector.database import Database
from rag_pgvector.errors import CollectionNotFoundError, ConfigError
from rag_pgvector.ingest.importers.adopt import AdoptReport, PeerRows, adopt
from rag_pgvector.plan import Execute, Plan

__all__ = ["import_v1", "import_v2", "jsonb_of", "v1_rows", "v2_rows", "without_nul"]

_VECTORS = ("vector", "halfvec")
#: jsonb_build_object takes 100 arguments.
_PAIRS = 50

_COLUMNS = sql.SQL(
    "SELECT a.attname::text, t.typname::text, coalesce(a.attnum = ANY (i.indkey), false), coalesce(i.indnkeyatts, 0) "
    "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid "
    "LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary "
    "WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)


def import_v1(
    source: Database,
    name: str,
    collection: Collection,
    *,
    schema: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> AdoptReport:
    """Copy the collection ``name`` of ``langchain_pg_collection`` (PGVector) into one of ours."""
    rows = source.run(lambda: v1_rows(name, schema=schema), retry=True)
    return adopt(source, rows, collection, progress=progress)


def import_v2(
    source: Database,
    name: str,
    collection: Collection,
    *,
    schema: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> AdoptReport:
    """Copy the table ``name`` (PGVectorStore) into a collection of ours."""
    rows = source.run(lambda: v2_rows(name, schema=schema), retry=True)
    return adopt(source, rows, collection, progress=progress)


def v1_rows(name: str, *, schema: str | None = None) -> Plan[PeerRows]:
    """One collection of the tables that every PGVector shares.

    An older table (langchain-community's) has ``uuid`` for its key and an optional ``custom_id``, which may repeat:
    the first row of a custom_id gets it, others their uuid. Raises CollectionNotFoundError.
    """
    collections, embeddings = _named("langchain_pg_collection", schema), _named("langchain_pg_embedding", schema)
    columns = yield from _columns(embeddings)
    if not columns:
        raise CollectionNotFoundError(_no_table("langchain_pg_embedding", "--table for a table of PGVectorStore"))
    names = yield Execute(sql.SQL("SELECT name FROM {} ORDER BY name").format(collections))
    if name not in [row[0] for row in names]:
        known = ", ".join(repr(row[0]) for row in names) or "none"
        raise CollectionNotFoundError(f"langchain_pg_collection has no collection {name!r} (it has: {known})")
    types = {column: type_ for column, type_, _, _ in columns}
    id_: sql.Composable = sql.SQL("e.id")
    key: sql.Composable = sql.SQL("e.id")
    if "id" not in types:
        key = sql.SQL("e.uuid")
        id_ = sql.SQL("e.uuid::text")
        if "custom_id" in types:
            id_ = sql.SQL(
                "CASE WHEN e.custom_id IS NULL OR EXISTS (SELECT FROM {} AS o WHERE o.collection_id = e.collection_id "
                "AND o.custom_id = e.custom_id AND o.uuid < e.uuid) THEN e.uuid::text ELSE e.custom_id END"
            ).format(embeddings)
    return PeerRows(
        relation=sql.SQL("{} AS e").format(embeddings),
        tables=(collections, embeddings),
        key=key,
        id=id_,
        content=sql.SQL("e.document"),
        embedding=sql.SQL("e.embedding"),
        metadata=jsonb_of(sql.SQL("e.cmetadata"), types["cmetadata"]),
        condition=sql.SQL("e.collection_id IN (SELECT uuid FROM {} WHERE name = %s)").format(collections),
        params=(name,),
    )


def v2_rows(
    table: str,
    *,
    schema: str | None = None,
    id_column: str | None = None,
    content_column: str | None = None,
    embedding_column: str | None = None,
    metadata_json_column: str | None = None,
) -> Plan[PeerRows]:
    """A table of PGVectorStore, or one like it. Columns that are not named are found by what they are.

    Metadata is the JSON column's and every other column's but the text search vectors'; a column goes before a key of
    the same name. Raises CollectionNotFoundError, ConfigError.
    """
    relation = _named(table, schema)
    columns = yield from _columns(relation)
    if not columns:
        raise CollectionNotFoundError(_no_table(table, "--schema"))
    types = {name: type_ for name, type_, _, _ in columns}
    keys = [name for name, _, primary, width in columns if primary and width == 1]
    id_ = _choose(types, "id", id_column, keys)
    embedding = _choose(types, "embedding", embedding_column, [n for n, t in types.items() if t in _VECTORS])
    texts = [n for n, t in types.items() if t in ("text", "varchar") and n != id_]
    content = _choose(types, "content", content_column, ["content"] if "content" in texts else texts)
    json = metadata_json_column
    if json is None and types.get("langchain_metadata") in ("json", "jsonb"):
        json = "langchain_metadata"
    if json is not None:
        _choose(types, "metadata", json, [])
    used = {id_, embedding, content, json}
    others = [name for name, type_ in types.items() if name not in used and type_ not in ("tsvector", *_VECTORS)]
    parts: list[sql.Composable] = []
    if json is not None:
        stored = jsonb_of(sql.Identifier(json), types[json])
        parts.append(sql.SQL("CASE jsonb_typeof({m}) WHEN 'object' THEN {m} ELSE '{{}}'::jsonb END").format(m=stored))
    for start in range(0, len(others), _PAIRS):
        pairs = [
            sql.SQL("{}::text, {}").format(sql.Literal(name), sql.Identifier(name))
            for name in others[start : start + _PAIRS]
        ]
        parts.append(sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs)))
    return PeerRows(
        relation=relation,
        tables=(relation,),
        key=sql.Identifier(id_),
        id=sql.Identifier(id_),
        content=sql.Identifier(content),
        embedding=sql.Identifier(embedding),
        metadata=sql.SQL(" || ").join(sql.SQL("({})").format(part) for part in parts)
        if parts
        else sql.SQL("'{}'::jsonb"),
    )


def _named(name: str, schema: str | None) -> sql.Identifier:
    for part in (name, schema or ""):
        if "%" in part or "\0" in part:
            raise ConfigError(f"{part!r:.80}: a table whose name holds % cannot be imported: rename it")
    return sql.Identifier(name) if schema is None else sql.Identifier(schema, name)


def _columns(table: sql.Identifier) -> Plan[list[tuple[str, str, bool, int]]]:
    """Name, type, whether it is in the primary key, and how many columns that has; [] where there is no table."""
    found = [(row[0], row[1], row[2], row[3]) for row in (yield Execute(_COLUMNS, (table.as_string(None),)))]
    for name, *_ in found:
        if "%" in name:
            raise ConfigError(f"column {name!r}: a column whose name holds % cannot be imported: rename it")
    return found


def _choose(types: dict[str, str], what: str, given: str | None, found: list[str]) -> str:
    if given is not None:
        if given not in types:
            raise ConfigError(f"there is no column {given!r:.80}: the table has {', '.join(map(repr, types))}")
        return given
    if len(found) != 1:
        raise ConfigError(
            f"which column holds the {what}? {', '.join(map(repr, found)) or 'None looks like it'}: "
            f"name it with --{what}-column"
        )
    return found[0]


def jsonb_of(column: sql.Composable, type_: str) -> sql.Composable:
    """The column as jsonb. json may hold \\u0000, which jsonb refuses: it is left out."""
    return sql.SQL("{}::jsonb").format(without_nul(column) if type_ == "json" else column)


def without_nul(json: sql.Composable) -> sql.Composable:
    """JSON as text without its NULs."""
    return sql.SQL(r"regexp_replace(({})::text, '(?<!\\)((?:\\\\)*)\\u0000', '\1', 'g')").format(json)


def _no_table(name: str, option: str) -> str:
    return f"there is no table {name!r:.80} here: check the URL's database, or use {option}"
