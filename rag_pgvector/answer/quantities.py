"""Numbers with their signs and units, and whether one text's stand in another. Values are compared, never nearly."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from rag_pgvector.answer.lexical import fold, stem

__all__ = ["BOUNDS", "CURRENCIES", "MEASURES", "PERCENT", "SCALES", "UNITS", "Quantity", "quantities", "unsupported"]

SCALES = {
    **dict.fromkeys(("thousand", "thousands", "ribu", "tausend", "mille", "mil", "千"), 10**3),
    **dict.fromkeys(("万", "萬"), 10**4),
    **dict.fromkeys(("million", "millions", "mio", "juta", "mn", "millionen"), 10**6),
    **dict.fromkeys(("亿", "億"), 10**8),
    **dict.fromkeys(("billion", "billions", "bn", "bilion", "miliar", "milliarden", "milliard", "milliards"), 10**9),
    **dict.fromkeys(("trillion", "trillions", "trilion", "triliun"), 10**12),
    **dict.fromkeys(("hundred", "hundreds", "ratus"), 10**2),
}
PERCENT = frozenset(("%", "percent", "percentage", "pct", "peratus", "persen", "prozent", "％"))
_PERMILLE = frozenset(("‰", "permille"))
CURRENCIES = {
    **dict.fromkeys(("$", "us$", "usd", "dollar", "dollars"), "usd"),
    **dict.fromkeys(("€", "eur", "euro", "euros"), "eur"),
    **dict.fromkeys(("£", "gbp", "pound sterling"), "gbp"),
    **dict.fromkeys(("rm", "myr", "ringgit"), "myr"),
    **dict.fromkeys(("rp", "idr", "rupiah"), "idr"),
    **dict.fromkeys(("¥", "jpy", "yen"), "jpy"),
    **dict.fromkeys(("₹", "inr", "rupee", "rupees"), "inr"),
    **dict.fromkeys(("s$", "sgd"), "sgd"),
    **dict.fromkeys(("chf",), "chf"),
}
UNITS = {
    alias: names.split()[0]
    for names in (
        "km kilometre kilometres kilometer kilometers",
        "m metre metres meter meters",
        "cm centimetre centimetres centimeter centimeters",
        "mm millimetre millimetres millimeter millimeters",
        "mile miles mi",
        "ft foot feet",
        "inch inches",
        "kg kilogram kilograms kilogramme kilo kilos",
        "g gram grams",
        "mg milligram milligrams",
        "t tonne tonnes ton tons tan",
        "lb lbs pound pounds",
        "l litre litres liter liters liter",
        "ml millilitre millilitres milliliter milliliters",
        "second seconds sec secs s saat",
        "ms millisecond milliseconds",
        "minute minutes min mins minit menit",
        "hour hours hr hrs h jam",
        "day days hari tage",
        "week weeks minggu",
        "month months bulan",
        "year years yr yrs tahun jahre",
        "degree degrees ° darjah derajat °c c celsius",
        "°f f fahrenheit",
        "ha hectare hectares hektar",
        "gb gigabyte gigabytes",
        "mb megabyte megabytes",
        "kb kilobyte kilobytes",
        "w watt watts",
        "kw kilowatt kilowatts",
        "mw megawatt megawatts",
        "gw gigawatt gigawatts",
        "kwh",
        "hz",
        "mph",
        "kph km/h",
    )
    for alias in names.split()
}
#: Words before a number that make it a bound, a guess or a negative.
BOUNDS = frozenset(
    "least most than about around nearly almost approximately roughly over under above below minus negative exceeding "
    "circa ca lebih kurang daripada hampir sekitar minimum maximum".split()
)
_WORDS = {
    **{
        word: value
        for value, names in enumerate(
            "zero/nol/sifar _ two/dua three/tiga four/empat five/lima six/enam seven/tujuh eight/lapan/delapan "
            "nine/sembilan ten/sepuluh eleven/sebelas twelve thirteen fourteen fifteen sixteen seventeen eighteen "
            "nineteen twenty".split()
        )
        for word in names.split("/")
    },
    **dict(zip("thirty forty fifty sixty seventy eighty ninety".split(), range(30, 100, 10), strict=True)),
    "dozen": 12,
}
del _WORDS["_"]
#: Shares and multiples: as words, since "half" may stand for 50 % or 0.5 of something.
_SHARES = frozenset(
    "half third quarter double doubled twice triple tripled thrice separuh setengah suku sepertiga halved".split()
)
#: All words of this module, as terms: ``unsupported`` accounts for them, by what they mean.
MEASURES = frozenset(
    stem(fold(word)) for words in (SCALES, UNITS, CURRENCIES, PERCENT, _WORDS, _SHARES) for word in words
)

_TOKEN = re.compile(
    r"(?P<number>\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?![\d])|\d+(?:[.,'’]\d+)*)(?P<tail>[^\W\d_]*)"
    r"|(?P<word>[^\W\d_]+)"
)
_MINUS = frozenset("-−‐‑–")
_SIGNS = {"minus": "-", "negative": "-", "negatif": "-"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it is meant: its value, scaled ("5 million") and signed, and what it counts, where that is known.

    What has several points or commas and is no number (a version, a date, an address) is its own text.
    """

    value: Decimal | str
    currency: str = ""
    unit: str = ""
    text: str = ""


def quantities(text: str) -> tuple[list[Quantity], frozenset[str]]:
    """The numbers of a text in order, digits or words, and its words for shares ("half")."""
    found: list[Quantity] = []
    shares: set[str] = set()
    tokens = list(_TOKEN.finditer(text))
    for index, match in enumerate(tokens):
        word = (match["word"] or "").casefold()
        if word in _SHARES:
            shares.add(word)
        value = _value(match["number"]) if match["number"] else _worded(word)
        if value is None:
            continue
        start, end = match.start(), match.end("number") if match["number"] else match.end()
        tail = (match["tail"] or "").casefold()
        scale, end = _scale(text, tokens, index, tail, end)
        before = text[max(0, start - 12) : start]
        if isinstance(value, Decimal):
            value = _normal(value * scale * (-1 if _negative(before) else 1))
        currency = _currency(before, text[end : end + 12])
        found.append(Quantity(value, currency, _unit(text, end), match.group()))
    return found, frozenset(shares)


def _value(digits: str) -> Decimal | str:
    plain = re.sub("[ \u00a0\u2009\u202f'’]", "", digits)
    if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain):
        plain = plain.replace(",", "")
    elif re.fullmatch(r"\d{1,3}(?:\.\d{3}){2,}(?:,\d+)?", plain) or re.fullmatch(r"\d+,\d+", plain):
        plain = plain.replace(".", "").replace(",", ".")
    if not re.fullmatch(r"\d{1,64}(?:\.\d{1,64})?", plain):
        return digits
    return Decimal(plain)


def _worded(word: str) -> Decimal | None:
    value = _WORDS.get(word)
    return None if value is None else Decimal(value)


def _normal(value: Decimal) -> Decimal:
    return value.normalize() if value else Decimal(0)


def _scale(text: str, tokens: list[re.Match[str]], index: int, tail: str, end: int) -> tuple[int, int]:
    """The factor that follows a number, attached or after one blank, and where it ends."""
    if tail in SCALES:
        return SCALES[tail], end + len(tail)
    if tail and tail[0] in SCALES and not tail[0].isascii():
        return SCALES[tail[0]], end + 1
    if tail in ("k", "m", "b") and text[end : end + 1] in "KMB":
        return {"k": 10**3, "m": 10**6, "b": 10**9}[tail], end + 1
    if not tail and index + 1 < len(tokens):
        following = tokens[index + 1]
        word = (following["word"] or "").casefold()
        if word in SCALES and text[end : following.start()] in (" ", "-", "\u00a0", "\n"):
            return SCALES[word], following.end()
    return 1, end


def _negative(before: str) -> bool:
    """A minus directly before the number, which no word or number stands before; or the word."""
    stripped = before.rstrip("$€£¥ ")
    if stripped[-1:] in _MINUS and stripped[-1:]:
        if stripped != before.rstrip("$€£¥"):
            return False
        return not stripped[-2:-1] or not (stripped[-2].isalnum() or stripped[-2] in ")]%")
    return before.rstrip().rpartition(" ")[2].casefold().strip("(") in _SIGNS


def _currency(before: str, after: str) -> str:
    head = before.rstrip()
    if head[-1:] and head[-1] in "$€£¥₹":
        return "sgd" if head[-2:] == "S$" and not head[-3:-2].isalpha() else CURRENCIES[head[-1]]
    word = head.rpartition(" ")[2].casefold().strip("(")
    if word in CURRENCIES:
        return CURRENCIES[word]
    first = _first(after)
    return CURRENCIES.get(first, "")


def _first(after: str) -> str:
    words = after.lstrip(" -\u00a0\u2009\u202f").split()
    return words[0].casefold().strip(".,;:()") if words else ""


def _unit(text: str, end: int) -> str:
    after = text[end : end + 24]
    if after.lstrip()[:1] and after.lstrip()[0] in "%‰％":
        return "‰" if after.lstrip()[0] == "‰" else "%"
    first = _first(after)
    if first in PERCENT or (first == "per" and after.casefold().split()[1:2] == ["cent"]):
        return "%"
    return "‰" if first in _PERMILLE else UNITS.get(first, "")


def unsupported(statement: str, spans: Iterable[str]) -> list[str]:
    """The numbers of a statement that stand in none of the spans, as they are written.

    A number stands there if its value, sign and scale do, a percentage as a percentage, an amount of money in the same
    currency, and a known unit beside no other known unit.
    """
    held: list[Quantity] = []
    shares: set[str] = set()
    for span in spans:
        numbers, words = quantities(span)
        held += numbers
        shares |= words
    said, said_shares = quantities(statement)
    missing = [each.text for each in said if not any(_is(each, other) for other in held)]
    return missing + sorted(said_shares - shares)


def _is(said: Quantity, held: Quantity) -> bool:
    if said.value != held.value or said.currency != held.currency:
        return False
    if (said.unit in ("%", "‰") or held.unit in ("%", "‰")) and said.unit != held.unit:
        return False
    return not (said.unit and held.unit and said.unit != held.unit)
