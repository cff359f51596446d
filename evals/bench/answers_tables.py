"""Questions over invented tables: the exact row, or no answer. ``python -m rag_pgvector.evals.bench.answers_tables``.

The tables (``table_worlds``) and their questions (``table_questions``) are ours, and the table mode was developed on
them: what it does here is the least that can be asked of it, not what it does on unseen tables (docs/results.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from rag_pgvector import Collection, CollectionConfig, Database
from rag_pgvector.answer.types import GroundedAnswer
from rag_pgvector.evals.answers import contains
from rag_pgvector.evals.bench.server import embedded_server
from rag_pgvector.evals.bench.table_questions import questions
from rag_pgvector.evals.bench.table_worlds import DOCUMENTS, Question, tables
from rag_pgvector.ingest import ingest

__all__ = ["main", "measure", "run", "verdict"]

_FOLDER = "stats/"


def _expected(question: Question, found: Mapping[str, str]) -> tuple[list[int], list[str]]:
    """The rows that must be cited, and the texts that must stand in the answer."""
    rows = question.rows(found)
    if question.kind != "calculation":
        return [place for place, _ in rows], [cell for _, cell in rows]
    how, _, year = question.answer.partition(" ")
    lines = found[question.source].splitlines()
    if year:
        rows = [(place, cell) for place, cell in rows if year in lines[place + 1]]
    if how == "count":
        return [place for place, _ in rows], [str(len({cell for _, cell in rows}))]
    numbers = [(Decimal(cell.replace(",", "")), place, cell) for place, cell in rows]
    if how in ("max", "min"):
        extreme = (max if how == "max" else min)(number for number, _, _ in numbers)
        at = [(place, cell) for number, place, cell in numbers if number == extreme]
        return [place for place, _ in at], [cell for _, cell in at]
    total = sum((number for number, _, _ in numbers), Decimal())
    if how == "mean":
        total /= len(numbers)
    return [place for _, place, _ in numbers], [f"{total:.4f}".rstrip("0").rstrip(".")]


def verdict(question: Question, answer: GroundedAnswer, found: Mapping[str, str]) -> str:
    """ "right", "wrong" (an answer that is not the expected one), "missed" (no answer where there is one)."""
    given = answer.answer if answer.failure_mode is None else None
    if question.kind == "document":
        return "right" if answer.mode == "extractive" else "wrong" if given else "missed"
    if not question.source:
        # Prose may say something about it; a cell may not.
        return "right" if given is None or answer.mode == "extractive" else "wrong"
    if given is None:
        return "missed"
    places, texts = _expected(question, found)
    cited = {each.page_or_row for each in answer.citations if each.source.removeprefix(_FOLDER) == question.source}
    rows = set(places[:10]) <= cited if question.kind == "calculation" else cited == set(places)
    plain = given.replace(",", "")
    said = all(contains(given, text) or contains(plain, text.replace(",", "")) for text in texts)
    elsewhere = any(each.source.removeprefix(_FOLDER) != question.source for each in answer.citations)
    return "right" if rows and said and not elsewhere else "wrong"


def measure(collection: Collection, asked: Sequence[Question], found: Mapping[str, str]) -> dict[str, Any]:
    """Ask every question of a collection that holds the tables: counts by kind, and what was not right."""
    kinds: dict[str, dict[str, int]] = defaultdict(lambda: {"questions": 0, "right": 0, "missed": 0, "wrong": 0})
    misses = []
    told: list[tuple[float, bool]] = []
    for question in asked:
        answer = collection.ask(question.text)
        judged = verdict(question, answer, found)
        kinds[question.kind]["questions"] += 1
        kinds[question.kind][judged] += 1
        if answer.failure_mode is None and answer.mode == "table":
            told.append((answer.confidence, judged == "right"))
        if judged != "right":
            misses.append(
                {
                    "kind": question.kind,
                    "question": question.text,
                    "verdict": judged,
                    "answer": answer.answer or answer.failure_mode,
                    "confidence": round(answer.confidence, 3),
                    "cited": [f"{each.source}:{each.page_or_row}" for each in answer.citations[:4]],
                }
            )
    answerable = [counts for kind, counts in kinds.items() if not kind.startswith(("absent", "document"))]
    absent = [counts for kind, counts in kinds.items() if kind.startswith("absent")]

    def share(groups: Sequence[Mapping[str, int]], what: str) -> float | None:
        total = sum(group["questions"] for group in groups)
        return round(sum(group[what] for group in groups) / total, 4) if total else None

    return {
        "exact_row": share(answerable, "right"),
        "abstains_where_absent": share(absent, "right"),
        "wrong": share([*answerable, *absent], "wrong"),
        "answers": len(told),
        "mean_confidence": round(sum(each for each, _ in told) / len(told), 4) if told else None,
        "right_of_answers": round(sum(right for _, right in told) / len(told), 4) if told else None,
        "by_kind": dict(sorted(kinds.items())),
        "not_right": misses,
    }


def run() -> dict[str, Any]:
    """Load the invented tables into a collection on an embedded server, and ask."""
    found = tables()
    with tempfile.TemporaryDirectory() as folder, embedded_server() as server, Database(server) as db:
        for name, content in {**found, **DOCUMENTS}.items():
            path = Path(folder) / _FOLDER / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        db.upgrade()
        collection = db.collection("tables", config=CollectionConfig(dimensions=384))
        report = ingest(collection, Path(folder) / _FOLDER)
        assert not report.failed, report.failed
        return measure(collection, questions(found), found)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout, which it prints anyway")
    parser.parse_args(arguments)
    print(json.dumps(run(), ensure_ascii=False, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
