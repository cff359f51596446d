"""Texts of any number put together from real sentences: words keep their frequencies and their neighbours."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from rag_pgvector.evals.formats import read_beir

__all__ = ["WORDS", "questions", "sentences", "texts"]

#: In a text, about.
WORDS = 70
_SOURCES = ("ir_scifact", "ir_cranfield", "ir_cisi", "qa_squad2", "rag_pubmedqa")


def sentences(data: Path | None) -> tuple[list[str], str]:
    """Sentences to draw from, and where they come from."""
    found: list[str] = []
    used = []
    for name in _SOURCES if data is not None else ():
        assert data is not None
        if (data / name / "corpus.jsonl").exists():
            used.append(name)
            for document in read_beir(data / name).documents:
                found += [s for s in re.split(r"(?<=[.!?])\s+", document.text) if 4 <= len(s.split()) <= 60]
    if found:
        return found, f"sentences of {', '.join(used)}"
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(3, 9))) for _ in range(50_000)]
    weights = [1 / (i + 10) for i in range(len(words))]
    return [" ".join(draw.choices(words, weights, k=15)) + "." for _ in range(20_000)], "invented words (Zipf)"


def texts(source: Sequence[str], count: int, *, seed: int) -> Iterator[str]:
    draw = random.Random(seed)
    for _ in range(count):
        parts: list[str] = []
        size = 0
        while size < WORDS:
            parts.append(draw.choice(source))
            size += parts[-1].count(" ") + 1
        yield " ".join(parts)


def questions(source: Sequence[str], count: int, *, seed: int = 99) -> list[str]:
    """Ten words in a row of a sentence each."""
    draw = random.Random(seed)
    found: list[str] = []
    while len(found) < count:
        words = draw.choice(source).split()
        if len(words) >= 10:
            at = draw.randrange(len(words) - 9)
            found.append(" ".join(words[at : at + 10]))
    return found
