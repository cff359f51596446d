"""Ingestion: loaders, chunking, and the pipeline that brings files into a collection and keeps them up to date."""

from __future__ import annotations

from rag_pgvector.ingest.chunking import ChunkOptions, chunk_document, estimate_tokens, token_count
from rag_pgvector.ingest.loaders import (
    Block,
    LoadedDocument,
    Loader,
    Piece,
    SourceFile,
    TableOptions,
    load,
    loader_for,
    register_loader,
)
from rag_pgvector.ingest.pipeline import Mode, aingest, ingest
from rag_pgvector.ingest.report import Failure, IngestReport, Progress

__all__ = [
    "Block",
    "ChunkOptions",
    "Failure",
    "IngestReport",
    "LoadedDocument",
    "Loader",
    "Mode",
    "Piece",
    "Progress",
    "SourceFile",
    "TableOptions",
    "aingest",
    "chunk_document",
    "estimate_tokens",
    "ingest",
    "load",
    "loader_for",
    "register_loader",
    "token_count",
]
