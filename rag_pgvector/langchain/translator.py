"""From LangChain's structured queries (self-query) to our filters."""

from __future__ import annotations

from typing import Any

from langchain_core.structured_query import Comparator, Comparison, Operation, Operator, StructuredQuery, Visitor

from rag_pgvector.filters import parse_filter

__all__ = ["PGVectorTranslator"]

_OPERATORS = {
    Comparator.EQ: "$eq",
    Comparator.NE: "$ne",
    Comparator.GT: "$gt",
    Comparator.GTE: "$gte",
    Comparator.LT: "$lt",
    Comparator.LTE: "$lte",
    Comparator.IN: "$in",
    Comparator.NIN: "$nin",
    Comparator.CONTAIN: "$any",
    Comparator.LIKE: "$like",
}


class PGVectorTranslator(Visitor):
    """What a self-query retriever asks, in the language of docs/filters.md.

    v1's translator leaves out NOT, GTE and LTE, and writes ``$contain``, which its own store refuses; here ``contain``
    means that a list holds the value. Raises FilterError for a value that no filter can have.
    """

    allowed_operators = (Operator.AND, Operator.OR, Operator.NOT)
    allowed_comparators = tuple(_OPERATORS)

    def visit_operation(self, operation: Operation) -> dict[str, Any]:
        self._validate_func(operation.operator)
        parts = [argument.accept(self) for argument in operation.arguments]
        return {f"${operation.operator.value}": parts}

    def visit_comparison(self, comparison: Comparison) -> dict[str, Any]:
        self._validate_func(comparison.comparator)
        value = comparison.value
        # Self-query's parser gives a date as {"date": "2024-01-31", "type": "date"}; it compares as the text it is.
        if isinstance(value, dict) and value.get("type") in ("date", "datetime") and value["type"] in value:
            value = value[value["type"]]
        if comparison.comparator == Comparator.CONTAIN and not isinstance(value, (list, tuple)):
            value = [value]
        made = {comparison.attribute: {_OPERATORS[comparison.comparator]: value}}
        parse_filter(made)
        return made

    def visit_structured_query(self, structured_query: StructuredQuery) -> tuple[str, dict[str, Any]]:
        if structured_query.filter is None:
            return structured_query.query, {}
        return structured_query.query, {"filter": structured_query.filter.accept(self)}
