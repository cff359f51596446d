"""Files into a collection: load, chunk, embed only what is new, write. Run it again, and only what changed is done.

Three stages overlap: a thread reads and chunks files, this thread embeds, and a third writes. Documents are written in
groups, each with all of its chunks in one transaction: an interrupted run leaves whole documents, and the next one goes
on where it stopped. Texts are embedded in windows over document borders, sorted by length, since a batch costs what its
longest text costs.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Container, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rag_pgvector.errors import ConfigError, LoadError
from rag_pgvector.index import INDEX_PAYS_ROWS
from rag_pgvector.ingest.chunking import ChunkOptions, token_count
from rag_pgvector.ingest.foreign import foreign_documents, is_foreign
from rag_pgvector.ingest.history import Ledger, failures, sources_of, to_retry
from rag_pgvector.ingest.loaders import TableOptions
from rag_pgvector.ingest.reading import Failed, Finished, Item, Kept, Read, Reader, Reading
from rag_pgvector.ingest.report import Failure, IngestReport, Progress
from rag_pgvector.ingest.sources import covered_by, find_files
from rag_pgvector.ingest.storing import Storing, Written
from rag_pgvector.types import Chunk, Document, IndexReport, WriteCounts

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["Engine", "Mode", "aingest", "ingest", "retry_failed"]

Mode = Literal["append", "sync", "full"]
Engine = Literal["local", "ray"]
#: A path, a document of a framework, or several of either.
Given: TypeAlias = Any

#: Chunks that are embedded and written together, unless one document alone has more. The first windows are smaller, for
#: the model waits until one is full.
_WINDOW = 2_048
_FIRST_WINDOW = 256
#: Tokens that a model adds around a text.
_SPECIAL_TOKENS = 2


def ingest(
    collection: Collection,
    paths: Given,
    *,
    options: ChunkOptions | None = None,
    table: TableOptions | None = None,
    mode: Mode = "append",
    dry_run: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
    engine: Engine = "local",
) -> IngestReport:
    """Ingest files, folders, globs and documents into a collection, and bring what was ingested before up to date.

    A file whose bytes, loader and chunking are as they were is left alone. Otherwise its chunks become those of its new
    text: vanished ones are deleted, and only texts without a stored embedding are embedded. A file that cannot be read
    keeps what is stored of it. Ends by building the vector index where the collection is large enough for one.

    Args:
        paths: One or several; documents and nodes of LangChain and LlamaIndex may stand among them.
        options: How texts are divided.
        table: How rows of tables become chunks.
        mode: ``append`` leaves the documents of files that are not among ``paths``. ``sync`` deletes those that a path
            covers and that are gone: of a folder, whatever was in it; of a glob, whatever it matches. ``full`` reads
            every file again, whatever its hash, and deletes the documents of all other files.
        dry_run: Report what would be done; nothing is embedded or written.
        strict: Stop at the first file or row that cannot be read (LoadError) instead of reporting it in ``failed``.
        progress: Called now and then; see Progress.
        engine: ``local``: threads of this process. ``ray``: the same on Ray Data (extra ``ray``), on the cluster that
            ``ray.init`` connected or on this machine; every node must reach the database and the files.

    Raises LoadError for a path that does not exist, EmbeddingError, EmbedderMismatchError, DatabaseError.
    """
    if engine not in ("local", "ray"):
        raise ConfigError(f"engine={engine!r}: use local or ray")
    if mode not in ("append", "sync", "full"):
        raise ConfigError(f"mode={mode!r}: use append, sync or full")
    everything: list[Any]
    everything = [paths] if isinstance(paths, (str, os.PathLike)) or is_foreign(paths) else list(paths)
    given = [item for item in everything if not is_foreign(item)]
    table = table or TableOptions()
    files: list[Item] = [
        file if isinstance(file, LoadError) else replace(file, table=table) for file in find_files(given)
    ]
    files += foreign_documents(item for item in everything if is_foreign(item))
    covered = None if mode == "append" else covered_by(given) if mode == "sync" else lambda source: True
    run = _Run(
        collection,
        files,
        options or ChunkOptions(),
        mode=mode,
        again=mode == "full",
        table=table,
        dry_run=dry_run,
        strict=strict,
        progress=progress,
        engine=engine,
    )
    return run.whole(files, covered)


def retry_failed(collection: Collection, *, strict: bool = False, progress: Progress | None = None) -> IngestReport:
    """Read again, from where they were, the files that ``failures(collection)`` tells of, as they were to be read then.

    What can be read now is forgotten as a failure. Raises as ``ingest`` does.
    """
    report = IngestReport()
    for options, files in list(to_retry(collection)):
        run = _Run(
            collection,
            files,
            options,
            mode="retry",
            again=True,
            table=TableOptions(),
            dry_run=False,
            strict=strict,
            progress=progress,
        )
        report += run.whole(files, None)
    return report


async def aingest(collection: Collection, paths: Given, **options: Any) -> IngestReport:
    """``ingest`` in a thread, for a running event loop."""
    return await asyncio.to_thread(ingest, collection, paths, **options)


class _Run:
    """One call of ``ingest``: what is stored, what waits to be embedded, and what was done."""

    def __init__(
        self,
        collection: Collection,
        files: Sequence[Item],
        options: ChunkOptions,
        *,
        mode: str,
        again: bool,
        table: TableOptions,
        dry_run: bool,
        strict: bool,
        progress: Progress | None,
        engine: Engine = "local",
    ) -> None:
        self._engine = engine
        self._started = time.monotonic()
        embedder = collection.embedder
        self._collection = collection
        self._dry_run, self._strict, self._progress = dry_run, strict, progress
        self.stored: dict[str, list[Document]] = {}
        for document in collection.documents(exact_scope=True):  # what it would replace, and no other scope's
            self.stored.setdefault(str(document.metadata.get("file", document.source)), []).append(document)
        self._known = frozenset(document.id for documents in self.stored.values() for document in documents)
        self._storing = Storing(collection, self._known)
        count, count_name = token_count(embedder)
        max_tokens = getattr(embedder, "max_tokens", None)
        fitted = _fitted(options, max_tokens)
        self._reader = Reader(
            options=fitted,
            count=count,
            count_name=count_name,
            stored=self.stored,
            again=again,
            limit=None if max_tokens is None else max_tokens - _SPECIAL_TOKENS - fitted.context_tokens,
            embed=collection.embed_documents,
        )
        self._ledger = Ledger(collection, files, mode=mode, options=options, table=table, dry_run=dry_run)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="rag_pgvector ingest: writing")
        self._writing: Future[Written] | None = None
        self._window = min(_FIRST_WINDOW, _WINDOW)
        self._waiting: list[Read] = []
        self._waiting_chunks = 0
        self.counts = WriteCounts()
        self.failed: list[Failure] = []
        self.documents = self.done = self.total = self.embedded = self._told = 0

    def whole(self, files: Sequence[Item], covered: Callable[[str], bool] | None) -> IngestReport:
        """Read ``files``, remove what is ``covered`` and gone, build the index, write down what was done."""
        index = None
        try:
            if self._engine == "ray" and not self._dry_run:
                self._read_by_ray(files)
            else:
                self.read(files)
            if covered is not None:
                self._remove_gone(sources_of(files), covered)
            if not self._dry_run:
                self.tell("index")
                index = self._collection.build_index(min_rows=INDEX_PAYS_ROWS)
        except BaseException as error:
            self._ledger.close(self._report(None).to_counts(), error)
            raise
        report = self._report(index)
        self._ledger.close(report.to_counts(), None)
        return report

    def _report(self, index: IndexReport | None) -> IngestReport:
        return IngestReport(
            documents=self.documents,
            chunks=self.done,
            added=self.counts.added,
            updated=self.counts.updated,
            unchanged=self.counts.unchanged,
            deleted=self.counts.deleted,
            embedded=self.embedded,
            failed=tuple(self.failed),
            seconds=time.monotonic() - self._started,
            dry_run=self._dry_run,
            index=index,
        )

    def tell(self, description: str, *, embedded: int = 0) -> None:
        """``embedded`` chunks of the window are as good as done: writing them takes no time to speak of."""
        self._told = min(max(self._told, self.done + embedded), self.total)
        if self._progress:
            self._progress(self._told, self.total, description)

    def _fail(self, file: str, error: LoadError) -> None:
        self._ledger.failed(file, error)
        if self._strict:
            raise error
        self.failed.append(Failure(error.source, error.where, error.reason))

    def read(self, files: Sequence[Item]) -> None:
        """Read, embed and write all files."""
        reading = Reading(self._reader, files)
        try:
            for event in reading:
                if isinstance(event, Read):
                    self._take(event)
                else:
                    self._note(event)
            self._flush()
            self._settle()
        finally:
            reading.stop()
            self._writer.shutdown(cancel_futures=True)

    def _read_by_ray(self, files: Sequence[Item]) -> None:
        from rag_pgvector.ingest.distributed import Stored, distributed

        for outcome in distributed(self._collection, self._reader, files, self._known):
            if not isinstance(outcome, Stored):
                self._note(outcome)
                continue
            for file, document, rejected in outcome.reads:
                self._ledger.document(file, document)
                self.total += int(document.metadata["chunks"])
                for error in rejected:
                    self._fail(file, error)
            self.embedded += outcome.embedded
            self._wrote(outcome.written)

    def _note(self, event: Failed | Kept | Finished) -> None:
        if isinstance(event, Failed):
            self._fail(event.file, event.error)
        elif isinstance(event, Kept):
            self._keep(event)
        else:
            self._delete([d for d in self.stored.get(event.source, ()) if d.id not in event.documents])

    def _keep(self, kept: Kept) -> None:
        for document in kept.documents:
            self._ledger.document(kept.file, document)
            chunks = int(document.metadata.get("chunks", 0))
            self.documents += 1
            self.done += chunks
            self.total += chunks
            self.counts += WriteCounts(unchanged=chunks)
            for row in document.metadata.get("rejected", ()):
                self._fail(kept.file, LoadError(document.source, row["reason"], row["where"]))

    def _take(self, read: Read) -> None:
        self._ledger.document(read.file, read.document)
        for error in read.rejected:
            self._fail(read.file, error)
        self.tell(read.document.source)
        self._waiting.append(read)
        self._waiting_chunks += len(read.chunks)
        self.total += len(read.chunks)
        if self._waiting_chunks >= self._window:
            self._window = min(2 * self._window, _WINDOW)
            self._flush()

    def _flush(self) -> None:
        """Embed the documents that wait, and have them written while the next ones are embedded."""
        waiting, self._waiting, self._waiting_chunks = self._waiting, [], 0
        if self._dry_run:
            for read in waiting:
                self._would_write(read)
            return
        if not waiting:
            return
        self.tell("embedding")  # the first batch takes a while
        whole = self._storing.embedded([(read.document, read.chunks) for read in waiting], self._embedding)
        self._settle()
        self._writing = self._writer.submit(self._storing.write, whole)

    def _embedding(self, texts: int, done: int) -> None:
        self.embedded += texts
        self.tell("embedding", embedded=done)

    def _settle(self) -> None:
        """Wait until what was handed over is written, and raise what went wrong."""
        writing, self._writing = self._writing, None
        if writing is not None:
            self._wrote(writing.result())

    def _wrote(self, written: Written) -> None:
        self.counts += written.counts
        self.documents += written.documents
        self.done += written.chunks
        for chunks, file, error in written.failed:
            self.total -= chunks
            self._fail(file, error)
        self.tell("writing")

    def _would_write(self, read: Read) -> None:
        """Count as ``_write`` does, without writing."""
        chunks = {str(chunk.id): chunk for chunk in read.chunks}
        hashes = self._collection.embedded_hashes(read.document.id) if read.document.id in self._known else {}
        before = {str(chunk.id): chunk for chunk in self._collection.get(list(chunks))} if hashes else {}
        same = sum(_same(before[id_], chunk) for id_, chunk in chunks.items() if id_ in before)
        stored = set(hashes.values())
        self.embedded += sum(self._collection.embedding_hash(c.embedded_text) not in stored for c in chunks.values())
        gone = len(hashes.keys() - chunks.keys())
        self.counts += WriteCounts(
            added=len(chunks) - len(before), updated=len(before) - same, unchanged=same, deleted=gone
        )
        self.documents += 1
        self.done += len(chunks)

    def _remove_gone(self, here: Container[str], covered: Callable[[str], bool]) -> None:
        """Delete the documents of files that are gone, and what is known of their failures."""
        for source in [source for source in self.stored if source not in here and covered(source)]:
            self.tell(f"removing {source}")
            self._delete(self.stored[source])
        if not self._dry_run:
            known = {each.file for each in failures(self._collection)}
            self._ledger.gone(file for file in known if file not in here and covered(file))

    def _delete(self, documents: Sequence[Document]) -> None:
        for document in documents:
            if self._dry_run:
                deleted = int(document.metadata.get("chunks", 0))
            else:
                deleted = self._collection.delete_document(document.id, exact_scope=True)
            self.counts += WriteCounts(deleted=deleted)


def _same(stored: Chunk, chunk: Chunk) -> bool:
    return replace(stored, embedding=None, context="") == replace(chunk, embedding=None, context="")


def _fitted(options: ChunkOptions, max_tokens: int | None) -> ChunkOptions:
    """Options whose chunks the embedder reads to their end."""
    if max_tokens is None:
        return options
    context = min(options.context_tokens, max_tokens // 4)
    size = min(options.size, max_tokens - _SPECIAL_TOKENS - context)
    return replace(options, size=size, overlap=min(options.overlap, size // 2), context_tokens=context)
