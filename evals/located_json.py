"""JSON documents whose values know their line: for errors in files that are one large object."""

from __future__ import annotations

import json
import json.decoder
import json.scanner
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from rag_pgvector.errors import LoadError

__all__ = ["Place", "read_json"]

Key: TypeAlias = "int | str"


class Place:
    """A value inside a document, and where that is. A step down to what is not there, or is of another type, raises
    LoadError with the line of the value and its path."""

    def __init__(self, path: Path, value: Any, keys: tuple[Key, ...] = ()) -> None:
        self._path = path
        self.value = value
        self._keys = keys

    def error(self, reason: str) -> LoadError:
        """An error about this value."""
        named = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self._keys).lstrip(".")
        line = _line(self._path, self._keys)
        return LoadError(str(self._path), f"{named}: {reason}" if named else reason, f"line {line}")

    def get(self, key: str, *types: type, default: Any = ...) -> Any:
        """The value of a key. Raises LoadError where it is not one of the types, or absent without a default."""
        if not isinstance(self.value, dict):
            raise self.error(f"{_short(self.value)} is not a JSON object")
        if key not in self.value or (self.value[key] is None and default is not ...):
            if default is ...:
                raise self.error(f"no {key!r}")
            return default
        value = self.value[key]
        if not isinstance(value, types) or (type(value) is bool and bool not in types):
            names = " or ".join(_NAMES.get(each, each.__name__) for each in types)
            raise Place(self._path, value, (*self._keys, key)).error(f"{_short(value)} is not {names}")
        return value

    def each(self, key: str | None = None, default: Any = ...) -> Iterator[Place]:
        """The elements of a list: of this value, or of one of its keys."""
        keys = self._keys if key is None else (*self._keys, key)
        found = self.value if key is None else self.get(key, list, default=default)
        if not isinstance(found, list):
            raise self.error(f"{_short(found)} is not a list")
        for i, value in enumerate(found):
            yield Place(self._path, value, (*keys, i))


_NAMES = {str: "a text", list: "a list", dict: "a JSON object", int: "a whole number", bool: "true or false"}


def read_json(path: Path) -> Place:
    """The document of a file. Raises LoadError with the line of a mistake."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise LoadError(str(path), f"{error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise LoadError(str(path), f"not UTF-8 ({error.reason})", f"line {line}") from None
    try:
        return Place(path, json.loads(text))
    except json.JSONDecodeError as error:
        raise LoadError(str(path), f"not JSON: {error.msg}", f"line {error.lineno}") from None
    except RecursionError:
        raise LoadError(str(path), "not JSON that anyone could read: it is nested too deeply") from None


def _short(value: Any) -> str:
    return f"{json.dumps(value, ensure_ascii=False):.60}"


class _Located(json.JSONDecoder):
    """Reads lists and objects as ``(value, offset)``. Slow, so only for a file that has a mistake."""

    def __init__(self) -> None:
        super().__init__()
        self.parse_object = self._object
        self.parse_array = self._array
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    @staticmethod
    def _object(start: tuple[str, int], *arguments: Any) -> tuple[Any, int]:
        value, end = json.decoder.JSONObject(start, *arguments)  # type: ignore[attr-defined]
        return (value, start[1] - 1), end

    @staticmethod
    def _array(start: tuple[str, int], *arguments: Any) -> tuple[Any, int]:
        value, end = json.decoder.JSONArray(start, *arguments)  # type: ignore[attr-defined]
        return (value, start[1] - 1), end


def _line(path: Path, keys: tuple[Key, ...]) -> int:
    """The line of the innermost object or list on the way to a value."""
    text = path.read_bytes().decode("utf-8-sig")
    node, at = _Located().decode(text), 0
    for key in (*keys, None):
        if not isinstance(node, tuple):
            break
        value, at = node
        if key is None:
            break
        node = value[key]
    return text.count("\n", 0, at) + 1
