"""What the server of a language model can do to a request: fail, break off, and never end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from tests.answering.behaviours import BROKEN, behaviour, honest_reply
from tests.answering.scripted import Exchange

__all__: list[str] = []


def _status(status: int) -> None:
    def function(exchange: Exchange) -> None:
        exchange.raw('{"error": {"message": "key sk-secret is wrong", "type": "x", "code": null}}', status=status)

    function.__name__ = f"status_{status}"
    behaviour(*BROKEN)(function)


for _each in (400, 401, 404, 429, 500, 503):
    _status(_each)


@behaviour(*BROKEN)
def empty_choices(exchange: Exchange) -> None:
    exchange.raw('{"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []}')


@behaviour(*BROKEN)
def empty_choices_in_a_stream(exchange: Exchange) -> None:
    exchange.head("text/event-stream")
    exchange.write(
        'data: {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}\n\n'
    )
    exchange.write("data: [DONE]\n\n")


@behaviour(*BROKEN)
def no_json(exchange: Exchange) -> None:
    exchange.raw("<html>It works!</html>", kind="text/html")


@behaviour(*BROKEN)
def json_of_something_else(exchange: Exchange) -> None:
    exchange.raw('{"hello": "world"}')


@behaviour(*BROKEN)
def body_cut_short(exchange: Exchange) -> None:
    exchange.raw('{"id": "x", "choi', length=500)


@behaviour(*BROKEN)
def hangs_up(exchange: Exchange) -> None:
    exchange.handler.close_connection = True
    exchange.handler.connection.close()


@behaviour(*BROKEN)
def stream_of_garbage(exchange: Exchange) -> None:
    exchange.events([{"line": "data: {{{\n\n"}, {"line": "\x00\x01\n\n"}])


@behaviour(*BROKEN)
def error_within_the_stream(exchange: Exchange) -> None:
    begun = {"content": '{"statements": ['}
    exchange.events([begun, {"line": 'data: {"error": {"message": "overloaded", "code": 500}}\n\n'}])


@behaviour(*BROKEN)
def stream_that_stops(exchange: Exchange) -> None:
    exchange.events([{"content": json.dumps(honest_reply(exchange))[:80]}], done=False)


@behaviour(*BROKEN)
def invalid_utf8(exchange: Exchange) -> None:
    exchange.raw(b'{"choices": [{"message": {"content": "\xff\xfe"}}]}')


@behaviour(*BROKEN)
def huge_output(exchange: Exchange) -> None:
    exchange.events({"content": "ferry " * 2_000} for _ in range(200))


@behaviour(*BROKEN)
def redirect_to_itself(exchange: Exchange) -> None:
    exchange.head("text/plain", 307, 0, Location="/v1/chat/completions")


# ------------------------------------------------------------------------------------------------------------- endless


def _forever(exchange: Exchange, delta: dict[str, Any], pause: float = 0.005) -> Iterator[dict[str, Any]]:
    while not exchange.stop.wait(pause):
        yield delta


@behaviour("timeout", endless=True)
def says_nothing(exchange: Exchange) -> None:
    exchange.stop.wait()


@behaviour("timeout", endless=True)
def slow(exchange: Exchange) -> None:
    if not exchange.stop.wait(20):
        exchange.say(honest_reply(exchange))


@behaviour("timeout", endless=True)
def endless_stream(exchange: Exchange) -> None:
    exchange.events(_forever(exchange, {"content": "ferry "}))


@behaviour("timeout", endless=True)
def endless_nothing(exchange: Exchange) -> None:
    exchange.events(_forever(exchange, {"content": ""}))


@behaviour("timeout", endless=True)
def endless_blanks(exchange: Exchange) -> None:
    exchange.events(_forever(exchange, {"content": " "}))


@behaviour("timeout", endless=True)
def endless_comments(exchange: Exchange) -> None:
    exchange.events(_forever(exchange, {"line": ": still here\n\n"}))


@behaviour("timeout", endless=True)
def endless_headers(exchange: Exchange) -> None:
    exchange.handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while not exchange.stop.is_set():
        exchange.write(f"X-{time.monotonic_ns()}: x\r\n")
        time.sleep(0.05)


@behaviour("timeout", endless=True)
def endless_quote(exchange: Exchange) -> None:
    start = '{"statements": [{"text": "The ferry", "citations": [{"id": "x", "quote": "'
    exchange.events(_chained([{"content": start}], _forever(exchange, {"content": "ferry "})))


def _chained(first: list[dict[str, Any]], rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield from first
    yield from rest
