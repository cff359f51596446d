"""Vectors on their way to pgvector: what is refused, in which words, and the bytes that are sent."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rag_pgvector.config import CollectionConfig, Distance, Storage
from rag_pgvector.errors import DimensionError, VectorError
from rag_pgvector.vectors import as_matrix, as_vector, vector_bytes

NAN, INF = float("nan"), float("inf")


def config(distance: Distance = "cosine", storage: Storage = "vector", dimensions: int = 3) -> CollectionConfig:
    return CollectionConfig(dimensions=dimensions, distance=distance, storage=storage)


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([1, NAN, 3], "holds nan at position 1: every number must be finite"),
        ([INF, 2, 3], "holds inf at position 0"),
        ([1, 2, -INF], "holds -inf at position 2"),
        ([1, None, 3], "holds nan at position 1"),
        ([0, 0, 0], "is all zeros: it has no direction"),
        ([0.0, -0.0, 0.0], "is all zeros"),
        ([1e-60, 0, 0], "is too short"),
        ([1e-30, 0, 0], "is too short for cosine distance"),
        ([1e30, 0, 0], "too long for cosine distance: normalise it"),
        ([1e300, 0, 0], "vector stores at most 3.40282e+38"),
        ([10**400, 1, 2], "not a list of numbers"),
        (["a", 2, 3], "not a list of numbers"),
        ("abc", "not a list of numbers"),
        (b"abc", "not a list of numbers"),
        ({"a": 1}, "not a list of numbers"),
        ([1j, 2, 3], "not a list of numbers"),
        (object(), "not a list of numbers"),
        (5, "give one flat list of numbers"),
        ([[1, 2, 3]], "give one flat list of numbers"),
        ([[1], [2, 3], [4]], "not a list of numbers"),
    ],
)
def test_what_cannot_be_a_vector_is_refused_by_name(vector: Any, message: str) -> None:
    with pytest.raises(VectorError) as caught:
        as_vector(vector, config(), "chunk 'a'")
    assert str(caught.value).startswith("chunk 'a'")
    assert message in str(caught.value)


@pytest.mark.parametrize("vector", [[], [1], [1, 2], [1, 2, 3, 4], np.ones(384)])
def test_the_wrong_length_names_both_lengths(vector: Any) -> None:
    with pytest.raises(DimensionError, match=rf"has {len(vector)} dimensions, the collection has 3: use"):
        as_vector(vector, config())


@pytest.mark.parametrize(
    ("vector", "message"),
    [
        ([65505, 0, 0], "halfvec stores at most 65504"),
        ([0, -1e6, 0], "halfvec stores at most 65504"),
        ([1e-9, 1e-9, 1e-9], "is too short"),  # nothing is left of it in float2
        ([2**-25, 0, 0], "is too short"),
    ],
)
def test_halfvec_is_checked_as_it_will_be_stored(vector: list[float], message: str) -> None:
    with pytest.raises(VectorError, match=message):
        as_vector(vector, config(storage="halfvec"))


@pytest.mark.parametrize("distance", ["l2", "inner_product"])
def test_only_cosine_refuses_zeros(distance: Distance) -> None:
    assert len(as_vector([0, 0, 0], config(distance))) == 4 + 3 * 4
    assert len(as_vector([1e-30, 0, 0], config(distance))) == 4 + 3 * 4


@pytest.mark.parametrize(
    "vector", [[1, 2, 3], (1.0, 2.0, 3.0), np.array([1, 2, 3]), np.array([1, 2, 3], dtype=np.float16), range(1, 4)]
)
@pytest.mark.parametrize(("storage", "code"), [("vector", "f"), ("halfvec", "e")])
def test_the_bytes_are_pgvectors_binary_format(vector: Any, storage: Storage, code: str) -> None:
    assert as_vector(vector, config(storage=storage)) == struct.pack(f">HH3{code}", 3, 0, 1, 2, 3)


def test_one_bad_vector_of_many_is_named() -> None:
    rows = [[1.0, 2.0, 3.0]] * 100
    rows[57] = [1.0, NAN, 3.0]
    with pytest.raises(VectorError, match=r"chunk 57 holds nan"):
        as_matrix(rows, config(), [f"chunk {i}" for i in range(100)])
    rows[57] = [1.0]
    with pytest.raises(DimensionError, match=r"chunk 57 has 1 dim"):
        as_matrix(rows, config(), [f"chunk {i}" for i in range(100)])


def test_input_is_never_changed() -> None:
    given_ = np.array([[3.0, 4.0, 0.0]], dtype=np.float32)
    as_matrix(given_, config(), ["x"])
    assert given_.tolist() == [[3.0, 4.0, 0.0]]


@given(
    hnp.arrays(np.float32, (2, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    st.sampled_from(["vector", "halfvec"]),
    st.sampled_from(["cosine", "l2", "inner_product"]),
)
def test_whatever_is_accepted_is_stored_finite_and_with_a_direction(
    rows: Any, storage: Storage, distance: Distance
) -> None:
    """Against an oracle: what Postgres would find in the bytes."""
    settings = config(distance, storage)
    try:
        encoded = vector_bytes(as_matrix(rows, settings, ["a", "b"]), settings)
    except VectorError:
        # Never refused: vectors of ordinary length.
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
        ordinary = (norms > 1e-3) & (norms < 1e4)
        assert not ordinary.all()
        return
    for blob in encoded:
        stored = np.frombuffer(blob, dtype=">f2" if storage == "halfvec" else ">f4", offset=4)
        assert np.isfinite(stored).all()
        if distance == "cosine":
            assert np.any(stored != 0)
            with np.errstate(over="raise"):
                assert float(np.dot(stored.astype(np.float32), stored.astype(np.float32))) > 0
