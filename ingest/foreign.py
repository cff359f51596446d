"""Documents of LangChain and LlamaIndex, from any loader of theirs, as ours. Known by their shape, not by their class.

A LangChain ``Document`` has ``page_content`` and ``metadata``; a LlamaIndex ``Document`` or node has ``get_content``,
``metadata`` and ``node_id``. What a loader says of page and row is kept: LangChain counts pages from 0, LlamaIndex
writes them as ``page_label``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rag_pgvector.errors import ConfigError
from rag_pgvector.ingest.loaders import LoadedDocument, Piece
from rag_pgvector.ingest.loaders.parts import clean
from rag_pgvector.ingest.loaders.text import divided
from rag_pgvector.types import Document

__all__ = ["foreign_documents", "is_foreign"]

_SOURCES = ("source", "file_path", "url", "file_name", "title")


def is_foreign(item: object) -> bool:
    """Whether this is a document or node of one of the frameworks."""
    return hasattr(item, "metadata") and (hasattr(item, "page_content") or hasattr(item, "get_content"))


def foreign_documents(items: Iterable[Any]) -> Iterator[LoadedDocument]:
    """Each as a document of its own, divided as text; its metadata goes to every chunk.

    Its id is that of the framework's document where it has one of its own, else its source with page or row, so that
    the same document ingested again is the same. Raises ConfigError for one that holds no text.
    """
    seen: dict[str, int] = {}
    for item in items:
        text = clean(_text(item))
        metadata = dict(item.metadata or {})
        source = str(next((metadata[name] for name in _SOURCES if metadata.get(name)), "document"))
        page_or_row = _place(metadata)
        id_ = _own_id(item) or (source if page_or_row is None else f"{source}#{page_or_row}")
        seen[id_] = number = seen.get(id_, 0) + 1
        if number > 1:
            id_ = f"{id_}#{number}"
        piece_metadata = {key: value for key, value in metadata.items() if key != "headings"}
        pieces = [
            Piece(
                char_start=piece.char_start,
                char_end=piece.char_end,
                blocks=piece.blocks,
                page_or_row=page_or_row,
                metadata={**piece_metadata, **piece.metadata},
            )
            for piece in divided(text)
        ]
        yield LoadedDocument(
            document=Document(
                id=id_,
                source=source,
                text=text,
                loader="framework",
                content_hash=hashlib.sha256(f"{text}\0{sorted(metadata.items(), key=str)}".encode()).digest(),
            ),
            pieces=pieces,
        )


def _text(item: Any) -> str:
    text = item.page_content if hasattr(item, "page_content") else item.get_content()
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"document {item!r:.80} holds no text: leave it out")
    return text


def _own_id(item: Any) -> str | None:
    """The id, unless it is one that LlamaIndex draws by lot for every new object."""
    id_ = getattr(item, "id", None) if hasattr(item, "page_content") else getattr(item, "node_id", None)
    if not isinstance(id_, str) or not id_:
        return None
    drawn = not hasattr(item, "page_content") and len(id_) == 36 and id_.count("-") == 4
    return None if drawn else id_


def _place(metadata: Mapping[str, Any]) -> int | None:
    """1-based page, or 0-based row."""
    for name, first in (("row", 0), ("page", 1), ("page_label", 0), ("page_number", 0)):
        value = metadata.get(name)
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
            number = int(value) + first
            return number if 0 <= number < 1 << 31 else None
    return None
