"""Adopting the rows of other stores' tables and files, embeddings included: nothing is embedded again."""

from __future__ import annotations

from rag_pgvector.ingest.importers.adopt import AdoptReport, PeerRows, adopt, dimensions_of
from rag_pgvector.ingest.importers.files import (
    FileReport,
    chroma_chunks,
    import_chunks,
    json_chunks,
    node_chunks,
    parquet_chunks,
)
from rag_pgvector.ingest.importers.langchain_tables import import_v1, import_v2, v1_rows, v2_rows
from rag_pgvector.ingest.importers.llamaindex_tables import import_llamaindex, llamaindex_rows

__all__ = [
    "AdoptReport",
    "FileReport",
    "PeerRows",
    "adopt",
    "chroma_chunks",
    "dimensions_of",
    "import_chunks",
    "import_llamaindex",
    "import_v1",
    "import_v2",
    "json_chunks",
    "llamaindex_rows",
    "node_chunks",
    "parquet_chunks",
    "v1_rows",
    "v2_rows",
]
