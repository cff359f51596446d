"""Loaded files as texts with ids and metadata: what both frameworks' loaders hand out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

from rag_pgvector.errors import LoadError
from rag_pgvector.ingest.chunking import ChunkOptions, chunk_document, estimate_tokens
from rag_pgvector.ingest.loaders import LoadedDocument, SourceFile, TableOptions, loader_for
from rag_pgvector.ingest.remote import RemoteFile
from rag_pgvector.ingest.sources import find_files

__all__ = ["portable_documents"]


def portable_documents(
    paths: Sequence[str | os.PathLike[str]],
    *,
    chunks: bool = False,
    skip: bool = False,
    table: TableOptions | None = None,
    **options: Any,
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Id, text and metadata per page, slide or row (else per document), or per chunk.

    Raises LoadError for what cannot be read, or with ``skip`` leaves it out.
    """
    chunking = ChunkOptions(**options)
    for file in find_files(paths):
        with suppress(LoadError) if skip else nullcontext():
            for loaded in _loaded(file, table or TableOptions()):
                yield from _chunks(loaded, chunking) if chunks else _pieces(loaded)


def _loaded(file: SourceFile | RemoteFile | LoadError, table: TableOptions) -> Iterator[LoadedDocument]:
    if isinstance(file, LoadError):
        raise file
    if isinstance(file, RemoteFile):
        with file.fetched() as local:
            yield from _loaded(local, table)
        return
    for loaded in loader_for(file.path).load(replace(file, table=table)):
        if isinstance(loaded, LoadError):
            raise loaded
        yield loaded


def _metadata(loaded: LoadedDocument, page_or_row: int | None) -> dict[str, Any]:
    document = loaded.document
    found: dict[str, Any] = {"source": document.source, "document_id": document.id}
    found |= {name: document.metadata[name] for name in ("title", "author", "date") if document.metadata.get(name)}
    if page_or_row is not None:
        found["row" if document.profile is not None or not loaded.pieces[0].blocks else "page"] = page_or_row
    return found


def _pieces(loaded: LoadedDocument) -> Iterator[tuple[str, str, dict[str, Any]]]:
    document = loaded.document
    if all(piece.page_or_row is None for piece in loaded.pieces):
        yield document.id, document.text, _metadata(loaded, None)
        return
    number = 0
    while number < len(loaded.pieces):
        first = last = loaded.pieces[number]
        while number < len(loaded.pieces) and loaded.pieces[number].page_or_row == first.page_or_row:
            last = loaded.pieces[number]
            number += 1
        values = dict(first.metadata) if not first.blocks else {}
        name = first.page_or_row if first.name is None else first.name
        text = document.text[first.char_start : last.char_end]
        yield f"{document.id}#{name}", text, _metadata(loaded, first.page_or_row) | values


def _chunks(loaded: LoadedDocument, options: ChunkOptions) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for chunk in chunk_document(loaded, options=options, count=estimate_tokens):
        place = {"char_start": chunk.char_start, "char_end": chunk.char_end}
        yield str(chunk.id), chunk.content, _metadata(loaded, chunk.page_or_row) | dict(chunk.metadata) | place
