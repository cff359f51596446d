"""Divides blocks of text into atoms: paragraphs, and where one is too long sentences, lines, words, characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TypeAlias

from rag_pgvector.answer import sentences
from rag_pgvector.ingest.loaders import Block

__all__ = ["MAX_CHARS_PER_TOKEN", "Atom", "TokenCount", "atoms", "measured", "sentence_atoms", "word_atoms"]

TokenCount: TypeAlias = Callable[[str], int]

#: Some tokenisers make one token of any long word. No text counts less than one token per so many characters.
MAX_CHARS_PER_TOKEN = 10
_WINDOW = 20_000
"""Characters that are divided into sentences at once."""
_MARKER = re.compile(r"[ \t]*(?:[-*+•‣]|\(?[0-9a-zA-Z]{1,3}[.)])?[ \t]*")
_RUN = 48
"""Characters in a run of words, the smallest unit that is counted where sentences are too long."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A span that is not divided further. ``inner`` marks one that continues the paragraph of the atom before,
    ``fresh`` one that begins a chunk whatever would fit."""

    start: int
    end: int
    tokens: int
    inner: bool = False
    fresh: bool = False


def atoms(text: str, blocks: Sequence[Block], size: int, count: TokenCount, *, apart: bool = False) -> Iterator[Atom]:
    """Paragraphs, and the parts of one that is too long.

    ``apart`` marks them so that these parts share no chunk with the paragraph's neighbours, but for one that ends with
    a colon and so announces them.
    """
    fresh = announced = False
    for unit in _units(blocks):
        start, end = unit[0].char_start, unit[-1].char_end
        whole = measured(text, start, end, size, count)
        if whole.tokens <= size:
            yield replace(whole, fresh=fresh)
            fresh, announced = False, text[max(start, end - 8) : end].rstrip().endswith(":")
            continue
        fresh = apart and not announced
        for number, block in enumerate(unit):
            # A heading stays with the beginning of a block that would just fit without it.
            force = number > 0 and len(unit) > 1
            for atom in _divide(text, block.char_start, block.char_end, _LEVELS[block.kind], size, count, force=force):
                yield replace(atom, fresh=fresh)
                fresh = False
        fresh, announced = apart, False


def sentence_atoms(text: str, blocks: Sequence[Block], size: int, count: TokenCount) -> Iterator[Atom]:
    """Every sentence (of code and tables, every line) by itself, as one paragraph; parts of one that is too long."""
    first = True
    for block in blocks:
        levels = _LEVELS[block.kind]
        for atom in _divide(text, block.char_start, block.char_end, levels, size, count, force=True):
            yield replace(atom, inner=not first)
            first = False


def word_atoms(text: str, start: int, end: int, size: int, count: TokenCount) -> Iterator[Atom]:
    """Every word by itself, without the white space around it; parts of one that is too long."""
    for found in re.compile(r"\S+").finditer(text, start, end):
        yield from _divide(text, found.start(), found.end(), _FINE[1:], size, count)


def _units(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    """Blocks, each with the headings and markers above that belong to it."""
    unit: list[Block] = []
    for block in blocks:
        unit.append(block)
        if not block.keep_with_next:
            yield unit
            unit = []
    if unit:
        yield unit


def measured(text: str, start: int, end: int, size: int, count: TokenCount, *, inner: bool = False) -> Atom:
    """An atom with its tokens; what is too long by its characters alone is not counted."""
    least = (end - start) // MAX_CHARS_PER_TOKEN
    return Atom(start, end, least if least > size else max(least, count(text[start:end])), inner)


_Cut: TypeAlias = Callable[[str, int, int], Sequence[int]]


def _divide(
    text: str,
    start: int,
    end: int,
    levels: Sequence[_Cut],
    size: int,
    count: TokenCount,
    *,
    inner: bool = False,
    force: bool = False,
) -> Iterator[Atom]:
    """Atoms of at most ``size`` tokens that cover a span, cut at the first level that has cuts in it."""
    atom = measured(text, start, end, size, count, inner=inner)
    if not levels or (atom.tokens <= size and not force):
        yield atom
        return
    cuts = [start, *levels[0](text, start, end), end]
    if len(cuts) == 2:
        yield from _divide(text, start, end, levels[1:], size, count, inner=inner, force=force)
        return
    for number, (left, right) in enumerate(pairwise(cuts)):
        yield from _divide(text, left, right, levels[1:], size, count, inner=inner or number > 0)


def _sentence_cuts(text: str, start: int, end: int) -> list[int]:
    """Before every sentence, list item and table row; a list item's marker stays with it."""
    cuts: list[int] = []
    # In windows: what is one paragraph for us may be a file of megabytes without a line end.
    windows = [start, *_every(start, end, lambda at: text[at - 1].isspace(), _WINDOW), end]
    for left, right in pairwise(windows):
        for span in sentences.split(text[left:right]):
            cut = left + span.start
            line = text.rfind("\n", left, cut) + 1 or left
            cut = line if _MARKER.fullmatch(text, line, cut) else cut
            if cut > (cuts[-1] if cuts else start):
                cuts.append(cut)
    return cuts


def _line_cuts(text: str, start: int, end: int) -> list[int]:
    cuts = []
    at = start
    while (at := text.find("\n", at, end)) >= 0 and at + 1 < end:
        at += 1
        cuts.append(at)
    return cuts


def _word_cuts(text: str, start: int, end: int) -> list[int]:
    """After white space, every ``_RUN`` characters or as soon after them as there is some."""
    return _every(start, end, lambda at: text[at - 1].isspace() and not text[at].isspace(), _RUN)


def _cluster_cuts(text: str, start: int, end: int) -> list[int]:
    """Inside a long word, between the characters that a reader sees, so many of them together."""
    return _every(start, end, lambda at: not _joined(text[at - 1], text[at]), _RUN // 2)


def _every_cluster_cut(text: str, start: int, end: int) -> list[int]:
    return _every(start, end, lambda at: not _joined(text[at - 1], text[at]), 1)


def _point_cuts(text: str, start: int, end: int) -> list[int]:
    return list(range(start + 1, end))


def _every(start: int, end: int, allowed: Callable[[int], bool], distance: int) -> list[int]:
    cuts = []
    at = start + distance
    while at < end:
        if allowed(at):
            cuts.append(at)
            at += distance
        else:
            at += 1
    return cuts


def _joined(left: str, right: str) -> bool:
    """True inside what a reader sees as one character (Unicode's UAX 29 simplified, erring to the long side)."""
    if left == "\r" and right == "\n":
        return True
    if left == "\u200d" or right == "\u200d" or unicodedata.category(right).startswith("M"):
        return True  # combining marks, variation selectors, joined emoji
    if "\U0001f3fb" <= right <= "\U0001f3ff" or "\U000e0020" <= right <= "\U000e007f":
        return True  # skin tones, tag sequences
    if "\U0001f1e6" <= left <= "\U0001f1ff" and "\U0001f1e6" <= right <= "\U0001f1ff":
        return True  # flags
    return "\u1160" <= right <= "\u11ff"  # Korean vowels and finals


_FINE: tuple[_Cut, ...] = (_word_cuts, _cluster_cuts, _every_cluster_cut, _point_cuts)
_LEVELS: dict[str, tuple[_Cut, ...]] = {"prose": (_sentence_cuts, *_FINE), "literal": (_line_cuts, *_FINE)}
