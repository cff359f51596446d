"""LangChain's front door: a VectorStore on our collections and on tables laid out by langchain-postgres."""

from __future__ import annotations

try:
    import langchain_core  # noqa: F401
except ImportError as error:
    from rag_pgvector.errors import MissingDependencyError

    raise MissingDependencyError("langchain-core", "langchain") from error

__all__: list[str] = []
