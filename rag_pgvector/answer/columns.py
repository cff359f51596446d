"""A table as its column profile tells it: what a question can be read against without fetching a row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from rag_pgvector.answer.vocabulary import ABOUT, concept, words
from rag_pgvector.types import Document

__all__ = ["Column", "Table", "Value"]

Value: TypeAlias = bool | int | float | str
_CODE_NAME = {"code", "id", "kod", "no", "lat", "lon", "latitude", "longitude", "zip", "postcode", "poskod", "rank"}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a profile."""

    name: str
    type: str
    distinct: tuple[Value, ...] | None
    distinct_count: int | None
    form: str | None = None
    granularity: str = "day"
    terms: tuple[str, ...] = ()

    @property
    def is_time(self) -> bool:
        return self.type in ("date", "year")

    @property
    def is_measure(self) -> bool:
        return self.type in ("number", "integer") and not _CODE_NAME & set(words(self.name))


@dataclass(frozen=True, slots=True)
class Table:
    """A table document, its columns, and the terms of its name and title."""

    document: Document
    columns: tuple[Column, ...]
    terms: frozenset[str]
    years: frozenset[int]

    @classmethod
    def of(cls, document: Document) -> Table | None:
        """The table, or ``None`` for a profile that is none."""
        profile = document.profile
        listed = profile.get("columns") if isinstance(profile, Mapping) else None
        if not isinstance(listed, Sequence):
            return None
        columns = [_column(each) for each in listed if isinstance(each, Mapping) and each.get("name")]
        title = " ".join(
            str(document.metadata[key])
            for key in ("title", "preamble", "description", "name")
            if document.metadata.get(key)
        )
        name = f"{PurePosixPath(document.source.replace(chr(92), '/')).stem} {title}"
        found = words(name)
        terms = frozenset(term for term, _ in concept(found))
        return cls(
            document,
            tuple(columns),
            terms.union(*(ABOUT.get(word, ()) for word in found)),
            frozenset(int(word) for word in found if re.fullmatch(r"1[6-9]\d\d|20\d\d", word)),
        )


def _column(profile: Mapping[str, Any]) -> Column:
    name = str(profile["name"])
    distinct = profile.get("distinct")
    return Column(
        name=name,
        type=str(profile.get("type", "text")),
        distinct=tuple(distinct) if isinstance(distinct, Sequence) and not isinstance(distinct, str) else None,
        distinct_count=profile.get("distinct_count"),
        form=profile.get("format"),
        granularity=str(profile.get("granularity", "day")),
        terms=tuple(dict.fromkeys(term for term, _ in concept(words(name)))),
    )
