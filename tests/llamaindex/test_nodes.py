"""LlamaIndex's nodes come back from the store as they went in."""

from __future__ import annotations

from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageNode,
    IndexNode,
    MediaResource,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)

from rag_pgvector.llamaindex import PGVectorStore
from tests.llamaindex.conftest import Call


def rich() -> list[BaseNode]:
    info = RelatedNodeInfo(node_id="other", metadata={"k": [1, None]}, hash="h")
    relations: dict[Any, Any] = {
        NodeRelationship.SOURCE: RelatedNodeInfo(node_id="doc", metadata={"file": "a.md"}),
        NodeRelationship.NEXT: info,
        NodeRelationship.CHILD: [info],
    }
    metadata = {
        "s": "O'Brien",
        "n": 3,
        "f": 0.5,
        "none": None,
        "list": [1, 2],
        "deep": {"a.b": "x"},
        "ü": "é",
        "z": {"b": [{"y": 1, "x": 2}], "a": 1},
    }
    return [
        TextNode(
            id_="text",
            text="Grüße",
            metadata=metadata,
            relationships=relations,
            start_char_idx=7,
            end_char_idx=12,
            excluded_llm_metadata_keys=["s"],
            excluded_embed_metadata_keys=["n"],
            metadata_template="{key}={value}",
            text_template="{content}",
            mimetype="text/markdown",
        ),
        TextNode(
            id_="own", text="own keys", metadata={"document_id": "mine", "doc_id": 5, "source": "s", "page_or_row": 9}
        ),
        IndexNode(id_="index", text="points", index_id="text", obj=TextNode(id_="inner", text="inner")),
        ImageNode(id_="image", text="seen", image="aGk=", image_mimetype="image/png"),
        Node(id_="node", text_resource=MediaResource(text="hm", mimetype="text/plain"), metadata={"a": 1}),
        Document(id_="document", text="a whole document", metadata={"title": "T"}),
        TextNode(id_="empty", text=""),
    ]


def test_nodes_come_back_as_they_were(store: PGVectorStore, call: Call) -> None:
    nodes = rich()
    for each in nodes:
        each.embedding = [1.0, 0.5]
    call(store, "add", nodes)
    found = {each.node_id: each for each in call(store, "get_nodes", [each.node_id for each in nodes])}
    for each in nodes:
        assert type(found[each.node_id]) is type(each)
        assert found[each.node_id].to_dict() == each.to_dict()
        assert found[each.node_id].hash == each.hash


def test_an_object_that_an_index_node_points_to_is_left_out(store: PGVectorStore) -> None:
    store.add([IndexNode(id_="i", text="t", index_id="x", obj=object(), embedding=[1, 0])])
    [found] = store.get_nodes(["i"])
    assert isinstance(found, IndexNode)
    assert (found.index_id, found.obj) == ("x", None)
