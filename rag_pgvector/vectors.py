"""Vectors between Python and pgvector: the one place that converts and checks them.

pgvector's binary format (its source, ``vector_send``, ``halfvec_send``): uint16 dimensions, uint16 zero, then that many
big-endian float4 or float2. Parameters are sent in it without a type OID, so that the cast in the statement
(``%s::vector``) gives the type: it needs no look-up per connection and works through PgBouncer and on foreign pools.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import psycopg
from numpy.typing import ArrayLike, NDArray
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from rag_pgvector.config import CollectionConfig
from rag_pgvector.errors import DimensionError, VectorError

__all__ = ["VectorParam", "as_matrix", "as_vector", "from_bytes", "register", "vector_bytes"]

#: Bytes before the numbers: their count, and two zeros.
_HEAD = 4


class VectorParam(bytes):
    """A vector in pgvector's binary format, ready to be bound to ``%s::vector`` or ``%s::halfvec``."""


class _VectorDumper(Dumper):
    format = Format.BINARY
    oid = 0

    def dump(self, obj: VectorParam) -> Buffer:
        return obj


def register(context: AdaptContext | None = None) -> None:
    """Teach psycopg (or one connection) to bind ``VectorParam``."""
    adapters = context.adapters if context is not None else psycopg.adapters
    adapters.register_dumper(VectorParam, _VectorDumper)


register()


def as_vector(vector: ArrayLike, config: CollectionConfig, what: str = "the query vector") -> VectorParam:
    """One vector of ``config.dimensions`` numbers, checked and encoded. Raises VectorError, DimensionError."""
    if isinstance(vector, np.ndarray) and vector.dtype == np.float32 and vector.shape == (config.dimensions,):
        with np.errstate(over="ignore", invalid="ignore"):
            square = float(vector @ vector)
        if 1e-9 < square < 65504.0:  # sound in either storage; what embedders give, and quicker than a matrix of one
            return vector_bytes(vector[np.newaxis], config)[0]
    return vector_bytes(as_matrix([vector], config, [what]), config)[0]


def as_matrix(
    vectors: Sequence[Any] | NDArray[Any], config: CollectionConfig, what: Sequence[str]
) -> NDArray[np.float32]:
    """``(n, dimensions)`` float32; ``what[i]`` names the i-th vector in errors."""
    matrix = _packed(vectors, config.dimensions)
    if matrix is None:
        with suppress(TypeError, ValueError, OverflowError), np.errstate(over="ignore"):
            matrix = np.asarray(vectors, dtype=np.float32)
    if matrix is None or matrix.ndim != 2 or matrix.shape[1] != config.dimensions:
        for vector, name in zip(vectors, what, strict=True):
            _check_one(vector, config, name)
        raise VectorError(f"{what[0]}: not a list of numbers")
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", matrix, matrix)
    # A sum of squares may overflow or vanish for numbers that are fine by themselves: look closer only then.
    doubtful = ~np.isfinite(squares) | (squares == 0)
    if _halved(config):
        doubtful |= (squares > 65504.0) | (squares < 1e-9)  # float2's largest number; it has nothing below 2**-24
    for i in np.flatnonzero(doubtful).tolist():
        _check_one(vectors[i], config, what[i])
    return matrix


def _packed(vectors: Sequence[Any] | NDArray[Any], dimensions: int | None) -> NDArray[np.float32] | None:
    """Lists of numbers as numpy would read them, in a third of its time; None for all else, which numpy judges."""
    if dimensions is None or not len(vectors):
        return None
    if not all(type(vector) is list and len(vector) == dimensions for vector in vectors):
        return None
    pack = struct.Struct(f"={dimensions}f").pack
    try:
        packed = b"".join([pack(*vector) for vector in vectors])
    except (struct.error, OverflowError, TypeError):
        return None
    return np.frombuffer(packed, dtype=np.float32).reshape(-1, dimensions)


def _check_one(vector: Any, config: CollectionConfig, what: str) -> None:
    try:
        values = np.asarray(vector, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise VectorError(f"{what}: not a list of numbers ({type(vector).__name__})") from error
    if values.ndim != 1:
        raise VectorError(f"{what}: {values.ndim}-dimensional array; give one flat list of numbers")
    if len(values) != config.dimensions:
        raise DimensionError(
            f"{what} has {len(values)} dimensions, the collection has {config.dimensions}: use the embedder that "
            "made the collection, or a new collection"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise VectorError(f"{what} holds {values[bad[0]]} at position {bad[0]}: every number must be finite")
    limit = 65504.0 if _halved(config) else float(np.finfo(np.float32).max)
    if np.abs(values).max() > limit:
        holder = "halfvec" if _halved(config) else config.storage
        raise VectorError(f"{what} holds {np.abs(values).max():.6g}: {holder} stores at most {limit:.6g}")
    if config.distance == "cosine":
        stored = values.astype(np.float16 if _halved(config) else np.float32).astype(np.float32)
        with np.errstate(over="ignore"):
            square = float(np.dot(stored, stored))  # pgvector sums in float4 too
        if square == 0:
            size = "is too short for" if np.any(values) else "is all zeros: it has no direction for"
            raise VectorError(f"{what} {size} cosine distance, which cannot rank it: normalise it, or leave it out")
        if not np.isfinite(square):
            raise VectorError(f"{what} is too long for cosine distance: normalise it")


def _halved(config: CollectionConfig) -> bool:
    """Whether table or index keep vectors in half precision, and so none that has no place in it."""
    return "halfvec" in (config.storage, config.index_holds)


def vector_bytes(matrix: NDArray[np.float32], config: CollectionConfig) -> list[VectorParam]:
    """Each row of ``matrix`` in pgvector's binary format."""
    head = struct.pack(">HH", matrix.shape[1], 0)
    encoded = matrix.astype(">f2" if config.storage == "halfvec" else ">f4").tobytes()
    size = matrix.shape[1] * (2 if config.storage == "halfvec" else 4)
    return [VectorParam(head + encoded[i : i + size]) for i in range(0, len(encoded), size)]


def from_bytes(encoded: Sequence[bytes], config: CollectionConfig) -> NDArray[np.float32]:
    """``(n, dimensions)`` float32 of vectors in pgvector's binary format."""
    joined = b"".join(bytes(each)[_HEAD:] for each in encoded)
    flat = np.frombuffer(joined, dtype=">f2" if config.storage == "halfvec" else ">f4")
    return flat.astype(np.float32).reshape(len(encoded), -1)
