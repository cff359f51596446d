"""What an ingestion does with a collection: take the embeddings that are stored, embed the rest, write documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from rag_pgvector.errors import ChunkError, DatabaseError, LoadError
from rag_pgvector.types import Chunk, Document, WriteCounts

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["Documents", "Storing", "Written"]

Documents: TypeAlias = Sequence[tuple[Document, list[Chunk]]]

#: Texts per call of the embedder: progress is reported in between.
_BATCH = 256


@dataclass(slots=True)
class Written:
    """What became of some documents: counts, and per failed one its number of chunks, its file and why."""

    counts: WriteCounts = field(default_factory=WriteCounts)
    documents: int = 0
    chunks: int = 0
    failed: list[tuple[int, str, LoadError]] = field(default_factory=list)


class Storing:
    """The collection of a run, and the documents that it had when the run began."""

    def __init__(self, collection: Collection, known: Iterable[str]) -> None:
        self._collection = collection
        self._known = frozenset(known)

    def embedded(self, documents: Documents, tell: Callable[[int, int], None]) -> Documents:
        """The documents with an embedding for each chunk: the stored one of the same text, under whatever id, or a new
        one. ``tell(texts, done)`` after each call of the model."""
        prepared = [(document, self._with_stored(document, chunks)) for document, chunks in documents]
        texts = [chunk.embedded_text for _, chunks in prepared for chunk in chunks if chunk.embedding is None]
        vectors = self._embed(texts, tell)
        return [
            (document, [c if c.embedding is not None else replace(c, embedding=next(vectors)) for c in chunks])
            for document, chunks in prepared
        ]

    def _with_stored(self, document: Document, chunks: list[Chunk]) -> list[Chunk]:
        stored = self._collection.embedded_hashes(document.id) if document.id in self._known else {}
        if not stored:
            return chunks
        holder = {made_of: id_ for id_, made_of in stored.items()}
        wanted = [holder.get(self._collection.embedding_hash(chunk.embedded_text)) for chunk in chunks]
        ids = [id_ for id_ in set(wanted) if id_ is not None]
        vectors = self._collection.document_embeddings(document.id, ids)
        return [
            replace(chunk, embedding=None if id_ is None else vectors.get(id_))
            for chunk, id_ in zip(chunks, wanted, strict=True)
        ]

    def _embed(self, texts: Sequence[str], tell: Callable[[int, int], None]) -> Iterator[Sequence[float]]:
        """The vectors of texts, in their order; the longest first, since a batch costs what its longest text costs."""
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]), reverse=True)
        vectors: list[Any] = [None] * len(texts)
        for begin in range(0, len(order), _BATCH):
            batch = order[begin : begin + _BATCH]
            for at, vector in zip(batch, self._collection.embed_documents([texts[at] for at in batch]), strict=True):
                vectors[at] = vector
            tell(len(batch), begin + len(batch))
        return iter(vectors)

    def write(self, documents: Documents) -> Written:
        """Store the documents, each whole with all of its chunks. May run in a thread of its own.

        All in one transaction, since one of its own costs a small document more than its rows do; where one of them
        cannot be stored, one by one.
        """
        try:
            return self._at_once(documents)
        except (ChunkError, DatabaseError) as error:
            failed = self._failed(documents, error)
            if len(documents) == 1:
                return failed
        written = Written()
        for pair in documents:
            one = self.write([pair])
            written.counts += one.counts
            written.documents += one.documents
            written.chunks += one.chunks
            written.failed += one.failed
        return written

    def _at_once(self, documents: Documents) -> Written:
        if len(documents) == 1:
            counts = self._collection.put_document(*documents[0])
        else:
            counts = self._collection._put_documents(documents)
        return Written(counts, len(documents), sum(len(chunks) for _, chunks in documents))

    def _failed(self, documents: Documents, error: ChunkError | DatabaseError) -> Written:
        """What a document's data caused is its own failure; what the server or the connection did, the run's."""
        if isinstance(error, DatabaseError) and (error.sqlstate or "")[:2] not in ("22", "54"):
            raise error
        reason = str(error)
        return Written(
            failed=[
                (len(chunks), str(d.metadata.get("file", d.source)), LoadError(d.source, reason))
                for d, chunks in documents
            ]
        )
