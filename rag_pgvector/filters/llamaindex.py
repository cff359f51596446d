"""LlamaIndex's ``MetadataFilters`` read into the filter AST.

The objects are known by their attributes (``filters`` and ``condition``, or ``key``, ``operator`` and ``value``), so
that LlamaIndex need not be installed. What its operators mean is what its own reference does (llama-index-core,
``vector_stores/utils.py``, ``build_metadata_filter_fn``), made exact where that raises; see docs/llamaindex.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rag_pgvector.errors import FilterError
from rag_pgvector.filters.ast import And, Compare, Contains, Exists, Filter, In, KeyIn, Like, Not, Operator, Or, Path
from rag_pgvector.filters.values import MAX_DEPTH, check_text, show, to_json

__all__ = ["DOCUMENT_KEYS", "parse_metadata_filters"]

#: Keys under which LlamaIndex's stores keep the id of the document that a node was cut from.
DOCUMENT_KEYS = ("ref_doc_id", "doc_id", "document_id")


def parse_metadata_filters(filters: Any, *, document_column: bool = True) -> Filter | None:
    """Read ``MetadataFilters`` (or one ``MetadataFilter``); ``None`` and an empty list of filters are no filter.

    Args:
        filters: The filters. A key is one key, be there dots in it or not.
        document_column: A row keeps its document's id in a column: comparing ``ref_doc_id``, ``doc_id`` or
            ``document_id`` looks there where the metadata has no such key.

    Raises FilterError naming the key, the operator or the value. Nothing malformed ever means "no filter".
    """
    if filters is None:
        return None
    if _is_group(filters) and _list_of(filters) == []:
        _condition_of(filters)
        return None
    return _Reader(document_column).read(filters, 1)


def _is_group(node: Any) -> bool:
    return hasattr(node, "filters") and hasattr(node, "condition")


def _list_of(group: Any) -> list[Any]:
    parts = group.filters
    if not isinstance(parts, (list, tuple)):
        raise FilterError(f"filters={show(parts)}: use a list of MetadataFilter")
    return list(parts)


def _condition_of(group: Any) -> str:
    given = group.condition
    name = "and" if given is None else getattr(given, "value", given)
    if name not in ("and", "or", "not"):
        raise FilterError(f"condition={show(name)}: use 'and', 'or' or 'not'")
    return str(name)


class _Reader:
    def __init__(self, document_column: bool) -> None:
        self.document_column = document_column

    def read(self, node: Any, level: int) -> Filter:
        if level > MAX_DEPTH:
            raise FilterError(f"the filter is nested deeper than {MAX_DEPTH} levels")
        if _is_group(node):
            condition = _condition_of(node)
            parts = tuple([self.read(part, level + 1) for part in _list_of(node)])
            if not parts:
                raise FilterError("an empty MetadataFilters stands inside the filter: leave it out")
            if condition == "not":  # none of them
                return Not(parts[0] if len(parts) == 1 else Or(parts))
            if len(parts) == 1:
                return parts[0]
            return And(parts) if condition == "and" else Or(parts)
        if not all(hasattr(node, name) for name in ("key", "operator", "value")):
            raise FilterError(f"{show(node)} stands where a MetadataFilter or MetadataFilters belongs")
        return self.one(node.key, getattr(node.operator, "value", node.operator), node.value)

    def one(self, key: Any, operator: Any, value: Any) -> Filter:
        if not isinstance(key, str) or not key:
            raise FilterError(f"key={show(key)}: keys are non-empty texts")
        check_text(key, "the filter's key")
        known = _OPERATORS.get(operator) if isinstance(operator, str) else None
        if known is None:
            raise FilterError(f"{show(key)}: unknown operator {show(operator)}: use {', '.join(_OPERATORS)}")
        what = f"{key!r:.80} {operator}"
        if self.document_column and key in DOCUMENT_KEYS and operator in ("==", "!=", "in", "nin"):
            return self.document(key, operator, value, what)
        return known((key,), value, what)

    def document(self, key: str, operator: str, value: Any, what: str) -> Filter:
        texts = value if operator in ("in", "nin") else [value]
        found = _OPERATORS["==" if operator in ("==", "!=") else "in"]((key,), value, what)
        column = KeyIn("document_id", tuple([text for text in texts if isinstance(text, str)]))
        either = Or((found, And((Not(Exists((key,))), column))))
        return Not(either) if operator in ("!=", "nin") else either


# -------------------------------------------------------------------------------------------------------- operators

#: MetadataFilter takes no booleans, so these texts stand for them, too.
_BOOLEANS = {'"true"': "true", '"false"': "false"}


def _equal(path: Path, value: Any, what: str) -> Filter:
    text = to_json(value, what)
    if text in _BOOLEANS:
        return In(path, (text, _BOOLEANS[text]))
    return Compare(path, "eq", text)


def _order(op: Operator) -> Callable[[Path, Any, str], Filter]:
    def read(path: Path, value: Any, what: str) -> Filter:
        text = to_json(value, what)
        if text[0] not in '"-0123456789':
            raise FilterError(f"{what}: {show(value)} has no order: use a number or a text")
        return Compare(path, op, text)

    return read


def _scalars(values: Any, what: str) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple, set, frozenset)):
        raise FilterError(f"{what} takes a list of values, not {show(values)}")
    texts = tuple([to_json(value, what) for value in values])
    for value, text in zip(values, texts, strict=True):
        if text[0] in "[{":
            raise FilterError(f"{what}: {show(value)} inside the list is not a single value")
    return texts


def _in(path: Path, values: Any, what: str) -> Filter:
    texts = _scalars(values, what)
    return In(path, (*texts, *[_BOOLEANS[text] for text in texts if text in _BOOLEANS]))


def _any(path: Path, values: Any, what: str) -> Filter:
    texts = _scalars(values, what)
    return Or((Contains(path, texts), In(path, _present(texts))))


def _all(path: Path, values: Any, what: str) -> Filter:
    texts = _scalars(values, what)
    listed = Contains(path, texts, every=True)
    if len(set(texts)) != 1:  # no single value is two of them
        return listed
    return Or((listed, In(path, _present(texts))))


def _present(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Without null, which in ``In`` is what is missing, too."""
    return tuple([text for text in texts if text != "null"])


def _contains(path: Path, value: Any, what: str) -> Filter:
    text = to_json(value, what)
    if text[0] in "[{":
        raise FilterError(f"{what} takes one value, not {show(value)}: use any or all for several")
    return Contains(path, (text,))


def _text_match(path: Path, value: Any, what: str, *, ignore_case: bool = False) -> Filter:
    if not isinstance(value, str):
        raise FilterError(f"{what} takes a text, not {show(value)}")
    plain = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return Like(path, f"%{check_text(plain, what)}%", ignore_case)


_OPERATORS: dict[str, Callable[[Path, Any, str], Filter]] = {
    "==": _equal,
    "!=": lambda path, value, what: Not(_equal(path, value, what)),
    ">": _order("gt"),
    "<": _order("lt"),
    ">=": _order("gte"),
    "<=": _order("lte"),
    "in": _in,
    "nin": lambda path, values, what: Not(_in(path, values, what)),
    "any": _any,
    "all": _all,
    "contains": _contains,
    "text_match": _text_match,
    "text_match_insensitive": lambda path, value, what: _text_match(path, value, what, ignore_case=True),
    "is_empty": lambda path, value, what: In(path, ("null", '""', "[]")),
}
