"""The filter AST: what a dialect is read into and the SQL is made from.

``path`` leads through JSON objects. Values are JSON text, made and checked by ``values.to_json``: nodes are hashable,
and ``true`` never equals ``1``. What is not here is composed: not equal is ``Not(Compare(...))``, between is an ``And``
of two, and empty is ``In(path, ("null", '""', "[]"))``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["And", "Compare", "Contains", "Exists", "Filter", "In", "KeyIn", "Like", "Not", "Operator", "Or", "Path"]

Path: TypeAlias = tuple[str, ...]
Operator: TypeAlias = Literal["eq", "gt", "gte", "lt", "lte"]


@dataclass(frozen=True, slots=True)
class Compare:
    """Equality with any JSON value (``null``: null or missing), or order against a number or a text."""

    path: Path
    op: Operator
    json: str


@dataclass(frozen=True, slots=True)
class In:
    """The value equals one of ``json`` (none: always false; ``null``: null or missing)."""

    path: Path
    json: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exists:
    """The key is there, be it null."""

    path: Path


@dataclass(frozen=True, slots=True)
class Like:
    """A text that matches an SQL LIKE pattern: ``%``, ``_``, escaped by a backslash."""

    path: Path
    pattern: str
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Contains:
    """A list that holds any (or every one) of the scalars ``json``."""

    path: Path
    json: tuple[str, ...]
    every: bool = False


@dataclass(frozen=True, slots=True)
class KeyIn:
    """The chunk's own ``column``, not its metadata, is one of ``values`` (none: always false)."""

    column: Literal["id", "document_id"]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class And:
    """All of ``parts``, of which there is at least one."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of ``parts``, of which there is at least one."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The exact complement of ``part``."""

    part: Filter


Filter: TypeAlias = Compare | In | Exists | Like | Contains | KeyIn | And | Or | Not
