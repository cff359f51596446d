"""Values in a text that a question can ask for: years, dates, numbers with their unit, names. Where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rag_pgvector.answer.lexical import fold, terms
from rag_pgvector.answer.vocabulary import MONTHS

__all__ = ["IN_HEADINGS", "KINDS", "NUMERALS", "Value", "amounts", "counts", "holds", "values"]

#: What a question can ask for that is a value.
KINDS = frozenset({"year", "date", "version", "number", "name"})
#: What the heading above a text can say of it: a change log's entries stand under their date and version.
IN_HEADINGS = frozenset({"year", "date", "version"})


@dataclass(frozen=True, slots=True)
class Value:
    """A value at ``text[start:end]``; ``key`` is equal for two spellings of one value."""

    start: int
    end: int
    key: str


_MONTH = "|".join(sorted((re.escape(name) for name in MONTHS), key=len, reverse=True))
_YEAR = re.compile(r"(?<![\w.,])(?:1[0-9]|20)\d\d(?:s|–\d\d|-\d\d)?(?![\w%]|[.,]\d)")
_DATE = re.compile(
    rf"(?<!\w)(?:(?:\d{{1,2}}(?:st|nd|rd|th)?(?: of)? )(?:{_MONTH})\.?(?:,? (?:1\d|20)\d\d)?"
    rf"|(?:{_MONTH})\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? (?:1\d|20)\d\d)?(?!\d)"
    rf"|(?:{_MONTH})\.?,? (?:1\d|20)\d\d"
    r"|(?:1\d|20)\d\d[-/]\d{1,2}[-/]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:1\d|20)\d\d"
    r"|(?:\d{1,2}(?:st|nd|rd|th) century))(?!\w)",
    re.IGNORECASE,
)
_UNIT = (
    r"%|per ?cent|percent|peratus|persen|degrees?|seconds?|minutes?|hours?|days?|weeks?|months?|years?|rows?|tokens?|"
    r"bytes?|[kmgtKMGT]i?[bB]|ms|million|billion|trillion|thousand|hundred|juta|ribu|miliar|[kcm]m\b|kg|metres?|meters?|"
    r"miles?|feet|dimensions?|people|orang|tahun|saat|minit|menit"
)
_NUMBER = re.compile(
    r"(?<![\w.,])(?:[$€£¥]|RM ?|Rp ?)?[+\-−]?\d+(?:[.,]\d+)*"
    rf"(?:\s?(?:{_UNIT})(?:\s(?:million|billion|years?|people))?)?(?!\w)"
)
#: The number of a clause: "2.1 The rent is due".
_CLAUSE = re.compile(r"^[ \t]*\d{1,2}(?:\.\d{1,2})+\.?(?=[ \t]+[A-Z])", re.MULTILINE)
_VERSION = re.compile(r"(?<![\w.,])v?\d+(?:\.(?:\d+|x))+(?![\w%]|[.,]\d)")
_ONES = "one|two|three|four|five|six|seven|eight|nine"
#: Numbers in words, for a regular expression.
NUMERALS = (
    rf"(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[ \-](?:{_ONES}))?|{_ONES}|ten|eleven|twelve|"
    r"(?:thir|four|fif|six|seven|eigh|nine)teen|dozen|hundred|thousand|million|billion|half|third|quarter|satu|dua|"
    r"tiga|empat|lima|enam|tujuh|lapan|delapan|sembilan|sepuluh|ratus|ribu|juta"
)
_WORDED = re.compile(rf"\b(?:{NUMERALS})\b", re.IGNORECASE)
_NAME = re.compile(
    r"(?<![\w.])[A-Z][^\W\d_]*(?:[.'’\-][^\W\d_]+)*\.?"
    r"(?: (?:(?:of|the|de|la|van|von|der|di|da|bin|binti|al|el|and)(?= [A-Z]) )?"
    r"[A-Z][^\W\d_]*(?:[.'’\-][^\W\d_]+)*\.?)*"
)
_CENTURY = re.compile(r"\bcentury\b|\babad\b", re.IGNORECASE)


def holds(wants: str, text: str, *, has_code: bool = False) -> float:
    """How well a text can hold what is asked for, 0 to 1: it helps to choose one, and says nothing of being right."""
    if wants in ("year", "date"):
        if _YEAR.search(text) or _DATE.search(text):
            return 1.0
        return 0.5 * bool(_CENTURY.search(text) or _NUMBER.search(text))
    if wants == "version":
        return 1.0 if _VERSION.search(text) else 0.5 * bool(_NUMBER.search(text))
    if wants == "number":
        return float(bool(_NUMBER.search(text) or _WORDED.search(text)))
    if wants == "name":
        return float(any(match.start() > 0 for match in _NAME.finditer(text)))
    if wants == "code":
        return 1.0 if has_code else 0.4 * ("`" in text)
    return 0.0


def values(wants: str, text: str) -> list[Value]:
    """The values of the kind that is asked for, in order. Nothing for a question that asks for no such kind."""
    return list(_values(wants, text))


def amounts(text: str) -> list[Value]:
    """The numbers of a text that are no part of a date and no year: digits, or words where there are none."""
    dates = [(match.start(), match.end()) for match in (*_DATE.finditer(text), *_YEAR.finditer(text))]
    found = [each for each in values("number", text) if not any(low <= each.start < high for low, high in dates)]
    return found or [Value(match.start(), match.end(), fold(match.group())) for match in _WORDED.finditer(text)]


def counts(text: str, thing: str) -> list[Value]:
    """The numbers, in digits or words, that count a thing: "seven flats", "61 rare species"."""
    found = [*values("number", text), *(Value(m.start(), m.end(), fold(m.group())) for m in _WORDED.finditer(text))]
    places = {each.start: each for each in found if thing in terms(text[each.end : each.end + 60])[:2]}
    return [places[start] for start in sorted(places)]


def _values(wants: str, text: str) -> Iterator[Value]:
    taken = 0
    if wants in ("year", "date"):
        for match in sorted([*_DATE.finditer(text), *_YEAR.finditer(text)], key=lambda m: (m.start(), -m.end())):
            if match.start() >= taken:
                taken = match.end()
                yield Value(match.start(), match.end(), " ".join(terms(match.group())))
    elif wants == "version":
        for match in _VERSION.finditer(text):
            yield Value(match.start(), match.end(), terms(match.group())[0])
    elif wants == "number":
        clauses = {match.end() for match in _CLAUSE.finditer(text)}
        numbers = [match for match in _NUMBER.finditer(text) if match.end() not in clauses]
        for match in numbers:
            yield Value(match.start(), match.end(), " ".join(terms(match.group())))
        if not numbers:
            for match in _WORDED.finditer(text):
                yield Value(match.start(), match.end(), fold(match.group()))
    elif wants == "name":
        for match in _NAME.finditer(text):
            yield Value(match.start(), match.end(), " ".join(terms(match.group())))
