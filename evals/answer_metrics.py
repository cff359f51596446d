"""Measures of an answer: its text against references, and its citations against sources. No model judges anything.

Each is a number from 0 to 1, higher-better, or ``None`` where there is nothing to measure (no reference, no citation,
no number): what is not measured is counted, never averaged as 0.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

__all__ = [
    "contains",
    "exact_match",
    "is_right",
    "normalise",
    "number_coverage",
    "numbers_in",
    "numeric_match",
    "span_f1",
    "span_iou",
    "statement_coverage",
    "statements",
    "token_f1",
    "word_f1",
]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = frozenset(string.punctuation)
#: Currencies that are written right before their figure.
_CURRENCY = "|".join(rf"(?<=\b{code})" for code in ("RM", "MYR", "USD", "EUR", "GBP", "SGD", "IDR", "Rp", "Rs"))
_NUMBER = re.compile(
    rf"(?:(?<![\w.,])|{_CURRENCY})(?:(?<!\w)[-−+])?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?(?!\d|[.,]\d)"
)
_UNITS = re.compile(
    r"[\s$€£%]|\b(?:RM|MYR|USD|EUR|GBP|SGD|IDR|Rp|Rs)(?![a-z])|\b(?:per ?cent|peratus)\b", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[.!?。！？])(?:[\"'”’)\]]*)\s+|\n+")


# ------------------------------------------------------------------------------------------------------------ answers


def normalise(text: str) -> str:
    """Lower case, without punctuation and English articles, single blanks.

    Source: Rajpurkar et al. 2016, "SQuAD", official evaluation script. Letters of every script are kept; the script's
    own punctuation is ASCII.
    """
    bare = "".join(char for char in text.lower() if char not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(answer: str, references: Sequence[str]) -> float | None:
    """1 if the normalised answer is one of the normalised references. Source: Rajpurkar et al. 2016."""
    if not references:
        return None
    return float(normalise(answer) in {normalise(each) for each in references})


def token_f1(answer: str, references: Sequence[str]) -> float | None:
    """The best F1 of the answer's words and a reference's, as bags. Source: Rajpurkar et al. 2016."""
    if not references:
        return None
    return max(word_f1(answer, each) for each in references)


def word_f1(one: str, other: str) -> float:
    """F1 of two bags of normalised words; two empty ones agree."""
    ours, theirs = normalise(one).split(), normalise(other).split()
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2.0 * shared / (len(ours) + len(theirs))


def contains(answer: str, expected: str) -> bool:
    """Whether the expected text stands in the answer as a whole token, without regard to case or kind of blank.

    ``64`` is not in ``64,000``, and ``4.5`` is not in ``14.5``.
    """
    wanted = r"\s+".join(re.escape(word) for word in expected.split())
    # Not inside a longer number, nor with a sign of its own before it.
    before = r"(?<![\w.,])(?<!(?<!\w)[-−])" if expected[:1].isalnum() else ""
    after = r"(?![\w]|[.,]\d)" if expected[-1:].isalnum() else ""
    return bool(wanted) and re.search(f"{before}{wanted}{after}", answer, re.IGNORECASE) is not None


def numbers_in(text: str) -> list[Decimal]:
    """The numbers of a text, without thousands separators, in order."""
    return [Decimal(each.replace(",", "").replace("−", "-")) for each in _NUMBER.findall(text)]


def numeric_match(answer: str, references: Sequence[str], *, tolerance: float = 0.0) -> float | None:
    """1 if, for some reference, the answer holds every number of it, within a relative tolerance (0: the same number).

    ``None`` if no reference holds a number. Units are not converted: "1.5 million" is 1.5.
    """
    wanted = [numbers for each in references if (numbers := numbers_in(each))]
    if not wanted:
        return None
    given = numbers_in(answer)
    limit = Decimal(str(tolerance))
    return float(
        any(all(any(abs(have - want) <= abs(want) * limit for have in given) for want in numbers) for numbers in wanted)
    )


def is_right(answer: str, references: Sequence[str]) -> bool:
    """Whether the answer holds a reference as a whole token; of a reference that is just a figure, its value counts."""
    for each in references:
        figure = _NUMBER.fullmatch(_UNITS.sub("", each))
        if contains(answer, each) or (figure is not None and numeric_match(answer, [each]) == 1.0):
            return True
    return False


# ---------------------------------------------------------------------------------------------------------- citations


def span_f1(given: Iterable[tuple[int, int]], gold: Iterable[tuple[int, int]]) -> float | None:
    """F1 of the characters in the given spans and in the gold spans, half-open, of one text. ``None`` without gold.

    Source: DeYoung et al. 2020, "ERASER", token F1 of rationales, here by characters.
    """
    ours, theirs = _characters(given), _characters(gold)
    if not theirs:
        return None
    return 2.0 * len(ours & theirs) / (len(ours) + len(theirs))


def span_iou(given: Iterable[tuple[int, int]], gold: Iterable[tuple[int, int]]) -> float | None:
    """Shared characters over all characters of both. ``None`` without gold. Source: DeYoung et al. 2020."""
    ours, theirs = _characters(given), _characters(gold)
    return len(ours & theirs) / len(ours | theirs) if theirs else None


def _characters(spans: Iterable[tuple[int, int]]) -> set[int]:
    return {at for start, end in spans for at in range(start, end)}


def statements(answer: str) -> list[tuple[int, int]]:
    """The sentences of an answer as spans."""
    spans, start = [], 0
    for match in [*_SENTENCE.finditer(answer), None]:
        end = match.start() if match else len(answer)
        if answer[start:end].strip():
            spans.append((start, end))
        start = match.end() if match else end
    return spans


def statement_coverage(answer: str, snippets: Sequence[tuple[str, tuple[int, int] | None]]) -> float | None:
    """The share of the answer's sentences that a citation carries.

    Each snippet comes with the part of the answer that it supports (``None``: all of it). A sentence is carried if some
    citation of it shares most of its words, and its numbers all stand in the citations of it.

    Source: ALCE's citation recall (Gao et al. 2023), with words and numbers in the place of an entailment model.
    """
    spans = statements(answer)
    if not spans:
        return None
    carried = 0
    for start, end in spans:
        own = [text for text, of in snippets if of is None or (of[0] < end and start < of[1])]
        words = set(normalise(answer[start:end]).split())
        known = {word for text in own for word in normalise(text).split()}
        numbers = {number for text in own for number in numbers_in(text)}
        shares = not words or len(words & known) >= len(words) / 2
        carried += bool(own) and shares and set(numbers_in(answer[start:end])) <= numbers
    return carried / len(spans)


def number_coverage(answer: str, snippets: Sequence[str]) -> float | None:
    """The share of the answer's numbers that stand in some citation. ``None`` if it has no number."""
    wanted = numbers_in(answer)
    if not wanted:
        return None
    known = {number for text in snippets for number in numbers_in(text)}
    return sum(number in known for number in wanted) / len(wanted)
