"""What stands in the HTML of a notebook: text of documents and models, which a reader is to see as it is."""

from __future__ import annotations

import html
import unicodedata

__all__ = ["NO_MATH", "escaped"]

#: Classes by which MathJax, which Jupyter runs over HTML too, leaves an element alone: two amounts of dollars in a
#: sentence would become a formula.
NO_MATH = "tex2jax_ignore mathjax_ignore"


def escaped(text: str) -> str:
    """Text as HTML, in which what nobody would see is seen: control, direction and zero-width characters."""
    return html.escape("".join(_seen(char) for char in text), quote=True)


def _seen(char: str) -> str:
    if char in "\n\t\u200c\u200d\u00ad" or char.isprintable() or char.isspace():
        return char if char.isprintable() or char not in "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029\r" else " "
    return f"[U+{ord(char):04X}]" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn") else char
