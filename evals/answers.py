"""Asks the questions of a golden set and counts what came back: right, cited right, abstained right.

    python -m rag_pgvector.evals.answers evals/golden/demo.jsonl --collection demo --json

The format of a golden set, and what counts as right, is in evals/golden/README.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rag_pgvector import Collection, Database
from rag_pgvector.answer.types import GroundedAnswer
from rag_pgvector.errors import LoadError

__all__ = ["Asked", "GoldenQuestion", "ask_all", "contains", "read_golden", "summary"]


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """One line of a golden set."""

    id: str
    question: str
    answerable: bool
    answer: str
    accept: tuple[str, ...]
    source: str | None
    page_or_row: int | None
    kind: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What one question got. ``right``: the answer holds the expected one, or it rightly abstained.

    ``cited`` (None where no answer was given): some citation is of the expected source, and row if it has one.
    """

    id: str
    kind: str
    question: str
    expected: str | None
    answer: str | None
    confidence: float
    failure_mode: str | None
    citations: tuple[str, ...]
    right: bool
    cited: bool | None


def read_golden(path: Path) -> list[GoldenQuestion]:
    """The questions of a JSONL file. Raises LoadError with the line of a mistake."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            each = json.loads(line)
            found.append(
                GoldenQuestion(
                    each["id"],
                    each["question"],
                    each["answerable"],
                    each["answer"],
                    tuple(each["accept"]),
                    each["source"],
                    each["page_or_row"],
                    each["kind"],
                )
            )
        except (ValueError, KeyError, TypeError) as error:  # noqa: PERF203  # the line is part of the message
            raise LoadError(str(path), f"{type(error).__name__}: {error}", f"line {number}") from error
    return found


def contains(answer: str, expected: str) -> bool:
    """Whether the expected text stands in the answer as a whole token, without regard to case."""
    pattern = rf"(?<![\w.,]){re.escape(expected)}(?![\w]|[.,]\d)"
    return re.search(pattern, answer, re.IGNORECASE) is not None


def judge(question: GoldenQuestion, answer: GroundedAnswer) -> Asked:
    """Compare an answer with what the golden set expects."""
    given = answer.answer if answer.failure_mode is None else None
    if question.answerable:
        right = given is not None and any(contains(given, each) for each in (question.answer, *question.accept))
    else:
        right = given is None
    cited = None
    if given is not None:
        cited = any(
            question.source is not None
            and (citation.source or "").endswith(question.source)
            and question.page_or_row in (None, citation.page_or_row)
            for citation in answer.citations
        )
    return Asked(
        id=question.id,
        kind=question.kind,
        question=question.question,
        expected=question.answer if question.answerable else None,
        answer=given,
        confidence=round(answer.confidence, 3),
        failure_mode=answer.failure_mode,
        citations=tuple(f"{citation.source}:{citation.page_or_row}" for citation in answer.citations),
        right=right,
        cited=cited,
    )


def ask_all(collection: Collection, questions: Iterable[GoldenQuestion]) -> list[Asked]:
    """Ask every question of the collection."""
    return [judge(question, collection.ask(question.question)) for question in questions]


def summary(asked: Sequence[Asked]) -> dict[str, Any]:
    """Counts over the set; ``wrong`` answers were given and are not what was expected."""
    answerable = [each for each in asked if each.expected is not None]
    absent = [each for each in asked if each.expected is None]
    given = [each for each in answerable if each.answer is not None]
    return {
        "questions": len(asked),
        "answerable": len(answerable),
        "answered": len(given),
        "right": sum(each.right for each in answerable),
        "right_and_cited": sum(each.right and bool(each.cited) for each in answerable),
        "wrong": sum(not each.right for each in given),
        "absent": len(absent),
        "abstained_right": sum(each.right for each in absent),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.answers", description=__doc__.splitlines()[0])
    parser.add_argument("golden", type=Path)
    parser.add_argument("--collection", required=True)
    parser.add_argument("--url", help="else DATABASE_URL, else the embedded server")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args(arguments)
    with Database(options.url) as db:
        asked = ask_all(db.collection(options.collection), read_golden(options.golden))
    if options.json:
        print(
            json.dumps({"summary": summary(asked), "questions": [asdict(each) for each in asked]}, ensure_ascii=False)
        )
        return 0
    for each in asked:
        verdict = "right" if each.right else "WRONG" if each.answer is not None else "missed"
        print(f"{each.id}  {verdict:6} {each.confidence:.2f}  {each.question}")
        print(
            f"       expected {each.expected!r}, got {each.answer or each.failure_mode!r} {', '.join(each.citations)}"
        )
    print(json.dumps(summary(asked)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
