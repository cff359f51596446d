"""What goes in and out: frozen values, and a result that is a sequence."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Sequence

import numpy as np
import pytest

import rag_pgvector
from rag_pgvector import Chunk, Document, IndexReport, ScoredChunk, SearchPlan, SearchResult, WriteCounts, errors


def result(count: int) -> SearchResult:
    hits = [ScoredChunk(Chunk(content=f"text {i}", id=str(i)), 1 - i / 10, i / 10) for i in range(count)]
    return SearchResult(hits, SearchPlan("exact", "asked for"))


def test_a_result_is_a_sequence() -> None:
    found = result(3)
    assert isinstance(found, Sequence)
    assert (len(found), bool(found), bool(result(0))) == (3, True, False)
    assert found[0].chunk.id == "0"
    assert found[-1].chunk.id == "2"
    assert [hit.chunk.id for hit in found] == ["0", "1", "2"]
    assert [hit.chunk.id for hit in found[1:]] == ["1", "2"]
    assert [hit.chunk.id for hit in reversed(found)] == ["2", "1", "0"]
    assert found[1] in found
    assert found.index(found[2]) == 2
    assert "plan=SearchPlan" in repr(found)
    with pytest.raises(IndexError):
        found[3]


def test_a_result_keeps_nothing_of_the_list_it_was_made_of() -> None:
    hits = [ScoredChunk(Chunk(content="a"), 1.0)]
    found = SearchResult(hits, SearchPlan("exact", ""))
    hits.clear()
    assert len(found) == 1


@pytest.mark.parametrize(
    "value",
    [
        Chunk(content="a"),
        Document(id="d", source="d.md", text="", loader="text"),
        ScoredChunk(Chunk(content="a"), 1.0),
        SearchPlan("exact", ""),
        WriteCounts(),
        IndexReport(state="valid", name="i", reason="built"),
    ],
)
def test_values_are_frozen_copied_and_pickled(value: object) -> None:
    assert dataclasses.is_dataclass(value)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, dataclasses.fields(value)[0].name, None)
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301  # multiprocessing does so


def test_chunks_compare_without_their_embedding() -> None:
    """An array has no truth value: comparing chunks must not ask for it."""
    one = Chunk(content="a", id="1", embedding=np.ones(3))
    assert one == Chunk(content="a", id="1", embedding=np.zeros(3))
    assert one != Chunk(content="b", id="1")
    assert "embedding" not in repr(one)


def test_metadata_are_not_shared_between_chunks() -> None:
    assert Chunk(content="a").metadata is not Chunk(content="b").metadata


def test_counts_add_up() -> None:
    total = WriteCounts(added=1, updated=2) + WriteCounts(added=10, unchanged=3, deleted=4)
    assert total == WriteCounts(added=11, updated=2, unchanged=3, deleted=4)


def test_a_documents_repr_leaves_out_what_is_large() -> None:
    shown = repr(Document(id="d", source="d.md", text="x" * 1000, loader="csv", profile={"y" * 1000: 1}))
    assert len(shown) < 200


def test_the_tree_of_errors_is_drawn_as_it_is() -> None:
    """Every class stands in the docstring under its parent, with the builtin that it also is."""
    tree = (errors.__doc__ or "").splitlines()
    path: list[tuple[int, str]] = []
    drawn = {}
    for line in tree:
        name = line.lstrip("│├└─ ").split("  ")[0].split(" (")[0]
        if name.isidentifier() and hasattr(errors, name):
            depth = len(line) - len(line.lstrip("│├└─ "))
            path = [entry for entry in path if entry[0] < depth] + [(depth, name)]
            builtin = line.split(name, 1)[1].strip().removeprefix("(").split(")")[0] if f"{name} (" in line else ""
            drawn[name] = (path[-2][1] if len(path) > 1 else None, builtin)
    classes = {name: kind for name, kind in vars(errors).items() if inspect.isclass(kind)}
    assert set(drawn) == set(classes) == set(errors.__all__)
    for name, (parent, builtin) in drawn.items():
        bases = [base.__name__ for base in classes[name].__bases__]
        assert bases == ([parent] if parent else ["Exception"]) + ([builtin] if builtin else []), name
        assert classes[name].__doc__


def test_what_is_exported_exists() -> None:
    assert sorted(rag_pgvector.__all__) == list(rag_pgvector.__all__)
    for name in rag_pgvector.__all__:
        assert hasattr(rag_pgvector, name)
