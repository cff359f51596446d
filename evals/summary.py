"""Values per question become a table: means with their intervals, counts, and the same for each slice."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rag_pgvector.evals.metrics import bootstrap

__all__ = ["Summary", "Values", "by_numbers", "summarise"]

#: Each metric of one question; ``None`` is not measured.
Values = Mapping[str, "float | None"]

_NUMBER = re.compile(r"\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Means over questions.

    Attributes:
        metrics: The mean of each metric over the questions where it was measured; ``None`` where it nowhere was.
        intervals: Its 95 % bootstrap interval over the questions, ``[low, high]``.
        measured: Over how many questions.
        slices: For each slice, how many questions it has and the mean of each metric over them.
    """

    metrics: Mapping[str, float | None]
    intervals: Mapping[str, list[float] | None]
    measured: Mapping[str, int]
    slices: Mapping[str, Mapping[str, float | int | None]] = field(repr=False)


def summarise(per_question: Mapping[str, Values], names: Sequence[str], slices: Mapping[str, str]) -> Summary:
    """Means of ``names`` over the questions; ``slices`` has the slice of each question. NaN counts as not measured."""
    columns = {name: _measured(per_question.values(), name) for name in names}
    rows: dict[str, list[Values]] = {}
    for id_, values in per_question.items():
        rows.setdefault(slices.get(id_, ""), []).append(values)
    return Summary(
        metrics={name: _mean(values) for name, values in columns.items()},
        intervals={name: bootstrap(values) if values else None for name, values in columns.items()},
        measured={name: len(values) for name, values in columns.items()},
        slices={
            key: {"questions": len(found)} | {name: _mean(_measured(found, name)) for name in names}
            for key, found in sorted(rows.items())
            if key
        },
    )


def _measured(rows: Iterable[Values], name: str) -> list[float]:
    found = (values.get(name) for values in rows)
    return [value for value in found if value is not None and not math.isnan(value)]


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def by_numbers(queries: Mapping[str, str]) -> dict[str, str]:
    """Slices where a golden set has none: questions that name a number (a year, a code), and all others."""
    return {id_: "with a number" if _NUMBER.search(text) else "without a number" for id_, text in queries.items()}
