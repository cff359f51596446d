"""Every file of the real folders, and of a zoo of broken ones, is loaded rightly or refused with its reason.

The tables name what is refused; everything else has to load, with exact chunks. ``pytest -s`` prints one line per file.
"""

from __future__ import annotations

import io
import json
import os
import signal
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rag_pgvector.errors import ConfigError, LoadError
from rag_pgvector.ingest import ChunkOptions, TableOptions, chunk_document, estimate_tokens, load

NO_LOADER = "no loader for"
#: Folder -> what of it is refused, and the beginning of the reason.
REFUSED: dict[str, dict[str, str]] = {
    "csv_torture": {
        "csv-test-data/csv/all-empty.csv": "no rows",
        "csv-test-data/csv/bad-header-more-fields.csv": "4 cells where the header has 3",
        "csv-test-data/csv/bad-header-no-header.csv": "the file is empty",
        "csv-test-data/csv/bad-header-wrong-header.csv": "a header, but no data rows",
        "csv-test-data/csv/bad-missing-quote.csv": "a quote that is never closed",
        "csv-test-data/csv/bad-quotes-with-unescaped-quote.csv": "a quote inside a quoted field",
        "csv-test-data/csv/empty-one-column.csv": "a header, but no data rows",
        "csv-test-data/csv/header-no-rows.csv": "a header, but no data rows",
        "csvkit-examples/blanks_converted.csv": "a header, but no data rows",
        "csvkit-examples/empty.csv": "no rows",
        "csvkit-examples/null_byte.csv": "a NUL character",
        "csvkit-examples/test_empty_columns_long_row.csv": "a header, but no data rows",
        "csvkit-examples/test_empty_columns_short_row.csv": "a header, but no data rows",
    },
    "docs_mixed": {
        "eml/empty.eml": "the file is empty",
        "emoji.xlsx": "no sheet has data rows",
        "empty.txt": "the file is empty",
        "empty.xlsx": "no sheet has data rows",
        "fake-text-all-whitespace.txt": "the file holds nothing but white space",
        "password_protected.xlsx": "it has a password",
        "pdf/password.pdf": "it is encrypted with a password",
        "pdf/single_table.pdf": "no text on the page, only pictures",
        "pdf/table-multi-row-column-cells.pdf": "no text on the page, only pictures",
        "picture.pptx": "it holds no text",
        "test-image-jpg-mime.pptx": "it holds no text",
        **dict.fromkeys(
            (
                *("duplicate-paragraphs.doc", "fake-doc-emphasized-text.doc", "fake.doc", "simple.doc"),
                *("fake-doc.rtf", "fake.odt", "simple.odt", "tests-example.xls", "winter-sports.epub"),
                *(f"language-docs/eng_spa_mult.{suffix}" for suffix in ("doc", "epub", "odt", "ppt", "rtf")),
            ),
            NO_LOADER,
        ),
    },
    "docs_html_readability": {},
}


@contextmanager
def no_hang(path: Path) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise TimeoutError(f"{path} hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(120)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(path: Path, table: TableOptions | None = None) -> tuple[int, int, LoadError | None]:
    """Documents, chunks and why there are no more; every chunk is its slice, and none is too long."""
    documents = chunks = 0
    with no_hang(path):
        try:
            for loaded in load(path, table=table):
                documents += 1
                for chunk in chunk_document(loaded, options=ChunkOptions(), count=estimate_tokens):
                    chunks += 1
                    assert loaded.document.text[chunk.char_start : chunk.char_end] == chunk.content
                    assert estimate_tokens(chunk.content) <= 200
        except LoadError as error:
            return documents, chunks, error
    return documents, chunks, None


@pytest.mark.parametrize("folder", REFUSED)
def test_every_file_of(folder: str, data_root: Path) -> None:
    root = data_root / folder
    refused = {}
    files = [path for path in sorted(root.rglob("*")) if path.is_file()]
    for path in files:
        documents, chunks, error = outcome(path)
        name = path.relative_to(root).as_posix()
        told = "loaded" if error is None else f"refused: {error}"
        print(f"{folder}/{name}\t{documents}\t{chunks}\t{told}")
        if error is None:
            assert documents, name
            assert chunks, name
        else:
            assert error.source == path.name, name
            refused[name] = error.reason
    wanted = REFUSED[folder]
    assert refused.keys() == wanted.keys()
    assert {name: reason for name, reason in refused.items() if not reason.startswith(wanted[name])} == {}
    assert len(files) > 100


# --------------------------------------------------------------------------------------------------- made for the test


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "."), data)
    return out.getvalue()


RANDOM = b"\x93\x00\xfe\x17\x02\xd0\xff\x00" * 400
KIND = "csv txt json jsonl pdf docx pptx xlsx parquet zip html eml md rst py xyz".split()

#: Name -> bytes and the reason why they are refused; None where they load.
ZOO: dict[str, tuple[bytes, str | None]] = {
    **{f"empty.{kind}": (b"", "") for kind in KIND},
    **{f"byte.{kind}": (b"x", None if kind in ("txt", "html", "md", "rst", "py", "xyz") else "") for kind in KIND},
    **{f"binary.{kind}": (RANDOM, "") for kind in KIND},
    "utf16_without_mark.csv": ("name,value\nJohor,1\nÅland,2\n".encode("utf-16-le"), None),
    "utf16_without_mark.txt": ("Wide text without a mark.".encode("utf-16-be"), None),
    "half_a_wide_character.csv": (b"\xff\xfea\x00,", "the file is not valid UTF-16"),
    "shift_jis.csv": ("名前,値\n田中,1\n鈴木,2\n".encode("shift_jis"), None),
    "only_cr.csv": (b"a,b\r1,x\r2,y\r", None),
    "only_cr.txt": (b"one\r\rtwo\r", None),
    "long_line.csv": (b"a,b\n1," + b"x" * 11_000_000 + b"\n", "a line of more than 10,000,000 characters"),
    "long_line.jsonl": (b'{"a": "' + b"x" * 11_000_000 + b'"}\n', "a line of more than 10,000,000 characters"),
    "long_word.txt": (b"x" * 300_000, None),
    "archive_in_archive.zip": (zipped(in__zip=zipped(a__txt=b"hello")), "an archive inside an archive"),
    "bomb.zip": (zipped(bomb__txt=b"0" * 50_000_000), "it unpacks to more than"),
    "climbing.zip": (zipped(**{"../evil__txt": b"x"}), "a name that leads out of the archive"),
    "no_office.docx": (zipped(a__txt=b"x"), "it cannot be opened as DOCX"),
    "no_office.xlsx": (zipped(a__txt=b"x"), "it cannot be opened as a workbook"),
    "zip.csv": (zipped(a__txt=b"x"), "this is a zip archive"),
    "open_quote.csv": (b'a,b\n1,"x\n' + b"2,y\n" * 20_000, None),
    "open_quote_in_header.csv": (b'a,"b\n1,x\n2,y\n', "a quote that is never closed"),
    "ragged.csv": (b"a,b,c\n1,2\n1,2,3,4\n5,6,7\n", None),
    "deep.json": (b"[" * 100_000 + b"]" * 100_000, "JSON nested deeper"),
    "deep.html": (b"<div>" * 100_000 + b"x", "tags nested deeper"),
    "long_number.json": (b'[{"a": ' + b"9" * 5_000 + b"}]", "it is no JSON"),
    "half_character.json": (b'[{"a": "\\ud800x", "b": "x\\u0000y"}]', None),
    "entity.html": (b'<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><p>&e; Some text of a page.</p>', None),
    "marks.txt": (("e" + "\u0301" * 5_000).encode(), None),
    "family.txt": ("👩‍👩‍👧‍👦".encode() * 500, None),
}


@pytest.mark.parametrize("name", ZOO)
def test_a_broken_file(name: str, tmp_path: Path) -> None:
    data, reason = ZOO[name]
    path = tmp_path / name
    path.write_bytes(data)
    documents, chunks, error = outcome(path)
    if reason is None:
        assert (error, documents > 0, chunks > 0) == (None, True, True)
    else:
        assert error is not None
        assert error.reason.startswith(reason)
        assert len(str(error)) < 500


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    for name, reason in (("pipe.txt", "not a regular file"), ("gone.txt", "no such file"), (".", "not a regular file")):
        with no_hang(tmp_path), pytest.raises(LoadError, match=reason):
            list(load(tmp_path / name))


# -------------------------------------------------------------------------------------------------------- CSV as it is


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """The rows of a CSV text as metadata."""

    def read(data: str | bytes, **options: Any) -> list[dict[str, Any]]:
        path = tmp_path / "t.csv"
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        (loaded,) = load(path, table=TableOptions(**options))
        json.dumps(loaded.document.profile)
        return [dict(piece.metadata) for piece in loaded.pieces]

    return read


Rows = Callable[..., list[dict[str, Any]]]


def test_decimal_commas(rows: Rows) -> None:
    data = "Name;Wert;Anteil;PLZ;Tag\nA;1.234,5;0,5;01067;01.02.2024\nB;2,25;1;80331;02.02.2024\n"
    assert rows(data)[0] == {"Name": "A", "Wert": 1234.5, "Anteil": 0.5, "PLZ": "01067", "Tag": "01.02.2024"}
    assert rows("a;b\n1,5;x\n2,5;1,234,5\n")[1] == {"a": 2.5, "b": "1,234,5"}
    assert rows(data, decimal=".")[0]["Anteil"] == "0,5"
    assert rows('a,b\n"1,5",x\n"2,5",y\n')[0]["a"] == "1,5"  # may be thousands elsewhere in the file
    assert rows('a,b\n"1,5",x\n"2,5",y\n', decimal=",")[0]["a"] == 1.5
    assert rows("a;b;c\n1,5;1.5;x\n2,5;2.25;y\n")[0] == {"a": "1,5", "b": 1.5, "c": "x"}


def test_a_demanded_number_is_never_another_one(rows: Rows) -> None:
    data = 'a,b\n"1,234",x\n"0,5",y\n"1,23,4",z\n'
    assert [row["a"] for row in rows(data, types={"a": "number"})] == [1234.0, "0,5", "1,23,4"]


def test_what_stands_above_the_header(rows: Rows) -> None:
    assert rows("# a note\n# another, with comma\nstate,v\nA,1\nB,2\n")[0] == {"state": "A", "v": 1}
    assert rows("##source=x\n##date=y\n#chrom,pos\nX,1\nY,2\n")[0] == {"#chrom": "X", "pos": 1}
    assert rows("#,name\n1,A\n2,B\n")[0] == {"#": 1, "name": "A"}
    assert rows("sep=;\na;b\n1;2\n3;4\n") == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert rows("SEP=\t\r\na\tb\r\n1\t2\r\n3\t4\r\n")[0] == {"a": 1, "b": 2}


def test_what_is_told_beats_what_is_detected(rows: Rows) -> None:
    assert rows("Johor,red\nKedah,blue\n", header=False)[0] == {"column_1": "Johor", "column_2": "red"}
    assert rows("1,2\n3,4\n", header=True) == [{"1": 3, "2": 4}]
    assert rows("a!b\n1!2\n", delimiter="!") == [{"a": 1, "b": 2}]
    assert rows("a,b\né,2\n".encode("cp850"), encoding="cp850") == [{"a": "é", "b": 2}]
    with pytest.raises(LoadError, match="not valid UTF-8"):
        rows("a,b\né,2\n".encode("cp850"), encoding="utf-8")
    for wrong in (
        {"delimiter": ";;"},
        {"delimiter": "\n"},
        {"encoding": "klingon"},
        {"encoding": "hex"},
        {"decimal": "x"},
    ):
        with pytest.raises(ConfigError):
            TableOptions(**wrong)  # type: ignore[arg-type]
