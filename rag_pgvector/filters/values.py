"""Values of filters: checked once, for every dialect."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import uuid
from typing import Any

from rag_pgvector.errors import FilterError

__all__ = ["check_text", "is_number", "to_json"]


def check_text(text: str, what: str) -> str:
    """The text, if Postgres can hold it."""
    if "\0" in text:
        raise FilterError(f"{what}: {text[:80]!r} holds a NUL byte, which no stored value has")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FilterError(f"{what}: {text[:80]!r} holds a lone surrogate, which no stored value has") from None
    return text


def plain(value: Any, what: str) -> Any:
    """The JSON-like value that a Python one stands for: dates in ISO form, numpy scalars as numbers."""
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return plain(value.item(), what)
    if value is None or isinstance(value, (str, bool, int, float, decimal.Decimal, list, tuple, dict)):
        return value
    raise FilterError(
        f"{what}: a value of type {type(value).__name__} cannot be compared: use text, numbers, booleans, dates or None"
    )


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float, decimal.Decimal)) and not isinstance(value, bool)


def to_json(value: Any, what: str) -> str:
    """The value as JSON text that Postgres reads. Raises FilterError."""
    value = plain(value, what)
    if isinstance(value, str):
        check_text(value, what)
    elif isinstance(value, decimal.Decimal):
        if not value.is_finite():
            raise FilterError(f"{what}: {value} is not a finite number")
        return format(value, "f")
    elif isinstance(value, float) and not math.isfinite(value):
        raise FilterError(f"{what}: {value} is not a finite number")
    elif isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 40_000:
        raise FilterError(f"{what}: a number of {value.bit_length()} bits is out of range")
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise FilterError(f"{what}: not a JSON value ({str(error)[:80]})") from None
    if isinstance(value, (list, tuple, dict)) and "\\u0000" in text:
        raise FilterError(f"{what}: holds a NUL byte, which no stored value has")
    return text
