"""A condition that a question sets, and evidence that sets the contrary one: "after probation" and "during probation".

Both share every other word. Only where the contrary word governs the same noun, and the question's own word is nowhere
in the evidence: "In low season £14, in high season £19" answers a question for either.
"""

from __future__ import annotations

import re

from rag_pgvector.answer.lexical import fold, stem

__all__ = ["contrary_to"]

#: Families of words, of which each group speaks against the others before the same noun.
_FAMILIES = tuple(
    tuple(frozenset(group.split()) for group in family.split(" / "))
    for family in (
        "before beforehand until till sebelum / after afterwards thereafter following once selepas setelah sesudah / "
        "during while throughout semasa ketika selama sewaktu",
        "with dengan / without tanpa",
        "high higher highest peak tinggi / low lower lowest rendah",
        "minimum minimal / maximum maximal maksimum",
        "first / last final",
        "hot warm / cold",
        "inside indoor internal / outside outdoor external",
        "gross / net",
        "domestic / international foreign",
        "upper / lower",
        "left / right",
        "single / double",
    )
)
_GROUPS = {word: (family, group) for family, groups in enumerate(_FAMILIES) for group in groups for word in group}
_GOVERNS = re.compile(
    rf"\b({'|'.join(_GROUPS)})\s+(?:(?:the|a|an|your|my|our|their|his|her|its|this|that|any)\s+)?([^\W\d_][\w\-]*)"
)
_WORD = re.compile(r"[^\W\d_]+")


def _governed(text: str) -> set[tuple[int, frozenset[str], str]]:
    return {(*_GROUPS[found[1]], stem(found[2])) for found in _GOVERNS.finditer(text)}


def contrary_to(question: str, text: str) -> bool:
    """Whether a text sets a contrary condition before the noun of one that the question sets, and not that one."""
    asked = _governed(fold(question))
    if not asked:
        return False
    read = fold(text)
    told = _governed(read)
    words = set(_WORD.findall(read))
    return any(
        noun == other and family == theirs and group is not contrary and words.isdisjoint(group)
        for family, group, noun in asked
        for theirs, contrary, other in told
    )
