"""Runs the answering generator on a collection: the only two drivers of its steps."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection as Collection_
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rag_pgvector.answer import answer
from rag_pgvector.answer.llm import answer_with_model
from rag_pgvector.answer.models import LanguageModel, Request, language_model
from rag_pgvector.answer.reader import default_reader
from rag_pgvector.answer.steps import (
    Answering,
    Calibrated,
    EmbedTexts,
    Find,
    Generate,
    Read,
    Rows,
    Step,
    Tables,
    Texts,
    Totals,
)
from rag_pgvector.answer.types import GroundedAnswer
from rag_pgvector.config import SearchOptions
from rag_pgvector.errors import ConfigError
from rag_pgvector.settings import load_settings
from rag_pgvector.types import SearchResult

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["TIMEOUT", "aask", "ask", "ask_without"]

#: Seconds that a language model has for one reply.
TIMEOUT = 60.0

#: By words and vectors. The confidence needs both: no answer is given by words alone, where the embedder fails.
_HYBRID = SearchOptions(mode="hybrid", fallback=False)


def ask(
    collection: Collection,
    question: str,
    *,
    k: int | None,
    filter: Mapping[str, Any] | None,
    threshold: float | None,
    llm: Any = None,
    timeout: float = TIMEOUT,
    target_risk: float | None = None,
) -> GroundedAnswer:
    """``Collection.ask``."""
    model = _model(llm, timeout)
    answering = _start(question, k, filter, threshold, model, target_risk)
    step = _next(answering, None)
    while not isinstance(step, GroundedAnswer):
        if isinstance(step, Generate):
            assert model is not None
            step = _next(answering, model.reply(_request(step, timeout)))
        elif isinstance(step, Read):
            step = _next(answering, default_reader().read(step.question, step.pages))
        else:
            name, arguments, options = _call(step)
            step = _next(answering, getattr(collection, name)(*arguments, **options))
    return step


async def aask(
    collection: Collection,
    question: str,
    *,
    k: int | None,
    filter: Mapping[str, Any] | None,
    threshold: float | None,
    llm: Any = None,
    timeout: float = TIMEOUT,
    target_risk: float | None = None,
) -> GroundedAnswer:
    """``Collection.aask``."""
    model = _model(llm, timeout)
    answering = _start(question, k, filter, threshold, model, target_risk)
    step = _next(answering, None)
    while not isinstance(step, GroundedAnswer):
        if isinstance(step, Generate):
            assert model is not None
            step = _next(answering, await model.areply(_request(step, timeout)))
        elif isinstance(step, Read):
            step = _next(answering, await asyncio.to_thread(default_reader().read, step.question, step.pages))
        else:
            name, arguments, options = _call(step)
            step = _next(answering, await getattr(collection, f"a{name}")(*arguments, **options))
    return step


def _model(llm: Any, timeout: float) -> LanguageModel | None:
    if not (isinstance(timeout, (int, float)) and 0 < timeout < math.inf):
        raise ConfigError(f"timeout={timeout!r}: use a number of seconds above 0")
    return None if llm is None else language_model(llm)


def _request(step: Generate, timeout: float) -> Request:
    return Request(step.system, step.user, step.schema, timeout)


def ask_without(collection: Collection, question: str, *, k: int, without: Collection_[str] = ()) -> GroundedAnswer:
    """The answer at any confidence, by the prior, as if some documents (by id) were not there: for calibration."""
    answering = answer(question, k=k, threshold=0.0)
    step = _next(answering, None)
    while not isinstance(step, GroundedAnswer):
        reply: Any = None
        if isinstance(step, Read):
            reply = default_reader().read(step.question, step.pages)
        elif not isinstance(step, (Calibrated, Generate)):
            name, arguments, options = _call(step)
            if isinstance(step, Find) and without:
                options["k"] = 2 * step.k
            reply = getattr(collection, name)(*arguments, **options)
        if isinstance(step, Find) and without:
            kept = [hit for hit in reply if hit.chunk.document_id not in without]
            reply = SearchResult(kept[: step.k], reply.plan)
        step = _next(answering, reply)
    return step


def _start(
    question: str,
    k: int | None,
    filter: Mapping[str, Any] | None,
    threshold: float | None,
    model: LanguageModel | None,
    target_risk: float | None,
) -> Answering:
    if k is None or threshold is None:
        settings = load_settings()
        k = settings.rag_top_k if k is None else k
        if threshold is None:
            threshold = settings.conf_threshold
            target_risk = settings.target_risk if target_risk is None else target_risk
    if model is None:
        return answer(question, k=k, filter=filter, threshold=threshold, target_risk=target_risk)
    return answer_with_model(question, k=k, filter=filter, threshold=threshold, target_risk=target_risk)


def _next(answering: Answering, reply: Any) -> Step | GroundedAnswer:
    try:
        return answering.send(reply)
    except StopIteration as stop:
        result: GroundedAnswer = stop.value
        return result


def _call(
    step: Find | Rows | Totals | Tables | Texts | EmbedTexts | Calibrated,
) -> tuple[str, list[Any], dict[str, Any]]:
    """The method of a collection that answers a step, and what it is given."""
    if isinstance(step, Find):
        return "search", [step.question], {"k": step.k, "filter": step.filter, "options": _HYBRID}
    if isinstance(step, Rows):
        return "list", [], {"document_id": step.document_ids, "filter": step.filter, "limit": step.limit}
    if isinstance(step, Totals):
        rows = {"document_id": step.document_ids, "filter": step.filter}
        return ("totals", [step.column], rows) if step.by is None else ("totals_by", [step.column, step.by], rows)
    if isinstance(step, Tables):
        return "tables", [], {}
    if isinstance(step, EmbedTexts):
        return "embed_documents", [step.texts], {}
    if isinstance(step, Calibrated):
        return "calibration", [step.mode], {}
    return "texts", [step.document_ids], {}
