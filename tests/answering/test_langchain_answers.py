"""Grounded answers as a LangChain runnable, as a tool and as messages, with models over HTTP."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from pydantic import ValidationError

from rag_pgvector import Collection
from rag_pgvector.answer import GroundedAnswer
from rag_pgvector.errors import ConfigError, TenantError
from rag_pgvector.langchain import GroundedAnswerChain, HistoryAwareAnswerChain, as_message, grounded_answer_tool
from tests.answering.behaviours import FACT, QUESTION
from tests.answering.scripted import ScriptedServer
from tests.answering.test_misbehaving import langchain, llamaindex


class Runs(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[tuple[str, Any, Any, Any]] = []

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, **more: Any) -> None:
        self.seen.append(("chain", run_id, more.get("parent_run_id"), more.get("tags")))

    def on_chat_model_start(self, serialized: Any, messages: Any, *, run_id: Any, **more: Any) -> None:
        self.seen.append(("model", run_id, more.get("parent_run_id"), more.get("tags")))


@pytest.fixture
def honest(server: ScriptedServer, client: httpx.Client) -> Any:
    return langchain(server, "honest", client)


def test_a_model_answers_in_every_way_of_calling(library: Collection, honest: Any) -> None:
    chain = GroundedAnswerChain(store=library, llm=honest)
    given = chain.invoke(QUESTION)
    assert given.mode == "llm"
    assert FACT in (given.answer or "")
    assert chain.batch([QUESTION, {"question": QUESTION}]) == [given, given]
    assert list(chain.stream(QUESTION)) == [given]
    assert GroundedAnswerChain(store=library).invoke(QUESTION).mode == "extractive"


async def test_the_same_in_a_loop(library: Collection, server: ScriptedServer) -> None:
    async with httpx.AsyncClient() as client:
        chain = GroundedAnswerChain(store=library, llm=langchain(server, "honest", client))
        given = await chain.ainvoke(QUESTION)
        assert FACT in (given.answer or "")
        assert await chain.abatch([QUESTION]) == [given]
        assert [each async for each in chain.astream(QUESTION)] == [given]
        kinds = {event["event"] async for event in chain.astream_events(QUESTION, version="v2")}
        assert {"on_chain_start", "on_chat_model_stream", "on_chain_end"} <= kinds
        model = llamaindex(server, "honest", client)
        assert await GroundedAnswerChain(store=library, llm=model).ainvoke(QUESTION) == given


def test_the_models_run_is_the_chains_child(library: Collection, honest: Any) -> None:
    runs = Runs()
    chain: Any = RunnablePassthrough() | GroundedAnswerChain(store=library, llm=honest)
    chain.invoke(QUESTION, config={"callbacks": [runs], "tags": ["mine"]})
    chains = {run for kind, run, _, _ in runs.seen if kind == "chain"}
    models = [(parent, tags) for kind, _, parent, tags in runs.seen if kind == "model"]
    assert len(models) == 1
    assert models[0][0] in chains
    assert "mine" in models[0][1]


def test_it_composes(library: Collection, honest: Any) -> None:
    chain = {"question": RunnablePassthrough()} | GroundedAnswerChain(store=library, llm=honest) | as_message
    assert FACT in (chain | StrOutputParser()).invoke(QUESTION)
    for bound in (honest.bind(temperature=0), honest.with_fallbacks([honest]), honest.with_retry()):
        assert FACT in (GroundedAnswerChain(store=library, llm=bound).invoke(QUESTION).answer or "")


def test_a_model_without_structured_output(library: Collection, server: ScriptedServer) -> None:
    refusing = FakeListChatModel(responses=["no"])
    assert GroundedAnswerChain(store=library, llm=refusing).invoke(QUESTION).failure_mode == "llm_error"


def test_bound_arguments_reach_the_model(library: Collection, server: ScriptedServer, honest: Any) -> None:
    GroundedAnswerChain(store=library, llm=honest.bind(temperature=0.25)).invoke(QUESTION)
    assert server.requests[-1]["temperature"] == 0.25
    assert "response_format" in server.requests[-1]


def test_a_filter_in_the_input_narrows_the_chains(library: Collection) -> None:
    only = {"source": {"$like": "%cape%"}}
    chain = GroundedAnswerChain(store=library, filter=only, threshold=0.0)
    wider = {"question": QUESTION, "filter": {"source": {"$like": "%guide%"}}}
    assert chain.invoke(wider).failure_mode == "no_results"
    assert "cape" in chain.invoke(QUESTION).citations[0].source


@pytest.mark.parametrize("given", [{"q": "x"}, {"question": 1}, {"question": "x", "k": 3}, 7, None])
def test_inputs_that_cannot_be(library: Collection, given: Any) -> None:
    with pytest.raises(ConfigError):
        GroundedAnswerChain(store=library).invoke(given)


def test_what_is_no_model(library: Collection) -> None:
    with pytest.raises((ConfigError, ValidationError), match="LangChain chat model"):
        GroundedAnswerChain(store=library, llm="gpt-4")
    with pytest.raises((ConfigError, ValidationError), match="rewritten by a language model"):
        HistoryAwareAnswerChain(store=library)
    with pytest.raises(ConfigError, match="timeout"):
        library.ask(QUESTION, timeout=0)


def test_tenants_must_agree(library: Collection) -> None:
    chain = GroundedAnswerChain(store=library)
    with pytest.raises(TenantError):
        chain.invoke({"question": QUESTION, "tenant": "a"}, config={"configurable": {"tenant": "b"}})
    with pytest.raises(TenantError):  # the collection has no tenants
        chain.invoke({"question": QUESTION, "tenant": "a"})


# ---------------------------------------------------------------------------------------------------------- follow-ups


def rewriting(*replies: str) -> Any:
    return FakeListChatModel(responses=list(replies))


@pytest.mark.parametrize(
    "history",
    [
        [HumanMessage("How much is the ferry?"), AIMessage("Where to? {braces} %s")],
        [("human", "How much is the ferry?"), ("ai", "Where to?")],
        [{"role": "user", "content": "How much is the ferry?"}],
    ],
)
async def test_a_follow_up_is_rewritten(library: Collection, history: Any) -> None:
    chain = HistoryAwareAnswerChain(store=library, rewriter=rewriting(f'"{QUESTION}"\nBecause you asked.'))
    follow_up = {"question": "And for adults?", "chat_history": history}
    for given in (chain.invoke(follow_up), await chain.ainvoke(follow_up)):
        assert given.asked_as == QUESTION
        assert FACT in (given.answer or "")


def test_without_a_history_nothing_is_rewritten(library: Collection) -> None:
    given = HistoryAwareAnswerChain(store=library, rewriter=rewriting("nonsense")).invoke(QUESTION)
    assert given.asked_as is None
    assert FACT in (given.answer or "")


@pytest.mark.parametrize(("reply", "mode"), [("", "llm_error"), ("x" * 3_000, "llm_error")])
def test_a_rewriting_that_fails_is_a_failure_mode(library: Collection, reply: str, mode: str) -> None:
    chain = HistoryAwareAnswerChain(store=library, rewriter=rewriting(reply))
    given = chain.invoke({"question": "And for adults?", "chat_history": [("human", "The ferry?")]})
    assert given.failure_mode == mode


def test_a_rewriter_that_is_broken(library: Collection, server: ScriptedServer, client: httpx.Client) -> None:
    for name, mode in {"status_500": "llm_error", "says_nothing": "timeout"}.items():
        chain = HistoryAwareAnswerChain(store=library, llm=langchain(server, name, client), timeout=0.3)
        given = chain.invoke({"question": "And for adults?", "chat_history": [("human", "The ferry?")]})
        assert given.failure_mode == mode


# -------------------------------------------------------------------------------------------------- tools and messages


async def test_a_tool_gives_text_and_artifact(library: Collection) -> None:
    tool = grounded_answer_tool(library)
    assert set(tool.args) == {"question"}  # no model chooses a tenant or a filter
    call = {"type": "tool_call", "id": "1", "name": tool.name, "args": {"question": QUESTION}}
    for message in (tool.invoke(call), await tool.ainvoke(call)):
        assert FACT in message.content
        assert "guide.md" in message.content
        assert isinstance(message.artifact, GroundedAnswer)
    assert "No answer" in tool.invoke({"question": "What is the capital of Mongolia?"})
    with pytest.raises(TenantError):
        tool.invoke({"question": QUESTION}, config={"configurable": {"tenant": "a"}})


def test_a_message_has_standard_citations(library: Collection) -> None:
    given = library.ask(QUESTION)
    message = as_message(given)
    assert message.text == given.answer
    block: Any = message.content_blocks[0]
    annotation = block["annotations"][0]
    assert annotation["type"] == "citation"
    assert annotation["cited_text"] == given.citations[0].snippet
    assert annotation["extras"]["char_start"] == given.citations[0].char_start
    assert GroundedAnswer.model_validate(message.response_metadata["grounded_answer"]) == given
    json.dumps(message.response_metadata)
    assert "No answer" in as_message(library.ask("What is the capital of Mongolia?")).text


def test_a_step_after_it_sees_a_grounded_answer(library: Collection) -> None:
    confidence = GroundedAnswerChain(store=library) | RunnableLambda(lambda answer: answer.confidence)
    assert confidence.invoke(QUESTION) > 0.5
