"""A LlamaIndex query engine that answers from a collection with verbatim citations, or says why not."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Generator, Mapping
from typing import TYPE_CHECKING, Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import AsyncStreamingResponse, Response, StreamingResponse
from llama_index.core.callbacks.base import CallbackManager
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import NodeRelationship, NodeWithScore, QueryBundle, RelatedNodeInfo, TextNode
from llama_index.core.tools import QueryEngineTool, ToolMetadata
from llama_index.core.tools.types import ToolOutput

from rag_pgvector.answer.models import language_model
from rag_pgvector.answer.types import GroundedAnswer
from rag_pgvector.collection import Collection
from rag_pgvector.errors import ConfigError
from rag_pgvector.llamaindex.store import PGVectorStore

if TYPE_CHECKING:
    from rag_pgvector.answer.types import Citation

__all__ = ["GroundedQueryEngine", "grounded_answer_tool"]

TOOL_DESCRIPTION = "Answers a question from the documents with verbatim citations, or says that it cannot."
#: What the response says where there is no answer.
NO_ANSWER = "I don't know."


class GroundedQueryEngine(BaseQueryEngine):  # type: ignore[misc]  # LlamaIndex is not checked
    """``Collection.ask`` as a LlamaIndex query engine. No language model is needed; one's quotations are verified.

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
        llm: A LlamaIndex LLM (a LangChain chat model works, too) that reads the passages; None cuts the answer from the
            text. What it fails at is a failure mode.
        timeout: Seconds that it has.
        streaming: Give responses whose text comes in pieces. All of it is verified before the first: a stream never
            breaks off.
    """

    def __init__(
        self,
        store: PGVectorStore | Collection,
        *,
        k: int | None = None,
        filter: Mapping[str, Any] | None = None,
        threshold: float | None = None,
        no_answer: str = NO_ANSWER,
        llm: Any = None,
        timeout: float = 60.0,
        streaming: bool = False,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager=callback_manager)
        if not isinstance(store, (PGVectorStore, Collection)):
            raise ConfigError(f"store is {type(store).__name__}: use a PGVectorStore or a Collection")
        self._store = store
        if llm is not None:
            language_model(llm)
        self._options: dict[str, Any] = {
            "k": k,
            "filter": filter,
            "threshold": threshold,
            "llm": llm,
            "timeout": timeout,
        }
        self._no_answer = no_answer
        self._streaming = streaming

    def answer(self, question: str) -> GroundedAnswer:
        """What ``query`` makes its response from."""
        store = self._store
        collection = store if isinstance(store, Collection) else store.collection
        return collection.ask(question, **self._options)

    async def aanswer(self, question: str) -> GroundedAnswer:
        store = self._store
        collection = store if isinstance(store, Collection) else (await store._aready()).collection
        return await collection.aask(question, **self._options)

    def _query(self, query_bundle: QueryBundle) -> Response | StreamingResponse:
        with self._event(query_bundle) as event:
            response = self._response(self.answer(query_bundle.query_str))
            event.on_end(payload={EventPayload.RESPONSE: response})
        if not self._streaming:
            return response
        return StreamingResponse(_pieces(response.response), response.source_nodes, response.metadata)

    async def _aquery(self, query_bundle: QueryBundle) -> Response | AsyncStreamingResponse:
        with self._event(query_bundle) as event:
            response = self._response(await self.aanswer(query_bundle.query_str))
            event.on_end(payload={EventPayload.RESPONSE: response})
        if not self._streaming:
            return response
        return AsyncStreamingResponse(_apieces(response.response), response.source_nodes, response.metadata)

    def _event(self, query_bundle: QueryBundle) -> Any:
        payload = {EventPayload.QUERY_STR: query_bundle.query_str}
        return self.callback_manager.event(CBEventType.QUERY, payload=payload)

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


def _pieces(text: str) -> Generator[str, None, None]:
    """A text word by word, with the blanks."""
    yield from re.findall(r"\s*\S+\s*$|\s*\S+", text)


async def _apieces(text: str) -> AsyncGenerator[str, None]:
    for piece in _pieces(text):
        yield piece


class _Tool(QueryEngineTool):  # type: ignore[misc]
    """A query engine's tool whose output names the sources."""

    def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
        question = self._get_query_str(*args, **kwargs)
        return self._output(question, self._query_engine.answer(question))

    async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
        question = self._get_query_str(*args, **kwargs)
        return self._output(question, await self._query_engine.aanswer(question))

    def _output(self, question: str, answer: GroundedAnswer) -> ToolOutput:
        return ToolOutput(
            content=answer.text(),
            tool_name=self.metadata.get_name(),
            raw_input={"input": question},
            raw_output=answer,
        )


def grounded_answer_tool(
    store: PGVectorStore | Collection,
    *,
    name: str = "grounded_answer",
    description: str = TOOL_DESCRIPTION,
    return_direct: bool = False,
    **options: Any,
) -> QueryEngineTool:
    """A tool for agents, whose model chooses the question and nothing else. ``raw_output`` is the ``GroundedAnswer``.

    ``options`` are ``GroundedQueryEngine``'s.
    """
    engine = GroundedQueryEngine(store, **options)
    return _Tool(engine, ToolMetadata(name=name, description=description, return_direct=return_direct))


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
