"""CSV and TSV: every data row becomes a piece of its own, rendered as ``column: value`` lines.

The standard library's parser is used, strictly, since pandas guesses types over a file's blocks, drops leading
zeros and gives no line numbers for the rows that it refuses.

Rows are counted from 0 after the header, as pandas counts them: a row of empty cells counts and gives no chunk, a blank
line does not count.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path

from rag_pgvector.errors import LoadError
from rag_pgvector.ingest.loaders import LoadedDocument, SourceFile
from rag_pgvector.ingest.loaders.encoding import check_text, detect_encoding
from rag_pgvector.ingest.loaders.tables import Row, table_documents, unique_names
from rag_pgvector.written import is_missing

__all__ = ["CsvLoader"]

_DELIMITERS = ",;\t|"
#: For a file of one column: a delimiter that does not occur.
_NO_DELIMITER = "\x1f"
_SAMPLE_LINES = 200
_MAX_PREAMBLE = 10
_MAX_LINE = 10_000_000
_SEP = re.compile(r"sep=(.)[ \t]*(?:\r\n|\r|\n)", re.IGNORECASE)
_COMMA = re.compile(r"-?(?:0|[1-9][0-9]{0,2}(?:\.[0-9]{3})+|[1-9][0-9]*)(?:,[0-9]+)?")
_POINT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_NUL = "a NUL character (U+0000), which Postgres cannot store"


class CsvLoader:
    """Delimited text with or without a header; the delimiter is detected among comma, semicolon, tab and bar."""

    name = "csv"
    version = 4

    def load(self, file: SourceFile) -> Iterator[LoadedDocument]:
        """One document: its text is the rendered rows, its profile the columns, its pieces the rows."""
        table = _Table.open(file)
        nothing = "a header, but no data rows" if table.has_header else "no data rows"
        yield from table_documents(
            file,
            table,
            loader=self.name,
            metadata=table.describe(),
            nothing=nothing,
            numeral=_with_point if table.decimal_comma else str,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """How a file is laid out: what to know to read its rows again."""

    path: Path
    source: str
    codec: str
    delimiter: str
    skip_space: bool
    names: list[str]
    named: list[bool]
    has_header: bool
    decimal_comma: bool
    #: Records before the first data row, header included.
    skip: int
    preamble: str
    stamp: tuple[int, int] = field(repr=False)

    @classmethod
    def open(cls, file: SourceFile) -> _Table:
        """Find encoding, delimiter, header and what stands above it. Raises LoadError where there is no table."""
        options = file.table
        codec = detect_encoding(file.path, file.source, told=options.encoding)
        stamp = _stamp(file.path)
        with _stream(file.path, codec) as stream:
            sample = "".join(islice(_Lines(stream, file.source), _SAMPLE_LINES))
        check_text(sample.replace("\0", ""), file.source)
        told = _SEP.match(sample)  # Excel's own way of saying it
        delimiter, skip_space = _sniff(
            sample,
            preferred="\t" if file.path.suffix.lower() in (".tsv", ".tab") else ",",
            given=options.delimiter or (told[1] if told else None),
        )
        every = list(enumerate(_sample_records(sample, delimiter, skip_space)))
        if told:
            every = every[1:]
        records = [
            (number, cells)
            for number, (_, cells) in every
            if not isinstance(cells, str) and any(cell.strip() for cell in cells)
        ]
        if not records:
            raise LoadError(file.source, "no rows: the file holds nothing but empty cells")
        first = _first_of_table(records)
        number, cells = records[first]
        for before, (line, broken) in every:
            if before < number and isinstance(broken, str):  # perhaps the header: what follows would have wrong names
                raise LoadError(file.source, broken, f"line {line}")
        following = [below for _, below in records[first + 1 :]]
        has_header = _is_header(cells, following) if options.header is None else options.header
        width = len(cells) if has_header else Counter(len(cells) for _, cells in records).most_common(1)[0][0]
        names = cells if has_header else [""] * width
        decimal = options.decimal or ("," if delimiter != "," and _is_decimal_comma(following) else ".")
        return cls(
            path=file.path,
            source=file.source,
            codec=codec,
            delimiter=delimiter,
            skip_space=skip_space,
            names=unique_names(names),
            named=[bool(name.strip()) or not has_header for name in names],
            has_header=has_header,
            decimal_comma=decimal == ",",
            skip=number + has_header,
            preamble="\n".join(" ".join(filter(None, map(str.strip, cells))) for _, cells in records[:first]),
            stamp=stamp,
        )

    def describe(self) -> dict[str, str]:
        """The layout as the document's metadata."""
        found = {"encoding": self.codec}
        if self.delimiter != _NO_DELIMITER:
            found["delimiter"] = self.delimiter
        if self.decimal_comma:
            found["decimal"] = ","
        if self.preamble:
            found["preamble"] = self.preamble
        return found

    def rows(self) -> Iterator[Row]:
        """The data rows. Raises LoadError when the file is not what it was when it was opened."""
        try:
            with _stream(self.path, self.codec) as stream:
                records = _records(_Lines(stream, self.source), self.delimiter, self.skip_space)
                for index, (line, cells) in enumerate(islice(records, self.skip, None)):
                    yield Row(index, f"line {line}", self._fit(line, cells))
        except (OSError, UnicodeError) as error:
            raise LoadError(self.source, f"the file changed while it was read ({error})") from error
        if _stamp(self.path) != self.stamp:
            raise LoadError(self.source, "the file changed while it was read; ingest it again")

    def _fit(self, line: int, cells: list[str] | str) -> list[str] | LoadError:
        """One cell per column: short rows are filled up, long ones refused unless what is too much is empty."""
        if isinstance(cells, str):
            return LoadError(self.source, cells, f"line {line}")
        width = len(self.names)
        if any(cell.strip() for cell in cells[width:]):
            what = "the header has" if self.has_header else "most rows have"
            return LoadError(self.source, f"{len(cells)} cells where {what} {width}", f"line {line}")
        return cells[:width] + [""] * (width - len(cells))


class _Lines:
    """The lines of a file with their line ends, counted, with a way back to the lines of a record that went wrong."""

    def __init__(self, stream: io.TextIOBase, source: str) -> None:
        self._stream = stream
        self._source = source
        self._again: deque[str] = deque()
        self.number = 0
        self.record: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._stream.readline(_MAX_LINE + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > _MAX_LINE:
            reason = f"a line of more than {_MAX_LINE:,} characters"
            raise LoadError(self._source, reason, f"line {self.number}")
        self.record.append(line)
        return line

    def back_to_second(self) -> None:
        """Give the lines of this record again, all but its first."""
        self._again.extendleft(reversed(self.record[1:]))
        self.number -= len(self.record) - 1


def _records(lines: _Lines, delimiter: str, skip_space: bool) -> Iterator[tuple[int, list[str] | str]]:
    """Each record's first line number, with its cells or the reason why it has none. Blank lines are left out.

    A record that breaks the quoting costs its first line only: reading goes on at the next one, so that a quote that is
    never closed does not swallow the rest of the file.
    """
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=skip_space, strict=True)
    while True:
        lines.record = []
        line = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.back_to_second()
            yield line, _reason(error)
            continue
        if any("\0" in part for part in lines.record):
            yield line, _NUL
        elif cells:
            yield line, cells


def _reason(error: csv.Error) -> str:
    message = str(error)
    if message.startswith("unexpected end of data"):
        return "a quote that is never closed"
    if message.startswith("field larger"):
        return f"a field of more than {csv.field_size_limit():,} characters, or a quote that is never closed"
    if message.startswith("line contains NUL"):  # Python 3.10
        return _NUL
    return f"a quote inside a quoted field that is not doubled ({message})"


def _sample_records(sample: str, delimiter: str, skip_space: bool = False) -> Iterator[tuple[int, list[str] | str]]:
    return _records(_Lines(io.StringIO(sample, newline=""), ""), delimiter, skip_space)


def _sniff(sample: str, *, preferred: str, given: str | None) -> tuple[str, bool]:
    """The delimiter that cuts most records into the same number of cells (or the one given), and whether quotes stand
    after a blank."""
    best, best_score = given or _NO_DELIMITER, (0.0, 0, False)
    for delimiter in () if given else _DELIMITERS:
        records = _sample_records(sample, delimiter)
        widths = Counter(0 if isinstance(cells, str) else len(cells) for _, cells in records)
        broken = widths.pop(0, 0)
        count, width = max(((count, width) for width, count in widths.items() if width > 1), default=(0, 0))
        if not count or 2 * count < sum(widths.values()):
            continue
        score = (round(count / (sum(widths.values()) + broken), 2), width, delimiter == preferred)
        if score > best_score:
            best, best_score = delimiter, score
    quoted = re.escape(best)
    return best, bool(re.search(f'{quoted} +"', sample)) and not re.search(f'{quoted}"', sample)


def _first_of_table(records: Sequence[tuple[int, list[str]]]) -> int:
    """The record that the table begins with: titles above a header fill one cell only, and of comments (two lines and
    more that begin with #) the last one is the header only if figures follow."""
    comments = 0
    while comments < len(records) - 1 and records[comments][1][0].lstrip().startswith("#"):
        comments += 1
    if comments > 1:
        last, below = records[comments - 1][1], records[comments][1]
        named = len(last) == len(below) > 1 and any(map(_is_data, below))
        return comments - 1 if named else comments
    for at, (_, cells) in enumerate(records[: _MAX_PREAMBLE + 1]):
        filled = [cell for cell in cells if cell.strip()]
        if len(filled) > 1:
            return at if at and not any(map(_is_data, filled)) else 0
    return 0


def _is_header(cells: Sequence[str], following: Sequence[Sequence[str]]) -> bool:
    """False for a first record that looks like data: it holds numbers or dates where the records below it do too."""
    if not any(map(_is_data, cells)):
        return True
    years_only, figures = True, False
    for at, cell in enumerate(cells):
        below = [row[at] for row in following if at < len(row) and not is_missing(row[at])]
        if cell.strip() and not _is_data(cell) and below and all(map(_is_data, below)):
            return True
        if _is_data(cell):
            years_only &= _is_year(cell) and not any(map(_is_year, below))
            figures |= bool(below)
    # Years as column names: "state,2019,2020" above figures; a year may have none yet.
    return years_only and figures


def _is_decimal_comma(rows: Sequence[Sequence[str]]) -> bool:
    """Whether a column of the sample holds numbers with a decimal comma, and none holds one with a point."""
    commas = False
    for column in zip_longest(*rows, fillvalue=""):
        filled = [cell.strip() for cell in column if not is_missing(cell)]
        if not filled:
            continue
        if all(map(_POINT.fullmatch, filled)) and any("." in cell and not _COMMA.fullmatch(cell) for cell in filled):
            return False
        commas |= all(map(_COMMA.fullmatch, filled)) and any("," in cell for cell in filled)
    return commas


def _with_point(cell: str) -> str:
    """1.234,5 as 1234.5; anything else as it is."""
    bare = cell.strip()
    return bare.replace(".", "").replace(",", ".") if _COMMA.fullmatch(bare) else cell


def _is_data(cell: str) -> bool:
    return bool(re.fullmatch(r"\s*[-+]?[0-9][0-9.,/:\-]*%?\s*", cell))


def _is_year(cell: str) -> bool:
    return bool(re.fullmatch(r"\s*(?:18|19|20)[0-9]{2}\s*", cell))


def _stream(path: Path, codec: str) -> io.TextIOWrapper:
    return path.open(encoding=codec, newline="")


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size
