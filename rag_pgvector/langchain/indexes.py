"""Distances, indexes and query options under the names and with the fields of ``langchain_postgres.v2.indexes``.

What langchain-postgres's own objects of these kinds hold is read by its fields, so that those work here, too.
"""

from __future__ import annotations

import enum
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

from rag_pgvector.config import Distance, SearchOptions
from rag_pgvector.errors import ConfigError

__all__ = [
    "DEFAULT_DISTANCE_STRATEGY",
    "DEFAULT_INDEX_NAME_SUFFIX",
    "BaseIndex",
    "DistanceStrategy",
    "ExactNearestNeighbor",
    "HNSWIndex",
    "HNSWQueryOptions",
    "IVFFlatIndex",
    "IVFFlatQueryOptions",
    "QueryOptions",
    "distance_of",
    "search_options",
    "strategy_of",
]

DEFAULT_INDEX_NAME_SUFFIX = "langchainvectorindex"

_IDENTIFIER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True)
class Strategy:
    """pgvector's operator, function and operator class for a distance."""

    operator: str
    search_function: str
    index_function: str


class DistanceStrategy(Strategy, enum.Enum):
    """What "near" means. The scores of INNER_PRODUCT are inner products, higher-better; the others are distances."""

    EUCLIDEAN = "<->", "l2_distance", "vector_l2_ops"
    COSINE_DISTANCE = "<=>", "cosine_distance", "vector_cosine_ops"
    INNER_PRODUCT = "<#>", "inner_product", "vector_ip_ops"


DEFAULT_DISTANCE_STRATEGY = DistanceStrategy.COSINE_DISTANCE

_DISTANCES: dict[str, Distance] = {"<->": "l2", "<=>": "cosine", "<#>": "inner_product"}


def distance_of(strategy: Any) -> Distance:
    """Our name for a distance strategy, ours or langchain-postgres's. Raises ConfigError."""
    operator = getattr(strategy, "operator", None)
    if operator not in _DISTANCES:
        raise ConfigError(
            f"distance_strategy={strategy!r:.80}: use DistanceStrategy.COSINE_DISTANCE, EUCLIDEAN or INNER_PRODUCT"
        )
    return _DISTANCES[operator]


def strategy_of(distance: Distance) -> DistanceStrategy:
    """The distance strategy for our name of it."""
    return next(strategy for strategy in DistanceStrategy if _DISTANCES[strategy.operator] == distance)


@dataclass
class BaseIndex:
    """An index on the vectors.

    Attributes:
        name: ``None`` is the table's name and ``langchainvectorindex``.
        index_type: The access method.
        distance_strategy: What the index orders by; a search by another distance does not use it.
        partial_indexes: Not supported: the condition would be raw SQL.
        extension_name: An extension to create first.
    """

    name: str | None = None
    index_type: str = "base"
    distance_strategy: DistanceStrategy = field(default_factory=lambda: DEFAULT_DISTANCE_STRATEGY)
    partial_indexes: list[str] | None = None
    extension_name: str | None = None

    def __post_init__(self) -> None:
        for name in (self.extension_name, self.index_type):
            if name and _IDENTIFIER.fullmatch(name) is None:
                raise ConfigError(f"{name!r:.80} is no identifier: use letters, digits and underscores")

    def index_options(self) -> str:
        """The options as SQL, to look at."""
        raise NotImplementedError(f"{type(self).__name__} has no options")

    def get_index_function(self) -> str:
        """The operator class."""
        return self.distance_strategy.index_function


@dataclass
class ExactNearestNeighbor(BaseIndex):
    """No index: every row is compared."""

    index_type: str = "exactnearestneighbor"


@dataclass
class HNSWIndex(BaseIndex):
    """pgvector's HNSW: ``m`` links a node, ``ef_construction`` candidates while building."""

    index_type: str = "hnsw"
    m: int = 16
    ef_construction: int = 64

    def index_options(self) -> str:
        return f"(m = {self.m}, ef_construction = {self.ef_construction})"


@dataclass
class IVFFlatIndex(BaseIndex):
    """pgvector's IVFFlat: ``lists`` clusters."""

    index_type: str = "ivfflat"
    lists: int = 100

    def index_options(self) -> str:
        return f"(lists = {self.lists})"


@dataclass
class QueryOptions:
    """Settings of the server for one search."""

    def to_parameter(self) -> list[str]:
        """The settings, to look at."""
        raise NotImplementedError(f"{type(self).__name__} has no settings")

    def to_string(self) -> str:
        warnings.warn("to_string is deprecated, use to_parameter instead.", DeprecationWarning, stacklevel=2)
        return self.to_parameter()[0]


@dataclass
class HNSWQueryOptions(QueryOptions):
    """Candidates that the walk through an HNSW index keeps."""

    ef_search: int = 40

    def to_parameter(self) -> list[str]:
        return [f"hnsw.ef_search = {self.ef_search}"]


@dataclass
class IVFFlatQueryOptions(QueryOptions):
    """Clusters of an IVFFlat index that are searched."""

    probes: int = 1

    def to_parameter(self) -> list[str]:
        return [f"ivfflat.probes = {self.probes}"]


def search_options(options: Any) -> SearchOptions:
    """How to search under query options, ours or langchain-postgres's. Raises ConfigError."""
    if options is None:
        return SearchOptions(mode="dense")
    if isinstance(options, SearchOptions):
        return options
    known = {name: getattr(options, name) for name in ("ef_search", "probes") if hasattr(options, name)}
    if "ef_search" in known:
        return SearchOptions(mode="dense", ef_search=known["ef_search"])
    if "probes" in known:
        return SearchOptions(mode="dense", probes=known["probes"])
    raise ConfigError(f"index_query_options={options!r:.80}: use HNSWQueryOptions or IVFFlatQueryOptions")
