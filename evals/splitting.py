"""Parts a golden set in two sides that share nothing: what is fitted on one may be told by the other.

Questions about one document are alike: a model fitted on some of them knows the others. On SciFact a query adapter
"reaches" nDCG@10 .80 on the test questions because 196 of 300 share a relevant document with the training questions; on
the others it gains at most .008 (docs/design.md). So questions go to a side by document, all of a document's together.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag_pgvector.errors import ConfigError
from rag_pgvector.evals.questions import GoldenQuestion

__all__ = ["Overlap", "overlap", "sources_of", "split_by_source"]

#: From this share of common words on (Jaccard) two questions count as the same one.
ALIKE = 0.8
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """What two sides share.

    Attributes:
        sources: Documents that both ask about, sorted.
        questions: Pairs of ids of nearly identical questions, the first of the first side.
    """

    sources: tuple[str, ...]
    questions: tuple[tuple[str, str], ...]

    def warnings(self) -> list[str]:
        """In words; [] if they share nothing."""
        found = []
        if self.sources:
            found.append(
                f"the two sides share {len(self.sources)} sources ({', '.join(self.sources[:3])}): what is fitted on "
                "one side knows the other's answers"
            )
        if self.questions:
            pairs = ", ".join(f"{one} and {other}" for one, other in self.questions[:3])
            found.append(f"{len(self.questions)} questions of one side nearly stand in the other, too ({pairs})")
        return found


def sources_of(question: GoldenQuestion) -> frozenset[str]:
    """The documents that a question is about; a place inside one (``Normans#3``) is left out."""
    return frozenset(source.rpartition("#")[0] or source for source in question.all_sources)


def split_by_source(
    sources: Mapping[str, frozenset[str]], *, share: float = 0.5, seed: int = 0
) -> tuple[list[str], list[str], list[str]]:
    """Ids of questions in two sides, and warnings.

    Args:
        sources: The documents of each question. Questions that share one go together, and so do those that share one
            with these. A question without any goes by itself.
        share: Of the questions, for the first side, 0 to 1.

    The same input gives the same sides. Raises ConfigError.
    """
    if not 0.0 < share < 1.0:
        raise ConfigError(f"share={share!r}: use a number between 0 and 1")
    if len(sources) < 2:
        raise ConfigError(f"{len(sources)} question cannot be parted in two sides")
    groups = groups_by_source(sources)
    random.Random(seed).shuffle(groups)
    groups.sort(key=len, reverse=True)  # the large ones first: the small ones even out what they leave
    wanted = share * len(sources)
    first: set[str] = set()
    second: set[str] = set()
    for group in groups:
        room, other = wanted - len(first), len(sources) - wanted - len(second)
        (first if room >= other else second).update(group)
    warnings = []
    if abs(len(first) - wanted) > 0.1 * len(sources):
        warnings.append(
            f"the first side has {len(first)} of {len(sources)} questions, not {share:.0%}: {len(groups[0])} of them "
            "hang together by their sources"
        )
    if not first or not second:
        raise ConfigError("all questions hang together by their sources: they cannot be parted")
    return [id_ for id_ in sources if id_ in first], [id_ for id_ in sources if id_ in second], warnings


def groups_by_source(sources: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """Questions that are connected by documents (union-find)."""
    parent: dict[str, str] = {}

    def find(key: str) -> str:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for id_, names in sources.items():
        for name in names:
            parent[find(f"question {id_}")] = find(f"source {name}")
    groups: dict[str, list[str]] = {}
    for id_ in sources:
        groups.setdefault(find(f"question {id_}"), []).append(id_)
    return list(groups.values())


def overlap(
    one: Sequence[tuple[str, str, frozenset[str]]], other: Sequence[tuple[str, str, frozenset[str]]]
) -> Overlap:
    """What two sides share. Each question is ``(id, text, sources)``."""
    shared = frozenset().union(*(names for _, _, names in one)) & frozenset().union(*(names for _, _, names in other))
    words = {
        (side, id_): frozenset(_WORD.findall(text.casefold()))
        for side, each in enumerate((one, other))
        for id_, text, _ in each
    }
    by_word: dict[str, list[str]] = {}
    for id_, _, _ in other:
        for word in words[1, id_]:
            by_word.setdefault(word, []).append(id_)
    pairs = []
    for id_, _, _ in one:
        mine = words[0, id_]
        # Alike questions differ in a fifth of their words: of one more than that, rarest first, one is common.
        few = len(mine) - int(ALIKE * len(mine)) + 1
        rare = sorted(mine, key=lambda word: len(by_word.get(word, ())))[:few]
        for candidate in sorted({found for word in rare for found in by_word.get(word, ())}):
            theirs = words[1, candidate]
            if len(mine & theirs) >= ALIKE * len(mine | theirs):
                pairs.append((id_, candidate))
    return Overlap(tuple(sorted(shared)), tuple(pairs))
