"""The facade of one collection. Every method has an asynchronous twin (``add``: ``aadd``) that runs the same plan."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rag_pgvector import clustering, frames, read, schema, write
from rag_pgvector.arguments import as_chunks, as_ids, check_page
from rag_pgvector.config import check_alpha
from rag_pgvector.errors import ConfigError, TenantError
from rag_pgvector.filters import parse_filter
from rag_pgvector.indexed import Indexed
from rag_pgvector.plan import Plan
from rag_pgvector.types import Chunk, WriteCounts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from rag_pgvector.answer.types import GroundedAnswer
    from rag_pgvector.clustering import Cluster
    from rag_pgvector.database import Database

__all__ = ["Collection"]


class Collection(Indexed):
    """A table of chunks that can be searched. Made by ``Database.collection``.

    A ``filter`` is a mapping in the operator language of docs/filters.md: ``{"year": {"$gte": 2020}}``.
    """

    @property
    def name(self) -> str:
        return self._table.collection

    @property
    def id(self) -> int:
        """What ``rag.collections`` calls it."""
        return self._table.collection_id

    @property
    def database(self) -> Database:
        return self._db

    def __repr__(self) -> str:
        return f"Collection({self.name!r}, {self.config!r})"

    def __deepcopy__(self, memo: object) -> Collection:
        return self  # a handle, like a connection: copies of what holds it share it

    def for_tenant(self, tenant: str, *, scope: str | None = None) -> Collection:
        """The same collection, bound to one tenant of it, or to one scope (an engagement, a user) of that tenant.

        A bound scope narrows; without one the whole tenant is seen. Cheap: make one per request. Raises TenantError.
        """
        return Collection(self._db, self._table.bound(tenant, scope), self._embedder, self._estimates)

    @property
    def tenant(self) -> str | None:
        """The tenant that this object is bound to."""
        return self._table.tenant or None

    @property
    def scope(self) -> str | None:
        """The scope that this object is bound to."""
        return self._table.scope or None

    # --------------------------------------------------------------------------------------------------- writing

    def add(self, chunks: Iterable[Chunk]) -> builtins.list[str]:
        """Store chunks, all or none of them, and return their ids in the order given.

        A chunk without an id gets a UUID; one whose id exists replaces the stored chunk; of an id that comes twice the
        last one stays. A chunk without an embedding is embedded first.

        Raises ChunkError, VectorError or DimensionError naming the chunk, EmbeddingError, DatabaseError.
        """
        prepared = self._with_ids(chunks)
        self._upsert(prepared)
        return [str(chunk.id) for chunk in prepared]

    async def aadd(self, chunks: Iterable[Chunk]) -> builtins.list[str]:
        prepared = self._with_ids(chunks)
        await self._aupsert(prepared)
        return [str(chunk.id) for chunk in prepared]

    def upsert(self, chunks: Iterable[Chunk]) -> WriteCounts:
        """``add`` that tells how many rows it added, updated and left as they were."""
        return self._upsert(self._with_ids(chunks))

    async def aupsert(self, chunks: Iterable[Chunk]) -> WriteCounts:
        return await self._aupsert(self._with_ids(chunks))

    def _with_ids(self, chunks: Iterable[Chunk]) -> builtins.list[Chunk]:
        return [chunk if chunk.id is not None else replace(chunk, id=write.new_id()) for chunk in as_chunks(chunks)]

    def _upsert(self, chunks: Sequence[Chunk]) -> WriteCounts:
        missing = _not_embedded(chunks)
        vectors = self.embed_documents(missing) if missing else None
        records = self._records(chunks, vectors, count_later=True)
        counts = self._run(lambda: write.upsert(self._table, records), atomic=True, retry=True)
        self._note_write(len(records))
        return counts

    async def _aupsert(self, chunks: Sequence[Chunk]) -> WriteCounts:
        missing = await asyncio.to_thread(_not_embedded, chunks)
        vectors = await self.aembed_documents(missing) if missing else None
        records = await asyncio.to_thread(self._records, chunks, vectors)
        counts = await self._arun(lambda: write.upsert(self._table, records), atomic=True, retry=True)
        self._note_write(len(records))
        return counts

    def _records(
        self, chunks: Sequence[Chunk], vectors: Any, *, count_later: bool = False
    ) -> builtins.list[write.Record]:
        """Encode chunks, taking ``vectors`` in order for those without an embedding (None leaves them without)."""
        if vectors is None:
            return write.prepare(chunks, self._table, [""] * len(chunks), count_later=count_later)
        model = self._embedder.model()
        made = iter(vectors)
        models = ["" if chunk.embedding is not None else model for chunk in chunks]
        full = [c if c.embedding is not None else replace(c, embedding=next(made)) for c in chunks]
        return write.prepare(full, self._table, models, count_later=count_later)

    def delete(self, ids: Sequence[str] | None = None, *, filter: Mapping[str, Any] | None = None) -> int:
        """Delete by id, by filter, or by both at once (only rows that satisfy both); returns how many went.

        Raises ConfigError when neither is given: ``drop`` removes everything.
        """
        plan = self._delete_plan(ids, filter)
        return self._run(plan, atomic=True) if plan else 0

    async def adelete(self, ids: Sequence[str] | None = None, *, filter: Mapping[str, Any] | None = None) -> int:
        plan = self._delete_plan(ids, filter)
        return await self._arun(plan, atomic=True) if plan else 0

    def _delete_plan(
        self, ids: Sequence[str] | None, filter: Mapping[str, Any] | None
    ) -> Callable[[], Plan[int]] | None:
        wanted = as_ids(ids)
        if wanted is None and parse_filter(filter) is None:
            raise ConfigError("delete() needs ids or a filter: to remove everything, use drop() or 'tenants delete'")
        condition = read.where(self._table, filter=filter, ids=wanted)
        if wanted == [] or condition is None:
            return None
        return lambda: write.delete(self._table, *condition)

    # --------------------------------------------------------------------------------------------------- reading

    def get(self, ids: Sequence[str], *, embeddings: bool = False) -> builtins.list[Chunk]:
        """The chunks of these ids in the order asked; missing ones are left out. ``embeddings`` reads them too."""
        wanted = as_ids(ids) or []
        return self._run(lambda: read.get(self._table, wanted, embeddings=embeddings), retry=True)

    async def aget(self, ids: Sequence[str], *, embeddings: bool = False) -> builtins.list[Chunk]:
        wanted = as_ids(ids) or []
        return await self._arun(lambda: read.get(self._table, wanted, embeddings=embeddings), retry=True)

    def count(self, filter: Mapping[str, Any] | None = None) -> int:
        """How many chunks there are, or satisfy the filter."""
        condition = read.where(self._table, filter=filter)
        return self._run(lambda: read.count(self._table, condition), retry=True)

    async def acount(self, filter: Mapping[str, Any] | None = None) -> int:
        condition = read.where(self._table, filter=filter)
        return await self._arun(lambda: read.count(self._table, condition), retry=True)

    def list(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
        document_id: str | Sequence[str] | None = None,
        embeddings: bool = False,
    ) -> builtins.list[Chunk]:
        """A page of chunks by id; those of one document (or of several) in the order of its text.

        ``embeddings`` reads their vectors, too.
        """
        return self._run(self._list_plan(limit, offset, filter, document_id, embeddings), retry=True)

    async def alist(
        self,
        *,
        limit: int = 100,
        offset: int = 0,
        filter: Mapping[str, Any] | None = None,
        document_id: str | Sequence[str] | None = None,
        embeddings: bool = False,
    ) -> builtins.list[Chunk]:
        return await self._arun(self._list_plan(limit, offset, filter, document_id, embeddings), retry=True)

    def _list_plan(
        self,
        limit: int,
        offset: int,
        filter: Mapping[str, Any] | None,
        document_id: str | Sequence[str] | None,
        embeddings: bool,
    ) -> Callable[[], Plan[builtins.list[Chunk]]]:
        check_page(limit, offset)
        condition = read.where(self._table, filter=filter, document_id=document_id)
        return lambda: read.list_chunks(
            self._table,
            condition,
            limit=limit,
            offset=offset,
            by_position=document_id is not None,
            embeddings=embeddings,
        )

    # ---------------------------------------------------------------------------------------------------- notebooks

    def to_pandas(self, **options: Any) -> pd.DataFrame:
        """A DataFrame with a row per chunk: ``frames.collection_frame``."""
        return frames.collection_frame(self, **options)

    async def ato_pandas(self, **options: Any) -> pd.DataFrame:
        return await asyncio.to_thread(self.to_pandas, **options)

    def add_pandas(self, frame: pd.DataFrame, content: str, **options: Any) -> builtins.list[str]:
        """``add`` a chunk for each row of a DataFrame: ``frames.chunks_of``."""
        return self.add(frames.chunks_of(frame, content=content, **options))

    async def aadd_pandas(self, frame: pd.DataFrame, content: str, **options: Any) -> builtins.list[str]:
        return await self.aadd(frames.chunks_of(frame, content=content, **options))

    def embeddings(self, **options: Any) -> NDArray[np.float32]:
        """All vectors as one array, in the order of ``to_pandas()``: ``frames.embeddings``."""
        return frames.embeddings(self, **options)

    async def aembeddings(self, **options: Any) -> NDArray[np.float32]:
        return await asyncio.to_thread(self.embeddings, **options)

    def clusters(self, k: int, **options: Any) -> builtins.list[Cluster]:
        """What the collection is about, in ``k`` clusters: ``clustering.clusters``."""
        return clustering.clusters(self, k, **options)

    async def aclusters(self, k: int, **options: Any) -> builtins.list[Cluster]:
        return await asyncio.to_thread(self.clusters, k, **options)

    def plot_map(self, **options: Any) -> Figure:
        """A map of the collection in two dimensions: ``clustering.plot_map``."""
        return clustering.plot_map(self, **options)

    async def aplot_map(self, **options: Any) -> Figure:
        return await asyncio.to_thread(self.plot_map, **options)

    # ------------------------------------------------------------------------------------------------- answering

    def ask(
        self,
        question: str,
        *,
        k: int | None = None,
        filter: Mapping[str, Any] | None = None,
        threshold: float | None = None,
        llm: Any = None,
        timeout: float = 60.0,
        target_risk: float | None = None,
    ) -> GroundedAnswer:
        """Answer a question from the chunks, with verbatim citations, or say why not.

        Args:
            k: Most citations; ``None`` takes RAG_TOP_K (3). With a language model, all that carry the answer are given.
            threshold: Least confidence for an answer, 0 to 1; ``None`` takes CONF_THRESHOLD (0.6).
            llm: A language model that reads the passages: a LangChain chat model, a LlamaIndex LLM, or a
                ``rag_pgvector.answer.models.LanguageModel``. Its quotations are verified; its failures are failure
                modes (``llm_error``, ``timeout``). Without one, the answer is cut from the text.
            timeout: Seconds that it has.
            target_risk: Instead of ``threshold``: the largest share of wrong answers from prose that is accepted. Needs
                a calibration with enough labels (docs/confidence.md), else there is no answer. Not with a model.
        """
        from rag_pgvector.answer.drive import ask

        return ask(
            self, question, k=k, filter=filter, threshold=threshold, llm=llm, timeout=timeout, target_risk=target_risk
        )

    async def aask(
        self,
        question: str,
        *,
        k: int | None = None,
        filter: Mapping[str, Any] | None = None,
        threshold: float | None = None,
        llm: Any = None,
        timeout: float = 60.0,
        target_risk: float | None = None,
    ) -> GroundedAnswer:
        from rag_pgvector.answer.drive import aask

        return await aask(
            self, question, k=k, filter=filter, threshold=threshold, llm=llm, timeout=timeout, target_risk=target_risk
        )

    # ------------------------------------------------------------------------------------------------------ DDL

    def set_alpha(self, alpha: float | None) -> None:
        """Keep the share of the vectors in this collection's hybrid searches, 0 (words alone) to 1, for all users.

        ``None`` lets each question's own scores say, which is where every collection begins. Objects that were opened
        before keep what they know. Raises ConfigError, and TenantError on an object that is bound to a tenant.
        """
        check_alpha(alpha)
        if self.tenant is not None:
            raise TenantError(
                f"set_alpha() changes every tenant's searches, and this object is bound to {self.tenant!r}: use the "
                "unbound collection, or SearchOptions(alpha=...) for one search"
            )
        self._db.run_admin(lambda: schema.set_alpha(self._table, alpha))
        self._table = replace(self._table, alpha=alpha)

    async def aset_alpha(self, alpha: float | None) -> None:
        await asyncio.to_thread(self.set_alpha, alpha)

    def drop(self) -> None:
        """Remove the collection, of all tenants: its chunks, documents and index. Raises TenantError on a bound one."""
        if self.tenant is not None:
            raise TenantError(
                f"drop() removes every tenant's rows, and this object is bound to {self.tenant!r}: to remove one "
                "tenant, run 'rag-pgvector tenants delete'; to remove all of them, drop the unbound collection"
            )
        self._db.run_admin(lambda: schema.drop_collection(self._table))

    async def adrop(self) -> None:
        await asyncio.to_thread(self.drop)


def _not_embedded(chunks: Sequence[Chunk]) -> builtins.list[str]:
    """The texts that need an embedding, once all chunks are known to be storable: embedding may cost money."""
    missing = [chunk.embedded_text for chunk in chunks if chunk.embedding is None]
    if missing:
        write.check(chunks)
    return missing
