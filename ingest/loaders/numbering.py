"""The numbers of lists and headings that a word processor or a browser shows, and that stand in no text."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import Any

__all__ = ["Numbering", "numeral"]

_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")),
    *((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
#: Styles are based on each other; deeper than this is a circle.
_DEEPEST = 12
#: More levels than Word has.
_MOST_LEVELS = 9


def numeral(number: int, form: str) -> str:
    """A number as a list writes it: ``form`` is a w:numFmt of OOXML; those that are not known here count in digits."""
    if form in ("lowerLetter", "upperLetter") and 0 < number <= 26 * 9:  # a, b, ... z, aa, bb
        text = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return text.upper() if form == "upperLetter" else text
    if form in ("lowerRoman", "upperRoman") and 0 < number < 4000:
        text = ""
        for value, letters in _ROMAN:
            text += letters * (number // value)
            number %= value
        return text.upper() if form == "upperRoman" else text
    return f"{number:02}" if form == "decimalZero" else str(number)


class Numbering:
    """Counts the numbered paragraphs of a DOCX as Word does (ECMA-376, 17.9): a level begins anew where one above it
    has gone on; levels that are named by a paragraph's style count as its own."""

    def __init__(self, document: Any) -> None:
        self._levels: dict[str, dict[int, Any]] = {}
        self._abstract: dict[str, str] = {}
        self._starts: dict[tuple[str, int], int] = {}
        self._counts: dict[str, dict[int, int]] = defaultdict(dict)
        self._seen: set[str] = set()
        related = [each.target_part for each in document.part.rels.values() if each.reltype.endswith("/numbering")]
        if not related or not hasattr(related[0], "element"):
            return
        root = related[0].element
        for abstract in root.iter(f"{_W}abstractNum"):
            levels = {_integer(level.get(f"{_W}ilvl")): level for level in abstract.iter(f"{_W}lvl")}
            self._levels[abstract.get(f"{_W}abstractNumId", "")] = levels
        for number in root.iter(f"{_W}num"):
            name = number.get(f"{_W}numId", "")
            self._abstract[name] = _value(number, "abstractNumId") or ""
            for override in number.iter(f"{_W}lvlOverride"):
                if (start := _value(override, "startOverride")) is not None:
                    self._starts[name, _integer(override.get(f"{_W}ilvl"))] = _integer(start, 1)

    def marker(self, paragraph: Any) -> str:
        """What stands before a paragraph: its number as Word writes it, "-" for a bullet, "" for neither."""
        name, level = self._of(paragraph)
        abstract = self._abstract.get(name, "")
        levels = self._levels.get(abstract, {})
        if level not in levels:
            return ""
        counts = self._counts[abstract]
        if name not in self._seen:  # a list that is told where to start, as one that begins anew in Word
            self._seen.add(name)
            for (other, at), start in self._starts.items():
                if other == name:
                    counts[at] = start - 1
        counts[level] = counts.get(level, _start(levels[level]) - 1) + 1
        for deeper in [each for each in counts if each > level]:
            del counts[deeper]
        form = _value(levels[level], "numFmt") or "decimal"
        if form == "bullet":
            return "-"
        legal = levels[level].find(f"{_W}isLgl") is not None

        def written(found: re.Match[str]) -> str:
            at = int(found[1]) - 1
            if at not in levels:
                return ""
            own = "decimal" if legal else _value(levels[at], "numFmt") or "decimal"
            return numeral(counts.get(at, _start(levels[at])), own)

        return "" if form == "none" else re.sub(r"%([1-9])", written, _value(levels[level], "lvlText") or "").strip()

    def _of(self, paragraph: Any) -> tuple[str, int]:
        """The list and level of a paragraph, by itself or by its style: ("", 0) for none."""
        name = level = None
        element, style = paragraph._p, paragraph.style
        for _ in range(_DEEPEST):
            properties = element.find(f"{_W}pPr")
            numbered = None if properties is None else properties.find(f"{_W}numPr")
            if numbered is not None:
                name = _value(numbered, "numId") if name is None else name
                level = _value(numbered, "ilvl") if level is None else level
            if style is None or name is not None:
                break
            element, style = style.element, style.base_style
        number = _integer(level)
        return (name or "", number if 0 <= number < _MOST_LEVELS else 0)


def _value(element: Any, name: str) -> str | None:
    found = element.find(f"{_W}{name}")
    value = None if found is None else found.get(f"{_W}val")
    return None if value is None else str(value)


def _start(level: Any) -> int:
    return _integer(_value(level, "start"), 1)


def _integer(text: str | None, otherwise: int = 0) -> int:
    return int(text) if text and re.fullmatch(r"-?\d{1,6}", text) else otherwise
