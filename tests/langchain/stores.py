"""Stores for the tests of LangChain's front door, and embeddings that a test can foresee."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from rag_pgvector.langchain import PGEngine, PGVectorStore

__all__ = ["Angles", "contents", "table"]


class Angles(Embeddings):
    """Texts on a circle in two of three dimensions: at the angle (degrees) that is given, or one of their own."""

    def __init__(self, angles: Mapping[str, float] | None = None, *, length: float = 1.0) -> None:
        self.angles = dict(angles or {})
        self.length = length
        self.embedded: list[str] = []

    def embed_query(self, text: str) -> list[float]:
        self.embedded.append(text)
        own = int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:2], "big") / 65536 * 360
        angle = math.radians(self.angles.get(text, own))
        return [self.length * math.cos(angle), self.length * math.sin(angle), 0.0]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


def table(engine: PGEngine, embeddings: Embeddings | None = None, name: str = "t", **given: Any) -> PGVectorStore:
    """A new table of langchain-postgres's layout, and a store on it."""
    of_table = (
        *("schema_name", "content_column", "embedding_column", "metadata_columns", "metadata_json_column"),
        *("id_column", "hybrid_search_config", "store_metadata"),
    )
    layout = {key: given[key] for key in of_table if key in given}
    engine.init_vectorstore_table(name, 3, **layout)
    given.pop("store_metadata", None)
    if "metadata_columns" in given:
        given["metadata_columns"] = [column.name for column in given["metadata_columns"]]
    if "id_column" in given and not isinstance(given["id_column"], str):
        given["id_column"] = given["id_column"].name
    return PGVectorStore.create_sync(engine, embeddings or Angles(), name, **given)


def contents(documents: list[Document]) -> list[str]:
    return [document.page_content for document in documents]
