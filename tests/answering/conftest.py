"""A collection of three short documents, and a server whose language models misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

import tests.answering.transport  # noqa: F401  # registers its behaviours
from rag_pgvector import Collection, CollectionConfig, Database
from rag_pgvector.embedding import Embedder, resolve_embedder
from rag_pgvector.ingest import ingest
from tests.answering.behaviours import BEHAVIOURS, DOCUMENTS
from tests.answering.scripted import ScriptedServer


class Remembering:
    """The real model, which embeds no text twice: these tests ask one question hundreds of times."""

    def __init__(self, model: Embedder) -> None:
        self.model = model
        self.name, self.dimensions = model.name, model.dimensions
        self.token_offsets, self.max_tokens = model.token_offsets, model.max_tokens  # type: ignore[attr-defined]
        self._known: dict[str, np.ndarray] = {}

    def embed_documents(self, texts: Iterable[str]) -> np.ndarray:
        wanted = list(texts)
        missing = [text for text in dict.fromkeys(wanted) if text not in self._known]
        self._known.update(zip(missing, self.model.embed_documents(missing), strict=True))
        return np.stack([self._known[text] for text in wanted])

    def embed_query(self, text: str) -> np.ndarray:
        vector: np.ndarray = self.embed_documents([text])[0]
        return vector

    async def aembed_documents(self, texts: Iterable[str]) -> np.ndarray:
        return self.embed_documents(texts)

    async def aembed_query(self, text: str) -> np.ndarray:
        return self.embed_query(text)


@pytest.fixture(scope="package")
def embedder() -> Embedder:
    return Remembering(resolve_embedder())


@pytest.fixture(scope="module")
def library(
    module_database_url: str, embedder: Embedder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Collection]:
    folder: Path = tmp_path_factory.mktemp("library")
    for name, text in DOCUMENTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    with Database(module_database_url) as db:
        collection = db.collection("docs", config=CollectionConfig(dimensions=384), embedder=embedder)
        assert not ingest(collection, folder).failed
        yield collection


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """What both frameworks' models send by, so that it can be closed, which must be last."""
    with httpx.Client(timeout=600) as client:
        yield client


@pytest.fixture(scope="module")
def server(client: httpx.Client) -> Iterator[ScriptedServer]:
    with ScriptedServer(BEHAVIOURS) as server:
        yield server
    for thread in threading.enumerate():  # replies that were given up, and end with the server
        if thread.name == "rag-pgvector-llm":
            thread.join(10)
            assert not thread.is_alive()
