"""What the kinds of vector index mean in SQL: how each is built, which ORDER BY it serves, and how it is searched.

pgvector's README is the source of the expressions: a halfvec cast halves the index, ``binary_quantize`` keeps one bit a
dimension; both are found by exactly the expression that was indexed, and then compared again by the true distance.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import lru_cache

from psycopg import sql

from rag_pgvector.config import CollectionConfig, IndexMethod
from rag_pgvector.table import DISTANCES

__all__ = ["BINARY_DIMENSIONS", "MOST_LISTS", "IndexKind", "index_kind", "lists_for", "probes_for", "warn_of"]

logger = logging.getLogger("rag_pgvector")

#: Below it, the signs alone tell too little.
BINARY_DIMENSIONS = 512
MOST_LISTS = 32768


@dataclass(frozen=True)
class IndexKind:
    """One kind of index on one collection's vectors.

    Attributes:
        method: The access method.
        holds: What it stores of each vector: ``vector``, ``halfvec`` or ``bit``.
        opclass: The operator class.
        rescored: Whether it orders by something else than the distance: its candidates are then compared again.
    """

    method: IndexMethod
    holds: str
    opclass: str
    operator: sql.SQL
    storage: str
    dimensions: int

    @property
    def rescored(self) -> bool:
        return self.holds != self.storage

    def expression(self, column: sql.Composable) -> sql.Composable:
        """What is indexed, as CREATE INDEX writes it."""
        return sql.SQL("({})").format(self._held(column)) if self.rescored else column

    def ordering(self, column: sql.Composable) -> sql.Composed:
        """The ORDER BY that the index serves; its one parameter is the vector of the question."""
        asked: sql.Composable = sql.SQL("%s::{}").format(sql.SQL(self.storage))
        if self.holds == "bit":
            asked = sql.SQL("binary_quantize({})").format(asked)
        elif self.rescored:
            asked = self._held(asked)
        return sql.SQL("{} {} {}").format(self._held(column), self.operator, asked)

    def _held(self, value: sql.Composable) -> sql.Composable:
        size = sql.Literal(self.dimensions)
        if self.holds == "bit":
            return sql.SQL("binary_quantize({})::bit({})").format(value, size)
        return sql.SQL("({}::halfvec({}))").format(value, size) if self.rescored else value

    @property
    def ordered(self) -> bool:
        """Whether rows come in the order of their distance: IVFFlat's do only within one round of an iterative scan."""
        return self.method == "hnsw" and not self.rescored

    def candidates(self, k: int, ef_search: int) -> int:
        """How many rows to take from the index for ``k`` results, where they are compared again.

        Half precision only swaps neighbours that are next to each other; of single bits, many more are needed.
        """
        if not self.rescored:
            return k
        if self.holds == "halfvec":
            return k + max(16, k // 4)
        return max(k, ef_search, min(1000, max(400, 40 * k)))

    def parameters(self, config: CollectionConfig, lists: int) -> sql.Composed:
        """The WITH of CREATE INDEX."""
        if self.method == "ivfflat":
            return sql.SQL("lists = {}").format(sql.Literal(lists))
        return sql.SQL("m = {}, ef_construction = {}").format(
            sql.Literal(config.hnsw_m), sql.Literal(config.hnsw_ef_construction)
        )


@lru_cache(maxsize=256)
def index_kind(config: CollectionConfig) -> IndexKind | None:
    """The kind of index that a collection is to have; None for one that is always searched exactly."""
    if config.index == "none":
        return None
    assert config.dimensions is not None
    holds = config.index_holds
    distance = DISTANCES[config.distance]
    return IndexKind(
        method=config.index,
        holds=holds,
        opclass="bit_hamming_ops" if holds == "bit" else f"{holds}_{distance.opclass}",
        operator=sql.SQL("<~>") if holds == "bit" else distance.operator,
        storage=config.storage,
        dimensions=config.dimensions,
    )


def lists_for(rows: int) -> int:
    """Into how many lists IVFFlat divides so many rows: pgvector's advice."""
    return max(1, min(MOST_LISTS, round(rows / 1000 if rows <= 1_000_000 else math.sqrt(rows))))


def probes_for(lists: int, rows: float, wanted: float) -> int:
    """How many lists to look through for the ``wanted`` nearest of about ``rows`` rows.

    Three times pgvector's advice of the lists' square root, for recall before speed (in 100 lists of 100,000 rows twice
    is .985 at 10, results.md); and enough lists to hold what is wanted four times over, which matters under a filter
    that passes few rows.
    """
    enough = 4 * wanted / max(rows, 1.0) * lists
    return max(1, min(lists, math.ceil(max(3 * math.sqrt(lists), enough))))


def warn_of(config: CollectionConfig) -> None:
    """Log what is unwise about a new collection's index."""
    if config.quantization == "binary" and (config.dimensions or 0) < BINARY_DIMENSIONS:
        logger.warning(
            "quantization='binary' keeps one bit of each of %s dimensions: below %s most neighbours are lost before "
            "they are compared; use 'halfvec', or vectors of more dimensions",
            config.dimensions,
            BINARY_DIMENSIONS,
        )
