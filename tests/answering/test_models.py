"""The language model in a question: no connection waits for it, its errors stay inside, cancelling gets through."""

from __future__ import annotations

import asyncio

import pytest

from rag_pgvector import Collection, CollectionConfig, Database
from rag_pgvector.answer.models import Reply, Request
from rag_pgvector.embedding import Embedder
from tests.answering.behaviours import FACT, QUESTION, SENTENCE
from tests.answering.scripted import shown

ATTACK = "{question} %s {0.__class__} \u202e\u200b"


class Own:
    """A language model of one's own, which uses the database while it is asked."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.requests: list[Request] = []

    def reply(self, request: Request) -> Reply:
        self.requests.append(request)
        assert self.collection.count() > 0
        return self.answer(request)

    async def areply(self, request: Request) -> Reply:
        self.requests.append(request)
        assert await self.collection.acount() > 0
        return self.answer(request)

    def answer(self, request: Request) -> Reply:
        id_ = next(id_ for id_, text in shown(request.user) if SENTENCE in text)
        quote = {"id": id_, "quote": SENTENCE}
        return Reply({"statements": [{"text": f"The ferry to Orrin costs {FACT} for adults.", "citations": [quote]}]})


async def test_no_connection_is_held_while_the_model_runs(
    library: Collection, module_database_url: str, embedder: Embedder
) -> None:
    async with Database(module_database_url, pool_size=1, timeout=5) as db:
        docs = db.collection("docs", config=CollectionConfig(dimensions=384), embedder=embedder)
        model = Own(docs)
        for given in (docs.ask(QUESTION, llm=model), await docs.aask(QUESTION, llm=model)):
            assert FACT in (given.answer or "")
            assert given.citations[0].answer_start == 0


def test_every_request_has_marks_and_ids_of_its_own(library: Collection) -> None:
    model = Own(library)
    first, second = (library.ask(QUESTION, llm=model) for _ in range(2))
    assert first == second  # and nothing of them is in the answer
    ids = [{id_ for id_, _ in shown(request.user)} for request in model.requests]
    assert len(ids[0]) == 3
    assert not ids[0] & ids[1]
    assert "{question} " not in model.requests[0].system
    assert "%s {0.__class__}" in model.requests[0].user  # data, as it stands


def test_a_question_is_no_template_either(library: Collection) -> None:
    model = Own(library)
    library.ask(f"{QUESTION} {ATTACK}", llm=model)
    assert "{question} %s {0.__class__}" in model.requests[0].user
    assert not set("\u202e\u200b") & set(model.requests[0].user)


class Patient(Own):
    async def areply(self, request: Request) -> Reply:
        self.requests.append(request)
        await asyncio.Event().wait()
        raise AssertionError


async def test_the_callers_own_cancellation_gets_through(library: Collection) -> None:
    model = Patient(library)
    task = asyncio.create_task(library.aask(QUESTION, llm=model))
    while not model.requests:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
