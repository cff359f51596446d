"""What an answer asks of the world.

``rag_pgvector.answer.answer`` is a generator that yields these steps and is sent their replies, so that it runs the
same under ``Collection.ask`` and ``Collection.aask``, and a test can drive it with no database.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from rag_pgvector.answer.types import GroundedAnswer

__all__ = [
    "Answering",
    "Calibrated",
    "EmbedTexts",
    "Find",
    "Generate",
    "Page",
    "Read",
    "Rows",
    "Step",
    "Tables",
    "Texts",
    "Totals",
]


@dataclass(frozen=True, slots=True)
class Find:
    """The ``k`` chunks nearest to the question. Answered with a ``SearchResult``, best first."""

    question: str
    k: int
    filter: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table that match a filter, in any order. Answered with a ``list[Chunk]``, at most ``limit`` long."""

    document_ids: Sequence[str]
    filter: Mapping[str, Any] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Totals:
    """What one column of a table's rows comes to. Answered with a ``ColumnTotals``, computed by the database; with
    one for each value of the column ``by``, if there is one."""

    document_ids: Sequence[str]
    column: str
    filter: Mapping[str, Any] | None = None
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Tables:
    """The documents that are tables. Answered with a ``list[Document]``: profile kept, text left empty."""


@dataclass(frozen=True, slots=True)
class Texts:
    """The stored texts of documents. Answered with a ``dict`` from id to text; unknown ids are left out."""

    document_ids: Sequence[str]


@dataclass(frozen=True, slots=True)
class EmbedTexts:
    """Answered with an array of shape ``(len(texts), dimensions)``, one row per text."""

    texts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Page:
    """A passage to be read: its title, or ``""``, its text, and the spans of it (in code points, in order) that may
    answer."""

    title: str
    text: str
    spans: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Read:
    """How likely each span of some pages answers the question. Answered with a list of arrays of log odds, one array
    for each page and one number for each span, or with ``None`` where there is no reader."""

    question: str
    pages: Sequence[Page]


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The calibration of a mode of answering. Answered with its content and what its fingerprint must agree with, or
    with ``None``."""

    mode: str


@dataclass(frozen=True, slots=True)
class Generate:
    """A request to the language model. Answered with a ``rag_pgvector.answer.models.Reply``.

    Attributes:
        schema: JSON Schema of the reply; ``None`` asks for plain text.
    """

    system: str
    user: str
    schema: Mapping[str, Any] | None = None


Step: TypeAlias = Find | Rows | Totals | Tables | Texts | EmbedTexts | Read | Generate | Calibrated
Answering: TypeAlias = Generator[Step, Any, GroundedAnswer]
