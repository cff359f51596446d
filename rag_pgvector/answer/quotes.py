"""Where a quotation stands in a text: as it is, or after presentation is undone on both sides; never nearly.

Presentation is white space, line-end hyphenation, soft hyphens and other invisible characters, ligatures, the shapes of
quotation marks and dashes, and canonically equal spellings of one character (NFD). Everything else must be equal: there
is no edit distance, no folding of case, width or look-alikes, so that a changed number, sign, unit or "not" is never
found. What is found is given as a span of the original text. Every scan is linear.

A verbatim slice can still lie by where it begins and ends ("available", cut from "not available"). A quotation that
cuts a word, a number from its sign, unit or bound, or a clause from its negation is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from rag_pgvector.answer.polarity import clause_before, is_negated
from rag_pgvector.answer.quantities import BOUNDS, CURRENCIES, PERCENT, SCALES, UNITS

__all__ = ["Located", "locate", "unseen"]

#: Longest quotation that is looked for, and how many places of it are looked at.
LONGEST_QUOTE = 4_000
MOST_PLACES = 64

_LIGATURES = {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st", "…": "..."}
_QUOTES = dict.fromkeys("“”„‟«»″‶", '"') | dict.fromkeys("‘’‚‛‹›′‵`´", "'")
_HYPHENS = "-\N{HYPHEN}\N{NON-BREAKING HYPHEN}"
_DASHES = frozenset(_HYPHENS + "‒–—―−﹘﹣－")
_SHY = "\N{SOFT HYPHEN}"
#: Direction, joining, width and tags: seen by nobody, so they neither help nor hinder a match.
_UNSEEN = frozenset(
    [_SHY, "\u034f", "\u061c", "\u180e", "\ufeff"]
    + [chr(code) for code in (*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070))]
    + [chr(code) for code in (*range(0xFE00, 0xFE10), *range(0xE0000, 0xE0080))]
)
#: What honest text seldom needs: reported. Joiners are letters of Persian, Hindi and emoji.
_SUSPICIOUS = _UNSEEN - {_SHY, "\u200c", "\u200d", "\ufeff"} - {chr(code) for code in range(0xFE00, 0xFE10)}
_SIGNS = frozenset("+±~≈<>≤≥$€£¥₹#≠") | _DASHES
_AFTER_NUMBER = frozenset("%‰°′″€£$¥₹²³")

_JOINING = frozenset(_HYPHENS + "'’_" + _SHY)

#: A word that goes on in the next line, seen from behind and from before.
_HYPHENATED = re.compile(rf"[^\W\d_][{_HYPHENS}{_SHY}][ \t]*\n[ \t]*$")
_HYPHENATION = re.compile(rf"[{_HYPHENS}{_SHY}][ \t]*\n[ \t]*[^\W\d_]")

_Joint = Literal["hard", "line", "wrap", "gap"]
#: How a hyphen of the source may look in a quotation of it (``None``: it is gone).
_MAY_BE: dict[str, frozenset[str | None]] = {
    "hard": frozenset({"hard", "line", "wrap"}),
    "line": frozenset({None, "hard", "line", "wrap", "gap"}),
    "wrap": frozenset({"hard", "line", "wrap", "gap"}),
    "gap": frozenset({"line", "wrap", "gap"}),
}


@dataclass(frozen=True, slots=True)
class Located:
    """``text[start:end]`` is the quotation: ``exact``, or ``normalized`` where only presentation differs."""

    start: int
    end: int
    match: Literal["exact", "normalized"]


def unseen(text: str) -> tuple[str, int]:
    """A text without control, direction and zero-width characters, and how many suspicious ones there were."""
    kept: list[str] = []
    found = 0
    for char in text:
        if char in "\n\t" or (char not in _SUSPICIOUS and unicodedata.category(char) not in ("Cc", "Cs")):
            kept.append(char)
        else:
            found += char != "\r"
    return "".join(kept), found


def locate(quote: str, text: str, start: int = 0, end: int | None = None) -> Located | str:
    """Finds a quotation in ``text[start:end]``.

    Args:
        quote: What is said to stand there.
        text: The source. What surrounds the window decides whether the quotation cuts something off.

    Returns:
        Its place in ``text``, or why it is refused: ``empty``, ``too_long``, ``not_found``, ``cuts_word``,
        ``cuts_number`` or ``cuts_negation``.
    """
    end = len(text) if end is None else end
    if len(quote) > LONGEST_QUOTE:
        return "too_long"
    wanted = [quote.strip()]
    bare = wanted[0].strip("\"'“”„‟«»‘’‚‛‹›`").strip()
    for ellipsis in ("...", "…"):
        bare = bare.removeprefix(ellipsis).removesuffix(ellipsis).strip()
    if bare != wanted[0]:
        wanted.append(bare)
    if sum(char.isalnum() for char in wanted[-1]) < 2 and not any(char.isdigit() for char in wanted[-1]):
        return "empty"
    refused = "not_found"
    loose: _Loose | None = None
    for each in wanted:
        for at in _places(each, text, start, end):
            reason = _cut(text, at, at + len(each))
            if reason is None:
                return Located(at, at + len(each), "exact")
            refused = reason
        loose = loose or _loosen(text, start, end)
        for low, high in _same(_loosen(each, 0, len(each)), loose):
            reason = _cut(text, low, high)
            if reason is None:
                return Located(low, high, "exact" if text[low:high] == each else "normalized")
            refused = reason
    return refused


def _places(wanted: str, text: str, start: int, end: int) -> Iterator[int]:
    at = text.find(wanted, start, end) if wanted else -1
    for _ in range(MOST_PLACES):
        if at < 0:
            return
        yield at
        at = text.find(wanted, at + 1, end)


# ------------------------------------------------------------------------------------------------------- presentation


@dataclass(slots=True)
class _Loose:
    """A text without its presentation. Character ``i`` comes from ``[starts[i], ends[i])`` of the original.

    Hyphens inside of a word are taken out and kept in ``joints`` by the place they stood before, so that a word is
    found across a line's end; both sides' joints are compared afterwards.
    """

    text: str = ""
    starts: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    joints: dict[int, _Joint] = field(default_factory=dict)


def _loosen(text: str, start: int, end: int) -> _Loose:
    made = _Loose()
    out: list[str] = []

    def put(chars: str, low: int, high: int) -> None:
        for char in chars:
            out.append(char)
            made.starts.append(low)
            made.ends.append(high)

    at = start
    while at < end:
        char = text[at]
        if char in _DASHES or char == _SHY:
            after = at + 1
            while after < end and (text[after].isspace() or text[after] in _UNSEEN):
                after += 1
            if out and out[-1].isalnum() and after < end and text[after].isalnum():
                gap = text[at + 1 : after]
                broken = any(each in "\n\r\v\f\u2028\u2029" for each in gap)
                if char == _SHY:
                    if broken:
                        made.joints[len(out)] = "line"
                        at = after
                    else:
                        at += 1
                    continue
                joint: _Joint = "wrap" if broken else "gap" if any(each.isspace() for each in gap) else "hard"
                if broken and char in _HYPHENS and out[-1].isalpha() and text[after].isalpha():
                    joint = "line"
                made.joints[len(out)] = joint
                at = after
                continue
            if char != _SHY:
                put("-", at, at + 1)
            at += 1
        elif char in _UNSEEN or (not char.isspace() and unicodedata.category(char) == "Cc"):
            at += 1
        elif char.isspace():
            after = at + 1
            while after < end and (text[after].isspace() or text[after] in _UNSEEN):
                after += 1
            together = bool(out) and after < end and _is_ideograph(out[-1]) and _is_ideograph(text[after])
            if out and after < end and not together:
                put(" ", at, after)
            at = after
        else:
            mapped = _LIGATURES.get(char) or _QUOTES.get(char)
            put(mapped or _decomposed(char), at, at + 1)
            at += 1
    made.text = "".join(out)
    return made


def _decomposed(char: str) -> str:
    if char < "\x80":
        return char
    shape, _, rest = unicodedata.decomposition(char).partition(" ")
    if shape in ("<initial>", "<medial>", "<final>", "<isolated>"):  # Arabic letters as a PDF draws them
        return "".join(chr(int(code, 16)) for code in rest.split())
    return unicodedata.normalize("NFD", char)


def _is_ideograph(char: str) -> bool:
    return "\u3040" <= char <= "\u30ff" or "\u3400" <= char <= "\u9fff" or "\uf900" <= char <= "\ufaff"


def _same(quote: _Loose, source: _Loose) -> Iterator[tuple[int, int]]:
    """The spans of the original text that differ from the quotation by presentation only."""
    length = len(quote.text)
    for low in _places(quote.text, source.text, 0, len(source.text)):
        high = low + length
        # A match that begins or ends inside of a ligature or of an accented letter is another text.
        if low and source.starts[low - 1] == source.starts[low]:
            continue
        if high < len(source.text) and (
            source.starts[high] == source.starts[high - 1] or unicodedata.combining(source.text[high])
        ):
            continue
        ours = {at - low: joint for at, joint in source.joints.items() if low < at < high}
        theirs = {at: joint for at, joint in quote.joints.items() if 0 < at < length}
        if theirs.keys() <= ours.keys() and all(theirs.get(at) in _MAY_BE[joint] for at, joint in ours.items()):
            yield source.starts[low], source.ends[high - 1]


# ------------------------------------------------------------------------------------------------------------- cutting


def _cut(text: str, start: int, end: int) -> str | None:
    """What a slice cuts off that it cannot do without."""
    if _splits(text, start) or _splits(text, end) or (end < len(text) and unicodedata.combining(text[end])):
        return "cuts_word"
    before, after = text[max(0, start - 300) : start], text[end : end + 40]
    if text[start].isdigit() or (text[start] in ".," and text[start + 1 : start + 2].isdigit()):
        word = before.rstrip().rpartition(" ")[2].casefold().strip("(")
        if before and (before[-1] in _SIGNS or word in BOUNDS or word in CURRENCIES or word[-1:] in _SIGNS - _DASHES):
            return "cuts_number"
        if before[-1:] in (".", ",") and before[-2:-1].isdigit():
            return "cuts_number"
    if text[end - 1].isdigit() and after:
        if after[0] in _AFTER_NUMBER or (after[0] in ".,'’\u00a0\u202f" and after[1:2].isdigit()):
            return "cuts_number"
        words = after.split()
        unit = words[0].casefold().strip(".,;:()") if after[0].isspace() and words else ""
        if unit and (
            unit in PERCENT or unit in SCALES or unit in UNITS or unit in CURRENCIES or unit[0] in _AFTER_NUMBER
        ):
            return "cuts_number"
        if unit == "per" and words[1:2] and words[1].casefold().startswith("cent"):
            return "cuts_number"
    return "cuts_negation" if is_negated(clause_before(before)) else None


def _splits(text: str, at: int) -> bool:
    """True where a word or a number goes on across ``at``."""
    if not 0 < at < len(text):
        return False
    left, right = text[at - 1], text[at]
    if left.isalnum() and right.isalnum():
        return not (_is_ideograph(left) or _is_ideograph(right))
    if _HYPHENATED.search(text[max(0, at - 40) : at]) and right.islower():
        return True
    if left.isalpha() and _HYPHENATION.match(text, at):
        return True
    two_left, two_right = text[max(0, at - 2) : at - 1], text[at + 1 : at + 2]
    if left in _JOINING or (left in _DASHES and right.isdigit() and two_left.isdigit()):
        return right.isalnum() and two_left.isalnum()
    if right in _JOINING or (right in _DASHES and left.isdigit() and two_right.isdigit()):
        return left.isalnum() and two_right.isalnum()
    return False
