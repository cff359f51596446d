"""Adopting the rows of other stores' tables, embeddings included: nothing is embedded again."""

from __future__ import annotations

from rag_pgvector.ingest.importers.adopt import AdoptReport, PeerRows, adopt, dimensions_of
from rag_pgvector.ingest.importers.langchain_tables import import_v1, import_v2, v1_rows, v2_rows
from rag_pgvector.ingest.importers.llamaindex_tables import import_llamaindex, llamaindex_rows

__all__ = [
    "AdoptReport",
    "PeerRows",
    "adopt",
    "dimensions_of",
    "import_llamaindex",
    "import_v1",
    "import_v2",
    "llamaindex_rows",
    "v1_rows",
    "v2_rows",
]
