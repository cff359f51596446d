"""Plans for tables laid out by langchain-postgres: making one, reading how one lies, and its indexes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from rag_pgvector.config import CollectionConfig, Distance
from rag_pgvector.errors import ConfigError
from rag_pgvector.index_kinds import index_kind
from rag_pgvector.langchain.columns import Column
from rag_pgvector.langchain.indexes import DEFAULT_INDEX_NAME_SUFFIX, distance_of
from rag_pgvector.layout import Layout, check_identifier, type_sql
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.schema import require_extension
from rag_pgvector.table import Table

__all__ = [
    "StandingConfig",
    "as_indexed",
    "create_index",
    "create_table",
    "create_text_index",
    "drop_index",
    "drop_table",
    "grant_table",
    "index_is_valid",
    "index_name",
    "read_table",
    "reindex",
]

_TEXT_TYPES = ("text", "character varying", "character")


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingConfig(CollectionConfig):
    """Of a table that is there: of as many dimensions as it has, even where no index could hold them."""

    def __post_init__(self) -> None:
        return


def create_table(
    schema: str,
    name: str,
    *,
    vector_size: int,
    id_column: Column,
    content: str,
    embedding: str,
    metadata_columns: Sequence[Column],
    metadata: str | None,
    text_search: str | None,
    overwrite: bool,
) -> Plan[None]:
    """Create the table, and the extension where there is none. One transaction."""
    if type(vector_size) is not int or not 1 <= vector_size <= 16_000:
        raise ConfigError(f"vector_size={vector_size!r:.80}: use a whole number from 1 to 16,000")
    table = sql.Identifier(check_identifier(schema), check_identifier(name))
    columns = [
        sql.SQL("{} {} PRIMARY KEY").format(_name(id_column.name), type_sql(id_column.data_type)),
        sql.SQL("{} text NOT NULL").format(_name(content)),
        sql.SQL("{} vector({}) NOT NULL").format(_name(embedding), sql.Literal(vector_size)),
    ]
    if text_search is not None:
        columns.append(sql.SQL("{} tsvector NOT NULL").format(_name(text_search)))
    for column in metadata_columns:
        shape = sql.SQL("{} {}" if column.nullable else "{} {} NOT NULL")
        columns.append(shape.format(_name(column.name), type_sql(column.data_type)))
    if metadata is not None:
        columns.append(sql.SQL("{} json").format(_name(metadata)))
    yield from require_extension(create=True)
    for column in (id_column, *metadata_columns):
        yield from _require_type(column)
    if overwrite:
        yield from drop_table(schema, name)
    yield Execute(sql.SQL("CREATE TABLE {} ({})").format(table, sql.SQL(", ").join(columns)), prepare=False)


def _require_type(column: Column) -> Plan[None]:
    """Raises ConfigError for a type that the database does not have."""
    if column.data_type.lower() in ("serial", "bigserial", "smallserial"):  # which stand for a type and a sequence
        return
    type_sql(column.data_type)
    query = sql.SQL("SELECT EXISTS (SELECT FROM pg_get_keywords() WHERE word = %s AND catcode = 'R')")
    reserved = (yield Execute(query, (column.data_type.lower(),)))[0][0]  # to_regtype would be a syntax error
    if reserved or (yield Execute(sql.SQL("SELECT to_regtype(%s) IS NULL"), (column.data_type,)))[0][0]:
        raise ConfigError(f"column {column.name!r} has data_type {column.data_type!r:.80}: there is no such type here")


def _name(name: object) -> sql.Identifier:
    return sql.Identifier(check_identifier(name))


def grant_table(schema: str, name: str, role: str) -> Plan[None]:
    """Let an application's role read and write a table that another role made."""
    table = sql.Identifier(check_identifier(schema), check_identifier(name))
    yield Execute(
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(table, sql.Identifier(role)), prepare=False
    )


def drop_table(schema: str, name: str) -> Plan[None]:
    """Drop the table where there is one."""
    table = sql.Identifier(check_identifier(schema), check_identifier(name))
    yield Execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table), prepare=False)


@dataclass(frozen=True)
class _Found:
    """A column in the catalogue."""

    type: str
    base: str
    builtin: bool
    dimensions: int
    required: bool
    generated: bool


def read_table(
    schema: str,
    name: str,
    *,
    id_column: str,
    content: str,
    embedding: str,
    metadata_columns: Sequence[str] | None,
    ignore_metadata_columns: Sequence[str] | None,
    metadata: str | None,
    distance: Distance,
    text_search: str | None,
    language: str,
) -> Plan[Table]:
    """How a standing table lies. ``text_search`` None: no hybrid search was asked for.

    Raises ConfigError (a ValueError) for a table or column that is not there or cannot serve.
    """
    if metadata_columns and ignore_metadata_columns:
        raise ConfigError("use metadata_columns or ignore_metadata_columns, not both")
    for each in (schema, name, id_column, content, embedding):
        check_identifier(each)
    found = yield from _columns(schema, name)
    if not found:
        raise ConfigError(
            f"table {name!r} does not exist in schema {schema!r}: make it with PGEngine.init_vectorstore_table"
        )
    for what, column in (("id", id_column), ("content", content), ("embedding", embedding)):
        if column not in found:
            raise ConfigError(f"{what} column {column!r} does not exist in {name!r} (there are: {', '.join(found)})")
    if found[content].base not in _TEXT_TYPES:
        raise ConfigError(f"content column {content!r} is of type {found[content].type}, it must be text")
    vector = found[embedding]
    if vector.base not in ("vector", "halfvec"):
        raise ConfigError(f"embedding column {embedding!r} is of type {vector.type}, it must be vector or halfvec")
    if text_search is None:  # nobody asked for it, but a row may not do without
        needed = [column for column, each in found.items() if each.base == "tsvector" and each.required]
        text_column = needed[0] if len(needed) == 1 else f"{content}_tsv"
        tsvector = found[text_column] if text_column in needed else None
    else:
        text_column = text_search
        tsvector = found[text_search] if text_search in found and found[text_search].base == "tsvector" else None
    own = {id_column, content, embedding, metadata, text_column if tsvector else None}
    names = list(metadata_columns or ())
    if ignore_metadata_columns:
        names = [column for column in found if column not in own and column not in ignore_metadata_columns]
    for column in names:
        if column not in found:
            raise ConfigError(f"metadata column {column!r} does not exist in {name!r} (there are: {', '.join(found)})")
    json = metadata if metadata in found and metadata not in names else None
    if json is not None and found[json].base not in ("json", "jsonb"):
        raise ConfigError(f"metadata_json_column {json!r} is of type {found[json].type}, it must be json or jsonb")
    layout = Layout(
        schema=schema,
        id=id_column,
        id_type=found[id_column].type,
        content=content,
        embedding=embedding,
        metadata=json,
        metadata_type=found[json].base if json is not None else "jsonb",
        columns=tuple((column, found[column].type if found[column].builtin else "other") for column in names),
        text_search=text_column if tsvector else None,
        text_search_generated=tsvector is not None and tsvector.generated,
        language=language,
        native=False,
        index=index_name(name),
    )
    config = StandingConfig(
        dimensions=vector.dimensions if vector.dimensions > 0 else None,
        distance=distance,
        storage="vector" if vector.base == "vector" else "halfvec",
    )
    table = Table(0, f"{schema}.{name}", name, config, layout=layout)
    return replace(table, config=(yield from as_indexed(table)))


def as_indexed(table: Table) -> Plan[CollectionConfig]:
    """The configuration with the kind of index that the table has for its distance; HNSW where it has none."""
    config = table.config
    if config.dimensions is None:
        return config
    rows = yield Execute(
        sql.SQL(
            "SELECT m.amname::text, o.opcname::text FROM pg_index i JOIN pg_class n ON n.oid = i.indexrelid "
            "JOIN pg_am m ON m.oid = n.relam JOIN pg_opclass o ON o.oid = i.indclass[0] "
            "WHERE i.indrelid = to_regclass(%s) AND i.indisvalid AND i.indpred IS NULL"
        ),
        (table.identifier.as_string(None),),
    )
    there = {tuple(row) for row in rows}
    hnsw, ivfflat = replace(config, index="hnsw"), replace(config, index="ivfflat")
    kind, other = index_kind(hnsw), index_kind(ivfflat)
    assert kind is not None
    assert other is not None
    return ivfflat if (other.method, other.opclass) in there and (kind.method, kind.opclass) not in there else hnsw


def _cut(name: Any) -> str:
    """The name of an index as Postgres keeps it: silently cut to 63 bytes."""
    return check_identifier(name.encode()[:63].decode(errors="ignore") if isinstance(name, str) else name)


def index_name(table: str) -> str:
    """The default name of a table's vector index, cut to what Postgres keeps."""
    room = 63 - len(DEFAULT_INDEX_NAME_SUFFIX)
    return table.encode()[:room].decode(errors="ignore") + DEFAULT_INDEX_NAME_SUFFIX


def _columns(schema: str, name: str) -> Plan[dict[str, _Found]]:
    rows = yield Execute(
        sql.SQL(
            "SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), format_type(a.atttypid, NULL), "
            "t.typname::text, t.typnamespace = 'pg_catalog'::regnamespace, a.atttypmod, "
            "a.attnotnull AND NOT a.atthasdef AND a.attidentity = '', a.attgenerated <> '' "
            "FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid WHERE a.attrelid = to_regclass(%s) "
            "AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
        ),
        (sql.Identifier(schema, name).as_string(None),),
    )
    found = {}
    for column, type_, bare, typename, builtin, modifier, required, generated in rows:
        base = typename if typename in ("vector", "halfvec") else bare
        found[column] = _Found(type_, base, builtin, modifier, required, generated)
    return found


# ---------------------------------------------------------------------------------------------------------- indexes


def create_index(table: Table, index: Any, name: str, *, concurrently: bool) -> Plan[None]:
    """Create a vector index as described by an HNSWIndex or IVFFlatIndex; a leftover of a failed build is replaced."""
    if getattr(index, "partial_indexes", None):
        raise ConfigError("partial_indexes is raw SQL, which is not run: create such an index by hand")
    if index.index_type == "hnsw":
        options = {"m": index.m, "ef_construction": index.ef_construction}
    elif index.index_type == "ivfflat":
        options = {"lists": index.lists}
    else:
        raise ConfigError(f"index_type={index.index_type!r:.80}: use HNSWIndex or IVFFlatIndex")
    for option, value in options.items():
        if type(value) is not int:
            raise ConfigError(f"{option}={value!r:.80}: use a whole number")
    kind = index_kind(replace(table.config, index=index.index_type, distance=distance_of(index.distance_strategy)))
    assert kind is not None
    extension = getattr(index, "extension_name", None)
    if extension:
        yield Execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(_name(extension)), prepare=False)
    yield from _drop_invalid(table, name)
    statement = sql.SQL("CREATE INDEX {} {} ON {} USING {} ({} {}) WITH ({})").format(
        sql.SQL("CONCURRENTLY" if concurrently else ""),
        sql.Identifier(_cut(name)),
        table.identifier,
        sql.Identifier(index.index_type),
        kind.expression(table.layout.embedding_column),  # as halfvec above 2,000 dimensions
        sql.Identifier(kind.opclass),
        sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(option), sql.Literal(value)) for option, value in options.items()
        ),
    )
    yield Execute(statement, prepare=False)


def create_text_index(table: Table, name: str, method: str, *, concurrently: bool) -> Plan[None]:
    """Create the index for full-text search, on the tsvector column or on the expression that stands for it."""
    if str(method).lower() not in ("gin", "gist"):
        raise ConfigError(f"index_type={method!r:.80}: use 'GIN' or 'GIST'")
    yield from _drop_invalid(table, name)
    statement = sql.SQL("CREATE INDEX {} {} ON {} USING {} ({})").format(
        sql.SQL("CONCURRENTLY" if concurrently else ""),
        sql.Identifier(_cut(name)),
        table.identifier,
        sql.Identifier(str(method).lower()),
        table.layout.searchable_text,
    )
    yield Execute(statement, prepare=False)


def _drop_invalid(table: Table, name: str) -> Plan[None]:
    if (yield from _state(table, name)) is False:
        yield from drop_index(table, name)


def drop_index(table: Table, name: str) -> Plan[None]:
    """Drop an index of this table; one that is not there, or is another table's, is left."""
    if (yield from _state(table, name)) is not None:
        yield Execute(
            sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(table.layout.schema, _cut(name))), prepare=False
        )


def reindex(table: Table, name: str) -> Plan[None]:
    """Build an index of this table anew. Raises ConfigError where it has none of that name."""
    if (yield from _state(table, name)) is None:
        raise ConfigError(f"table {table.name!r} has no index {name!r:.80}: make it with apply_vector_index()")
    yield Execute(sql.SQL("REINDEX INDEX {}").format(sql.Identifier(table.layout.schema, _cut(name))), prepare=False)


def index_is_valid(table: Table, name: str) -> Plan[bool]:
    """Whether the table has an index of that name that searches can use."""
    return (yield from _state(table, name)) is True


def _state(table: Table, name: str) -> Plan[bool | None]:
    """True, False for the leftover of a failed build, None where the table has no index of that name."""
    rows = yield Execute(
        sql.SQL(
            "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
            "WHERE i.indrelid = to_regclass(%s) AND c.relname = %s"
        ),
        (table.identifier.as_string(None), _cut(name)),
    )
    return rows[0][0] if rows else None
