"""Columns of a table to make, under langchain-postgres's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from rag_pgvector.errors import ConfigError

__all__ = ["Column", "ColumnDict", "as_column"]


class ColumnDict(TypedDict):
    """A column as a dictionary."""

    name: str
    data_type: str
    nullable: bool


@dataclass
class Column:
    """A column: its name as it stands in the catalogue, its Postgres type, and whether it may be NULL."""

    name: str
    data_type: str
    nullable: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ConfigError(f"Column name {self.name!r:.80}: use a text")
        if not isinstance(self.data_type, str):
            raise ConfigError(f"data_type {self.data_type!r:.80} of column {self.name!r:.80}: use e.g. 'INTEGER'")


def as_column(given: Any) -> Column:
    """A column of ours from one of ours, one of langchain-postgres's, or a dictionary.

    Raises TypeError for a dictionary that lacks something, as langchain-postgres does, and else ConfigError.
    """
    if isinstance(given, Mapping):
        for name, type_ in (("name", str), ("data_type", str), ("nullable", bool)):
            if not isinstance(given.get(name), type_):
                raise TypeError(f"column {dict(given)!r:.120}: {name!r} must be {type_.__name__}")
        return Column(given["name"], given["data_type"], given["nullable"])
    if all(hasattr(given, name) for name in ("name", "data_type", "nullable")):
        return Column(given.name, given.data_type, given.nullable)
    raise ConfigError(f"column {given!r:.80}: use Column(name, data_type, nullable) or a dictionary of these")
