"""What a store does with its collection: the operations of LlamaIndex's interface as generators of calls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import VectorStoreQueryResult

from rag_pgvector import documents, read
from rag_pgvector.arguments import as_ids
from rag_pgvector.config import SearchOptions
from rag_pgvector.errors import ConfigError
from rag_pgvector.filters import Filter, KeyIn
from rag_pgvector.llamaindex.calls import Asking, Call, RunPlan
from rag_pgvector.llamaindex.nodes import chunks_of, node_of, peer_node_of
from rag_pgvector.llamaindex.query import Arms, Found, Request, condition, find, of_both
from rag_pgvector.types import Chunk, ScoredChunk

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["CollectionArms", "Contents"]


class Contents:
    """The nodes of a store.

    Attributes:
        collection: Where they are.
        native: Whether that is a table of ours, where a node has column ``node``.
    """

    def __init__(self, collection: Collection, arms: Arms | None = None, *, native: bool = True) -> None:
        self.collection = collection
        self.native = native
        self._arms = arms or CollectionArms(collection)

    def chunks(self, nodes: Iterable[BaseNode]) -> list[Chunk]:
        """Nodes as they are stored. Raises ChunkError."""
        return chunks_of(nodes, native=self.native)

    def node(self, chunk: Chunk) -> BaseNode:
        """A stored node."""
        return node_of(chunk) if self.native else peer_node_of(chunk)

    def add(self, chunks: Sequence[Chunk]) -> Asking[list[str]]:
        """Store nodes, all or none, in place of those of the same ids."""
        return list((yield Call("add", (chunks,))))

    def delete(self, ref_doc_id: Any) -> Asking[None]:
        """Delete the nodes of a document, and its stored text."""
        if not isinstance(ref_doc_id, str):
            raise ConfigError(f"ref_doc_id={ref_doc_id!r:.80}: use the document's id")
        if self.native:
            yield Call("delete_document", (ref_doc_id,))
        elif ref_doc_id != "None":  # what a node without a document has there
            yield Call("delete", options={"filter": KeyIn("document_id", tuple(as_ids([ref_doc_id]) or ()))})

    def delete_nodes(self, node_ids: Sequence[str] | None, filters: Any) -> Asking[None]:
        """Delete by id, by filter, or what satisfies both; nothing where neither is given."""
        wanted = condition(filters, ids=node_ids)
        if wanted is None and filters is not None:
            raise ConfigError("filters without a filter: to delete every node, use clear()")
        if wanted is not None:
            yield Call("delete", options={"filter": wanted})

    def get_nodes(self, node_ids: Sequence[str] | None, filters: Any) -> Asking[list[BaseNode]]:
        """The nodes of these ids, or that satisfy the filters, or both, with their embeddings."""
        if node_ids is None and filters is None:
            raise ConfigError("Either node_ids or filters must be provided")
        return [self.node(chunk) for chunk in (yield from self._select(condition(filters, ids=node_ids)))]

    def _select(self, wanted: Filter | None) -> Asking[list[Chunk]]:
        table = self.collection._table
        where = read.where(table, filter=wanted)
        return list((yield RunPlan(lambda: read.list_chunks(table, where, embeddings=True))))

    def clear(self) -> Asking[None]:
        """Delete every node of the tenant, and the documents' stored texts."""
        table = self.collection._table
        yield RunPlan(lambda: documents.clear(table), atomic=True)

    def query(self, request: Request) -> Asking[VectorStoreQueryResult]:
        """Search. ``similarities`` are higher-better: see docs/llamaindex.md for what they are in each mode."""
        found = yield from find(self._arms, request)
        nodes = []
        for each in found:
            node = self.node(each.hit.chunk)
            if each.custom:
                node.metadata["custom_fields"] = dict(each.custom)
            nodes.append(node)
        return VectorStoreQueryResult(
            nodes=nodes,
            similarities=[each.hit.score for each in found],
            ids=[node.node_id for node in nodes],
        )


class CollectionArms:
    """How a collection of ours is searched."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection

    def dense(self, request: Request, k: int) -> Asking[list[Found]]:
        result = yield Call("search", options={"vector": request.vector, "k": k, **_how(request, "dense")})
        return [Found(hit) for hit in result]

    def words(self, request: Request, k: int) -> Asking[list[Found]]:
        result = yield Call("search", (request.words,), {"k": k, **_how(request, "keyword")})
        return [Found(hit) for hit in result]

    def hybrid(self, request: Request) -> Asking[list[Found]]:
        how = _how(request, "hybrid")
        if request.alpha is not None:
            how["options"] = replace(how["options"], alpha=request.alpha)
        most = max(request.k + request.words_k, request.hybrid_k or 0)
        result = yield Call("search", (request.words,), {"vector": request.vector, "k": most, **how})
        ranked = [Found(hit) for hit in result]
        near = sorted((f for f in ranked if f.hit.distance is not None), key=lambda f: f.hit.distance or 0.0)
        told = sorted((f for f in ranked if f.hit.keyword_score), key=lambda f: -(f.hit.keyword_score or 0.0))
        return of_both(near, told, ranked, request)

    def mmr(self, request: Request) -> Asking[list[Found]]:
        result = yield Call(
            "search_mmr",
            options={
                "vector": request.vector,
                "k": request.k,
                "fetch_k": request.prefetch_k,
                "lambda_mult": request.threshold,
                **_how(request, "dense"),
            },
        )
        return [Found(hit) for hit in result]

    def listed(self, request: Request) -> Asking[list[Found]]:
        """Nothing was asked, so nothing is nearer: the similarity is 0, as the peer has it, and ids order them."""
        table = self.collection._table
        where = read.where(table, filter=request.filter)
        chunks = yield RunPlan(lambda: read.list_chunks(table, where, limit=request.k))
        return [Found(ScoredChunk(chunk, 0.0)) for chunk in chunks]


def _how(request: Request, mode: str) -> dict[str, Any]:
    options = replace(request.options or SearchOptions(), mode=mode)  # type: ignore[arg-type]
    return {"filter": request.filter, "options": options}
