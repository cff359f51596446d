"""SQL files by name."""

from __future__ import annotations

from importlib import resources

__all__ = ["read_sql"]


def read_sql(name: str) -> str:
    """The text of ``rag_pgvector/sql/<name>``."""
    return (resources.files(__name__) / name).read_text(encoding="utf-8")
