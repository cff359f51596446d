"""Negation and direction: what turns a sentence into its contrary and costs one word."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from itertools import zip_longest

from rag_pgvector.answer.lexical import STOPWORDS, fold, stem, terms
from rag_pgvector.answer.quantities import MEASURES

__all__ = ["agrees", "clause_before", "content", "is_negated", "opposed"]

NEGATORS = frozenset(
    """
    not no never none neither cannot without nothing nobody nowhere hardly unable false untrue incorrect
    tidak tak bukan bukannya tiada tanpa belum jangan enggak nggak
    nicht kein keine keinen keiner keinem keines nie niemals ohne
    pas jamais sans aucun aucune rien
    nunca jamás sin ningún ninguna ninguno nada
    não nunca sem nenhum nenhuma
    non mai senza nessun nessuno nessuna
    niet geen nooit zonder
    не нет никогда без ни
    لا لم لن ليس ليست بدون
    """.split()
)
_IDEOGRAPHIC = re.compile("[不没沒無无非未]|ない|ません|ず(?=[、。])")
_NUMERO = re.compile(r"\b[Nn][Oo]s?\.?\s*(?=\d)")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]|;|\n\s*\n")
_CLAUSE_END = re.compile(r"[.!?…;:,()\[\]—–]+(?=\s|$)|[。！？、，；：（）]|\n|(?<=\s)[—–-](?=\s)")
#: What follows these stands on its own: "it is not cheap, but it lasts".
_CONTRAST = re.compile(
    r"\b(?:but|however|although|though|whereas|while|yet|because|therefore|instead|"
    r"tetapi|namun|sedangkan|kerana|karena|maka|sebaliknya|aber|sondern|mais|pero|sino)\b",
    re.IGNORECASE,
)
_FIELD = re.compile(r"\s*[^\n:]{1,60}:\s")

_OPPOSITES = tuple(
    (frozenset(ones.split()), frozenset(others.split()))
    for ones, others in (
        (
            "increase increased increases increasing rise rises rose risen rising grow grows grew grown growing gained "
            "climbed jumped meningkat naik bertambah",
            "decrease decreased decreases decreasing fall falls fell fallen falling decline declined declines "
            "declining drop drops dropped dropping shrank lost reduced menurun turun berkurang",
        ),
        ("higher highest above exceeds exceeded", "lower lowest below under"),
        ("more most larger largest greater maximum max", "less least fewer fewest smaller smallest minimum min"),
        ("before prior earlier sebelum", "after later following selepas setelah"),
        (
            "allow allows allowed permits permitted legal dibenarkan",
            "forbid forbids forbidden prohibits prohibited banned illegal dilarang",
        ),
        ("always selalu", "never"),
        ("open opens opened", "closed closes"),
        ("accept accepts accepted approved approves", "reject rejects rejected refused denied refuses denies"),
        ("enable enabled enables", "disable disabled disables"),
        ("safe", "unsafe dangerous"),
        ("north northern utara", "south southern selatan"),
        ("east eastern timur", "west western barat"),
        ("win wins won", "lose loses lost"),
        ("true correct", "false incorrect untrue"),
        ("include includes included including", "exclude excludes excluded excluding except"),
        ("hot hotter warm", "cold colder cool"),
        ("possible", "impossible"),
        ("required mandatory", "optional voluntary"),
    )
)


def _negations(text: str) -> int:
    found = len(_IDEOGRAPHIC.findall(text))
    words = [match.group().casefold().replace("’", "'") for match in _WORD.finditer(_NUMERO.sub(" ", text))]
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        if word.endswith("n't") or (word in NEGATORS and not (word == "not" and following == "only")):
            found += 1
    return found


def is_negated(text: str) -> bool:
    """True where the text holds a word of negation."""
    return _negations(text) > 0


def clause_before(text: str) -> str:
    """The end of ``text`` that governs what follows it: back to the sentence's beginning, or to a contrast."""
    start = 0
    for pattern in (_SENTENCE_END, _CONTRAST):
        for match in pattern.finditer(text):
            start = max(start, match.end())
    lines = text.split("\n")
    kept = lines[-1]
    # A line goes on from the one above it unless both are fields of a record.
    for above, below in zip(reversed(lines[:-1]), reversed(lines), strict=False):
        if not below.strip() or _FIELD.match(above) or _FIELD.match(below):
            break
        if below.lstrip()[:1] and not below.lstrip()[0].islower():
            break
        kept = f"{above}\n{kept}"
    return kept[-(len(text) - start) :] if start < len(text) else ""


#: Function words as the stemmer leaves them.
_STOPPED = frozenset(map(stem, STOPWORDS))


def content(text: str) -> frozenset[str]:
    """The terms that say what a text is about: no function words, negations, numbers or units."""
    return frozenset(
        term
        for term in terms(text)
        if term not in STOPWORDS
        and term not in _STOPPED
        and term not in NEGATORS
        and not term.endswith("n't")
        and term not in MEASURES
        and not any(char.isdigit() for char in term)
    )


def _pieces(text: str, pattern: re.Pattern[str]) -> Iterator[str]:
    start = 0
    for match in pattern.finditer(text):
        yield text[start : match.start()]
        start = match.end()
    yield text[start:]


def agrees(statement: str, spans: Collection[str]) -> bool:
    """False where a statement denies what its evidence says, or says what it denies.

    Each clause is held against the evidence's clauses that hold nearly all of its words; where there are none, its
    sentence against the sentence with the most of its words, as far as that is about the same.
    """
    sentences = [each for span in spans for each in _pieces(span, _SENTENCE_END) if each.strip()]
    clauses = [(each, content(each)) for span in spans for each in _split(span)]
    bodies = [(each, content(each)) for each in sentences]
    for said in _pieces(statement, _SENTENCE_END):
        by_clause = True
        for clause in _split(said):
            words = content(clause)
            if not words:
                by_clause = by_clause and not is_negated(clause)
                continue
            near = [each for each, theirs in clauses if len(words & theirs) >= 0.8 * len(words)]
            if not near:
                by_clause = False
            elif all(_negations(each) % 2 != _negations(clause) % 2 for each in near):
                return False
        words = content(said)
        if by_clause or not words or not bodies:
            continue
        most = max(len(words & theirs) for _, theirs in bodies)
        best = [each for each, theirs in bodies if len(words & theirs) == most]
        if all(_negations_about(words, each) % 2 != _negations(said) % 2 for each in best):
            return False
    return True


def _negations_about(words: frozenset[str], sentence: str) -> int:
    """The negations in those clauses of a sentence that have a word in common with a statement."""
    return sum(_negations(clause) for clause in _split(sentence) if words & content(clause))


def _split(text: str) -> list[str]:
    return [
        part
        for piece in _pieces(text, _CLAUSE_END)
        for part in _pieces(piece, _CONTRAST)
        if any(char.isalnum() for char in part)
    ]


def opposed(statement: str, evidence: str) -> bool:
    """True where a statement has one word of a pair of opposites, and the evidence only the other."""
    said = {fold(match.group()) for match in _WORD.finditer(statement)}
    held = {fold(match.group()) for match in _WORD.finditer(evidence)}
    for ones, others in _OPPOSITES:
        for mine, contrary in ((ones, others), (others, ones)):
            if said & mine and not held & mine and held & contrary:
                return True
    return False
