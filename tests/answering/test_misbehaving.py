"""Language models that misbehave, over real HTTP, through both frameworks: the result is always a grounded answer."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI
from llama_index.llms.openai_like import OpenAILike

from rag_pgvector import Collection
from rag_pgvector.answer import GroundedAnswer
from tests.answering.behaviours import BEHAVIOURS, ENDLESS, EXPECTED, FACT, QUESTION
from tests.answering.scripted import ScriptedServer

#: Seconds that an endless reply is given.
PATIENCE = 0.4


Client = httpx.Client | httpx.AsyncClient


def langchain(server: ScriptedServer, name: str, client: Client) -> Any:
    clients: Any = {"http_async_client" if isinstance(client, httpx.AsyncClient) else "http_client": client}
    return ChatOpenAI(model=name, base_url=server.url, api_key="sk-secret", max_retries=0, **clients)


def llamaindex(server: ScriptedServer, name: str, client: Client) -> Any:
    clients: Any = {"async_http_client" if isinstance(client, httpx.AsyncClient) else "http_client": client}
    return OpenAILike(
        model=name, api_base=server.url, api_key="sk-secret", max_retries=0, is_chat_model=True, **clients
    )


def judge(library: Collection, name: str, given: GroundedAnswer) -> None:
    assert GroundedAnswer.model_validate_json(given.model_dump_json()) == given
    for citation in (*given.citations, *given.near_misses):
        document = library.document(citation.doc_id or "")
        assert document is not None
        assert document.text[citation.char_start : citation.char_end] == citation.snippet
    assert given.mode == "llm"
    assert "sk-secret" not in given.model_dump_json()
    expected = EXPECTED[name] or ("answer",)
    assert (given.failure_mode or "answer") in expected, given
    if given.failure_mode is None:
        assert FACT in (given.answer or "")
        assert "evil" not in (given.answer or "")
    else:
        assert given.near_misses


def test_there_are_enough_of_them() -> None:
    assert len([name for name, expected in EXPECTED.items() if expected]) >= 40


FINITE = [name for name in BEHAVIOURS if name not in ENDLESS]
ROUNDS = ((FINITE, 60.0), (sorted(ENDLESS), PATIENCE))


@pytest.mark.parametrize("framework", [langchain, llamaindex])
def test_in_threads(library: Collection, server: ScriptedServer, client: httpx.Client, framework: Any) -> None:
    for names, patience in ROUNDS:

        def ask(name: str, patience: float = patience) -> GroundedAnswer:
            return library.ask(QUESTION, llm=framework(server, name, client), timeout=patience)

        with ThreadPoolExecutor(16) as pool:
            for name, given in zip(names, pool.map(ask, names, timeout=120), strict=True):
                judge(library, name, given)


@pytest.mark.parametrize("framework", [langchain, llamaindex])
async def test_in_one_loop(library: Collection, server: ScriptedServer, framework: Any) -> None:
    async with httpx.AsyncClient(timeout=600) as client:
        for names, patience in ROUNDS:
            asking = (library.aask(QUESTION, llm=framework(server, name, client), timeout=patience) for name in names)
            answers = await asyncio.wait_for(asyncio.gather(*asking), 120)
            for name, given in zip(names, answers, strict=True):
                judge(library, name, given)
