"""A collection, or one tenant's part of it, as JSON lines, out and in again, embeddings bit for bit.

The first line describes the collection; then come the documents, the chunks, the calibrations, and how many they were.
No line names the tenant: an import goes to the tenant that the collection is bound to, whatever the file says.
Everything runs as the application, held by row-level security, so that an export can hold nobody else's rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from psycopg import sql

from rag_pgvector import calibrations, documents, schema, write
from rag_pgvector.errors import CollectionMismatchError, EmbedderMismatchError, LoadError, TenantError
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.read import owned
from rag_pgvector.table import Table
from rag_pgvector.types import Chunk, Document, WriteCounts

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["FORMAT", "export_rows", "export_tenant", "import_rows", "import_tenant"]

FORMAT = "rag_pgvector.tenant/1"
_CHUNK_PAGE = 500
_DOCUMENT_PAGE = 20

_DOCUMENT_FIELDS = ("scope", "id", "source", "text", "loader", "metadata", "profile", "content_hash", "chunks")
_CHUNK_FIELDS = ("scope", *(column.name for column in fields(write.Record) if column.name != "terms"))
_CALIBRATION_FIELDS = ("scope", "mode", "content")
#: What a value must be before it is looked at; the rest is checked as it is stored.
_TYPES = dict.fromkeys(("scope", "id", "text", "loader", "mode"), str) | {"metadata": dict, "chunks": int}
#: The expressions of those that are not selected as they are.
_EXPRESSIONS = {
    "embedding": "embedding::real[]",
    "embedding_hash": "encode(embedding_hash, 'hex')",
    "content_hash": "encode(content_hash, 'hex')",
}


def export_tenant(collection: Collection) -> Iterator[str]:
    """The lines of what the bound tenant (or scope) has, each ending in a newline.

    Read in pages: rows that are written meanwhile may or may not be among them. Raises TenantError, DatabaseError.
    """
    _bound(collection)
    yield from export_rows(collection)


def export_rows(collection: Collection) -> Iterator[str]:
    """The same of a single-tenant collection, or of what the collection is bound to."""
    table = collection._table
    table.require_native("exports")
    table.require_tenant()
    header = collection._run(lambda: _header(table), retry=True)
    yield _line(header)
    counts = {"document": 0, "chunk": 0, "calibration": 0}
    for kind, size in (("document", _DOCUMENT_PAGE), ("chunk", _CHUNK_PAGE)):
        next_page = partial(_page, table, kind, size)
        rows = collection._run(next_page, retry=True)
        while rows:
            yield from map(_line, rows)
            counts[kind] += len(rows)
            rows = collection._run(partial(next_page, (rows[-1]["scope"], rows[-1]["id"])), retry=True)
    for row in collection._run(partial(calibrations.of_tenant, table), retry=True):
        counts["calibration"] += 1
        yield _line({"kind": "calibration", **row})
    yield _line({"kind": "end", **counts})


def import_tenant(collection: Collection, lines: Iterable[str], *, source: str = "the import") -> WriteCounts:
    """Store exported lines under the bound tenant, in their scopes; returns the counts of chunks.

    A row that exists is replaced. Pages are stored one by one: after an error, mend its cause and import again.

    Args:
        source: What errors call the lines.

    Raises:
        LoadError: A line is not what ``export_tenant`` writes.
        TenantError: The collection is bound to one scope and a line belongs to another.
        CollectionMismatchError: Exported from a collection of other dimensions, distance or storage, or
            (EmbedderMismatchError) of another embedder.
    """
    _bound(collection)
    return import_rows(collection, lines, source=source)


def import_rows(collection: Collection, lines: Iterable[str], *, source: str = "the import") -> WriteCounts:
    """The same into a single-tenant collection, where rows of a scope cannot go, or what the collection is bound to."""
    table = collection._table
    table.require_native("exports")
    table.require_tenant()
    numbered = enumerate(lines, 1)
    number, first = next(numbered, (1, ""))
    _check_header(collection, _parse(first, number, source, None))
    counts = WriteCounts()
    batch: list[tuple[str, dict[str, Any]]] = []  # rows of one kind and one scope
    seen = {"document": 0, "chunk": 0, "calibration": 0}
    end: dict[str, Any] | None = None
    for number, line in numbered:
        row = _parse(line, number, source, table)
        kind = row.pop("kind")
        if kind == "end":
            end = {"calibration": 0, **row}  # exports of before 0.1 have none
            continue
        seen[kind] += 1
        if kind == "calibration":
            target = collection.for_tenant(table.tenant, scope=row["scope"] or None) if table.multi else collection
            target.set_calibration(row["content"], row["mode"])
            continue
        page = _DOCUMENT_PAGE if kind == "document" else _CHUNK_PAGE
        if batch and (len(batch) >= page or (batch[-1][0], batch[-1][1]["scope"]) != (kind, row["scope"])):
            counts += _store(collection, batch, source)
            batch = []
        batch.append((kind, row))
    if batch:
        counts += _store(collection, batch, source)
    if end != seen:
        raise LoadError(source, f"it holds {seen} and should hold {end}: it was cut off; export the tenant again")
    return counts


def _bound(collection: Collection) -> Table:
    table = collection._table
    if not table.multi:
        raise TenantError(f"collection {table.collection!r} has no tenants: convert it first (db convert)")
    table.require_tenant()
    return table


# ----------------------------------------------------------------------------------------------------------- export


def _header(table: Table) -> Plan[dict[str, Any]]:
    rows = yield Execute(
        sql.SQL("SELECT embedder, fingerprint FROM rag.collections WHERE id = %s"), (table.collection_id,)
    )
    return {
        "kind": FORMAT,
        "collection": table.collection,
        "dimensions": table.config.dimensions,
        "distance": table.config.distance,
        "storage": table.config.storage,
        "embedder": rows[0][0],
        "fingerprint": rows[0][1],
    }


def _page(table: Table, kind: str, size: int, after: tuple[str, str] | None = None) -> Plan[list[dict[str, Any]]]:
    names = _DOCUMENT_FIELDS if kind == "document" else _CHUNK_FIELDS
    relation: sql.Composable = sql.SQL("rag.documents") if kind == "document" else table.identifier
    parts, params = owned(table)
    no_scope = kind == "chunk" and not table.multi  # a single-tenant table has no such column
    scope = sql.SQL("''" if no_scope else "scope")
    if kind == "document":
        parts.append(sql.SQL("collection_id = %s"))
        params.append(table.collection_id)
    if after is not None:
        parts.append(sql.SQL("({}, id) > (%s, %s)").format(scope))
        params.extend(after)
    order = [sql.SQL("id")] if no_scope else [scope, sql.SQL("id")]
    expressions = _EXPRESSIONS | {"scope": "'' AS scope"} if no_scope else _EXPRESSIONS
    query = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT %s").format(
        sql.SQL(", ").join(sql.SQL(expressions[n]) if n in expressions else sql.Identifier(n) for n in names),
        relation,
        sql.SQL(" AND ").join([sql.SQL("true"), *parts]),
        sql.SQL(", ").join(order),
    )
    rows = yield Execute(query, [*params, size])
    return [{"kind": kind} | dict(zip(names, row, strict=True)) for row in rows]


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


# ----------------------------------------------------------------------------------------------------------- import


def _parse(line: str, number: int, source: str, table: Table | None) -> dict[str, Any]:
    """The row of a line; ``table`` is None for the header."""
    where = f"line {number}"
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LoadError(source, f"not JSON ({error}): export the tenant again", where) from None
    kind = row.get("kind") if isinstance(row, dict) else None
    if table is None:
        if kind != FORMAT:
            raise LoadError(source, f"not the beginning of an export ({FORMAT}): use 'tenants export'", where)
        return dict(row)
    if kind == "end":
        return dict(row)
    if kind == "chunk":
        row.setdefault("node", None)  # exports of before 0.1 have none
    names = {"document": _DOCUMENT_FIELDS, "chunk": _CHUNK_FIELDS, "calibration": _CALIBRATION_FIELDS}.get(str(kind))
    if (
        names is None
        or row.keys() != {"kind", *names}
        or not all(isinstance(value, _TYPES.get(name, object)) for name, value in row.items())
        or ("content" in row and not isinstance(row["content"], dict if kind == "calibration" else str))
    ):
        raise LoadError(
            source, "neither a document, a chunk nor a calibration of an export: export the tenant again", where
        )
    if row["scope"] and not table.multi:
        raise TenantError(
            f"{source}, {where}: belongs to scope {row['scope']!r:.80}, and the collection has no tenants"
        )
    if table.scope and row["scope"] != table.scope:
        raise TenantError(
            f"{source}, {where}: belongs to scope {row['scope']!r:.80}, the collection is bound to {table.scope!r}: "
            "import it without a scope"
        )
    return dict(row)


def _check_header(collection: Collection, header: dict[str, Any]) -> None:
    table = collection._table
    for name in ("dimensions", "distance", "storage"):
        exported, own = header.get(name), getattr(table.config, name)
        if exported != own:
            raise CollectionMismatchError(
                f"exported with {name}={exported!r}, collection {table.collection!r} has {own!r}: import it into a "
                "collection that is made like the exported one"
            )
    embedder, fingerprint = header.get("embedder"), header.get("fingerprint")
    if embedder is None or fingerprint is None:
        return
    bound, _ = collection._db.run(lambda: schema.bind_embedder(table, embedder, fingerprint), atomic=True, retry=True)
    if bound != embedder:
        raise EmbedderMismatchError(
            f"exported from a collection of {embedder!r}, collection {table.collection!r} is embedded by {bound!r}: "
            "import it into a collection of the same embedder"
        )


def _store(collection: Collection, batch: list[tuple[str, dict[str, Any]]], source: str) -> WriteCounts:
    """One page of one kind in one transaction."""
    kind, scope = batch[0][0], batch[0][1]["scope"]
    bound = collection._table
    target = collection.for_tenant(bound.tenant, scope=scope or None) if bound.multi else collection
    table, rows = target._table, [row for _, row in batch]
    try:
        if kind == "document":
            stored = [(_document(row), row["chunks"]) for row in rows]
        else:
            chunks = [
                Chunk(**{n: row[n] for n in _CHUNK_FIELDS if n not in ("scope", "embedding_hash")}) for row in rows
            ]
            hashes = {
                row["id"]: None if row["embedding_hash"] is None else bytes.fromhex(row["embedding_hash"])
                for row in rows
            }
    except (TypeError, ValueError) as error:
        raise LoadError(source, f"a {kind} with a wrong value ({error}): export the tenant again") from error
    if kind == "document":
        return target._run(lambda: _put_texts(table, stored), atomic=True, retry=True)
    prepared = write.prepare(chunks, table, [""] * len(chunks))
    records = [replace(record, embedding_hash=hashes[record.id]) for record in prepared]
    counts = target._run(lambda: write.upsert(table, records), atomic=True, retry=True)
    collection._note_write(len(records))
    return counts


def _document(row: dict[str, Any]) -> Document:
    return Document(
        **{n: row[n] for n in _DOCUMENT_FIELDS if n not in ("scope", "chunks", "content_hash")},
        content_hash=bytes.fromhex(row["content_hash"]),
    )


def _put_texts(table: Table, stored: list[tuple[Document, int]]) -> Plan[WriteCounts]:
    for document, chunks in stored:
        yield from documents.put_text(table, document, chunks=chunks)
    return WriteCounts()
