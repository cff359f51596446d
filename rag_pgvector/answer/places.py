"""Places in a question that nothing of what was found knows: whatever is said there is of somewhere else.

Vectors forgive a name: a sentence about the income of one city is as near as can be to a question about another's. So
a name behind "in" or "from" that stands in none of the chunks that were found, nor in their titles, headings and
sources, is a veto. Other names are not: what a collection is about, the company or the speaker, often stands nowhere in
it. They lower the confidence as missing words do. It is meant to ring only where there is no doubt; ``strangers`` lists
what it leaves alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import takewhile

from rag_pgvector.answer.lexical import FRAME_WORDS, STOPWORDS, fold, stem
from rag_pgvector.answer.vocabulary import MONTHS

__all__ = ["strangers"]

_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*")
#: Words before a name that make it where something is, was or comes from.
_WHERE = re.compile(
    r"\b(?:in|at|from|near|within|inside|outside|across|throughout|around|di|ke|dari|daripada|en|desde|hacia|dans|depuis)"
    r"(?: (?:city|state|district|province|bandar|kota|negeri|provinsi|daerah))? $",
    re.IGNORECASE,
)
#: Words that tell a language whose nouns all have capitals.
_NOUNS_HAVE_CAPITALS = frozenset(
    "der die das ist sind und wie wer wann wo welche welcher welches ein eine dem den".split()
)
_DAYS = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday isnin selasa rabu khamis kamis jumaat jumat sabtu ahad "
    "minggu lunes martes miercoles jueves viernes sabado domingo".split()
)
#: Adjectives of countries that share too little with the country's name.
_OF_A_COUNTRY = re.compile(r"(?:ish|ese|nch|tch|lsh|swiss)$")
#: What forms of one name end in, after at least so many letters in common: Canada and Canadian, Norway and Norwegian.
_SHARED = 4
_ENDING = re.compile(
    r"(?:|a|ai|an|ans|as|ay|ce|e|ean|eans|ek|ese|egian|egians|er|ers|es|i|ia|ian|ians|ic|in|ine|ines|is|k|kan|lah|land|"
    r"n|ns|nya|o|os|s|ts|um|us|vian|vians|y)"
)
#: How like two spellings of one name are.
_SPELLED = 0.8


def strangers(question: str, texts: Sequence[str], known: Iterable[str]) -> list[str]:
    """The places that a question names and that stand in none of the texts, nor among the known terms.

    Left alone: abbreviations in capitals ("API"), months and days, adjectives of countries, names of which the texts
    hold the initials, another form or another spelling ("Canadian" and Canada, "Sheeshanks" and Sheepshanks), names
    of several words whose last one is there, and all names of a question that is written in capitals, as titles are,
    or in German.

    Args:
        texts: What was found.
        known: The terms of these texts and of what stands above them (``lexical.term_set``).
    """
    runs = list(_names(question))
    if not runs:
        return []
    terms = frozenset(known)
    lacking = [run for run in runs if stem(fold(run[-1])) not in terms and not _half_there(run, terms)]
    if not lacking:
        return []
    words = frozenset(fold(word) for text in texts for word in _WORD.findall(text)) | terms
    return [" ".join(run) for run in lacking if not (_spelled(run[-1], words) or _abbreviated(run, texts))]


def _names(question: str) -> Iterator[list[str]]:
    """The capitalised words, of one name each, that stand behind a word of place."""
    found = list(_WORD.finditer(question))
    plain = [match.group() for match in found[1:]]
    capitals = sum(word[0].isupper() for word in plain)
    if 2 * capitals > len(plain) > 3 or len(_NOUNS_HAVE_CAPITALS.intersection(word.casefold() for word in plain)) > 1:
        return
    run: list[str] = []
    end = -2
    for match in found:
        word = match.group()
        if run and match.start() != end + 1:
            yield run
            run = []
        if word.endswith(("'s", "’s")):
            run = []  # "in Biden's speech" is in a speech
        elif _is_name(word) and (run or _WHERE.search(question, 0, match.start())):
            run.append(word)
            end = match.end()
    if run:
        yield run


def _is_name(word: str) -> bool:
    folded = fold(word)
    return (
        len(word) > 2
        and word[0].isupper()
        and not word[1:].isupper()
        and word[1:].islower()
        and not (folded in STOPWORDS or folded in FRAME_WORDS or folded in MONTHS or folded in _DAYS)
        and not _OF_A_COUNTRY.search(folded)
    )


def _half_there(run: Sequence[str], terms: frozenset[str]) -> bool:
    return sum(stem(fold(word)) in terms for word in run) * 2 > len(run)


def _spelled(name: str, words: Iterable[str]) -> bool:
    """True where a word is another form or spelling of the name."""
    wanted = fold(name)
    matcher = SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted)
    for word in words:
        if len(word) < 3 or word[:2] != wanted[:2]:
            continue
        shared = sum(takewhile(bool, (ours == theirs for ours, theirs in zip(word, wanted, strict=False))))
        if shared >= _SHARED and _ENDING.fullmatch(word[shared:]) and _ENDING.fullmatch(wanted[shared:]):
            return True
        matcher.set_seq1(word)
        if matcher.real_quick_ratio() >= _SPELLED and matcher.ratio() >= _SPELLED:
            return True
    return False


def _abbreviated(run: Sequence[str], texts: Sequence[str]) -> bool:
    """True where a text has the initials of a name of several words."""
    if len(run) < 2:
        return False
    initials = "".join(word[0] for word in run)
    pattern = re.compile(r"(?<!\w)" + r"\.?".join(map(re.escape, initials)) + r"(?!\w)")
    return any(pattern.search(text) for text in texts)
