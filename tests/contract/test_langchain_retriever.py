"""langchain-tests' standard suites for the retriever and the document index. Nothing is overridden."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing.base import DocumentIndex
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests
from langchain_tests.integration_tests.indexer import AsyncDocumentIndexTestSuite, DocumentIndexerTestSuite

from rag_pgvector import Chunk, Collection, CollectionConfig, Database
from rag_pgvector.langchain import PGDocumentIndex, PGRetriever


@pytest.fixture(scope="module")
def db(module_database_url: str) -> Iterator[Database]:
    with Database(module_database_url) as db:
        yield db


@pytest.fixture
def docs(db: Database) -> Collection:
    return db.collection(str(uuid.uuid4()), config=CollectionConfig(), embedder=DeterministicFakeEmbedding(size=6))


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _store(self, docs: Collection) -> None:
        docs.add([Chunk(content=text) for text in ("foo", "bar", "baz", "qux", "quux")])
        self.docs = docs

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return PGRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"store": self.docs}

    @property
    def retriever_query_example(self) -> str:
        return "foo"


class TestDocumentIndex(DocumentIndexerTestSuite):
    @pytest.fixture
    def index(self, docs: Collection) -> DocumentIndex:
        return PGDocumentIndex(store=docs)


class TestAsyncDocumentIndex(AsyncDocumentIndexTestSuite):
    @pytest.fixture
    async def index(self, module_database_url: str) -> AsyncGenerator[DocumentIndex, None]:
        async with Database(module_database_url) as db:
            docs = await db.acollection(
                str(uuid.uuid4()), config=CollectionConfig(), embedder=DeterministicFakeEmbedding(size=6)
            )
            yield PGDocumentIndex(store=docs)


def test_the_suites_are_whole() -> None:
    """What langchain-tests counts here, so that an import that fails silently is seen."""
    tests = [name for suite in (TestRetriever, TestDocumentIndex, TestAsyncDocumentIndex) for name in dir(suite)]
    assert len([name for name in tests if name.startswith("test_")]) >= 4 + 11 + 11
    assert asyncio.iscoroutinefunction(TestAsyncDocumentIndex.test_upsert_no_ids)
