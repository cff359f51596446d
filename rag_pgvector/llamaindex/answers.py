"""A LlamaIndex query engine that answers from a collection with verbatim citations, or says why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import Response
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode

from rag_pgvector.collection import Collection
from rag_pgvector.errors import ConfigError
from rag_pgvector.llamaindex.store import PGVectorStore

if TYPE_CHECKING:
    from rag_pgvector.answer.types import Citation, GroundedAnswer

__all__ = ["GroundedQueryEngine"]

#: What the response says where there is no answer.
NO_ANSWER = "I don't know."


class GroundedQueryEngine(BaseQueryEngine):  # type: ignore[misc]  # LlamaIndex is not checked
    """``Collection.ask`` as a LlamaIndex query engine. No language model is needed.

    ``response.response`` is the answer, or ``no_answer``; ``source_nodes`` hold the citations, each a verbatim slice of
    a stored source; ``metadata`` has ``confidence``, ``failure_mode`` and ``answer``, the whole ``GroundedAnswer`` as
    JSON values.

    Args:
        store: A ``PGVectorStore`` on a collection, or a ``Collection``. The question is embedded by its embedder, which
            must be the one that its vectors were made by.
        k: Most citations; None takes RAG_TOP_K.
        filter: Which chunks to look at, in the operator language of docs/filters.md.
        threshold: Least confidence for an answer; None takes CONF_THRESHOLD.
        no_answer: The response's text where there is no answer.
    """

    def __init__(
        self,
        store: PGVectorStore | Collection,
        *,
        k: int | None = None,
        filter: Mapping[str, Any] | None = None,
        threshold: float | None = None,
        no_answer: str = NO_ANSWER,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager=callback_manager)
        if not isinstance(store, (PGVectorStore, Collection)):
            raise ConfigError(f"store is {type(store).__name__}: use a PGVectorStore or a Collection")
        self._store = store
        self._options: dict[str, Any] = {"k": k, "filter": filter, "threshold": threshold}
        self._no_answer = no_answer

    def _collection(self) -> Collection:
        return self._store if isinstance(self._store, Collection) else self._store.collection

    def _query(self, query_bundle: QueryBundle) -> Response:
        return self._response(self._collection().ask(query_bundle.query_str, **self._options))

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        store = self._store
        collection = store if isinstance(store, Collection) else (await store._aready()).collection
        return self._response(await collection.aask(query_bundle.query_str, **self._options))

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}

    def _response(self, answer: GroundedAnswer) -> Response:
        return Response(
            response=self._no_answer if answer.answer is None else answer.answer,
            source_nodes=[_node(citation) for citation in answer.citations],
            metadata={
                "confidence": answer.confidence,
                "failure_mode": answer.failure_mode,
                "answer": answer.model_dump(mode="json"),
            },
        )


def _node(citation: Citation) -> NodeWithScore:
    """The quoted slice, with its place in the source."""
    source = citation.doc_id or citation.chunk_id
    return NodeWithScore(
        node=TextNode(
            text=citation.snippet,
            metadata={
                "source": citation.source,
                "page_or_row": citation.page_or_row,
                "chunk_id": citation.chunk_id,
                "document_id": citation.doc_id,
            },
            start_char_idx=citation.char_start,
            end_char_idx=citation.char_end,
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=source)},
        ),
        score=citation.retrieval_score,
    )
