"""The demonstration: bundled statistics and articles, and questions that show what an answer looks like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rag_pgvector.config import CollectionConfig

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection
    from rag_pgvector.database import Database
    from rag_pgvector.ingest import IngestReport, Progress

__all__ = ["COLLECTION", "NEXT_COMMANDS", "QUESTIONS", "Question", "data_files", "load"]

COLLECTION = "demo"


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what it shows."""

    shows: str
    text: str


QUESTIONS = (
    Question("a figure from a table", "what is CPI for 2023?"),
    Question("a sentence from a document", "What does ef_search do?"),
    Question("a figure, asked in Malay", "Berapakah pendapatan penengah isi rumah di Johor pada 2022?"),
    Question("an answer that is not in the data", "What is the population of Singapore?"),
)

NEXT_COMMANDS = (
    f'rag-pgvector ask "What is the poverty rate in Kedah?" --collection {COLLECTION}',
    "rag-pgvector ingest YOUR_FOLDER --collection docs",
    'rag-pgvector ask "YOUR QUESTION" --collection docs',
)


def data_files() -> list[Path]:
    """The files that the demonstration ingests, sorted."""
    return sorted(path for path in (Path(__file__).parent / "data").iterdir() if path.name != "README.md")


def load(db: Database, *, progress: Progress | None = None) -> tuple[Collection, IngestReport]:
    """Bring the bundled files into the collection ``demo``; a second time nothing is embedded again."""
    from rag_pgvector.ingest import ingest

    collection = db.collection(COLLECTION, config=CollectionConfig())
    return collection, ingest(collection, data_files(), strict=True, progress=progress)
