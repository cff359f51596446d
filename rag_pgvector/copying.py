"""Records in PostgreSQL's binary COPY format (its documentation, "COPY, Binary Format")."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence

from rag_pgvector.records import COLUMNS, Record

__all__ = ["NULL", "jsonb", "rows"]

#: A block is sent when it has so many bytes, about 30 rows: a server that has a vector index to fill begins at once.
_BLOCK_BYTES = 1 << 16

NULL = b"\xff\xff\xff\xff"
_length = struct.Struct(">i").pack
_field_int = struct.Struct(">ii").pack
_field_long = struct.Struct(">iq").pack


def rows(
    records: Iterable[tuple[Record, int]],
    *,
    owner: Sequence[str] = (),
    terms: Callable[[Record], bytes] | None = None,
) -> Iterator[bytes]:
    """Records with their ``seq``, in blocks: the owner's columns, those of a record, ``seq``, and what ``terms`` makes
    of each, a field of its own, if given."""
    start = struct.pack(">h", len(owner) + len(COLUMNS) + 1 + (terms is not None)) + b"".join(map(_text, owner))
    block = [b"PGCOPY\n\xff\r\n\0" + bytes(8)]
    size = 0
    for record, seq in records:
        parts = [
            start,
            _bytes(record.id.encode()),
            _text(record.document_id),
            _text(record.source),
            _int(record.page_or_row),
            _int(record.char_start),
            _int(record.char_end),
            _bytes(record.content.encode()),
            jsonb(record.metadata),
            _bytes(record.embedding),
            _bytes(record.embedding_hash),
            NULL if record.node is None else jsonb(record.node),
            _int(record.terms.length),
            _field_long(8, seq),
        ]
        if terms is not None:
            parts.append(terms(record))
        row = b"".join(parts)
        block.append(row)
        size += len(row)
        if size >= _BLOCK_BYTES:
            yield b"".join(block)
            block, size = [], 0
    block.append(b"\xff\xff")
    yield b"".join(block)


def jsonb(text: str) -> bytes:
    """A field of that type."""
    return _bytes(b"\x01" + text.encode())  # the format's version


def _bytes(value: bytes | None) -> bytes:
    return NULL if value is None else _length(len(value)) + value


def _text(value: str | None) -> bytes:
    return NULL if value is None else _bytes(value.encode())


def _int(value: int | None) -> bytes:
    return NULL if value is None else _field_int(4, value)
