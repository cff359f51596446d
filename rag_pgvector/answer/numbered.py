"""The answer to a question for an item by its number: the whole item, and whether no other can be meant.

Words and vectors say nothing of it (see ``items``): where the list is named by the question's other words better than
any other list that has such an item, or no other was found at all, it is sure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rag_pgvector.answer.candidates import Candidate, Passage
from rag_pgvector.answer.evidence import extend
from rag_pgvector.answer.items import item_asked_for
from rag_pgvector.answer.lexical import Query, coverage, terms

__all__ = ["item_cut", "item_is_sure"]

#: The share of the question's other words, by weight, that the item or what stands above it must have.
_NAMED = 0.5
_LONGEST = 1_200
#: What is asked of an item that says nothing of which list it is in.
_EMPTY = frozenset(
    terms("say says state mean require requires provide cover regulate happen read contain do about tell")
)


def item_cut(found: Candidate) -> tuple[int, int]:
    """Where an item begins and ends: from its marker to the end of its paragraph, or of what it introduces."""
    text, unit = found.source.text, found.unit
    start, end = extend(found.source, found.siblings, unit)
    line = text.rfind("\n", 0, unit.start) + 1
    start = min(start, line + len(text[line : unit.start]) - len(text[line : unit.start].lstrip()))
    for other in found.siblings:
        if other.start >= end and other.spans[0].block == unit.spans[-1].block and other.end - start <= _LONGEST:
            end = other.end
    return start, end


def item_is_sure(
    query: Query, weights: Mapping[str, float], ranked: Sequence[Candidate], passages: Sequence[Passage]
) -> bool:
    """Whether the first of the items that have the number is the one that is meant.

    Args:
        ranked: Those that have it, best first.
        passages: All that was found.
    """
    item = item_asked_for(query.text)
    if item is None:
        return False
    rest = {term: weight for term, weight in weights.items() if term not in _EMPTY.union(terms(item.phrase))}
    if sum(rest.values()) > 0:
        named = [coverage(rest, each.context.union(each.terms)) for each in ranked]
        return named[0] >= _NAMED and named[0] > max(named[1:], default=0.0)
    lines = {line.strip() for passage in passages for line in passage.chunk.content.splitlines()}
    return sum(item.names(line, 0) for line in lines) == 1
