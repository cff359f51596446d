"""A table as its column profile tells it: what a question can be read against without fetching a row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeAlias

from rag_pgvector.answer.vocabulary import ABOUT, RATES, concept, words
from rag_pgvector.types import Document
from rag_pgvector.written import is_figure, is_missing

__all__ = ["Column", "Table", "Value"]

Value: TypeAlias = bool | int | float | str
_COUNTRIES = frozenset("malaysia indonesia singapore thailand japan china india france germany brazil kenya".split())
_CODE = re.compile(r"[A-Za-z]{0,4}[.\-_/ ]?\d[\dA-Za-z.\-_/]*")
_CLOCK = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?: ?[ap]\.?m\.?)?", re.IGNORECASE)
_MONEY = re.compile(r"[-+]?(?:RM|USD|[$€£])")
_PAID = frozenset("price salary income fee fare tax rm usd eur gbp ringgit dollar cost revenue".split())
_LASTING = {"duration", "length", "elapsed", "interval", "lap", "tempoh"}
#: In brackets it is a unit, no minimum.
_MINUTES = re.compile(r"[(\[]mins?\.?[)\]]", re.IGNORECASE)
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
    #: Words of the name that say again what another one said: "no" in "smoking_no_cancer_no".
    repeats: int = 0
    #: Numbers that are written so that they stay text: "1,234", "12 %".
    figures: bool = False
    #: The largest number of a column of numbers.
    largest: float | None = None

    @property
    def is_code(self) -> bool:
        """True where the values are codes rather than words or figures: "01145", "P.102"."""
        if self.is_time or self.type == "boolean" or self.figures:
            return False
        if self.type in ("number", "integer"):
            return bool(_CODE_NAME & set(words(self.name)))
        values = [str(value) for value in self.distinct or () if any(map(str.isalnum, str(value)))]
        coded = sum(bool(_CODE.fullmatch(value.strip())) for value in values)
        return bool(values) and coded >= 0.8 * len(values)

    @property
    def is_rate(self) -> bool:
        """True where the name says that the figures are shares."""
        return bool(RATES & set(self.terms)) or {"incidence", "ratio"} & set(words(self.name)) != set()

    @property
    def is_time(self) -> bool:
        return self.type in ("date", "year")

    @property
    def is_money(self) -> bool:
        """True for figures of what is paid, which number no things."""
        written = all(_MONEY.match(str(value)) for value in self.distinct or ())
        return self.is_measure and bool(_PAID & {*self.terms, *words(self.name)} or (self.figures and written))

    @property
    def is_clock(self) -> bool:
        """True where the values are times of day: "09:35", "2:05 pm"."""
        told = [str(value) for value in self.distinct or () if not is_missing(str(value))]
        if self.type != "text" or _LASTING & set(words(self.name)):
            return False
        return bool(told) and all(_CLOCK.fullmatch(value.strip()) for value in told)

    @property
    def lists_countries(self) -> bool:
        """True where the values are countries: none of them stands for the others."""
        return len(_COUNTRIES & {str(value).casefold() for value in self.distinct or ()}) > 1

    @property
    def is_measure(self) -> bool:
        return (self.figures or self.type in ("number", "integer")) and not _CODE_NAME & set(words(self.name))


@dataclass(frozen=True, slots=True)
class Table:
    """A table document, its columns, and the terms of its name and title."""

    document: Document
    columns: tuple[Column, ...]
    terms: frozenset[str]
    years: frozenset[int]
    #: The terms of the folders that it lies in: what it is about, but not what it is called.
    topics: frozenset[str] = frozenset()
    #: What its rows are, where its first column tells every one apart: "order" of "Order ID", "shop".
    kinds: frozenset[str] = frozenset()

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
        folders = words(" ".join(PurePosixPath(document.source.replace(chr(92), "/")).parts[-3:-1]))
        terms = frozenset(term for term, _ in concept(found))
        return cls(
            document,
            tuple(columns),
            terms.union(*(ABOUT.get(word, ()) for word in found)),
            frozenset(int(word) for word in found if re.fullmatch(r"1[6-9]\d\d|20\d\d", word)),
            frozenset(term for term, _ in concept(folders)),
            _kinds(columns[:1], (document.profile or {}).get("rows")) | _matches(columns),
        )


def _kinds(first: Sequence[Column], rows: object) -> frozenset[str]:
    for column in first:
        named = column.type == "text" and not column.figures
        if (named or _CODE_NAME & set(words(column.name))) and column.distinct_count == rows:
            return frozenset(column.terms) - _CODE_NAME - frozenset(("number",))
    return frozenset()


def _matches(columns: Sequence[Column]) -> frozenset[str]:
    """What rows with a home and an away side are."""
    named = {word for column in columns if column.type == "text" for word in words(column.name)}
    found = concept(["match", "game", "fixture"]) if {"home", "away"} <= named else []
    return frozenset(term for term, _ in found)


def _column(profile: Mapping[str, Any]) -> Column:
    name = str(profile["name"])
    distinct = profile.get("distinct")
    kind = str(profile.get("type", "text"))
    said = [term for term, _ in concept(words(_MINUTES.sub("(minutes)", name)))]
    listed = tuple(distinct) if isinstance(distinct, Sequence) and not isinstance(distinct, str) else None
    return Column(
        name=name,
        type=kind,
        distinct=listed,
        distinct_count=profile.get("distinct_count"),
        form=profile.get("format"),
        granularity=str(profile.get("granularity", "day")),
        terms=tuple(dict.fromkeys(said)),
        repeats=len(said) - len(set(said)),
        figures=kind == "text"
        and (bool(profile.get("figures")) or (bool(listed) and all(is_figure(str(value)) for value in listed or ()))),
        largest=_largest(profile.get("max"), listed or ()),
    )


def _largest(most: Any, listed: Sequence[Any]) -> float | None:
    if isinstance(most, (int, float)):
        return float(most)
    figures = [
        digits for value in listed if (digits := re.sub(r"[^\d.]", "", str(value))).replace(".", "", 1).isdigit()
    ]
    return max(map(float, figures), default=None)
