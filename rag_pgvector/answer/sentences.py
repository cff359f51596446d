"""Sentences with their exact place in a text.

Plain prose, Markdown and reStructuredText: a heading, a list item's sentences, a table's row and a block of code are
spans of their own. ``text[span.start:span.end]`` is the sentence; nothing is normalised, so a slice is a quotation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

__all__ = ["Kind", "Span", "split"]

Kind = Literal["sentence", "heading", "item", "row", "code", "markup"]


@dataclass(frozen=True, slots=True)
class Span:
    """One sentence, or one block that is not prose. ``block`` numbers the block it stands in."""

    start: int
    end: int
    kind: Kind
    block: int


_ABBREVIATIONS = frozenset(
    """
    adj al approx art assoc ave capt cf ch chap co col corp dept dr ed eds eq eqs esp est etc ex fig figs gen gov
    hon inc jan feb mar apr jun jul aug sep sept oct nov dec jr lt ltd maj messrs mr mrs ms mt no nos op ph pp prof
    pt rep rev sec sen sgt sr st tab univ viz vol vols vs dll dsb dst hlm jl no tn ny sdn bhd
    """.split()
)
_FINAL_ABBREVIATIONS = frozenset({"etc", "inc", "ltd", "co", "corp", "al", "dll", "bhd", "dsb", "est"})
_END = re.compile(r"[.!?…]+[\"'”’»)\]*_`]*(?=\s)|[。！？｡]+[」』）”]*")
_OPENER = re.compile(r"[\"'“‘«(\[*_`:<~!¿¡]*([^\W_]|\d|[$€£¥%#@/\\{|\-–—])")
_BEGINNER = re.compile(r"(?:The|In|It|This|These|A|An|On|He|She|They|For|At|But|However)\b")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
#: Of Markdown, and of MediaWiki: "== History ==".
_HEADING = re.compile(r"[ \t]{0,3}(?:#{1,6}[ \t]+\S|(?:= ?){1,6}(?!=)[ \t]*[^=\n]*[^\s=][ \t]*(?:= ?){1,6}[ \t]*$)")
_UNDERLINE = re.compile(r"[ \t]{0,3}([=\-~^\"'`#*+.:_])\1{2,}[ \t]*$")
_ROMAN = r"(?=[ivxIVX])(?:x{0,3}(?:ix|iv|v?i{0,3})|X{0,3}(?:IX|IV|V?I{0,3}))"
_ITEM = re.compile(rf"[ \t]*(?:[-*+•‣]|\(?(?:\d{{1,3}}|[a-zA-Z]|{_ROMAN})[.)])[ \t]+(?=\S)")
_MARKER = re.compile(r"[ \t]*(?:\d{1,3}|[a-zA-Z])[.)]")
_ROW = re.compile(r"[ \t]*[|+].*[|+][ \t]*$")
#: A row as the loaders of PDF, DOCX and HTML write it: bars between cells, and at an end only beside an empty one.
_CELLS = re.compile(r"[ \t]*(?:\| +)*[^\s|].* \|(?: .*|$)|[ \t]*(?:\| +)+[^\s|].*")
_RULE = re.compile(r"[\s|+\-=:_]*")
#: Between two cells of a table that is laid out by spaces, tabs or dotted lines.
_GAP = re.compile(r"(?<=\S)(?:[ \t]*\t[ \t]*|[ \t]{2,}|[ \t]*(?:\.[ \t]?){3,})(?=\S)")
_DIRECTIVE = re.compile(r"[ \t]*(?:\.\. (?!\[)|:[\w\-]+:[ \t]|\.\.$|__[ \t])")
_CODE_DIRECTIVE = re.compile(r"[ \t]*\.\. (?:code|code-block|sourcecode|literalinclude|parsed-literal)::")
#: Pictures, badges (links that show nothing else), substitutions in reStructuredText, and links inside of the page.
_PICTURES = re.compile(
    r"!\[[^\]\n]*\](?:\([^)\n]*\)|\[[^\]\n]*\])|\[\s*\](?:\([^)\n]*\)|\[[^\]\n]*\])|\[[^\]\n]*\]\(#[^)\n]*\)"
)
_SUBSTITUTIONS = re.compile(r"[ \t]*(?:\|[^|\s][^|\n]*\|_{0,2}[ \t]*)+$")
_TAG = re.compile(r"[ \t]*</?[a-zA-Z!][^>\n]*>[ \t]*$")
#: Bold words that stand before their sentence: "**Change streams.** Clients can subscribe."
_RUN_IN = re.compile(r"[ \t]*(\*\*|__)[^*_\n]{1,80}\1\s*")
#: The initial of a name, which looks like the letter of a list's item: "D. Tan".
_INITIAL = re.compile(r"[ \t]*[A-Z]\.[ \t]+[A-Z][a-z]")
_LEADERS = re.compile(r"(?:\.[ \t]?){3,}")
#: What an indented line is code by.
_PROGRAM = re.compile(r"[={}\[\]#<>;$\\~`]|\w\(|(?<!\w)--?\w|\w/\w|://")
_LONGEST_TABLE = 200
#: Three lines of two cells, or two of three.
_LEAST_FILLED = 6
#: Longest line in capitals that is a heading.
_LONGEST_TITLE = 80


def split(text: str) -> list[Span]:
    """The spans of a text in order. They do not overlap; white space between them belongs to none."""
    return list(_spans(text))


@dataclass(slots=True)
class _Line:
    start: int
    end: int
    text: str

    @property
    def indent(self) -> int:
        expanded = self.text.expandtabs(4)
        return len(expanded) - len(expanded.lstrip())

    @property
    def blank(self) -> bool:
        return not self.text.strip()


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    start = 0
    for piece in text.split("\n"):
        lines.append(_Line(start, start + len(piece), piece.rstrip("\r")))
        start += len(piece) + 1
    return lines


def _spans(text: str) -> Iterator[Span]:
    lines = _lines(text)
    block = 0
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.blank:
            at += 1
            continue
        block += 1
        kind, upto = _block(lines, at)
        first, last = line.start, lines[upto - 1].end
        if kind in ("code", "heading", "markup"):
            yield from _trimmed(text, first, last, kind, block, keep_indent=kind == "code")
        elif kind == "row":
            for row in _rows(lines[at:upto]):
                yield from _trimmed(text, *row, "row", block)
        else:
            marker = (
                _ITEM.match(text, first, last) if kind == "item" and not _INITIAL.match(text, first, last) else None
            )
            yield from _sentences(text, marker.end() if marker else first, last, kind, block)
        at = upto


def _rows(lines: list[_Line]) -> Iterator[tuple[int, int]]:
    """Where each row of a table stands. One that is laid out by spaces may go on below, its first cell empty."""
    begin = end = -1
    base = min(line.indent for line in lines)
    for line in lines:
        if _RULE.fullmatch(line.text):
            continue
        if begin >= 0 and "|" not in line.text and line.indent > base + 1:
            end = line.end
            continue
        if begin >= 0:
            yield begin, end
        begin, end = line.start, line.end
    if begin >= 0:
        yield begin, end


def _block(lines: list[_Line], at: int) -> tuple[Kind, int]:
    """The kind of the block that starts at a line, and the line after it."""
    line = lines[at]
    if fence := _FENCE.match(line.text):
        upto = at + 1
        closing = fence.group(1)
        while upto < len(lines) and not lines[upto].text.strip().startswith(closing):
            upto += 1
        return "code", min(upto + 1, len(lines))
    if _HEADING.match(line.text) or _in_capitals(lines, at):
        return "heading", at + 1
    if (upto := _aligned_end(lines, at)) > at:
        return "row", upto
    following = lines[at + 1] if at + 1 < len(lines) else None
    if _UNDERLINE.match(line.text):
        if (
            at + 2 < len(lines)
            and following
            and not following.blank
            and lines[at + 2].text.strip() == line.text.strip()
        ):
            return "heading", at + 3  # over- and underlined
        return "markup", at + 1
    if following and _UNDERLINE.match(following.text) and not _ROW.match(following.text) and len(line.text) <= 120:
        return "heading", at + 2
    if _literal(lines, at):
        return "code", _indented(lines, at, line.indent)
    if _CODE_DIRECTIVE.match(line.text):
        # The options of the directive and its body are one block with it.
        body = at + 1
        while body < len(lines) and lines[body].blank:
            body += 1
        if body < len(lines) and lines[body].indent > line.indent:
            return "code", _indented(lines, body, line.indent + 1)
        return "markup", at + 1
    if _says_nothing(line.text):
        return "markup", at + 1
    if _ROW.match(line.text) and line.text.count("|") + line.text.count("+") >= 2:
        upto = at + 1
        while upto < len(lines) and _ROW.match(lines[upto].text):
            upto += 1
        return "row", upto
    if _CELLS.match(line.text) and (upto := _table_end(lines, at)) > at + 1:
        return "row", upto
    kind: Kind = "item" if _ITEM.match(line.text) else "sentence"
    upto = at + 1
    while upto < len(lines) and not _starts_block(lines, upto):
        upto += 1
    return kind, upto


def _in_capitals(lines: list[_Line], at: int) -> bool:
    """True for a heading of plain text: a short line in capitals that begins a paragraph and ends no sentence."""
    line = lines[at].text.strip()
    if not _capitals(line) or len(line) > _LONGEST_TITLE or line[-1] in ".!?:;,|" or _FENCE.match(line):
        return False
    begins = at == 0 or lines[at - 1].blank
    return begins and not (
        at + 1 < len(lines) and (_capitals(lines[at + 1].text) or _UNDERLINE.match(lines[at + 1].text))
    )


def _capitals(line: str) -> bool:
    return line.isupper() and bool(re.search(r"[^\W\d_]{2}.*[^\W\d_]{2}", line))


def _table_end(lines: list[_Line], at: int) -> int:
    """The line after a paragraph of nothing but rows; ``at`` where it is none."""
    upto = at
    while upto < len(lines) and not lines[upto].blank:
        if not _CELLS.match(lines[upto].text):
            return at
        upto += 1
    return upto


def _starts_block(lines: list[_Line], at: int) -> bool:
    line = lines[at]
    if line.blank or _FENCE.match(line.text) or _HEADING.match(line.text) or _ITEM.match(line.text):
        return True
    if _ROW.match(line.text) and line.text.lstrip().startswith("|"):
        return True
    return _says_nothing(line.text) or _aligned_end(lines, at) > at


def _aligned_end(lines: list[_Line], at: int) -> int:
    """The line after a table that is laid out by spaces; ``at`` where there is none.

    Lines of two cells and more with a gutter that runs through all of them; at least three such lines, or two of three
    cells. A line of which only further cells are filled goes on with the one above, but for a head.
    """
    first = lines[at].text.strip()
    if not _GAP.search(first) and not (_RULE.fullmatch(first) and " " in first):
        return at
    upto, filled, width, base = 0, 0, 0, lines[at].indent
    gutters: set[int] = set()
    for line in lines[at : at + _LONGEST_TABLE]:
        text = line.text.expandtabs(8).rstrip()
        if not text or (_ITEM.match(text) and not _INITIAL.match(text)) or "|" in text or text[0] == ">":
            break
        if lines[at].indent and line.indent and _PROGRAM.search(text):
            break
        if _RULE.fullmatch(text):
            upto += 1
            continue
        indent = len(text) - len(text.lstrip())
        # A head often has nothing above the first column.
        cells = (
            max(len(_GAP.findall(line.text.strip())), line.text.strip().count("\t")) + 1 + (not width and indent > 1)
        )
        if cells < 2 and not (width and indent > base + 1):
            break
        base = min(base, indent)
        left = {place for place, char in enumerate(_LEADERS.sub(_spaces, text)) if char == " "}
        if gutters:  # a line that is shorter than the others leaves their gutters alone
            long = {place for place in left if place >= width}
            left = (gutters & left) | {place for place in gutters if place >= len(text)} | long
        if not _has_gutter(left, min(len(text), width or len(text))):
            break
        gutters, width = left, max(width, len(text))
        filled += (cells > 2 or "..." in text) + 2 * (cells > 1)
        upto += 1
    return at + upto if filled >= _LEAST_FILLED else at


def _spaces(found: re.Match[str]) -> str:
    return " " * len(found.group())


def _has_gutter(blank: set[int], width: int) -> bool:
    """Whether two blank columns stand side by side, text before and behind them."""
    return any(place in blank and place + 1 in blank for place in range(1, width - 1))


def _says_nothing(line: str) -> bool:
    """True for a line of markup: a directive, a tag, or nothing but pictures, badges and links inside of the page."""
    if _DIRECTIVE.match(line) or _TAG.match(line):
        return True
    if "|" in line and _SUBSTITUTIONS.match(line):
        return True
    if "](" not in line and "][" not in line:
        return False
    bare = line
    while (fewer := _PICTURES.sub("", bare)) != bare:
        bare = fewer
    return bare != line and not re.search(r"[^\W_]", _MARKER.sub("", bare))


def _literal(lines: list[_Line], at: int) -> bool:
    """True where an indented line is code: after a paragraph that ends in a colon, or by Markdown's four spaces."""
    indent = lines[at].indent
    if indent == 0 or _ITEM.match(lines[at].text):
        return False
    before = at - 1
    while before >= 0 and lines[before].blank:
        before -= 1
    if before < 0 or before == at - 1:
        return False
    introducer = lines[before]
    if _DIRECTIVE.match(introducer.text):
        return False  # the body of a note is prose
    if introducer.text.rstrip().endswith("::") and indent > introducer.indent:
        return True
    # A list item's further paragraphs are indented too: they are prose.
    back = before
    while back >= 0 and not lines[back].blank:
        if _ITEM.match(lines[back].text) or _DIRECTIVE.match(lines[back].text):
            return False
        back -= 1
    return indent >= 4 and introducer.indent < 4


def _indented(lines: list[_Line], at: int, indent: int) -> int:
    upto = last = at
    while upto < len(lines) and (lines[upto].blank or lines[upto].indent >= max(indent, 1)):
        if not lines[upto].blank:
            last = upto
        upto += 1
    return last + 1


def _trimmed(text: str, start: int, end: int, kind: Kind, block: int, *, keep_indent: bool = False) -> Iterator[Span]:
    while end > start and text[end - 1].isspace():
        end -= 1
    while start < end and text[start].isspace() and not (keep_indent and text[start] in " \t"):
        start += 1
    if start < end:
        yield Span(start, end, kind, block)


def _sentences(text: str, start: int, end: int, kind: Kind, block: int) -> Iterator[Span]:
    begin = start
    for match in _END.finditer(text, start, end):
        stop = match.end()
        if match.group()[0] not in "。！？｡" and not _ends(text, begin, match.start(), stop, end):
            continue
        if text.count("`", begin, stop) % 2:
            continue  # inside inline code
        if _RUN_IN.fullmatch(text, begin, stop):
            continue  # it names what its sentence is about
        yield from _trimmed(text, begin, stop, kind, block)
        begin = stop
    yield from _trimmed(text, begin, end, kind, block)


def _ends(text: str, begin: int, dot: int, stop: int, end: int) -> bool:
    """True where the punctuation at ``dot`` ends a sentence."""
    following = stop
    while following < end and text[following].isspace():
        following += 1
    if following >= end:
        return True
    opener = _OPENER.match(text, following, end)
    if not opener or opener.group(1).islower():
        # "e.g. this", "Yahoo! is"; but "ef_search. hnsw.ef_search is" begins with a lower-case identifier.
        return bool(re.match(r"[a-z][\w.]*[_.(]\w", text[following : following + 60])) and text[dot] == "."
    if text[dot : dot + 2] == "..":
        return not text[dot - 1 : dot].isspace()  # "COPY ... FROM" goes on
    if text[dot] != ".":
        return True
    word = re.search(r"[^\s(\[\"'“‘]*$", text[begin:dot])
    last = word.group() if word else ""
    if re.fullmatch(r"\d{1,3}", last) and begin + len(last) >= dot:
        return False  # "1. First"
    if last.casefold() in ("no", "nos"):
        return not text[following].isdigit()
    if last.casefold() in _ABBREVIATIONS:
        # "etc." and "Inc." end sentences too; a title or "No." does not.
        return last.casefold() in _FINAL_ABBREVIATIONS and bool(_BEGINNER.match(text, following, end))
    if re.fullmatch(r"(?:[^\W\d_]\.)*[^\W\d_]", last) and (last[-1].isupper() or "." in last):
        # Initials ("J. Smith", "U.S. Army"), unless a word follows that begins sentences.
        return len(last) > 1 and bool(_BEGINNER.match(text, following, end))
    return True
