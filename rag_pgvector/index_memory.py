"""Whether an index build fits into the memory that the server gives it."""

from __future__ import annotations

from dataclasses import dataclass

from rag_pgvector.config import CollectionConfig
from rag_pgvector.index_kinds import IndexKind, lists_for

__all__ = ["BuildAdvice", "BuildMemory", "advise", "build_bytes", "likely_rows", "size"]

_MB = 1 << 20
#: Of pgvector's HnswElementData, its neighbour arrays' heads and the allocator, beside the vector and the links.
#: Fitted to the notice that the graph no longer fits; no benchmark repeats that yet.
_ELEMENT_BYTES = 190
_LINK_BYTES = 16
#: Postgres wants a little more shared memory than the build itself.
_SHARED_SLACK = 64 * _MB


@dataclass(frozen=True, slots=True)
class BuildMemory:
    """What the server gives a build.

    Attributes:
        limit: ``maintenance_work_mem``, in bytes.
        workers: ``max_parallel_maintenance_workers``.
        shared_free: Bytes free in its /dev/shm, None where nobody knows or none is needed.
    """

    limit: int
    workers: int
    shared_free: int | None


@dataclass(frozen=True, slots=True)
class BuildAdvice:
    """Whether to build with several processes, and what the user should know before."""

    parallel: bool
    warnings: tuple[str, ...]


def build_bytes(config: CollectionConfig, kind: IndexKind, rows: int) -> int:
    """About how much memory a build needs: HNSW's whole graph; of IVFFlat a sample of 50 rows a list, and the lists."""
    dimensions = config.dimensions or 0
    width = {"vector": 8 + 4 * dimensions, "halfvec": 8 + 2 * dimensions, "bit": 8 + (dimensions + 7) // 8}[kind.holds]
    if kind.method == "ivfflat":
        return (config.ivfflat_lists or lists_for(rows)) * 52 * (8 + 4 * dimensions)
    links = 2 * config.hnsw_m + config.hnsw_m / max(1, config.hnsw_m - 1)
    return int(rows * (width + _LINK_BYTES * links + _ELEMENT_BYTES))


def likely_rows(table_bytes: int, config: CollectionConfig) -> int:
    """About how many rows a table that was never analysed has, by a guess at the width of one.

    ``table_bytes`` are of the table without what is stored out of line.
    """
    width = (4 if config.storage == "vector" else 2) * (config.dimensions or 0)
    return int(table_bytes / (200 + min(width, 2000)))


def advise(config: CollectionConfig, kind: IndexKind, rows: int, memory: BuildMemory) -> BuildAdvice:
    """What to do with the memory there is."""
    needed = build_bytes(config, kind, rows)
    warnings = []
    if needed > memory.limit:
        what = "is not built below it" if kind.method == "ivfflat" else "takes several times as long"
        warnings.append(
            f"the index of about {rows} rows needs about {size(needed)} to build and maintenance_work_mem is "
            f"{size(memory.limit)}: it {what}; give it more with memory= (--memory {size(needed + needed // 4)})"
        )
    parallel = memory.workers > 0
    taken = memory.limit + _SHARED_SLACK
    if parallel and memory.shared_free is not None and memory.shared_free < taken:
        parallel = False
        warnings.append(
            f"the server's /dev/shm has {size(memory.shared_free)} free and a parallel build takes {size(taken)}: "
            "building with one process; give the container more (docker run --shm-size)"
        )
    return BuildAdvice(parallel, tuple(warnings))


def size(value: int) -> str:
    """As Postgres writes it."""
    return f"{max(1, value // _MB)}MB"
