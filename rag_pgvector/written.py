"""How people write in tables: numbers that are not plain ones, months, and that there is no value."""

from __future__ import annotations

import re

__all__ = ["MONTHS", "is_figure", "is_missing"]

#: Names of months in English, Malay, Indonesian, German and Spanish, folded.
MONTHS: dict[str, int] = {
    name: number
    for number, names in enumerate(
        (
            "january jan januari januar enero ene",
            "february feb februari pebruari februar febrero",
            "march mar mac maret marz marzo",
            "april apr abril abr",
            "may mei mai mayo",
            "june jun juni junio",
            "july jul julai juli julio",
            "august aug ogos agustus ogo agosto ago",
            "september sep sept septiembre setiembre",
            "october oct oktober okt octubre",
            "november nov noviembre",
            "december dec disember desember dis des dezember dez diciembre dic",
        ),
        start=1,
    )
    for name in names.split()
}

_FIGURE = re.compile(r"[-+]?(?:RM|USD|[$€£])? ?\d{1,3}(?:[, ]?\d{3})*(?:\.\d+)?(?: ?%)?")
_LEADING_ZERO = re.compile(r"0\d")
#: What pandas and R read as no value, and what statistical offices and price lists write.
_MISSING = frozenset("na n/a n.a. n.a #n/a #na <na> nan -nan null none - -- – — .. … . : ? tbc tba tbd n.d.".split())


def is_figure(cell: str) -> bool:
    """True for a number as people write it: "1,234", "RM 12.50", "7 %". "007" is a code."""
    bare = cell.strip()
    return bool(_FIGURE.fullmatch(bare)) and not _LEADING_ZERO.match(bare)


def is_missing(cell: str) -> bool:
    """True for a cell that is empty, or holds what stands for no value among numbers and dates: "NA", "n/a", "-"."""
    bare = cell.strip()
    return not bare or bare.casefold() in _MISSING
