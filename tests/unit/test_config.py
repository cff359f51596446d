"""Options: frozen values that check themselves."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from rag_pgvector.config import MAX_DIMENSIONS, CollectionConfig, SearchOptions
from rag_pgvector.errors import ConfigError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("distance", "euclid"),
        ("distance", None),
        ("distance", []),
        ("storage", "bit"),
        ("storage", []),
        ("storage", None),
        ("dimensions", 0),
        ("dimensions", -1),
        ("dimensions", 4001),
        ("dimensions", 3.0),
        ("dimensions", True),
        ("dimensions", "384"),
        ("index", "flat"),
        ("index", None),
        ("quantization", "bit"),
        ("quantization", "vector"),
        ("ivfflat_lists", 0),
        ("ivfflat_lists", 32_769),
        ("ivfflat_lists", 1.0),
        ("hnsw_m", 1),
        ("hnsw_m", 101),
        ("hnsw_m", 16.5),
        ("hnsw_m", "16"),
        ("hnsw_m", None),
        ("hnsw_ef_construction", 31),
        ("hnsw_ef_construction", 1001),
        ("hnsw_ef_construction", 64.5),
        ("hnsw_ef_construction", None),
    ],
)
def test_a_collection_that_cannot_be_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        CollectionConfig(**{field: value})
    assert str(caught.value).startswith(f"{field}={value!r}: use ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "sparse"),
        ("mode", 1),
        ("exact", "no"),
        ("exact", 1),
        ("ef_search", 0),
        ("ef_search", 1001),
        ("ef_search", 1.5),
        ("ef_search", True),
        ("ef_search", "100"),
        ("probes", 0),
        ("probes", 32_769),
        ("probes", True),
    ],
)
def test_a_search_that_cannot_be_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        SearchOptions(**{field: value})
    assert f"{field}={value!r}" in str(caught.value)
    assert len(str(caught.value)) > len(f"{field}={value!r}: ")


@pytest.mark.parametrize("field", ["distance", "storage", "tenancy", "language", "index", "quantization"])
def test_an_array_is_no_choice(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}=array\(.*: use '"):
        CollectionConfig(**{field: np.array(["cosine", "l2"])})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["mode", "fusion"])
def test_an_array_is_no_way_to_search(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{field}=array\(.*: use '"):
        SearchOptions(**{field: np.array(["dense", "rrf"])})  # type: ignore[arg-type]


@pytest.mark.parametrize("storage", ["vector", "halfvec"])
def test_the_limits_themselves_are_accepted(storage: Any) -> None:
    CollectionConfig(storage=storage, dimensions=MAX_DIMENSIONS)
    CollectionConfig(dimensions=1, hnsw_m=2, hnsw_ef_construction=4)
    CollectionConfig(hnsw_m=100, hnsw_ef_construction=1000)
    SearchOptions(ef_search=1)
    SearchOptions(ef_search=1000, exact=False)


@pytest.mark.parametrize("kind", [CollectionConfig, SearchOptions])
def test_options_are_frozen_keyword_only_and_know_their_fields(kind: type) -> None:
    value = kind()
    first = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, first, "other")
    with pytest.raises(TypeError):
        kind("cosine")
    with pytest.raises(TypeError, match="unknown"):
        kind(unknown=1)
    assert hash(value) == hash(kind())
