"""Which characters make a word, and which scripts put no spaces between words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["ASCII_TOKENS", "clusters", "is_spaceless", "tokens_of_any_script"]

#: Written without spaces, or (Korean) in words too long to be searched whole: Thai, Lao, Myanmar, Khmer, Hangul jamo,
#: kana and bopomofo, Han, Hangul. As in Lucene's CJKBigramFilter, and the South-East Asian scripts beside them.
_SPACELESS = (
    (0x0E00, 0x0E7F),
    (0x0E80, 0x0EFF),
    (0x1000, 0x109F),
    (0x1100, 0x11FF),
    (0x1780, 0x17FF),
    (0x3005, 0x3007),
    (0x3031, 0x3035),
    (0x3040, 0x312F),
    (0x3130, 0x318F),
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xA960, 0xA97F),
    (0xAA60, 0xAA7F),
    (0xAC00, 0xD7FF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
#: Inside words and not seen: soft hyphen, zero-width non-joiner and joiner.
INVISIBLE = "\u00ad\u200c\u200d"

# Words joined by one to three signs are one token; what they are made of is taken apart later. Word characters and
# signs share nothing, so that each character is looked at once or twice, whatever the text.
_JOINTS = r"[-._@:/'&,+]{1,3}"
_ENDING = r"(?:\+\+|[#%])?"
ASCII_TOKENS = re.compile(f"[A-Za-z0-9]+(?:{_JOINTS}[A-Za-z0-9]+)*{_ENDING}", re.ASCII)


@lru_cache(maxsize=1)
def tokens_of_any_script() -> re.Pattern[str]:
    """The pattern of tokens: words with what joins them, or a run of a script without spaces. Takes some ms to make.

    Combining marks belong to words: Python's ``\\w`` leaves them out, which would cut Hindi, Thai or Arabic to pieces.
    """
    spaced = [c for c in range(0x10000) if _is_word(chr(c)) and not is_spaceless(chr(c))]
    unspaced = [c for low, high in _SPACELESS if high < 0x10000 for c in range(low, high + 1) if _is_word(chr(c))]
    # Above come old scripts, taken whole (many small ranges would be tried one by one), and from U+1F000 on pictures.
    word = f"[{_ranges(spaced)}\U00010000-\U0001efff]"
    run = f"[{_ranges(unspaced)}\U00020000-\U0003ffff]+"
    return re.compile(f"{word}+(?:{_JOINTS}{word}+)*{_ENDING}|{run}")


def _is_word(char: str) -> bool:
    return char.isalnum() or unicodedata.category(char)[0] == "M" or char in INVISIBLE


def _ranges(codes: Iterable[int]) -> str:
    spans: list[list[int]] = []
    for code in sorted(codes):
        if spans and code == spans[-1][1] + 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(re.escape(chr(low)) + ("" if low == high else "-" + re.escape(chr(high))) for low, high in spans)


def is_spaceless(char: str) -> bool:
    """Whether a character belongs to a script that puts no spaces between words."""
    code = ord(char)
    return code >= 0x0E00 and any(low <= code <= high for low, high in _SPACELESS)


def clusters(run: str) -> list[str]:
    """A run's characters, each with the marks that stand on it."""
    found: list[str] = []
    for char in run:
        if found and unicodedata.category(char)[0] == "M":
            found[-1] += char
        else:
            found.append(char)
    return found
