"""What the reader is shown of the passages that were found, and what its log odds are to their candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.answer.candidates import Candidate, name_of
from rag_pgvector.answer.steps import Page

__all__ = ["LONGEST_PAGE", "MOST_LOG_ODDS", "pages_of", "take_reads"]

#: Code points of a passage that are read: all of a usual chunk, of a whole book the part around its first candidate.
LONGEST_PAGE = 5_000

#: Log odds beyond these, either way, say no more.
MOST_LOG_ODDS = 8.0


def pages_of(candidates: Sequence[Candidate]) -> list[Page]:
    """A page for each passage that has candidates: the part of its source from its first to its last unit, of a long
    one the units around its most promising candidate."""
    return [_page(each) for each in _one_of_each_passage(candidates)]


def take_reads(candidates: Sequence[Candidate], log_odds: Sequence[NDArray[np.float32]] | None) -> None:
    """Gives the candidates what was read in ``pages_of`` them, and 0 to what was not; nothing where there is no
    reader."""
    if log_odds is None:
        return
    reads = {}
    for first, found in zip(_one_of_each_passage(candidates), log_odds, strict=True):
        clipped = np.clip(np.asarray(found, dtype=np.float64), -MOST_LOG_ODDS, MOST_LOG_ODDS)
        all_reads = np.zeros(len(first.siblings))
        all_reads[slice(*_stretch(first))] = (clipped + MOST_LOG_ODDS) / (2 * MOST_LOG_ODDS)
        reads[id(first.passage)] = all_reads.tolist()
    for each in candidates:
        each.reads = reads[id(each.passage)]
        each.parts["read"] = each.reads[each.siblings.index(each.unit)]


def _one_of_each_passage(candidates: Sequence[Candidate]) -> list[Candidate]:
    return list({id(each.passage): each for each in reversed(candidates)}.values())[::-1]


def _page(candidate: Candidate) -> Page:
    source, units = candidate.source, candidate.siblings[slice(*_stretch(candidate))]
    start, end = units[0].start, max(unit.end for unit in units)
    title = source.titles[-1] if source.titles else name_of(candidate.passage.chunk.source)
    return Page(title, source.text[start:end], tuple((unit.start - start, unit.end - start) for unit in units))


def _stretch(candidate: Candidate) -> tuple[int, int]:
    """The units around its own that a page holds: from the first one to before the last."""
    units = candidate.siblings
    first = units.index(candidate.unit)
    last = first + 1

    def fits(first: int, last: int) -> bool:
        return first >= 0 and last <= len(units) and units[last - 1].end - units[first].start <= LONGEST_PAGE

    while fits(first - 1, last) or fits(first, last + 1):
        if fits(first - 1, last):
            first -= 1
        if fits(first, last + 1):
            last += 1
    return first, last
