"""What an ingestion leaves in ``rag.ingest_runs`` and ``rag.ingest_failures``, and the failed files to try again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from rag_pgvector import runs as plans
from rag_pgvector.errors import ConfigError, LoadError, RagPgvectorError
from rag_pgvector.ingest.chunking import ChunkOptions
from rag_pgvector.ingest.loaders import LoadedDocument, SourceFile, TableOptions
from rag_pgvector.ingest.reading import Item
from rag_pgvector.ingest.remote import RemoteFile, is_remote, remote_file, storable
from rag_pgvector.ingest.sources import document_id_of
from rag_pgvector.runs import FailureRecord, IngestRun
from rag_pgvector.types import Document

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["Ledger", "failures", "runs", "sources_of", "to_retry"]


def runs(collection: Collection, *, limit: int = 20) -> list[IngestRun]:
    """The newest calls of ``ingest`` for this collection (of the bound tenant and scope), newest first."""
    if type(limit) is not int or limit < 1:
        raise ConfigError(f"limit={limit!r}: use 1 or more")
    return collection._run(lambda: plans.list_runs(collection._table, limit), retry=True)


def failures(collection: Collection) -> list[FailureRecord]:
    """Files, rows and parts that the last run that read them could not take in."""
    return collection._run(lambda: plans.list_failures(collection._table), retry=True)


class Ledger:
    """Notes what a run reads, and writes it down when it ends. A dry run writes nothing."""

    def __init__(
        self,
        collection: Collection,
        files: Sequence[Item],
        *,
        mode: str,
        options: ChunkOptions,
        table: TableOptions,
        dry_run: bool,
    ) -> None:
        self._collection = collection
        self._paths: dict[str, str | None] = {}
        self._tables: dict[str, TableOptions] = {}
        for file in files:
            if isinstance(file, (SourceFile, RemoteFile)):
                self._paths[file.source] = str(file.path) if isinstance(file, SourceFile) else storable(file.url)
                self._tables[file.source] = file.table
        self._table = table
        self._chunking = options.describe()
        self._dry_run = dry_run
        self._failures: list[FailureRecord] = []
        self._read: set[str] = set()
        self._hashes: dict[str, bytes] = {}
        self._loaders: dict[str, int] = {}
        model = str(getattr(collection.embedder, "name", ""))
        begin = partial(plans.begin, collection._table, mode=mode, model=model, options=self._options(table))
        self._id: UUID | None = None if dry_run else collection._run(begin, atomic=True)

    def _options(self, table: TableOptions) -> dict[str, Any]:
        return {"chunking": self._chunking, "table": asdict(table)}

    def document(self, file: str, document: Document) -> None:
        """A document of a file, new or unchanged."""
        self._read.add(file)
        self._hashes[document.id] = document.content_hash
        self._loaders[document.loader] = self._loaders.get(document.loader, 0) + 1

    def failed(self, file: str, error: LoadError) -> None:
        """A file, or a part of one, that was left out."""
        self._read.add(file)
        options = self._options(self._tables.get(file, self._table))
        self._failures.append(
            FailureRecord(
                file=file,
                path=self._paths.get(file),
                source=error.source,
                where=error.where,
                reason=error.reason,
                options=options,
            )
        )

    def gone(self, files: Iterable[str]) -> None:
        """Files that are no more; what is known of their failures is forgotten."""
        self._read.update(files)

    def close(self, counts: Mapping[str, Any], error: BaseException | None) -> None:
        """Write it down. Where the run ends by an error, that one is the caller's to raise."""
        if self._id is None:
            return
        digest = hashlib.sha256()
        for id_ in sorted(self._hashes):
            digest.update(f"{id_}\0{self._hashes[id_].hex()}\n".encode())
        # A file that was read and perhaps not written keeps its old failures.
        files = self._read if error is None else {each.file for each in self._failures}
        end = partial(
            plans.end,
            self._collection._table,
            self._id,
            error=None if error is None else _told(error),
            source_hash=digest.digest(),
            loaders=self._loaders,
            counts={**counts, "failed": len(self._failures)},
            files=sorted(files),
            failures=self._failures,
        )
        if error is None:
            self._collection._run(end, atomic=True, retry=True)
            return
        with suppress(RagPgvectorError):
            self._collection._run(end, atomic=True)


def _told(error: BaseException) -> str:
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "interrupted"
    return f"{type(error).__name__}: {error}"


def to_retry(collection: Collection) -> Iterator[tuple[ChunkOptions, list[Item]]]:
    """The files that failed, or failed in part, in groups that were divided alike, each with its own table options.

    What a program gave, and what never was a readable path, cannot be read again. Raises ConfigError for files that a
    ``splitter`` divided.
    """
    groups: dict[str, dict[str, Item]] = {}
    for record in failures(collection):
        if record.path is None:
            continue
        chunking = dict(record.options["chunking"])
        given = dict(record.options["table"])
        columns = given.get("metadata_columns")
        table = TableOptions(**{**given, "metadata_columns": None if columns is None else tuple(columns)})
        file: Item
        if is_remote(record.path):
            file = replace(remote_file(record.path, record.file, document_id_of), table=table)
        elif Path(record.path).is_file():
            id_ = document_id_of(record.file)
            file = SourceFile(path=Path(record.path), source=record.file, document_id=id_, table=table)
        else:
            folder = Path(record.path).parent
            file = LoadError(record.file, f"the file is gone from {folder}: ingest it from where it is now")
        groups.setdefault(json.dumps(chunking, sort_keys=True), {})[record.file] = file
    for key, group in groups.items():
        chunking = json.loads(key)
        if "splitter" in chunking:
            raise ConfigError("the failed files were divided by a splitter, which is not stored: ingest their paths")
        yield ChunkOptions(**chunking), list(group.values())


def sources_of(files: Iterable[Item]) -> set[str]:
    """How the files and documents of a call are known."""
    return {file.document.source if isinstance(file, LoadedDocument) else file.source for file in files}
