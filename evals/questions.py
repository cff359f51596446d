"""Questions with known answers, and questions that the data cannot answer: what a golden set for answers is made of.

Its own format is JSON lines (evals/golden/README.md); ``question_formats`` reads those of others.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from rag_pgvector.errors import LoadError
from rag_pgvector.evals.formats import CorpusDocument, json_lines

__all__ = [
    "AnswerSet",
    "GoldenQuestion",
    "Row",
    "Span",
    "by_kind",
    "draw",
    "question_from",
    "question_to",
    "read_golden",
    "same_source",
    "write_golden",
]

#: 1-based page or 0-based data row; some formats name it by a text.
Row: TypeAlias = "int | str | None"
_KEYS = ("id", "question", "answerable", "answer", "accept", "source", "page_or_row", "kind")
_MORE = ("note", "sources", "evidence", "char_start", "char_end")


@dataclass(frozen=True, slots=True)
class Span:
    """The characters ``[start, end)`` of a source's stored text, in code points."""

    source: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """One question of a golden set.

    Attributes:
        answerable: Whether the data holds the answer.
        answer: The canonical answer; empty if there is none, or none is known.
        accept: Other answers that count as right.
        source: Of the document with the answer: the end of its path, or its id.
        page_or_row: Where in it.
        kind: What sort of question this is; results are also told by kind.
        sources: Further sources that hold (a part of) the answer.
        evidence: Passages that support the answer, word for word.
        span: Where the answer stands in its source.
        note: How the answer was checked.
    """

    id: str
    question: str
    answerable: bool
    answer: str
    accept: tuple[str, ...]
    source: str | None
    page_or_row: Row
    kind: str
    sources: tuple[str, ...] = ()
    evidence: tuple[str, ...] = field(default=(), repr=False)
    span: Span | None = None
    note: str = field(default="", repr=False)

    @property
    def references(self) -> tuple[str, ...]:
        """Every text that is a right answer."""
        return tuple(dict.fromkeys(each for each in (self.answer, *self.accept) if each))

    @property
    def all_sources(self) -> tuple[str, ...]:
        """Every source that holds (a part of) the answer."""
        return tuple(dict.fromkeys(each for each in (self.source, *self.sources) if each))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerSet:
    """Questions, and the documents that they are about where the format brings them along.

    Attributes:
        name: The file's or folder's.
        questions: In the order of the file.
        documents: What to ask, if no collection is given; their ids are the questions' sources.
        format: How it was written: "golden", "squad", "labelled-rag", "ragas", "csv" or "beir".
        warnings: What was mended in reading it.
    """

    name: str
    questions: tuple[GoldenQuestion, ...] = field(repr=False)
    documents: tuple[CorpusDocument, ...] = field(default=(), repr=False)
    format: str
    warnings: tuple[str, ...] = ()


def same_source(given: str | None, expected: str) -> bool:
    """Whether a citation's source is the expected one: the same, or a path that ends in it."""
    return given is not None and (given == expected or given.replace("\\", "/").endswith(f"/{expected}"))


def read_golden(path: Path) -> list[GoldenQuestion]:
    """The questions of a JSONL file in our own format. Raises LoadError with the line of a mistake."""
    found: list[GoldenQuestion] = []
    seen: dict[str, str] = {}
    for where, line in json_lines(path):
        try:
            question = question_from(line)
        except (ValueError, KeyError, TypeError) as error:
            what = f"no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
            raise LoadError(str(path), what, where) from None
        if question.id in seen:
            raise LoadError(str(path), f"id {question.id!r:.80} is the one of {seen[question.id]}, too", where)
        seen[question.id] = where
        found.append(question)
    if not found:
        raise LoadError(str(path), "the file has no questions")
    return found


def question_from(line: dict[str, Any]) -> GoldenQuestion:
    """A question from an object with the keys of evals/golden/README.md. Raises ValueError, KeyError."""
    if unknown := sorted(line.keys() - {*_KEYS, *_MORE}):
        raise ValueError(f"unknown key {unknown[0]!r:.40}: the keys are {', '.join((*_KEYS, *_MORE))}")
    for key in ("id", "question", "kind"):
        _text(line[key], key, empty=False)
    answerable = line["answerable"]
    if type(answerable) is not bool:
        raise ValueError(f"answerable is {answerable!r:.40}: use true or false")
    answer = _text(line["answer"], "answer")
    accept = _texts(line["accept"], "accept")
    source, row = line["source"], line["page_or_row"]
    if source is not None:
        _text(source, "source", empty=False)
    if type(row) is bool or not isinstance(row, (int, str, type(None))):
        raise ValueError(f"page_or_row is {row!r:.40}: use a whole number, a text or null")
    if not answerable and (answer or accept):
        raise ValueError(f"the question is not answerable and has the answer {answer or accept[0]!r:.60}")
    if answerable and not (answer or accept):
        raise ValueError("the question is answerable and has no answer")
    start, end = line.get("char_start"), line.get("char_end")
    span = None
    if start is not None or end is not None:
        if type(start) is not int or type(end) is not int or not 0 <= start < end or source is None:
            raise ValueError(f"char_start {start!r}, char_end {end!r}: use two whole numbers, and a source")
        span = Span(source, start, end)
    return GoldenQuestion(
        line["id"],
        line["question"],
        answerable,
        answer,
        accept,
        source,
        row,
        line["kind"],
        sources=_texts(line.get("sources", []), "sources"),
        evidence=_texts(line.get("evidence", []), "evidence"),
        span=span,
        note=_text(line.get("note", ""), "note"),
    )


def question_to(question: GoldenQuestion) -> dict[str, Any]:
    """The object that ``question_from`` makes this question of; what is empty is left out of its later keys."""
    line: dict[str, Any] = {key: getattr(question, key) for key in _KEYS} | {"accept": list(question.accept)}
    if question.note:
        line["note"] = question.note
    for key in ("sources", "evidence"):
        if values := getattr(question, key):
            line[key] = list(values)
    if question.span is not None:
        line |= {"char_start": question.span.start, "char_end": question.span.end}
    return line


def write_golden(path: Path, questions: Iterable[GoldenQuestion]) -> None:
    """Write questions in our own format."""
    lines = (json.dumps(question_to(each), ensure_ascii=False) + "\n" for each in questions)
    path.write_text("".join(lines), encoding="utf-8", newline="\n")


def _text(value: Any, key: str, *, empty: bool = True) -> str:
    if not isinstance(value, str) or not (empty or value.strip()):
        raise ValueError(f"{key} is {value!r:.60}: use a text")
    return value


def _texts(value: Any, key: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) and each.strip() for each in value):
        raise ValueError(f"{key} is {value!r:.60}: use a list of texts")
    return tuple(value)


def draw(questions: Sequence[GoldenQuestion], limit: int, *, seed: int = 0) -> tuple[GoldenQuestion, ...]:
    """``limit`` of the questions, drawn at random (the same ones each time), in their order; or all of them."""
    if limit >= len(questions):
        return tuple(questions)
    kept = set(random.Random(seed).sample(range(len(questions)), limit))
    return tuple(each for i, each in enumerate(questions) if i in kept)


def by_kind(questions: Sequence[GoldenQuestion]) -> dict[str, int]:
    """How many questions of each kind there are, sorted."""
    counts: dict[str, int] = {}
    for each in questions:
        counts[each.kind] = counts.get(each.kind, 0) + 1
    return dict(sorted(counts.items()))
