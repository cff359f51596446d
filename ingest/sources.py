"""Which files a call of ``ingest`` means: files, folders and globs, each with the name that users see."""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from rag_pgvector.errors import LoadError
from rag_pgvector.ingest.loaders import SourceFile
from rag_pgvector.ingest.remote import RemoteFile, covers, find_remote, is_remote

__all__ = ["covered_by", "document_id_of", "file_hash", "find_files"]

#: Room for "#" and the chunk's name within the 512 bytes of a chunk's id.
_MAX_ID_BYTES = 440


def find_files(paths: Iterable[str | os.PathLike[str]]) -> Iterator[SourceFile | RemoteFile | LoadError]:
    """The files of all paths and URLs, each once, in a stable order; LoadErrors for entries that cannot be ingested.

    A folder is walked recursively, without hidden entries and linked folders. A file's source is its path from the
    parent of the folder that was given: ``ingest data/csv`` gives ``csv/cpi.csv``; a file given by itself is known by
    its name. A glob counts as the folder before its first wildcard. The same source is the same document at every later
    call.

    Raises LoadError at once for a path that does not exist and for one that holds no files.
    """
    given = [os.fspath(path) for path in paths]
    wanted = [found for path in given if not is_remote(path) for found in _expand(path)]
    remote = [found for path in given if is_remote(path) for found in find_remote(path, document_id_of)]
    by_source: dict[str, Path] = {}
    seen: set[Path] = set()
    seen_urls: set[str] = set()
    for path, root in wanted:
        source = path.relative_to(root.parent).as_posix()
        # Names in another encoding than the system's hold half characters, which Postgres cannot store.
        source = source.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\0", "")
        if path in seen:
            continue
        seen.add(path)
        if source in by_source:
            yield LoadError(source, f"two files of this call have this name; ingest {path} in a call of its own folder")
            continue
        by_source[source] = path
        if reason := _refused(path, root):
            yield LoadError(source, reason)
        else:
            yield SourceFile(path=path, source=source, document_id=document_id_of(source))
    urls: dict[str, str] = {}
    for file in remote:
        if file.source in by_source or urls.setdefault(file.source, file.url) != file.url:
            yield LoadError(file.source, "two files of this call have this name; ingest their folders one by one")
        elif file.url not in seen_urls:
            seen_urls.add(file.url)
            yield file


def covered_by(paths: Sequence[str | os.PathLike[str]]) -> Callable[[str], bool]:
    """Tells of the source of a file that is gone whether one of the paths would have found it."""
    files: set[str] = set()
    folders: list[str] = []
    patterns: list[re.Pattern[str]] = []
    remote = [covers(os.fspath(path)) for path in paths if is_remote(os.fspath(path))]
    for path in paths:
        given = os.fspath(path)
        if is_remote(given):
            continue
        absolute = Path(os.path.abspath(given))
        if absolute.is_dir():
            folders.append(f"{absolute.name}/")
        elif absolute.exists() or absolute.is_symlink() or not glob.has_magic(given):
            files.add(absolute.name)
        else:
            root = _glob_root(given)
            relative = os.path.relpath(os.path.abspath(given), root.parent)
            patterns.append(_glob_pattern(Path(relative).as_posix()))
    return lambda source: (
        source in files
        or source.startswith(tuple(folders))
        or any(pattern.fullmatch(source) for pattern in patterns)
        or any(tells(source) for tells in remote)
    )


def _glob_root(given: str) -> Path:
    """The folder before the first wildcard of a glob."""
    return Path(os.path.abspath(re.split(r"[*?\[]", given, maxsplit=1)[0] + "x")).parent


def _glob_pattern(glob_: str) -> re.Pattern[str]:
    """A glob as a regular expression, by the rules of ``glob.glob(recursive=True)``."""
    parts = []
    for part in glob_.split("/"):
        if part == "**":
            parts.append(r"(?:[^/]+/)*")
        else:
            parts.append(fnmatch.translate(part).removeprefix("(?s:").removesuffix(r")\Z").replace(".*", "[^/]*") + "/")
    return re.compile("".join(parts).removesuffix("/"), re.DOTALL)


def _expand(given: str) -> list[tuple[Path, Path]]:
    """Pairs of a file and the folder (or the file) that it was found through."""
    path = Path(os.path.abspath(given))
    if path.is_dir():
        files = list(_walk(path))
        if not files:
            raise LoadError(given, "the folder holds no files (hidden ones are skipped)")
        return [(file, path) for file in files]
    if path.exists() or path.is_symlink():
        return [(path, path)]
    if not glob.has_magic(given):
        raise LoadError(given, "no such file or folder")
    root = _glob_root(given)
    found = sorted(Path(os.path.abspath(name)) for name in glob.glob(given, recursive=True))
    files = [file for file in found if not file.is_dir()]
    if not files:
        raise LoadError(given, "no file matches")
    return [(file, root) for file in files]


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files) if not name.startswith("."))


def _refused(path: Path, root: Path) -> str:
    """Why a found entry is not read, or ""."""
    if path.is_symlink() and path != root:
        target = path.resolve()
        if not target.is_relative_to(root.resolve()):
            return f"a link that leads out of the folder (to {target})"
    if not path.exists():
        return "a link to nothing"
    if not path.is_file():
        return "not a regular file"
    return ""


def document_id_of(source: str) -> str:
    """The source itself, so that ids can be read; a long one is cut and told apart by its hash."""
    encoded = source.encode()
    if len(encoded) <= _MAX_ID_BYTES:
        return source
    tail = encoded[-_MAX_ID_BYTES + 18 :].decode(errors="ignore")
    return f"{hashlib.sha256(encoded).hexdigest()[:16]}~{tail}"


def file_hash(file: SourceFile) -> bytes:
    """SHA-256 of a file's bytes. Raises LoadError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with file.path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise LoadError(file.source, error.strerror or str(error)) from error
    return digest.digest()
