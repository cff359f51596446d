"""Plans that change chunks. Many rows go by binary COPY into a temporary table and from there in one statement, sorted
by key, so that concurrent writers lock rows in one order (unsorted, six writers got 116 deadlocks in five seconds)."""

from __future__ import annotations

import hashlib
import json
import struct
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from psycopg import sql

from rag_pgvector.errors import ChunkError
from rag_pgvector.plan import CopyIn, Execute, Plan
from rag_pgvector.table import Table
from rag_pgvector.types import Chunk, WriteCounts
from rag_pgvector.vectors import VectorParam, as_matrix, vector_bytes

__all__ = [
    "MAX_DOCUMENT_ID_BYTES",
    "MAX_ID_BYTES",
    "Record",
    "check",
    "check_length",
    "check_text",
    "delete",
    "embedding_hash",
    "json_text",
    "new_id",
    "prepare",
    "stage",
    "store_staged",
    "upsert",
]

#: Up to this many rows, one INSERT is quicker than a staging table (measured with 384 dimensions: equal at 35 rows).
SMALL_WRITE = 32
_BLOCK_BYTES = 1 << 18
MAX_ID_BYTES = 512
#: What an index can hold of it, with room for the other columns.
MAX_DOCUMENT_ID_BYTES = 2_000

_TYPES = ("text", "text", "text", "int", "int", "int", "text", "jsonb", "vector", "bytea", "jsonb")
_COLUMNS = (
    "id",
    "document_id",
    "source",
    "page_or_row",
    "char_start",
    "char_end",
    "content",
    "metadata",
    "embedding",
    "embedding_hash",
    "node",
)
_COLUMN_LIST = sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))


@dataclass(frozen=True, slots=True)
class Record:
    """A checked chunk in the order of ``_COLUMNS``, metadata as JSON text."""

    id: str
    document_id: str | None
    source: str | None
    page_or_row: int | None
    char_start: int | None
    char_end: int | None
    content: str
    metadata: str
    embedding: VectorParam | None
    embedding_hash: bytes | None
    node: str | None = None

    def values(self) -> tuple[Any, ...]:
        return (
            self.id,
            self.document_id,
            self.source,
            self.page_or_row,
            self.char_start,
            self.char_end,
            self.content,
            self.metadata,
            self.embedding,
            self.embedding_hash,
            self.node,
        )


def embedding_hash(content: str, model: str = "") -> bytes:
    """What an embedding was made of: SHA-256 of the model's name ("" for a vector given by hand) and the text."""
    return hashlib.sha256(f"{model}\x01{content}".encode()).digest()


def new_id() -> str:
    """An id for a chunk that came without one."""
    return str(uuid.uuid4())


def prepare(chunks: Sequence[Chunk], table: Table, models: Sequence[str]) -> list[Record]:
    """Check chunks and encode them; ``models[i]`` made the i-th embedding. Of a repeated id the last one stays.

    Raises ChunkError, VectorError and DimensionError, naming the chunk.
    """
    ids = [chunk.id if chunk.id is not None else new_id() for chunk in chunks]
    for id_ in ids:
        check_text(id_, f"chunk {id_!r:.80}: id")
    given = [i for i, chunk in enumerate(chunks) if chunk.embedding is not None]
    encoded: dict[int, VectorParam] = {}
    if given:
        matrix = as_matrix([chunks[i].embedding for i in given], table.config, [f"chunk {ids[i]!r}" for i in given])
        encoded = dict(zip(given, vector_bytes(matrix, table.config), strict=True))
    last = {id_: i for i, id_ in enumerate(ids)}
    records = []
    for i in last.values():
        chunk, id_ = chunks[i], ids[i]
        _check(chunk, id_)
        vector = encoded.get(i)
        records.append(
            Record(
                id_,
                chunk.document_id,
                chunk.source,
                chunk.page_or_row,
                chunk.char_start,
                chunk.char_end,
                chunk.content,
                json_text(chunk.metadata, f"chunk {id_!r}: metadata"),
                vector,
                embedding_hash(chunk.content, models[i]) if vector is not None else None,
                None if chunk.node is None else json_text(chunk.node, f"chunk {id_!r}: node"),
            )
        )
    return records


def check(chunks: Sequence[Chunk]) -> None:
    """Raises ChunkError for a chunk that cannot be stored, its embedding aside."""
    for chunk in chunks:
        id_ = chunk.id if chunk.id is not None else "without an id"
        check_text(id_, f"chunk {id_!r:.80}: id")
        _check(chunk, id_)
        json_text(chunk.metadata, f"chunk {id_!r}: metadata")


def _check(chunk: Chunk, id_: str) -> None:
    who = f"chunk {id_!r:.80}"
    check_length(id_, f"{who}: id", MAX_ID_BYTES)
    check_text(chunk.content, f"{who}: content")
    if chunk.document_id is not None:
        check_text(chunk.document_id, f"{who}: document_id")
        check_length(chunk.document_id, f"{who}: document_id", MAX_DOCUMENT_ID_BYTES)
    if chunk.source is not None:
        check_text(chunk.source, f"{who}: source")
    for name in ("page_or_row", "char_start", "char_end"):
        value = getattr(chunk, name)
        if value is not None and not (type(value) is int and 0 <= value < 1 << 31):
            raise ChunkError(f"{who}: {name}={value!r:.80} is not a whole number from 0 to 2**31 - 1")


def check_text(value: object, what: str) -> None:
    """Raises ChunkError for what is no text that Postgres can store."""
    if not isinstance(value, str):
        raise ChunkError(f"{what} is {type(value).__name__}, it must be text")
    if (position := value.find("\0")) >= 0:
        raise ChunkError(f"{what} holds a NUL byte at position {position}, which Postgres cannot store: remove it")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ChunkError(
            f"{what} holds a lone surrogate at position {error.start}, which is no Unicode text: remove it"
        ) from error


def check_length(value: str, what: str, most: int) -> None:
    """Raises ChunkError for a key that is empty or too long for an index."""
    if not 1 <= len(value) <= most or len(value.encode()) > most:
        raise ChunkError(f"{what} has {len(value.encode())} bytes: use 1 to {most}")


def json_text(value: Mapping[str, Any] | None, what: str) -> str:
    """JSON that jsonb accepts, or ChunkError: no NaN, no infinity, no NUL, text keys only."""
    if value is None:
        return "{}"
    if not isinstance(value, Mapping):
        raise ChunkError(f"{what} is {type(value).__name__} {value!r:.60}: use a dictionary")
    try:
        text = json.dumps(dict(value), allow_nan=False, default=_plain, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ChunkError(
            f"{what} is not JSON ({error}): use text, numbers, booleans, lists and dictionaries"
        ) from error
    if "\\u0000" in text and "\0" in _texts(json.loads(text)):
        raise ChunkError(f"{what} holds a NUL byte, which Postgres cannot store: remove it")
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} {value!r:.60}")


def _texts(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(map(str, value)) + "".join(map(_texts, value.values()))
    if isinstance(value, list):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""


# ------------------------------------------------------------------------------------------------------------ plans


def upsert(table: Table, records: Sequence[Record]) -> Plan[WriteCounts]:
    """Insert records or replace those of the same id; rows that would not change are not touched. One transaction."""
    if not records:
        return WriteCounts()
    if not table.layout.unique:  # nothing else keeps two writers from storing an id twice
        yield Execute(_LOCK, (table.identifier.as_string(None),))
    if len(records) <= SMALL_WRITE:
        ordered = sorted(records, key=lambda record: record.id)
        params = [*table.owner, *(value for record in ordered for value in record.values())]
        rows = yield Execute(_upsert_query(table, len(ordered)), params)
        return WriteCounts(added=rows[0][0], updated=rows[0][1], unchanged=len(records) - rows[0][0] - rows[0][1])
    yield from stage(table, records)
    return (yield from store_staged(table, len(records)))


def stage(table: Table, records: Iterable[Record]) -> Plan[None]:
    """Fill the temporary table ``rag_staging`` of this transaction."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), table.vector_type if type_ == "vector" else sql.SQL(type_))
        for name, type_ in zip(_COLUMNS, _TYPES, strict=True)
    )
    yield Execute(sql.SQL("CREATE TEMP TABLE rag_staging ({}) ON COMMIT DROP").format(columns), prepare=False)
    copy = sql.SQL("COPY pg_temp.rag_staging ({}) FROM STDIN (FORMAT BINARY)").format(_COLUMN_LIST)
    yield CopyIn(copy, _binary(records))


def store_staged(table: Table, count: int) -> Plan[WriteCounts]:
    """Upsert the ``count`` staged records."""
    rows = yield Execute(_upsert_query(table, None), table.owner, prepare=False)
    return WriteCounts(added=rows[0][0], updated=rows[0][1], unchanged=count - rows[0][0] - rows[0][1])


@lru_cache(maxsize=256)
def _upsert_query(table: Table, rows: int | None) -> bytes:
    """The upsert from ``rows`` tuples of parameters, or from the staging table (None)."""
    if rows is None:
        # in the order of sorted(), so that small and large writes lock rows in one order
        origin: sql.Composable = sql.SQL('SELECT * FROM pg_temp.rag_staging ORDER BY id COLLATE "C"')
    else:
        one = sql.SQL(", ").join(
            sql.SQL("%s::{}").format(table.vector_type if type_ == "vector" else sql.SQL(type_)) for type_ in _TYPES
        )
        origin = sql.SQL("VALUES {}").format(sql.SQL(", ").join([sql.SQL("({})").format(one)] * rows))
    layout = table.layout
    values, join = layout.values(table.identifier)
    owner = [sql.SQL("%s::text")] * len(table.owner_columns)
    return (
        (_UPSERT if layout.unique else _REPLACE)
        .format(
            table=table.identifier,
            target=sql.SQL(", ").join(map(layout.column, (*table.owner_columns, *layout.written))),
            values=sql.SQL(", ").join([*owner, values]),
            origin=origin,
            columns=_COLUMN_LIST,
            join=join,
            id=layout.column(layout.id),
            key=table.key,
            assignments=layout.assignments,
            changed=layout.changed,
        )
        .as_bytes(None)
    )


_LOCK = sql.SQL("SELECT pg_advisory_xact_lock(hashtextextended(%s, 4))")
_UPSERT = sql.SQL("""WITH written AS (
    INSERT INTO {table} AS c ({target})
    SELECT {values} FROM ({origin}) AS s({columns}){join}
    ON CONFLICT ({key}) DO UPDATE SET {assignments}
    WHERE {changed}
    RETURNING xmax = 0 AS added
)
SELECT count(*) FILTER (WHERE added), count(*) FILTER (WHERE NOT added) FROM written""")
#: Where ids are in no unique index. Both parts see the table as it was, so that the new rows are not deleted.
_REPLACE = sql.SQL("""WITH s ({columns}) AS MATERIALIZED ({origin}), gone AS (
    DELETE FROM {table} AS c USING s WHERE c.{id} = s.id RETURNING s.id
), written AS (
    INSERT INTO {table} ({target}) SELECT {values} FROM s{join} RETURNING 1
)
SELECT w.count - g.count, g.count
FROM (SELECT count(*) FROM written) AS w, (SELECT count(DISTINCT id) FROM gone) AS g""")


def delete(table: Table, where: sql.Composed, params: Sequence[Any]) -> Plan[int]:
    """Delete the rows that ``where`` selects; returns how many."""
    query = sql.SQL("WITH gone AS (DELETE FROM {} AS c WHERE {} RETURNING 1) SELECT count(*) FROM gone")
    rows = yield Execute(query.format(table.identifier, where), params)
    return int(rows[0][0])


# ------------------------------------------------------------------------------------------------- COPY's binary form

_NULL = b"\xff\xff\xff\xff"
_length = struct.Struct(">i").pack
_field_int = struct.Struct(">ii").pack


def _binary(records: Iterable[Record]) -> Iterator[bytes]:
    """PostgreSQL's binary COPY format (its documentation, "COPY, Binary Format"), in blocks."""
    count = struct.pack(">h", len(_COLUMNS))
    block = [b"PGCOPY\n\xff\r\n\0" + bytes(8)]
    size = 0
    for record in records:
        parts = [
            count,
            _bytes(record.id.encode()),
            _text(record.document_id),
            _text(record.source),
            _int(record.page_or_row),
            _int(record.char_start),
            _int(record.char_end),
            _bytes(record.content.encode()),
            _bytes(b"\x01" + record.metadata.encode()),  # jsonb's format version
            _bytes(record.embedding),
            _bytes(record.embedding_hash),
            _NULL if record.node is None else _bytes(b"\x01" + record.node.encode()),
        ]
        row = b"".join(parts)
        block.append(row)
        size += len(row)
        if size >= _BLOCK_BYTES:
            yield b"".join(block)
            block, size = [], 0
    block.append(b"\xff\xff")
    yield b"".join(block)


def _bytes(value: bytes | None) -> bytes:
    return _NULL if value is None else _length(len(value)) + value


def _text(value: str | None) -> bytes:
    return _NULL if value is None else _bytes(value.encode())


def _int(value: int | None) -> bytes:
    return _NULL if value is None else _field_int(4, value)
