"""How chunks lie in a table: our own columns, or a peer's table as it stands. Every statement is written in its terms.

What a layout lacks (a peer's table knows no document and no origin) reads as NULL here, so that no feature has to ask
which layout it stands on.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import sql

from rag_pgvector.errors import ConfigError
from rag_pgvector.filters import Fields

__all__ = ["NATIVE", "ORIGIN", "Layout", "check_identifier", "language_sql", "type_sql"]

SCHEMA = "rag"

#: Where a chunk came from, in the order of ``Chunk``'s columns, with the type that stands for it where it is lacking.
ORIGIN = {
    "document_id": "text",
    "source": "text",
    "page_or_row": "integer",
    "char_start": "integer",
    "char_end": "integer",
}

#: What the keyword index knows a chunk by, and the length that it counts it with.
KEYWORD = ("seq", "keyword_length")

_COMMA = sql.SQL(", ")
_WORD = r'(?:[A-Za-z_][A-Za-z0-9_$]*|"(?:[^"\0]|"")+")'
_TYPE = re.compile(
    rf"{_WORD}(?:\.{_WORD})?(?: (?i:varying|precision))?(?: ?\([0-9, ]+\))?(?i: with(?:out)? time zone)?(?:\[[0-9]*\])*"
)
_LANGUAGE = re.compile(rf"{_WORD}(?:\.{_WORD})?")
#: Types that psycopg reads inside a record; any other is read as its text.
_READABLE = re.compile(
    r"(smallint|integer|bigint|real|double precision|numeric|boolean|text|character|character varying|\"char\"|name"
    r"|uuid|date|time|timestamp|interval|json|jsonb|bytea|inet|cidr)(\([0-9,]+\))?( with(out)? time zone)?(\[\])*"
)
_INTEGERS = ("smallint", "integer", "bigint")


def check_identifier(name: object) -> str:
    """The name of a table, column or index as it stands in the catalogue, or ConfigError."""
    if not isinstance(name, str) or not 1 <= len(name.encode(errors="surrogatepass")) <= 63:
        raise ConfigError(f"{name!r:.80} is no name for a table, column or index: use a text of 1 to 63 bytes")
    if "%" in name or not name.isprintable():
        raise ConfigError(f"{name!r:.80} holds a % or a character that cannot be printed: rename it")
    return name


def language_sql(name: object) -> sql.Composable:
    """A text search configuration ("": the server's default), or ConfigError for what cannot be the name of one."""
    if name == "":
        return sql.SQL("get_current_ts_config()")
    if not isinstance(name, str) or _LANGUAGE.fullmatch(name) is None or "%" in name:
        raise ConfigError(f"{name!r:.80} is not the name of a text search configuration: use e.g. 'pg_catalog.english'")
    return sql.SQL("{}::regconfig").format(sql.Literal(name))


def type_sql(name: str) -> sql.SQL:
    """A type's name as ``format_type`` writes it, or ConfigError for what could be more than a type."""
    if not isinstance(name, str) or _TYPE.fullmatch(name) is None or "%" in name:
        raise ConfigError(f"{name!r:.80} is not the name of a Postgres type")
    return sql.SQL(name)


@dataclass(frozen=True)
class Layout:
    """A column map. The defaults are our own table's.

    Attributes:
        schema: Where the table stands.
        id: Column of the id, the table's primary key.
        id_type: Its type, as ``format_type`` writes it.
        content: Column of the text.
        embedding: Column of the vector.
        metadata: JSON column, or None.
        metadata_type: ``jsonb`` or ``json``.
        columns: Metadata that has columns of its own, name and type; it goes before the same key in the JSON.
        text_search: A tsvector column of the text, or None.
        language: The text search configuration that it was made by; "" is the server's default.
        text_search_generated: Whether the table fills it by itself.
        origin_in_filters: Whether filters find our columns of ORIGIN where the metadata lacks the key.
        native: Whether the table has our other columns too (tenant, origin, hashes, times).
        index: Name of the vector index; None derives it from the collection's.
        unique: Whether the id is in a unique index; if not, a row is replaced by deleting and inserting.
        document_key: Key of the metadata that holds the document's id, "None" for none, where that has no column.
    """

    schema: str = SCHEMA
    id: str = "id"
    id_type: str = "text"
    content: str = "content"
    embedding: str = "embedding"
    metadata: str | None = "metadata"
    metadata_type: str = "jsonb"
    columns: tuple[tuple[str, str], ...] = ()
    text_search: str | None = None
    language: str = "pg_catalog.english"
    text_search_generated: bool = False
    origin_in_filters: bool = False
    native: bool = True
    index: str | None = None
    unique: bool = True
    document_key: str | None = None

    def __post_init__(self) -> None:
        names = (self.schema, self.id, self.content, self.embedding, self.metadata, self.text_search, self.index)
        for name in (*names, *(name for name, _ in self.columns)):
            if name is not None:
                check_identifier(name)

    def column(self, name: str) -> sql.Composable:
        """A column; ours need no quotes."""
        return sql.SQL(name) if self.native else sql.Identifier(name)

    @cached_property
    def embedding_column(self) -> sql.Composable:
        return self.column(self.embedding)

    # --------------------------------------------------------------------------------------------------- reading

    @cached_property
    def chunk_columns(self) -> sql.Composable:
        """The select list that ``chunk_of`` reads: id, content, metadata, the columns of ORIGIN, node."""
        if self.native:
            # JSON as text: a hybrid search reads many more rows than it makes chunks of.
            columns = [self.column(name) for name in ("id", "content", *ORIGIN)]
            columns.insert(2, sql.SQL("{}::text AS metadata").format(self.column("metadata")))
            return _COMMA.join([*columns, sql.SQL("{}::text AS node").format(self.column("node"))])
        # A record keeps the types of its columns: dates come back as dates, which no JSON could do.
        parts: list[sql.Composable] = [self.json]
        for name, type_ in self.columns:
            shape = "{}" if _READABLE.fullmatch(type_) else "{}::text"
            parts.append(sql.SQL(shape).format(sql.Identifier(name)))
        metadata = sql.SQL("ROW({})").format(_COMMA.join(parts)) if self.columns else self.json
        return sql.SQL("{} AS id, {} AS content, {} AS metadata, {}, NULL::jsonb AS node").format(
            self.id_text,
            sql.Identifier(self.content),
            metadata,
            _COMMA.join(sql.SQL("{} AS {}").format(self._shown(name), sql.Identifier(name)) for name in ORIGIN),
        )

    @cached_property
    def stored_columns(self) -> sql.Composable | None:
        """What ``chunk_columns`` is made of, as it is stored and under the same names: those can then be applied to the
        few rows that a sort leaves. None where they are expressions over the whole row."""
        if not self.native:
            return None
        return _COMMA.join([self.column(name) for name in ("id", "content", "metadata", *ORIGIN, "node")])

    def metadata_of(self, value: Any) -> Mapping[str, Any]:
        """The metadata in the third of ``chunk_columns``."""
        if self.native:
            return json.loads(value)  # type: ignore[no-any-return]
        if not self.columns:
            return value if isinstance(value, dict) else {}
        found = dict(value[0]) if isinstance(value[0], dict) else {}
        found.update(zip([name for name, _ in self.columns], value[1:], strict=True))
        return found

    @cached_property
    def json(self) -> sql.Composable:
        """The JSON column as jsonb; NULL where there is none."""
        if self.metadata is None:
            return sql.SQL("NULL::jsonb")
        column = self.column(self.metadata)
        return column if self.metadata_type == "jsonb" else sql.SQL("{}::jsonb").format(column)

    @cached_property
    def fields(self) -> Fields:
        """Where filters find the value of a key."""
        json = None if self.metadata is None else self.json
        columns = {name: (self.column(name), type_) for name, type_ in self.columns}
        if not self.native:  # langchain-postgres lets filters name these, too
            columns = {
                self.id: (self.column(self.id), self.id_type),
                self.content: (self.column(self.content), "text"),
            } | columns
        elif self.origin_in_filters:
            stored = sql.SQL("coalesce({} -> {}, to_jsonb({}))")
            columns = {
                name: (stored.format(self.json, sql.Literal(name), self.column(name)), "jsonb") for name in ORIGIN
            }
        keys = {"id": self.id_text, "document_id": self.origin("document_id")}
        return Fields(json, keys, columns)

    @cached_property
    def searchable_text(self) -> sql.Composable:
        """The text as a tsvector: its column, or made for the occasion."""
        if self.text_search is not None:
            return self.column(self.text_search)
        return sql.SQL("to_tsvector({}, {})").format(language_sql(self.language), self.column(self.content))

    @cached_property
    def id_text(self) -> sql.Composable:
        column = self.column(self.id)
        return column if self.id_type == "text" else sql.SQL("{}::text").format(column)

    @cached_property
    def by_id(self) -> sql.Composable:
        """The order of ids, the same on every server."""
        return sql.SQL('{} COLLATE "C"').format(self.id_text)

    @cached_property
    def ids_condition(self) -> sql.Composable:
        """Takes what ``known_ids`` returns."""
        if self.id_type == "text":
            return sql.SQL("{} = ANY(%s::text[])").format(self.column(self.id))
        return sql.SQL("{} = ANY(%s::text[]::{}[])").format(self.column(self.id), type_sql(self.id_type))

    def known_ids(self, ids: Sequence[str]) -> list[str]:
        """The ids as the column would show them, without those that it cannot hold: they are not there."""
        if self.id_type == "uuid":
            return [str(found) for found in map(_as_uuid, ids) if found is not None]
        if self.id_type in _INTEGERS:
            most = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}[self.id_type]
            return [str(int(id_)) for id_ in ids if re.fullmatch(r"-?[0-9]{1,19}", id_) and -most <= int(id_) < most]
        return list(ids)

    def origin(self, name: str) -> sql.Composable:
        """A column of ORIGIN, or what stands for it, or NULL."""
        if self.native:
            return self.column(name)
        if name == "document_id" and self.document_key is not None and self.metadata is not None:
            # as the peer's index on it is written
            return sql.SQL("({} ->> {})").format(sql.Identifier(self.metadata), sql.Literal(self.document_key))
        return sql.SQL("NULL::{}").format(type_sql(ORIGIN[name]))

    def _shown(self, name: str) -> sql.Composable:
        found = self.origin(name)
        return sql.SQL("nullif({}, 'None')").format(found) if name == "document_id" and self.document_key else found

    # --------------------------------------------------------------------------------------------------- writing
    # ``s`` is the written row, in the columns of write.Record; ``c`` the stored one.

    @cached_property
    def written(self) -> tuple[str, ...]:
        """The columns that a write fills, the id first."""
        if self.native:
            return ("id", *ORIGIN, "content", "metadata", "embedding", "embedding_hash", "node", *KEYWORD)
        metadata = () if self.metadata is None else (self.metadata,)
        text_search = () if self.text_search is None or self.text_search_generated else (self.text_search,)
        return (self.id, self.content, self.embedding, *text_search, *metadata, *(name for name, _ in self.columns))

    def values(self, table: sql.Identifier) -> tuple[sql.Composable, sql.Composable]:
        """What goes into ``written``, and what to join to ``s`` for it."""
        if self.native:
            return _COMMA.join(sql.SQL("s.{}").format(self.column(name)) for name in self.written), sql.SQL("")
        names = [name for name, _ in self.columns]
        values: list[sql.Composable] = [
            sql.SQL("s.id::{}").format(type_sql(self.id_type)),
            sql.SQL("s.content"),
            sql.SQL("s.embedding"),
        ]
        if self.text_search in self.written:
            values.append(sql.SQL("to_tsvector({}, s.content)").format(language_sql(self.language)))
        if self.metadata is not None:
            rest = sql.SQL("s.metadata - {}::text[]").format(sql.Literal(names)) if names else sql.SQL("s.metadata")
            values.append(sql.SQL("({})::{}").format(rest, type_sql(self.metadata_type)))
        values += [sql.SQL("m.{}").format(sql.Identifier(name)) for name in names]
        if not names:
            return _COMMA.join(values), sql.SQL("")
        # Postgres converts each key to its column's type, whatever that is.
        join = sql.SQL(
            ", LATERAL jsonb_populate_record(NULL::{}, (SELECT jsonb_object_agg(e.key, e.value) "
            "FROM jsonb_each(s.metadata) AS e WHERE e.key = ANY({}::text[]))) AS m"
        ).format(table, sql.Literal(names))
        return _COMMA.join(values), join

    @cached_property
    def assignments(self) -> sql.Composable:
        """What a write does to the row that is there. A row whose text stays keeps its embedding when none is given."""
        parts: list[sql.Composable] = []
        kept = [self.embedding, *(["embedding_hash"] if self.native else [])]
        for name in self.written[1:]:
            shape = "{0} = excluded.{0}"
            if name in KEYWORD:  # a row whose text stays keeps its place in the keyword index, if it has one
                shape = (
                    "{0} = CASE WHEN c.{2} = excluded.{2} AND c.keyword_length IS NOT NULL "
                    "THEN c.{0} ELSE excluded.{0} END"
                )
            elif name == "node":
                shape = "{0} = coalesce(excluded.{0}, c.{0})"
            elif name in kept:
                shape = "{0} = CASE WHEN excluded.{1} IS NULL AND c.{2} = excluded.{2} THEN c.{0} ELSE excluded.{0} END"
            names = map(self.column, (name, self.embedding, self.content))
            parts.append(sql.SQL(shape).format(*names))
        if self.native:
            parts.append(sql.SQL("updated_at = now()"))
        return _COMMA.join(parts)

    @cached_property
    def changed(self) -> sql.Composable:
        """Whether a write would change the row that is there."""
        plain = [name for name in self.written[1:] if name not in (self.embedding, "embedding_hash", "node", *KEYWORD)]
        vectors = [self.embedding, *(["embedding_hash"] if self.native else [])]

        def row(alias: str, names: Sequence[str]) -> sql.Composable:
            types: dict[str | None, str] = {self.metadata: self.metadata_type}
            types.update(self.columns)
            return _COMMA.join(
                # json has no equality
                sql.SQL("{}.{}::jsonb" if types.get(name) == "json" else "{}.{}").format(
                    sql.SQL(alias),
                    self.column(name),
                )
                for name in names
            )

        node = " OR (excluded.node IS NOT NULL AND c.node IS DISTINCT FROM excluded.node)" if self.native else ""
        return sql.SQL(
            "ROW({}) IS DISTINCT FROM ROW({}) OR (excluded.{} IS NOT NULL AND ROW({}) IS DISTINCT FROM ROW({})){}"
        ).format(
            row("c", plain),
            row("excluded", plain),
            self.embedding_column,
            row("c", vectors),
            row("excluded", vectors),
            sql.SQL(node),
        )


def _as_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


#: Our own table.
NATIVE = Layout()
