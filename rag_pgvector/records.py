"""Chunks checked and encoded for the table: what Postgres cannot store is refused here, naming the chunk."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import repeat
from typing import Any

from rag_pgvector.analysis import Terms, analyser
from rag_pgvector.errors import ChunkError
from rag_pgvector.table import Table
from rag_pgvector.types import Chunk
from rag_pgvector.vectors import VectorParam, as_matrix, vector_bytes

__all__ = [
    "COLUMNS",
    "MAX_DOCUMENT_ID_BYTES",
    "MAX_ID_BYTES",
    "TYPES",
    "Record",
    "check",
    "check_length",
    "check_text",
    "embedding_hash",
    "json_text",
    "new_id",
    "prepare",
]

MAX_ID_BYTES = 512
#: What an index can hold of it, with room for the other columns.
MAX_DOCUMENT_ID_BYTES = 2_000

TYPES = ("text", "text", "text", "int", "int", "int", "text", "jsonb", "vector", "bytea", "jsonb", "int")
COLUMNS = (
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
    "keyword_length",
)

_NO_TERMS = Terms(0, {})
#: From so many texts on it is quicker to count their terms at once.
_MANY = 256


@dataclass(frozen=True, slots=True)
class Record:
    """A checked chunk in the order of ``COLUMNS``, metadata as JSON text."""

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
    terms: Terms = field(default=_NO_TERMS, repr=False)

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
            self.terms.length,
        )


def embedding_hash(text: str, model: str = "") -> bytes:
    """What an embedding was made of: SHA-256 of the model's name ("" for a vector given by hand) and the text."""
    return hashlib.sha256(f"{model}\x01{text}".encode()).digest()


def new_id() -> str:
    """An id for a chunk that came without one."""
    return str(uuid.uuid4())


def prepare(chunks: Sequence[Chunk], table: Table, models: Sequence[str], *, count_later: bool = False) -> list[Record]:
    """Check chunks and encode them; ``models[i]`` made the i-th embedding. Of a repeated id the last one stays.

    ``count_later`` leaves the terms of many records to whoever asks for them first: a plan that a thread may wait in.
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
        _check(chunks[i], ids[i])
    for i, terms in zip(last.values(), _terms([chunks[i].content for i in last.values()], table), strict=True):
        chunk, id_ = chunks[i], ids[i]
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
                embedding_hash(chunk.embedded_text, models[i]) if vector is not None else None,
                None if chunk.node is None else json_text(chunk.node, f"chunk {id_!r}: node"),
                terms,
            )
        )
        if not count_later:
            terms.length  # noqa: B018  # counts it
    return records


def _terms(texts: Sequence[str], table: Table) -> Iterable[Terms]:
    if not table.has_keywords:
        return repeat(_NO_TERMS, len(texts))
    made = analyser(table.config.language)
    return map(made.terms, texts) if len(texts) < _MANY else made.all_terms(texts)


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
    check_text(chunk.context, f"{who}: context")
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
        text = _ENCODER.encode(dict(value))
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        at = _culprit(value)
        raise ChunkError(
            f"{what} is not JSON ({error}{f', in {at}' if at else ''}): use text, numbers, booleans, lists and "
            "dictionaries"
        ) from error
    if "\\u0000" in text and "\0" in _texts(json.loads(text)):
        raise ChunkError(f"{what} holds a NUL byte, which Postgres cannot store: remove it")
    return text


def _culprit(value: Any) -> str:
    """Where in metadata the value is that JSON does not have: ``['prices'][3]``; "" where no single one is."""
    path = ""
    while len(path) < 200:
        inside: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, Mapping):
            inside = value.items()
        elif isinstance(value, (list, tuple)):
            inside = enumerate(value)
        wrong = next((pair for pair in inside if not _is_json(dict([pair]))), None)
        if wrong is None:
            break
        path, value = f"{path}[{wrong[0]!r:.60}]", wrong[1]
    return path


def _is_json(value: Mapping[Any, Any]) -> bool:
    try:
        _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "isoformat"):
        if value != value:
            raise ValueError("no time (NaT): leave the key out")
        return value.isoformat()
    if isinstance(value, Decimal):
        # A number, so that filters compare it, and never another one.
        if value.is_finite() and value == value.to_integral_value() and abs(value) < 10**18:
            return int(value)
        if not value.is_finite() or Decimal(repr(float(value))) != value:
            raise ValueError(f"Decimal {value!s:.40} is not exactly a float: give a text, or round it")
        return float(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} {value!r:.60}")


_ENCODER = json.JSONEncoder(allow_nan=False, default=_plain, ensure_ascii=False)


def _texts(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(map(str, value)) + "".join(map(_texts, value.values()))
    if isinstance(value, list):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""
