"""LangChain's own standard tests of vector stores (langchain-tests), on both layouts, sync and async, none left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from langchain_tests.integration_tests import VectorStoreIntegrationTests
from langchain_tests.integration_tests.vectorstores import EMBEDDING_SIZE

from rag_pgvector import CollectionConfig, Database
from rag_pgvector.langchain import Column, PGEngine, PGVectorStore


class TestOnACollection(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, database_url: str) -> Iterator[PGVectorStore]:
        with Database(database_url) as db:
            yield PGVectorStore(self.get_embeddings(), collection="standard", connection=db)


class TestOnATenant(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tenant_db: Database) -> PGVectorStore:
        config = CollectionConfig(tenancy="multi", dimensions=EMBEDDING_SIZE)
        tenant_db.collection("standard", config=config)
        return PGVectorStore(self.get_embeddings(), collection="standard", connection=tenant_db, tenant="acme")


class TestOnATableOfLangchainPostgres(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, empty_database: str) -> Iterator[PGVectorStore]:
        engine = PGEngine.from_connection_string(empty_database)
        engine.init_vectorstore_table(
            "standard", EMBEDDING_SIZE, id_column=Column("langchain_id", "VARCHAR", nullable=False)
        )
        yield PGVectorStore.create_sync(engine, self.get_embeddings(), "standard")
        engine.close_sync()
