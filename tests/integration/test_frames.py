"""Collections and results as DataFrames, clusters and the map; everything in both colours and for tenants."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rag_pgvector import Chunk, Collection, CollectionConfig, Database, frames
from rag_pgvector.clustering import project
from rag_pgvector.errors import ChunkError, ConfigError, MissingDependencyError
from rag_pgvector.types import ScoredChunk, SearchPlan, SearchResult

Call = Callable[..., Any]

NEAR = {"x": [1.0, 0.0, 0.0], "y": [0.0, 1.0, 0.0], "z": [0.0, 0.0, 1.0]}


@pytest.fixture(scope="module")
def docs(db: Database) -> Collection:
    """Seven chunks near three axes."""
    docs = db.collection("framed", config=CollectionConfig(dimensions=3))
    draw = np.random.default_rng(0)
    docs.add(
        Chunk(
            id=f"{axis}{i}",
            content=f"text {axis}{i}",
            embedding=np.array(NEAR[axis]) + draw.normal(scale=0.05, size=3),
            metadata={"axis": axis, "source": "of its own"} | ({"n": i} if i else {}),
            source=f"{axis}.md",
        )
        for axis, count in (("x", 4), ("y", 2), ("z", 1))
        for i in range(count)
    )
    return docs


def test_a_collection_as_a_frame(docs: Collection, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_PAGE", 3)  # several pages
    frame = call(docs, "to_pandas")
    assert list(frame.columns) == [*frames.COLUMNS, "axis", "metadata.source", "n"]
    assert list(frame["id"]) == ["x0", "x1", "x2", "x3", "y0", "y1", "z0"]
    assert list(frame["source"].unique()) == ["x.md", "y.md", "z.md"]
    assert frame["n"].isna().sum() == 3
    assert list(call(docs, "to_pandas", filter={"axis": "y"}, limit=1)["id"]) == ["y0"]
    assert len(call(docs, "to_pandas", embeddings=True)["embedding"][0]) == 3
    assert list(call(docs, "to_pandas", filter={"axis": "w"}).columns) == list(frames.COLUMNS)


def test_vectors_as_an_array(docs: Collection, call: Call) -> None:
    vectors = call(docs, "embeddings")
    assert (vectors.shape, vectors.dtype) == ((7, 3), np.float32)
    assert vectors.argmax(axis=1).tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert call(docs, "embeddings", filter={"axis": "w"}).shape == (0, 3)


def test_hits_as_a_frame_and_as_html(docs: Collection) -> None:
    hits = docs.search(vector=NEAR["y"], k=3)
    frame = hits.to_pandas()
    assert list(frame["rank"]) == [1, 2, 3]
    assert set(frame["id"][:2]) == {"y0", "y1"}
    assert frame["score"].is_monotonic_decreasing
    assert frame.attrs["plan"].startswith("exact: ")
    shown = hits._repr_html_()
    assert shown.count("<tr>") == 4
    assert SearchResult([], SearchPlan("exact", "<b>"))._repr_html_().count("&lt;b&gt;") == 1
    steered = [ScoredChunk(Chunk(id="a", content="$7 \u202eand $8\u200b", source="<\u202eb>"), 0.5)]
    shown = SearchResult(steered, SearchPlan("exact", ""))._repr_html_()
    assert shown.startswith('<table class="tex2jax_ignore mathjax_ignore">')
    assert "&lt;[U+202E]b&gt;" in shown
    assert not set(shown) & set("\u202e\u200b")
    assert list(SearchResult([], SearchPlan("exact", "")).to_pandas().columns) == [*frames._SCORES, *frames.COLUMNS]


def test_clusters_are_what_lies_together(docs: Collection, call: Call) -> None:
    found = call(docs, "clusters", 3, representatives=2)
    assert [each.size for each in found] == [4, 2, 1]
    assert [{id_[0] for id_ in each.ids} for each in found] == [{"x"}, {"y"}, {"z"}]
    assert all(chunk.metadata["axis"] == "x" for chunk in found[0].representatives)
    assert len(found[0].representatives) == 2
    assert found[0].spread < 0.05
    assert call(docs, "clusters", 3, representatives=2) == found
    for wrong in (0, 8, 2.0):
        with pytest.raises(ConfigError, match="from 1 to the number"):
            call(docs, "clusters", wrong)
    with pytest.raises(ConfigError, match="no embedded chunks"):
        call(docs, "clusters", 1, filter={"axis": "w"})


def test_the_map_has_a_colour_for_each_value(docs: Collection, call: Call) -> None:
    figure = call(docs, "plot_map", color_by="axis")
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["x", "y", "z"]
    assert sum(len(each.get_offsets()) for each in axes.collections) == 7
    (axes,) = call(docs, "plot_map").axes  # by source
    assert axes.get_legend().get_texts()[0].get_text() == "of its own"
    assert project(np.ones((1, 3))).tolist() == [[0.0, 0.0]]


def test_a_frame_becomes_chunks(make: Callable[..., Collection], call: Call) -> None:
    def lengths(texts: list[str]) -> Any:
        return [[len(text), 1.0, 0.0] for text in texts]

    docs = make(embedder=lengths)
    frame = pd.DataFrame(
        {
            "state": ["Johor", "Kedah"],
            "income": np.array([8517, 5550], dtype=np.int64),
            "gini": [0.366, float("nan")],
            "day": pd.Series([pd.Timestamp("2022-01-01"), pd.NaT]),
        }
    )
    assert call(docs, "add_pandas", frame, content="{state} earns {income}", id="state") == ["Johor", "Kedah"]
    one, two = docs.get(["Johor", "Kedah"])
    assert (one.content, one.metadata) == (
        "Johor earns 8517",
        {"income": 8517, "gini": 0.366, "day": "2022-01-01T00:00:00"},
    )
    assert two.metadata == {"income": 5550}
    again = docs.to_pandas()
    assert list(again["income"]) == [8517, 5550]
    with pytest.raises(ChunkError, match="no column 'county'"):
        frames.chunks_of(frame, content="state", metadata=["county"])
    with pytest.raises(ChunkError, match="no template"):
        frames.chunks_of(frame, content="{county}")
    with pytest.raises(ChunkError, match="use a text"):
        frames.chunks_of(frame, content="income")


def test_a_tenant_sees_its_own_rows(tenant_db: Database) -> None:
    shared = tenant_db.collection("shared", config=CollectionConfig(dimensions=3, tenancy="multi"))
    for tenant in ("acme", "apex"):
        shared.for_tenant(tenant).add([Chunk(id=tenant, content=tenant, embedding=NEAR["x"])])
    acme = shared.for_tenant("acme")
    assert list(acme.to_pandas()["id"]) == ["acme"]
    assert acme.embeddings().shape == (1, 3)
    assert acme.clusters(1)[0].ids == ("acme",)


@pytest.mark.parametrize("missing", ["pandas", "matplotlib"])
def test_what_is_not_installed_is_told(docs: Collection, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setitem(sys.modules, f"{missing}.figure", None)
    with pytest.raises(MissingDependencyError, match=r"rag-pgvector\[evals\]"):
        docs.to_pandas() if missing == "pandas" else docs.plot_map()
