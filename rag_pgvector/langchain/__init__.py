"""LangChain's front door: a VectorStore on our collections and on tables laid out by langchain-postgres.

Everything stands under the name that langchain-postgres gives it, so that an import line is all that changes.
"""

from __future__ import annotations

try:
    import langchain_core  # noqa: F401
except ImportError as error:
    from rag_pgvector.errors import MissingDependencyError

    raise MissingDependencyError("langchain-core", "langchain") from error

from rag_pgvector.langchain.answering import (
    GroundedAnswerChain,
    HistoryAwareAnswerChain,
    as_message,
    grounded_answer_tool,
)
from rag_pgvector.langchain.chat_history import PostgresChatMessageHistory
from rag_pgvector.langchain.columns import Column, ColumnDict
from rag_pgvector.langchain.document_index import PGDocumentIndex
from rag_pgvector.langchain.engine import PGEngine
from rag_pgvector.langchain.hybrid import HybridSearchConfig, reciprocal_rank_fusion, weighted_sum_ranking
from rag_pgvector.langchain.indexes import (
    BaseIndex,
    DistanceStrategy,
    ExactNearestNeighbor,
    HNSWIndex,
    HNSWQueryOptions,
    IVFFlatIndex,
    IVFFlatQueryOptions,
    QueryOptions,
)
from rag_pgvector.langchain.loaders import FileLoader
from rag_pgvector.langchain.record_manager import PGRecordManager
from rag_pgvector.langchain.retriever import PGRetriever
from rag_pgvector.langchain.translator import PGVectorTranslator
from rag_pgvector.langchain.v1 import SUPPORTED_OPERATORS, PGVector
from rag_pgvector.langchain.vectorstore import AsyncPGVectorStore, PGVectorStore

__all__ = [
    "SUPPORTED_OPERATORS",
    "AsyncPGVectorStore",
    "BaseIndex",
    "Column",
    "ColumnDict",
    "DistanceStrategy",
    "ExactNearestNeighbor",
    "FileLoader",
    "GroundedAnswerChain",
    "HNSWIndex",
    "HNSWQueryOptions",
    "HistoryAwareAnswerChain",
    "HybridSearchConfig",
    "IVFFlatIndex",
    "IVFFlatQueryOptions",
    "PGDocumentIndex",
    "PGEngine",
    "PGRecordManager",
    "PGRetriever",
    "PGVector",
    "PGVectorStore",
    "PGVectorTranslator",
    "PostgresChatMessageHistory",
    "QueryOptions",
    "as_message",
    "grounded_answer_tool",
    "reciprocal_rank_fusion",
    "weighted_sum_ranking",
]
