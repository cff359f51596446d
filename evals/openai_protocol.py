"""A chat model behind a URL that speaks OpenAI's protocol (vLLM, Ollama, llama.cpp, OpenAI); no client library needed.

Only what a judge, or a writer of questions, needs: one request, one reply, within a time limit.
"""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from rag_pgvector.answer.models import Reply, Request
from rag_pgvector.errors import ConfigError

__all__ = ["OpenAIProtocol"]

#: Bytes of a reply that are read; what is longer is no verdict.
_LONGEST = 1_000_000


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A key goes to the host that it was given for, and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class OpenAIProtocol:
    """A ``rag_pgvector.answer.models.LanguageModel``. It does not raise: what fails is a ``Reply`` with a failure.

    Args:
        url: The base, such as ``http://localhost:8000/v1``; ``/chat/completions`` is added.
        model: The model's name there.
        api_key: Sent as a bearer token, shown nowhere.

    Raises ConfigError for a URL that is none, or that holds a user or password.
    """

    def __init__(self, url: str, model: str, *, api_key: str | SecretStr | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("the model's URL is no http(s) URL: use the base of the API, http://localhost:8000/v1")
        if parts.username or parts.password:
            raise ConfigError(f"the model's URL holds a user: give the key as api_key (host {parts.hostname})")
        self._endpoint = url.rstrip("/") + "/chat/completions"
        self._model = model
        self._key = SecretStr(api_key) if isinstance(api_key, str) else api_key
        #: What is recorded of it.
        self.name = f"{model} at {parts.hostname}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def reply(self, request: Request) -> Reply:
        """The model's reply as text."""
        outcome: queue.SimpleQueue[Reply] = queue.SimpleQueue()

        def run() -> None:
            try:
                outcome.put(self._fetch(request))
            except Exception as error:  # noqa: BLE001  # whatever a server does is its failure
                outcome.put(Reply(failure=_kind(error), detail=_detail(error)))

        # A server that sends a byte now and then never meets a socket's time limit: the thread is left to it.
        threading.Thread(target=run, daemon=True, name="rag-pgvector-model").start()
        try:
            return outcome.get(timeout=request.timeout)
        except queue.Empty:
            return Reply(failure="timeout", detail=f"no reply within {request.timeout:g} s")

    async def areply(self, request: Request) -> Reply:
        """``reply`` that leaves the event loop free."""
        return await asyncio.to_thread(self.reply, request)

    def _fetch(self, request: Request) -> Reply:
        body: dict[str, Any] = {
            "model": self._model,
            "temperature": 0,
            "messages": [{"role": "system", "content": request.system}, {"role": "user", "content": request.user}],
        }
        headers = {"Content-Type": "application/json"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"
        call = urllib.request.Request(self._endpoint, json.dumps(body).encode(), headers, method="POST")
        opener = urllib.request.build_opener(_NoRedirects)
        with opener.open(call, timeout=request.timeout) as response:
            data = response.read(_LONGEST + 1)
        if len(data) > _LONGEST:
            return Reply(failure="llm_error", detail=f"a reply of more than {_LONGEST} bytes")
        content = json.loads(data)["choices"][0]["message"]["content"]
        if not isinstance(content, str):
            return Reply(failure="llm_error", detail="a message without text")
        return Reply(content)


def _kind(error: Exception) -> Any:
    cause = getattr(error, "reason", error)
    return "timeout" if isinstance(cause, TimeoutError) else "llm_error"


def _detail(error: Exception) -> str:
    """The kind of error, never its message, which may quote a key."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    return type(error).__name__
