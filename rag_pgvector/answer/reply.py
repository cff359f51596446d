"""Reads what a language model replied. Nothing in it is trusted: what does not fit is dropped, and no reply raises."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SCHEMA", "Quote", "Statement", "read_reply"]

#: Statements, and quotations of each, that are read; longest text of a statement.
MOST = 24
LONGEST_STATEMENT = 4_000
#: Places in a text where JSON is looked for.
TRIES = 8

#: What the model is asked for, as JSON Schema (of the kind that providers accept in strict mode).
SCHEMA: Mapping[str, Any] = {
    "title": "grounded_answer",
    "description": "An answer made of statements, each with the quotations that prove it. No statements: no answer.",
    "type": "object",
    "properties": {
        "statements": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string", "description": "One sentence of the answer."},
                    "citations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "id": {"type": "string", "description": "The id of a passage."},
                                "quote": {"type": "string", "description": "Words copied from that passage."},
                            },
                            "required": ["id", "quote"],
                            "additionalProperties": False,
                        },
                    },
                },
                "required": ["text", "citations"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["statements"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Quote:
    """What the model says stands in the passage ``id``."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of the model's answer and what it cites."""

    text: str
    quotes: tuple[Quote, ...]


def read_reply(reply: Any) -> tuple[Statement, ...] | None:
    """The statements of a reply.

    Args:
        reply: Text, with or without something around its JSON, or a mapping that a framework has parsed.

    Returns:
        No statements where the model says that there is no answer; ``None`` where it does not say anything that can be
        read.
    """
    if isinstance(reply, str):
        reply = _parsed(reply)
    if not isinstance(reply, Mapping):
        return None
    listed = reply.get("statements")
    if listed is None and "answer" in reply:  # the flat shape that models fall into
        answer = reply["answer"]
        listed = [{"text": answer, "citations": reply.get("citations")}] if answer else []
    if not isinstance(listed, list):
        return None
    found = []
    for each in listed[:MOST]:
        if not isinstance(each, Mapping):
            continue
        text = each.get("text", each.get("statement"))
        if isinstance(text, str) and text.strip():
            found.append(Statement(text[:LONGEST_STATEMENT], _quotes(each.get("citations"))))
    if listed and not found:
        return None
    return tuple(found)


def _quotes(listed: Any) -> tuple[Quote, ...]:
    if not isinstance(listed, list):
        return ()
    found = []
    for each in listed[:MOST]:
        if isinstance(each, Mapping):
            id_, quote = each.get("id", each.get("source_id")), each.get("quote")
            found.append(Quote(id_ if isinstance(id_, str) else "", quote if isinstance(quote, str) else ""))
        else:
            found.append(Quote("", ""))  # counted among those that fail
    return tuple(found)


def _parsed(text: str) -> Any:
    """The first JSON object of a text that looks like a reply, else ``None``."""
    decoder = json.JSONDecoder()
    at = text.find("{")
    for _ in range(TRIES):
        if at < 0:
            return None
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        if isinstance(value, dict) and ("statements" in value or "answer" in value):
            return value
        at = text.find("{", end)
    return None
