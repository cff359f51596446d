"""Files into a collection: load, chunk, embed only what is new, write. Run it again, and only what changed is done.

Documents are written one by one, each with all of its chunks in one transaction: an interrupted run leaves whole
documents, and the next one goes on where it stopped. Texts are embedded in windows over document borders, sorted by
length, since a batch costs what its longest text costs.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from rag_pgvector.errors import ChunkError, DatabaseError, LoadError, RagPgvectorError
from rag_pgvector.index import INDEX_PAYS_ROWS
from rag_pgvector.ingest.chunking import CHUNKER_VERSION, ChunkOptions, TokenCount, chunk_document, token_count
from rag_pgvector.ingest.loaders import LoadedDocument, Loader, SourceFile, loader_for
from rag_pgvector.ingest.sources import file_hash, find_files
from rag_pgvector.types import Chunk, Document, IndexReport, WriteCounts

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["Failure", "IngestReport", "Progress", "ingest"]

#: Chunks that are held before they are embedded and written, unless one document alone has more.
_WINDOW = 2_048
#: Texts per call of the embedder: progress is reported in between.
_BATCH = 256
#: Tokens that a model adds around a text.
_SPECIAL_TOKENS = 2


class Progress(Protocol):
    """Told how an ingestion goes on; ``total`` grows while files are read."""

    def __call__(self, done: int, total: int, description: str) -> None:
        """``done`` of ``total`` chunks known so far are embedded; ``description`` is what goes on now."""
        ...


@dataclass(frozen=True, slots=True)
class Failure:
    """A file, or a row of one (``where``: "line 3"), that could not be ingested."""

    source: str
    where: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What an ingestion did.

    ``documents`` and ``chunks`` count what the files given now have in the collection, unchanged ones included;
    ``added``, ``updated``, ``unchanged`` and ``deleted`` count chunks.
    """

    documents: int = 0
    chunks: int = 0
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: tuple[Failure, ...] = ()
    seconds: float = 0.0
    index: IndexReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-compatible values, without the index."""
        found = asdict(self)
        del found["index"]
        return found | {"failed": [asdict(failure) for failure in self.failed], "seconds": round(self.seconds, 3)}


def ingest(
    collection: Collection,
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    options: ChunkOptions | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> IngestReport:
    """Ingest files, folders and globs into a collection, and bring what was ingested before up to date.

    A file whose bytes, loader and chunking are as they were is left alone. Otherwise its chunks become those of its new
    text: vanished ones are deleted, and only texts without a stored embedding are embedded. Documents of files that are
    not among ``paths`` any more stay. Ends by building the vector index where the collection is large enough for one.

    Args:
        options: How long chunks are.
        strict: Stop at the first file or row that cannot be read (LoadError) instead of reporting it in ``failed``.
        progress: Called now and then; see Progress.

    Raises LoadError for a path that does not exist, EmbeddingError, EmbedderMismatchError, DatabaseError.
    """
    started = time.monotonic()
    run = _Run(collection, options or ChunkOptions(), strict=strict, progress=progress)
    files = list(find_files([paths] if isinstance(paths, (str, os.PathLike)) else paths))
    for file in files:
        if isinstance(file, LoadError):
            run.fail(file)
        else:
            run.take(file)
    run.flush()
    run.tell("index")
    index = collection.build_index(min_rows=INDEX_PAYS_ROWS)
    return IngestReport(
        documents=run.documents,
        chunks=run.done,
        added=run.counts.added,
        updated=run.counts.updated,
        unchanged=run.counts.unchanged,
        deleted=run.counts.deleted,
        failed=tuple(run.failed),
        seconds=time.monotonic() - started,
        index=index,
    )


class _Run:
    """One call of ``ingest``: what is stored, what waits to be embedded, and what was done."""

    def __init__(
        self, collection: Collection, options: ChunkOptions, *, strict: bool, progress: Progress | None
    ) -> None:
        embedder = collection.embedder
        self._collection = collection
        self._count: TokenCount
        self._count, self._count_name = token_count(embedder)
        self._options = _fitted(options, getattr(embedder, "max_tokens", None))
        self._strict = strict
        self._progress = progress
        self._stored: dict[str, list[Document]] = {}
        for document in collection.documents(exact_scope=True):  # what it would replace, and no other scope's
            self._stored.setdefault(str(document.metadata.get("file", document.source)), []).append(document)
        self._waiting: list[tuple[Document, list[Chunk]]] = []
        self._waiting_chunks = 0
        self.counts = WriteCounts()
        self.failed: list[Failure] = []
        self.documents = self.done = self.total = self._told = 0

    def tell(self, description: str, *, embedded: int = 0) -> None:
        """``embedded`` chunks of the window are as good as done: writing them takes no time to speak of."""
        self._told = min(max(self._told, self.done + embedded), self.total)
        if self._progress:
            self._progress(self._told, self.total, description)

    def fail(self, error: LoadError) -> None:
        if self._strict:
            raise error
        self.failed.append(Failure(error.source, error.where, error.reason))

    def take(self, file: SourceFile) -> None:
        """Load and chunk a file, unless the collection has it as it is."""
        self.tell(file.source)
        try:
            loader = loader_for(file.path)
            file = replace(file, content_hash=self._settings_hash(file_hash(file), loader))
            stored = self._stored.get(file.source, [])
            if stored and all(document.content_hash == file.content_hash for document in stored):
                self._keep(stored)
                return
            for loaded in _load(loader, file):
                if isinstance(loaded, LoadError):
                    self.fail(loaded)
                else:
                    self._chunk(loaded, file)
        except LoadError as error:
            self.fail(error)

    def _settings_hash(self, content: bytes, loader: Loader) -> bytes:
        """What decides over a file's chunks: its bytes and how they are read and divided."""
        settings = [loader.name, loader.version, CHUNKER_VERSION, asdict(self._options), self._count_name]
        return hashlib.sha256(content + json.dumps(settings).encode()).digest()

    def _keep(self, stored: Sequence[Document]) -> None:
        for document in stored:
            chunks = int(document.metadata.get("chunks", 0))
            self.documents += 1
            self.done += chunks
            self.total += chunks
            self.counts += WriteCounts(unchanged=chunks)
            for row in document.metadata.get("rejected", ()):
                self.fail(LoadError(document.source, row["reason"], row["where"]))

    def _chunk(self, loaded: LoadedDocument, file: SourceFile) -> None:
        for error in loaded.rejected:
            self.fail(error)
        chunks = list(chunk_document(loaded, options=self._options, count=self._count))
        metadata = dict(loaded.document.metadata) | {"chunks": len(chunks)}
        if loaded.document.source != file.source:  # a sheet of a workbook, a member of an archive
            metadata["file"] = file.source
        if loaded.rejected:  # told again by later runs, which do not read the file
            metadata["rejected"] = [{"where": error.where, "reason": error.reason} for error in loaded.rejected]
        self._waiting.append((replace(loaded.document, metadata=metadata), chunks))
        self._waiting_chunks += len(chunks)
        self.total += len(chunks)
        if self._waiting_chunks >= _WINDOW:
            self.flush()

    def flush(self) -> None:
        """Embed and write the documents that wait."""
        waiting, self._waiting, self._waiting_chunks = self._waiting, [], 0
        known = {document.id for documents in self._stored.values() for document in documents}
        prepared = [
            (document, self._with_stored(document, chunks) if document.id in known else chunks)
            for document, chunks in waiting
        ]
        vectors = self._embed([chunk.content for _, chunks in prepared for chunk in chunks if chunk.embedding is None])
        for document, chunks in prepared:
            self._write(
                document, [c if c.embedding is not None else replace(c, embedding=next(vectors)) for c in chunks]
            )

    def _with_stored(self, document: Document, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks with the embeddings that the document has stored of the same texts, under whatever ids."""
        stored = self._collection.embedded_hashes(document.id)
        if not stored:
            return chunks
        holder = {made_of: id_ for id_, made_of in stored.items()}
        wanted = [holder.get(self._collection.embedding_hash(chunk.content)) for chunk in chunks]
        ids = [id_ for id_ in set(wanted) if id_ is not None]
        vectors = self._collection.document_embeddings(document.id, ids)
        return [
            replace(chunk, embedding=None if id_ is None else vectors.get(id_))
            for chunk, id_ in zip(chunks, wanted, strict=True)
        ]

    def _embed(self, texts: Sequence[str]) -> Iterator[Sequence[float]]:
        """The vectors of texts, in their order."""
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]), reverse=True)
        vectors: list[Any] = [None] * len(texts)
        for begin in range(0, len(order), _BATCH):
            batch = order[begin : begin + _BATCH]
            for at, vector in zip(batch, self._collection.embed_documents([texts[at] for at in batch]), strict=True):
                vectors[at] = vector
            self.tell("embedding", embedded=begin + len(batch))
        return iter(cast("list[Sequence[float]]", vectors))

    def _write(self, document: Document, chunks: list[Chunk]) -> None:
        try:
            self.counts += self._collection.put_document(document, chunks)
        except (ChunkError, DatabaseError) as error:
            # What this document's data caused is its own failure; what the server or the connection did is the run's.
            if isinstance(error, DatabaseError) and (error.sqlstate or "")[:2] not in ("22", "54"):
                raise
            self.total -= len(chunks)
            self.fail(LoadError(document.source, str(error)))
            return
        self.documents += 1
        self.done += len(chunks)
        self.tell(document.source)


def _fitted(options: ChunkOptions, max_tokens: int | None) -> ChunkOptions:
    """Options whose chunks the embedder reads to their end."""
    if max_tokens is None or options.size + _SPECIAL_TOKENS <= max_tokens:
        return options
    size = max_tokens - _SPECIAL_TOKENS
    return replace(options, size=size, overlap=min(options.overlap, size // 2))


def _load(loader: Loader, file: SourceFile) -> Iterator[LoadedDocument | LoadError]:
    """What a loader yields; whatever else it raises than our own errors is this file's failure too."""
    try:
        yield from loader.load(file)
    except RagPgvectorError:
        raise
    except Exception as error:
        reason = f"the loader {loader.name!r} failed: {type(error).__name__}: {error}"
        raise LoadError(file.source, reason) from error
