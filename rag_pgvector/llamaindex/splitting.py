"""LlamaIndex's node parsers as splitters of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.schema import Document, MetadataMode

from rag_pgvector.errors import ConfigError

__all__ = ["as_splitter"]


def as_splitter(parser: Any) -> Callable[[str], list[str]]:
    """A node parser for ``ChunkOptions(splitter=...)``: those that only take documents, too (sentence windows,
    Markdown, semantic). The chunks are the nodes' texts, which must be slices of the text in its order.

    Raises ConfigError for what is no node parser.
    """
    if not hasattr(parser, "get_nodes_from_documents"):
        raise ConfigError(f"parser={parser!r:.80}: give one of LlamaIndex's node parsers")

    def split(text: str) -> list[str]:
        nodes = parser.get_nodes_from_documents([Document(text=text)])
        return [node.get_content(MetadataMode.NONE) for node in nodes]

    split.__qualname__ = type(parser).__qualname__
    split.__dict__.update({k: v for k, v in vars(parser).items() if isinstance(v, (int, str, float))})
    return split
