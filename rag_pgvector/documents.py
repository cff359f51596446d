"""Plans for documents: the stored texts that chunks were cut from, always written together with their chunks."""

from __future__ import annotations

import json
from collections.abc import Sequence

from psycopg import sql

from rag_pgvector.errors import ChunkError
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.table import Table
from rag_pgvector.types import Document, WriteCounts
from rag_pgvector.write import Record, json_text, stage, store_staged

__all__ = ["delete_document", "embedded_hashes", "get_document", "list_documents", "put_document", "texts"]

_PUT = sql.SQL(
    """INSERT INTO rag.documents AS d
    (collection_id, tenant_id, id, source, text, loader, metadata, profile, content_hash, chunks)
VALUES (%s, %s, %s, %s, %s, %s, %s::jsonb, %s::jsonb, %s, %s)
ON CONFLICT (collection_id, tenant_id, id) DO UPDATE SET
    source = excluded.source, text = excluded.text, loader = excluded.loader, metadata = excluded.metadata,
    profile = excluded.profile, content_hash = excluded.content_hash, chunks = excluded.chunks, updated_at = now()"""
)
_OF_COLLECTION = sql.SQL("collection_id = %s AND tenant_id = %s")
_FIELDS = sql.SQL("id, source, loader, metadata, profile, content_hash")


def put_document(table: Table, document: Document, records: Sequence[Record]) -> Plan[WriteCounts]:
    """Store a document and make ``records`` its chunks: those that it no longer has are deleted. One transaction.

    A record without an embedding whose stored text is the same keeps the stored embedding.
    """
    for name in ("id", "source", "text", "loader"):
        if "\0" in getattr(document, name):
            raise ChunkError(f"document {document.id!r}: {name} holds a NUL byte, which Postgres cannot store")
    profile = None if document.profile is None else json.dumps(document.profile, allow_nan=False, ensure_ascii=False)
    yield Execute(
        _PUT,
        (
            table.collection_id,
            table.tenant,
            document.id,
            document.source,
            document.text,
            document.loader,
            json_text(document.metadata, f"document {document.id!r}: metadata"),
            profile,
            document.content_hash,
            len(records),
        ),
    )
    yield from stage(table, records)
    gone = sql.SQL(
        "WITH gone AS (DELETE FROM {} c WHERE tenant_id = %s AND document_id = %s "
        "AND NOT EXISTS (SELECT FROM pg_temp.rag_staging s WHERE s.id = c.id) RETURNING 1) SELECT count(*) FROM gone"
    ).format(table.identifier)
    rows = yield Execute(gone, (table.tenant, document.id), prepare=False)
    return WriteCounts(deleted=rows[0][0]) + (yield from store_staged(table, len(records)))


def embedded_hashes(table: Table, document_id: str) -> Plan[dict[str, bytes]]:
    """What each stored embedding of a document was made of, by chunk id (see ``write.embedding_hash``)."""
    query = sql.SQL(
        "SELECT id, embedding_hash FROM {} WHERE tenant_id = %s AND document_id = %s AND embedding IS NOT NULL "
        "AND embedding_hash IS NOT NULL"
    ).format(table.identifier)
    rows = yield Execute(query, (table.tenant, document_id))
    return {row[0]: bytes(row[1]) for row in rows}


def list_documents(table: Table, *, tables_only: bool = False) -> Plan[list[Document]]:
    """All documents without their texts, by source; or only those with a column profile."""
    query = sql.SQL('SELECT {} FROM rag.documents WHERE {}{} ORDER BY source COLLATE "C", id COLLATE "C"').format(
        _FIELDS, _OF_COLLECTION, sql.SQL(" AND profile IS NOT NULL" if tables_only else "")
    )
    rows = yield Execute(query, (table.collection_id, table.tenant))
    return [
        Document(id=r[0], source=r[1], text="", loader=r[2], metadata=r[3], profile=r[4], content_hash=bytes(r[5]))
        for r in rows
    ]


def get_document(table: Table, document_id: str) -> Plan[Document | None]:
    """One document with its text."""
    query = sql.SQL("SELECT {}, text FROM rag.documents WHERE {} AND id = %s").format(_FIELDS, _OF_COLLECTION)
    rows = yield Execute(query, (table.collection_id, table.tenant, document_id))
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
    query = sql.SQL("SELECT id, text FROM rag.documents WHERE {} AND id = ANY(%s::text[])").format(_OF_COLLECTION)
    rows = yield Execute(query, (table.collection_id, table.tenant, list(document_ids)))
    return {row[0]: row[1] for row in rows}


def delete_document(table: Table, document_id: str) -> Plan[int]:
    """Delete a document and its chunks; returns how many chunks went. One transaction."""
    yield Execute(
        sql.SQL("DELETE FROM rag.documents WHERE {} AND id = %s").format(_OF_COLLECTION),
        (table.collection_id, table.tenant, document_id),
    )
    query = sql.SQL(
        "WITH gone AS (DELETE FROM {} WHERE tenant_id = %s AND document_id = %s RETURNING 1) SELECT count(*) FROM gone"
    ).format(table.identifier)
    rows = yield Execute(query, (table.tenant, document_id))
    return int(rows[0][0])
