"""LlamaIndex's front door: a vector store on our collections and on tables of llama-index-vector-stores-postgres, and
a query engine that answers with verified citations."""

from __future__ import annotations

try:
    import llama_index.core  # noqa: F401
except ImportError as error:
    from rag_pgvector.errors import MissingDependencyError

    raise MissingDependencyError("llama-index-core", "llama-index") from error

from rag_pgvector.llamaindex.answers import GroundedQueryEngine, grounded_answer_tool
from rag_pgvector.llamaindex.embedding import RagEmbedding
from rag_pgvector.llamaindex.readers import FileReader
from rag_pgvector.llamaindex.splitting import as_splitter
from rag_pgvector.llamaindex.store import PGVectorStore

__all__ = ["FileReader", "GroundedQueryEngine", "PGVectorStore", "RagEmbedding", "as_splitter", "grounded_answer_tool"]
