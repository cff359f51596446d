"""Files behind a URL (s3://, gs://, https://, memory:// ...) through fsspec: fetched one by one, read, and let go."""

from __future__ import annotations

import fnmatch
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from rag_pgvector.errors import LoadError, MissingDependencyError
from rag_pgvector.ingest.loaders import SourceFile, TableOptions

__all__ = ["RemoteFile", "covers", "find_remote", "is_remote", "remote_file", "storable"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:::|://)")
_MAGIC = re.compile(r"[*?\[]")
_WEB = ("http", "https")
#: A file of more bytes is refused before it is fetched.
MAX_BYTES = 16 << 30


def is_remote(path: str) -> bool:
    """Whether this is a URL and no path here."""
    return bool(_URL.match(path)) and not path.startswith("file://")


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file to fetch and load. ``url`` is never shown: it may hold a key."""

    url: str = field(repr=False)
    source: str
    document_id: str
    table: TableOptions = field(default_factory=TableOptions)

    @contextmanager
    def fetched(self) -> Iterator[SourceFile]:
        """The file here, as long as the block lasts. Raises LoadError where it cannot be fetched."""
        with tempfile.TemporaryDirectory(prefix="rag_pgvector_remote_") as folder:
            path = Path(folder, "file" + PurePosixPath(self.source).suffix[:16])
            filesystem, inside = _filesystem(self.url, self.source)
            try:
                size = filesystem.info(inside).get("size")
                if size is not None and size > MAX_BYTES:
                    raise LoadError(self.source, f"{size:,} bytes: more than {MAX_BYTES:,} are not fetched")
                filesystem.get_file(inside, str(path))
            except LoadError:
                raise
            except Exception as error:  # noqa: BLE001 - every file system has errors of its own
                raise LoadError(self.source, _reason(error)) from None  # the chain may show the URL
            yield SourceFile(path=path, source=self.source, document_id=self.document_id, table=self.table)


def find_remote(url: str, name_of: Callable[[str], str]) -> Iterator[RemoteFile]:
    """The files of a URL: the one that it names, those below a folder, those that a glob matches. ``name_of`` makes a
    document's id of its source.

    Sources begin with the folder's own name, as of paths here. Raises LoadError for what is not there.
    """
    shown = _shown(url)
    filesystem, inside = _filesystem(url, shown)
    filesystem.invalidate_cache()  # what an earlier call of this process listed
    inside = inside.rstrip("/")
    web = urlsplit(url).scheme in _WEB
    try:
        if web:
            names, root = [inside], inside
            filesystem.info(inside)
        elif _MAGIC.search(inside):
            names, root = [n for n in filesystem.glob(inside) if filesystem.isfile(n)], _glob_root(inside)
        elif filesystem.isfile(inside):
            names, root = [inside], inside
        else:
            names, root = filesystem.find(inside), inside
    except Exception as error:  # noqa: BLE001 - as above
        raise LoadError(shown, _reason(error)) from None
    parent = root.rpartition("/")[0]
    for name in sorted(names):
        source = PurePosixPath(urlsplit(name).path).name if web else name.removeprefix(parent).lstrip("/")
        if any(part.startswith(".") for part in source.split("/")[1:]):
            continue
        yield remote_file(filesystem.unstrip_protocol(name) if not web else url, source or shown, name_of)
    if not names:
        raise LoadError(shown, "there is no file")


def remote_file(url: str, source: str, name_of: Callable[[str], str]) -> RemoteFile:
    """A file whose source is known."""
    return RemoteFile(url=url, source=source, document_id=name_of(source))


def covers(url: str) -> Callable[[str], bool]:
    """Tells of the source of a file that is gone whether this URL would have found it."""
    inside = urlsplit(url).path if urlsplit(url).scheme in _WEB else url.partition("://")[2]
    inside = inside.rstrip("/")
    if _MAGIC.search(inside) and urlsplit(url).scheme not in _WEB:
        parent = _glob_root(inside).rpartition("/")[0]
        pattern = re.compile(fnmatch.translate(inside.removeprefix(parent).lstrip("/")))
        return lambda source: bool(pattern.match(source))
    name = inside.rpartition("/")[2]
    return lambda source: source == name or source.startswith(f"{name}/")


def storable(url: str) -> str | None:
    """The URL, if it holds neither a user's name nor a query, which may be keys."""
    parts = urlsplit(url)
    return None if "@" in parts.netloc or parts.query else url


def _glob_root(inside: str) -> str:
    """The folder before the first wildcard."""
    return _MAGIC.split(inside, maxsplit=1)[0].rpartition("/")[0]


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _filesystem(url: str, shown: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise MissingDependencyError("fsspec", "remote") from error
    try:
        filesystem, inside = url_to_fs(url)
    except ImportError as error:
        raise LoadError(shown, f"fsspec needs another package for it ({str(error)[:200]})") from None
    except Exception as error:  # noqa: BLE001 - as above
        raise LoadError(shown, _reason(error)) from None
    return filesystem, str(inside)


def _reason(error: Exception) -> str:
    """What went wrong, without what the library says of it, where a key may stand."""
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    if isinstance(error, PermissionError):
        return "it may not be read with these credentials"
    if "NoCredentials" in type(error).__name__:  # botocore's
        return (
            "no credentials were found: give them where the store's own tools look for them (of S3: AWS_ACCESS_KEY_ID "
            "and AWS_SECRET_ACCESS_KEY, a profile, the machine's role)"
        )
    return f"it cannot be read ({type(error).__name__})"
