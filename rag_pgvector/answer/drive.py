"""Runs the answering generator on a collection: the only two drivers of its steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rag_pgvector.answer import answer
from rag_pgvector.answer.steps import Answering, EmbedTexts, Find, Rows, Step, Tables
from rag_pgvector.answer.types import GroundedAnswer
from rag_pgvector.config import SearchOptions
from rag_pgvector.settings import load_settings

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["aask", "ask"]

#: By words and vectors. The confidence needs both: no answer is given by words alone, where the embedder fails.
_HYBRID = SearchOptions(mode="hybrid", fallback=False)


def ask(
    collection: Collection, question: str, *, k: int | None, filter: Mapping[str, Any] | None, threshold: float | None
) -> GroundedAnswer:
    """``Collection.ask``."""
    answering = _start(question, k, filter, threshold)
    step = _next(answering, None)
    while not isinstance(step, GroundedAnswer):
        name, arguments, options = _call(step)
        step = _next(answering, getattr(collection, name)(*arguments, **options))
    return step


async def aask(
    collection: Collection, question: str, *, k: int | None, filter: Mapping[str, Any] | None, threshold: float | None
) -> GroundedAnswer:
    """``Collection.aask``."""
    answering = _start(question, k, filter, threshold)
    step = _next(answering, None)
    while not isinstance(step, GroundedAnswer):
        name, arguments, options = _call(step)
        step = _next(answering, await getattr(collection, f"a{name}")(*arguments, **options))
    return step


def _start(question: str, k: int | None, filter: Mapping[str, Any] | None, threshold: float | None) -> Answering:
    if k is None or threshold is None:
        settings = load_settings()
        k = settings.rag_top_k if k is None else k
        threshold = settings.conf_threshold if threshold is None else threshold
    return answer(question, k=k, filter=filter, threshold=threshold)


def _next(answering: Answering, reply: Any) -> Step | GroundedAnswer:
    try:
        return answering.send(reply)
    except StopIteration as stop:
        result: GroundedAnswer = stop.value
        return result


def _call(step: Step) -> tuple[str, list[Any], dict[str, Any]]:
    """The method of a collection that answers a step, and what it is given."""
    if isinstance(step, Find):
        return "search", [step.question], {"k": step.k, "filter": step.filter, "options": _HYBRID}
    if isinstance(step, Rows):
        return "list", [], {"document_id": step.document_ids, "filter": step.filter, "limit": step.limit}
    if isinstance(step, Tables):
        return "tables", [], {}
    if isinstance(step, EmbedTexts):
        return "embed_documents", [step.texts], {}
    return "texts", [step.document_ids], {}
