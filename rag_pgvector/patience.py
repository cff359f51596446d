"""Asking the embedder for a question's vector without waiting for ever: search can go on by words."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING, Any

from rag_pgvector.config import SearchOptions
from rag_pgvector.errors import EmbeddingError

if TYPE_CHECKING:
    from rag_pgvector.bound import BoundEmbedder

__all__ = ["PATIENCE", "aembed_in_time", "embed_in_time"]

#: Seconds for the vector of a question from an embedder that is somewhere else: the fallback is to be there within one.
PATIENCE = 0.75
#: After it kept a question waiting, an embedder is not asked for so many seconds: no queue of threads that wait, too.
REST = 5.0


def embed_in_time(bound: BoundEmbedder, text: str, options: SearchOptions) -> Any:
    """The vector of a question. Raises EmbeddingError, also when it takes longer than ``options.embed_timeout``.

    Without one it waits ``PATIENCE`` for an embedder somewhere else, and as long as it takes for the model in this
    process, which loads at first use and never hangs on a network. Errors of configuration are raised as they are.
    """
    allowed = _allowed(bound, options)
    if allowed is None:
        return bound.proven().embed_query(text)
    answer: Future[Any] = Future()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            answer.set_result(context.run(lambda: bound.proven().embed_query(text)))
        except BaseException as error:  # noqa: BLE001  # raised again by result()
            answer.set_exception(error)

    # A daemon: an embedder that hangs must not keep the interpreter from exiting, as a pool's threads would.
    threading.Thread(target=work, name="rag_pgvector-embed", daemon=True).start()
    try:
        return answer.result(allowed)
    except FutureTimeoutError:
        if answer.done():  # the embedder's own time-out
            raise EmbeddingError("the embedder timed out") from None
        raise _too_slow(bound, allowed) from None


async def aembed_in_time(bound: BoundEmbedder, text: str, options: SearchOptions) -> Any:
    """``embed_in_time`` for asynchronous callers."""

    async def work() -> Any:
        return await (await asyncio.to_thread(bound.proven)).aembed_query(text)

    allowed = _allowed(bound, options)
    if allowed is None:
        return await work()
    task = asyncio.ensure_future(work())
    try:
        done, _ = await asyncio.wait({task}, timeout=allowed)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        task.add_done_callback(_forget)
        raise _too_slow(bound, allowed)
    return task.result()


def _forget(task: asyncio.Task[Any]) -> None:
    """Look at the outcome of a task that nobody waits for: asyncio complains of errors that nobody saw."""
    if not task.cancelled():
        task.exception()


def _allowed(bound: BoundEmbedder, options: SearchOptions) -> float | None:
    if not options.fallback:
        return options.embed_timeout
    rest = bound.rests_until - time.monotonic()
    if rest > 0.0:
        raise EmbeddingError(
            f"embedder {bound.embedder.name!r} kept a question waiting and is left alone for {rest:.1f} s more"
        )
    if options.embed_timeout is not None:
        return options.embed_timeout
    from rag_pgvector.embedding import SentenceTransformerEmbedder

    return None if isinstance(bound.embedder, SentenceTransformerEmbedder) else PATIENCE


def _too_slow(bound: BoundEmbedder, allowed: float) -> EmbeddingError:
    bound.rests_until = time.monotonic() + REST
    return EmbeddingError(f"embedder {bound.embedder.name!r} took longer than {allowed:g} s")
