"""Collections and search results as pandas DataFrames, and rows of a DataFrame as chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.errors import ChunkError, MissingDependencyError
from rag_pgvector.markup import NO_MATH, escaped
from rag_pgvector.types import Chunk, SearchResult

if TYPE_CHECKING:
    import pandas as pd

    from rag_pgvector.collection import Collection

__all__ = ["all_chunks", "chunks_of", "collection_frame", "embeddings", "result_frame", "result_html"]

#: Columns of every frame; metadata of the same name is called "metadata.NAME".
COLUMNS = ("id", "document_id", "source", "page_or_row", "char_start", "char_end", "content")
_SCORES = ("rank", "score", "distance", "keyword_score")
_PAGE = 5_000
_SHOWN = 300


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise MissingDependencyError("pandas", "evals") from None
    return pandas


def all_chunks(
    collection: Collection,
    *,
    filter: Mapping[str, Any] | None = None,
    limit: int | None = None,
    embeddings: bool = False,
) -> list[Chunk]:
    """Every chunk, or the first ``limit``, by id; read in pages."""
    found: list[Chunk] = []
    while limit is None or len(found) < limit:
        wanted = _PAGE if limit is None else min(_PAGE, limit - len(found))
        page = collection.list(limit=wanted, offset=len(found), filter=filter, embeddings=embeddings)
        found += page
        if len(page) < wanted:
            break
    return found


def collection_frame(
    collection: Collection,
    *,
    filter: Mapping[str, Any] | None = None,
    limit: int | None = None,
    embeddings: bool = False,
) -> pd.DataFrame:
    """One row per chunk, by id: ``COLUMNS``, then a column per key of the metadata, then perhaps ``embedding``.

    Raises MissingDependencyError without pandas.
    """
    pandas = _pandas()
    chunks = all_chunks(collection, filter=filter, limit=limit, embeddings=embeddings)
    rows = [_row(chunk) | ({"embedding": chunk.embedding} if embeddings else {}) for chunk in chunks]
    return pandas.DataFrame(rows, columns=None if rows else list(COLUMNS))  # type: ignore[no-any-return]


def result_frame(result: SearchResult) -> pd.DataFrame:
    """One row per hit, best first: rank from 1, the scores, then the chunk's columns. ``attrs["plan"]`` is the plan."""
    pandas = _pandas()
    rows = [
        {"rank": rank, "score": hit.score, "distance": hit.distance, "keyword_score": hit.keyword_score}
        | _row(hit.chunk, taken=(*_SCORES, *COLUMNS))
        for rank, hit in enumerate(result, 1)
    ]
    frame = pandas.DataFrame(rows, columns=None if rows else [*_SCORES, *COLUMNS])
    frame.attrs["plan"] = f"{result.plan.kind}: {result.plan.reason}"
    return frame  # type: ignore[no-any-return]


def _row(chunk: Chunk, taken: Sequence[str] = COLUMNS) -> dict[str, Any]:
    row = {name: getattr(chunk, name) for name in COLUMNS}
    return row | {f"metadata.{key}" if key in taken else key: value for key, value in chunk.metadata.items()}


def embeddings(
    collection: Collection, *, filter: Mapping[str, Any] | None = None, limit: int | None = None
) -> NDArray[np.float32]:
    """The vectors, ``(n, dimensions)`` float32, in the order of ``to_pandas()``; NaN where a chunk has none yet."""
    dimensions = collection.config.dimensions or 0
    missing = [float("nan")] * dimensions
    rows = [
        missing if chunk.embedding is None else chunk.embedding
        for chunk in all_chunks(collection, filter=filter, limit=limit, embeddings=True)
    ]
    return np.asarray(rows, dtype=np.float32).reshape(len(rows), dimensions)


def chunks_of(
    frame: pd.DataFrame, *, content: str, id: str | None = None, metadata: Sequence[str] | None = None
) -> list[Chunk]:
    """A chunk for each row of a frame.

    Args:
        content: The column with the text, or a template such as ``"{state}: {income}"``.
        id: The column that names the rows; ``None`` lets ``add`` make ids.
        metadata: The columns that become metadata; ``None`` takes all but content and id. Missing values are left out,
            numpy's numbers become Python's, times ISO 8601.

    Raises ChunkError for a column that is not there.
    """
    names = [str(name) for name in frame.columns]
    kept = [name for name in names if name not in (content, id)] if metadata is None else list(metadata)
    is_template = content not in names
    for name in [*kept, *([] if id is None else [id])]:
        if name not in names:
            raise ChunkError(f"the frame has no column {name!r}: it has {', '.join(names)}")
    chunks = []
    for number, values in enumerate(frame.itertuples(index=False, name=None)):
        row = {name: _plain(value) for name, value in zip(names, values, strict=True)}
        try:
            text = content.format_map(row) if is_template else row[content]
        except (KeyError, IndexError, ValueError) as error:
            raise ChunkError(
                f"content={content!r:.60} is no column and no template of columns ({error}): the columns are "
                f"{', '.join(names)}"
            ) from None
        if not isinstance(text, str):
            raise ChunkError(f"row {number}: {content!r:.40} is {text!r:.40}: use a text, or a template")
        chunks.append(
            Chunk(
                content=text,
                id=None if id is None else str(row[id]),
                metadata={name: row[name] for name in kept if row[name] is not None},
            )
        )
    return chunks


def _plain(value: Any) -> Any:
    """A value that JSON has: numpy's scalars become Python's, times ISO 8601, missing ones None."""
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat()
    value = value.item() if isinstance(value, np.generic) else value
    if type(value).__name__ == "NAType" or (isinstance(value, float) and value != value):
        return None
    return value


def result_html(result: SearchResult) -> str:
    """What Jupyter shows of a search's result: everything in it is escaped, and nothing in it is unseen."""
    rows = "".join(
        f"<tr><td>{rank}</td><td>{hit.score:.3f}</td>"
        f"<td>{escaped(hit.chunk.source or hit.chunk.id or '')}"
        f"{'' if hit.chunk.page_or_row is None else f', {hit.chunk.page_or_row}'}</td>"
        f'<td style="text-align:left;white-space:pre-wrap">{escaped(hit.chunk.content[:_SHOWN])}</td></tr>'
        for rank, hit in enumerate(result, 1)
    )
    plan = escaped(f"{result.plan.kind} search: {result.plan.reason}")
    head = "<tr><th></th><th>score</th><th>source</th><th>content</th></tr>"
    return f'<table class="{NO_MATH}">{head}{rows}</table><p>{plan}</p>'
