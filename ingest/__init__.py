"""Ingestion: loaders, chunking, and the pipeline that brings files into a collection and keeps them up to date."""

from __future__ import annotations

from rag_pgvector.ingest.chunking import ChunkOptions, chunk_document, estimate_tokens, token_count
from rag_pgvector.ingest.history import failures, runs
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
from rag_pgvector.ingest.pipeline import Engine, Mode, aingest, ingest, retry_failed
from rag_pgvector.ingest.report import Failure, IngestReport, Progress
from rag_pgvector.runs import FailureRecord, IngestRun

__all__ = [
    "Block",
    "ChunkOptions",
    "Engine",
    "Failure",
    "FailureRecord",
    "IngestReport",
    "IngestRun",
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
    "failures",
    "ingest",
    "load",
    "loader_for",
    "register_loader",
    "retry_failed",
    "runs",
    "token_count",
]
