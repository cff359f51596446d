"""Metadata filters: one AST, the dialects that are read into it, and the SQL that it compiles to.

The semantics are two-valued and the same everywhere (docs/filters.md): every condition is true or false, never unknown,
so that ``not`` is the exact complement. A missing key fails every comparison, and so does a value of another type.
"""

from rag_pgvector.filters.ast import And, Compare, Contains, Exists, Filter, In, KeyIn, Like, Not, Or
from rag_pgvector.filters.mapping import parse_filter
from rag_pgvector.filters.sql import Fields, compile_filter

__all__ = [
    "And",
    "Compare",
    "Contains",
    "Exists",
    "Fields",
    "Filter",
    "In",
    "KeyIn",
    "Like",
    "Not",
    "Or",
    "compile_filter",
    "parse_filter",
]
