"""``engine="ray"``: reading, chunking, embedding and writing as stages of Ray Data, on as many machines as Ray has.

The stages are those of ``pipeline``, and what they do to a document is the same code, so that the chunks are the same.
Actors keep the model; those that embed and those that write have one connection each, so that their number bounds it.
What is between two stages lies in Ray's object store, whose back-pressure bounds it. Documents are written whole, so
that a run that was interrupted goes on as a local one would.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from rag_pgvector.database import Database
from rag_pgvector.embedding import resolve_embedder
from rag_pgvector.errors import ConfigError, LoadError, MissingDependencyError, RagPgvectorError
from rag_pgvector.ingest.chunking import token_count
from rag_pgvector.ingest.loaders import LoadedDocument
from rag_pgvector.ingest.reading import Failed, Finished, Item, Kept, Read, Reader
from rag_pgvector.ingest.storing import Storing, Written
from rag_pgvector.types import Chunk, Document

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["Stored", "distributed"]

#: What is to be read, each with what is stored of it.
_Items: TypeAlias = Sequence[tuple[Item, Sequence[Document]]]

#: Documents that are embedded together, longest texts first; one holds up to 10,000 rows of a table.
_TOGETHER = 16
#: Writers at most, each with one connection.
_WRITERS = 4


@dataclass(frozen=True, slots=True)
class Stored:
    """Documents that were written together, without their texts, and how many texts the model was given for them."""

    reads: Sequence[tuple[str, Document, Sequence[LoadError]]]
    embedded: int
    written: Written


@dataclass(frozen=True, slots=True)
class _Vectors:
    """A document whose chunks have embeddings. ``embedded`` counts the texts of all that were embedded with it."""

    file: str
    document: Document
    chunks: list[Chunk]
    rejected: Sequence[LoadError]
    embedded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """How another process finds the collection and its embedder."""

    name: str
    tenant: str | None
    scope: str | None
    url: str = field(repr=False)
    admin_url: str = field(repr=False)
    embedder: Any = field(repr=False)

    @classmethod
    def of(cls, collection: Collection) -> _Place:
        db = collection._db
        return cls(
            name=collection.name,
            tenant=collection.tenant,
            scope=collection.scope,
            url=db.url,
            admin_url=db.admin_url,
            embedder=collection._embedder._given,
        )

    def collection(self) -> Collection:
        found = Database(self.url, admin_url=self.admin_url, pool_size=1).collection(self.name, embedder=self.embedder)
        return found if self.tenant is None else found.for_tenant(self.tenant, scope=self.scope)


class _Reading:
    """Reads and chunks the files that it is given, one after the other."""

    def __init__(
        self, place: _Place, options: Mapping[str, Any], items: Sequence[tuple[Item, Sequence[Document]]]
    ) -> None:
        self._items = items
        embedder = resolve_embedder(place.embedder)
        count, name = token_count(embedder)
        self._reader = Reader(count=count, count_name=name, embed=embedder.embed_documents, stored={}, **options)

    def __call__(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        item, stored = self._items[row["at"]]
        try:
            for event in replace(self._reader, stored={_source(item): stored}).read(item):
                yield {"event": event}
        except RagPgvectorError as error:
            yield {"event": error}


class _Embedding:
    """Holds the model."""

    def __init__(self, place: _Place, known: frozenset[str]) -> None:
        self._storing = Storing(place.collection(), known)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        events = list(batch["event"])
        reads = [event for event in events if isinstance(event, Read)]
        texts = 0

        def tell(embedded: int, _: int) -> None:
            nonlocal texts
            texts += embedded

        try:
            whole = self._storing.embedded([(read.document, read.chunks) for read in reads], tell)
        except RagPgvectorError as error:
            return _rows([error])
        vectors = []
        for read, (document, chunks) in zip(reads, whole, strict=True):
            vectors.append(_Vectors(read.file, document, chunks, read.rejected, texts))
            texts = 0
        return _rows([event for event in events if not isinstance(event, Read)] + vectors)


class _Writing:
    """Holds a connection."""

    def __init__(self, place: _Place) -> None:
        collection = place.collection()
        collection._embedder.model()  # whose name is part of what a vector was made of
        self._storing = Storing(collection, ())

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        events = list(batch["event"])
        ready = [event for event in events if isinstance(event, _Vectors)]
        outcomes = [event for event in events if not isinstance(event, _Vectors)]
        if ready:
            try:
                written = self._storing.write([(each.document, each.chunks) for each in ready])
            except RagPgvectorError as error:
                return _rows([error])
            reads = [(each.file, replace(each.document, text=""), each.rejected) for each in ready]
            outcomes.append(Stored(reads, sum(each.embedded for each in ready), written))
        return _rows(outcomes)


def _rows(events: Sequence[Any]) -> dict[str, Any]:
    """A batch of Ray Data, whose column holds objects."""
    column = np.empty(len(events), dtype=object)
    column[:] = events
    return {"event": column}


def distributed(
    collection: Collection, reader: Reader, files: Sequence[Item], known: frozenset[str]
) -> Iterator[Failed | Kept | Finished | Stored]:
    """What becomes of the files, in no order. Uses the Ray that is connected, else starts one on this machine.

    Raises MissingDependencyError without the extra ``ray``, ConfigError for an embedder or a splitter that cannot be
    sent to another process, and what the stages raise.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingDependencyError("ray", "ray") from error
    collection._embedder.model()  # prove the embedder once, here
    yield from (Failed(file.source, file) for file in files if isinstance(file, LoadError))
    items = [(item, list(reader.stored.get(_source(item), ()))) for item in files if not isinstance(item, LoadError)]
    if not items:
        return
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    total = ray.cluster_resources()
    share = min(1.0, total.get("CPU", 1.0) / 2)  # of a processor; one actor of each stage fits in any case
    most = max(1, int(total.get("CPU", 1.0) / share) - 1)
    gpus = int(total.get("GPU", 0))
    place, actors = _Place.of(collection), ray.data.ActorPoolStrategy
    settings = {"options": reader.options, "again": reader.again, "limit": reader.limit}
    try:
        outcomes = (
            ray.data.from_items([{"at": at} for at in range(len(items))], override_num_blocks=min(len(items), 200))
            .flat_map(
                _Reading,
                fn_constructor_args=(place, settings, items),
                compute=actors(min_size=1, max_size=max(1, most // 2)),
                num_cpus=share / 2,
            )
            .map_batches(
                _Embedding,
                fn_constructor_args=(place, known),
                batch_size=_TOGETHER,
                compute=actors(min_size=1, max_size=gpus or most),
                num_cpus=share,
                num_gpus=1 if gpus else 0,
            )
            .map_batches(
                _Writing,
                fn_constructor_args=(place,),
                batch_size=_TOGETHER,
                compute=actors(min_size=1, max_size=min(_WRITERS, most)),
                num_cpus=share / 4,
            )
            .iter_rows()
        )
        for row in outcomes:
            if isinstance(row["event"], RagPgvectorError):  # Ray's own errors keep only the text of their causes
                raise row["event"]
            yield row["event"]
    except TypeError as error:
        if "serializ" not in str(error) and "pickle" not in str(error):
            raise
        raise ConfigError(f"engine='ray' sends the embedder and the splitter to other processes: {error}") from error
    except ray.exceptions.RayError as error:
        raise RagPgvectorError(f"the run on Ray ended by an error that is not ours: {str(error)[-500:]}") from error


def _source(item: Item) -> str:
    return item.document.source if isinstance(item, LoadedDocument) else item.source
