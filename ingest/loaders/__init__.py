"""Loaders: a file in, documents with their exact text and its natural parts out.

A loader is chosen by the file's suffix. It opens the file itself, so that a table can be read as a stream, and yields
one ``LoadedDocument`` per document in it (most files hold one). Loaders are imported when a file needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, Protocol, cast, get_args

from rag_pgvector.errors import ConfigError, LoadError
from rag_pgvector.types import Document

__all__ = [
    "Block",
    "LoadedDocument",
    "Loader",
    "Piece",
    "SourceFile",
    "TableOptions",
    "has_loader",
    "load",
    "loader_for",
    "register_loader",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """How the rows of tables (CSV, Excel, Parquet, JSON lines) become chunks.

    Attributes:
        content: A template of the text of a row, such as ``"{name}: {price} per {unit}"``; ``{{`` and ``}}`` are
            braces. ``None`` writes every filled cell as a line ``column: value``.
        id_column: The column whose values name the rows, so that a row keeps its id when others come and go; values
            must be unique and not empty. ``None`` names rows by their number.
        metadata_columns: The columns that become metadata; ``None`` takes all.
        types: Column to "text", "integer", "number" or "boolean", where the detected type is not what is meant.
        header: Of CSV: whether the first record names the columns; ``None`` detects it, and so below.
        delimiter: Of CSV: one character.
        encoding: Of CSV: a codec's name.
        decimal: Of CSV: "." or ","; with "," 1.234,5 is the number 1234.5.
    """

    content: str | None = None
    id_column: str | None = None
    metadata_columns: tuple[str, ...] | None = None
    types: Mapping[str, Literal["text", "integer", "number", "boolean"]] = field(default_factory=dict)
    header: bool | None = None
    delimiter: str | None = None
    encoding: str | None = None
    decimal: Literal[".", ","] | None = None

    def __post_init__(self) -> None:
        if wrong := {name: kind for name, kind in self.types.items() if kind not in get_args(_TYPES)}:
            raise ConfigError(f"types={wrong!r}: use text, integer, number or boolean")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n\0'):
            raise ConfigError(f"delimiter={self.delimiter!r}: use one character, no quote and no line end")
        if self.decimal not in (None, ".", ","):
            raise ConfigError(f"decimal={self.decimal!r}: use '.' or ','")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except LookupError:
                raise ConfigError(f"encoding={self.encoding!r}: Python knows no such text encoding") from None


_TYPES = Literal["text", "integer", "number", "boolean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file to load.

    Attributes:
        path: Where to read it.
        source: How users know it: the path below the ingested folder, with forward slashes.
        document_id: The id of its document; a loader that finds several in one file appends to it.
        content_hash: What ``Document.content_hash`` shall be.
        table: How rows of tables become chunks.
    """

    path: Path
    source: str
    document_id: str
    content_hash: bytes = b""
    table: TableOptions = TableOptions()


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
        name: What names its chunk within the document; ``None`` takes the row's number, or the content's hash.
    """

    char_start: int
    char_end: int
    blocks: tuple[Block, ...] = ()
    page_or_row: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDocument:
    """A document with its text, its pieces in order, and the parts of the source that could not be read."""

    document: Document
    pieces: Sequence[Piece]
    rejected: tuple[LoadError, ...] = ()


class Loader(Protocol):
    """What reads one kind of file.

    ``name`` is stored with the document; ``version`` is raised when the loader's output changes, so that files loaded
    by the older one are loaded again.
    """

    name: str
    version: int

    def load(self, file: SourceFile) -> Iterator[LoadedDocument | LoadError]:
        """The documents of a file, and what of it could not be read where that belongs to no document (a member of an
        archive). Raises LoadError with the reason where there is nothing to read."""
        ...


_HERE = "rag_pgvector.ingest.loaders"

#: Source code of the usual languages. Another suffix that holds text is read as plain text.
CODE_SUFFIXES = (
    *(".py", ".pyi", ".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".java", ".kt", ".scala", ".go", ".rs", ".c", ".h"),
    *(".cc", ".cpp", ".cxx", ".hpp", ".cs", ".swift", ".rb", ".php", ".pl", ".pm", ".lua", ".r", ".jl", ".ex", ".exs"),
    *(".erl", ".hs", ".ml", ".clj", ".sh", ".bash", ".zsh", ".ps1", ".sql", ".toml", ".yaml", ".yml", ".ini", ".cfg"),
    *(".proto", ".tf", ".css", ".scss", ".vue", ".svelte", ".dart", ".m", ".mm", ".f90", ".asm", ".s", ".cmake"),
)

#: Suffix to the factory of its loader, or to its "module:Class". The empty suffix is a name such as LICENSE.
_LOADERS: dict[str, str | Callable[[], Loader]] = {
    **dict.fromkeys((".csv", ".tsv", ".tab"), f"{_HERE}.csv:CsvLoader"),
    **dict.fromkeys((".md", ".markdown", ".mkd", ".mdx"), f"{_HERE}.text:MarkdownLoader"),
    **dict.fromkeys((".rst", ".rest"), f"{_HERE}.text:RstLoader"),
    **dict.fromkeys((".txt", ".text", ".log", ""), f"{_HERE}.text:TextLoader"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), f"{_HERE}.records:JsonLoader"),
    **dict.fromkeys((".xlsx", ".xlsm"), f"{_HERE}.records:ExcelLoader"),
    **dict.fromkeys((".parquet", ".pq"), f"{_HERE}.records:ParquetLoader"),
    **dict.fromkeys((".html", ".htm", ".xhtml"), f"{_HERE}.html:HtmlLoader"),
    ".pdf": f"{_HERE}.pdf:PdfLoader",
    ".docx": f"{_HERE}.office:DocxLoader",
    ".pptx": f"{_HERE}.office:PptxLoader",
    ".eml": f"{_HERE}.email:EmailLoader",
    ".zip": f"{_HERE}.archive:ZipLoader",
    **dict.fromkeys(CODE_SUFFIXES, f"{_HERE}.code:CodeLoader"),
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


def has_loader(name: str) -> bool:
    """Whether a file of this name has a loader by its suffix."""
    suffix = Path(name).suffix.lower()
    return bool(suffix) and suffix in _LOADERS


def load(path: str | Path, *, table: TableOptions | None = None) -> Iterator[LoadedDocument]:
    """The documents of one file, without ingesting it.

    Raises LoadError with file, place and reason; where only a part of the file (a member of an archive) cannot be read,
    after everything else was given.
    """
    path = Path(path)
    if not path.is_file():  # a pipe would never end
        raise LoadError(str(path), "not a regular file" if path.exists() else "no such file")
    file = SourceFile(path=path, source=path.name, document_id=path.name, table=table or TableOptions())
    failed = None
    for loaded in loader_for(path).load(file):
        if isinstance(loaded, LoadError):
            failed = failed or loaded
        else:
            yield loaded
    if failed is not None:
        raise failed
