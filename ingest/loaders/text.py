"""Plain text, Markdown and reStructuredText. The stored text is the decoded file, line ends included.

Of the two markups only what chunking needs is read: titles (their path goes into each chunk's metadata as "headings")
and blocks of code, which hold blank lines and are still one thing. Markdown by CommonMark's rules for ATX and setext
headings and fenced code; reStructuredText by docutils' rules for section titles, literal blocks and code directives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag_pgvector.errors import LoadError
from rag_pgvector.ingest.loaders import Block, LoadedDocument, Piece, SourceFile
from rag_pgvector.ingest.loaders.encoding import read_text
from rag_pgvector.ingest.loaders.parts import Part, sections
from rag_pgvector.types import Document

__all__ = ["MarkdownLoader", "RstLoader", "TextLoader", "UnknownLoader", "divided"]


class TextLoader:
    """Plain text: paragraphs divided by blank lines."""

    name = "text"
    version = 1

    def load(self, file: SourceFile) -> Iterator[LoadedDocument]:
        """One document; its pieces are the sections under its headings."""
        text, codec = read_text(file.path, file.source)
        document = Document(
            id=file.document_id,
            source=file.source,
            text=text,
            loader=self.name,
            metadata={"encoding": codec},
            content_hash=file.content_hash,
        )
        yield LoadedDocument(document=document, pieces=sections(list(self._parts(text))))

    def _parts(self, text: str) -> Iterator[Part]:
        return _paragraphs(_lines(text))


def divided(text: str) -> list[Piece]:
    """The sections of a text that came without a file: by Markdown's headings, which plain text does not have."""
    return sections(list(_markdown(_lines(text))))


class MarkdownLoader(TextLoader):
    name = "markdown"

    def _parts(self, text: str) -> Iterator[Part]:
        return _markdown(_lines(text))


class RstLoader(TextLoader):
    name = "rst"

    def _parts(self, text: str) -> Iterator[Part]:
        return _rst(_lines(text))


class UnknownLoader(TextLoader):
    """A file whose suffix has no loader: taken as plain text if it is text."""

    def load(self, file: SourceFile) -> Iterator[LoadedDocument]:
        """As TextLoader does. Raises LoadError naming the suffix for what is not text."""
        try:
            yield from super().load(file)
        except LoadError as error:
            reason = f"no loader for {file.path.suffix}, and as text: {error.reason}"
            raise LoadError(file.source, reason, error.where) from None


# ---------------------------------------------------------------------------------------------------- lines and parts


@dataclass(frozen=True, slots=True)
class _Line:
    start: int
    end: int
    text: str

    @property
    def blank(self) -> bool:
        return not self.text or self.text.isspace()

    @property
    def indent(self) -> int:
        expanded = self.text.expandtabs(8)
        return len(expanded) - len(expanded.lstrip(" "))


_LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|\Z)")


def _lines(text: str) -> list[_Line]:
    """Lines without their ends. Only CR, LF and CRLF end a line, unlike in str.splitlines."""
    return [_Line(found.start(), found.end(1), found[1]) for found in _LINE.finditer(text) if found[0]]


def _part(lines: list[_Line], *, literal: bool = False, keep: bool = False, title: str = "", level: int = 0) -> Part:
    block = Block(lines[0].start, lines[-1].end, "literal" if literal else "prose", keep)
    return Part(block, title, level)


def _paragraphs(lines: list[_Line]) -> Iterator[Part]:
    pending: list[_Line] = []
    for line in lines:
        if not line.blank:
            pending.append(line)
        elif pending:
            yield _part(pending)
            pending = []
    if pending:
        yield _part(pending)


# ----------------------------------------------------------------------------------------------------------- Markdown

_FENCE = re.compile(r"\s*(?:(?:[-*+]|[0-9]{1,9}[.)]|>)\s+)*(`{3,}(?=[^`]*$)|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_NOT_A_TITLE = re.compile(r"\s*(?:[-*+>|]|[0-9]{1,9}[.)])\s|\s*\|")


def _markdown(lines: list[_Line]) -> Iterator[Part]:
    at = _front_matter(lines)
    if at:
        yield _part(lines[:at], literal=True)
    pending: list[_Line] = []
    while at < len(lines):
        line = lines[at]
        upto = at + 1
        part = None
        if fence := _FENCE.match(line.text):
            upto = _fence_end(lines, at, fence.group(1))
            part = _part(lines[at:upto], literal=True)
        elif atx := _ATX.match(line.text):
            part = _part([line], keep=True, title=(atx.group(2) or "").strip(), level=len(atx.group(1)))
        elif pending and (under := _SETEXT.match(line.text)) and not _NOT_A_TITLE.match(pending[0].text):
            title = " ".join(above.text.strip() for above in pending)
            part = _part([*pending, line], keep=True, title=title, level=1 if under.group(1)[0] == "=" else 2)
            pending = []
        elif not line.blank:
            pending.append(line)
        if pending and (part or line.blank):
            yield _part(pending)
            pending = []
        if part:
            yield part
        at = upto
    if pending:
        yield _part(pending)


def _front_matter(lines: list[_Line]) -> int:
    """How many lines a YAML header at the top of a Markdown file takes."""
    if lines and lines[0].text.rstrip() == "---":
        for at, line in enumerate(lines[1:200], start=1):
            if line.text.rstrip() in ("---", "..."):
                return at + 1
            if line.blank:
                break
    return 0


def _fence_end(lines: list[_Line], at: int, fence: str) -> int:
    """The line after a fenced block; an unclosed one reaches to the end of the file."""
    closing = re.compile(rf"[\s>]*{re.escape(fence[0])}{{{len(fence)},}}\s*$")
    for upto in range(at + 1, len(lines)):
        if closing.match(lines[upto].text):
            return upto + 1
    last = len(lines)
    while lines[last - 1].blank:
        last -= 1
    return last


# ---------------------------------------------------------------------------------------------------- reStructuredText

_RULE = re.compile(r"([!-/:-@\[-`{-~])\1*[ \t]*$")
_LITERAL_DIRECTIVE = re.compile(
    r"\s*\.\. (?:code|code-block|sourcecode|parsed-literal|literalinclude|math|raw|doctest|testcode|testoutput|ipython|"
    r"productionlist|csv-table|graphviz|table)::"
)
#: Markup that says something of what follows.
_LABEL = re.compile(r"\s*\.\. (?:_(?!_)|(?:index|currentmodule|module|py:module|highlight|role|default-role)::)")
_EXPLICIT = re.compile(r"\s*(?:\.\. \S|\.\.\s*$|__ )")


def _rst(lines: list[_Line]) -> Iterator[Part]:
    styles: list[tuple[str, bool]] = []

    def title_part(block: list[_Line], title: str, style: tuple[str, bool]) -> Part:
        if style not in styles:
            styles.append(style)
        return _part(block, keep=True, title=title.strip(), level=styles.index(style) + 1)

    at = 0
    while at < len(lines):
        line = lines[at]
        if line.blank:
            at += 1
            continue
        following = lines[at + 1].text if at + 1 < len(lines) else ""
        if _overlined([line.text for line in lines[at : at + 3]]):
            yield title_part(lines[at : at + 3], following, (line.text[0], True))
            at += 3
            continue
        if line.indent == 0 and _underlines(following, line.text):
            yield title_part(lines[at : at + 2], line.text, (following[0], False))
            at += 2
            continue
        if _LITERAL_DIRECTIVE.match(line.text):
            upto = _indented_end(lines, at + 1, line.indent)
            yield _part(lines[at:upto], literal=True)
            at = upto
            continue
        upto = at + 1
        while upto < len(lines) and not lines[upto].blank:
            upto += 1
        paragraph = lines[at:upto]
        body = _next_text(lines, upto)
        explicit = bool(_EXPLICIT.match(line.text))
        deeper = body < len(lines) and lines[body].indent > line.indent
        # A directive's marker belongs to its body, and a link target to what follows.
        keep = explicit and (deeper or bool(_LABEL.match(line.text)))
        yield _part(paragraph, keep=keep, literal=line.text.lstrip().startswith(">>>"))
        if paragraph[-1].text.rstrip().endswith("::") and deeper and not explicit:
            upto = _indented_end(lines, body, line.indent)
            yield _part(lines[body:upto], literal=True)
        at = upto


def _overlined(lines: list[str]) -> bool:
    """True for a title between two equal rules."""
    if len(lines) < 3 or not _RULE.match(lines[0]) or _RULE.match(lines[1]) or not lines[1].strip():
        return False
    return len(lines[0].rstrip()) > 1 and lines[0].rstrip() == lines[2].rstrip()


def _underlines(rule: str, title: str) -> bool:
    """True where ``rule`` makes a section title of the line above it."""
    if not _RULE.match(rule) or rule.rstrip() in ("::", "..") or _RULE.match(title):
        return False
    return len(rule.rstrip()) >= min(len(title.rstrip()), 4)


def _next_text(lines: list[_Line], at: int) -> int:
    while at < len(lines) and lines[at].blank:
        at += 1
    return at


def _indented_end(lines: list[_Line], at: int, indent: int) -> int:
    """The line after the block that is indented deeper than ``indent``, blank lines inside it included."""
    upto = at
    while at < len(lines) and (lines[at].blank or lines[at].indent > indent):
        at += 1
        if not lines[at - 1].blank:
            upto = at
    return upto
