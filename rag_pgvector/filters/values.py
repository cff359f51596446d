"""Values of filters: checked and turned into JSON text once, for every dialect."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import reprlib
import uuid
from collections.abc import Mapping
from typing import Any

from rag_pgvector.errors import FilterError

__all__ = ["MAX_DEPTH", "check_pattern", "check_text", "show", "to_json"]

#: Deeper nesting of filters, or of a list or dictionary to compare with, is a mistake or an attack.
MAX_DEPTH = 100
#: LIKE recurses at each % of its pattern; so many are far from the server's stack limit.
MAX_WILDCARDS = 1_000
#: Digits that Postgres's numeric can hold before and after the point.
MAX_INTEGER_DIGITS = 131_072
MAX_FRACTION_DIGITS = 16_383

_short = reprlib.Repr()
_short.maxlevel = 3
_short.maxstring = _short.maxother = 60


def show(value: Any) -> str:
    """A short repr for messages, which neither deep nesting nor a huge number can break."""
    try:
        return _short.repr(value)
    except (ValueError, RecursionError):
        return f"<{type(value).__name__}>"


def check_text(text: str, what: str) -> str:
    """The text, if Postgres can hold it."""
    if "\0" in text:
        raise FilterError(f"{what}: {show(text)} holds a NUL character, which no stored text has: remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FilterError(f"{what}: {show(text)} holds a lone surrogate, which no stored text has: remove it") from None
    return text


def check_pattern(pattern: Any, what: str) -> str:
    """A pattern that LIKE takes."""
    if not isinstance(pattern, str):
        raise FilterError(f"{what} takes a text pattern such as 'a%', not {show(pattern)}")
    if (len(pattern) - len(pattern.rstrip("\\"))) % 2:
        raise FilterError(f"{what}: the pattern {show(pattern)} ends in an escape: double the backslash")
    if pattern.count("%") > MAX_WILDCARDS:
        raise FilterError(f"{what}: a pattern of {pattern.count('%')} wildcards: use at most {MAX_WILDCARDS}")
    return check_text(pattern, what)


def to_json(value: Any, what: str, *, depth: int = 0) -> str:
    """The JSON text of a value: dates and UUIDs as ISO text, Decimals and numpy scalars as numbers.

    Raises FilterError, which begins with ``what``, for anything that no stored metadata could equal.
    """
    if isinstance(value, str):
        return json.dumps(check_text(value, what))
    if value is None or value is True or value is False:
        return "null" if value is None else "true" if value else "false"
    if isinstance(value, int):
        # Python refuses to print an int of more than 640 digits where its limit is set so low; a Decimal it prints.
        return int.__repr__(value) if value.bit_length() < 2_000 else _number(decimal.Decimal(int(value)), what)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise FilterError(f"{what}: {value} is not a finite number, and JSON holds no other")
        return float.__repr__(value)
    if isinstance(value, decimal.Decimal):
        return _number(value, what)
    if isinstance(value, (datetime.date, datetime.time)):
        return json.dumps(value.isoformat())
    if isinstance(value, uuid.UUID):
        return json.dumps(str(value))
    if isinstance(value, (Mapping, list, tuple)):
        if depth == MAX_DEPTH:
            raise FilterError(f"{what}: the value is nested deeper than {MAX_DEPTH} levels")
        if not isinstance(value, Mapping):
            return f"[{', '.join([to_json(item, what, depth=depth + 1) for item in value])}]"
        if odd := [key for key in value if not isinstance(key, str)]:
            raise FilterError(f"{what}: the key {show(odd[0])} is not a text")
        items = [(json.dumps(check_text(key, what)), to_json(value[key], what, depth=depth + 1)) for key in value]
        return f"{{{', '.join([f'{key}: {item}' for key, item in items])}}}"
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return to_json(value.item(), what, depth=depth)
    raise FilterError(
        f"{what}: {show(value)} is of type {type(value).__name__}: use text, numbers, booleans, dates, UUIDs or None"
    )


def _number(value: decimal.Decimal, what: str) -> str:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise FilterError(f"{what}: {value} is not a finite number, and JSON holds no other")
    if len(digits) + exponent > MAX_INTEGER_DIGITS or -exponent > MAX_FRACTION_DIGITS:
        raise FilterError(
            f"{what}: a number beyond {MAX_INTEGER_DIGITS} digits before or {MAX_FRACTION_DIGITS} after the point, "
            "which Postgres cannot hold"
        )
    return str(value)
