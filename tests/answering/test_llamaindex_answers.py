"""Grounded answers as a LlamaIndex query engine and as a tool, with models over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata, MockLLM

from rag_pgvector import Collection
from rag_pgvector.answer import GroundedAnswer
from rag_pgvector.errors import ConfigError
from rag_pgvector.llamaindex import GroundedQueryEngine, grounded_answer_tool
from tests.answering.behaviours import FACT, QUESTION
from tests.answering.scripted import ScriptedServer
from tests.answering.test_misbehaving import llamaindex


@pytest.fixture
def honest(server: ScriptedServer, client: httpx.Client) -> Any:
    return llamaindex(server, "honest", client)


def test_a_model_answers(library: Collection, honest: Any) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    engine = GroundedQueryEngine(library, llm=honest, callback_manager=CallbackManager([debug]))
    response = engine.query(QUESTION)
    assert FACT in response.response
    assert response.metadata["answer"]["mode"] == "llm"
    document = library.document(response.source_nodes[0].node.source_node.node_id)
    assert document is not None
    node = response.source_nodes[0].node
    assert document.text[node.start_char_idx : node.end_char_idx] == node.text
    assert len(debug.get_event_pairs(CBEventType.QUERY)) == 1
    assert FACT in GroundedQueryEngine(library).query(QUESTION).response


async def test_streams_are_verified_before_they_begin(library: Collection, server: ScriptedServer, honest: Any) -> None:
    engine = GroundedQueryEngine(library, llm=honest, streaming=True)
    response = engine.query(QUESTION)
    assert isinstance(response, StreamingResponse)
    pieces = list(response.response_gen)
    assert len(pieces) > 3
    assert FACT in "".join(pieces)
    assert response.source_nodes
    async with httpx.AsyncClient() as client:
        engine = GroundedQueryEngine(library, llm=llamaindex(server, "honest", client), streaming=True)
        later = await engine.aquery(QUESTION)
        assert isinstance(later, AsyncStreamingResponse)
        assert "".join([piece async for piece in later.async_response_gen()]) == "".join(pieces)


def test_no_failure_breaks_a_stream(library: Collection, server: ScriptedServer, client: httpx.Client) -> None:
    for name in ("error_within_the_stream", "status_500", "altered_number", "stream_that_stops"):
        engine = GroundedQueryEngine(library, llm=llamaindex(server, name, client), streaming=True)
        response = engine.query(QUESTION)
        assert "".join(response.response_gen) == "I don't know."
        assert response.metadata["failure_mode"] in ("llm_error", "unverified_citation")


class Plain(CustomLLM):  # type: ignore[misc]
    """An LLM that can only complete."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text='{"statements": []}')

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        raise NotImplementedError


async def test_llms_of_other_kinds(library: Collection) -> None:
    for given in (library.ask(QUESTION, llm=Plain()), await library.aask(QUESTION, llm=Plain())):
        assert given.failure_mode == "insufficient_evidence"
    assert library.ask(QUESTION, llm=MockLLM(max_tokens=5)).failure_mode == "llm_error"
    with pytest.raises(ConfigError):
        GroundedQueryEngine(library, llm="gpt-4")


async def test_a_tool(library: Collection) -> None:
    tool = grounded_answer_tool(library, threshold=0.5)
    for output in (tool.call(input=QUESTION), await tool.acall(QUESTION)):
        assert FACT in output.content
        assert "guide.md" in output.content
        assert isinstance(output.raw_output, GroundedAnswer)
    assert "No answer" in tool.call("What is the capital of Mongolia?").content
    assert tool.metadata.to_openai_tool()["function"]["name"] == "grounded_answer"
