"""What a reader of printed pages sees and PDF does not say: running titles, headings, paragraphs.

A PDF knows lines and their fonts. A line at the edge of a page that stands there on its neighbours too, page numbers
apart, is a running title or footer. A line in a larger or bolder font than the body's is a heading. Lines of a
paragraph are filled as far as they go, so one that had room for the next one's first word was ended on purpose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import quantiles

from rag_pgvector.ingest.loaders.grids import Box, grid

__all__ = ["BOLD", "Line", "Page", "laid_out"]

#: Lines at either end of a page that may be running titles.
_EDGE = 3
#: A font so much larger than the body's is a heading's.
_LARGER = 1.07
#: The least weight of a bold font.
BOLD = 600
_LONGEST_TITLE = 120
#: Where more lines than this share look like headings, the font says nothing.
_MOST_TITLES = 0.3
#: A line that is filled to so much of the paragraph's width may go on.
_FILLED = 0.8
#: Lines on either side that tell the width of a column.
_BESIDE = 3

_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"(?:page|seite|halaman|muka surat|p[aá]gina|p\.|[-–—])?\s*\d*\s*(?:of|von|de|/|daripada)?\s*\d*\W*", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"[.!?:;。！？][\"'”’)\]]*$")
_BULLET = re.compile(r"[•‣▪●○◦·–*-] ?\S|(?:\d{1,3}(?:\.\d{1,3})*[.)]?|\([a-z0-9]{1,3}\)|[a-z]\)) [^\W\d_]")
_MARK = re.compile(r"[•‣▪●○◦]")
#: What stands alone in code, and in no table.
_SIGN = re.compile(r"[=(){}\[\]#<>:;]+")
_FIGURE = re.compile(r"(?<!\w)[$€£(]?\d[\d.,]*")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a page.

    Attributes:
        size: Of its font, 0 where that is not known.
        fixed: All characters of its font are equally wide, as code's are.
        cells: What wide gaps divide it into.
        boxes: Where each of these stands, if that is known.
    """

    text: str
    size: float = 0.0
    bold: bool = False
    fixed: bool = False
    cells: tuple[str, ...] = ()
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A heading (``level`` 1 and more), a table, code (``literal``), or a paragraph.

    Attributes:
        goes_on: It continues the last paragraph of the page before.
        rows: Of a table.
    """

    text: str
    level: int = 0
    goes_on: bool = False
    rows: tuple[tuple[str, ...], ...] = ()
    literal: bool = False

    @property
    def is_prose(self) -> bool:
        return not (self.level or self.rows or self.literal)


Page = list[Line]


def laid_out(pages: Sequence[Page]) -> Iterator[list[Block]]:
    """The blocks of each page. Running titles stand once, behind the text of the last page that has them."""
    body_font = _body([line for page in pages for line in page if line.text.strip()])
    bodies, kept = _without_running(pages, 0.95 * body_font[0])
    lines = [line for body in bodies for line in body if line.text.strip()]
    levels = _levels(lines)
    long = [len(line.text) for line in lines if line.text.count(" ") > 1]
    width = quantiles(long, n=4)[2] if len(long) > 1 else 0.0
    code = sum(line.fixed for line in lines) < 0.5 * len(lines)
    ended = True
    for body, titles in zip(bodies, kept, strict=True):
        blocks = list(_blocks(body, levels, width, code=code))
        if blocks and not ended and blocks[0].is_prose and blocks[0].text[:1].islower():
            blocks[0] = Block(blocks[0].text, goes_on=True)
        if blocks:
            last = blocks[-1]
            ended = bool(titles) or not last.is_prose or _SENTENCE_END.search(last.text) is not None
        yield blocks + [Block(line.text.strip()) for line in titles]


# ----------------------------------------------------------------------------------------------------- running titles


def _without_running(pages: Sequence[Page], small: float) -> tuple[list[Page], list[Page]]:
    """The pages without their running titles, and those that stand here for the last time.

    Args:
        small: What begins a further page in a smaller font is a running title, though its neighbours have none: those
            of two pages are not repeated where the first page is a title page.
    """
    edges = [(_edge(page, range(len(page))), _edge(page, reversed(range(len(page))))) for page in pages]
    bodies, kept = [], []
    for number, page in enumerate(pages):
        dropped: set[int] = set()
        last: list[int] = []
        for side in (0, 1):
            for at in edges[number][side]:
                beside = [
                    other
                    for other in (number - 2, number - 1, number + 1, number + 2)
                    if 0 <= other < len(pages)
                    and any(
                        _same(page[at].text, pages[other][place].text, other - number) for place in edges[other][side]
                    )
                ]
                alone = side == 0 < number and 0 < page[at].size < small and _differs(page, at)
                if not beside and not alone:
                    break  # what stands behind the page's own text is its own
                dropped.add(at)
                if max(beside, default=0) < number and not _PAGE_NUMBER.fullmatch(page[at].text.strip()):
                    last.append(at)
        bodies.append([line for at, line in enumerate(page) if at not in dropped])
        kept.append([page[at] for at in sorted(last)])
    return bodies, kept


def _differs(page: Page, at: int) -> bool:
    """True where the next line stands in another font."""
    return at + 1 < len(page) and bool(page[at + 1].size) and page[at + 1].size != page[at].size


def _edge(page: Page, places: Iterator[int] | range) -> list[int]:
    return [at for at in places if page[at].text.strip()][:_EDGE]


def _same(one: str, other: str, distance: int) -> bool:
    """True for lines that differ at most in a number that counts the pages."""
    if _DIGITS.sub("#", one.strip()) != _DIGITS.sub("#", other.strip()):
        return False
    numbers = zip(_DIGITS.findall(one), _DIGITS.findall(other), strict=True)
    return all(int(theirs[:9]) - int(ours[:9]) in (0, distance) for ours, theirs in numbers)


# ----------------------------------------------------------------------------------------------------------- headings


def _body(lines: Sequence[Line]) -> tuple[float, bool]:
    """The font of most of a text."""
    shares: Counter[tuple[float, bool]] = Counter()
    for line in lines:
        shares[(line.size, line.bold)] += len(line.text)
    return shares.most_common(1)[0][0] if shares else (0.0, False)


def _levels(lines: Sequence[Line]) -> dict[tuple[float, bool], int]:
    """The fonts of headings with their levels, the largest first."""
    size, bold = _body(lines)
    titles = {
        font
        for font in {(line.size, line.bold) for line in lines}
        if size and (font[0] >= _LARGER * size or (font[1] and not bold and font[0] >= 0.98 * size))
    }
    if sum((line.size, line.bold) in titles for line in lines) > _MOST_TITLES * len(lines):
        return {}
    return {font: min(level, 6) for level, font in enumerate(sorted(titles, reverse=True), start=1)}


def _is_title(line: Line) -> bool:
    text = line.text.strip()
    letters = sum(char.isalpha() for char in text)
    return (
        letters >= 3
        and 2 * letters > len(text) - text.count(" ")
        and len(text) <= _LONGEST_TITLE
        and text[-1] not in ".,;"
    )


# --------------------------------------------------------------------------------------------------------- paragraphs


def _blocks(page: Page, levels: dict[tuple[float, bool], int], width: float, *, code: bool) -> Iterator[Block]:
    text, level, upto = "", 0, 0
    for at, line in enumerate(page):
        if at < upto:
            continue
        own = line.text.strip()
        listing = _listing_end(page, at) if code else at
        rows, upto = ([], listing) if listing > at else _table(page, at)
        if text and (not own or upto > at):
            yield Block(text, level)
            text, level = "", 0
        if listing > at:
            yield Block("\n".join(each.text for each in page[at:upto]), literal=True)
        elif upto > at:
            yield Block(own, rows=tuple(rows))
        if not own or upto > at:
            continue
        here = levels.get((line.size, line.bold), 0) if _is_title(line) else 0
        if text and (here != level or (not level and _breaks(page[at - 1], line, _width(page, at, width)))):
            yield Block(text, level)
            text = ""
        level = here
        if not text:
            text = own
        elif text.endswith("-") and own[0].islower() and text[-2:-1].isalpha():
            text += own
        else:
            text += " " + own
    if text:
        yield Block(text, level)


def _listing_end(page: Page, at: int) -> int:
    """The line after lines of code, two at least; ``at`` where there are none."""
    upto = at
    while upto < len(page) and page[upto].fixed:
        upto += 1
    return upto if upto > at + 1 else at


def _table(page: Page, at: int) -> tuple[list[tuple[str, ...]], int]:
    """Rows of cells, two at least, and the line after them; ``at`` where there are none."""
    upto = at
    while upto < len(page) and len(page[upto].cells) > 1 and not any(map(_SIGN.fullmatch, page[upto].cells)):
        upto += 1
    rows, end = grid(page, at)
    if end > at and end >= upto and not any(_SIGN.fullmatch(cell) for row in rows for cell in row):
        return rows, end
    return ([line.cells for line in page[at:upto]], upto) if upto > at + 1 else ([], at)


def _width(page: Page, at: int, width: float) -> float:
    """How long lines are where two of them stand, but no longer than most of the document's."""
    near = page[max(0, at - 1 - _BESIDE) : at + 1 + _BESIDE]
    return min(width, max(len(line.text.strip()) for line in near))


def _breaks(last: Line, line: Line, width: float) -> bool:
    """True where a paragraph ends between two lines."""
    before, following = last.text.strip(), line.text.strip()
    if _MARK.match(following):
        return True
    if last.size and line.size and abs(last.size - line.size) > 0.1 * line.size:
        return True
    ends = _SENTENCE_END.search(before) is not None
    if ends and _BULLET.match(following):
        return True
    if following[0].islower():
        return False
    if max(len(last.cells), len(line.cells)) > 1:
        return True
    if len(before) + 1 + len(following.split(" ", 1)[0]) < _FILLED * width:
        return True
    figures = (len(_FIGURE.findall(text)) > 1 for text in (before, following))
    return not ends and following[0].isalpha() and all(figures)
