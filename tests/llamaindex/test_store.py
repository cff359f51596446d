"""LlamaIndex's vector store interface, in every place and in both colours."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.schema import (
    BaseNode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.errors import ChunkError, CollectionNotFoundError, ConfigError, DimensionError, TenantError
from rag_pgvector.llamaindex import PGVectorStore
from tests.llamaindex.conftest import Call, Make


def node(id_: str, text: str, vector: Sequence[float], document: str | None = None, **metadata: Any) -> TextNode:
    source = {} if document is None else {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=document)}
    return TextNode(id_=id_, text=text, metadata=metadata, embedding=list(vector), relationships=source)


def animals() -> list[TextNode]:
    return [
        node("fox", "The quick brown fox jumps", [1, 0], "d1", n=1),
        node("hound", "The fox and the hound", [1, 1], "d1", n=2),
        node("bee", "A bee gathers pollen", [0, 1], "d2", tags=["insect"]),
    ]


def where(key: str, value: Any, operator: FilterOperator = FilterOperator.EQ) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


def near(vector: Sequence[float], k: int = 10, **options: Any) -> VectorStoreQuery:
    return VectorStoreQuery(query_embedding=list(vector), similarity_top_k=k, **options)


def ids(nodes: Sequence[BaseNode]) -> list[str]:
    return sorted(each.node_id for each in nodes)


# ----------------------------------------------------------------------------------------------------------- writing


def test_added_nodes_are_found_nearest_first(store: PGVectorStore, call: Call) -> None:
    assert isinstance(store, BasePydanticVectorStore)
    assert call(store, "add", animals()) == ["fox", "hound", "bee"]
    result = call(store, "query", near([1, 0.1], 2))
    assert result.ids == ["fox", "hound"]
    assert [found.node_id for found in result.nodes] == ["fox", "hound"]
    assert result.nodes[0].get_content() == "The quick brown fox jumps"
    assert result.similarities == sorted(result.similarities, reverse=True)


@pytest.mark.parametrize("count", [3, 100])
def test_adding_again_replaces(store: PGVectorStore, call: Call, count: int) -> None:
    """llama_index#13595: there it makes duplicates. Few rows and many are written in two ways."""
    nodes = [node(f"n{i}", f"text {i}", [1, i], "d") for i in range(count)]
    call(store, "add", nodes)
    changed = [node(f"n{i}", f"changed {i}", [1, i], "d", seen=True) for i in range(count)]
    call(store, "add", changed)
    assert len(call(store, "query", near([1, 0], 1000)).ids) == count
    [found] = call(store, "get_nodes", ["n1"])
    assert (found.get_content(), found.metadata) == ("changed 1", {"seen": True})


def test_of_an_id_that_comes_twice_the_last_one_stays(store: PGVectorStore, call: Call) -> None:
    call(store, "add", [node("a", "first", [1, 0]), node("a", "last", [0, 1])])
    [found] = call(store, "get_nodes", ["a"])
    assert found.get_content() == "last"


def test_nodes_may_come_from_a_generator(store: PGVectorStore, call: Call) -> None:
    assert call(store, "add", (each for each in animals())) == ["fox", "hound", "bee"]
    assert len(call(store, "get_nodes", ["fox", "hound", "bee"])) == 3
    assert call(store, "add", []) == []


def test_all_or_nothing(store: PGVectorStore, call: Call) -> None:
    call(store, "add", animals())
    with pytest.raises(ChunkError, match="NUL"):
        call(store, "add", [node("new", "fine", [1, 0]), node("bad", "a\0b", [1, 0])])
    with pytest.raises(DimensionError):
        call(store, "add", [node("new", "fine", [1, 0]), node("bad", "long", [1, 0, 0])])
    with pytest.raises(ChunkError, match="no embedding"):
        call(store, "add", [TextNode(id_="new", text="never embedded")])
    assert call(store, "get_nodes", ["new"]) == []


def test_delete_removes_a_document_s_nodes(store: PGVectorStore, call: Call) -> None:
    call(store, "add", [*animals(), node("alone", "of no document", [1, 1])])
    call(store, "delete", "d1")
    assert ids(call(store, "query", near([1, 0])).nodes) == ["alone", "bee"]
    call(store, "delete", "no such")
    call(store, "delete", "None")  # what the peer writes for a node of no document
    assert ids(call(store, "query", near([1, 0])).nodes) == ["alone", "bee"]


def test_delete_nodes_by_id_by_filter_and_by_both(store: PGVectorStore, call: Call) -> None:
    call(store, "add", animals())
    call(store, "delete_nodes")
    call(store, "delete_nodes", ["no such"])
    call(store, "delete_nodes", ["fox", "bee"], where("n", 2))
    assert ids(call(store, "query", near([1, 0])).nodes) == ["bee", "fox", "hound"]
    call(store, "delete_nodes", ["fox", "bee"], where("n", 1))
    assert ids(call(store, "query", near([1, 0])).nodes) == ["bee", "hound"]
    call(store, "delete_nodes", filters=where("n", 2))
    call(store, "delete_nodes", [])
    with pytest.raises(ConfigError, match="clear"):
        call(store, "delete_nodes", filters=MetadataFilters(filters=[]))
    assert ids(call(store, "query", near([1, 0])).nodes) == ["bee"]


def test_clear_empties(store: PGVectorStore, call: Call) -> None:
    call(store, "add", animals())
    call(store, "clear")
    assert call(store, "query", near([1, 0])).ids == []
    call(store, "add", animals())
    assert len(call(store, "query", near([1, 0])).ids) == 3


# ----------------------------------------------------------------------------------------------------------- reading


def test_get_nodes_brings_embeddings(store: PGVectorStore, call: Call) -> None:
    call(store, "add", animals())
    [found] = call(store, "get_nodes", ["hound"], where("n", 2))
    assert found.embedding == [1.0, 1.0]
    assert ids(call(store, "get_nodes", filters=where("ref_doc_id", "d1"))) == ["fox", "hound"]
    assert len(call(store, "get_nodes", filters=MetadataFilters(filters=[]))) == 3
    assert call(store, "get_nodes", []) == []
    with pytest.raises(ConfigError):
        call(store, "get_nodes")


def test_node_ids_and_doc_ids_restrict(store: PGVectorStore, call: Call) -> None:
    """There they are ignored."""
    call(store, "add", animals())
    assert call(store, "query", near([1, 0], node_ids=["bee", "hound"])).ids == ["hound", "bee"]
    assert call(store, "query", near([1, 0], doc_ids=["d2"])).ids == ["bee"]
    assert call(store, "query", near([1, 0], doc_ids=["d1"], filters=where("n", 2))).ids == ["hound"]
    assert call(store, "query", near([1, 0], doc_ids=[])).ids == []
    assert len(call(store, "query", near([1, 0], node_ids=[])).ids) == 3  # what as_retriever() always sends
    assert call(store, "query", near([1, 0], node_ids=["a\0b"])).ids == []


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        ("cosine", [1.0, math.sqrt(0.5), 0.0]),
        ("l2", [0.5, 1 / (1 + math.sqrt(2)), 1 / (1 + math.sqrt(5))]),
        ("inner_product", [2.0, 2.0, 0.0]),
    ],
)
def test_similarities_follow_the_distance(make: Make, place: str, distance: str, expected: list[float]) -> None:
    """llama_index#17311: there it is always the cosine."""
    store = make(place, distance=distance)
    store.add(animals())
    result = store.query(near([2, 0], 3))
    assert result.similarities == pytest.approx(expected, abs=1e-3)
    assert set(result.ids) == {"fox", "hound", "bee"}
    assert result.ids[2] == "bee"


# --------------------------------------------------------------------------------------------------------- lifetimes


def test_one_store_serves_several_event_loops(store: PGVectorStore) -> None:
    """There the second asyncio.run fails."""
    asyncio.run(store.async_add(animals()))
    for _ in range(2):
        assert asyncio.run(store.aquery(near([1, 0], 1))).ids == ["fox"]
    assert store.query(near([1, 0], 1)).ids == ["fox"]


def test_a_deep_copy_shares_the_connections_and_nothing_is_pickled(store: PGVectorStore) -> None:
    store.add([TextNode(id_="a", text="one", embedding=[1, 0])])
    found = copy.deepcopy({"store": store})["store"].query(VectorStoreQuery(query_embedding=[1, 0], similarity_top_k=1))
    assert found.ids == ["a"]
    with pytest.raises(TypeError, match="holds connections"):
        pickle.dumps(store)  # LlamaIndex's way makes a copy without its connection


def test_many_at_once(store: PGVectorStore) -> None:
    """Concurrent first uses make one table, and concurrent writers of one id leave one row."""

    async def together() -> None:
        await asyncio.gather(*[store.async_add(animals()) for _ in range(8)])

    asyncio.run(together())
    assert len(store.query(near([1, 0], 100)).ids) == 3


async def test_close_leaves_a_given_database_open(db: Database) -> None:
    store = PGVectorStore(connection=db, table_name="closing", embed_dim=2)
    assert store.client is None
    await store.async_add(animals())
    assert store.client is not None
    await store.close()
    assert db.collections() is not None


# ----------------------------------------------------------------------------------------------------- constructors


def test_a_collection_is_made_by_the_first_add(db: Database, call: Call) -> None:
    name = uuid.uuid4().hex
    store = PGVectorStore(collection=name, connection=db)
    with pytest.raises(CollectionNotFoundError):
        call(store, "query", near([1, 0]))
    call(store, "add", animals())
    assert store.collection.config.dimensions == 2
    again = PGVectorStore(collection=name, connection=db, config=CollectionConfig())
    assert call(again, "query", near([1, 0], 1)).ids == ["fox"]


def test_a_collection_object_is_taken(db: Database) -> None:
    docs = db.collection("given", config=CollectionConfig(dimensions=2))
    store = PGVectorStore(collection=docs, options=SearchOptions(exact=True))
    store.add(animals())
    assert isinstance(store.client, Collection)
    assert docs.count() == 3
    assert store.query(near([1, 0], 1)).ids == ["fox"]


def test_nothing_works_without_a_tenant(tenant_db: Database) -> None:
    docs = tenant_db.collection("tenants", config=CollectionConfig(dimensions=2, tenancy="multi"))
    with pytest.raises(TenantError):
        PGVectorStore(collection=docs)
    unbound = PGVectorStore(collection="tenants", connection=tenant_db)
    for method, args in (
        ("add", [animals()]),
        ("query", [near([1, 0])]),
        ("get_nodes", [["fox"]]),
        ("delete", ["d1"]),
        ("delete_nodes", [["fox"]]),
        ("clear", []),
    ):
        with pytest.raises(TenantError):
            getattr(unbound, method)(*args)
    for tenant, scope in (("acme", None), ("apex", None), ("acme", "audit")):
        PGVectorStore(collection=docs, tenant=tenant, scope=scope).add(animals()[: 2 if tenant == "acme" else 1])
    acme = PGVectorStore(collection=docs, tenant="acme", scope="audit")
    acme.clear()
    assert acme.query(near([1, 0])).ids == []
    assert PGVectorStore(collection=docs, tenant="acme").query(near([1, 0])).ids == ["fox", "hound"]
    assert PGVectorStore(collection=docs, tenant="apex").query(near([1, 0])).ids == ["fox"]


@pytest.mark.parametrize(
    "options",
    [
        {"collection": "x", "options": {"exact": True}},
        {"collection": "x", "scope": "a"},
        {"connection": "postgresql://localhost/x", "tenant": "a"},
        {"connection": "postgresql://localhost/x", "engine": object()},
        {"connection_string": 7},
        {"connection_string": "mysql://localhost/x"},
        {"connection_string": "postgresql://localhost/x", "embed_dim": 0},
        {"connection_string": "postgresql://localhost/x", "table_name": "a\0b"},
        {"connection_string": "postgresql://localhost/x", "table_name": "x" * 60},
        {"connection_string": "postgresql://localhost/x", "hnsw_kwargs": {"hnsw_m": 16}},
        {"connection_string": "postgresql://localhost/x", "indexed_metadata_keys": [("k", "money")]},
        {
            "connection_string": "postgresql://localhost/x",
            "hnsw_kwargs": {"hnsw_m": 16, "hnsw_ef_construction": 64, "hnsw_dist_method": "vector_l1_ops"},
        },
    ],
)
def test_what_cannot_be_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        PGVectorStore(**options)


def test_no_password_is_shown() -> None:
    store = PGVectorStore.from_params(host="h", port="5432", database="d", user="u", password="p@ss/w:rd")
    shown = [repr(store), str(store), str(store.to_dict()), store.model_dump_json()]
    assert not any("p@ss" in text or "p%40ss" in text for text in shown)


# ----------------------------------------------------------------------------------------------------------- queries


@pytest.mark.parametrize(
    ("query", "keywords", "problem"),
    [
        (near([1, 0], mode=VectorStoreQueryMode.SEMANTIC_HYBRID), {}, "mode="),
        (near([1, 0], mode=VectorStoreQueryMode.SVM), {}, "mode="),
        (VectorStoreQuery(mode=VectorStoreQueryMode.MMR), {}, "requires query_embedding"),
        (VectorStoreQuery(), {}, "requires query_embedding"),
        (VectorStoreQuery(query_str=""), {}, "query_str is ''"),
        (VectorStoreQuery(mode=VectorStoreQueryMode.SPARSE, filters=where("n", 2)), {}, "query_str"),
        (near([1, 0], mode=VectorStoreQueryMode.HYBRID, filters=where("n", 2)), {}, "query_str"),
        (near([1, 0], mode=VectorStoreQueryMode.SPARSE), {}, "query_str"),
        (near([1, 0], mode=VectorStoreQueryMode.HYBRID, query_str=" "), {}, "query_str"),
        (near([1, 0], k=0), {}, "similarity_top_k"),
        (near([1, 0], mode=VectorStoreQueryMode.HYBRID, query_str="x", alpha=2), {}, "alpha"),
        (near([1, 0], mode=VectorStoreQueryMode.MMR), {"mmr_threshold": 1.5}, "mmr_threshold"),
        (near([1, 0], mode=VectorStoreQueryMode.MMR), {"mmr_prefetch_k": 3, "mmr_prefetch_factor": 2}, "coexist"),
        (near([1, 0]), {"ef": 3}, "unknown keyword"),
        (near([1, 0]), {"hnsw_ef_search": 0}, "ef_search"),
        (near([1, 0]), {"hnsw_ef_search": "40; DROP TABLE x"}, "ef_search"),
        (near([1, 0]), {"ivfflat_probes": -1}, "ivfflat_probes"),
    ],
)
def test_a_query_that_cannot_be(
    make: Make, call: Call, query: VectorStoreQuery, keywords: dict[str, Any], problem: str
) -> None:
    store = make("json")
    store.add(animals())
    with pytest.raises(ConfigError, match=problem):
        call(store, "query", query, **keywords)
    with pytest.raises(DimensionError):
        call(store, "query", near([1, 0, 0]))


def test_mmr_prefers_what_differs(store: PGVectorStore, call: Call) -> None:
    near_twins = [node("a", "a", [1, 0.1]), node("b", "b", [1, 0.11]), node("c", "c", [1, -1])]
    call(store, "add", near_twins)
    query = near([1, 0], 2, mode=VectorStoreQueryMode.MMR)
    assert call(store, "query", query).ids == ["a", "c"]
    assert call(store, "query", query, mmr_threshold=1.0).ids == ["a", "b"]
    assert call(store, "query", query, mmr_prefetch_k=2).ids == ["a", "b"]
    assert call(store, "query", query, mmr_prefetch_factor=1.0).ids == ["a", "b"]
    zero = near([1, 0], 2, mode=VectorStoreQueryMode.MMR, mmr_threshold=0.0)
    assert call(store, "query", zero).ids == ["a", "c"]
    result = call(store, "query", query)
    assert result.similarities[0] == pytest.approx(1 / math.hypot(1, 0.1), abs=1e-3)  # to the question, not MMR's own
    assert call(store, "query", near([1, 0], 5, mode=VectorStoreQueryMode.MMR)).ids[0] == "a"


def test_the_plain_api_sees_the_same_rows(make: Make) -> None:
    store = make("collection")
    store.add(animals())
    docs = store.collection
    assert docs.get(["fox"])[0].document_id == "d1"
    docs.add([Chunk(id="plain", content="by hand", metadata={"n": 9}, embedding=[1, 1], source="s.md", page_or_row=4)])
    [found] = store.get_nodes(["plain"])
    assert found.metadata == {"n": 9, "source": "s.md", "page_or_row": 4}
