"""Calls a language model of either framework, or one's own, within a time limit, without importing a framework.

A LangChain chat model is asked for structured output where it has that, else for JSON in text; a LlamaIndex LLM for
JSON in text. Replies are streamed, so that one without an end can be stopped. Whatever the model does, the outcome is
a ``Reply``: only the caller's own cancellation passes through.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Mapping
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from rag_pgvector.errors import ConfigError

__all__ = ["LangChainModel", "LanguageModel", "LlamaIndexModel", "Reply", "Request", "language_model"]

#: Longest reply in code points: a longer one is no answer, and is not read to its end.
LONGEST_REPLY = 200_000


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked: two messages, the JSON Schema of the reply (``None``: plain text), and seconds to wait."""

    system: str
    user: str
    schema: Mapping[str, Any] | None
    timeout: float


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of it: text, or a mapping where a framework has parsed it; or why there is none.

    Attributes:
        detail: For a failure, the kind of error. Never its message, which may quote a key or a prompt.
    """

    content: str | Mapping[str, Any] = ""
    failure: Literal["llm_error", "timeout"] | None = None
    detail: str = ""


@runtime_checkable
class LanguageModel(Protocol):
    """Anything that answers a request in both colours, and does not raise."""

    def reply(self, request: Request) -> Reply: ...

    async def areply(self, request: Request) -> Reply: ...


def language_model(llm: Any) -> LanguageModel:
    """The model that ``llm`` is: a LangChain chat model (or a runnable made from one), a LlamaIndex LLM, or a
    ``LanguageModel``. Raises ConfigError."""
    if isinstance(llm, LanguageModel):
        return llm
    if all(callable(getattr(llm, name, None)) for name in ("stream_chat", "astream_chat", "chat", "achat")):
        return LlamaIndexModel(llm)
    if all(callable(getattr(llm, name, None)) for name in ("stream", "astream", "invoke", "ainvoke")):
        return LangChainModel(llm)
    raise ConfigError(
        f"llm is {type(llm).__name__}: use a LangChain chat model, a LlamaIndex LLM, or an object with reply() and "
        "areply() (rag_pgvector.answer.models.LanguageModel)"
    )


# ---------------------------------------------------------------------------------------------------------- collecting


class _TooLongError(Exception):
    """The reply has more than LONGEST_REPLY code points."""


class _Collected:
    """The pieces of a streamed reply."""

    def __init__(self) -> None:
        self.parsed: Mapping[str, Any] | None = None
        self._texts: list[str] = []
        self._arguments: list[str] = []
        self._length = 0

    def take(self, piece: Any) -> None:
        if isinstance(piece, Mapping) and ("raw" in piece or "parsed" in piece or "parsing_error" in piece):
            if isinstance(piece.get("parsed"), Mapping):
                self.parsed = piece["parsed"]
            piece = piece.get("raw")
            if piece is None:
                return
        elif isinstance(piece, Mapping):
            self.parsed = piece
            return
        self.text(piece if isinstance(piece, str) else getattr(piece, "content", None))
        pieces = getattr(piece, "tool_call_chunks", None)
        for call in pieces if pieces else getattr(piece, "tool_calls", None) or ():
            arguments = call.get("args") if isinstance(call, Mapping) else None
            if isinstance(arguments, str):
                self._add(self._arguments, arguments)
            elif isinstance(arguments, Mapping) and arguments and not pieces:
                self.parsed = arguments

    def text(self, content: Any) -> None:
        """Takes a text, or the text blocks of a content list."""
        if isinstance(content, str):
            self._add(self._texts, content)
        elif isinstance(content, list):
            for block in content:
                if isinstance(block, str):
                    self._add(self._texts, block)
                elif isinstance(block, Mapping) and isinstance(block.get("text"), str):
                    self._add(self._texts, block["text"])

    def _add(self, pieces: list[str], piece: str) -> None:
        self._length += len(piece)
        if self._length > LONGEST_REPLY:
            raise _TooLongError
        pieces.append(piece)

    def reply(self) -> Reply:
        if self.parsed is not None:
            return Reply(self.parsed)
        return Reply("".join(self._arguments) or "".join(self._texts))


def _failed(error: BaseException) -> Reply:
    if isinstance(error, _TooLongError):
        return Reply(failure="llm_error", detail=f"a reply of more than {LONGEST_REPLY} characters")
    name = type(error).__name__
    late = isinstance(error, TimeoutError) or "timeout" in name.casefold()
    return Reply(failure="timeout" if late else "llm_error", detail=name)


def _unsupported(error: BaseException) -> bool:
    """True where the model, or its server, may be refusing structured output rather than the question."""
    status = getattr(error, "status_code", None)
    return (
        status in (400, 404, 415, 422, 501)
        if status
        else isinstance(error, (NotImplementedError, TypeError, ValueError))
    )


# ------------------------------------------------------------------------------------------------------- time limits


def _within(timeout: float, work: Callable[[threading.Event], Reply]) -> Reply:
    """Runs ``work`` in a thread of its own and waits so long. A thread that is late is told to stop, and left."""
    outcome: queue.SimpleQueue[Reply] = queue.SimpleQueue()
    stop = threading.Event()

    def run() -> None:
        try:
            outcome.put(work(stop))
        except BaseException as error:  # noqa: BLE001  # it must not end in this thread, unseen
            outcome.put(_failed(error))

    # The context holds LangChain's callbacks and LlamaIndex's span.
    threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True, name="rag-pgvector-llm").start()
    try:
        return outcome.get(timeout=timeout)
    except queue.Empty:
        return Reply(failure="timeout", detail=f"no reply within {timeout:g} s")
    finally:
        stop.set()


async def _awithin(timeout: float, work: Coroutine[Any, Any, Reply]) -> Reply:
    """Awaits ``work`` so long. It is cancelled when it is late, and not waited for."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout)
    finally:
        if not task.done():
            task.cancel()
            task.add_done_callback(lambda late: late.cancelled() or late.exception())
    if not done:
        return Reply(failure="timeout", detail=f"no reply within {timeout:g} s")
    if task.cancelled():
        return Reply(failure="llm_error", detail="CancelledError")
    error = task.exception()
    return task.result() if error is None else _failed(error)


# -------------------------------------------------------------------------------------------------------- frameworks


@dataclass(frozen=True, slots=True)
class LangChainModel:
    """A LangChain chat model, or a runnable that takes messages. ``config`` is what its runs are given."""

    model: Any
    config: Any = None

    def reply(self, request: Request) -> Reply:
        def work(stop: threading.Event) -> Reply:
            deadline = time.monotonic() + request.timeout
            attempts = self._attempts(request)
            for last, runnable in attempts:
                collected = _Collected()
                try:
                    with closing(_iterator(runnable.stream(_messages(request), self.config))) as pieces:
                        for piece in pieces:
                            collected.take(piece)
                            if stop.is_set() or time.monotonic() > deadline:
                                return Reply(failure="timeout", detail=f"no end within {request.timeout:g} s")
                except Exception as error:  # noqa: BLE001  # whatever a model raises is its failure
                    if last or not _unsupported(error) or stop.is_set():
                        return _failed(error)
                    continue
                return collected.reply()
            return Reply(failure="llm_error", detail="no way to ask")

        return _within(request.timeout, work)

    async def areply(self, request: Request) -> Reply:
        async def work() -> Reply:
            for last, runnable in self._attempts(request):
                collected = _Collected()
                try:
                    async with aclosing(_aiterator(runnable.astream(_messages(request), self.config))) as pieces:
                        async for piece in pieces:
                            collected.take(piece)
                except Exception as error:  # noqa: BLE001
                    if last or not _unsupported(error):
                        return _failed(error)
                    continue
                return collected.reply()
            return Reply(failure="llm_error", detail="no way to ask")

        return await _awithin(request.timeout, work())

    def _attempts(self, request: Request) -> Iterator[tuple[bool, Any]]:
        """The runnables to try, and whether each is the last."""
        if request.schema is not None and (asking := _structured(self.model, request.schema)) is not None:
            yield False, asking
        yield True, self.model


def _structured(model: Any, schema: Mapping[str, Any]) -> Any:
    """The model, told by its own means to reply by the schema; ``None`` where it has none."""
    bound, arguments = getattr(model, "bound", None), getattr(model, "kwargs", None)
    if bound is not None and isinstance(arguments, Mapping):  # model.bind(...), which would forget its arguments
        inner = _structured(bound, schema)
        return inner if inner is None else inner.bind(**arguments).with_config(model.config)
    try:
        asking = model.with_structured_output(dict(schema), include_raw=True)
    except Exception:  # noqa: BLE001  # "not supported" has many names
        return None
    # Of "raw message | parser" the message: the parser reads a streamed reply anew with every piece, which costs
    # quadratic time, and the reply is read here anyway.
    steps = getattr(getattr(asking, "first", None), "steps__", None)
    return steps["raw"] if isinstance(steps, Mapping) and "raw" in steps else asking


def _messages(request: Request) -> list[tuple[str, str]]:
    return [("system", request.system), ("human", request.user)]


def _iterator(pieces: Any) -> Generator[Any, None, None]:
    yield from pieces


async def _aiterator(pieces: Any) -> AsyncGenerator[Any, None]:
    try:
        async for piece in pieces:
            yield piece
    finally:  # closes the connection; the garbage collector would, some time
        if callable(close := getattr(pieces, "aclose", None)):
            await close()


@dataclass(frozen=True, slots=True)
class LlamaIndexModel:
    """A LlamaIndex LLM."""

    model: Any

    def reply(self, request: Request) -> Reply:
        def work(stop: threading.Event) -> Reply:
            deadline = time.monotonic() + request.timeout
            messages = self._messages(request)
            collected, whole = _Collected(), ""
            try:
                with closing(_iterator(self.model.stream_chat(messages))) as pieces:
                    for piece in pieces:
                        whole = _take(collected, piece, whole)
                        if stop.is_set() or time.monotonic() > deadline:
                            return Reply(failure="timeout", detail=f"no end within {request.timeout:g} s")
            except NotImplementedError:
                collected.text(self.model.chat(messages).message.content)
            return _finished(collected, whole)

        return _within(request.timeout, work)

    async def areply(self, request: Request) -> Reply:
        async def work() -> Reply:
            messages = self._messages(request)
            collected, whole = _Collected(), ""
            try:
                async with aclosing(_aiterator(await self.model.astream_chat(messages))) as pieces:
                    async for piece in pieces:
                        whole = _take(collected, piece, whole)
            except NotImplementedError:
                collected.text((await self.model.achat(messages)).message.content)
            return _finished(collected, whole)

        return await _awithin(request.timeout, work())

    def _messages(self, request: Request) -> list[Any]:
        # An LLM is here, so its framework is loaded; importing it is for the adapters.
        message = sys.modules["llama_index.core.base.llms.types"].ChatMessage
        return [message(role="system", content=request.system), message(role="user", content=request.user)]


def _take(collected: _Collected, piece: Any, whole: str) -> str:
    """Takes the new part of a streamed response; gives the whole so far, for LLMs that send no parts."""
    delta = getattr(piece, "delta", None)
    if isinstance(delta, str):
        collected.text(delta)
    so_far = getattr(getattr(piece, "message", None), "content", None)
    if isinstance(so_far, str) and len(so_far) > LONGEST_REPLY:
        raise _TooLongError
    return so_far if isinstance(so_far, str) else whole


def _finished(collected: _Collected, whole: str) -> Reply:
    reply = collected.reply()
    return reply if reply.content else Reply(whole)
