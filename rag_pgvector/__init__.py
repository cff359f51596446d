"""Retrieval-augmented generation on Postgres: one pgvector collection for LangChain, LlamaIndex and plain Python."""

from __future__ import annotations

from rag_pgvector.collection import Collection
from rag_pgvector.config import CollectionConfig, SearchOptions
from rag_pgvector.database import Database
from rag_pgvector.types import Chunk, Document, IndexReport, ScoredChunk, SearchPlan, SearchResult, WriteCounts

__all__ = [
    "Chunk",
    "Collection",
    "CollectionConfig",
    "Database",
    "Document",
    "IndexReport",
    "ScoredChunk",
    "SearchOptions",
    "SearchPlan",
    "SearchResult",
    "WriteCounts",
]
