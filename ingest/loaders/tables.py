"""What all tables share: rows become text, a profile of the columns, and one piece per row with its typed values."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rag_pgvector.errors import LoadError
from rag_pgvector.ingest.loaders import LoadedDocument, Piece, SourceFile, TableOptions
from rag_pgvector.ingest.profile import Column
from rag_pgvector.types import Document

__all__ = ["ROWS_PER_DOCUMENT", "Row", "RowSource", "table_documents", "unique_names"]

#: With more bad rows than this, it is the file that is bad, or our idea of its layout.
_MAX_REJECTED = 1_000
#: Rows that are held, written and taken back together: a transaction of a second or two without the embedding.
ROWS_PER_DOCUMENT = 10_000
#: With document id and "#" within the 512 bytes of a chunk's id.
_MAX_NAME_BYTES = 64
_ROW_SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class Row:
    """A data row.

    Attributes:
        index: 0-based.
        where: Its place as a person finds it ("line 7").
        cells: One text per column, or why there are none.
        values: Typed metadata by column, where the format has types of its own; else the profile's types are read.
    """

    index: int
    where: str
    cells: list[str] | LoadError
    values: Mapping[str, Any] | None = None


class RowSource(Protocol):
    """A table that can be read again from its beginning."""

    @property
    def names(self) -> Sequence[str]:
        """The columns' names, unique."""
        ...

    @property
    def named(self) -> Sequence[bool]:
        """Whether the file itself gives the column its name."""
        ...

    def rows(self) -> Iterator[Row]:
        """The data rows; raises LoadError where the file changed since."""
        ...


def table_documents(
    file: SourceFile,
    table: RowSource,
    *,
    loader: str,
    metadata: Mapping[str, Any],
    nothing: str = "no data rows",
    numeral: Callable[[str], str] = str,
) -> Iterator[LoadedDocument]:
    """The documents of a table: one, or for a long table one per ``ROWS_PER_DOCUMENT`` rows, ``file.csv@10000`` being
    the one that begins with row 10,000.

    The first holds the profile of the whole table. A long table is read twice, so that memory does not grow with it:
    for the profile, then for the rows. ``numeral`` is how a cell is read for its type and value; the text keeps it as
    it stands. Raises LoadError.
    """
    layout = _Layout(file, table.names, file.table, numeral)
    columns = [Column(name) for name in table.names]
    rejected: list[LoadError] = []
    held: list[Row] = []
    rows = filled = 0
    for row in table.rows():
        rows += 1
        refused = row.cells if isinstance(row.cells, LoadError) else layout.refuse(row)
        if refused is not None:
            rejected.append(refused)
            if len(rejected) > _MAX_REJECTED:
                reason = f"more than {_MAX_REJECTED:,} rows cannot be read; the first: {rejected[0].reason}"
                raise LoadError(file.source, reason, rejected[0].where)
            continue
        assert not isinstance(row.cells, LoadError)
        for column, cell in zip(columns, row.cells, strict=True):
            column.observe(numeral(cell))
        filled += any(cell.strip() for cell in row.cells)
        if rows <= ROWS_PER_DOCUMENT:
            held.append(row)
    if not filled:
        raise rejected[0] if rejected else LoadError(file.source, nothing)
    # A column without a name and without a value is a delimiter too many at the ends of the lines.
    told = [c for c, named in zip(columns, table.named, strict=True) if named or not c.empty]
    profile: dict[str, Any] = {"columns": [column.profile() for column in told], "rows": rows}
    starts = range(0, rows, ROWS_PER_DOCUMENT)
    ids = [file.document_id if start == 0 else f"{file.document_id}@{start}" for start in starts]
    if len(ids) > 1:
        profile["documents"] = ids
    bad = frozenset(error.where for error in rejected)
    parts = [held] if len(ids) == 1 else _parts(table.rows(), bad)
    for number, part in enumerate(parts):
        text, pieces = _rendered(layout, columns, part)
        document = Document(
            id=ids[number],
            source=file.source,
            text=text,
            loader=loader,
            metadata=metadata,
            profile=profile if number == 0 else None,
            content_hash=file.content_hash,
        )
        yield LoadedDocument(document=document, pieces=pieces, rejected=tuple(rejected) if number == 0 else ())


def _parts(rows: Iterator[Row], bad: frozenset[str]) -> Iterator[list[Row]]:
    part: list[Row] = []
    for number, row in enumerate(rows):
        if number and number % ROWS_PER_DOCUMENT == 0:
            yield part
            part = []
        if row.where not in bad:
            part.append(row)
    yield part


def _rendered(layout: _Layout, columns: Sequence[Column], rows: Sequence[Row]) -> tuple[str, list[Piece]]:
    """The text of some rows, and one piece per row that is not empty."""
    readers = [
        (place, column.name, layout.reader(column)) for place, column in enumerate(columns) if layout.tells(column.name)
    ]
    text = io.StringIO()
    pieces = []
    start = 0
    for row in rows:
        assert not isinstance(row.cells, LoadError)
        rendered = layout.render(row.cells)
        if not rendered:
            continue
        if start:
            text.write(_ROW_SEPARATOR)
            start += len(_ROW_SEPARATOR)
        text.write(rendered)
        if row.values is None:
            values = {name: read(row.cells[place]) for place, name, read in readers}
        else:
            values = {name: row.values.get(name) for _, name, _ in readers}
        pieces.append(
            Piece(
                char_start=start,
                char_end=start + len(rendered),
                page_or_row=row.index,
                metadata={name: value for name, value in values.items() if value is not None},
                name=layout.name(row.cells),
            )
        )
        start += len(rendered)
    return text.getvalue(), pieces


_FIELD = re.compile(r"\{\{|\}\}|\{([^{}]+)\}|[{}]")


class _Layout:
    """``TableOptions`` applied to the columns of one table."""

    def __init__(
        self, file: SourceFile, names: Sequence[str], options: TableOptions, numeral: Callable[[str], str]
    ) -> None:
        self._numeral = numeral
        self._source, self._names, self._options = file.source, names, options
        for name in (options.id_column, *(options.metadata_columns or ()), *options.types):
            if name is not None:
                self._place(name)
        self._id = None if options.id_column is None else names.index(options.id_column)
        self._seen: dict[str, str] = {}
        self._template = None if options.content is None else list(self._parse(options.content))

    def _place(self, name: str) -> int:
        if name not in self._names:
            there = ", ".join(map(repr, self._names[:30]))
            raise LoadError(self._source, f"there is no column {name!r} (there are: {there})")
        return self._names.index(name)

    def _parse(self, template: str) -> Iterator[str | int]:
        """Texts, and the places of the columns between them. Not str.format: a document is no program."""
        at = 0
        for found in _FIELD.finditer(template):
            yield template[at : found.start()]
            if found[1]:
                yield self._place(found[1])
            elif found[0] in ("{{", "}}"):
                yield found[0][0]
            else:
                raise LoadError(
                    self._source, f"the content template has a lone {found[0]!r}: double it, or name a column"
                )
            at = found.end()
        yield template[at:]

    def render(self, cells: Sequence[str]) -> str:
        """A row as text; without a template, empty cells are left out. "" for a row without values."""
        if self._template is None:
            return "\n".join(f"{name}: {cell}" for name, cell in zip(self._names, cells, strict=True) if cell.strip())
        if not any(cell.strip() for cell in cells):
            return ""
        return "".join(part if isinstance(part, str) else cells[part] for part in self._template).strip()

    def refuse(self, row: Row) -> LoadError | None:
        """Why a row cannot be named by the id column, or None."""
        if self._id is None or isinstance(row.cells, LoadError) or not any(cell.strip() for cell in row.cells):
            return None
        name = row.cells[self._id].strip()
        if not name:
            return LoadError(self._source, f"the id column {self._options.id_column!r} is empty", row.where)
        if len(name.encode()) > _MAX_NAME_BYTES:
            reason = f"the id {name!r:.40} has more than {_MAX_NAME_BYTES} bytes: choose another id column"
            return LoadError(self._source, reason, row.where)
        if name in self._seen:
            return LoadError(self._source, f"the id {name!r} stands at {self._seen[name]} already", row.where)
        self._seen[name] = row.where
        return None

    def name(self, cells: Sequence[str]) -> str | None:
        return None if self._id is None else cells[self._id].strip()

    def tells(self, name: str) -> bool:
        """Whether a column becomes metadata."""
        chosen = self._options.metadata_columns
        return chosen is None or name in chosen

    def reader(self, column: Column) -> Callable[[str], Any]:
        kind = self._options.types.get(column.name)
        read = column.reader() if kind is None else _FORCED[kind]
        numeral = self._numeral
        if numeral is str:
            return read
        # Where it is no number after all, the cell stays as it is written.
        return lambda cell: cell if (found := read(numeral(cell))) == numeral(cell) else found


def _forced(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader for a type that the caller demands; a cell that has no such value keeps its text."""

    def read(cell: str) -> Any:
        bare = cell.strip()
        if not bare:
            return None
        try:
            return convert(bare)
        except (ValueError, KeyError):
            return cell

    return read


_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")


def _bare(text: str) -> str:
    """A number without its thousands separators; another comma is none of them, and stays (0,5 is not 5)."""
    return text.replace(",", "") if _THOUSANDS.fullmatch(text) else text


def _finite(text: str) -> float:
    number = float(_bare(text))
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


_FORCED: dict[str, Callable[[str], Any]] = {
    "text": _forced(str),
    "integer": _forced(lambda text: int(_bare(text))),
    "number": _forced(_finite),
    "boolean": _forced(
        lambda text: {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.casefold()]
    ),
}


def unique_names(names: Sequence[str]) -> list[str]:
    """Names without blanks around them; an empty one becomes "column_3" (its 1-based place), a second "A" "A_2"."""
    taken = {" ".join(name.split()) for name in names}
    unique: list[str] = []
    seen: set[str] = set()
    for place, name in enumerate(names, start=1):
        stem = " ".join(name.split()) or f"column_{place}"
        candidate, number = stem, 1
        while candidate in seen or (number > 1 and candidate in taken):
            number += 1
            candidate = f"{stem}_{number}"
        seen.add(candidate)
        unique.append(candidate)
    return unique
