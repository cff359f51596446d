"""A language model without a model: it speaks OpenAI's chat protocol over loopback HTTP and copies one sentence.

Of the passages that a prompt shows it takes the sentence that has most of the question's words, and cites its passage:
no knowledge, no imagination, the same for every system. It says that it does not know only where it is shown nothing.
Three prompts are understood: LangChain's recipe for citations (a tool call), LlamaIndex' ``CitationQueryEngine``
(``[1]`` behind the answer) and our own (JSON with quotations).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rag_pgvector.answer.lexical import STOPWORDS, terms
from rag_pgvector.evals.answer_metrics import statements

__all__ = ["UNKNOWN", "ScriptedReader", "read_prompt"]

UNKNOWN = "I don't know."

_OURS = re.compile(r"<(\w+) passage id=(\w+)>\n\([^\n]*\)\n(.*?)\n</\1>", re.DOTALL)
_LANGCHAIN = re.compile(
    r"Source ID: (\d+)\nArticle Title: [^\n]*\nArticle Snippet: (.*?)(?=\n\nSource ID: \d+\nArticle Title: |\Z)",
    re.DOTALL,
)
_LLAMAINDEX = re.compile(r"^Source (\d+):\n(.*?)(?=^Source \d+:\n|^------$)", re.DOTALL | re.MULTILINE)


def read_prompt(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str, list[tuple[str, str]]]:
    """Whose prompt it is ("ours", "langchain", "llamaindex"), the question, and the passages with their ids."""
    texts = [_text(message.get("content")) for message in messages]
    prompt = "\n".join(texts)
    if found := re.search(r"^Query: (.*)\nAnswer:\s*\Z", prompt, re.MULTILINE):
        shown = prompt[prompt.index("Now it's your turn.") :]
        return "llamaindex", found[1], [(each[1], each[2].strip()) for each in _LLAMAINDEX.finditer(shown)]
    if found := re.search(r"^Question: ([^\n]*)", prompt, re.MULTILINE):
        return "ours", found[1], [(each[2], each[3]) for each in _OURS.finditer(prompt)]
    return "langchain", texts[-1], [(each[1], each[2].strip()) for each in _LANGCHAIN.finditer("\n".join(texts[:-1]))]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content or () if isinstance(part, Mapping))


def best_sentence(question: str, passages: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """The id and the sentence that has most of the question's words; the first of equals."""
    wanted = set(terms(question)) - STOPWORDS
    best: tuple[int, str, str] | None = None
    for id_, text in passages:
        for start, end in statements(text):
            sentence = text[start:end].strip()
            shared = len(wanted & set(terms(sentence)))
            if best is None or shared > best[0]:
                best = (shared, id_, sentence)
    return None if best is None else best[1:]


def reply_to(body: Mapping[str, Any]) -> dict[str, Any]:
    """The message that answers a request."""
    whose, question, passages = read_prompt(body.get("messages", ()))
    found = best_sentence(question, passages)
    if whose == "ours":
        statement = [] if found is None else [{"text": found[1], "citations": [{"id": found[0], "quote": found[1]}]}]
        text = json.dumps({"statements": statement})
    elif whose == "llamaindex":
        text = UNKNOWN if found is None else f"{found[1]} [{found[0]}]"
    else:
        cited = [] if found is None else [{"source_id": int(found[0]), "quote": found[1]}]
        text = json.dumps({"answer": UNKNOWN if found is None else found[1], "citations": cited})
    if tools := body.get("tools"):
        function = {"name": tools[0]["function"]["name"], "arguments": text}
        return {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    return {"content": text}


class ScriptedReader:
    """Listens on a free port of 127.0.0.1 while the context lasts; ``url`` is the base of the protocol."""

    def __init__(self) -> None:
        self.requests = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
                outer.requests += 1
                message = {"role": "assistant", **reply_to(body)}
                finish = "tool_calls" if message.get("tool_calls") else "stop"
                envelope = {"id": "x", "created": 1, "model": body.get("model")}
                if body.get("stream"):
                    if calls := message.get("tool_calls"):
                        message["tool_calls"] = [{"index": 0, **calls[0]}]
                    deltas: list[dict[str, Any]] = [{"delta": message}, {"delta": {}, "finish_reason": finish}]
                    events = [
                        envelope
                        | {"object": "chat.completion.chunk", "choices": [{"index": 0, "finish_reason": None} | each]}
                        for each in deltas
                    ]
                    data = "".join(f"data: {json.dumps(each)}\n\n" for each in events) + "data: [DONE]\n\n"
                    kind = "text/event-stream"
                else:
                    choice = {"index": 0, "message": message, "finish_reason": finish}
                    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
                    data = json.dumps(envelope | {"object": "chat.completion", "choices": [choice], "usage": usage})
                    kind = "application/json"
                payload = data.encode("utf-8", "surrogatepass")
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> ScriptedReader:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
