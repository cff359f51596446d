"""Loaders: a file in, documents with their exact text and its natural parts out.

A loader is chosen by the file's suffix. It opens the file itself, so that a table can be read as a stream, and yields
one ``LoadedDocument`` per document in it (most files hold one). Loaders are imported when a file needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from rag_pgvector.errors import ConfigError, LoadError
from rag_pgvector.types import Document

__all__ = ["Block", "LoadedDocument", "Loader", "Piece", "SourceFile", "load", "loader_for", "register_loader"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file to load.

    Attributes:
        path: Where to read it.
        source: How users know it: the path below the ingested folder, with forward slashes.
        document_id: The id of its document; a loader that finds several in one file appends to it.
        content_hash: What ``Document.content_hash`` shall be.
    """

    path: Path
    source: str
    document_id: str
    content_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Block:
    """A paragraph, heading or block of code: ``document.text[char_start:char_end]``, without the blank lines around it.

    ``keep_with_next`` marks a heading or a directive, which says nothing without what follows.
    """

    char_start: int
    char_end: int
    kind: Literal["prose", "literal"] = "prose"
    keep_with_next: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A natural part of a document (a section, a table's row). A chunk never reaches over the end of a piece.

    Attributes:
        char_start: First code point of the piece in the document's text.
        char_end: One past its last.
        blocks: Where the piece may be divided; empty for a piece that stays whole, whatever its length.
        page_or_row: 1-based page, or 0-based data row.
        metadata: What the chunks of this piece carry as metadata.
    """

    char_start: int
    char_end: int
    blocks: tuple[Block, ...] = ()
    page_or_row: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDocument:
    """A document with its text, its pieces in order, and the parts of the source that could not be read.

    ``pieces`` can be iterated again; a large table's are made anew each time instead of being held in memory.
    """

    document: Document
    pieces: Iterable[Piece]
    rejected: tuple[LoadError, ...] = ()


class Loader(Protocol):
    """What reads one kind of file.

    ``name`` is stored with the document; ``version`` is raised when the loader's output changes, so that files loaded
    by the older one are loaded again.
    """

    name: str
    version: int

    def load(self, file: SourceFile) -> Iterator[LoadedDocument]:
        """The documents of a file. Raises LoadError with the reason where there is nothing to read."""
        ...


_HERE = "rag_pgvector.ingest.loaders"

#: Suffix to the factory of its loader, or to its "module:Class". The empty suffix is a name such as LICENSE.
_LOADERS: dict[str, str | Callable[[], Loader]] = {
    **dict.fromkeys((".csv", ".tsv", ".tab"), f"{_HERE}.csv:CsvLoader"),
    **dict.fromkeys((".md", ".markdown", ".mkd", ".mdx"), f"{_HERE}.text:MarkdownLoader"),
    **dict.fromkeys((".rst", ".rest"), f"{_HERE}.text:RstLoader"),
    **dict.fromkeys((".txt", ".text", ".log", ""), f"{_HERE}.text:TextLoader"),
}
_UNKNOWN = f"{_HERE}.text:UnknownLoader"


def register_loader(suffixes: Iterable[str], factory: Callable[[], Loader]) -> None:
    """Use a loader of your own for files with these suffixes (".xyz"), also in place of one of ours."""
    for suffix in suffixes:
        if suffix and not suffix.startswith("."):
            raise ConfigError(f"suffix {suffix!r}: begin it with a dot, as in '.xyz'")
        _LOADERS[suffix.lower()] = factory


def loader_for(path: Path) -> Loader:
    """The loader for a file's suffix; for a suffix that has none, one that takes the file if it is text."""
    entry = _LOADERS.get(path.suffix.lower(), _UNKNOWN)
    if not isinstance(entry, str):
        return entry()
    module, _, name = entry.partition(":")
    return cast(Loader, getattr(import_module(module), name)())


def load(path: str | Path) -> Iterator[LoadedDocument]:
    """Load one file without ingesting it. Raises LoadError with file, place and reason."""
    path = Path(path)
    return loader_for(path).load(SourceFile(path=path, source=path.name, document_id=path.name))
