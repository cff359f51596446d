"""The reading: how far a table accounts for a question. ``tabular`` makes it, ``table`` answers from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rag_pgvector.answer.columns import Column, Table, Value

__all__ = ["Reading"]


@dataclass(slots=True)
class Reading:
    """How a table accounts for a question.

    Attributes:
        home: Names of the place that all tables are about.
        conditions: By column name, the values that a row must have.
        time: The columns of ``conditions`` that say when.
        turn: The column of dates whose earliest or latest is asked for, and whether it is the latest.
        either: Two teams are named, and not which was at home: every match of the two is meant.
        adds: What is done with the pieces that are counted ("sold"), where the target has their number; else "".
        spans: By column name, the places of the words that name its condition's values.
        lookups: Columns too large to list, with the phrases that may be one of their values.
        targets: The columns asked for.
        named: Places of the words that name the targets.
        mismatch: A share is asked for and the target is none, or the other way round.
        explained: Places of the question's words that the table accounts for.
        leftover: Places of content words that it does not.
        absent_time: A period is asked for that the table does not have.
        negated: A value is named that is not to be meant.
        twins: Columns of a condition, each with one of its kind that may hold the value in another row.
        exactness: 1 where every value matched in full, less where only a part of it was named.
        fit: How much of the target's name the question says.
        by_name: The target is named by the question.
        by_table: The table is.
        code: A code, or what a code stands for, is asked for.
        soft: Places of leftover words that were found to mean what the table says in other words.
        also: Sources of tables that answer as well, in more rows than this one.
    """

    table: Table
    home: frozenset[str] = frozenset()
    conditions: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    time: set[str] = field(default_factory=set)
    spans: dict[str, set[int]] = field(default_factory=dict)
    lookups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    targets: tuple[Column, ...] = ()
    named: set[int] = field(default_factory=set)
    mismatch: bool = False
    explained: set[int] = field(default_factory=set)
    leftover: frozenset[int] = frozenset()
    absent_time: bool = False
    negated: bool = False
    twins: list[tuple[str, str]] = field(default_factory=list)
    exactness: float = 1.0
    fit: float = 0.0
    by_name: bool = False
    by_table: bool = False
    code: bool = False
    soft: frozenset[int] = frozenset()
    turn: tuple[Column, bool] | None = None
    either: bool = False
    adds: str = ""
    also: set[str] = field(default_factory=set)

    def require(self, column: Column, values: tuple[Value, ...], places: set[int], exactness: float = 1.0) -> None:
        """Add a condition on a row, named by these places of the question."""
        self.conditions[column.name] = tuple(dict.fromkeys((*self.conditions.get(column.name, ()), *values)))
        self.spans.setdefault(column.name, set()).update(places)
        self.explained |= places
        self.exactness = min(self.exactness, exactness)

    @property
    def rank(self) -> tuple[float, ...]:
        """Smaller is better: everything accounted for, by name, exactly."""
        return (
            self.absent_time,
            len(self.leftover),
            not self.by_name,
            -len(self.explained),
            -self.exactness,
            -self.fit,
        )

    def applied(self) -> Mapping[str, Any]:
        """The reading as ``GroundedAnswer.applied_filters`` tells it."""
        return {
            "source": self.table.document.source,
            "rows": {name: list(values) for name, values in self.conditions.items()},
            "columns": [column.name for column in self.targets],
        }
