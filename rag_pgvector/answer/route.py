"""Which way a question is answered: from the cells of a table where it reads like one's, else from prose."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from rag_pgvector.answer.extractive import extract
from rag_pgvector.answer.lexical import Query, read_query, term_set
from rag_pgvector.answer.rows import documents_of
from rag_pgvector.answer.steps import Answering, Tables
from rag_pgvector.answer.table import look_up
from rag_pgvector.answer.types import GroundedAnswer
from rag_pgvector.errors import ConfigError
from rag_pgvector.types import Document

__all__ = ["LONGEST_QUESTION", "answer"]

#: Questions are read up to here; what is longer is a document.
LONGEST_QUESTION = 4_000


def answer(
    question: str,
    *,
    k: int = 3,
    filter: Mapping[str, Any] | None = None,
    threshold: float = 0.6,
    target_risk: float | None = None,
) -> Answering:
    """Answers a question from what the steps find.

    Args:
        question: What is asked, up to 4,000 characters.
        k: Most citations, at least 1.
        filter: Conditions on the metadata of every chunk that may be read.
        threshold: Least confidence for an answer, 0 to 1.
        target_risk: Instead of it, for answers from prose: the largest share of wrong answers that is accepted, which
            a calibration must guarantee.

    Returns:
        A generator of steps; its value is a ``GroundedAnswer``. Whatever the question says, it does not raise.

    Raises:
        ConfigError: ``question`` is no text; ``k``, ``threshold`` or ``target_risk`` is out of range.
    """
    if not isinstance(question, str):
        raise ConfigError(f"question={question!r:.80}: use a text")
    if not (type(k) is int and k >= 1):
        raise ConfigError(f"k={k!r}: use a whole number of citations, at least 1")
    if not (_is_number(threshold) and 0.0 <= threshold <= 1.0):
        raise ConfigError(f"threshold={threshold!r}: use a probability from 0 to 1")
    if target_risk is not None and not (_is_number(target_risk) and 0.0 < target_risk < 1.0):
        raise ConfigError(f"target_risk={target_risk!r}: use a share of wrong answers between 0 and 1")
    return _answer(question, k, filter, threshold, target_risk)


def _is_number(value: object) -> bool:
    """NumPy's numbers, too, and no truth value."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _answer(
    question: str, k: int, filter: Mapping[str, Any] | None, threshold: float, target_risk: float | None
) -> Answering:
    cleaned = _clean(question)
    if not any(char.isalnum() for char in cleaned):
        return GroundedAnswer(answer=None, confidence=0.0, failure_mode="invalid_query", threshold=threshold)
    documents = yield Tables()
    tables = [document for document in documents if document.profile]
    from_table: GroundedAnswer | None = None
    if tables:
        from_table = yield from look_up(cleaned, tables, filter=filter, threshold=threshold)
        if from_table is not None and from_table.failure_mode is None:
            return from_table
    ids = frozenset(id_ for document in tables if not _holds_prose(document) for id_ in documents_of(document))
    query = read_query(cleaned)
    from_prose = yield from extract(
        query,
        k=k,
        filter=filter,
        threshold=threshold,
        tables=ids,
        target_risk=target_risk,
        in_rows=_names_a_row(query, tables),
    )
    if from_table is None:
        return from_prose
    # A table is what the question is about, and lacks what it asks for: prose answers only if it has all of that.
    complete = from_prose.failure_mode is None and from_prose.signals.get("typed", 0.0) >= 1.0
    return from_prose if complete else from_table


def _names_a_row(query: Query, tables: Sequence[Document]) -> bool:
    """True for a question with a number whose names are all values of one table."""
    if not query.names or not query.required:
        return False
    for table in tables:
        columns = (table.profile or {}).get("columns", ())
        values = (value for column in columns if column.get("type") == "text" for value in column.get("distinct") or ())
        left = set(query.names)
        for value in values:
            left -= term_set(str(value))
            if not left:
                return True
    return False


def _holds_prose(table: Document) -> bool:
    """True for a table of texts, such as questions with their answers: its rows are read like documents, too."""
    return any(column.get("prose") for column in (table.profile or {}).get("columns", ()))


def _clean(question: str) -> str:
    """One line: control and invisible characters become blanks or go."""
    kept = "".join(
        " " if char.isspace() or unicodedata.category(char) == "Cc" else char
        for char in question[:LONGEST_QUESTION]
        if unicodedata.category(char) not in ("Cf", "Cs", "Co", "Cn")
    )
    return " ".join(kept.split())
