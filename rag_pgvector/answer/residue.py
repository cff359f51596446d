"""Words that a table does not know and that may say in other words what it says: "physicians" where it has doctors.

The collection's own embedder decides, and strictly: things of one kind (doctors and nurses, exports and imports) are as
near each other as many synonyms are. The bar is therefore what the same embedder says of such pairs: nearer than all.
Measured with all-MiniLM-L6-v2: of 44 synonyms 13 pass, of 40 pairs that are not, none.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.columns import Column
from rag_pgvector.answer.reading import Reading
from rag_pgvector.answer.steps import EmbedTexts, Step
from rag_pgvector.answer.vocabulary import CALCULATIONS, NEUTRAL, PERSONS, words

__all__ = ["resolve"]

#: Pairs that are near each other and never the same.
_APART = (
    "male female|boys girls|diesel petrol|robbery theft|primary secondary|marriages divorces|north south|gold silver|"
    "employed unemployed|muslim christian|minimum maximum|schools teachers|arrivals departures|imports exports|"
    "hospitals clinics|doctors nurses|crimes prisoners|beef chicken|rice wheat|income expenditure|married single|"
    "children adults|cars motorcycles|urban rural"
)
#: How much nearer than all of these a synonym must be, of what is left up to 1.
_BEYOND = 0.1
#: Readings that are looked at, and words that may be left over in one.
READINGS, LEFT = 4, 2
#: Words before a name: what follows them is a place or a thing, and must be there as it is called.
_BEFORE_NAMES = frozenset("in at from near within inside di dari dalam ke".split())


def resolve(readings: Sequence[Reading], asked: Asked) -> Generator[Step, Any, list[Reading]]:
    """Those readings whose leftover words all mean a name of the column that they ask for; ``soft`` says which."""
    likely = [reading for reading in readings if _may_be_soft(reading, asked)][:READINGS]
    pairs = [(reading, place, _names(reading)) for reading in likely for place in sorted(reading.leftover)]
    if not any(names for _, _, names in pairs):
        return []
    apart = [word for pair in _APART.split("|") for word in pair.split()]
    texts = list(dict.fromkeys([*apart, *(asked.words[place] for _, place, _ in pairs)]))
    texts = list(dict.fromkeys([*texts, *(name for _, _, names in pairs for name in names)]))
    embedded = np.asarray((yield EmbedTexts(texts)), dtype=np.float64)
    norms = np.linalg.norm(embedded, axis=1, keepdims=True)
    vectors = dict(zip(texts, embedded / np.where(norms > 0, norms, 1.0), strict=True))
    nearest = max(float(vectors[one] @ vectors[other]) for one, other in zip(apart[::2], apart[1::2], strict=True))
    bar = nearest + _BEYOND * (1.0 - nearest)
    found: list[Reading] = []
    for reading in likely:
        names = _names(reading)
        near = all(
            any(float(vectors[asked.words[place]] @ vectors[name]) > bar for name in names)
            for place in reading.leftover
        )
        if names and near and nearest > 0.0:
            reading.soft = reading.leftover
            reading.leftover = frozenset()
            found.append(reading)
    return found


def _may_be_soft(reading: Reading, asked: Asked) -> bool:
    if reading.absent_time or reading.negated or reading.mismatch or reading.lookups or not reading.conditions:
        return False
    if not 0 < len(reading.leftover) <= LEFT or len(reading.targets) != 1:
        return False
    for place in reading.leftover:
        word = asked.words[place]
        if asked.named[place] or not word.isalpha() or len(word) < 3 or word in CALCULATIONS:
            return False
        if asked.asks == "who" and word in PERSONS:
            return False  # a buyer is no supplier, however near an embedder finds them
        if place and asked.words[place - 1] in _BEFORE_NAMES:
            return False
    return True


def _names(reading: Reading) -> list[str]:
    """The words of the target's name, and of its table's where the name says nothing of its own."""
    return _told(reading.targets[0]) if reading.targets else []


def _told(column: Column) -> list[str]:
    return [word for word in words(column.name) if word.isalpha() and len(word) > 2 and word not in NEUTRAL]
