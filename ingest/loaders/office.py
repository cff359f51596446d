"""Office documents: DOCX by python-docx, PPTX by python-pptx. Both are zip archives, and first checked as such."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from rag_pgvector.errors import LoadError, MissingDependencyError
from rag_pgvector.ingest.loaders import LoadedDocument, SourceFile
from rag_pgvector.ingest.loaders.archive import check_package
from rag_pgvector.ingest.loaders.numbering import Numbering
from rag_pgvector.ingest.loaders.parts import TextBuilder

__all__ = ["DocxLoader", "PptxLoader"]

_HEADING = re.compile(r"(?:heading|überschrift|titre|encabezado|título|titolo|rubrik|kop)\s*([1-9])", re.IGNORECASE)


class DocxLoader:
    """Paragraphs under their headings, tables row by row, in the order of the document; numbers as Word shows them."""

    name = "docx"
    version = 2

    def load(self, file: SourceFile) -> Iterator[LoadedDocument]:
        """One document. Raises LoadError for what is no DOCX, is a bomb, or holds no text."""
        check_package(file)
        try:
            import docx
        except ImportError as error:
            raise MissingDependencyError("python-docx", "ingest") from error
        try:
            document = docx.Document(str(file.path))
        except Exception as error:
            raise LoadError(file.source, f"it cannot be opened as DOCX ({_short(error)})") from error
        builder = TextBuilder()
        numbering = Numbering(document)
        for item in document.iter_inner_content():
            if hasattr(item, "rows"):
                builder.table(_rows(item, numbering))
            else:
                _paragraph(builder, item, numbering)
        properties = document.core_properties
        metadata = {"title": properties.title, "author": properties.author}
        yield builder.loaded(file, self.name, metadata=metadata)


def _paragraph(builder: TextBuilder, paragraph: Any, numbering: Numbering) -> None:
    text = paragraph.text
    if not text.strip():
        return
    style = getattr(paragraph.style, "name", None) or ""
    marker = numbering.marker(paragraph)
    if style == "Title":
        builder.heading(text, 1)
    elif found := _HEADING.fullmatch(style):
        builder.heading(f"{marker} {text}" if marker != "-" else text, int(found[1]) + 1)
    elif marker or style.startswith("List"):
        builder.paragraph(f"{marker or '-'} {text}")
    else:
        builder.paragraph(text)


def _rows(table: Any, numbering: Numbering) -> list[list[str]]:
    """A merged cell, which python-docx repeats, stands once."""
    rows = []
    for row in table.rows:
        cells: list[Any] = []
        for cell in row.cells:
            if not cells or cell._tc is not cells[-1]._tc:
                cells.append(cell)
        rows.append([_cell(cell, numbering) for cell in cells])
    return rows


def _cell(cell: Any, numbering: Numbering) -> str:
    texts = [
        f"{numbering.marker(each).strip('-')} {each.text}".strip() for each in cell.paragraphs if each.text.strip()
    ]
    inner = [" ".join(part for row in _rows(table, numbering) for part in row) for table in cell.tables]
    return " ".join([*texts, *inner])


class PptxLoader:
    """One piece per slide (``page_or_row`` is its 1-based number): title, text, tables, then the speaker's notes."""

    name = "pptx"
    version = 1

    def load(self, file: SourceFile) -> Iterator[LoadedDocument]:
        """One document. Raises LoadError for what is no PPTX, is a bomb, or holds no text."""
        check_package(file)
        try:
            import pptx
        except ImportError as error:
            raise MissingDependencyError("python-pptx", "ingest") from error
        try:
            presentation = pptx.Presentation(str(file.path))
            slides = list(presentation.slides)
        except Exception as error:
            raise LoadError(file.source, f"it cannot be opened as PPTX ({_short(error)})") from error
        builder = TextBuilder()
        rejected = []
        for number, slide in enumerate(slides, start=1):
            builder.page(number)
            try:
                title = slide.shapes.title
                if title is not None and title.text.strip():
                    builder.heading(title.text)
                for shape in _in_reading_order(slide.shapes):
                    if title is None or shape.shape_id != title.shape_id:
                        _shape(builder, shape)
                if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
                    builder.paragraph(slide.notes_slide.notes_text_frame.text)
            except Exception as error:  # noqa: BLE001 - a broken slide is reported, the others go in
                rejected.append(
                    LoadError(file.source, f"the slide cannot be read ({_short(error)})", f"slide {number}")
                )
        properties = presentation.core_properties
        metadata = {"title": properties.title, "author": properties.author}
        yield builder.loaded(file, self.name, metadata=metadata, rejected=rejected)


def _in_reading_order(shapes: Any) -> list[Any]:
    return sorted(shapes, key=lambda shape: (getattr(shape, "top", None) or 0, getattr(shape, "left", None) or 0))


def _shape(builder: TextBuilder, shape: Any) -> None:
    if getattr(shape, "has_table", False):
        builder.table([[cell.text for cell in row.cells] for row in shape.table.rows])
    elif getattr(shape, "has_text_frame", False):
        builder.paragraph("\n".join(p.text for p in shape.text_frame.paragraphs if p.text.strip()))
    elif hasattr(shape, "shapes"):
        for inner in _in_reading_order(shape.shapes):
            _shape(builder, inner)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:200]
