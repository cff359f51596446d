"""A collection's rows as JSON lines or Parquet, and from there into a collection again, embeddings bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_pgvector.errors import ConfigError, LoadError, MissingDependencyError
from rag_pgvector.transfer import FORMAT, export_rows, import_rows
from rag_pgvector.types import WriteCounts

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["export_file", "header_of", "import_file"]

_PARQUET = (".parquet", ".pq")
_LINES = (".jsonl", ".ndjson", ".json")
_PAGE = 2_000
_KEY = b"rag_pgvector"
_TEXTS = ("id", "document_id", "source", "content", "scope")
_WHOLE = ("page_or_row", "char_start", "char_end")


def export_file(collection: Collection, path: str | os.PathLike[str]) -> dict[str, int]:
    """Write a collection (of many tenants: the bound one's part) to a file; returns how many documents and chunks.

    ``.parquet``: a row per chunk, its columns for anybody to read (metadata as JSON text, the embedding as a list of
    float32), the documents in the columns ``kind`` and ``document``. Else JSON lines, as of ``tenants export``.
    The file appears when it is whole. Raises ConfigError for another ending than .parquet, .pq, .jsonl, .ndjson or
    .json, TenantError, DatabaseError.
    """
    path = Path(path)
    if path.suffix.lower() not in (*_PARQUET, *_LINES):
        raise ConfigError(f"export to {path.name!r:.80}: use a name that ends in .parquet, or in .jsonl for JSON lines")
    part = path.with_name(f".{path.name}.part")
    counts = {"documents": 0, "chunks": 0}
    try:
        if path.suffix.lower() in _PARQUET:
            _write_parquet(part, export_rows(collection), counts)
        else:
            with part.open("w", encoding="utf-8") as out:
                for line in export_rows(collection):
                    out.write(line)
                    _count(counts, line[:40])
        part.replace(path)
    except OSError as error:
        raise LoadError(str(path), error.strerror or str(error)) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return counts


def _count(counts: dict[str, int], begin: str) -> None:
    counts["documents"] += begin.startswith('{"kind":"document"')
    counts["chunks"] += begin.startswith('{"kind":"chunk"')


def import_file(collection: Collection, path: str | os.PathLike[str]) -> WriteCounts:
    """Bring an exported file into a collection of the same dimensions, distance, storage and embedder.

    Rows that exist are replaced, others stay. Raises LoadError, CollectionMismatchError, TenantError.
    """
    path = Path(path)
    if path.suffix.lower() in _PARQUET:
        return import_rows(collection, _read_parquet(path), source=path.name)
    try:
        with path.open(encoding="utf-8") as lines:
            return import_rows(collection, lines, source=path.name)
    except (OSError, UnicodeError) as error:
        raise LoadError(path.name, f"it cannot be read ({error})") from error


def header_of(path: Path) -> dict[str, Any] | None:
    """What an export says of its collection ("dimensions", "distance", "storage" ...); None for a file of others."""
    if path.suffix.lower() in _PARQUET:
        pyarrow = _pyarrow()
        try:
            first = (pyarrow.parquet.read_schema(path).metadata or {}).get(_KEY, b"")
        except (pyarrow.ArrowException, OSError):
            return None  # whoever reads it next tells what is wrong
    else:
        with path.open("rb") as stream:
            first = stream.readline(1 << 20)
    try:
        header = json.loads(first)
    except ValueError:
        return None
    ours = isinstance(header, dict) and header.get("kind") == FORMAT
    return header if ours and {"dimensions", "distance", "storage"} <= header.keys() else None


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError("pyarrow", "ingest") from error
    return pyarrow


def _schema(pyarrow: Any, header: str) -> Any:
    types = [
        ("kind", pyarrow.string()),
        *((name, pyarrow.string()) for name in _TEXTS),
        *((name, pyarrow.int32()) for name in _WHOLE),
        ("metadata", pyarrow.string()),
        ("embedding", pyarrow.list_(pyarrow.float32())),
        ("embedding_hash", pyarrow.string()),
        ("node", pyarrow.string()),
        ("document", pyarrow.string()),
    ]
    return pyarrow.schema(types, metadata={_KEY: header})


def _write_parquet(path: Path, lines: Iterator[str], counts: dict[str, int]) -> None:
    pyarrow = _pyarrow()
    schema = _schema(pyarrow, next(lines).strip())
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while page := list(islice(lines, _PAGE)):
            rows = []
            for line in page:
                _count(counts, line[:40])
                row = json.loads(line)
                if row["kind"] == "chunk":
                    held = {**row, "metadata": json.dumps(row["metadata"], ensure_ascii=False)}
                    held["node"] = None if row["node"] is None else json.dumps(row["node"], ensure_ascii=False)
                    rows.append(held)
                else:  # a document, or the end
                    rows.append({"kind": row["kind"], "document": line.strip()})
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))


def _read_parquet(path: Path) -> Iterator[str]:
    pyarrow = _pyarrow()
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            yield (file.schema_arrow.metadata or {}).get(_KEY, b"{}").decode()
            for batch in file.iter_batches(batch_size=_PAGE):
                for row in batch.to_pylist():
                    text = row.pop("document")
                    if row["kind"] != "chunk":
                        yield text or "{}"
                        continue
                    row["metadata"] = json.loads(row["metadata"])
                    row["node"] = None if row["node"] is None else json.loads(row["node"])
                    yield json.dumps(row)
    except (pyarrow.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        raise LoadError(path.name, f"it is no export of rag_pgvector ({str(error)[:200]})") from error
