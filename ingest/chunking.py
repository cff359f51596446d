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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias, get_args

from rag_pgvector.answer import sentences
from rag_pgvector.errors import ConfigError
from rag_pgvector.ingest.dividing import MAX_CHARS_PER_TOKEN, Atom, TokenCount, atoms, measured, sentence_atoms
from rag_pgvector.ingest.loaders import Block, LoadedDocument, Piece
from rag_pgvector.ingest.methods import Embed, Method, by_page, marked, turns, windows
from rag_pgvector.types import Chunk, Document

__all__ = [
    "CHUNKER_VERSION",
    "ChunkOptions",
    "Splitter",
    "TokenCount",
    "chunk_document",
    "estimate_tokens",
    "token_count",
]

#: Raised when the same text and options give other chunks, so that stored documents are chunked anew.
CHUNKER_VERSION = 2

#: ``text -> chunks``, or an object whose ``split_text`` is that.
Splitter: TypeAlias = Callable[[str], Sequence[str]] | Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkOptions:
    """How long chunks are.

    Attributes:
        size: Most tokens of a chunk, 16 or more. An embedder that takes fewer lowers it.
        overlap: Most tokens that a chunk repeats from the end of the one before, in whole sentences, where a paragraph
            had to be cut. Chunks that begin with a block of their own repeat nothing.
        context_tokens: Most tokens of the titles above a chunk (of a row: the file's name) that are embedded in front
            of it, as far as it does not hold them itself. What is stored, returned and cited is the chunk in any case.
            0, the default, embeds the chunk alone: the shipped confidence was fitted so.
        rows: Rows of a table per chunk. More than one makes chunks without the rows' metadata, for reading, not for
            questions about single cells.
        by: How a text is divided. "structure": paragraphs, and sentences where one is too long, within a section.
            "paragraph": so too, and what a long paragraph was divided into shares no chunk with its neighbours.
            "sentence": whole sentences up to the size, within a section. "tokens": windows of whole words up to the
            size, within a page. "page": a page (without pages, the document) where it fits, else as by structure.
            "semantic": sentences, with a cut where the meaning turns; each sentence is embedded once for it.
        splitter: Divides a text in our place: a function from a text to its chunks, or an object with ``split_text``,
            such as LangChain's text splitters and LlamaIndex's (of its other node parsers:
            ``rag_pgvector.llamaindex.as_splitter``). Every chunk must be a slice of the text but for white space at its
            ends; pages and sections are divided one by one, and table rows are not. A chunk that is longer than the
            model reads is divided further.
    """

    size: int = 200
    overlap: int = 24
    context_tokens: int = 0
    rows: int = 1
    by: Method = "structure"
    splitter: Splitter | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size < 16:
            raise ConfigError(f"size={self.size!r}: use 16 tokens or more")
        if type(self.overlap) is not int or not 0 <= self.overlap <= self.size // 2:
            raise ConfigError(f"overlap={self.overlap!r}: use 0 to size // 2 = {self.size // 2} tokens")
        if type(self.context_tokens) is not int or self.context_tokens < 0:
            raise ConfigError(f"context_tokens={self.context_tokens!r}: use 0 or more")
        if type(self.rows) is not int or self.rows < 1:
            raise ConfigError(f"rows={self.rows!r}: use 1 or more")
        if self.by not in get_args(Method):
            raise ConfigError(f"by={self.by!r}: use {', '.join(get_args(Method))}")
        if self.splitter is not None and self.by != "structure":
            raise ConfigError(f"by={self.by!r} and a splitter: give one of them")
        if self.splitter is not None and not callable(getattr(self.splitter, "split_text", self.splitter)):
            raise ConfigError(f"splitter={self.splitter!r:.80}: give a function or an object with split_text")

    def describe(self) -> dict[str, Any]:
        """The options as JSON-compatible values; of a splitter its type and plain attributes."""
        found: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "splitter"}
        if self.splitter is not None:
            plain = {
                k: v for k, v in getattr(self.splitter, "__dict__", {}).items() if isinstance(v, (int, str, float))
            }
            kind = getattr(self.splitter, "__qualname__", type(self.splitter).__qualname__)
            if (code := getattr(self.splitter, "__code__", None)) is not None:  # lambdas all have one name
                kind += hashlib.sha256(code.co_code + repr(code.co_consts).encode()).hexdigest()[:16]
            found["splitter"] = [kind, sorted((key, repr(value)) for key, value in plain.items())]
        return found


def estimate_tokens(text: str) -> int:
    """Tokens of a text without its tokeniser, rather too many: one per four ASCII characters, one per other."""
    beyond = 0 if text.isascii() else sum(character > "\x7f" for character in text)
    return -(-(len(text) - beyond) // 4) + beyond


def token_count(embedder: Any) -> tuple[TokenCount, str]:
    """How an embedder counts tokens and the name of that count: its tokeniser where it shows it, else an estimate."""
    counting = getattr(embedder, "count_tokens", None)
    if counting is not None:
        return counting, str(embedder.name)
    offsets = getattr(embedder, "token_offsets", None)
    if offsets is None:
        return estimate_tokens, "estimate"
    return lambda text: len(offsets(text)), str(embedder.name)


def chunk_document(
    loaded: LoadedDocument,
    *,
    options: ChunkOptions,
    count: TokenCount,
    limit: int | None = None,
    embed: Embed | None = None,
) -> Iterator[Chunk]:
    """The chunks of a loaded document in order, without embeddings.

    ``limit`` is what the model reads, in tokens: a splitter's longer chunks are divided. ``embed`` gives the vectors
    that ``by="semantic"`` needs. A row's id is ``document#row``, or ``document#name`` where the loader names it. Others
    are named by their content, ``document#3f0c9a...``, with ``-2`` for a second chunk of the same content, so that a
    changed paragraph leaves the ids of all other chunks as they are.
    """
    document = loaded.document
    occurrences: dict[str, int] = {}
    pieces: Iterable[Piece] = loaded.pieces if options.rows == 1 else _grouped(loaded.pieces, options.rows)
    if options.by in ("page", "tokens"):
        pieces = by_page(list(pieces))
    starts: frozenset[int] = frozenset()
    if options.by == "semantic":
        if embed is None:
            raise ConfigError("by='semantic' needs an embedder: ingest() gives the collection's")
        pieces = list(pieces)
        starts = turns(document.text, pieces, size=options.size, count=count, embed=embed)
    for piece in pieces:
        titles = _titles(document, piece) if options.context_tokens else []
        for start, end in split(document.text, piece, options=options, count=count, limit=limit, starts=starts):
            content = document.text[start:end]
            if piece.blocks:
                name = hashlib.sha256(content.encode()).hexdigest()[:16]
            else:
                name = str(piece.page_or_row) if piece.name is None else piece.name
            occurrences[name] = number = occurrences.get(name, 0) + 1
            yield Chunk(
                content=content,
                id=f"{document.id}#{name}" if number == 1 else f"{document.id}#{name}-{number}",
                metadata=piece.metadata,
                document_id=document.id,
                source=document.source,
                page_or_row=piece.page_or_row,
                char_start=start,
                char_end=end,
                context=_context(titles, content, options.context_tokens, count),
            )


def _grouped(pieces: Sequence[Piece], rows: int) -> Iterator[Piece]:
    """Rows joined to groups; other pieces as they are."""
    group: list[Piece] = []
    for piece in pieces:
        if group and (piece.blocks or len(group) == rows):
            yield replace(group[0], char_end=group[-1].char_end, metadata={}, name=None)
            group = []
        if piece.blocks:
            yield piece
        else:
            group.append(piece)
    if group:
        yield replace(group[0], char_end=group[-1].char_end, metadata={}, name=None)


def _titles(document: Document, piece: Piece) -> list[str]:
    """What a piece stands under: the document's title and the headings above it, or the name of the table's file."""
    if piece.blocks:
        title = document.metadata.get("title")
        return [*([str(title)] if title else []), *map(str, piece.metadata.get("headings", ()))]
    return [re.sub(r"[_\W]+", " ", document.source.rsplit("/", 1)[-1].rsplit(".", 1)[0]).strip()]


def _context(titles: Sequence[str], content: str, most: int, count: TokenCount) -> str:
    """The titles that the chunk does not hold itself; the nearest ones where they are too long together."""
    kept = [title for at, title in enumerate(titles) if title and title not in titles[:at] and title not in content]
    while kept and count(" > ".join(kept)) > most:
        kept = kept[1:]
    return " > ".join(kept)


Span: TypeAlias = tuple[int, int]


def split(
    text: str,
    piece: Piece,
    *,
    options: ChunkOptions,
    count: TokenCount,
    limit: int | None = None,
    starts: frozenset[int] = frozenset(),
) -> Iterator[Span]:
    """The spans of a piece's chunks, in order. A row that is too long for one is divided between its lines."""
    if piece.blocks and options.splitter is not None:
        for start, end in _foreign(text, piece, options.splitter):
            if limit is None or measured(text, start, end, limit, count).tokens <= limit:
                yield start, end
            else:
                parts = list(atoms(text, (Block(start, end),), limit, count))
                yield from _join(text, parts, replace(options, size=max(limit, 16), overlap=0), count)
        return
    if piece.blocks and options.by == "tokens":
        yield from windows(
            text, piece.char_start, piece.char_end, size=options.size, overlap=options.overlap, count=count
        )
        return
    if piece.blocks and options.by in ("sentence", "semantic"):
        found = marked(list(sentence_atoms(text, piece.blocks, options.size, count)), starts)
        yield from _join(text, found, options, count)
        return
    blocks = piece.blocks
    if not blocks:
        span = _trim(text, piece.char_start, piece.char_end)
        if span[0] == span[1]:
            return
        if measured(text, *span, options.size, count).tokens <= options.size:
            yield span
            return
        blocks = (Block(*span, "literal"),)
    apart = options.by == "paragraph"
    yield from _join(text, list(atoms(text, blocks, options.size, count, apart=apart)), options, count)


def _foreign(text: str, piece: Piece, splitter: Splitter) -> Iterator[Span]:
    """The spans of another splitter's chunks, each searched from the beginning of the one before (they may overlap)."""
    body = text[piece.char_start : piece.char_end]
    begin = 0
    for part in getattr(splitter, "split_text", splitter)(body):
        wanted = str(getattr(part, "page_content", part)).strip()
        if not wanted:
            continue
        at = body.find(wanted, begin)
        if at < 0:
            raise ConfigError(
                f"the splitter {type(splitter).__name__} gave {wanted!r:.60}, which is no slice of the text after "
                f"position {begin}: use one that cuts and does not rewrite"
            )
        yield piece.char_start + at, piece.char_start + at + len(wanted)
        begin = at + 1


# ------------------------------------------------------------------------------------------------------------- joining


def _join(text: str, parts: Sequence[Atom], options: ChunkOptions, count: TokenCount) -> Iterator[Span]:
    """Fill chunks with atoms, first come first in: where a paragraph changes, the cuts soon fall as before again."""
    at = 0
    previous = -1
    while at < len(parts):
        first = parts[at]
        start = _overlap(text, previous, first.start, options.overlap, count) if first.inner else first.start
        total = first.tokens + (count(text[start : first.start]) if start < first.start else 0)
        if total > options.size:
            start, total = first.start, first.tokens
        upto = at + 1
        while upto < len(parts) and not parts[upto].fresh and total + parts[upto].tokens <= options.size:
            total += parts[upto].tokens
            upto += 1
        # "For example:" goes with its example.
        ends = upto < len(parts) and not parts[upto].fresh and upto - at > 1
        if ends and text[first.start : parts[upto - 1].end].rstrip().endswith(":"):
            upto -= parts[upto - 1].tokens + parts[upto].tokens <= options.size
        # Tokens need not add up exactly over a cut.
        while upto - at > 1 and _tokens(text, start, parts[upto - 1].end, count) > options.size:
            upto -= 1
        if upto - at == 1 and start < first.start and _tokens(text, start, first.end, count) > options.size:
            start = first.start
        span = _trim(text, start, parts[upto - 1].end)
        if span[0] < span[1]:
            yield span
        previous = start
        at = upto


def _overlap(text: str, previous: int, start: int, most: int, count: TokenCount) -> int:
    """Where the last whole sentences before ``start`` begin that hold at most ``most`` tokens; ``start`` if none do."""
    low = max(previous + 1, start - most * MAX_CHARS_PER_TOKEN)
    if not most or low >= start:
        return start
    # The window may begin inside a sentence, so its first span is none.
    for span in sentences.split(text[low:start])[1:]:
        if _tokens(text, low + span.start, start, count) <= most:
            return low + span.start
    return start


def _tokens(text: str, start: int, end: int, count: TokenCount) -> int:
    least = (end - start) // MAX_CHARS_PER_TOKEN
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
