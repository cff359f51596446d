"""The analyser: tokens, stop words, stems, and the parts of identifiers.

The method is that of Lucene's analysers (its documentation, "analysis"): what a token expands to beside itself is not
counted in a document's length (``discountOverlaps``). Stems are Snowball's, through PyStemmer; the stop words are the
lists of the Snowball project that PostgreSQL ships (``stopwords/``).
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise

from rag_pgvector.analysis.batch import TermBatch
from rag_pgvector.analysis.scripts import ASCII_TOKENS, INVISIBLE, clusters, is_spaceless, tokens_of_any_script
from rag_pgvector.config import LANGUAGES
from rag_pgvector.errors import ConfigError

__all__ = [
    "ANALYSER_VERSION",
    "BATCH",
    "MAX_LENGTH",
    "MAX_TF",
    "Analyser",
    "Question",
    "Terms",
    "analyser",
    "phrase_pattern",
]

#: Changes whenever the same text gives other terms: postings made by another version have to be made anew.
ANALYSER_VERSION = 1

#: What a posting has room for: more occurrences, or a longer document, count as so many.
MAX_TF = (1 << 11) - 1
MAX_LENGTH = (1 << 21) - 1
#: Characters of a term; the rest of a longer one is cut off.
MAX_TERM = 64
#: Texts that are counted at once: they and their arrays take about 30 kB each.
BATCH = 16_384

_CACHED_TOKEN = 80
_CACHE_SIZE = 1 << 18

_PART = re.compile(r"[^-._@:/'&,+#%]+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?", re.ASCII)
_DECIMAL = re.compile(r"\d+[.,]\d+", re.ASCII)
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_HUMP = re.compile(r"[a-z][A-Z]|[A-Z]{2}[a-z]")
_PHRASE = re.compile(r'"([^"]{1,300})"|[“„«]([^“”„«»]{1,300})[”“»]')
_SPECIAL = re.compile(r"[^\w\s]", re.ASCII)
_INVISIBLE = dict.fromkeys(map(ord, INVISIBLE))


class Terms:
    """What a stored text is found by: how often each term stands in it (``counts``), and its ``length`` in tokens.

    Of many texts, which are counted together when that is asked for, ``batch`` and the text's ``index`` in it.
    """

    __slots__ = ("_counts", "_length", "batch", "index")

    def __init__(
        self,
        length: int | None = None,
        counts: dict[str, int] | None = None,
        *,
        batch: TermBatch | None = None,
        index: int = 0,
    ) -> None:
        self._length, self._counts, self.batch, self.index = length, counts, batch, index

    @property
    def length(self) -> int:
        if self._length is None:
            self._length = self.batch.length(self.index) if self.batch else 0
        return self._length

    @property
    def counts(self) -> dict[str, int]:
        if self._counts is None:
            self._counts = self.batch.counts(self.index) if self.batch else {}
        return self._counts

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Terms) and (self.length, self.counts) == (other.length, other.counts)

    def __hash__(self) -> int:
        return hash(self.length)

    def __repr__(self) -> str:
        return f"Terms(length={self.length}, counts={self.counts!r})"


@dataclass(frozen=True, slots=True)
class Question:
    """What a search asks for: terms with how often they were asked, and the phrases among them.

    Attributes:
        phrases: Tokens as they were written, case folded, stop words included.
        phrase_terms: The terms of each phrase.
        strict: Nothing was asked for but phrases: they must stand in a chunk. In a sentence they count for more.
    """

    terms: dict[str, int]
    phrases: tuple[tuple[str, ...], ...] = ()
    phrase_terms: tuple[tuple[str, ...], ...] = ()
    strict: bool = False


@lru_cache(maxsize=64)
def analyser(language: str) -> Analyser:
    """The one analyser of a language. Raises ConfigError for a language that there is none for."""
    return Analyser(language)


class Analyser:
    """Turns texts into terms. Deterministic; may be used by several threads."""

    def __init__(self, language: str) -> None:
        if language not in LANGUAGES:
            raise ConfigError(f"language={language!r}: use one of {', '.join(LANGUAGES)}")
        self.language = language
        self._stop = _stop_words(language)
        self._stemmer = None
        self._lock = threading.Lock()
        if language != "simple":
            import Stemmer

            self._stemmer = Stemmer.Stemmer(language, 0)
        self._known: dict[str, tuple[int, tuple[str, ...]]] = {}

    def terms(self, text: str) -> Terms:
        """The terms of a text to store. Takes time in proportion to its length."""
        known, learn = self._known.get, self._learn
        counts: dict[str, int] = {}
        length = 0
        for token in _tokens(text):  # the hot loop of a bulk load: most tokens are known and have one term
            size, terms = known(token) or learn(token)
            length += size
            for term in terms:
                if term in counts:
                    counts[term] += 1
                else:
                    counts[term] = 1
        if length > MAX_TF:  # else no count can be above it
            length = min(length, MAX_LENGTH)
            counts = {term: min(count, MAX_TF) for term, count in counts.items()}
        return Terms(length, counts)

    def all_terms(self, texts: Sequence[str]) -> list[Terms]:
        """``terms`` of many texts, counted together when they are needed: quicker from hundreds of them on."""
        known, learn = self._known.get, self._learn
        found = []
        for start in range(0, len(texts), BATCH):
            batch = TermBatch(
                texts[start : start + BATCH],
                _tokens,
                lambda token: known(token) or learn(token),
                max_length=MAX_LENGTH,
                max_tf=MAX_TF,
            )
            found += [Terms(batch=batch, index=i) for i in range(len(batch))]
        return found

    def question(self, text: str) -> Question:
        """The terms of a question. Quoted phrases are among them, and told apart as well."""
        counts: Counter[str] = Counter()
        for token in _tokens(text):
            counts.update(self._asked(token))
        phrases: dict[tuple[str, ...], tuple[str, ...]] = {}
        for match in _PHRASE.finditer(text):
            if tokens := _tokens(match[1] or match[2]):
                asked = (term for token in tokens for term in self._asked(token))
                phrases[tuple(token.casefold() for token in tokens)] = tuple(dict.fromkeys(asked))
        strict = not _tokens(_PHRASE.sub(" ", text))
        return Question(dict(counts), tuple(phrases), tuple(phrases.values()), bool(phrases) and strict)

    def _asked(self, token: str) -> tuple[str, ...]:
        if is_spaceless(token[0]):
            parts = clusters(token.casefold())
            # A character alone is only asked for where it stands alone: in a word the pairs say more.
            return tuple(_pairs(parts)) if len(parts) > 1 else (parts[0],)
        found = self._known.get(token)
        return (found if found is not None else self._learn(token))[1]

    def _learn(self, token: str) -> tuple[int, tuple[str, ...]]:
        with self._lock:  # a Stemmer is for one thread at a time
            found = self._expand(token)
        if len(token) <= _CACHED_TOKEN:
            if len(self._known) >= _CACHE_SIZE:
                self._known.clear()
            self._known[token] = found
        return found

    def _expand(self, token: str) -> tuple[int, tuple[str, ...]]:
        """How many tokens this one counts as in a document's length, and the terms that it is found by."""
        if is_spaceless(token[0]):
            parts = clusters(token.casefold())
            return max(1, len(parts) - 1), (*_pairs(parts), *parts)
        bare = token.rstrip("+#%")
        ending = token[len(bare) :]
        parts = _PART.findall(bare)
        if len(parts) == 1:
            terms = self._word(bare)
            if ending and terms:  # C++, C#, 6 %: also found without it
                return 1, (*terms, bare.casefold()[:MAX_TERM] + ending)
            return (1 if terms else 0), terms
        if _THOUSANDS.fullmatch(bare) or _DECIMAL.fullmatch(bare):
            number, extra = _number(bare)
            return 1, (number, *extra, *((number + ending,) if ending else ()))
        if set(_PART.sub("", bare)) == {"'"}:
            if self.language in ("english", "simple"):  # don't, Europe's; its stemmer knows the ending
                terms = self._word(bare)
                return (1 if terms else 0), terms
            terms = tuple(term for part in parts for term in self._word(part))  # l'homme
            return len(terms), terms
        split = [self._word(part) for part in parts]
        whole = token.casefold().translate(_INVISIBLE)
        terms = tuple(term for part in split for term in part)
        if len(whole) <= MAX_TERM:
            terms = (*terms, whole)
        return max(1, sum(map(bool, split))), terms

    def _word(self, word: str) -> tuple[str, ...]:
        """The stem of a word and, of one in camel case, its parts; nothing for a stop word."""
        folded = word.casefold().translate(_INVISIBLE)[:MAX_TERM]
        if folded in self._stop or not folded:
            return ()
        stem = self._stem(folded)
        if word.isascii() and _HUMP.search(word):
            parts = [part.lower() for part in _CAMEL.findall(word)]
            return (stem, *(self._stem(part) for part in parts if len(part) > 1 and part not in self._stop))
        return (stem,)

    def _stem(self, word: str) -> str:
        if self._stemmer is not None and not word.isdigit():
            word = self._stemmer.stemWord(word) or word
        return word if word.isascii() else _without_accents(word)


def phrase_pattern(words: Sequence[str]) -> str:
    """PostgreSQL's regular expression (``~*``, over text in NFKC) for tokens that follow each other in a text."""
    parts = [_between(words[0], "(?:^|[^[:alnum:]])")]
    for before, word in pairwise(("", *words)):
        if before:
            joined = is_spaceless(before[-1]) and is_spaceless(word[0])
            parts.append("[^[:alnum:]]*" if joined else "[^[:alnum:]]+")
        parts.append(_SPECIAL.sub(r"\\\g<0>", word))
    parts.append(_between(words[-1], "(?:$|[^[:alnum:]])"))
    return "".join(parts)


def _between(word: str, boundary: str) -> str:
    return "" if is_spaceless(word[0]) else boundary


def _tokens(text: str) -> list[str]:
    if text.isascii():
        return ASCII_TOKENS.findall(text)
    if "’" in text:
        text = text.replace("’", "'")
    return tokens_of_any_script().findall(unicodedata.normalize("NFKC", text))


def _pairs(parts: list[str]) -> list[str]:
    return [first + second for first, second in pairwise(parts)]


def _number(text: str) -> tuple[str, tuple[str, ...]]:
    """A number without its thousands separators and with a decimal point, and the numbers that it may be instead."""
    if _THOUSANDS.fullmatch(text):
        if text.count(".") > 1:
            return text.replace(".", "").replace(",", "."), ()
        plain = text.replace(",", "")
        # 1,234 may be 1.234 where the comma is decimal
        return plain, ((text.replace(",", "."),) if text.count(",") == 1 and "." not in text else ())
    if "," in text:
        return text.replace(",", "."), tuple(text.split(","))  # a decimal comma, or two numbers of a list
    return text, ()


def _without_accents(word: str) -> str:
    """Latin letters without their accents; in other scripts marks are letters."""
    kept = []
    latin = False
    for char in unicodedata.normalize("NFD", word):
        if unicodedata.category(char)[0] != "M":
            latin = char < "\u0250"
        elif latin:
            continue
        kept.append(char)
    return unicodedata.normalize("NFC", "".join(kept))


def _stop_words(language: str) -> frozenset[str]:
    file = resources.files("rag_pgvector.analysis") / "stopwords" / f"{language}.txt"
    return frozenset(file.read_text(encoding="utf-8").split()) if file.is_file() else frozenset()
