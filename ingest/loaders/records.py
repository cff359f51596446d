"""Tables with types of their own: JSON and JSON lines, Excel by openpyxl, Parquet by pyarrow, read as streams."""

from __future__ import annotations

import datetime
import decimal
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rag_pgvector.errors import LoadError, MissingDependencyError
from rag_pgvector.ingest.loaders import LoadedDocument, SourceFile
from rag_pgvector.ingest.loaders.archive import check_package
from rag_pgvector.ingest.loaders.encoding import detect_encoding, read_text
from rag_pgvector.ingest.loaders.tables import Row, table_documents, unique_names
from rag_pgvector.ingest.loaders.text import TextLoader

__all__ = ["ExcelLoader", "JsonLoader", "ParquetLoader"]

_MAX_COLUMNS = 5_000
_MAX_LINE = 10_000_000
_MAX_JSON_BYTES = 256 << 20
_MAX_DEPTH = 100
#: More empty rows than this at a stretch are the end of a sheet whose format reaches to the last row.
_MAX_EMPTY_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class _Table:
    """Records from a file that is read anew at each call of ``rows``."""

    names: Sequence[str]
    make_rows: Callable[[], Iterator[Row]]

    @property
    def named(self) -> Sequence[bool]:
        return [True] * len(self.names)

    def rows(self) -> Iterator[Row]:
        return self.make_rows()


def _cell(value: Any) -> str:
    """A value as text in a cell, as a person writes it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime.datetime):
        bare = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return value.date().isoformat() if bare else value.isoformat(sep=" ")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (list, tuple)) and all(not isinstance(item, (list, tuple, Mapping)) for item in value):
        return ", ".join(map(_cell, value))
    if isinstance(value, (list, tuple, Mapping)):
        return json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, (bytes, bytearray)):
        return ""
    return _storable(str(value))


def _storable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def _plain(value: Any) -> Any:
    """A value as metadata."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, decimal.Decimal):
        return float(value) if value.is_finite() else None
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {_storable(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (bytes, bytearray)):
        return None
    return _cell(value)


# ---------------------------------------------------------------------------------------------------------------- JSON


class JsonLoader:
    """JSON lines, or a JSON list of objects: a table, one row per object, nested objects as ``outer.inner`` columns.

    Any other JSON is taken as text.
    """

    name = "json"
    version = 2

    def load(self, file: SourceFile) -> Iterator[LoadedDocument | LoadError]:
        """One document. Raises LoadError for what is no JSON."""
        codec = detect_encoding(file.path, file.source)
        if file.path.suffix.lower() == ".json" and not _is_lines(file, codec):
            records = _json_list(file)
            if records is None:
                yield from TextLoader().load(file)
                return

            def rows() -> Iterator[tuple[int, Any]]:
                return iter(enumerate(records))

            place = "record"
        else:

            def rows() -> Iterator[tuple[int, Any]]:
                return _json_lines(file, codec)

            place = "line"
        names = _columns(file, rows())

        def make() -> Iterator[Row]:
            for index, (number, record) in enumerate(rows()):
                where = f"{place} {number + 1}"
                if isinstance(record, LoadError):
                    yield Row(index, where, replace_where(record, where))
                    continue
                flat = dict(_flatten(record))
                yield Row(
                    index, where, [_cell(flat.get(name)) for name in names], {n: _plain(v) for n, v in flat.items()}
                )

        yield from table_documents(file, _Table(names, make), loader=self.name, metadata={"encoding": codec})


def replace_where(error: LoadError, where: str) -> LoadError:
    """The same error at another place."""
    return LoadError(error.source, error.reason, where)


def _is_lines(file: SourceFile, codec: str) -> bool:
    """Whether the first two lines are objects of their own."""
    with file.path.open(encoding=codec) as stream:
        lines = [line for line in (stream.readline(_MAX_LINE) for _ in range(20)) if line.strip()][:2]
    try:
        return len(lines) == 2 and all(isinstance(json.loads(line), dict) for line in lines)
    except (ValueError, RecursionError):
        return False


def _json_list(file: SourceFile) -> list[Any] | None:
    """The objects of a JSON list (or of the one list that an object holds), else None."""
    if file.path.stat().st_size > _MAX_JSON_BYTES:
        raise LoadError(file.source, f"more than {_MAX_JSON_BYTES:,} bytes of JSON: save it as JSON lines (.jsonl)")
    text, _ = read_text(file.path, file.source)
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise LoadError(file.source, f"JSON nested deeper than {_MAX_DEPTH} levels") from error
    except ValueError as error:
        raise LoadError(file.source, f"it is no JSON ({error})") from error
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list) and item]
        value = lists[0] if len(lists) == 1 else None
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return value
    return None


def _json_lines(file: SourceFile, codec: str) -> Iterator[tuple[int, Any]]:
    with file.path.open(encoding=codec) as stream:
        number = -1
        while line := stream.readline(_MAX_LINE + 1):
            number += 1
            if len(line) > _MAX_LINE:
                raise LoadError(file.source, f"a line of more than {_MAX_LINE:,} characters", f"line {number + 1}")
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, LoadError(file.source, f"it is no JSON ({str(error)[:100]})")
                continue
            if not isinstance(record, dict):
                yield number, LoadError(file.source, f"a JSON {type(record).__name__} where an object was expected")
                continue
            yield number, record


def _flatten(record: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for key, value in record.items():
        name = _storable(f"{prefix}{key}")
        if isinstance(value, Mapping) and value and depth < 5:
            yield from _flatten(value, f"{name}.", depth + 1)
        else:
            yield name, value


def _columns(file: SourceFile, rows: Iterator[tuple[int, Any]]) -> list[str]:
    names: dict[str, None] = {}
    for _, record in rows:
        if not isinstance(record, LoadError):
            names.update(dict.fromkeys(name for name, _ in _flatten(record)))
            if len(names) > _MAX_COLUMNS:
                raise LoadError(file.source, f"more than {_MAX_COLUMNS:,} different keys: this is no table")
    return list(names)


# --------------------------------------------------------------------------------------------------------------- Excel


class ExcelLoader:
    """Each sheet of an Excel workbook is a table of its own, ``book.xlsx#Sheet`` where there are several.

    The first row with more than one filled cell (or the first at all) is the header. Formulas count as the values that
    were last computed.
    """

    name = "excel"
    version = 3

    def load(self, file: SourceFile) -> Iterator[LoadedDocument | LoadError]:
        """One document per sheet with rows. Raises LoadError for what is no workbook, or is empty."""
        check_package(file)
        try:
            import openpyxl
        except ImportError as error:
            raise MissingDependencyError("openpyxl", "ingest") from error
        try:
            book = openpyxl.load_workbook(file.path, read_only=True, data_only=True)
        except Exception as error:
            raise LoadError(
                file.source, f"it cannot be opened as a workbook ({type(error).__name__}: {error})"
            ) from error
        found = 0
        try:
            sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
            for sheet in sheets:
                several = len(sheets) > 1
                mine = file
                if several:
                    name = _storable(sheet.title)
                    mine = replace(file, source=f"{file.source}#{name}", document_id=f"{file.document_id}#{name}")
                try:
                    loaded = list(self._sheet(mine, sheet))
                except LoadError as error:
                    if not several:
                        raise
                    yield error
                    continue
                found += len(loaded)
                yield from loaded
        finally:
            book.close()
        if not found:
            raise LoadError(file.source, "no sheet has data rows below a header")

    def _sheet(self, file: SourceFile, sheet: Any) -> Iterator[LoadedDocument]:
        header, names = -1, []
        for number, values in enumerate(_values(sheet)):
            cells = [_cell(value) for value in values]
            if sum(bool(cell.strip()) for cell in cells) > 1 or (number > 20 and any(cells)):
                header, names = number, unique_names(_without_tail(cells))
                break
        if header < 0:  # a sheet of one column, or an empty one
            for number, values in enumerate(_values(sheet)):
                if any(value is not None for value in values):
                    header, names = number, unique_names(_without_tail([_cell(value) for value in values]))
                    break
        if not names:
            return
        if len(names) > _MAX_COLUMNS:
            raise LoadError(file.source, f"{len(names):,} columns: this is no table")

        def make() -> Iterator[Row]:
            empty = 0
            for number, values in enumerate(_values(sheet)):
                if number <= header:
                    continue
                cells = [_cell(value) for value in values[: len(names)]]
                cells += [""] * (len(names) - len(cells))
                empty = 0 if any(cells) else empty + 1
                if empty > _MAX_EMPTY_ROWS:
                    return
                yield Row(number - header - 1, f"row {number + 1}", cells)

        if not any(any(row.cells) for row in make() if not isinstance(row.cells, LoadError)):
            return
        yield from table_documents(
            file, _Table(names, make), loader=self.name, metadata={"sheet": _storable(sheet.title)}
        )


def _values(sheet: Any) -> Iterator[Sequence[Any]]:
    return iter(sheet.iter_rows(values_only=True))


def _without_tail(cells: list[str]) -> list[str]:
    while cells and not cells[-1].strip():
        cells = cells[:-1]
    return cells


# ------------------------------------------------------------------------------------------------------------- Parquet


class ParquetLoader:
    """Rows of a Parquet file, read in batches; binary columns and columns of vectors are left out."""

    name = "parquet"
    version = 2

    def load(self, file: SourceFile) -> Iterator[LoadedDocument | LoadError]:
        """One document. Raises LoadError for what is no Parquet file."""
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise MissingDependencyError("pyarrow", "ingest") from error

        def opened() -> Any:
            try:
                return pyarrow.parquet.ParquetFile(file.path)
            except (pyarrow.ArrowException, OSError) as error:
                raise LoadError(file.source, f"it cannot be opened as Parquet ({str(error)[:200]})") from error

        with opened() as parquet:
            chosen = [field.name for field in parquet.schema_arrow if _is_column(field.type)]
        if not chosen:
            raise LoadError(file.source, "no columns of text, numbers or dates")

        def make() -> Iterator[Row]:
            index = 0
            with opened() as parquet:
                try:
                    for batch in parquet.iter_batches(batch_size=1_000, columns=chosen):
                        for record in batch.to_pylist():
                            cells = [_cell(record[name]) for name in chosen]
                            yield Row(index, f"row {index + 1}", cells, {n: _plain(record[n]) for n in chosen})
                            index += 1
                except (pyarrow.ArrowException, OSError) as error:
                    raise LoadError(
                        file.source, f"it cannot be read ({str(error)[:200]})", f"row {index + 1}"
                    ) from error

        yield from table_documents(file, _Table(chosen, make), loader=self.name, metadata={})


def _is_column(type_: Any) -> bool:
    from pyarrow import types

    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        return not types.is_floating(type_.value_type)
    return not (types.is_binary(type_) or types.is_large_binary(type_) or types.is_fixed_size_binary(type_))
