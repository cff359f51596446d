"""What goes into a collection and what comes out of it: frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

__all__ = [
    "Chunk",
    "Document",
    "IndexProgress",
    "IndexReport",
    "IndexState",
    "IndexStatus",
    "ScoredChunk",
    "SearchPlan",
    "SearchResult",
    "WriteCounts",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A piece of text with its origin, as stored in one row of a collection.

    ``source[char_start:char_end]`` of the stored document text equals ``content`` (half-open, in code points) for every
    chunk that an ingestion wrote; a chunk added by hand may leave its origin out.

    Attributes:
        content: The text. It may not hold NUL (U+0000), which Postgres cannot store.
        id: Unique within the collection (and tenant); ``None`` lets ``add`` make a UUID.
        metadata: JSON-compatible values; filters look here.
        embedding: One vector of the collection's dimensions, or ``None`` to let the collection's embedder make it.
        document_id: The document that the chunk was cut from.
        source: Where that document came from, as a person would name it (a path, a URL).
        page_or_row: 1-based page, or 0-based data row of a table.
        char_start: First code point of the chunk in the stored document text.
        char_end: One past its last.
        node: LlamaIndex's node without what the fields above say, where that adapter wrote the chunk; ``None`` keeps
            the stored one.
        context: Text that is embedded in front of the content (the titles above it) and is neither stored nor returned.
    """

    content: str
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    embedding: Sequence[float] | NDArray[Any] | None = field(default=None, repr=False, compare=False)
    document_id: str | None = None
    source: str | None = None
    page_or_row: int | None = None
    char_start: int | None = None
    char_end: int | None = None
    node: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)
    context: str = ""

    @property
    def embedded_text(self) -> str:
        """What an embedder is given."""
        return f"{self.context}\n{self.content}" if self.context else self.content


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The stored text of one source, which the character spans of its chunks refer to.

    Attributes:
        id: Unique within the collection (and tenant).
        source: Where it came from, as a person would name it.
        text: The extracted text; for a table, its rendered rows.
        loader: Name of the loader that extracted the text ("csv", "markdown" ...).
        metadata: JSON-compatible values of the document as a whole.
        profile: For a table, its columns with type, range and distinct values; else ``None``.
        content_hash: SHA-256 of the source's bytes; tells an unchanged source from a changed one.
    """

    id: str
    source: str
    text: str = field(repr=False)
    loader: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    profile: Mapping[str, Any] | None = field(default=None, repr=False)
    content_hash: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk found by a search. ``score`` is higher-better, ``distance`` (of the vectors) lower-better.

    Attributes:
        score: By vectors, the similarity; by words, BM25; of both, the fused score from 0 to 1.
        distance: Between the vectors, where the search compared them.
        keyword_score: BM25, where a search of both found the chunk by words.
    """

    chunk: Chunk
    score: float
    distance: float | None = None
    keyword_score: float | None = None


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How a search ran and why.

    Attributes:
        kind: ``exact`` compares every candidate's vector, ``hnsw`` and ``ivfflat`` walk the approximate index,
            ``keyword`` ranks by BM25, ``hybrid`` fuses a vector search and a keyword search.
        reason: Why this one, in words.
        ef_search: Candidates that the HNSW walk kept.
        parts: The plans of a hybrid search's arms.
        alpha: The share of the vectors in a hybrid search's scores, 0 to 1.
        unindexed: Rows that satisfy the search and that keyword search cannot see yet (written by plain SQL).
        warnings: What the caller should know: an arm that failed and what was done instead.
    """

    kind: Literal["exact", "hnsw", "ivfflat", "keyword", "hybrid"]
    reason: str
    ef_search: int | None = None
    parts: tuple[SearchPlan, ...] = ()
    alpha: float | None = None
    unindexed: int = 0
    warnings: tuple[str, ...] = ()


class SearchResult(Sequence[ScoredChunk]):
    """The chunks found, best first, and the plan that found them."""

    __slots__ = ("_hits", "plan")

    def __init__(self, hits: Sequence[ScoredChunk], plan: SearchPlan) -> None:
        self._hits = tuple(hits)
        self.plan = plan

    @overload
    def __getitem__(self, index: int) -> ScoredChunk: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ScoredChunk, ...]: ...
    def __getitem__(self, index: int | slice) -> ScoredChunk | tuple[ScoredChunk, ...]:
        return self._hits[index]

    def __len__(self) -> int:
        return len(self._hits)

    def __iter__(self) -> Iterator[ScoredChunk]:
        return iter(self._hits)

    def __repr__(self) -> str:
        return f"SearchResult({list(self._hits)!r}, plan={self.plan!r})"

    def _repr_html_(self) -> str:
        from rag_pgvector.frames import result_html

        return result_html(self)

    def to_pandas(self) -> pd.DataFrame:
        """A DataFrame with a row per hit, best first: ``frames.result_frame``."""
        from rag_pgvector.frames import result_frame

        return result_frame(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCounts:
    """What a write changed, in rows."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0

    def __add__(self, other: WriteCounts) -> WriteCounts:
        return WriteCounts(
            added=self.added + other.added,
            updated=self.updated + other.updated,
            unchanged=self.unchanged + other.unchanged,
            deleted=self.deleted + other.deleted,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What was done about a collection's vector index.

    Attributes:
        state: ``valid``: searches can use it. ``wanted``: the role may not create it, so the wish is recorded and
            search stays exact. ``not_needed``: the collection is searched exactly, since it is small or is configured
            so. ``missing``: it was dropped.
        reason: Why, in words.
        warnings: What made building slow, if anything.
    """

    state: Literal["valid", "wanted", "not_needed", "missing"]
    name: str
    reason: str
    warnings: tuple[str, ...] = ()


IndexState = Literal["valid", "invalid", "building", "wanted", "missing", "not_needed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStatus:
    """A collection's vector index as it is.

    Attributes:
        state: ``valid``; ``invalid``, the leftover of an interrupted build, which searches do not use; ``building``;
            ``wanted`` by a role that may not create it; ``missing``; ``not_needed``, since the configuration has none.
        name: In schema ``rag``.
        method: ``hnsw``, ``ivfflat`` or ``none``.
        holds: What the index stores of each vector: ``vector``, ``halfvec`` or ``bit``.
        rows: Of the table, about; None before it was first analysed.
        table_bytes: Of the table, its TOAST table included.
        index_bytes: Of the index, or None.
        parameters: As it was built (``m=16``, ``lists=100``).
        phase: Where a build is.
        leftovers: Names of what interrupted rebuilds left; the next build removes them.
        build_bytes: About the memory that a build needs.
        maintenance_work_mem: The memory that the server gives it, in bytes.
    """

    state: IndexState
    name: str
    method: str
    holds: str
    rows: int | None
    table_bytes: int
    index_bytes: int | None
    parameters: tuple[str, ...]
    phase: str | None
    leftovers: tuple[str, ...]
    build_bytes: int
    maintenance_work_mem: int


@dataclass(frozen=True, slots=True)
class IndexProgress:
    """How far a build is: ``done`` of about ``total`` blocks or rows of its present phase."""

    phase: str
    done: int
    total: int
