"""Whether a statement says no more than the spans that it cites: numbers, names, links, negations, and most words.

These are vetoes, and deliberately shallow: a statement that is refused here may be true, one that passes may still be
a misreading, which is what the confidence is for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rag_pgvector.answer.lexical import STOPWORDS, fold, terms
from rag_pgvector.answer.polarity import agrees, content, opposed
from rag_pgvector.answer.quantities import MEASURES, quantities, unsupported

__all__ = ["Support", "plain", "support"]

#: Share of a statement's content words, and of each clause's, that must stand in its spans or beside them.
LEAST_SUPPORT = 0.7
LEAST_CLAUSE = 0.5
#: Capitalised at the beginning of a sentence, and no names.
_OPENERS = frozenset(
    "according additionally also although altogether based besides currently finally first furthermore generally "
    "however instead meanwhile moreover next often overall second similarly specifically thus total typically usually "
    "yes berdasarkan menurut selain".split()
)

_MARKDOWN = re.compile(r"!?\[([^\[\]\n]{0,400})\]\([^()\s]{0,2000}\)")
#: RM12.50, 5km, 19th: numbers, which are held against the spans by their values.
_AMOUNT = re.compile(r"\W*\d[\d.,]*\W*[^\W\d_]{1,8}\W*|[^\W\d_]{1,3}\W?\d[\d.,]*")
_TAG = re.compile(r"</?[A-Za-z!][^<>]{0,2000}>")
_CLAUSE = re.compile(r"[.!?;:,()\n]+(?=\s|$)|\b(?:and|but|which|dan|tetapi|yang)\b|[。！？、，；]")
_CAPITAL = re.compile(r"[^\W\d_][^\W_]*(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Support:
    """How far a statement is carried by its spans.

    Attributes:
        refused: Why it is not, or ``None``: ``number``, ``identifier``, ``name``, ``negation``, ``opposite`` or
            ``unsupported``.
        words: The share of its content words that stand in the spans, 0 to 1.
        numbers: The share of its numbers that do; 1 where it has none.
    """

    refused: str | None
    words: float
    numbers: float


def plain(text: str) -> tuple[str, bool]:
    """A model's text on one line per paragraph, without links' targets and tags; and whether there were any."""
    without = _TAG.sub("", _MARKDOWN.sub(r"\1", text))
    return "\n".join(" ".join(line.split()) for line in without.split("\n")).strip(), without != text


def support(statement: str, spans: Sequence[str], context: str) -> Support:
    """Holds a statement against the slices that it cites.

    Args:
        spans: Verified slices of sources.
        context: The passages that they were cut from, with their titles: a statement may say "the lighthouse" where
            its span says "it". Numbers must stand in the spans themselves. What only the question says
            supports nothing.
    """
    evidence = "\n".join(spans)
    missing = unsupported(statement, spans)
    numbers, shares = quantities(statement)
    count = len(numbers) + len(shares)
    held = content(evidence)
    known = held | content(context)
    said = content(statement)
    words = len(said & held) / len(said) if said else 0.0
    refused: str | None = None
    if missing:
        refused = "number"
    elif not _identifiers(statement) <= _identifiers(f"{evidence}\n{context}"):
        refused = "identifier"
    elif any(not set(terms(name)) & (known | MEASURES) for name in _names(statement)):
        refused = "name"
    elif not said & held or len(said & known) < LEAST_SUPPORT * len(said) or _strays(statement, known):
        refused = "unsupported"
    elif not agrees(statement, spans):
        refused = "negation"
    elif opposed(statement, evidence):
        refused = "opposite"
    return Support(refused, round(words, 6), round(1.0 - len(missing) / count, 6) if count else 1.0)


def _strays(statement: str, known: frozenset[str]) -> bool:
    """True where a clause of several words is mostly about something else."""
    clauses = [content(part) for part in _CLAUSE.split(statement) if part]
    return any(len(clause & known) < LEAST_CLAUSE * len(clause) for clause in clauses if len(clause) > 1)


def _identifiers(text: str) -> frozenset[str]:
    """Addresses, paths, code and codes: what is wrong if one character is."""
    found = set()
    for token in text.split():
        bare = token.strip(".,;:!?\"'“”‘’()[]{}<>`*")
        if _AMOUNT.fullmatch(bare):
            continue
        letters, digits = any(c.isalpha() for c in bare), any(c.isdigit() for c in bare)
        inside = bare[1:-1]
        parts = re.split(r"[.:/@_=\\]+", bare)
        if (
            any(mark in inside for mark in ("://", "@", "_", "::", "=", "\\"))
            or bare.startswith("www.")
            or ("." in inside and letters and any(len(part) > 1 for part in parts))
            or (letters and digits)
        ):
            found.add(fold(bare))
    return frozenset(found)


def _names(text: str) -> list[str]:
    """The capitalised words; those with digits are held against the spans as numbers or identifiers."""
    words = (word for word in _CAPITAL.findall(text) if word[0].isupper() and not any(char.isdigit() for char in word))
    return [word for word in words if fold(word) not in STOPWORDS and fold(word) not in _OPENERS]
