"""Words that mean the same in questions and in the names and values of tables, in English, Malay and Indonesian.

Everything is folded (lower case, no accents) and without punctuation: "W.P. Kuala Lumpur" is "w p kuala lumpur".
"""

from __future__ import annotations

import re
from functools import lru_cache

from rag_pgvector.answer.glossary import ALIASES, CONCEPTS, DOERS, VERBS
from rag_pgvector.answer.lexical import fold, stem
from rag_pgvector.written import MONTHS

__all__ = [
    "ABOUT",
    "AGGREGATES",
    "BEGUN",
    "CALCULATIONS",
    "COMPARATIVES",
    "COUNTED_BY",
    "DEEDS",
    "DEGREES",
    "DOERS_OF",
    "FRAME",
    "LATEST",
    "MONTHS",
    "NEGATIONS",
    "NEUTRAL",
    "OPERATIONS",
    "PARTS",
    "PERSONS",
    "RATES",
    "SUBJECTS",
    "SUPERLATIVES",
    "UNITS",
    "VERBS_OF",
    "WRITTEN_UNITS",
    "canonical",
    "concept",
    "words",
]

#: Values and names that stand for the whole: meant where a question does not say which part.
AGGREGATES = frozenset("overall total all both semua jumlah keseluruhan national nasional".split()) | {
    "all items",
    "all ages",
    "all sexes",
    "all states",
    "both sexes",
    "semua item",
    "kedua dua",
}

#: Words of a question, or of a column's name, that need no counterpart: they say that a figure is meant, or its unit.
NEUTRAL = frozenset(
    """
    value figure number statistic data index level rate percentage percent amount record report accord dataset table
    official month year quarter period date annual yearly monthly quarterly count size unit rm ringgit myr usd
    dollar sen indeks nilai angka kadar peratus bilangan jadual rekod laporan menurut overall time point points km2
    square kilometre kilometres kilometer kilometers persegi tinggal menetap classification klasifikasi pengelasan
    howmany pukul
    kg sq per live lived living stand stood million billion thousand juta ribu bilion coefficient pekali koefisien
    """.split()
)

#: Words of a question that say how a figure came about or how it is told: no table need know them, though one may.
FRAME = frozenset(
    """
    accord according add added amount amounted became census collect collected come came contribute contributed count
    counted country currently estimate estimated figure form get got made make measure measured mencatat mencatatkan
    nation note noted observed occur occurred often publish published put reach reached record recorded
    reported sampled listed sector seen show shown stay stayed stood sum survey together tell there total usual usually
    valued went placed use used uses
    worth work worked written catat dicatat dicatatkan sektor banci bancian kajian survei ramai negara seluruh bernilai
    stand stands represent represents mean meaning refer refers denote mewakili merujuk maksud bermaksud ertinya
    across among happen happened berlaku has have had mempunyai memiliki
    over antara seluruh setiap each every please quick question know want need wondering
    """.split()
)

#: Those of them that say what somebody did, where it is asked who did it.
DEEDS = frozenset(
    """
    published publish measured measure collected collect sampled counted count written noted observed contributed
    contribute added add estimated surveyed use used uses
    """.split()
)

#: Whom a figure counts: "how many people died" asks for deaths. They need no counterpart where the figure is named.
SUBJECTS = frozenset(
    """
    people person persons individuals resident residents inhabitants couple couples orang ramai pasangan penduduk
    rakyat
    """.split()
)

#: Persons, and the columns that count them by what they do.
COUNTED_BY: dict[str, frozenset[str]] = {
    "student": frozenset({"enrolment", "enrolled"}),
    "patient": frozenset({"admitted", "admissions", "discharged", "treated"}),
    "passenger": frozenset({"boarded", "carried"}),
    "voter": frozenset({"votes", "voted", "turnout"}),
}

#: Names of columns that hold persons.
PERSONS = frozenset(
    """
    name nama person orang employee staff member manager author owner player teacher student patient customer client
    user contact assignee supplier doctor head director leader boss chief chair coach captain founder mayor principal
    borrower buyer seller tenant agent pekerja kakitangan pengurus guru pelajar pesakit pelanggan writer teacher
    instructor reporter reviewer editor driver artist physician surgeon chairman chairperson applicant candidate
    policyholder holder claimant guest adjuster officer penulis peminjam pemilik pembeli penjual pemandu doktor ahli
    pengarah
    """.split()
)

#: Words of a column's name that make it one part of a whole: a question that does not say them means the whole.
PARTS = frozenset("urban rural male female".split())

#: What "how large" and the like can ask for, as terms of columns.
DEGREES: dict[str, frozenset[str]] = {
    word: frozenset(terms.split())
    for listed, terms in (
        ("big large small besar kecil", "size area surface population capacity volume extent"),
        ("old young tua muda", "age"),
        ("tall", "height elevation altitude"),
        ("long short panjang lama", "length duration time distance"),
        ("heavy light berat", "weight mass"),
        ("far jauh", "distance"),
        ("fast quick laju cepat", "speed time duration"),
        ("hot cold warm panas sejuk", "temperature"),
        ("deep dalam", "depth"),
        ("wide broad lebar", "width"),
        ("expensive cheap costly mahal murah", "price fee fare rent toll"),
        ("dense padat", "density"),
        ("rich poor kaya miskin", "income gdp"),
    )
    for word in listed.split()
}

#: Superlatives that say of what, too: the operation, and the degree whose columns are meant.
SUPERLATIVES: dict[str, tuple[str, str]] = {
    word: (operation, degree)
    for operation, listed in (
        (
            "max",
            "longest:long tallest:tall oldest:old heaviest:heavy fastest:fast hottest:hot warmest:hot deepest:deep",
        ),
        ("max", "deepest:deep widest:wide priciest:expensive densest:dense richest:rich farthest:far furthest:far"),
        ("min", "shortest:long youngest:old lightest:heavy slowest:fast coldest:hot coolest:hot shallowest:deep"),
        ("min", "narrowest:wide cheapest:expensive poorest:rich nearest:far"),
    )
    for word, _, degree in (pair.partition(":") for pair in listed.split())
}

#: What asks which of two is ahead ("more visitors, A or B"): the operation, and the degree if it says of what.
COMPARATIVES: dict[str, tuple[str, str]] = {
    **dict.fromkeys("more higher larger bigger greater".split(), ("max", "")),
    **dict.fromkeys("fewer less lower smaller".split(), ("min", "")),
    **{f"{word[:-3]}er": meant for word, meant in SUPERLATIVES.items() if word.endswith("est")},
}

#: What the year is called in which there was something for the first time.
BEGUN = frozenset(
    "built founded established opened made manufacture manufactured constructed born birth published released model "
    "dibina ditubuhkan lahir terbit".split()
)

#: Units as questions say them, and as the names of columns end.
UNITS: dict[str, frozenset[str]] = {
    word: frozenset(written.split())
    for listed, written in (
        ("metre metres meter meters", "m metre metres meter meters"),
        ("centimetre centimetres centimeter centimeters", "cm"),
        ("millimetre millimetres millimeter millimeters", "mm"),
        ("kilometre kilometres kilometer kilometers", "km kilometre kilometres kilometer kilometers"),
        ("mile miles", "mi mile miles"),
        ("foot feet", "ft foot feet"),
        ("gram grams", "g gram grams"),
        ("kilo kilos kilogram kilograms", "kg kilogram kilograms"),
        ("tonne tonnes ton tons", "t tonne tonnes ton tons"),
        ("litre litres liter liters", "l litre litres liter liters"),
        ("celsius", "c celsius"),
        ("fahrenheit", "f fahrenheit"),
        ("degrees", "c f celsius fahrenheit deg degrees"),
        ("hectare hectares", "ha hectare hectares"),
        ("euro euros", "eur euro euros"),
        ("pound pounds", "gbp pound pounds lb lbs"),
        ("hour hours", "h hr hrs hour hours"),
        ("minute minutes", "min mins minute minutes"),
        ("second seconds", "s sec secs second seconds"),
    )
    for word in listed.split()
}

#: The same as they stand at the end of a column's name, which a question need not say: "Rain (mm)".
WRITTEN_UNITS = frozenset[str]().union(*UNITS.values())

#: Words after which a value is not what is meant.
NEGATIONS = frozenset("not non no without except excluding excl tanpa bukan tidak kecuali selain".split())

#: Words that say that a share is asked for, and those for a number of things.
RATES = frozenset("rate percentage ratio incidence".split())

#: What the words for a calculation ask for.
OPERATIONS: dict[str, str] = {
    word: operation
    for operation, listed in {
        "max": "highest largest biggest maximum max most top greatest strongest tertinggi terbesar terbanyak maksimum",
        "min": "lowest smallest minimum min least fewest terendah terkecil",
        "sum": "sum combined altogether",
        "mean": "average mean avg purata rata",
    }.items()
    for word in listed.split()
}

#: Words that ask for a calculation over rows, which a look-up is not.
CALCULATIONS = frozenset(
    """
    highest lowest largest smallest biggest maximum minimum max most least top bottom best worst sum rank ranking
    compare comparison compared difference increase increased decrease decreased change changed trend ratio higher
    lower greater fewer rise rose fall fell grew double times correlation tertinggi terendah terbesar terkecil
    paling banding perbandingan beza perbezaan naik turun meningkat menurun
    """.split()
)

#: Abbreviations in names of tables, and what they are about.
ABOUT: dict[str, frozenset[str]] = {
    "hies": frozenset({"household", "income", "expenditure"}),
    "lfs": frozenset({"labour", "force", "employment"}),
    "cpi": frozenset({"price"}),
    "ppi": frozenset({"price"}),
    "gdp": frozenset({"economy"}),
    "library": frozenset({"book"}),
}

LATEST = frozenset("latest newest current currently recent recently terkini semasa terbaru".split())

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _table(lines: str) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    for line in lines.strip().splitlines():
        head, _, others = line.partition(": ")
        for phrase in [head, *others.split(", ")]:
            found[tuple(phrase.split())] = head
    return found


def _doers(lines: str) -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for line in lines.strip().splitlines():
        doers, _, verbs = line.partition(": ")
        for verb in verbs.split():
            found[verb] = found.get(verb, frozenset()) | frozenset(doers.split())
    return found


#: By verb, the words for who does it: "wrote" asks for an author.
DOERS_OF = _doers(DOERS)
#: By verb, the words of columns that tell when, where or for how much it is done: "leaves" asks for a departure.
VERBS_OF = _doers(VERBS)
_ALIAS_OF = _table(ALIASES)
_CONCEPT_OF = _table(CONCEPTS) | _ALIAS_OF
#: Words that any phrase above begins or goes on with are only looked up as far as the longest phrase reaches.
_LONGEST = max(map(len, [*_ALIAS_OF, *_CONCEPT_OF]))


def words(text: str, *, camel: bool = True) -> list[str]:
    """The folded words of a text; snake_case and camelCase fall apart, the latter not in a value ("GmbH")."""
    text = _CAMEL.sub(" ", text) if camel else text
    return _WORD.findall(fold(text.replace("'s ", " ").replace("’s ", " ")))


@lru_cache(maxsize=131_072)
def canonical(text: str) -> tuple[str, ...]:
    """The words of a value, aliases replaced: "W.P. Kuala Lumpur" and "KL" are one."""
    return tuple(word for phrase, _ in replaced(words(text, camel=False), _ALIAS_OF) for word in phrase.split())


def replaced(sequence: list[str], table: dict[tuple[str, ...], str] | None = None) -> list[tuple[str, int]]:
    """The words with every known phrase replaced by what stands for it; with how many words each took."""
    known = _ALIAS_OF if table is None else table
    found: list[tuple[str, int]] = []
    at = 0
    while at < len(sequence):
        for length in range(min(_LONGEST, len(sequence) - at), 0, -1):
            if head := known.get(tuple(sequence[at : at + length])):
                break
        else:
            head, length = sequence[at], 1
        found.append((head, length))
        at += length
    return found


def concept(sequence: list[str]) -> list[tuple[str, int]]:
    """The words as indicators: known phrases replaced, the rest stemmed; with how many words each took."""
    found: list[tuple[str, int]] = []
    at = 0
    for head, length in replaced(sequence, _CONCEPT_OF):
        known = length > 1 or (sequence[at],) in _CONCEPT_OF
        # "ordered" loses one ending, "order" another: what is left of both is one.
        found.append((head if known else stem(stem(head)), length))
        at += length
    return found
