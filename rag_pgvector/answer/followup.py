"""Follow-up questions: rewritten by a language model so that they can be understood, and searched for, alone.

What the model writes is only ever a question: it is read as one, and the answer is verified like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

from rag_pgvector.answer.models import LanguageModel, Reply, Request
from rag_pgvector.answer.prompt import condensing
from rag_pgvector.answer.quotes import unseen
from rag_pgvector.answer.types import FailureMode, GroundedAnswer

__all__ = ["astandalone", "failed", "standalone"]

LONGEST = 1_000

#: (who, text) of each turn, oldest first; who is "user" or "assistant".
History = Sequence[tuple[str, str]]


def standalone(model: LanguageModel, question: str, history: History, timeout: float) -> str | Reply:
    """The question as it would be asked without the conversation, or the model's failure."""
    if not history:
        return question
    return _read(model.reply(Request(*condensing(question, history), None, timeout)))


async def astandalone(model: LanguageModel, question: str, history: History, timeout: float) -> str | Reply:
    if not history:
        return question
    return _read(await model.areply(Request(*condensing(question, history), None, timeout)))


def failed(reply: Reply, threshold: float) -> GroundedAnswer:
    """The answer where rewriting failed."""
    mode: FailureMode = reply.failure or "llm_error"
    note = f"the language model, rewriting the question: {reply.detail}"
    return GroundedAnswer(
        answer=None, confidence=0.0, failure_mode=mode, threshold=threshold, mode="llm", warnings=(note,)
    )


def _read(reply: Reply) -> str | Reply:
    if reply.failure is not None:
        return reply
    lines = unseen(reply.content)[0].split("\n") if isinstance(reply.content, str) else []
    found = next((line.strip().strip('"“”') for line in lines if any(char.isalnum() for char in line)), "")
    if not found or len(found) > LONGEST:
        return Reply(failure="llm_error", detail="no question came back")
    return found
