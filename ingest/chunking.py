"""Chunks: slices of a document's text of at most so many tokens, cut where its structure allows.

The recursive method of LangChain's RecursiveCharacterTextSplitter, on spans instead of strings: a piece (section, row)
is divided into blocks (paragraphs, code), a block that is too long into sentences, table rows or lines of code, those
into runs of words, and a word only when it alone is too long. Neighbours are then joined again up to the size. Every
chunk is an exact slice, ``text[char_start:char_end] == content``, and together they hold every character that is not
white space.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

from rag_pgvector.answer import sentences
from rag_pgvector.errors import ConfigError
from rag_pgvector.ingest.loaders import Block, LoadedDocument, Piece
from rag_pgvector.types import Chunk

__all__ = ["CHUNKER_VERSION", "ChunkOptions", "TokenCount", "chunk_document", "estimate_tokens", "token_count"]

#: Raised when the same text and options give other chunks, so that stored documents are chunked anew.
CHUNKER_VERSION = 1

TokenCount: TypeAlias = Callable[[str], int]

#: Some tokenisers make one token of any long word. No text counts less than one token per so many characters.
_MAX_CHARS_PER_TOKEN = 10
_WINDOW = 20_000
"""Characters that are divided into sentences at once."""
_MARKER = re.compile(r"[ \t]*(?:[-*+•‣]|\(?[0-9a-zA-Z]{1,3}[.)])?[ \t]*")
_RUN = 48
"""Characters in a run of words, the smallest unit that is counted where sentences are too long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOptions:
    """How long chunks are.

    Attributes:
        size: Most tokens of a chunk, 16 or more. An embedder that takes fewer lowers it.
        overlap: Most tokens that a chunk repeats from the end of the one before, in whole sentences, where a paragraph
            had to be cut. Chunks that begin with a block of their own repeat nothing.
    """

    size: int = 200
    overlap: int = 24

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 16:
            raise ConfigError(f"size={self.size!r}: use 16 tokens or more")
        if type(self.overlap) is not int or not 0 <= self.overlap <= self.size // 2:
            raise ConfigError(f"overlap={self.overlap!r}: use 0 to size // 2 = {self.size // 2} tokens")


def estimate_tokens(text: str) -> int:
    """Tokens of a text without its tokeniser, rather too many: one per four ASCII characters, one per other."""
    beyond = 0 if text.isascii() else sum(character > "\x7f" for character in text)
    return -(-(len(text) - beyond) // 4) + beyond


def token_count(embedder: Any) -> tuple[TokenCount, str]:
    """How an embedder counts tokens and the name of that count: its tokeniser where it shows it, else an estimate."""
    offsets = getattr(embedder, "token_offsets", None)
    if offsets is None:
        return estimate_tokens, "estimate"
    return lambda text: len(offsets(text)), str(embedder.name)


def chunk_document(loaded: LoadedDocument, *, options: ChunkOptions, count: TokenCount) -> Iterator[Chunk]:
    """The chunks of a loaded document in order, without embeddings.

    A row's id is ``document#row``, or ``document#name`` where the loader names it. Others are named by their content,
    ``document#3f0c9a...``, with ``-2`` for a second chunk of the same content, so that a changed paragraph leaves the
    ids of all other chunks as they are.
    """
    document = loaded.document
    occurrences: dict[str, int] = {}
    for piece in loaded.pieces:
        for start, end in split(document.text, piece, options=options, count=count):
            content = document.text[start:end]
            if piece.name is not None:
                name = piece.name
            elif piece.blocks:
                name = hashlib.sha256(content.encode()).hexdigest()[:16]
                occurrences[name] = number = occurrences.get(name, 0) + 1
                name = name if number == 1 else f"{name}-{number}"
            else:
                name = str(piece.page_or_row)
            yield Chunk(
                content=content,
                id=f"{document.id}#{name}",
                metadata=piece.metadata,
                document_id=document.id,
                source=document.source,
                page_or_row=piece.page_or_row,
                char_start=start,
                char_end=end,
            )


Span: TypeAlias = tuple[int, int]


def split(text: str, piece: Piece, *, options: ChunkOptions, count: TokenCount) -> Iterator[Span]:
    """The spans of a piece's chunks, in order. A piece without blocks is one chunk, whatever its length."""
    if not piece.blocks:
        span = _trim(text, piece.char_start, piece.char_end)
        if span[0] < span[1]:
            yield span
        return
    yield from _join(text, list(_atoms(text, piece.blocks, options.size, count)), options, count)


# ------------------------------------------------------------------------------------------------------------- joining


@dataclass(frozen=True, slots=True)
class _Atom:
    """A span that is not divided further. ``inner`` marks one that continues the paragraph of the atom before."""

    start: int
    end: int
    tokens: int
    inner: bool = False


def _join(text: str, atoms: Sequence[_Atom], options: ChunkOptions, count: TokenCount) -> Iterator[Span]:
    """Fill chunks with atoms, first come first in: where a paragraph changes, the cuts soon fall as before again."""
    at = 0
    previous = -1
    while at < len(atoms):
        first = atoms[at]
        start = _overlap(text, previous, first.start, options.overlap, count) if first.inner else first.start
        total = first.tokens + (count(text[start : first.start]) if start < first.start else 0)
        if total > options.size:
            start, total = first.start, first.tokens
        upto = at + 1
        while upto < len(atoms) and total + atoms[upto].tokens <= options.size:
            total += atoms[upto].tokens
            upto += 1
        # "For example:" goes with its example.
        if upto < len(atoms) and upto - at > 1 and text[first.start : atoms[upto - 1].end].rstrip().endswith(":"):
            upto -= atoms[upto - 1].tokens + atoms[upto].tokens <= options.size
        # Tokens need not add up exactly over a cut.
        while upto - at > 1 and _tokens(text, start, atoms[upto - 1].end, count) > options.size:
            upto -= 1
        if upto - at == 1 and start < first.start and _tokens(text, start, first.end, count) > options.size:
            start = first.start
        span = _trim(text, start, atoms[upto - 1].end)
        if span[0] < span[1]:
            yield span
        previous = start
        at = upto


def _overlap(text: str, previous: int, start: int, most: int, count: TokenCount) -> int:
    """Where the last whole sentences before ``start`` begin that hold at most ``most`` tokens; ``start`` if none do."""
    low = max(previous + 1, start - most * _MAX_CHARS_PER_TOKEN)
    if not most or low >= start:
        return start
    # The window may begin inside a sentence, so its first span is none.
    for span in sentences.split(text[low:start])[1:]:
        if _tokens(text, low + span.start, start, count) <= most:
            return low + span.start
    return start


def _tokens(text: str, start: int, end: int, count: TokenCount) -> int:
    least = (end - start) // _MAX_CHARS_PER_TOKEN
    return max(count(text[start:end]), least)


def _trim(text: str, start: int, end: int) -> Span:
    """The span without white space around it; the indentation of its first line stays, which code needs."""
    body = text[start:end].rstrip()
    bare = body.lstrip()
    lead = body[: len(body) - len(bare)]
    dropped = max(lead.rfind("\n"), lead.rfind("\r")) + 1
    at_line_start = dropped or not start or text[start - 1] in "\r\n"
    if not at_line_start or lead[dropped:].strip(" \t"):  # strip: a form feed or a no-break space is no indentation
        dropped = len(lead)
    return start + dropped, start + len(body)


# ------------------------------------------------------------------------------------------------------------ dividing


def _atoms(text: str, blocks: Sequence[Block], size: int, count: TokenCount) -> Iterator[_Atom]:
    for unit in _units(blocks):
        whole = _measured(text, unit[0].char_start, unit[-1].char_end, size, count)
        if whole.tokens <= size:
            yield whole
            continue
        for number, block in enumerate(unit):
            # A heading stays with the beginning of a block that would just fit without it.
            force = number > 0 and len(unit) > 1
            yield from _divide(text, block.char_start, block.char_end, _LEVELS[block.kind], size, count, force=force)


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


def _measured(text: str, start: int, end: int, size: int, count: TokenCount, *, inner: bool = False) -> _Atom:
    """An atom with its tokens; what is too long by its characters alone is not counted."""
    least = (end - start) // _MAX_CHARS_PER_TOKEN
    return _Atom(start, end, least if least > size else max(least, count(text[start:end])), inner)


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
) -> Iterator[_Atom]:
    """Atoms of at most ``size`` tokens that cover a span, cut at the first level that has cuts in it."""
    atom = _measured(text, start, end, size, count, inner=inner)
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
