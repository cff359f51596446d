"""The filter AST. ``path`` leads through JSON objects; scalars are already JSON text, checked and typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["And", "Compare", "Contains", "Exists", "Filter", "In", "IsEmpty", "Like", "Not", "Operator", "Or", "Path"]

Path: TypeAlias = tuple[str, ...]
Operator: TypeAlias = Literal["eq", "gt", "gte", "lt", "lte"]


@dataclass(frozen=True, slots=True)
class Compare:
    """Equality with any JSON value, or order against a number or a text.

    ``json`` is the value as JSON; ``text`` the bare text where it is one. ``eq`` with ``null`` is also true for a
    missing key.
    """

    path: Path
    op: Operator
    json: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class In:
    """The value equals one of ``json`` (none: always false)."""

    path: Path
    json: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """The key is there, be it null."""

    path: Path


@dataclass(frozen=True, slots=True)
class IsEmpty:
    """The key is missing, null, an empty text or an empty list."""

    path: Path


@dataclass(frozen=True, slots=True)
class Like:
    """A text that matches an SQL LIKE pattern: ``%``, ``_``, escaped by a backslash."""

    path: Path
    pattern: str
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Contains:
    """A list that holds any (or all) of the scalars ``json``."""

    path: Path
    json: tuple[str, ...]
    every: bool = False


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter


Filter: TypeAlias = Compare | In | Exists | IsEmpty | Like | Contains | And | Or | Not
