"""Diverse results by maximal marginal relevance, and many searches at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, SearchOptions
from rag_pgvector.config import Distance
from rag_pgvector.drivers import drive
from rag_pgvector.errors import ConfigError, DimensionError
from rag_pgvector.mmr import order
from rag_pgvector.plan import Batch, Execute, Together
from tests.integration.conftest import Call

ROWS, SIZE = 300, 6
KINDS = [(d, s) for d in ("cosine", "l2", "inner_product") for s in ("vector", "halfvec")]


@pytest.fixture(scope="module")
def vectors() -> NDArray[np.float32]:
    """Of different lengths, in clusters of near copies."""
    random = np.random.default_rng(5)
    centres = random.normal(size=(30, SIZE))
    found = centres[random.integers(30, size=ROWS)] + 0.02 * random.normal(size=(ROWS, SIZE))
    return (found * random.uniform(0.5, 2, size=(ROWS, 1))).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module", params=KINDS, ids="-".join)
def docs(request: pytest.FixtureRequest, db: Database, vectors: NDArray[np.float32]) -> Collection:
    distance, storage = request.param
    config = CollectionConfig(dimensions=SIZE, distance=distance, storage=storage)
    docs = db.collection(f"mmr {distance} {storage}", config=config)
    docs.add(
        Chunk(id=f"{i:03}", content=f"text {i}", embedding=v, metadata={"even": i % 2 == 0})
        for i, v in enumerate(vectors)
    )
    return docs


def similar(one: NDArray[Any], other: NDArray[Any], distance: Distance) -> float:
    if distance == "inner_product":
        return float(one @ other)
    if distance == "l2":
        return float(1 - ((one - other) ** 2).sum() / 2)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def by_the_paper(
    query: NDArray[Any], vectors: NDArray[Any], distance: Distance, k: int, fetch_k: int, weight: float
) -> list[str]:
    """The formula as it stands there, one candidate at a time."""
    near = [similar(query, each, distance) for each in vectors]
    left = sorted(range(len(vectors)), key=lambda i: -near[i])[:fetch_k]
    chosen = [left.pop(0)]
    while left and len(chosen) < k:
        values = [
            weight * near[i] - (1 - weight) * max(similar(vectors[i], vectors[j], distance) for j in chosen)
            for i in left
        ]
        chosen.append(left.pop(int(np.argmax(values))))
    return [f"{i:03}" for i in chosen]


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize(("k", "fetch_k"), [(5, 20), (10, 300), (4, 4)])
def test_the_order_is_that_of_the_paper(
    docs: Collection, vectors: NDArray[np.float32], call: Call, k: int, fetch_k: int, weight: float
) -> None:
    query = vectors[7] + np.float32(0.25)
    found = call(docs, "search_mmr", vector=query, k=k, fetch_k=fetch_k, lambda_mult=weight)
    expected = by_the_paper(query.astype(float), vectors.astype(float), docs.config.distance, k, fetch_k, weight)
    assert [hit.chunk.id for hit in found] == expected
    plain = {hit.chunk.id: hit for hit in docs.search(vector=query, k=ROWS)}
    assert all(hit == plain[hit.chunk.id] for hit in found), "scores and distances are those of a search"
    if weight == 1.0:
        assert [hit.chunk.id for hit in found] == [hit.chunk.id for hit in docs.search(vector=query, k=k)]


def test_filters_and_few_rows(docs: Collection, vectors: NDArray[np.float32]) -> None:
    found = docs.search_mmr(vector=vectors[0], k=ROWS, fetch_k=10, filter={"even": True})
    assert {hit.chunk.id for hit in found} == {f"{i:03}" for i in range(0, ROWS, 2)}, "at least k candidates are taken"
    assert len(docs.search_mmr(vector=vectors[0], filter={"even": "no"})) == 0


def test_embeddings_are_read_for_the_candidates_only(
    docs: Collection, vectors: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("rag_pgvector.database.drive", lambda conn, plan: drive(conn, _noted(plan, asked)))
    docs.search_mmr(vector=vectors[0], k=2, fetch_k=7)
    reading = [
        step
        for step in asked
        if b"_send" in str(step.query.as_string(None) if not isinstance(step.query, bytes) else step.query).encode()
    ]
    assert [len(step.params[1]) for step in reading] == [7]


def _noted(plan: Any, asked: list[Any]) -> Any:
    reply = None
    while True:
        try:
            step = plan.send(reply)
        except StopIteration as stop:
            return stop.value
        asked.extend(step.steps if isinstance(step, Batch) else [step])
        reply = yield step


def test_a_candidate_that_goes_meanwhile_is_left_out(
    db: Database, vectors: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = db.collection("going", config=CollectionConfig(dimensions=SIZE))
    docs.add(Chunk(id=f"{i:03}", content="x", embedding=v) for i, v in enumerate(vectors[:9]))
    search = docs.search

    def and_delete(*args: Any, **options: Any) -> Any:
        found = search(*args, **options)
        docs.delete([str(found[0].chunk.id)])
        return found

    monkeypatch.setattr(docs, "search", and_delete)
    found = docs.search_mmr(vector=vectors[0], k=20)
    assert len(found) == 8
    assert "000" not in [hit.chunk.id for hit in found]


@pytest.mark.parametrize(
    "options",
    [{"fetch_k": 0}, {"fetch_k": 2.0}, {"lambda_mult": -0.1}, {"lambda_mult": 1.1}, {"lambda_mult": "x"}, {"k": 0}],
)
def test_what_cannot_be(docs: Collection, options: Any) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        docs.search_mmr(vector=[1.0] * SIZE, **options)


def test_of_equals_the_nearer_comes_first() -> None:
    assert order(np.array([0.9, 0.8, 0.8]), np.ones((3, 3)), k=3, lambda_mult=0.0) == [0, 1, 2]
    assert order(np.empty(0), np.empty((0, 0)), k=3, lambda_mult=0.5) == []


# --------------------------------------------------------------------------------------------------------- many at once


@pytest.fixture(scope="module")
def asked() -> list[list[str]]:
    """The calls of the embedder below."""
    return []


@pytest.fixture
def worded(make: Callable[..., Collection], asked: list[list[str]]) -> Collection:
    def embed(texts: list[str]) -> list[list[float]]:
        asked.append(list(texts))
        return [[float(len(text)), 1.0, float(text.count("e"))] for text in texts]

    docs = make(embedder=embed)
    docs.add([Chunk(id=f"{i}", content="e" * i + "x" * (i % 7), metadata={"n": i}) for i in range(1, 60)])
    return docs


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"k": 3, "filter": {"n": {"$lt": 40}}},
        {"k": 100},
        {"k": 5, "options": SearchOptions(exact=False, ef_search=200)},
        {"k": 50, "filter": {"n": 7}, "options": SearchOptions(exact=False)},
    ],
)
def test_many_equal_one_by_one(worded: Collection, asked: list[list[str]], call: Call, options: Any) -> None:
    questions = [f"{'see' * i}?" for i in range(12)]
    worded.build_index()
    singly = [worded.search(question, **options) for question in questions]
    asked.clear()
    many = call(worded, "search_many", questions, **options)
    assert asked == [questions], "one call of the embedder"
    assert [list(each) for each in many] == [list(each) for each in singly]
    assert [each.plan for each in many] == [each.plan for each in singly]
    vectors = worded.embed_queries(questions)
    by_vector = [worded.search(vector=vector, **options) for vector in vectors]
    assert [list(each) for each in call(worded, "search_many", vectors=vectors, **options)] == [*map(list, by_vector)]


def test_all_questions_go_together(worded: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    worded.search("to know the table")
    sent: list[Any] = []

    def noted(plan: Any) -> Any:
        reply = None
        while True:
            try:
                step = plan.send(reply)
            except StopIteration as stop:
                return stop.value
            sent.append(step)
            reply = yield step

    monkeypatch.setattr("rag_pgvector.database.drive", lambda conn, plan: drive(conn, noted(plan)))
    worded.search_many(["one", "two", "three"])
    assert [type(step) for step in sent] == [Together, Together]
    assert [len(step.steps) for step in sent] == [6, 3], "both arms of every question, then each one's chunks"
    assert all(isinstance(part, (Execute, Batch)) for step in sent for part in step.steps)
    sent.clear()
    worded.search_many(["one", "two", "three"], options=SearchOptions(mode="dense"))
    assert [type(step) for step in sent] == [Together], "by vectors it is one round trip"
    assert len(sent[0].steps) == 3


def test_none_and_wrong_ones(worded: Collection, call: Call) -> None:
    assert call(worded, "search_many", []) == []
    assert call(worded, "search_many", vectors=[]) == []
    for wrong in ({}, {"queries": "one"}, {"queries": ["a", ""]}, {"queries": ["a"], "vectors": [[1, 2, 3]]}):
        with pytest.raises(ConfigError):
            call(worded, "search_many", **wrong)
    with pytest.raises(DimensionError, match="query vector 1"):
        call(worded, "search_many", vectors=[[1, 2, 3], [1, 2]])
