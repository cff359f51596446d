"""Plans for documents: the stored texts that chunks were cut from, always written together with their chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from rag_pgvector.arguments import as_ids, as_key
from rag_pgvector.errors import ChunkError, ConfigError
from rag_pgvector.filters import KeyIn, Not
from rag_pgvector.plan import Batch, Execute, Plan
from rag_pgvector.read import where
from rag_pgvector.records import MAX_DOCUMENT_ID_BYTES, Record, check_length, check_text, json_text
from rag_pgvector.table import Table
from rag_pgvector.types import Document, WriteCounts
from rag_pgvector.write import delete, stage, store_staged

__all__ = [
    "clear",
    "delete_document",
    "embedded_hashes",
    "embeddings",
    "get_document",
    "list_documents",
    "put_document",
    "put_documents",
    "put_text",
    "texts",
]

_PUT = sql.SQL(
    """INSERT INTO rag.documents AS d
    (collection_id, tenant_id, scope, id, source, text, loader, metadata, profile, content_hash, chunks)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s::jsonb, %s, %s)
ON CONFLICT (collection_id, tenant_id, scope, id) DO UPDATE SET
    source = excluded.source, text = excluded.text, loader = excluded.loader, metadata = excluded.metadata,
    profile = excluded.profile, content_hash = excluded.content_hash, chunks = excluded.chunks, updated_at = now()"""
)
_FIELDS = sql.SQL("id, source, loader, metadata, profile, content_hash")


def check(document: Document) -> None:
    """Raises ConfigError for what is no document, ChunkError for one that Postgres cannot store."""
    if not isinstance(document, Document):
        raise ConfigError(f"document={document!r:.80}: use Document(id=..., source=..., text=..., loader=...)")
    who = f"document {document.id!r:.80}"
    for name in ("id", "source", "text", "loader"):
        check_text(getattr(document, name), f"{who}: {name}")
    check_length(document.id, f"{who}: id", MAX_DOCUMENT_ID_BYTES)
    if not isinstance(document.content_hash, bytes):
        raise ChunkError(f"{who}: content_hash is {type(document.content_hash).__name__}, it must be bytes")


def put_document(table: Table, document: Document, records: Sequence[Record]) -> Plan[WriteCounts]:
    """Store a document and make ``records`` its chunks: those that it no longer has are deleted. One transaction.

    A record without an embedding whose stored text is the same keeps the stored embedding.
    """
    return (yield from put_documents(table, [(document, len(records))], records))


def put_documents(table: Table, given: Sequence[tuple[Document, int]], records: Sequence[Record]) -> Plan[WriteCounts]:
    """Store documents, each with how many of ``records`` are its chunks; as ``put_document``, in one transaction."""
    ordered = sorted(given, key=lambda pair: pair[0].id)  # so that writers do not deadlock
    yield Batch([_put(table, document, chunks) for document, chunks in ordered])
    seqs = yield from stage(table, records)
    condition, params = _own_chunks(table, [document.id for document, _ in given])
    vanished = sql.SQL("{} AND NOT EXISTS (SELECT FROM pg_temp.rag_staging s WHERE s.id = c.id)").format(condition)
    deleted = yield from delete(table, vanished, params)
    return WriteCounts(deleted=deleted) + (yield from store_staged(table, records, seqs))


def put_text(table: Table, document: Document, *, chunks: int) -> Plan[None]:
    """Store a document that is to have so many chunks, and none of them."""
    yield _put(table, document, chunks)


def _put(table: Table, document: Document, chunks: int) -> Execute:
    check(document)
    who = f"document {document.id!r}"
    return Execute(
        _PUT,
        (
            table.collection_id,
            table.tenant,
            table.scope,
            document.id,
            document.source,
            document.text,
            document.loader,
            json_text(document.metadata, f"{who}: metadata"),
            None if document.profile is None else json_text(document.profile, f"{who}: profile"),
            document.content_hash,
            chunks,
        ),
    )


def _own_chunks(table: Table, document_ids: Sequence[str]) -> tuple[sql.Composed, list[Any]]:
    """The chunks of documents as they are written: in exactly the bound scope."""
    condition = sql.SQL("{} AND document_id = ANY(%s::text[])").format(table.owner_condition)
    return condition, [*table.owner, [as_key(id_) for id_ in document_ids]]


def _of_collection(table: Table, *more: str, exact_scope: bool = False) -> tuple[sql.Composed, list[Any]]:
    """The documents that are seen: all scopes of the tenant, or the bound one; or those of exactly the bound one."""
    table.require_tenant()
    narrowed = exact_scope or table.scope
    parts = ["collection_id = %s", "tenant_id = %s", *(["scope = %s"] if narrowed else []), *more]
    params = [table.collection_id, table.tenant, *([table.scope] if narrowed else [])]
    return sql.SQL(" AND ").join(map(sql.SQL, parts)), params


def embedded_hashes(table: Table, document_id: str) -> Plan[dict[str, bytes]]:
    """What each stored embedding of a document was made of, by chunk id (see ``write.embedding_hash``)."""
    condition, params = _own_chunks(table, [document_id])
    query = sql.SQL(
        "SELECT id, embedding_hash FROM {} WHERE {} AND embedding IS NOT NULL AND embedding_hash IS NOT NULL"
    )
    rows = yield Execute(query.format(table.identifier, condition), params)
    return {row[0]: bytes(row[1]) for row in rows}


def embeddings(table: Table, document_id: str, ids: Sequence[str]) -> Plan[dict[str, list[float]]]:
    """The stored vectors of these chunks of a document, by chunk id; those without one are left out."""
    condition, params = _own_chunks(table, [document_id])
    query = sql.SQL("SELECT id, embedding::real[] FROM {} WHERE {} AND id = ANY(%s::text[]) AND embedding IS NOT NULL")
    rows = yield Execute(query.format(table.identifier, condition), [*params, list(ids)])
    return {row[0]: row[1] for row in rows}


def list_documents(table: Table, *, tables_only: bool = False, exact_scope: bool = False) -> Plan[list[Document]]:
    """All documents without their texts, by source; or only those with a column profile."""
    condition, params = _of_collection(
        table, *(["profile IS NOT NULL"] if tables_only else []), exact_scope=exact_scope
    )
    query = sql.SQL('SELECT {} FROM rag.documents WHERE {} ORDER BY source COLLATE "C", id COLLATE "C", scope')
    rows = yield Execute(query.format(_FIELDS, condition), params)
    return [
        Document(id=r[0], source=r[1], text="", loader=r[2], metadata=r[3], profile=r[4], content_hash=bytes(r[5]))
        for r in rows
    ]


def get_document(table: Table, document_id: str) -> Plan[Document | None]:
    """One document with its text; of several scopes the first."""
    condition, params = _of_collection(table, "id = %s")
    query = sql.SQL("SELECT {}, text FROM rag.documents WHERE {} ORDER BY scope LIMIT 1").format(_FIELDS, condition)
    rows = yield Execute(query, [*params, as_key(document_id)])
    if not rows:
        return None
    id_, source, loader, metadata, profile, content_hash, text = rows[0]
    return Document(
        id=id_,
        source=source,
        text=text,
        loader=loader,
        metadata=metadata,
        profile=profile,
        content_hash=bytes(content_hash),
    )


def texts(table: Table, document_ids: Sequence[str]) -> Plan[dict[str, str]]:
    """The stored texts of these documents, by id."""
    condition, params = _of_collection(table, "id = ANY(%s::text[])")
    query = sql.SQL("SELECT id, text FROM rag.documents WHERE {} ORDER BY scope DESC").format(condition)
    rows = yield Execute(query, [*params, as_ids(document_ids)])
    return {row[0]: row[1] for row in rows}


def clear(table: Table) -> Plan[int]:
    """Delete every chunk that is seen, and every document; returns how many chunks went. One transaction."""
    if table.layout.native:
        condition, params = _of_collection(table)
        yield Execute(sql.SQL("DELETE FROM rag.documents WHERE {}").format(condition), params)
    found = where(table, filter=Not(KeyIn("id", ())))
    assert found is not None
    return (yield from delete(table, *found))


def delete_document(table: Table, document_id: str, *, exact_scope: bool = False) -> Plan[int]:
    """Delete a document and its chunks; returns how many chunks went. One transaction."""
    condition, params = _of_collection(table, "id = %s", exact_scope=exact_scope)
    yield Execute(sql.SQL("DELETE FROM rag.documents WHERE {}").format(condition), [*params, as_key(document_id)])
    found = _own_chunks(table, [document_id]) if exact_scope else where(table, document_id=document_id)
    assert found is not None
    return (yield from delete(table, *found))
