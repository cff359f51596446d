"""Checks of what callers pass. Every error says what was wrong, which value, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rag_pgvector.config import SearchOptions
from rag_pgvector.errors import ChunkError, ConfigError
from rag_pgvector.types import Chunk

__all__ = ["as_chunks", "as_ids", "as_key", "check_many", "check_page", "check_query", "is_storable"]

_MOST_RESULTS = 2**31 - 1


def as_chunks(chunks: Iterable[Chunk]) -> list[Chunk]:
    """The chunks of any iterable. Raises ConfigError, ChunkError."""
    if isinstance(chunks, (Chunk, str, bytes, Mapping)) or not isinstance(chunks, Iterable):
        raise ConfigError(f"chunks={chunks!r:.80}: give a list of Chunk")
    found = list(chunks)
    for i, chunk in enumerate(found):
        if not isinstance(chunk, Chunk):
            raise ChunkError(f"chunk {i} is {type(chunk).__name__} {chunk!r:.60}: use Chunk(content=...)")
    return found


def is_storable(text: str) -> bool:
    """Whether Postgres can hold the text: no NUL, no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def as_ids(ids: Sequence[str] | None) -> list[str] | None:
    """A list of ids, without those that Postgres cannot hold: they are not there. Raises ConfigError."""
    if ids is None:
        return None
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise ConfigError(f"ids={ids!r:.80}: give a list of ids")
    return [id_ for id_ in ids if as_key(id_) is not None]


def as_key(text: Any) -> str | None:
    """An id to look for; None, which equals nothing in SQL, for one that Postgres cannot hold. Raises ConfigError."""
    if not isinstance(text, str):
        raise ConfigError(f"id {text!r:.80} is {type(text).__name__}: ids are text")
    return text if is_storable(text) else None


def check_page(limit: Any, offset: Any) -> None:
    """Raises ConfigError for a page that cannot be."""
    for name, value in (("limit", limit), ("offset", offset)):
        if type(value) is not int or not 0 <= value < 2**63:
            raise ConfigError(f"{name}={value!r}: use a whole number from 0")


def check_query(query: Any, vector: Any, k: Any, options: Any, *, both: bool = False) -> None:
    """Raises ConfigError for a search that cannot be. ``both``: a question may come with its vector."""
    _check_search(k, options)
    mode = options.mode if options is not None else None
    if (query is None and vector is None) or (query is not None and vector is not None and not both):
        raise ConfigError("search() takes either a question or vector=")
    if query is not None:
        _check_question(query)
    if query is None and mode in ("keyword", "hybrid"):
        raise ConfigError(f"mode={mode!r} needs the question in words: give it beside vector=, or use mode='dense'")
    if query is not None and vector is not None and mode in ("keyword", "dense"):
        given = "the question" if mode == "keyword" else "vector="
        raise ConfigError(f"mode={mode!r} looks up {given} only: leave the other out, or use mode='hybrid'")


def check_many(queries: Any, vectors: Any, k: Any, options: Any) -> None:
    """Raises ConfigError for searches that cannot be."""
    if (queries is None) == (vectors is None):
        raise ConfigError("search_many() takes either questions or vectors=")
    if queries is not None:
        if isinstance(queries, (str, bytes)) or not isinstance(queries, Sequence):
            raise ConfigError(f"queries={queries!r:.80}: give a list of questions")
        for query in queries:
            _check_question(query)
    _check_search(k, options)
    if queries is None and options is not None and options.mode in ("keyword", "hybrid"):
        raise ConfigError(f"mode={options.mode!r} needs questions in words: use mode='dense' for vectors")


def _check_question(query: Any) -> None:
    if not isinstance(query, str) or not query.strip():
        raise ConfigError(f"question {query!r:.80}: use a non-empty text")


def _check_search(k: Any, options: Any) -> None:
    if type(k) is not int or not 1 <= k <= _MOST_RESULTS:
        raise ConfigError(f"k={k!r}: use a whole number from 1")
    if options is not None and not isinstance(options, SearchOptions):
        raise ConfigError(f"options={options!r:.80}: use SearchOptions(...)")
