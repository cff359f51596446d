"""LangChain's documents and our chunks: nothing of either is lost on the way."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

from rag_pgvector.errors import ChunkError, ConfigError
from rag_pgvector.layout import ORIGIN, Layout
from rag_pgvector.types import Chunk
from rag_pgvector.write import MAX_DOCUMENT_ID_BYTES

__all__ = ["chunks_of", "document_of", "parts_of"]


def parts_of(documents: Iterable[Any], ids: Iterable[Any] | None) -> tuple[list[str], list[Any], list[Any]]:
    """Texts, metadata and ids of documents; ``ids``, where given, go before the documents' own."""
    found = list(documents)
    for i, document in enumerate(found):
        if not isinstance(document, Document):
            raise ConfigError(f"document {i} is {type(document).__name__} {document!r:.60}: use a LangChain Document")
    own = [document.id for document in found] if ids is None else list(ids)
    return [document.page_content for document in found], [document.metadata for document in found], own


def chunks_of(
    layout: Layout,
    texts: Iterable[str],
    metadatas: Iterable[Mapping[str, Any] | None] | None,
    ids: Iterable[Any] | None,
    embeddings: Sequence[Any] | None = None,
) -> list[Chunk]:
    """One chunk per text; ``None`` among the ids is a new UUID. Every iterable is read once.

    Raises ConfigError where the numbers differ, ChunkError for an id that the table's type cannot hold.
    """
    contents = [texts] if isinstance(texts, str) else list(texts)
    if isinstance(texts, str):
        raise ConfigError("texts is one text: give a list of texts")
    rows = [{}] * len(contents) if metadatas is None else list(metadatas)
    keys = [None] * len(contents) if ids is None else list(ids)
    for name, given in (("metadatas", rows), ("ids", keys), ("embeddings", embeddings)):
        if given is not None and len(given) != len(contents):
            raise ConfigError(f"{len(contents)} texts and {len(given)} {name}: give one for each text")
    known = [str(uuid.uuid4()) if key is None else str(key) for key in keys]
    for key in known:
        if not layout.native and not layout.known_ids([key]):
            raise ChunkError(
                f"id {key!r:.80} is no {layout.id_type}, the type of column {layout.id!r}: give such ids, or make the "
                f"table with id_column=Column({layout.id!r}, 'TEXT', nullable=False)"
            )
    chunks = []
    for i, content in enumerate(contents):
        metadata = rows[i] or {}
        if not isinstance(metadata, Mapping):
            raise ChunkError(f"metadata {i} is {type(metadata).__name__} {metadata!r:.60}: use a dictionary")
        embedding = None if embeddings is None else embeddings[i]
        origin = _origin(metadata) if layout.native else {}
        chunks.append(Chunk(content=content, id=known[i], metadata=dict(metadata), embedding=embedding, **origin))
    return chunks


def _origin(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Where a document came from, as its metadata tells it (LangChain's loaders write ``source``): for citations."""
    found: dict[str, Any] = {}
    for name, type_ in ORIGIN.items():
        value = metadata.get(name)
        if type_ == "text":
            if isinstance(value, str) and value and (name == "source" or len(value.encode()) <= MAX_DOCUMENT_ID_BYTES):
                found[name] = value
        elif type(value) is int and 0 <= value < 2**31:
            found[name] = value
    return found


def document_of(chunk: Chunk) -> Document:
    """The document of a chunk; its origin, where known, is in the metadata under the columns' names."""
    metadata = dict(chunk.metadata)
    for name in ORIGIN:
        value = getattr(chunk, name)
        if value is not None:
            metadata.setdefault(name, value)
    return Document(page_content=chunk.content, metadata=metadata, id=chunk.id)
