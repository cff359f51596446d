"""Tenants through the LangChain store: no method works without one, and one call may name another."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from langchain_core.documents import Document

from rag_pgvector import CollectionConfig, Database
from rag_pgvector.errors import TenantError
from rag_pgvector.langchain import HybridSearchConfig, PGVectorStore
from tests.langchain.stores import Angles, contents

VECTOR = [1.0, 0.0, 0.0]
#: Every method that reads or writes rows, and what to call it with.
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "add_texts": ((["a"],), {}),
    "add_documents": (([Document(page_content="a")],), {}),
    "add_embeddings": ((["a"], [VECTOR]), {}),
    "delete": ((["1"],), {}),
    "get_by_ids": ((["1"],), {}),
    "get": ((), {}),
    "similarity_search": (("a",), {}),
    "similarity_search_with_score": (("a",), {}),
    "similarity_search_with_relevance_scores": (("a",), {}),
    "similarity_search_by_vector": ((VECTOR,), {}),
    "similarity_search_with_score_by_vector": ((VECTOR,), {}),
    "max_marginal_relevance_search": (("a",), {}),
    "max_marginal_relevance_search_by_vector": ((VECTOR,), {}),
    "max_marginal_relevance_search_with_score_by_vector": ((VECTOR,), {}),
    "search": (("a", "similarity"), {}),
}
#: Those that would have nothing to do.
IDLE: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "add_texts": (([],), {}),
    "add_documents": (([],), {}),
    "delete": ((), {}),
    "get_by_ids": (([],), {}),
    "get": (([],), {}),
}


@pytest.fixture
def unbound(tenant_db: Database) -> PGVectorStore:
    tenant_db.collection("docs", config=CollectionConfig(dimensions=3, tenancy="multi"))
    return PGVectorStore(Angles(), collection="docs", connection=tenant_db)


async def call(store: PGVectorStore, method: str, args: Any, options: Any) -> Any:
    result = getattr(store, method)(*args, **options)
    return await result if inspect.isawaitable(result) else result


async def test_no_method_works_without_a_tenant(unbound: PGVectorStore) -> None:
    for calls in (CALLS, IDLE):
        for method, (args, options) in calls.items():
            for name in (method, f"a{method}"):
                with pytest.raises(TenantError):
                    await call(unbound, name, args, options)
    with pytest.raises(TenantError):
        unbound.similarity_search("a", hybrid_search_config=HybridSearchConfig())
    with pytest.raises(TenantError):
        unbound.as_retriever().invoke("a")
    for wrong in ("", "a b", "x'; --"):
        with pytest.raises(TenantError):
            unbound.similarity_search("a", tenant=wrong)
    await unbound.collection.database.aclose()


async def test_every_method_takes_a_tenant(unbound: PGVectorStore) -> None:
    unbound.add_texts(["foreign"], ids=["1"], tenant="other")
    for method, (args, options) in CALLS.items():
        for name in (method, f"a{method}"):
            found = await call(unbound, name, args, {**options, "tenant": "acme"})
            assert "foreign" not in repr(found), name
    assert contents(unbound.get_by_ids(["1"], tenant="other")) == ["foreign"]
    found = unbound.similarity_search("a", k=10, hybrid_search_config=HybridSearchConfig(), tenant="acme")
    assert "foreign" not in contents(found)
    await unbound.collection.database.aclose()


def test_a_bound_store_stays_within_its_tenant(unbound: PGVectorStore) -> None:
    acme = unbound.for_tenant("acme")
    acme.add_texts(["ours"], ids=["1"])
    with pytest.raises(TenantError):
        acme.similarity_search("a", tenant="other")
    part = acme.for_tenant("acme", scope="audit")
    part.add_texts(["of the audit"], ids=["2"])
    assert contents(part.similarity_search("a")) == ["of the audit"]
    assert len(acme.similarity_search("a")) == 2
    assert contents(acme.similarity_search("a", scope="audit")) == ["of the audit"]
    retriever = unbound.as_retriever(search_kwargs={"tenant": "acme", "k": 1})
    assert len(retriever.invoke("ours")) == 1
    with pytest.raises(TenantError):
        PGVectorStore(Angles(), collection="docs", connection=unbound.collection.database, tenant="no name")
