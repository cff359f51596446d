"""Between LlamaIndex's nodes and our chunks, losing nothing.

In a native collection the node goes into column ``node`` without its text, metadata and embedding, which have columns
of their own: whatever another framework changes there is what the node has when it is read again. A table laid out by
llama-index-vector-stores-postgres keeps what that writes: the node as JSON text under ``_node_content`` in its
metadata, which that package can go on reading.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from llama_index.core.schema import (
    BaseNode,
    Document,
    ImageDocument,
    ImageNode,
    IndexNode,
    MetadataMode,
    Node,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)

from rag_pgvector.errors import ChunkError
from rag_pgvector.filters.llamaindex import DOCUMENT_KEYS
from rag_pgvector.types import Chunk

__all__ = ["chunk_of", "chunks_of", "node_of", "peer_chunk_of", "peer_node_of"]

_KINDS: dict[str, type[BaseNode]] = {
    kind.class_name(): kind for kind in (Node, TextNode, ImageNode, IndexNode, Document, ImageDocument)
}
#: What a chunk knows of its place, which rag_pgvector.langchain shows as metadata.
_PLACE = ("document_id", "source", "page_or_row", "char_start", "char_end")
#: Where LlamaIndex's readers say where a text came from.
_SOURCE_KEYS = ("source", "file_path", "file_name", "url")
_PAGE_KEYS = ("page_or_row", "page_label")
#: jsonb orders keys by itself, and the order of the metadata is that of prompts and part of a node's hash.
_KEYS, _NESTED = "metadata_keys", "metadata_nested"
_PEER_KEYS = ("_node_content", "_node_type")


def chunks_of(nodes: Iterable[BaseNode], *, native: bool) -> list[Chunk]:
    """The nodes as chunks. Raises ChunkError for what is no node, or one without an embedding."""
    if isinstance(nodes, BaseNode) or not isinstance(nodes, Iterable):
        raise ChunkError(f"nodes is {type(nodes).__name__}: give a list of nodes")
    return [(chunk_of if native else peer_chunk_of)(_checked(node)) for node in nodes]


def _checked(node: Any) -> BaseNode:
    if not isinstance(node, BaseNode):
        raise ChunkError(f"{node!r:.60} is of type {type(node).__name__}: give nodes of llama_index.core.schema")
    if node.embedding is None:
        raise ChunkError(f"node {node.node_id!r} has no embedding: embed it first, as VectorStoreIndex does")
    return node


def _dump(node: BaseNode) -> dict[str, Any]:
    """The node as JSON values."""
    if isinstance(node, IndexNode) and node.obj is not None and not isinstance(node.obj, BaseNode):
        node = node.model_copy(update={"obj": None})  # a retriever or a query engine, which is no data
    try:
        return dict(node.model_dump(mode="json"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ChunkError(
            f"node {node.node_id!r} cannot be stored ({error}): use text, numbers, booleans, lists and dictionaries as "
            "metadata"
        ) from error


def _whole(value: Any, least: int = 0) -> int | None:
    return value if type(value) is int and least <= value < 2**31 else None


def _first(metadata: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((metadata[key] for key in keys if metadata.get(key) not in (None, "")), None)


# ----------------------------------------------------------------------------------------------------------- native


def chunk_of(node: BaseNode) -> Chunk:
    """A node as a row of a native collection.

    Its document's id, its place in the document's text, and where its readers say that it came from (``source``,
    ``file_path``, ``file_name`` or ``url``; ``page_or_row`` or ``page_label``) also go into the chunk's columns, from
    which citations are made; the metadata stays as it is.
    """
    data = _dump(node)
    metadata = data.pop("metadata", None) or {}
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    for name in ("id_", "embedding", "text"):
        data.pop(name, None)
    if isinstance(data.get("text_resource"), dict):
        data["text_resource"]["text"] = None
    start, end = _whole(data.get("start_char_idx")), _whole(data.get("end_char_idx"))
    if start is not None and end is not None:
        del data["start_char_idx"], data["end_char_idx"]
    else:
        start = end = None
    source, page = _first(metadata, _SOURCE_KEYS), _first(metadata, _PAGE_KEYS)
    if isinstance(page, str) and page.isascii() and page.isdigit() and len(page) < 10:
        page = int(page)
    return Chunk(
        id=node.node_id,
        content=text,
        metadata=metadata,
        embedding=node.embedding,
        document_id=node.ref_doc_id or None,
        source=source if isinstance(source, str) else None,
        page_or_row=_whole(page),
        char_start=start,
        char_end=end,
        node={
            **data,
            "class_name": node.class_name(),
            _KEYS: list(metadata),
            _NESTED: {key: json.dumps(value) for key, value in metadata.items() if _has_order(value)},
        },
    )


def _has_order(value: Any) -> bool:
    """Whether a JSON value holds a dictionary of several keys."""
    if isinstance(value, dict):
        return len(value) > 1 or any(map(_has_order, value.values()))
    return isinstance(value, list) and any(map(_has_order, value))


def _in_order(metadata: dict[str, Any], original: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata in the order of the original, down to its dictionaries where they are still the same."""
    found = {}
    for key, value in original.items():
        if key in metadata:
            found[key] = value if metadata[key] == value else metadata[key]
    return {**found, **metadata, **found}


def node_of(chunk: Chunk) -> BaseNode:
    """The node that a row of a native collection holds, or a TextNode made of a row that another framework wrote.

    Such a one gets ``source`` and ``page_or_row`` as metadata where it has no keys of these names.
    """
    metadata = dict(chunk.metadata)
    stored = dict(chunk.node or {})
    keys, nested = stored.pop(_KEYS, ()), stored.pop(_NESTED, {})
    if chunk.node is None:
        for name in ("source", "page_or_row"):
            if getattr(chunk, name) is not None:
                metadata.setdefault(name, getattr(chunk, name))
    else:  # what LangChain's Document showed of the columns, and wrote back as metadata
        for name in _PLACE:
            if name not in keys and name in metadata and metadata[name] == getattr(chunk, name):
                del metadata[name]
        original = {key: json.loads(nested[key]) if key in nested else metadata.get(key) for key in keys}
        metadata = _in_order(metadata, original)
    node = _build(stored, chunk.content, metadata)
    node.id_ = chunk.id or node.id_
    if isinstance(node, TextNode) and chunk.char_start is not None and chunk.char_end is not None:
        node.start_char_idx, node.end_char_idx = chunk.char_start, chunk.char_end
    if chunk.document_id is not None and node.ref_doc_id != chunk.document_id:
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=chunk.document_id)
    return _embedded(node, chunk)


def _build(data: Mapping[str, Any], text: str, metadata: dict[str, Any]) -> BaseNode:
    """The node of stored JSON; a plain TextNode where that is none any more."""
    kind = _KINDS.get(str(data.get("class_name")), TextNode)
    resource = data.get("text_resource")
    if issubclass(kind, TextNode):
        content: dict[str, Any] = {"text": text}
    else:
        content = {"text_resource": {**(resource or {}), "text": text} if text or resource else None}
    try:
        return kind.from_dict({**data, **content, "metadata": metadata})
    except (TypeError, ValueError, KeyError, AttributeError):
        return TextNode(text=text, metadata=metadata)


def _embedded(node: BaseNode, chunk: Chunk) -> BaseNode:
    node.embedding = None if chunk.embedding is None else [float(x) for x in chunk.embedding]
    return node


# ------------------------------------------------------------------------------------------------------ peer's table


def peer_chunk_of(node: BaseNode) -> Chunk:
    """A node as a row of a table of llama-index-vector-stores-postgres (its core's ``node_to_metadata_dict``).

    A ``document_id`` or ``doc_id`` of the user's own stays (there it is overwritten, run-llama/llama_index#17025).
    """
    data = _dump(node)
    own = dict(data.get("metadata") or {})
    if "text" in data:
        data["text"] = ""
    resource = data.pop("text_resource", None)
    if isinstance(resource, dict) and any(value for name, value in resource.items() if name != "text"):
        data["text_resource"] = {**resource, "text": None}
    data["embedding"] = None
    reference = node.ref_doc_id or "None"
    return Chunk(
        id=node.node_id,
        content=node.get_content(metadata_mode=MetadataMode.NONE),
        metadata={
            "document_id": reference,
            "doc_id": reference,
            **own,
            "ref_doc_id": reference,
            "_node_content": json.dumps(data, ensure_ascii=False),
            "_node_type": node.class_name(),
        },
        embedding=node.embedding,
    )


def peer_node_of(chunk: Chunk) -> BaseNode:
    """The node of such a row. Changes to the metadata beside ``_node_content`` are seen."""
    stored = dict(chunk.metadata)
    content, kind = (stored.pop(key, None) for key in _PEER_KEYS)
    try:
        data = json.loads(content) if isinstance(content, str) else None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        node: BaseNode = TextNode(text=chunk.content, metadata=stored)
    else:
        inner = data.get("metadata")
        inner = inner if isinstance(inner, dict) else {}
        reference = stored.get("ref_doc_id")
        for key in DOCUMENT_KEYS:  # the store's own; the user's own of that name stands in the content
            value = stored.pop(key, None)
            if key in inner:
                stored[key] = inner[key] if value in (None, reference) else value
        stored.update({key: inner[key] for key in _PEER_KEYS if key in inner})
        stored = _in_order(stored, inner)
        node = _build({**data, "class_name": kind or data.get("class_name")}, chunk.content, stored)
    node.id_ = chunk.id or node.id_
    return _embedded(node, chunk)
