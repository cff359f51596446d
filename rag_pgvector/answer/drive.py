"""Runs the answering generator on a collection: the only two drivers of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rag_pgvector.answer import answer
from rag_pgvector.answer.steps import Answering, EmbedTexts, Find, Rows, Step, Tables
from rag_pgvector.answer.types import GroundedAnswer
from rag_pgvector.settings import load_settings

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["aask", "ask"]


def ask(
    collection: Collection, question: str, *, k: int | None, filter: Mapping[str, Any] | None, threshold: float | None
) -> GroundedAnswer:
    """``Collection.ask``."""
    answering = _start(question, k, filter, threshold)
    reply: Any = None
    while True:
        try:
            step = answering.send(reply)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        reply = _perform(collection, step)


async def aask(
    collection: Collection, question: str, *, k: int | None, filter: Mapping[str, Any] | None, threshold: float | None
) -> GroundedAnswer:
    """``Collection.aask``."""
    answering = _start(question, k, filter, threshold)
    reply: Any = None
    while True:
        try:
            step = answering.send(reply)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        reply = await _aperform(collection, step)


def _start(question: str, k: int | None, filter: Mapping[str, Any] | None, threshold: float | None) -> Answering:
    if k is None or threshold is None:
        settings = load_settings()
        k = settings.rag_top_k if k is None else k
        threshold = settings.conf_threshold if threshold is None else threshold
    return answer(question, k=k, filter=filter, threshold=threshold)


def _perform(collection: Collection, step: Step) -> Any:
    if isinstance(step, Find):
        return collection.search(step.question, k=step.k, filter=step.filter)
    if isinstance(step, Rows):
        return collection.list(document_id=step.document_ids, filter=step.filter, limit=step.limit)
    if isinstance(step, Tables):
        return collection.tables()
    if isinstance(step, EmbedTexts):
        return collection.embed_documents(step.texts)
    return collection.texts(step.document_ids)


async def _aperform(collection: Collection, step: Step) -> Any:
    if isinstance(step, Find):
        return await collection.asearch(step.question, k=step.k, filter=step.filter)
    if isinstance(step, Rows):
        return await collection.alist(document_id=step.document_ids, filter=step.filter, limit=step.limit)
    if isinstance(step, Tables):
        return await collection.atables()
    if isinstance(step, EmbedTexts):
        return await collection.aembed_documents(step.texts)
    return await collection.atexts(step.document_ids)
