"""Sources with the quotations that honest and dishonest models make of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

__all__ = ["CHANGES", "SOURCES", "honest", "spoofed"]

#: Each source: a text, and one quotation that stands in it as it is.
SOURCES: tuple[tuple[str, str], ...] = (
    (
        "About the ferry. Refunds are not available after 30 days, and the fee is RM 12.50 for adults. It sails daily.",
        "Refunds are not available after 30 days, and the fee is RM 12.50 for adults.",
    ),
    (
        "Results. Revenue fell by 5.2% to $3,400 million in 2023, which is not a first. Costs rose by 7.1%.",
        "Revenue fell by 5.2% to $3,400 million in 2023, which is not a first.",
    ),
    (
        "The sample was cooled to -40 °C for 15 minutes before the first difficult efficient test. No leak was seen.",
        "The sample was cooled to -40 °C for 15 minutes before the first difficult efficient test.",
    ),
    (
        'She said "it isn\'t finished" in 1998 - and nobody at the well-known office disagreed. The end.',
        'She said "it isn\'t finished" in 1998 - and nobody at the well-known office disagreed.',
    ),
    (
        "Kadar inflasi tidak melebihi 3.4 peratus pada tahun 2022 di Negeri Sembilan. Harga beras naik 2.1 peratus.",
        "Kadar inflasi tidak melebihi 3.4 peratus pada tahun 2022 di Negeri Sembilan.",
    ),
    (
        "Der Fluss ist 1.230 km lang und führt seit 1871 kein Hochwasser. Die Brücke wurde 1934 gebaut.",
        "Der Fluss ist 1.230 km lang und führt seit 1871 kein Hochwasser.",
    ),
    (
        "L'été dernier, la fête n'a pas coûté plus de 4 500 € à la ville. Elle a duré 3 jours.",
        "L'été dernier, la fête n'a pas coûté plus de 4 500 € à la ville.",
    ),
    (
        "Take 25 mg twice a day - never more than 50 mg - and do not drive for 6 hours... The office is on floor 2.",
        "Take 25 mg twice a day - never more than 50 mg - and do not drive for 6 hours...",
    ),
    (
        "year: 2022\nregion: North\ncrop: barley\ntonnes: 13,075\nprice_per_tonne: 240.00",
        "year: 2022\nregion: North\ncrop: barley\ntonnes: 13,075",
    ),
    (
        'Function note: order_tea("sencha", grams=100) isn\'t cached for 24 h unless flag -1 is set. See file 7.',
        'order_tea("sencha", grams=100) isn\'t cached for 24 h unless flag -1 is set.',
    ),
)


def _hyphenated(text: str) -> str:
    """Every long lower-case word broken at a line's end."""
    return re.sub(r"\b([a-zà-ÿ]{4})([a-zà-ÿ]{3,})\b", "\\1-\n\\2", text)


#: What a PDF, a web page or a model's typography does to a text that stays the same.
CHANGES: dict[str, Callable[[str], str]] = {
    "lines": lambda text: text.replace(" ", "\n"),
    "blanks": lambda text: text.replace(" ", "  \t "),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "thin spaces": lambda text: text.replace(" ", "\u202f"),
    "windows lines": lambda text: text.replace(" ", "\r\n"),
    "ligatures": lambda text: text.replace("ffi", "ﬃ").replace("fi", "ﬁ").replace("fl", "ﬂ").replace("ff", "ﬀ"),
    "curly quotes": lambda text: text.replace('"', "“").replace("'", "’"),
    "guillemets": lambda text: text.replace('"', "»").replace("'", "‛"),
    "en dashes": lambda text: text.replace("-", "–"),
    "minus signs": lambda text: text.replace("-", "−"),
    "no-break hyphens": lambda text: text.replace("-", "\u2011"),
    "soft hyphens": lambda text: re.sub(r"([a-z]{3})([a-z]{3})", "\\1\u00ad\\2", text),
    "hyphenation": _hyphenated,
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "zero width": lambda text: text.replace(" ", " \u200b").replace("e", "e\u2060"),
    "ellipsis": lambda text: text.replace("...", "…"),
}


def honest() -> Iterator[tuple[str, str, str]]:
    """(what was changed, source, quotation), the change in the source or in the quotation."""
    for number, (source, quote) in enumerate(SOURCES):
        yield f"{number} as it is", source, quote
        for name, change in CHANGES.items():
            changed = source.replace(quote, change(quote))
            if changed != source:
                yield f"{number} {name} in the source", changed, quote
            # No model breaks words; and it is the source that has a page's width.
            if change(quote) != quote and name != "hyphenation":
                yield f"{number} {name} in the quotation", source, change(quote)
        for opening, closing in ('""', "“”", "«»", "''", "‘’"):
            yield f"{number} within {opening}{closing}", source, f"{opening}{quote}{closing}"
        yield f"{number} within dots", source, f"... {quote} …"


_NEGATIONS = re.compile(r" ?\b(?:not|never|nobody|tidak|kein|pas|unless)\b|(?<=is)n't")
_HOMOGLYPHS = str.maketrans("aeopcxy", "аеорсху")
_FULL_WIDTH = str.maketrans("0123456789%$-", "０１２３４５６７８９％＄－")
_ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def spoofed() -> Iterator[tuple[str, str, str]]:
    """(what was altered, source, quotation that does not stand in it, or must not be cut from it)."""
    for number, (source, quote) in enumerate(SOURCES):
        for name, altered in _alterations(quote):
            if altered != quote:
                yield f"{number} {name}", source, altered
        other = SOURCES[(number + 1) % len(SOURCES)][1]
        words, others = quote.split(), other.split()
        half = len(words) // 2
        yield f"{number} frankenquote", source, " ".join(words[:half] + others[len(others) // 2 :])
        yield f"{number} of another source", source, other
        rest = source.replace(quote, " ").split()
        if len(rest) > 3:
            yield f"{number} skips a part", source, " ".join(words[:half] + rest[-3:])
        for found in _NEGATIONS.finditer(quote):
            # Honest words, cut from the negation before them.
            after = quote[found.end() :].strip()
            if found.group().strip() not in ("unless", "nobody") and len(after.split()) > 2:
                yield f"{number} cut from its negation at {found.start()}", source, after


def _alterations(quote: str) -> Iterator[tuple[str, str]]:
    for found in re.finditer(r"\d", quote):
        at = found.start()
        yield f"digit at {at}", quote[:at] + str((int(quote[at]) + 1) % 10) + quote[at + 1 :]
        yield f"digit dropped at {at}", quote[:at] + quote[at + 1 :]
    for found in re.finditer(r"\d[.,]\d", quote):
        at = found.start() + 1
        yield f"separator moved at {at}", quote[: at - 1] + quote[at] + quote[at - 1] + quote[at + 1 :]
        yield f"separator changed at {at}", quote[:at] + (".,"[quote[at] == "."]) + quote[at + 1 :]
    for found in _NEGATIONS.finditer(quote):
        yield f"negation dropped at {found.start()}", quote[: found.start()] + quote[found.end() :]
    for old, new in (
        ("%", " percent"),
        ("%", ""),
        ("$", "€"),
        ("$", ""),
        ("RM", "USD"),
        ("million", "billion"),
        ("-40", "40"),
        ("-40", "+40"),
        ("-1", "1"),
        ("°C", "°F"),
        ("mg", "g"),
        ("km", "m"),
        ("km", "miles"),
        ("€", "$"),
        ("peratus", "juta"),
        ("minutes", "hours"),
        ("days", "weeks"),
        ("adults", "children"),
        ("fell", "rose"),
        ("after", "before"),
        ("North", "South"),
        ("barley", "oats"),
        ("melebihi", "kurang"),
        ("never more", "more"),
        ("twice", "thrice"),
        ("daily", "weekly"),
        ("are not", "are"),
        ("is not", "is"),
        ("order_tea", "order-tea"),
        ("well-known", "unknown"),
        (" - ", " "),
        ("-", "+"),
    ):
        yield f"{old} for {new}", quote.replace(old, new)
    words = quote.split(" ")
    for at in range(1, len(words) - 1):
        yield f"word {at} dropped", " ".join(words[:at] + words[at + 1 :])
    yield "words swapped", " ".join([words[1], words[0], *words[2:]])
    yield "not added", quote.replace(" is ", " is not ", 1).replace(" by ", " not by ", 1)
    yield "homoglyphs", quote.translate(_HOMOGLYPHS)
    yield "one homoglyph", re.sub("[aeopcxy]", lambda found: found.group().translate(_HOMOGLYPHS), quote, count=1)
    yield "full width", quote.translate(_FULL_WIDTH)
    yield "Arabic digits", quote.translate(_ARABIC)
    yield "superscripts", quote.replace("1", "¹").replace("2", "²").replace("3", "³")
    yield "letters for digits", quote.replace("0", "O").replace("1", "l")
    yield "upper case", quote.upper()
    yield "no blanks", quote.replace(" ", "")
    yield "one letter doubled", quote.replace("e", "ee", 1)
    yield "accents dropped", "".join(c for c in unicodedata.normalize("NFD", quote) if not unicodedata.combining(c))
    yield "a fence in it", quote.replace(" ", " </passage> ", 1)
    yield "a fence before it", f"<passage id=1> {quote}"
    yield "elided", " ".join([*words[:2], "...", *words[-2:]])
    yield "bracketed", quote.replace(words[1], f"[{words[1]}]", 1)
    yield "hyphen put in", re.sub(r"([a-z]{3})([a-z]{3})", "\\1-\\2", quote, count=1)
    yield "stop added", quote.rsplit(" ", 3)[0] + "."
