"""How a short name in a table says what a question says in full: initials, beginnings, words run together.

Only whole runs of letters count, and only of words that say what is asked for: "hp" is not "highest population".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rag_pgvector.answer.asked import Asked
from rag_pgvector.answer.lexical import STOPWORDS
from rag_pgvector.answer.vocabulary import LATEST, NEGATIONS, NEUTRAL, RATES, SUBJECTS

__all__ = ["abbreviates", "beside", "compound", "in_full", "initial_beside", "initials"]

#: Words that one name is made of at most, and letters that a word's beginning has at least.
_WORDS, _LETTERS = 4, 3


def in_full(name: Sequence[str], asked: Asked) -> bool:
    """True where the question writes a name of several words as it is, in one or apart."""
    if len(name) < 2:
        return False
    length = len(name)
    runs = (asked.words[start : start + length] for start in range(len(asked.words) - length + 1))
    return "".join(name) in asked.words or tuple(name) in runs


def initials(short: str, asked: Asked) -> set[int]:
    """The places of neighbouring words that a short name abbreviates: "sa" for "seasonally adjusted"."""
    if not 2 <= len(short) <= 5 or not re.fullmatch(r"[a-z]+", short):
        return set()
    words = list(enumerate(asked.words))
    for start in range(len(words) - len(short) + 1):
        run = words[start : start + len(short)]
        if all(word.startswith(letter) for letter, (_, word) in zip(short, run, strict=True)):
            places = {place for place, _ in run}
            if not places & asked.time_words and all(_says_something(place, asked) for place in places):
                return places
    # "tenaga buruh" is the labour force: concepts have initials too.
    for term, at in asked.heard:
        if "".join(piece[0] for piece in term.split()) == short:
            return set(at)
    return set()


def _says_something(place: int, asked: Asked) -> bool:
    word = asked.words[place]
    if word in NEGATIONS:
        return True
    return len(word) > 2 and place not in asked.operations and word not in LATEST | STOPWORDS


def compound(name: str, asked: Asked) -> set[int]:
    """The places of neighbouring words whose beginnings make up a name: "per capita" for "percap", "body weight" for
    "bodywt", "piped water" for "pipedwater"."""
    if len(name) < 2 * _LETTERS - 1 or not name.isalpha():
        return set()
    for start in range(len(asked.words) - 1):
        if length := _spelled(name, asked.words[start : start + _WORDS], 0):
            return set(range(start, start + length))
    return set()


def _spelled(rest: str, words: Sequence[str], at: int) -> int:
    """With how many of the words, from ``at`` on, the rest of a name is used up; 0 where it cannot be."""
    if not rest:
        return at if at > 1 else 0
    if at == len(words):
        return 0
    for length in range(min(len(rest), len(words[at])), 1, -1):
        piece = rest[:length]
        begins = words[at].startswith(piece) and (length >= _LETTERS or piece == words[at])
        if (begins or (at and abbreviates(piece, words[at]))) and (found := _spelled(rest[length:], words, at + 1)):
            return found
    return 0


def abbreviates(short: str, word: str) -> bool:
    """True for a word's first letter, consonants of it and its last: "wt" for "weight", "qty" for "quantity"."""
    if set(short[1:]) & set("aeiou"):
        return False
    if not 2 <= len(short) <= 4 or len(word) < len(short) + 2 or (short[0], short[-1]) != (word[0], word[-1]):
        return False
    letters = iter(word)
    return all(letter in letters for letter in short)


def beside(term: str, near: set[int], asked: Asked) -> set[int]:
    """The place of a word next to those that the rest of a name says, of which the term is the beginning, or what is
    left of it: "exp" in "lifeExp" where "life expectancy" is asked for."""
    if len(term) < 2 or not term.isalpha():
        return set()
    for place in sorted({each + step for each in near for step in (-1, 1)} - near):
        if not 0 <= place < len(asked.words) or asked.words[place] in STOPWORDS or place in asked.time_words:
            continue
        if asked.named[place]:
            # A name is not abbreviated: what it names must be there.
            continue
        word = asked.words[place]
        if (len(term) >= _LETTERS and word.startswith(term)) or abbreviates(term, word):
            return {place}
    return set()


def initial_beside(letter: str, term: str, asked: Asked, about: frozenset[str]) -> set[int]:
    """The place of a word that one letter stands for, next to the word that stands next to it: "u_rate"."""
    heard = asked.heard
    for at, (said, _) in enumerate(heard):
        if said == term:
            for other in (at - 1, at + 1):
                if (
                    0 <= other < len(heard)
                    and heard[other][0].startswith(letter)
                    and not asked.named[heard[other][1][0]]
                ):
                    return set(heard[other][1])
    if term in RATES and asked.wants == "rate":
        likely = [
            places
            for said, places in heard
            if said.startswith(letter) and said not in about | NEUTRAL and asked.words[places[0]] not in SUBJECTS
        ]
        return set(likely[0]) if len(likely) == 1 else set()
    return set()
