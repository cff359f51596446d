"""What an ingestion tells: its progress, its failures and its counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from rag_pgvector.types import IndexReport

__all__ = ["Failure", "IngestReport", "Progress"]


class Progress(Protocol):
    """Told how an ingestion goes on; ``total`` grows while files are read."""

    def __call__(self, done: int, total: int, description: str) -> None:
        """``done`` of ``total`` chunks known so far are embedded; ``description`` is what goes on now."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A file, or a row of one (``where``: "line 3"), that could not be ingested."""

    source: str
    where: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What an ingestion did, or with ``dry_run`` would do.

    ``documents`` and ``chunks`` count what the files given now have in the collection, unchanged ones included;
    ``added``, ``updated``, ``unchanged`` and ``deleted`` count chunks, ``embedded`` the texts that the model was given.
    """

    documents: int = 0
    chunks: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    embedded: int = 0
    failed: tuple[Failure, ...] = ()
    seconds: float = 0.0
    dry_run: bool = False
    index: IndexReport | None = None

    def __add__(self, other: IngestReport) -> IngestReport:
        """Both together; the index is the later one's."""
        mine, theirs = self.to_counts(), other.to_counts()
        sums = {name: mine[name] + theirs[name] for name in mine}
        return IngestReport(
            **sums,  # type: ignore[arg-type]  # seconds is a float, all others are whole
            failed=self.failed + other.failed,
            dry_run=self.dry_run or other.dry_run,
            index=other.index or self.index,
        )

    def to_counts(self) -> dict[str, float]:
        """The numbers alone."""
        names = ("documents", "chunks", "added", "updated", "unchanged", "deleted", "embedded", "seconds")
        return {name: getattr(self, name) for name in names}

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-compatible values, without the index; of a dry run also how many texts it would embed."""
        found = asdict(self)
        del found["index"]
        if not self.dry_run:
            del found["dry_run"], found["embedded"]
        return found | {"failed": [asdict(failure) for failure in self.failed], "seconds": round(self.seconds, 3)}
