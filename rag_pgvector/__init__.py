"""Retrieval-augmented generation on Postgres: one pgvector collection for LangChain, LlamaIndex and plain Python.

Names are imported when they are first used (PEP 562), so that ``import rag_pgvector`` loads neither numpy nor psycopg.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from rag_pgvector import errors as errors

if TYPE_CHECKING:
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

#: The module of each name; all others are of rag_pgvector.types.
_MODULES = {
    "Collection": "rag_pgvector.collection",
    "CollectionConfig": "rag_pgvector.config",
    "Database": "rag_pgvector.database",
    "SearchOptions": "rag_pgvector.config",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_MODULES.get(name, "rag_pgvector.types")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
