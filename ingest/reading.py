"""Reads and chunks files in a thread of its own, so that the model never waits for a file.

What is read ahead is bounded in chunks, whatever the files' sizes: the reader waits while that many are held.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from rag_pgvector.errors import LoadError, RagPgvectorError
from rag_pgvector.ingest.chunking import CHUNKER_VERSION, ChunkOptions, TokenCount, chunk_document
from rag_pgvector.ingest.loaders import LoadedDocument, Loader, SourceFile, loader_for
from rag_pgvector.ingest.methods import Embed
from rag_pgvector.ingest.remote import RemoteFile
from rag_pgvector.ingest.sources import file_hash
from rag_pgvector.types import Chunk, Document

__all__ = ["Event", "Failed", "Finished", "Item", "Kept", "Read", "Reader", "Reading"]

#: Chunks that are read ahead of the model, unless one document alone has more.
_AHEAD = 4_096


@dataclass(frozen=True, slots=True)
class Kept:
    """A file whose bytes, loader and chunking are as they were."""

    file: str
    documents: Sequence[Document]


@dataclass(frozen=True, slots=True)
class Read:
    """A document with its chunks, and the rows of it that could not be read."""

    file: str
    document: Document
    chunks: list[Chunk]
    rejected: Sequence[LoadError]


@dataclass(frozen=True, slots=True)
class Failed:
    """A file, or a part of one that is no document, that cannot be read."""

    file: str
    error: LoadError


@dataclass(frozen=True, slots=True)
class Finished:
    """A file was read to its end: of the documents that it had, those that it did not give now are gone."""

    source: str
    documents: frozenset[str]


Event: TypeAlias = Kept | Read | Failed | Finished
#: What can be read: a file, the reason why one cannot, or a document that somebody else loaded.
Item: TypeAlias = SourceFile | RemoteFile | LoadError | LoadedDocument


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """How files are read: the chunking, and what is stored of each file by its source.

    ``again`` reads every file, whatever its hash; ``limit`` and ``embed`` are as in ``chunk_document``.
    """

    options: ChunkOptions
    count: TokenCount
    count_name: str
    stored: Mapping[str, Sequence[Document]]
    again: bool = False
    limit: int | None = None
    embed: Embed | None = None

    def read(self, file: Item) -> Iterator[Event]:
        """What a file holds. An error of its own ends it; it is then not ``Finished``."""
        if isinstance(file, LoadError):
            yield Failed(file.source, file)
            return
        if isinstance(file, LoadedDocument):
            yield self._given(file)
            return
        if isinstance(file, RemoteFile):
            try:
                with file.fetched() as local:
                    yield from self.read(local)
            except LoadError as error:
                yield Failed(file.source, error)
            return
        try:
            loader = loader_for(file.path)
            file = replace(file, content_hash=self._settings_hash(file, loader))
            stored = self.stored.get(file.source, [])
            if stored and not self.again and all(document.content_hash == file.content_hash for document in stored):
                yield Kept(file.source, stored)
                return
            found = set()
            whole = True
            for loaded in _load(loader, file):
                if isinstance(loaded, LoadError):
                    whole = False
                    yield Failed(file.source, loaded)
                else:
                    found.add(loaded.document.id)
                    yield self._chunked(loaded, file.source)
        except LoadError as error:
            yield Failed(file.source, error)
            return
        if whole:
            yield Finished(file.source, frozenset(found))

    def _given(self, loaded: LoadedDocument) -> Event:
        """A document that was given as such; several may have one source."""
        content = self._hash(loaded.document.content_hash, [loaded.document.loader])
        document = replace(loaded.document, content_hash=content)
        stored = [d for d in self.stored.get(document.source, ()) if d.id == document.id]
        if stored and not self.again and stored[0].content_hash == content:
            return Kept(document.source, stored)
        return self._chunked(replace(loaded, document=document), document.source)

    def _settings_hash(self, file: SourceFile, loader: Loader) -> bytes:
        return self._hash(file_hash(file), [loader.name, loader.version, asdict(file.table)])

    def _hash(self, content: bytes, how: list[Any]) -> bytes:
        """What decides over a document's chunks: its bytes and how they are read and divided."""
        settings = [*how, CHUNKER_VERSION, self.options.describe(), self.count_name]
        return hashlib.sha256(content + json.dumps(settings, default=list).encode()).digest()

    def _chunked(self, loaded: LoadedDocument, file_source: str) -> Read:
        chunks = list(
            chunk_document(loaded, options=self.options, count=self.count, limit=self.limit, embed=self.embed)
        )
        metadata = dict(loaded.document.metadata) | {"chunks": len(chunks)}
        if loaded.document.source != file_source:  # a sheet of a workbook, a member of an archive
            metadata["file"] = file_source
        if loaded.rejected:  # told again by later runs, which do not read the file
            metadata["rejected"] = [{"where": error.where, "reason": error.reason} for error in loaded.rejected]
        return Read(file_source, replace(loaded.document, metadata=metadata), chunks, loaded.rejected)


def _load(loader: Loader, file: SourceFile) -> Iterator[LoadedDocument | LoadError]:
    """What a loader yields; whatever else it raises than our own errors is this file's failure too."""
    try:
        yield from loader.load(file)
    except RagPgvectorError:
        raise
    except Exception as error:
        reason = f"the loader {loader.name!r} failed: {type(error).__name__}: {error}"
        raise LoadError(file.source, reason) from error


class Reading:
    """The events of files, read ahead by a thread. Iterate once; ``stop`` ends it at the next document."""

    def __init__(self, reader: Reader, files: Sequence[Item]) -> None:
        self._reader = reader
        self._files = files
        self._events: deque[Event] = deque()
        self._held = 0
        self._done = self._stopped = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="rag_pgvector ingest: reading", daemon=True)

    def __iter__(self) -> Iterator[Event]:
        self._thread.start()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._events) or self._done)
                if not self._events:
                    break
                event = self._events.popleft()
                self._held -= _size(event)
                self._changed.notify_all()
            yield event
        self._thread.join()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Let the thread end, and wait for it."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            for file in self._files:
                for event in self._reader.read(file):
                    if not self._put(event):
                        return
        except BaseException as error:  # noqa: BLE001 - raised again where the events are read
            self._error = error
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _put(self, event: Event) -> bool:
        size = _size(event)
        room: Callable[[], bool] = lambda: self._stopped or not self._held or self._held + size <= _AHEAD  # noqa: E731
        with self._changed:
            self._changed.wait_for(room)
            if self._stopped:
                return False
            self._events.append(event)
            self._held += size
            self._changed.notify_all()
        return True


def _size(event: Event) -> int:
    return len(event.chunks) if isinstance(event, Read) else 0
