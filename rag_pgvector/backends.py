"""Extensions that could rank by BM25 in the place of our own postings: which are there, and what one has to offer.

None is needed and none is used yet. They could not be installed where this was written, so no SQL for them is shipped;
a back end is an object with the two plans of ``KeywordBackend``.
"""

from __future__ import annotations

from typing import Protocol

from psycopg import sql

from rag_pgvector.analysis import Question
from rag_pgvector.config import SearchOptions
from rag_pgvector.plan import Execute, Plan
from rag_pgvector.read import Where
from rag_pgvector.table import Table
from rag_pgvector.types import SearchResult

__all__ = ["EXTENSIONS", "KeywordBackend", "detect"]

#: By the name of the extension: Timescale's, ParadeDB's, TensorChord's.
EXTENSIONS = ("pg_textsearch", "pg_search", "vchord_bm25")


class KeywordBackend(Protocol):
    """What ranks the chunks of a table by BM25; ``rag_pgvector.keyword`` is the one that is always there."""

    def search(
        self, table: Table, question: Question, *, k: int, condition: Where | None, options: SearchOptions
    ) -> Plan[SearchResult]:
        """The ``k`` best chunks that satisfy the condition, of the table's tenant and scope alone."""
        ...


def detect() -> Plan[dict[str, str]]:
    """The extensions of ``EXTENSIONS`` that this database has, with their versions."""
    rows = yield Execute(
        sql.SQL("SELECT extname::text, extversion FROM pg_extension WHERE extname = ANY(%s::text[]) ORDER BY 1"),
        (list(EXTENSIONS),),
    )
    return {row[0]: row[1] for row in rows}
