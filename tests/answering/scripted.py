"""A server that speaks OpenAI's chat protocol over loopback HTTP and behaves as it is told: well, or in any bad way.

    with ScriptedServer(BEHAVIOURS) as server:
        model = ChatOpenAI(model="invented_id", base_url=server.url, api_key="none", max_retries=0)

The behaviour is chosen by the request's ``model``. It is given the question and the passages that the prompt shows.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Behaviour", "Exchange", "ScriptedServer", "shown"]

_PASSAGE = re.compile(r"<(\w+) passage id=(\w+)>\n\(([^\n]*)\)\n(.*?)\n</\1>", re.DOTALL)
_QUESTION = re.compile(r"Question: ([^\n]*)")


def shown(prompt: str) -> list[tuple[str, str]]:
    """The id and the text of each passage of a prompt of rag_pgvector."""
    return [(match[2], match[4]) for match in _PASSAGE.finditer(prompt)]


@dataclass
class Exchange:
    """One request, and the ways to answer it."""

    handler: BaseHTTPRequestHandler
    body: Mapping[str, Any]
    stop: threading.Event
    prompt: str = ""
    question: str = ""
    passages: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.prompt = "\n".join(_text(message.get("content")) for message in self.body.get("messages", ()))
        found = _QUESTION.search(self.prompt)
        self.question = found[1] if found else ""
        self.passages = shown(self.prompt)

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))

    def holding(self, words: str) -> tuple[str, str]:
        """The passage that holds some words."""
        return next(each for each in self.passages if words in each[1])

    # ------------------------------------------------------------------------------------------------- answering

    def say(self, content: Any, *, finish: str = "stop", size: int = 240) -> None:
        """A reply with this content, in the way that was asked for: JSON for anything that is no text."""
        text = content if isinstance(content, str) else json.dumps(content)
        if self.stream:
            pieces: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
            pieces += [{"content": text[at : at + size]} for at in range(0, len(text), size)]
            self.events([*pieces, {"finish": finish}])
        else:
            self.message({"role": "assistant", "content": text}, finish)

    def call(self, name: str, arguments: str) -> None:
        """A reply that calls a tool."""
        call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
        if self.stream:
            called = {"role": "assistant", "content": None, "tool_calls": [{"index": 0, **call}]}
            self.events([called, {"finish": "tool_calls"}])
        else:
            self.message({"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls")

    def message(self, message: Any, finish: str = "stop") -> None:
        choice = {"index": 0, "message": message, "finish_reason": finish}
        self.raw(json.dumps(self._envelope("chat.completion", [choice])))

    def events(self, deltas: Iterable[Mapping[str, Any]], *, done: bool = True) -> None:
        """A stream of deltas; ``{"finish": reason}`` ends it, ``{"line": text}`` is sent as it stands."""
        self.head("text/event-stream")
        for delta in deltas:
            if self.stop.is_set():
                return
            if "line" in delta:
                self.write(delta["line"])
                continue
            finish = delta.get("finish")
            choice = {"index": 0, "delta": {} if finish else dict(delta), "finish_reason": finish}
            self.write("data: " + json.dumps(self._envelope("chat.completion.chunk", [choice])) + "\n\n")
        if done:
            self.write("data: [DONE]\n\n")

    def raw(self, body: str | bytes, *, status: int = 200, kind: str = "application/json", length: int = 0) -> None:
        """Exactly this body. ``length`` is added to what Content-Length says."""
        data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
        self.head(kind, status, len(data) + length)
        self.handler.wfile.write(data)

    def head(self, kind: str, status: int = 200, length: int | None = None, **headers: str) -> None:
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", kind)
        if length is not None:
            self.handler.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.handler.send_header(name.replace("_", "-"), value)
        self.handler.send_header("Connection", "close")
        self.handler.end_headers()
        self.handler.close_connection = True

    def write(self, text: str) -> None:
        self.handler.wfile.write(text.encode("utf-8", "surrogatepass"))
        self.handler.wfile.flush()

    def _envelope(self, kind: str, choices: Any) -> dict[str, Any]:
        return {"id": "x", "object": kind, "created": 1, "model": self.body.get("model"), "choices": choices}


Behaviour = Callable[[Exchange], None]


class ScriptedServer:
    """Listens on a free port of 127.0.0.1 while the context lasts. ``requests`` keeps what was asked."""

    def __init__(self, behaviours: Mapping[str, Behaviour]) -> None:
        self.behaviours = dict(behaviours)
        self.requests: list[Mapping[str, Any]] = []
        self._stop = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = json.loads(self.rfile.read(length) or b"{}")
                outer.requests.append(body)
                try:
                    outer.behaviours[body["model"]](Exchange(self, body, outer._stop))
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client has had enough
                finally:
                    self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> ScriptedServer:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content or () if isinstance(part, Mapping))
