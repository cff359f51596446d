"""Tables of printed pages whose cells have several lines, or none.

A PDF draws a table cell by cell: the lines of the first cell, then those of the second, which stands beside it and so
begins further up. Where each line stands is enough to put the cells back into their rows and columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Protocol

__all__ = ["Box", "grid"]

#: Cells that are longer are columns of text, or boxes of it.
_MOST_LINES = 8
_LONGEST_MEAN = 120
_LONGEST_FIRST = 200
#: Between two lines of a cell, and between two rows, in heights of a line.
_LINE_GAP, _ROW_GAP = 0.8, 2.5
_SIGN = re.compile(r"(?:^|\s)([$€£¥])$")
#: How far boxes may overlap that do not touch, in heights of a line.
_SLACK = 0.3
_SAME_SIZE = 0.1
#: The share of a column's width that a cell covers which spans it.
_SPANNED = 0.5


@dataclass(frozen=True, slots=True)
class Box:
    """Where a piece of a line stands. ``top`` is above ``bottom``, as in PDF."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def height(self) -> float:
        return max(self.top - self.bottom, 1.0)


class _Line(Protocol):
    @property
    def size(self) -> float: ...
    @property
    def cells(self) -> tuple[str, ...]: ...
    @property
    def boxes(self) -> tuple[Box, ...]: ...


@dataclass(slots=True)
class _Cell:
    text: str
    box: Box
    lines: int = 1

    def add(self, text: str, box: Box) -> None:
        divided = self.text.endswith("-") and self.text[-2:-1].isalpha() and text[:1].islower()
        self.text += text if divided else f" {text}"
        own = self.box
        self.box = Box(min(own.left, box.left), max(own.right, box.right), own.top, min(own.bottom, box.bottom))
        self.lines += 1


@dataclass(slots=True)
class _Row:
    cells: list[_Cell] = field(default_factory=list)
    #: The line after its last one.
    upto: int = 0

    @property
    def bottom(self) -> float:
        return min(cell.box.bottom for cell in self.cells)


def grid(lines: Sequence[_Line], at: int) -> tuple[list[tuple[str, ...]], int]:
    """The rows of a table that begins with a line, and the line after it; ``at`` where there is none.

    At least two rows of two cells; a column that a row has nothing in is an empty cell of it.
    """
    rows: list[_Row] = []
    for number in range(at, len(lines)):
        line = lines[number]
        if not line.boxes or len(line.boxes) != len(line.cells) or _differ(line.size, lines[at].size):
            break
        pieces = _with_currencies(line)
        # What stands alone above a whole row is no part of it.
        alone = rows and len(rows[-1].cells) == 1 and len(pieces) > 1 and not pieces[0][0][:1].islower()
        first = _begin if alone else _place
        if not first(rows, *pieces[0]) or not all(_place(rows, *piece) for piece in pieces[1:]):
            break
        rows[-1].upto = number + 1
    while rows and len(rows[-1].cells) < 2:
        rows.pop()
    if len(rows) < 2 or len(rows[0].cells) < 2 or sum(len(row.cells) > 1 for row in rows) < 2:
        return [], at
    texts = [cell.text for row in rows for cell in row.cells]
    if max(len(row.cells[0].text) for row in rows) > _LONGEST_FIRST:
        return [], at
    if fmean(map(len, texts)) > _LONGEST_MEAN or max(cell.lines for row in rows for cell in row.cells) > _MOST_LINES:
        return [], at
    table = _in_columns(rows)
    return (table, rows[-1].upto) if table else ([], at)


def _with_currencies(line: _Line) -> list[tuple[str, Box]]:
    """The pieces of a line; signs of currencies, which stand far from their figures, are one with them."""
    pieces: list[tuple[str, Box]] = []
    sign, left = "", 0.0
    for text, box in zip(line.cells, line.boxes, strict=True):
        if sign:
            text, box = f"{sign} {text}", Box(left, box.right, box.top, box.bottom)
        sign = ""
        if found := _SIGN.search(text):
            sign, left = found[1], box.left if text == found[1] else box.right
            text = text[: found.start()].rstrip()
        if text:
            pieces.append((text, box))
    if sign:
        pieces.append((sign, Box(left, line.boxes[-1].right, line.boxes[-1].top, line.boxes[-1].bottom)))
    return pieces


def _differ(one: float, other: float) -> bool:
    return bool(one and other) and abs(one - other) > _SAME_SIZE * other


def _place(rows: list[_Row], text: str, box: Box) -> bool:
    """Put a piece of a line into its cell; False where it belongs to no table."""
    if not rows:
        rows.append(_Row([_Cell(text, box)]))
        return True
    row, slack = rows[-1], _SLACK * box.height
    last = row.cells[-1]
    if box.left >= last.box.right - slack:
        above = rows[-2].bottom if len(rows) > 1 else last.box.top + _MOST_LINES * box.height
        if box.top > above + slack or box.top < row.bottom - slack:
            return False
        row.cells.append(_Cell(text, box))
        return True
    below = box.top <= last.box.bottom + slack
    overlap = min(box.right, last.box.right) - max(box.left, last.box.left)
    if below and overlap > 0 and last.box.bottom - box.top <= _LINE_GAP * box.height:
        if len(row.cells) > 1 and box.left < row.cells[-2].box.right - slack:
            return _begin(rows, text, box)
        last.add(text, box)
        # A line that reaches into the next column is of no cell.
        return len(row.cells) > 1 or len(rows) == 1 or box.right <= rows[0].cells[1].box.left + slack
    return _begin(rows, text, box)


def _begin(rows: list[_Row], text: str, box: Box) -> bool:
    """Begin a row below the last one."""
    slack, bottom, head = _SLACK * box.height, rows[-1].bottom, rows[0]
    near = bottom - _ROW_GAP * box.height <= box.top <= bottom + slack
    if (
        not near
        or len(head.cells) < 2
        or (box.left < head.cells[1].box.left and box.right > head.cells[1].box.left + slack)
    ):
        return False
    rows.append(_Row([_Cell(text, box)]))
    return True


def _in_columns(rows: Sequence[_Row]) -> list[tuple[str, ...]]:
    """The texts of the rows, each in the column that it stands in; as they come in a row that spans several columns.
    None where two of a row stand in the same column."""
    widest = max(rows, key=lambda row: len(row.cells))
    columns = [cell.box for cell in widest.cells]
    table = []
    for row in rows:
        texts = [""] * len(columns)
        if any(_spans(cell.box, columns) for cell in row.cells):
            table.append(tuple(cell.text for cell in row.cells) if len(row.cells) > 1 else (row.cells[0].text, ""))
            continue
        for cell in row.cells:
            at = min(range(len(columns)), key=lambda number: _apart(cell.box, columns[number]))
            if texts[at]:
                return []
            texts[at] = cell.text
        table.append(tuple(texts))
    return table


def _spans(box: Box, columns: Sequence[Box]) -> bool:
    return (
        sum(
            min(box.right, each.right) - max(box.left, each.left) > _SPANNED * (each.right - each.left)
            for each in columns
        )
        > 1
    )


def _apart(box: Box, column: Box) -> tuple[float, float]:
    """How far a cell is from a column: by what they have in common, then by their middles."""
    common = max(0.0, min(box.right, column.right) - max(box.left, column.left))
    return -common, abs(box.left + box.right - column.left - column.right)
