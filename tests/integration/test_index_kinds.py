"""Every kind of vector index: it is used, it finds what exact search finds, and a filter loses nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.config import Distance, IndexMethod, Quantization, Storage
from rag_pgvector.errors import VectorError
from rag_pgvector.fence import bind
from rag_pgvector.index_kinds import BINARY_DIMENSIONS, index_kind, lists_for, probes_for
from rag_pgvector.read import where
from rag_pgvector.search import statement
from rag_pgvector.vectors import as_vector

ROWS, SIZE = 2400, 64
#: Binary kinds are compared at the size from which they are offered without a warning.
BITS = 512
WALK = SearchOptions(exact=False)

METHODS: list[IndexMethod] = ["hnsw", "ivfflat"]
QUANTIZATIONS: list[Quantization | None] = [None, "halfvec", "binary"]
STORED: list[tuple[Distance, Storage]] = [("cosine", "vector"), ("l2", "halfvec"), ("inner_product", "vector")]
KINDS = [
    (method, distance, storage, quantization)
    for method in METHODS
    for distance, storage in STORED
    for quantization in QUANTIZATIONS
    if (storage, quantization) != ("halfvec", "halfvec")
]


def clustered(size: int) -> NDArray[np.float32]:
    """Vectors of length 1 around 60 centres, as embedders make them."""
    random = np.random.default_rng(8)
    centres = random.normal(size=(60, size))
    found = centres[random.integers(60, size=ROWS)] + 0.6 * random.normal(size=(ROWS, size))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


def filled(db: Database, name: str, vectors: NDArray[np.float32], **config: Any) -> Collection:
    docs = db.collection(name, config=CollectionConfig(dimensions=vectors.shape[1], **config))
    docs.add(
        Chunk(id=f"{i:05}", content=f"text {i}", embedding=v, metadata={"rare": i % 300 == 0, "half": i % 2})
        for i, v in enumerate(vectors)
    )
    assert docs.build_index().reason == "built"
    return docs


@pytest.fixture(scope="module")
def questions() -> Callable[[int], NDArray[np.float32]]:
    def make(size: int) -> NDArray[np.float32]:
        near = clustered(size)[:25] + 0.05 * np.random.default_rng(9).normal(size=(25, size))
        return np.asarray(near / np.linalg.norm(near, axis=1, keepdims=True), dtype=np.float32)

    return make


def recall(docs: Collection, questions: NDArray[np.float32], k: int, **options: Any) -> float:
    found = []
    for question in questions:
        exact = docs.search(vector=question, k=k, options=SearchOptions(exact=True), **options)
        walked = docs.search(vector=question, k=k, options=WALK, **options)
        assert walked.plan.kind == docs.config.index, walked.plan
        assert len(walked) == len(exact)
        distances = [hit.distance or 0.0 for hit in walked]
        assert distances == sorted(distances), "best first"
        true = {hit.chunk.id: hit for hit in exact}
        assert all(hit == true.get(hit.chunk.id, hit) for hit in walked), "the distances are the true ones"
        found.append(len({hit.chunk.id for hit in exact} & {hit.chunk.id for hit in walked}) / len(exact))
    return float(np.mean(found))


@pytest.mark.parametrize(("method", "distance", "storage", "quantization"), KINDS)
def test_recall_filters_and_the_index_in_the_plan(
    db: Database,
    questions: Callable[[int], NDArray[np.float32]],
    method: IndexMethod,
    distance: Distance,
    storage: Storage,
    quantization: Quantization | None,
) -> None:
    size = BITS if quantization == "binary" else SIZE
    name = f"{method} {distance} {storage} {quantization}"
    config = {"index": method, "distance": distance, "storage": storage, "quantization": quantization}
    docs = filled(db, name, clustered(size), **config)
    asked = questions(size)
    assert recall(docs, asked[:12], 10) >= 0.95
    assert docs._table.index_name in explained(docs, asked[0])
    for k in (10, 40):
        found = docs.search(vector=asked[0], k=k, filter={"rare": True}, options=WALK)
        exact = docs.search(vector=asked[0], k=k, filter={"rare": True}, options=SearchOptions(exact=True))
        assert [hit.chunk.id for hit in found] == [hit.chunk.id for hit in exact]
    assert len(docs.search(vector=asked[0], k=ROWS + 5, options=WALK)) == ROWS


def explained(docs: Collection, question: Any, filter: Any = None) -> str:
    """The plan of the statement that a walk sends, with its settings and as its role."""
    table = docs._table
    condition = where(table, filter=filter)
    kind = index_kind(table.config)
    assert kind is not None
    rendered = None if condition is None else condition[0].as_bytes(None)
    query = statement(table, rendered, 10, exact=False, candidates=kind.candidates(10, 100))
    encoded = as_vector(question, docs.config)
    params = [encoded, *(condition[1] if condition else []), *([] if kind.ordered else [encoded])]
    with psycopg.connect(docs.database.url) as conn:
        if table.multi:
            first = bind(table.tenant, table.scope)
            conn.execute(first.query, first.params)
        for setting in ("enable_seqscan", "enable_bitmapscan", "enable_sort"):
            conn.execute("SELECT set_config(%s, 'off', true)", (setting,))
        rows = conn.execute(b"EXPLAIN (COSTS OFF) " + query, params).fetchall()
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("quantization", QUANTIZATIONS)
def test_of_many_tenants_under_row_level_security(
    tenant_db: Database,
    questions: Callable[[int], NDArray[np.float32]],
    method: IndexMethod,
    quantization: Quantization | None,
) -> None:
    size = BITS if quantization == "binary" else SIZE
    config = CollectionConfig(dimensions=size, tenancy="multi", index=method, quantization=quantization)
    shared = tenant_db.collection("shared", config=config)
    acme, bolt = shared.for_tenant("acme"), shared.for_tenant("bolt")
    for i, vector in enumerate(np.array_split(clustered(size)[:2000], 2)):
        owner = (acme, bolt)[i]
        owner.add(Chunk(id=f"{n}", content=f"{owner.tenant}", embedding=v) for n, v in enumerate(vector))
    assert shared.build_index().reason == "built"
    asked = questions(size)
    assert "Index Scan using" in (plan := explained(acme, asked[0], {"n": {"$exists": False}}))
    assert acme._table.index_name in plan
    scores = []
    for question in asked[:10]:
        walked = acme.search(vector=question, k=10, options=WALK)
        assert walked.plan.kind == method
        assert {hit.chunk.content for hit in walked} == {"acme"}
        exact = acme.search(vector=question, k=10, options=SearchOptions(exact=True))
        scores.append(len({hit.chunk.id for hit in exact} & {hit.chunk.id for hit in walked}) / 10)
    assert np.mean(scores) >= 0.9


@pytest.mark.parametrize(("storage", "size"), [("vector", 2001), ("vector", 4000), ("halfvec", 4000)])
def test_up_to_4000_dimensions(
    db: Database, questions: Callable[[int], NDArray[np.float32]], storage: Storage, size: int
) -> None:
    vectors = clustered(size)[:400]
    docs = filled(db, f"large {storage} {size}", vectors, storage=storage)
    assert docs.config.index_holds == "halfvec"
    assert docs.index_status().state == "valid"
    for question in questions(size)[:5]:
        walked = docs.search(vector=question, k=10, options=WALK)
        exact = docs.search(vector=question, k=10, options=SearchOptions(exact=True))
        assert walked.plan.kind == "hnsw"
        assert len({hit.chunk.id for hit in exact} & {hit.chunk.id for hit in walked}) >= 9
    assert docs._table.index_name in explained(docs, vectors[0])


def test_binary_of_few_dimensions_is_warned_of(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    for size in (BINARY_DIMENSIONS - 1, BINARY_DIMENSIONS):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "rag_pgvector"):
            db.collection(f"bits {size}", config=CollectionConfig(dimensions=size, quantization="binary"))
        assert ("below 512" in caplog.text) == (size < BINARY_DIMENSIONS)


def test_what_has_no_place_in_half_precision_is_refused(db: Database) -> None:
    docs = db.collection("halved", config=CollectionConfig(dimensions=2, quantization="halfvec", distance="l2"))
    docs.build_index()
    with pytest.raises(VectorError, match="halfvec stores at most 65504"):
        docs.add([Chunk(content="x", embedding=[1.0, 70_000.0])])


def test_probes_are_what_was_asked(db: Database, questions: Callable[[int], NDArray[np.float32]]) -> None:
    docs = filled(db, "probed", clustered(SIZE), index="ivfflat", ivfflat_lists=60)
    asked = questions(SIZE)[:8]
    found = {}
    for probes in (1, 60):
        options = SearchOptions(exact=False, probes=probes)
        hits = [docs.search(vector=question, k=200, options=options) for question in asked]
        assert f"{probes} of 60 lists" in hits[0].plan.reason
        exact = [docs.search(vector=question, k=200, options=SearchOptions(exact=True)) for question in asked]
        found[probes] = np.mean(
            [len({h.chunk.id for h in a} & {h.chunk.id for h in b}) / 200 for a, b in zip(hits, exact, strict=True)]
        )
    assert found[1] < 0.97 < 0.9999 <= found[60]


def test_how_many_lists_and_probes() -> None:
    assert [lists_for(rows) for rows in (0, 999, 100_000, 4_000_000)] == [1, 1, 100, 2000]
    assert probes_for(1, 0, 10) == 1
    assert probes_for(100, 100_000, 10) == 30
    assert probes_for(100, 100_000, 20_000) == 80, "a filter that passes few rows"
    assert probes_for(100, 100_000, 10**9) == 100


def test_rows_that_come_and_go(db: Database, questions: Callable[[int], NDArray[np.float32]]) -> None:
    vectors = clustered(SIZE)
    for method in METHODS:
        docs = filled(db, f"moving {method}", vectors, index=method, quantization="halfvec")
        question = questions(SIZE)[0]
        nearest = [str(hit.chunk.id) for hit in docs.search(vector=question, k=50, options=SearchOptions(exact=True))]
        docs.delete(nearest[:40])
        docs.add([Chunk(id="new", content="x", embedding=question)])
        found = [hit.chunk.id for hit in docs.search(vector=question, k=11, options=WALK)]
        assert found[0] == "new"
        assert len(set(found[1:]) & set(nearest[40:])) >= 9
