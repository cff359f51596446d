"""A document's blocks with what its format says of them, and the pieces (sections, pages) that they make."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rag_pgvector.errors import LoadError
from rag_pgvector.ingest.loaders import Block, LoadedDocument, Piece, SourceFile
from rag_pgvector.types import Document

__all__ = ["Part", "TextBuilder", "clean", "sections"]


@dataclass(frozen=True, slots=True)
class Part:
    """A block of a document. ``level`` 0 is no heading; ``page`` is 1-based where the format has pages."""

    block: Block
    title: str = ""
    level: int = 0
    page: int | None = None


def sections(parts: Sequence[Part]) -> list[Piece]:
    """One piece per section and page. A heading right above a deeper one goes with it, rather than standing alone."""
    pieces: list[Piece] = []
    path: list[tuple[int, str]] = []
    section: list[Part] = []

    def close() -> None:
        if section:
            metadata: dict[str, Any] = {"headings": [title for _, title in path]} if path else {}
            blocks = tuple(part.block for part in section)
            start, end = blocks[0].char_start, blocks[-1].char_end
            pieces.append(
                Piece(char_start=start, char_end=end, blocks=blocks, page_or_row=section[0].page, metadata=metadata)
            )
            section.clear()

    for part in parts:
        if section and part.page != section[-1].page:
            close()
        if part.level:
            labels: list[Part] = []
            while section and section[-1].block.keep_with_next and not section[-1].level:
                labels.insert(0, section.pop())  # a link target stands above the title that it points to
            bare = all(above.level or above.block.keep_with_next for above in section)
            if not (bare and path and part.level > path[-1][0]):
                close()
            while path and path[-1][0] >= part.level:
                path.pop()
            path.append((part.level, part.title))
            section.extend(labels)
        section.append(part)
    close()
    return pieces


#: NUL and half characters, which Postgres cannot store, and what else only damages text.
_UNSTORABLE = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def clean(text: str) -> str:
    """Extracted text without the characters that no text has; line ends become LF."""
    return _UNSTORABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


class TextBuilder:
    """Grows the text of a document that has no text form of its own, and remembers where each block stands in it.

    Blocks are divided by a blank line. What is added is cleaned; blocks of white space only are left out.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._size = 0
        self._parts: list[Part] = []
        self._page: int | None = None

    def page(self, number: int) -> None:
        """What follows stands on this 1-based page (slide, sheet)."""
        self._page = number

    def heading(self, text: str, level: int = 1) -> None:
        """A title; it opens a section and stays with what follows."""
        title = " ".join(clean(text).split())
        self._add(title, title=title, level=level, keep=True)

    def paragraph(self, text: str, *, keep_with_next: bool = False, goes_on: bool = False) -> None:
        """A paragraph; ``goes_on`` continues the one before, on another page: a line end divides the two."""
        self._add(clean(text).strip(), keep=keep_with_next, gap="\n" if goes_on else "\n\n")

    def literal(self, text: str) -> None:
        """Code or a table: white space counts, and it is divided between lines."""
        self._add(clean(text).strip("\n").rstrip(), literal=True)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Rows of cells, one line each, cells divided by a bar."""
        lines = []
        for row in rows:
            cells = [" ".join(clean(cell).split()) for cell in row]
            if any(cells):
                lines.append(" | ".join(cells))
        self.literal("\n".join(lines))

    def _add(
        self,
        text: str,
        *,
        literal: bool = False,
        keep: bool = False,
        title: str = "",
        level: int = 0,
        gap: str = "\n\n",
    ) -> None:
        if not text.strip():
            return
        start = self._size
        if self._texts:
            text = gap + text
            start += len(gap)
        self._texts.append(text)
        self._size += len(text)
        block = Block(start, self._size, "literal" if literal else "prose", keep)
        self._parts.append(Part(block, title, level, self._page))

    @property
    def empty(self) -> bool:
        return not self._texts

    def loaded(
        self,
        file: SourceFile,
        loader: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        rejected: Sequence[LoadError] = (),
        nothing: str = "it holds no text",
    ) -> LoadedDocument:
        """The document of what was added. Raises LoadError (``nothing``) where there is no text."""
        if self.empty:
            raise rejected[0] if len(rejected) == 1 else LoadError(file.source, nothing)
        document = Document(
            id=file.document_id,
            source=file.source,
            text="".join(self._texts),
            loader=loader,
            metadata={key: value for key, value in (metadata or {}).items() if value},
            content_hash=file.content_hash,
        )
        return LoadedDocument(document=document, pieces=sections(self._parts), rejected=tuple(rejected))
