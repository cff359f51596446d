"""Which encoding a file is in, and whether it is text at all. Files are read as streams: any size, constant memory."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from rag_pgvector.errors import LoadError, MissingDependencyError

__all__ = ["check_text", "detect_encoding", "read_markup", "read_text"]

_BLOCK = 1 << 20
_SAMPLE = 1 << 16

#: UTF-32 first: its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffe\uffff]")
_SIGNATURES = (
    (b"%PDF-", "a PDF"),
    (b"{\\rtf", "an RTF document"),
    (b"PK\x03\x04", "a zip archive or an Office document"),
    (b"\xd0\xcf\x11\xe0", "an older Office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b", "a gzip archive"),
)


def detect_encoding(path: Path, source: str, *, told: str | None = None) -> str:
    """The codec that decodes the whole file: by its byte order mark, else UTF-8 where that fits, else by statistics;
    or the one that somebody told, if it does.

    Raises LoadError for an empty or unreadable file, one that is not text, and one that no codec decodes.
    """
    try:
        with path.open("rb") as file:
            return _detect(file, source) if told is None else _checked(file, told, source)
    except OSError as error:
        raise LoadError(source, error.strerror or str(error)) from error


def _detect(file: BinaryIO, source: str) -> str:
    sample = file.read(_SAMPLE)
    if not sample:
        raise LoadError(source, "the file is empty")
    for signature, kind in _SIGNATURES:
        if sample.startswith(signature):
            raise LoadError(source, f"this is {kind}, not text; there is no loader for it")
    for mark, codec in _MARKS:
        if sample.startswith(mark):
            return _checked(file, codec, source)
    if wide := _wide_without_mark(sample):
        return _checked(file, wide, source)
    if _decodes(file, "utf-8"):
        return "utf-8"
    if (nul := sample.find(0)) >= 0:
        raise LoadError(source, "a NUL byte: this is a binary file, not text", f"byte {nul}")
    for codec in _guesses(sample):
        if _decodes(file, codec):
            return codec
    raise LoadError(source, "the encoding was not recognised; save the file as UTF-8")


def _wide_without_mark(sample: bytes) -> str | None:
    """UTF-16 of mostly Latin text has a NUL in every other byte."""
    pairs = len(sample) // 2
    if pairs and len(sample) % 2 == 0:
        if sample[1::2].count(0) > 0.6 * pairs and not sample[0::2].count(0):
            return "utf-16-le"
        if sample[0::2].count(0) > 0.6 * pairs and not sample[1::2].count(0):
            return "utf-16-be"
    return None


def _decodes(file: BinaryIO, codec: str) -> bool:
    try:
        _checked(file, codec, "")
    except LoadError:
        return False
    return True


def _checked(file: BinaryIO, codec: str, source: str) -> str:
    """``codec``, after a look at every byte; LoadError where it does not decode the file."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder(codec)()
    done = 0
    try:
        for block in _blocks(file):
            decoder.decode(block)
            done += len(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        reason = f"the file is not valid {codec.upper()} ({error.reason})"
        raise LoadError(source, reason, f"near byte {done + error.start}") from None
    return codec


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _guesses(sample: bytes) -> Iterator[str]:
    """Codecs for bytes that are not UTF-8, likeliest first."""
    try:
        from charset_normalizer import from_bytes
    except ImportError as error:
        raise MissingDependencyError("charset-normalizer", "ingest") from error
    found = [match.encoding for match in from_bytes(sample)]
    # Statistics need material: a few high bytes, each alone between ASCII letters, are Western European accents in
    # practice, where the double-byte codecs of East Asia put theirs side by side.
    high = re.findall(rb"[\x80-\xff]+", sample)
    if len(high) < 16 and all(len(run) == 1 for run in high):
        yield "cp1252"
    yield from found


def check_text(text: str, source: str, *, where: str = "") -> None:
    """LoadError where a text holds NUL, which Postgres cannot store, or control characters like a binary file."""
    if (nul := text.find("\0")) >= 0:
        line = text.count("\n", 0, nul) + 1
        raise LoadError(source, "a NUL character (U+0000), which Postgres cannot store", where or f"line {line}")
    sample = text[:_SAMPLE]
    if len(_CONTROL.findall(sample)) > max(2, len(sample) // 100):
        raise LoadError(source, "control characters: this is a binary file, not text", where)


def read_text(path: Path, source: str) -> tuple[str, str]:
    """The whole decoded text with its line ends as they are (a byte order mark left out), and the codec."""
    codec = detect_encoding(path, source)
    try:
        text = path.read_bytes().decode(codec)
    except (OSError, UnicodeDecodeError) as error:
        raise LoadError(source, f"the file changed while it was read ({error})") from error
    check_text(text, source)
    if not text.strip():
        raise LoadError(source, "the file holds nothing but white space")
    return text, codec


_DECLARED = re.compile(
    rb"""(?:<meta[^>]+charset|<\?xml[^>]+encoding)\s*=\s*["']?\s*([A-Za-z0-9_.:-]{2,40})""", re.IGNORECASE
)


def read_markup(path: Path, source: str) -> tuple[str, str]:
    """The decoded HTML or XML and its codec: a byte order mark, else what the file declares if that decodes it, else as
    ``read_text``."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LoadError(source, error.strerror or str(error)) from error
    declared = _DECLARED.search(data[:4096])
    if declared and not data.startswith(tuple(mark for mark, _ in _MARKS)) and b"\0" not in data[:4096]:
        try:
            codec = codecs.lookup(declared[1].decode("ascii")).name
            codec = "cp1252" if codec in ("iso8859-1", "ascii") else codec  # as browsers do (WHATWG Encoding)
            return data.decode(codec), codec
        except (LookupError, UnicodeError):
            pass
    return read_text(path, source)
