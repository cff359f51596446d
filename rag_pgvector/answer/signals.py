"""What a confidence is computed from: numbers from 0 to 1, none of which speaks against an answer by growing.

None depends on the scale of a collection's scores: vectors are compared here, and words are weighed among the chunks
that were found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rag_pgvector.answer.candidates import Candidate, alike
from rag_pgvector.answer.lexical import Query, coverage, term_set
from rag_pgvector.answer.values import KINDS, values

__all__ = ["SIGNALS", "signals_of"]

#: Of an extractive answer, in the order of the weights.
#:
#: - margin: its unit's score above that of the best rival that says something else.
#: - mass: how much rare matter of the question the answer repeats: covering five rare words is more than one of one.
#: - words: how many of the question's words, the same way.
#: - firsts: in how many of the two rankings, by words and by vectors, its passage is first.
#: - said: the share of the question's weight in the answer itself.
#: - pairs: the share of the question's neighbouring words that are neighbours in its unit.
#: - cosine: of its unit to the question; lead: 1 where no other unit's is higher, 1/2 for the second, and so on.
#: - value: whether it holds a date, number or name that the question asks for and does not name (a half where it asks
#:   for none), or says what the thing is that it asks about.
#: - read: how likely the reader takes the answer, or the likeliest unit in it, to be one; left out without a reader.
SIGNALS = ("margin", "mass", "words", "firsts", "said", "pairs", "cosine", "lead", "value", "read")


def signals_of(
    query: Query, weights: Mapping[str, float], ranked: Sequence[Candidate], span: tuple[int, int], *, above: str = ""
) -> dict[str, float]:
    """The signals of the best candidate that is admitted, and ``typed``: the share of its names and numbers around it.

    Args:
        weights: Of the question's terms, by form and rarity.
        ranked: All candidates, the best first.
        span: The answer cut around the best one.
        above: A heading that is part of the answer.
    """
    admitted = [each for each in ranked if each.admitted] or ranked
    best = admitted[0]
    answer = best.source.text[span[0] : span[1]]
    own = term_set(answer)
    whole = own | best.context
    # The same words again are support, not a rival; nor is what stands in the answer too. Where nothing else may
    # answer, the rivals are those that a veto took out: to be alone is no evidence.
    others = [
        each
        for each in ranked
        if each is not best and each.is_rival and not alike(best, each) and not _inside(each, best, span)
    ]
    rivals = [each.score for each in others if each.admitted] or [each.score for each in others]
    rival = max(rivals, default=0.0)
    known = best.passage.known | best.context
    must = query.names | query.numbers | query.literals
    cosine = best.parts["cosine"]
    asked = set(query.weights)
    new = any(not set(value.key.split()) <= asked for value in values(query.wants, above + answer))
    signals = {
        "margin": best.score - rival,
        "mass": 1.0 - math.exp(-sum(weights.values()) * coverage(weights, whole) / 8.0),
        "words": 1.0 - math.exp(-len(asked & whole) / 4.0),
        "firsts": best.passage.firsts / 2.0,
        "said": coverage(weights, own),
        "pairs": best.parts["pairs"],
        "cosine": cosine,
        "lead": 1.0 / (1 + sum(each.parts["cosine"] > cosine for each in admitted)),
        "value": float(new) if query.wants in KINDS else 0.5 + best.parts["defines"] / 2,
        "typed": len(must & known) / len(must) if must else 1.0,
    }
    if best.reads is not None:
        units = zip(best.siblings, best.reads, strict=True)
        inside = [read for unit, read in units if span[0] <= unit.start and unit.end <= span[1]]
        signals["read"] = max(inside, default=best.parts["read"])
    return {name: round(min(1.0, max(0.0, value)), 6) for name, value in signals.items()}


def _inside(other: Candidate, best: Candidate, span: tuple[int, int]) -> bool:
    return other.origin == best.origin and span[0] <= other.unit.start and other.unit.end <= span[1]
