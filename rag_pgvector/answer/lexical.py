"""Lexical evidence: terms of a question, how rare they are among the candidates, and how much of them a text covers.

Rarity (idf) comes from the candidates at hand; what a term's form says about it (a function word, a number, a name, an
identifier) comes from the question. Words are reduced by a light stemmer for English, Malay and Indonesian: a stem is
only ever compared with stems of the same stemmer, so it need not be a word.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

__all__ = ["Query", "coverage", "fold", "idf", "pair_coverage", "read_query", "stem", "term_set", "terms", "tokens"]

#: Words that say how something is asked, not what: they weigh nothing.
STOPWORDS = frozenset(
    """
    a about after all also am an and any are as at be because been before being between both but by can could did do
    does doing done during each for from get give had has have having he her here hers him his how i if in into is
    it its itself just let may me might mine more most much must my of off on one only onto or other our ours out
    over own per please shall she should so some such tell than that the their theirs them then there these they
    this those through to too under until up upon us very was we were what whats when where whether which while who
    whom whose why will with within without would you your yours show find list many kind type called name named
    exactly actually ada adakah adalah agar akan aku anda antara apa apabila apakah atas atau awak bagai bagaimana
    bagaimanakah bagi bahawa bahwa banyak beberapa berapa berapakah berikan bila bilakah boleh bukan dalam dan dapat
    dari daripada dengan di dia dimana dimanakah hanya hingga ia ialah ini itu jika juga kah kami kamu kapan
    kapankah karena ke kepada kerana ketika kita lagi lah lebih mana manakah mengapa mereka nama namanya namun nya
    oleh pada para pun pula saat saja sahaja saya sebagai sebuah secara seorang seperti serta setiap siapa siapakah
    sudah suatu tahukah telah tentang terhadap tersebut tunjukkan untuk yaitu yakni yang
    """.split()
)

#: Words that a question's frame brings along and an answer seldom repeats: they weigh half.
FRAME_WORDS = frozenset(
    """
    amount around call consider describe different example explain happen know known kind like main mean number
    occur people place purpose reason refer see term thing time two use used using usually way work year tahun orang
    jumlah tempat masa waktu terjadi digunakan disebut dikenal merupakan terletak
    """.split()
)

_WORD = re.compile(
    r"\d+(?:[.,]\d+)*(?:st|nd|rd|th|s)?(?![^\W_])"  # 1,234.5  10th  1990s
    r"|[^\W_]+(?:['’][^\W_]+)*(?:[._:\-]+[^\W_]+)*(?:\(\))?",  # word, don't, snake_case, a.b, A::B, copy()
    re.UNICODE,
)
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f]+")
_PART = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
#: "v2.0.1" is 2.0.1, and 2.0.1 is of the series 2.0.
_VERSION = re.compile(r"[vV](\d+(?:\.\d+)+)")
_SERIES = re.compile(r"(\d+\.\d+)\.\d[\d.]*")


def fold(text: str) -> str:
    """Case, width, accents and typographic apostrophes removed: what two spellings of a word share."""
    decomposed = unicodedata.normalize("NFKD", text.replace("’", "'").casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def number(text: str) -> str | None:
    """The digits of a number without its thousands separators, ``None`` where ``text`` has none."""
    found = _NUMBER.match(text)
    if not found:
        return None
    digits = found.group()
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", digits):
        digits = digits.replace(",", "")
    return digits


_BRITISH = re.compile(r"(?<=[a-z]{3})our(?=(?:s|ed|ing|ite|able|al|hood)*$)")


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """A light stem: English inflections, and the commonest Malay and Indonesian affixes."""
    if word.endswith("'s"):
        word = word[:-2]
    word = _BRITISH.sub("or", word)
    if len(word) < 4 or not word.isalpha():
        return word
    for suffix in ("nya", "kan", "lah", "kah"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 4:
            word = word[: -len(suffix)]
            break
    for suffix, instead in (
        ("ational", "ate"),
        ("ization", "ize"),
        ("isation", "ize"),
        ("fulness", "ful"),
        ("iveness", "ive"),
        ("ements", ""),
        ("ations", "ate"),
        ("ation", "ate"),
        ("ement", ""),
        ("ments", ""),
        ("ment", ""),
        ("ness", ""),
        ("ions", ""),
        ("ion", ""),
        ("ies", "y"),
        ("ied", "y"),
        ("ings", ""),
        ("ing", ""),
        ("ance", ""),
        ("ence", ""),
        ("able", ""),
        ("ible", ""),
        ("sses", "ss"),
        ("ers", ""),
        ("ors", ""),
        ("ed", ""),
        ("er", ""),
        ("or", ""),
        ("es", ""),
        ("ly", ""),
        ("al", ""),
    ):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)] + instead
            break
    else:
        if word.endswith("s") and not word.endswith(("ss", "us", "is")):
            word = word[:-1]
    if len(word) > 4 and word[-1] in "ey":
        word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou":
        word = word[:-1]
    return word


def tokens(text: str) -> list[str]:
    """The words, numbers and identifiers of a text, in order. Scripts without spaces give pairs of characters."""
    found: list[str] = []
    for match in _WORD.finditer(text):
        word = match.group()
        if _CJK.search(word):
            for run in _CJK.findall(word):
                found += [run[i : i + 2] for i in range(len(run) - 1)] or [run]
            found += [part for part in _CJK.split(word) if _PART.search(part)]
        else:
            version = _VERSION.fullmatch(word)
            found.append(version.group(1) if version else word)
    return found


@lru_cache(maxsize=65_536)
def _terms_of(token: str) -> tuple[str, ...]:
    digits = number(token)
    if digits is not None and digits[-1].isdigit() and re.fullmatch(r"[\d.,]+(st|nd|rd|th|s)?", token):
        series = _SERIES.fullmatch(digits)
        return (digits, series.group(1)) if series else (digits,)
    folded = fold(token)
    parts = _PART.findall(folded)
    if len(parts) < 2:
        return (stem(folded.removesuffix("()")),)
    # "hnsw.ef_search" is also "ef_search".
    whole = tuple(
        dict.fromkeys(part for part in (folded.removesuffix("()"), *re.split(r"[.:]+", folded)) if "_" in part)
    )
    if not whole and re.search(r"[.:(]", folded):
        whole = (folded.removesuffix("()"),)
    # "well-known" is also "well" and "known"; "don't" stays whole.
    return (*whole, *(map(stem, parts) if "'" not in folded else (stem(folded),)))


def terms(text: str) -> list[str]:
    """The terms of a text: folded, stemmed, numbers without separators; an identifier gives itself and its parts."""
    return [term for token in tokens(text) for term in _terms_of(token)]


@lru_cache(maxsize=4_096)
def term_set(text: str) -> frozenset[str]:
    """The distinct terms of a text. Those of the last few thousand texts are remembered: questions meet them again."""
    return frozenset(terms(text))


@dataclass(frozen=True, slots=True)
class Query:
    """What a question asks for.

    Attributes:
        text: The question.
        weights: Weight of each content term by its form, before rarity.
        pairs: Neighbouring content terms.
        names: Terms of capitalised names (not the first word's capital).
        numbers: Numbers and years; evidence without them is no evidence.
        sizes: Those of them that say how much the asker has ("my table of 500,000 rows"): evidence may lack them.
        literals: Quoted strings and identifiers, folded; the same.
        wants: What the answer should hold: "number", "year", "date", "version", "name", "code" or "".
    """

    text: str
    weights: Mapping[str, float]
    pairs: tuple[tuple[str, str], ...]
    names: frozenset[str]
    numbers: frozenset[str]
    literals: frozenset[str]
    wants: str
    sizes: frozenset[str] = frozenset()

    @property
    def required(self) -> frozenset[str]:
        """The numbers that evidence must hold. Small ones are often spelled out."""
        large = {number for number in self.numbers if not number.isdigit() or int(number[:9]) > 12}
        return frozenset(large) - self.sizes


_QUOTED = re.compile("\"([^\"\n]{2,80})\"|“([^”\n]{2,80})”|`([^`\n]{1,80})`|(?<!\\w)'([^'\n]{2,80})'(?!\\w)")
_IDENTIFIER = re.compile(
    r"(?<![\w.])(?:(?:[^\W\d_]\w*\.)*\w*[^\W\d_]\w*(?:_\w+)+|\w+(?:::\w+)+|\w+\(\)|[a-z]+[A-Z]\w*)"
)
#: "When" that asks, and not "at the time that": before its verb, after a verb of asking, or last.
_WHEN = (
    r"(?:^\W*|[,;:] ?|\b(?:since|until|till|by|and|or|exactly) )"
    r"when(?:'s| (?:did|do|does|was|were|is|are|has|have|had|will)\b)"
    r"|\b(?:know|tell(?: \w+)?|says?|remember|state|ask|wonder|find out) (?:exactly )?when\b|\bwhen\W*$"
)
#: "Who" that asks, and not "the people who".
_WHO = (
    r"(?:^\W*|[,;:] ?|\b(?:by|to|for|from|with|of|and|or|know|says?|tell(?: \w+)?) )who(?:m|se)?\b|\bwhom?\W*$"
    r"|\bsiapa(?:kah)?\b"
)
#: Malay's "when", which is "if" where something else is asked.
_BILA = (
    r"(?:^\W*|\b(?:sejak|sampai|hingga) )bila(?:kah)?\b"
    r"(?!.*\b(?:apa(?:kah)?|siapa|berapa|bagaimana|mengapa|kenapa|mana)\b)"
)
_CODE_FRAME = frozenset("code write written call called invoke syntax command statement".split())
_WANTS = (
    (
        "code",
        r"\bhow (?:do|does|can|to|is|are)\b.*\b(?:code|write|written|call|invoke|install)\b|\b(?:syntax|command)\b",
    ),
    ("year", r"\b(?:what|which|in what|in which) year\b|\btahun (?:berapa|apa)\b|\bpada tahun berapa"),
    ("date", rf"{_WHEN}|\b(?:what|which) (?:date|day)\b|\bkapan(?:kah)?\b|{_BILA}"),
    (
        "version",
        r"\b(?:what|which) (?:[\w.]+ ){0,4}(?:versions?|releases?(?! (?:dates?|notes?)))\b|\bversi (?:berapa|mana)",
    ),
    ("number", r"\bhow (?:many|much|long|far|tall|old|large|big|high)\b|\bwhat (?:percent|number|fraction)|\bberapa"),
    ("name", _WHO),
)


def read_query(question: str) -> Query:
    """Takes a question apart."""
    weights: dict[str, float] = {}
    order: list[str] = []
    names: set[str] = set()
    numbers: set[str] = set()
    shouted = question.upper() == question
    wants = next((kind for kind, pattern in _WANTS if re.search(pattern, question, re.IGNORECASE)), "")
    for index, token in enumerate(tokens(question)):
        digits = number(token)
        for term in _terms_of(token):
            if digits is not None and _SERIES.fullmatch(digits) and term != digits:
                continue  # who asks about 2.0.1 does not ask about 2.0
            folded = fold(token)
            if folded in STOPWORDS or (term in STOPWORDS and len(term) < 3):
                continue
            if len(term) == 1 and not term.isdigit() and term.isascii() and not token.isupper():
                continue
            weight = 1.0
            if folded in FRAME_WORDS or (wants == "code" and folded in _CODE_FRAME):
                weight = 0.5
            elif digits is not None and term == digits:
                weight = 1.5
                numbers.add(term)
            elif token[0].isupper() and not shouted and (index > 0 or token[1:].isupper()):
                weight = 1.3
                names.add(term)
            weights[term] = max(weight, weights.get(term, 0.0))
            order.append(term)
    literals = {fold(next(group for group in match.groups() if group)).strip() for match in _QUOTED.finditer(question)}
    for match in _IDENTIFIER.finditer(question):
        # Of "hnsw.ef_search" each part: a text may name them apart.
        literals.update(fold(match.group()).removesuffix("()").split("."))
    return Query(
        text=question,
        weights=weights,
        pairs=tuple(dict.fromkeys(pairwise(order))),
        names=frozenset(names),
        numbers=frozenset(numbers),
        literals=frozenset(literal for literal in literals if literal),
        wants=wants,
        sizes=frozenset(_sizes(question)),
    )


#: Who asks about what is theirs, or supposes something.
_MINE = re.compile(r"\b(?:I|I'm|I've|my|we|we've|our|if|suppose|assume|assuming|say|imagine)\b(?!\.)", re.IGNORECASE)
#: A number that counts the things named after it: not a year, not a version, not part of a name.
_COUNTED = re.compile(
    r"(?<![\w.,#§/-])(\d[\d,]*(?:\.\d+)?)(?: (?:thousand|million|billion))?[ -]([a-z]{2,})\b(?!\s*\d)"
)
_NAMING = re.compile(
    r"\b(?:in|of|since|until|year|version|section|chapter|article|rule|error|code|port|number|no|page|step|part|rfc|pep)"
    r"\.? $",
    re.IGNORECASE,
)
_MONTH_OR_LINK = frozenset(
    "am and as at by for from in is of on or pm than that the to was when with january february march april may june "
    "july august september october november december".split()
)


def _sizes(question: str) -> Iterator[str]:
    """The numbers in a question that tell of the asker's own case."""
    mine = _MINE.search(question)
    for match in _COUNTED.finditer(question) if mine else ():
        digits = number(match.group(1))
        plain = re.fullmatch(r"(?:1\d|2[01])\d\d", match.group(1).rstrip(",")) is not None
        before = _NAMING.search(question, 0, match.start())
        named = before is not None and before.group().strip(" .").casefold() not in ("of", "in")
        if digits and not plain and not named and match.group(2) not in _MONTH_OR_LINK:
            yield digits


def idf(query: Query, texts: Iterable[Set[str]], count: int) -> dict[str, float]:
    """Weight of each of the question's terms: its form times how rare it is among the candidates.

    Args:
        texts: The set of terms of each candidate.
        count: How many there are.
    """
    frequency = dict.fromkeys(query.weights, 0)
    for text in texts:
        for term in query.weights.keys() & text:
            frequency[term] += 1
    return {
        term: weight * math.log(1.0 + (count + 0.5) / (frequency[term] + 0.5)) for term, weight in query.weights.items()
    }


def coverage(weights: Mapping[str, float], present: Set[str]) -> float:
    """The share of the weight that stands in a text, 0 to 1."""
    total = sum(weights.values())
    return sum(weight for term, weight in weights.items() if term in present) / total if total else 0.0


def pair_coverage(query: Query, sequence: Sequence[str]) -> float:
    """The share of the question's neighbouring terms that stand within four terms of each other in a text."""
    if not query.pairs:
        return 0.0
    places: dict[str, list[int]] = {}
    for place, term in enumerate(sequence):
        if term in query.weights:
            places.setdefault(term, []).append(place)
    near = sum(
        any(abs(i - j) <= 4 for i in places.get(first, ()) for j in places.get(second, ()))
        for first, second in query.pairs
    )
    return near / len(query.pairs)
