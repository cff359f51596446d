"""Where evidence stands: source texts, units of answer in them, and citations cut from them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from rag_pgvector.answer.defaults import has_no_subject
from rag_pgvector.answer.sentences import Span, split
from rag_pgvector.answer.types import Citation
from rag_pgvector.types import Chunk

__all__ = ["Source", "Unit", "cite", "extend", "head_of", "refers_back", "source_of", "titles_of", "units"]

#: Text read around a chunk, so that a sentence or a code block cut by its border is whole again.
MARGIN = 1_500
#: Code points of a citation's surroundings, on either side.
AROUND = 160
#: Longest code block or list that is taken into an answer.
LONGEST_BLOCK = 1_500
#: Longest text, in code points, that is read for one chunk.
LONGEST_WINDOW = 20_000

_PRONOUN = re.compile(
    r"[\"'“(]*(?:He|She|It|They|This|These|Those|That|Its|His|Her|Their|Such|Both|The (?:latter|former)|"
    r"Ia|Dia|Mereka|Ini|Itu|Beliau|Hal ini)\b"
)
#: What takes its meaning from the sentence before: when, in which case, or what is done.
_BACK = re.compile(
    r"[\"'“(*_]*(?:Afterwards?|Thereafter|(?:After|Before) (?:that|this)|Until then|Since then|From then on|Otherwise|"
    r"In (?:that|this|such a|either|both) cases?|If (?:so|not)|(?:Selepas|Setelah|Sesudah|Sebelum) itu|Jika tidak|"
    r"Sekiranya tidak|Dalam (?:hal|kes) (?:ini|itu|demikian))\b"
    r"|[^\n.!?]{1,60}\b(?:do|does|did) (?:so|likewise|the same)\b"
)

#: A heading that may be evidence: it has a year, a date or a version.
_NUMBERED = re.compile(r"\d\.\d|(?<!\d)(?:1\d|20)\d\d(?!\d)")

_FENCES = re.compile(r"^[ \t]*(`{3,})", re.MULTILINE)
#: A question in a list of questions.
_ASKED = re.compile(r"[*_]*(?:Q|Question|Soalan|Pertanyaan)\s?\d*\s?[.:)]")
#: A short line that ends no sentence, and how far the next one is indented.
_TERM = re.compile(r"([^\n]{1,70}[^\s.!?,;:])[ \t]*\n([ \t]+)(?=\S)")
_PARAMETER = re.compile(r":(?:param|parameter|arg|argument|keyword) (?:[^\s:]+ )?(\w+):")


@dataclass(frozen=True, slots=True)
class Source:
    """A text that spans refer to: a document's stored text, or (``doc_id`` None) the content of one chunk.

    ``start`` and ``end`` are the chunk's own place in it; ``titles`` is what the chunk stands under, outermost first.
    """

    text: str
    doc_id: str | None
    start: int
    end: int
    stale: bool = False
    titles: tuple[str, ...] = ()


def source_of(chunk: Chunk, texts: Mapping[str, str]) -> Source:
    """The stored text of the chunk's document if the chunk stands in it where it says, else the chunk itself."""
    text = texts.get(chunk.document_id) if chunk.document_id is not None else None
    start, end = chunk.char_start, chunk.char_end
    titles = _titles(chunk)
    if text and start is not None and end is not None and text[start:end] == chunk.content:
        return Source(text, chunk.document_id, start, end, titles=titles)
    return Source(chunk.content, None, 0, len(chunk.content), stale=bool(text), titles=titles)


def _titles(chunk: Chunk) -> tuple[str, ...]:
    """The document's title and the headings above the chunk, where the loader stored them (``ingest`` does)."""
    stored = [chunk.metadata.get("title"), *_strings(chunk.metadata.get("headings"))]
    return tuple(dict.fromkeys(title.strip() for title in stored if isinstance(title, str) and title.strip()))


def _strings(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, (list, tuple)) else []


@dataclass(frozen=True, slots=True)
class Unit:
    """What can be an answer: a sentence, a list item, a row of a table, or a block of code with its introduction; or a
    heading that says a number, since the date or version of what stands under it may stand nowhere else.

    Attributes:
        heading: The heading that it stands under in the text at hand, ``""`` for none.
        titled: Where that stands, and the headings above it, the nearest first.
        path: That, and the titles above it, outermost first.
        is_head: Whether it is the first row of a table, which names the others' columns.
        head: Where that stands; for a row that is not it.
        lead: For an item or a row, the sentence that introduces the list, and the head of the table; for a default
            without a subject, and for what refers back, the sentence before it.
    """

    start: int
    end: int
    spans: tuple[Span, ...]
    heading: str
    path: tuple[str, ...] = ()
    lead: str = ""
    titled: tuple[tuple[int, int], ...] = ()
    is_head: bool = False
    head: tuple[int, int] | None = None

    @property
    def is_heading(self) -> bool:
        return self.spans[0].kind == "heading"

    @property
    def is_row(self) -> bool:
        return self.spans[0].kind == "row"

    @property
    def has_code(self) -> bool:
        return any(span.kind == "code" for span in self.spans)

    @property
    def context(self) -> str:
        """What a reader of the page sees above it."""
        return "\n".join([*self.path, *([self.lead] if self.lead else [])])


def units(source: Source) -> list[Unit]:
    """The units that begin inside the chunk, each whole even where the chunk cuts it."""
    low = max(0, source.start - MARGIN)
    high = min(len(source.text), max(source.end, source.start + 1) + MARGIN, source.start + LONGEST_WINDOW)
    if low:  # begin at a paragraph, so that the first sentence is one
        paragraph = source.text.find("\n\n", low, source.start)
        low = _outside_of_code(source.text, paragraph + 2 if paragraph >= 0 else source.start)
    spans = [Span(span.start + low, span.end + low, span.kind, span.block) for span in split(source.text[low:high])]
    found: list[Unit] = []
    heading = lead = head = question = ""
    head_at = (0, 0)
    term, depth = "", -1
    opened: list[tuple[int, int, int]] = []
    before: Span | None = None
    at = 0
    while at < len(spans):
        span = _as_titled(source, spans[at])
        if span.kind == "heading":
            heading, lead, question, term = source.text[span.start : span.end], "", "", ""
            level = _level(source, heading)
            shown = _title(heading)
            begin = span.start + heading.index(shown)
            opened = [each for each in opened if each[0] < level] + [(level, begin, begin + len(shown))]
            if _NUMBERED.search(title := _bare(heading)):
                path = tuple(each for each in source.titles if each != title)
                found.append(Unit(span.start, span.end, (span,), "", path))
        elif span.kind in ("sentence", "item") and _is_question(source.text, spans, at):
            question, lead = source.text[span.start : span.end], ""
        elif span.kind != "markup":
            if before is None or before.block != span.block:
                if term and _column(source.text, span.start) <= depth:
                    term = ""
                if defined := _defines(source.text, span):
                    term, depth = defined, _column(source.text, span.start)
            if span.kind == "row" and (before is None or before.kind != "row" or before.block != span.block):
                head, head_at = source.text[span.start : span.end], (span.start, span.end)
            taken = [span]
            if span.kind != "code" and _introduces(source.text, spans, at):
                taken.append(spans[at + 1])
                at += 1
            start, end = span.start, taken[-1].end
            above = lead if span.kind in ("item", "row") else ""
            refers = has_no_subject(source.text, start) or _BACK.match(source.text, start, end)
            if before is not None and before.block == span.block and refers:
                above = f"{above}\n{source.text[before.start : before.end]}".strip()
            if span.kind == "row" and source.text[start:end] != head:
                above = f"{above}\n{head}".strip()
            if term and not source.text.startswith(term, start):
                above = f"{term}\n{above}".strip()
            if question:
                above = f"{question}\n{above}".strip()
            path = (*source.titles, *([title] if (title := _bare(heading)) and title not in source.titles else []))
            titled = tuple((each[1], each[2]) for each in reversed(opened))
            is_head = span.kind == "row" and source.text[start:end] == head
            below = head_at if span.kind == "row" and not is_head else None
            found.append(Unit(start, end, tuple(taken), heading, path, above, titled, is_head, below))
            if span.kind == "sentence":
                lead = source.text[start:end] if source.text[end - 1] == ":" else ""
        before = span
        at += 1
    return [unit for unit in found if unit.end > source.start and unit.start < source.end]


def _outside_of_code(text: str, place: int) -> int:
    """The place, or where the block of code in fences begins that it stands in (or ends, if that begins far before)."""
    opened: tuple[int, str] | None = None
    for match in _FENCES.finditer(text, 0, place):
        if opened is None:
            opened = (match.start(), match.group(1))
        elif match.group(1).startswith(opened[1]):
            opened = None
    if opened is None:
        return place
    if place - opened[0] <= MARGIN:
        return opened[0]
    closing = text.find(f"\n{opened[1]}", place - 1)
    return closing + 1 + len(opened[1]) if closing >= 0 else place


def _is_question(text: str, spans: list[Span], at: int) -> bool:
    """True for a question that stands alone or begins with "Q:", as in lists of them: what follows answers it."""
    span = spans[at]
    if not text[span.start : span.end].rstrip("*_`\"')”’").endswith("?"):
        return False
    if _ASKED.match(text, span.start):
        return True
    begins = at == 0 or spans[at - 1].block != span.block
    return begins and (at + 1 == len(spans) or spans[at + 1].block != span.block)


def _column(text: str, place: int) -> int:
    """How far a line is indented whose first character stands at a place."""
    return place - (text.rfind("\n", 0, place) + 1)


def _indent(text: str, place: int) -> int:
    """The indentation of the line that a place stands in."""
    begin = text.rfind("\n", 0, place) + 1
    return len(text[begin:place]) - len(text[begin:place].lstrip())


def _defines(text: str, span: Span) -> str:
    """The term that an entry of a list of definitions begins with: a short line above a deeper one. ``""`` for none."""
    if span.kind != "sentence" or not (match := _TERM.match(text, span.start, span.end)):
        return ""
    deeper = len(match.group(2).expandtabs(8)) > _column(text, span.start)
    return match.group(1).strip() if deeper else ""


def titles_of(source: Source, unit: Unit) -> list[tuple[int, int]]:
    """Where the headings of a unit stand that may be shown: inside of the chunk, or named in its metadata. The nearest
    comes first."""
    return [
        (start, end)
        for start, end in unit.titled
        if (source.start <= start and end <= source.end) or _bare(source.text[start:end]) in source.titles
    ]


def refers_back(source: Source, before: Unit, unit: Unit) -> bool:
    """Whether a unit of the same paragraph takes its meaning from the one before."""
    return unit.spans[0].block == before.spans[-1].block and _BACK.match(source.text, unit.start, unit.end) is not None


def head_of(source: Source, unit: Unit) -> tuple[int, int] | None:
    """Where the head of a row's table stands, if it may be shown: inside of the chunk."""
    return unit.head if unit.head and source.start <= unit.head[0] and unit.head[1] <= source.end else None


def _as_titled(source: Source, span: Span) -> Span:
    """The span, as a heading where it is a line that the loader stored as one: extracted text has no markup."""
    if span.kind not in ("sentence", "item"):
        return span
    start = source.text.rfind("\n", 0, span.start) + 1
    return Span(start, span.end, "heading", span.block) if source.text[start : span.end] in source.titles else span


def _level(source: Source, heading: str) -> int:
    """How deep a heading is: by its markup, else by its place among the chunk's."""
    if marks := re.match(r"[ \t]*(#+|(?:= ?)+)", heading):
        return len(marks.group(1).replace(" ", ""))
    if (title := _bare(heading)) in source.titles:
        return source.titles.index(title) + 1
    return 1


def _bare(heading: str) -> str:
    """A heading without its markup."""
    lines = [line for line in heading.splitlines() if re.search(r"[^\W_]", line)]
    return " ".join(lines).strip(" \t#=")


def _title(heading: str) -> str:
    """The line of a heading that says something, without the marks of its level."""
    lines = [line for line in heading.splitlines() if re.search(r"[^\W_]", line)]
    return lines[0].strip(" \t#=") if lines else heading


def _introduces(text: str, spans: list[Span], at: int) -> bool:
    """True where a sentence is followed by its code: it ends in a colon, or stands alone before the block."""
    if at + 1 >= len(spans) or spans[at + 1].kind != "code":
        return False
    if spans[at + 1].end - spans[at + 1].start > LONGEST_BLOCK:
        return False
    alone = at == 0 or spans[at - 1].block != spans[at].block
    return alone or text[spans[at].end - 1] == ":"


def extend(source: Source, all_units: list[Unit], unit: Unit) -> tuple[int, int]:
    """The unit's span, with its neighbour where it cannot be understood alone.

    The sentence before one that begins with a pronoun, refers back, or says a default and not whose; the list after one
    that ends in a colon; the type and default of a parameter, where a description in reStructuredText names them in a
    field of their own.
    """
    start, end = unit.start, unit.end
    at = all_units.index(unit)
    first = unit.spans[0]
    unclear = first.kind == "sentence" and _PRONOUN.match(source.text, start)
    if at and (unclear or _BACK.match(source.text, start, end) or has_no_subject(source.text, start)):
        before = all_units[at - 1]
        if before.spans[-1].block == first.block and not before.has_code:
            start = before.start
    if at + 1 < len(all_units):
        goes_on = all_units[at + 1]
        listing = goes_on.spans[0].block == unit.spans[-1].block and source.text[goes_on.end - 1] == ":"
        if listing and _PRONOUN.match(source.text, goes_on.start) and goes_on.end - end <= AROUND:
            end, at = goes_on.end, at + 1  # "... are deprecated. These are:"
    if source.text[end - 1] == ":":
        indent = _indent(source.text, unit.start)
        for following in all_units[at + 1 :]:
            deeper = _column(source.text, following.start) > indent
            if following.spans[0].kind not in ("item", "row", "code") and not deeper:
                break
            if following.heading != unit.heading or following.end - end > LONGEST_BLOCK:
                break
            end = following.end
    if parameter := _PARAMETER.match(source.text, start):
        upto = max(source.end, end)
        type_ = re.compile(rf"\n[ \t]*:type {re.escape(parameter.group(1))}:[^\n]*").search(source.text, start, upto)
        if type_ and type_.end() > end and not _PARAMETER.search(source.text, start + 1, type_.start()):
            end = type_.end() - (source.text[type_.end() - 1] == "\r")
    return start, end


def cite(
    chunk: Chunk,
    source: Source,
    start: int,
    end: int,
    *,
    score: float | None = None,
    answer_span: tuple[int, int] | None = None,
    columns: tuple[str, ...] | None = None,
) -> Citation:
    """A citation whose snippet is cut from the source here and nowhere else.

    Its surroundings stay inside of the chunk: a filter may have hidden the one beside it.
    """
    before = source.text[max(source.start, start - AROUND) : start] if start > source.start else ""
    after = source.text[end : min(source.end, end + AROUND)] if source.start <= end < source.end else ""
    return Citation(
        source=chunk.source or chunk.document_id or chunk.id or "",
        snippet=source.text[start:end],
        page_or_row=chunk.page_or_row,
        char_start=start,
        char_end=end,
        chunk_id=chunk.id or "",
        doc_id=source.doc_id,
        content_sha256=hashlib.sha256(source.text.encode("utf-8", "surrogatepass")).hexdigest(),
        answer_start=answer_span[0] if answer_span else None,
        answer_end=answer_span[1] if answer_span else None,
        retrieval_score=score,
        columns=columns,
        before=before,
        after=after,
    )
