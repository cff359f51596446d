"""Zip archives: each member goes to the loader of its suffix, under the name ``archive.zip/folder/file``.

Sizes are bounded by what is really unpacked, not by what the directory of the archive claims: a member is read in
blocks and given up at its limit. Archives inside an archive are not opened.
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from rag_pgvector.errors import LoadError
from rag_pgvector.ingest.loaders import LoadedDocument, SourceFile, loader_for

__all__ = ["MAX_RATIO", "ZipLoader", "check_package"]

#: Unpacked to packed bytes; text seldom passes 20. Below a megabyte nothing is a bomb.
MAX_RATIO = 200
_HARMLESS = 1 << 20
_MAX_MEMBERS = 100_000
_MAX_MEMBER = 1 << 30
_MAX_TOTAL = 8 << 30
_ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".bz2", ".xz", ".7z", ".rar", ".zst")


class ZipLoader:
    """The documents of an archive's members. A member that cannot be read is reported, the others go in."""

    name = "zip"
    version = 1

    def load(self, file: SourceFile) -> Iterator[LoadedDocument | LoadError]:
        """Raises LoadError for what is no zip archive, or is made to fill the disk."""
        archive = _open(file)
        with archive, tempfile.TemporaryDirectory(prefix="rag_pgvector_zip_") as folder:
            total = found = 0
            for number, member in enumerate(archive.infolist()):
                if member.is_dir() or _hidden(member.filename):
                    continue
                inside = replace(
                    file,
                    path=Path(folder, f"{number}{PurePosixPath(member.filename).suffix.lower()[:16]}"),
                    source=f"{file.source}/{member.filename}",
                    document_id=f"{file.document_id}/{member.filename}",
                )
                try:
                    total += _unpack(archive, member, inside, left=_MAX_TOTAL - total)
                    for loaded in loader_for(inside.path).load(inside):
                        found += isinstance(loaded, LoadedDocument)
                        yield loaded
                except LoadError as error:
                    yield error
                finally:
                    inside.path.unlink(missing_ok=True)
            if not archive.infolist():
                raise LoadError(file.source, "the archive is empty")


def _open(file: SourceFile) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(file.path)
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise LoadError(file.source, f"it cannot be opened as a zip archive ({error})") from error
    if len(archive.infolist()) > _MAX_MEMBERS:
        archive.close()
        raise LoadError(file.source, f"more than {_MAX_MEMBERS:,} files: unpack it and ingest the folder")
    return archive


def _hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") and part not in (".", "..") for part in parts) or "__MACOSX" in parts


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, inside: SourceFile, *, left: int) -> int:
    """Write a member to ``inside.path``; returns its size."""
    name = member.filename
    if name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts:
        raise LoadError(inside.source, "a name that leads out of the archive")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise LoadError(inside.source, "a link inside an archive is not followed")
    if member.flag_bits & 1:
        raise LoadError(inside.source, "it is encrypted with a password: pack it without one")
    if name.lower().endswith(_ARCHIVES):
        raise LoadError(inside.source, "an archive inside an archive is not opened: unpack it first")
    most = min(_MAX_MEMBER, left, max(_HARMLESS, member.compress_size * MAX_RATIO))
    size = 0
    try:
        with archive.open(member) as stream, inside.path.open("wb") as out:
            while block := stream.read(1 << 20):
                size += len(block)
                if size > most:
                    raise LoadError(inside.source, f"it unpacks to more than {most:,} bytes: a zip bomb, or too large")
                out.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise LoadError(inside.source, f"it cannot be unpacked ({error})") from error
    return size


def check_package(file: SourceFile) -> None:
    """Raises LoadError for an Office file (a zip archive of XML) that is none, is encrypted, or would fill memory."""
    try:
        with file.path.open("rb") as stream:
            head = stream.read(8)
    except OSError as error:
        raise LoadError(file.source, error.strerror or str(error)) from error
    if not head:
        raise LoadError(file.source, "the file is empty")
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise LoadError(file.source, "it has a password, or the format of before 2007: save it again")
    with _open(file) as archive:
        members = archive.infolist()
        unpacked = sum(member.file_size for member in members)
        packed = sum(member.compress_size for member in members)
    if unpacked > _MAX_MEMBER or unpacked > max(64 * _HARMLESS, packed * MAX_RATIO):
        raise LoadError(file.source, f"it unpacks to {unpacked:,} bytes from {packed:,}: a zip bomb, or too large")
