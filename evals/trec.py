"""TREC's files: judgements (qrels) and runs. Every mistake is a LoadError with its file and line.

Source: the formats that trec_eval reads; judgements have ``query 0 document relevance`` on a line, runs
``query Q0 document rank score tag``, parted by white space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from rag_pgvector.errors import LoadError
from rag_pgvector.evals.formats import grade_of, lines

__all__ = ["read_qrels", "read_run", "write_run"]


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Relevance by question and document. Raises LoadError."""
    found: dict[str, dict[str, int]] = {}
    for where, text in lines(path):
        cells = text.split()
        if len(cells) != 4:
            raise LoadError(str(path), f"{len(cells)} columns, not query, 0, document, relevance", where)
        query, _, document, grade = cells
        relevance = grade_of(grade)
        if relevance is None:
            raise LoadError(str(path), f"relevance {grade!r:.40}: use a whole number", where)
        judged = found.setdefault(query, {})
        if judged.setdefault(document, relevance) != relevance:
            raise LoadError(
                str(path),
                f"query {query!r:.80}, document {document!r:.80} is {relevance} here and another before",
                where,
            )
    if not found:
        raise LoadError(str(path), "no judgements")
    return found


def read_run(path: Path) -> dict[str, list[str]]:
    """The documents of each question, best first: by score, as trec_eval orders them (of equals, the later id first).

    The ranks in the file are not looked at, as trec_eval does not. Raises LoadError.
    """
    found: dict[str, dict[str, float]] = {}
    for where, text in lines(path):
        cells = text.split()
        if len(cells) != 6:
            raise LoadError(str(path), f"{len(cells)} columns, not query, Q0, document, rank, score, tag", where)
        query, _, document, _, number, _ = cells
        try:
            score = float(number)
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise LoadError(str(path), f"score {number!r:.40}: use a number", where)
        scores = found.setdefault(query, {})
        if document in scores:
            raise LoadError(str(path), f"query {query!r:.80} has document {document!r:.80} twice", where)
        scores[document] = score
    if not found:
        raise LoadError(str(path), "the run is empty")
    return {
        query: sorted(sorted(scores, reverse=True), key=lambda id_, scores=scores: -scores[id_])  # type: ignore[misc]
        for query, scores in found.items()
    }


def write_run(path: Path, rankings: Mapping[str, Sequence[str]], tag: str = "rag_pgvector") -> None:
    """Write rankings as a run; the scores are made of the ranks, so that every reader finds this order."""
    rows = (
        f"{query} Q0 {id_} {rank} {len(ranking) - rank + 1} {tag}\n"
        for query, ranking in rankings.items()
        for rank, id_ in enumerate(ranking, 1)
    )
    path.write_text("".join(rows), encoding="utf-8", newline="\n")
