"""LlamaIndex's filters: what each operator means, held to llama-index-core's own reference where that answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from rag_pgvector.errors import FilterError
from rag_pgvector.filters.llamaindex import parse_metadata_filters
from rag_pgvector.llamaindex import PGVectorStore
from tests.llamaindex.conftest import PLACES, Make

#: The rows of research on the peers, and some that trip its SQL.
ROWS: dict[str, dict[str, Any]] = {
    "r0": {"n": 1, "s": "a", "b": True, "f": 1.5, "l": ["x", "y"], "nul": None, "o": {"k": 1}},
    "r1": {"n": "abc", "s": "b", "b": False, "f": 2.0, "l": []},
    "r2": {"s": "1", "n": 10, "l": [1, 2, 3]},
    "r3": {},
    "r4": {"s": "O'Brien", "n": -2.5, "a.b": "dotted", "a": {"b": "nested"}, "l": ["O'Brien"]},
    "r5": {"s": "100%_\\:foo", "n": "0123", "empty": "", "key with 'quotes' --": 1},
    "r6": {"s": "Straße", "n": "nan", "l": [True, None], "emptylist": []},
    "r7": {"s": "123", "n": 123, "l": "x"},
}


def one(key: str, value: Any, operator: FilterOperator = FilterOperator.EQ) -> MetadataFilter:
    return MetadataFilter(key=key, value=value, operator=operator)


def all_of(*filters: Any) -> MetadataFilters:
    return MetadataFilters(filters=list(filters))


def any_of(*filters: Any) -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=FilterCondition.OR)


def none_of(*filters: Any) -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=FilterCondition.NOT)


@pytest.fixture(scope="module", params=PLACES)
def rows(request: pytest.FixtureRequest, make: Make) -> PGVectorStore:
    """A store with the rows, in every place. The row r1 is of document d1, and so on."""
    store = make(request.param)
    store.add(
        [
            TextNode(
                id_=id_,
                text=id_,
                metadata=metadata,
                embedding=[1, 1],
                relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"d{id_[1]}")},
            )
            for id_, metadata in ROWS.items()
        ]
    )
    return store


def found(store: PGVectorStore, filters: Any) -> str:
    return " ".join(sorted(node.node_id for node in store.get_nodes(filters=filters)))


OP = FilterOperator
TABLE: list[tuple[Any, str]] = [
    (one("s", "a"), "r0"),
    (one("s", "O'Brien"), "r4"),
    (one("s", "100%_\\:foo"), "r5"),
    (one("n", 1), "r0"),
    (one("n", 1.0), "r0"),
    (one("n", "123"), ""),  # a text is no number
    (one("s", 123), ""),
    (one("s", "123"), "r7"),
    (one("n", "0123"), "r5"),
    (one("n", "nan"), "r6"),
    (one("f", 2), "r1"),
    (one("b", "true"), "r0"),  # MetadataFilter takes no booleans
    (one("b", "false"), "r1"),
    (one("b", 1), ""),
    (one("missing", None), "r0 r1 r2 r3 r4 r5 r6 r7"),
    (one("nul", None), "r0 r1 r2 r3 r4 r5 r6 r7"),
    (one("l", ["x", "y"]), "r0"),
    (one("a.b", "dotted"), "r4"),  # one key, dots and all
    (one("a.b", "nested"), ""),
    (one("key with 'quotes' --", 1), "r5"),
    (one("s", "a", OP.NE), "r1 r2 r3 r4 r5 r6 r7"),
    (one("n", 1, OP.NE), "r1 r2 r3 r4 r5 r6 r7"),
    (one("b", "true", OP.NE), "r1 r2 r3 r4 r5 r6 r7"),
    (one("n", 1, OP.GT), "r2 r7"),
    (one("n", 10, OP.GTE), "r2 r7"),
    (one("n", 1, OP.LT), "r4"),
    (one("n", 1, OP.LTE), "r0 r4"),
    (one("n", "abc", OP.GTE), "r1 r6"),
    (one("s", "b", OP.LT), "r0 r2 r4 r5 r6 r7"),
    (one("s", ["a", "b", "zzz"], OP.IN), "r0 r1"),
    (one("s", [], OP.IN), ""),
    (one("f", [2], OP.IN), "r1"),
    (one("n", ["1", "abc"], OP.IN), "r1"),
    (one("b", ["true"], OP.IN), "r0"),
    (one("s", ["a", "b"], OP.NIN), "r2 r3 r4 r5 r6 r7"),
    (one("s", [], OP.NIN), "r0 r1 r2 r3 r4 r5 r6 r7"),
    (one("l", ["x", "q"], OP.ANY), "r0 r7"),
    (one("l", [2, 99], OP.ANY), "r2"),
    (one("l", ["2"], OP.ANY), ""),
    (one("l", [], OP.ANY), ""),
    (one("l", ["x", "y"], OP.ALL), "r0"),
    (one("l", [1, 3], OP.ALL), "r2"),
    (one("l", ["x"], OP.ALL), "r0 r7"),
    (one("l", ["x", "q"], OP.ALL), ""),
    (one("l", "x", OP.CONTAINS), "r0"),
    (one("l", 2, OP.CONTAINS), "r2"),
    (one("l", "O'Brien", OP.CONTAINS), "r4"),
    (one("s", "rie", OP.TEXT_MATCH), "r4"),
    (one("s", "%", OP.TEXT_MATCH), "r5"),  # no wild card
    (one("s", "_", OP.TEXT_MATCH), "r5"),
    (one("s", "\\", OP.TEXT_MATCH), "r5"),
    (one("s", ":foo", OP.TEXT_MATCH), "r5"),
    (one("s", "O'B", OP.TEXT_MATCH), "r4"),
    (one("s", "STRA", OP.TEXT_MATCH), ""),
    (one("s", "STRA", OP.TEXT_MATCH_INSENSITIVE), "r6"),
    (one("n", "1", OP.TEXT_MATCH), "r5"),  # 1 and 10 are numbers
    (one("empty", None, OP.IS_EMPTY), "r0 r1 r2 r3 r4 r5 r6 r7"),
    (one("emptylist", None, OP.IS_EMPTY), "r0 r1 r2 r3 r4 r5 r6 r7"),
    (one("nul", None, OP.IS_EMPTY), "r0 r1 r2 r3 r4 r5 r6 r7"),
    (one("l", None, OP.IS_EMPTY), "r1 r3 r5"),
    (one("s", None, OP.IS_EMPTY), "r3"),
    (all_of(), "r0 r1 r2 r3 r4 r5 r6 r7"),
    (all_of(one("s", "a"), one("n", 1)), "r0"),
    (any_of(one("s", "a"), one("s", "b")), "r0 r1"),
    (none_of(one("s", "a"), one("s", "b")), "r2 r3 r4 r5 r6 r7"),
    (none_of(one("n", 0, OP.GT)), "r1 r3 r4 r5 r6"),
    (all_of(one("n", 0, OP.GT), any_of(one("s", "a"), none_of(one("s", "1")))), "r0 r7"),
    (none_of(all_of(one("s", "a"), one("n", 2)), any_of(one("s", "b"))), "r0 r2 r3 r4 r5 r6 r7"),
    (one("ref_doc_id", "d4"), "r4"),
    (one("doc_id", ["d4", "d5"], OP.IN), "r4 r5"),
    (one("document_id", "d4", OP.NE), "r0 r1 r2 r3 r5 r6 r7"),
    (one("ref_doc_id", ["d0", "d1"], OP.NIN), "r2 r3 r4 r5 r6 r7"),
]


@pytest.mark.parametrize(("filters", "expected"), TABLE, ids=str)
def test_what_each_filter_finds(rows: PGVectorStore, filters: Any, expected: str) -> None:
    wrapped = filters if isinstance(filters, MetadataFilters) else all_of(filters)
    assert found(rows, wrapped) == expected


#: Where llama-index-core's reference raises on these rows, or compares what only Python compares.
def reference(filter_: MetadataFilter) -> str | None:
    matches = build_metadata_filter_fn(lambda id_: ROWS[id_], all_of(filter_))
    try:
        return " ".join(id_ for id_ in ROWS if matches(id_))
    except TypeError:
        return None


#: ... and where we differ on purpose: docs/llamaindex.md.
DIFFERENT = [
    one("b", 1),  # Python's True is 1
    one("b", "true"),
    one("b", "false"),
    one("b", "true", OP.NE),
    one("b", ["true"], OP.IN),
    one("missing", None),
    one("nul", None),
    one("l", "x", OP.CONTAINS),  # a text that holds a text
]


def test_the_reference_of_llama_index_agrees() -> None:
    compared = 0
    for filters, expected in TABLE:
        if (
            isinstance(filters, MetadataFilters)
            or filters in DIFFERENT
            or filters.key in ("ref_doc_id", "doc_id", "document_id")
        ):
            continue
        wanted = reference(filters)
        if wanted is not None:
            assert wanted == expected, filters
            compared += 1
    assert compared > 25


@pytest.mark.parametrize(
    "filters",
    [
        "year > 2020",
        {"year": 2020},
        [one("s", "a")],
        SimpleNamespace(key="s", value="a", operator="$eq"),
        SimpleNamespace(key="s", value="a", operator=None),
        SimpleNamespace(key="s", value={1, 2}, operator="=="),
        SimpleNamespace(key="", value="a", operator="=="),
        SimpleNamespace(key=7, value="a", operator="=="),
        SimpleNamespace(key="a\0", value="a", operator="=="),
        SimpleNamespace(key="a", value="a\0", operator="=="),
        SimpleNamespace(key="a", value=float("nan"), operator="=="),
        SimpleNamespace(filters=[one("s", "a")], condition="xor"),
        SimpleNamespace(filters=[], condition="xor"),
        SimpleNamespace(filters=None, condition="and"),
        SimpleNamespace(filters=[one("s", "a"), None], condition="and"),
        all_of(all_of()),
        none_of(one("s", "a"), any_of()),
        one("s", "abc", OP.IN),
        one("s", None, OP.IN),
        one("s", "abc", OP.ANY),
        one("s", 5, OP.ALL),
        one("l", ["x"], OP.CONTAINS),
        one("s", 5, OP.TEXT_MATCH),
        one("s", ["a"], OP.TEXT_MATCH_INSENSITIVE),
        one("s", None, OP.GT),
        one("s", ["a"], OP.LTE),
    ],
    ids=str,
)
def test_what_is_malformed_raises_and_never_fails_open(make: Make, filters: Any) -> None:
    with pytest.raises(FilterError):
        parse_metadata_filters(filters)


def test_deep_nesting_is_an_error_of_ours() -> None:
    filters: Any = one("s", "a")
    for _ in range(150):
        filters = SimpleNamespace(filters=[filters], condition="not")
    with pytest.raises(FilterError, match="deeper"):
        parse_metadata_filters(filters)


def test_a_user_s_own_document_id_goes_before_the_column(make: Make) -> None:
    """llama_index#17025: there it is overwritten."""
    for place in ("collection", "json"):
        store = make(place)
        source = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id="real")}
        store.add(
            [
                TextNode(id_="own", text="t", metadata={"document_id": "mine"}, embedding=[1, 0], relationships=source),
                TextNode(id_="other", text="t", embedding=[1, 0], relationships=source),
            ]
        )
        assert found(store, all_of(one("document_id", "mine"))) == "own"
        assert found(store, all_of(one("document_id", "real"))) == "other"
        assert store.get_nodes(["own"])[0].metadata == {"document_id": "mine"}
        store.delete("real")
        assert store.get_nodes(["own", "other"]) == []
