"""An answer as a reader of the page sees it: without the marks of Markdown and of tables in text.

Only the answer that is shown is rid of them; what is cited stays as it stands in its source. Nothing is added, no
character of a word or number goes, and two that were apart never meet. What a mark may mean otherwise stays: `__init__`
is a name, `2 ** 3 ** 4` a power, and what is struck out must not look as if it stood.
"""

from __future__ import annotations

import re

__all__ = ["plain"]

#: Where a mark may open and close, after CommonMark's rules for runs of delimiters, and stricter: never inside a word.
_OPENS, _CLOSES = r"(?<![\w\\*_`:])", r"(?![\w*_`])"
_FIRST, _LAST = r"[\w\"'“‘«$€£¥#@&+<(\[~\-\uE000-\uF8FF]", r"[\w\"'”’»%.,!?:;)\]>~…°\uE000-\uF8FF]"
_INNER = rf"(?={_FIRST})(?!_)((?:(?!\n[ \t]*\n)[^*\\]){{1,400}}?)(?<={_LAST})"
_STARRED = tuple(re.compile(rf"{_OPENS}{mark}{_INNER}{mark}{_CLOSES}") for mark in (r"\*\*\*", r"\*\*", r"\*"))
#: Underlined words: one alone may be a name of a program.
_UNDERLINED = tuple(
    re.compile(rf"{_OPENS}{mark}(?=[^\W_])([^_\n\\]*\s[^_\n\\]*?)(?<=[^\s_]){mark}{_CLOSES}") for mark in ("__", "_")
)
#: Not the role or link of reStructuredText: :func:`x`, `text <url>`_.
_CODE = re.compile(r"(?<![\w:`\\])(`{1,2})(?!`)([^`\n]+?)(?<!`)\1(?![\w`])")
_LINK = re.compile(
    r"(?<![\w\\\]])!?\[([^\[\]\n]*)\]"
    r"(?:\(<?((?:[^\s()<>]|\([^\s()]*\))*)>?(?:\s+(?:\"[^\"\n]*\"|'[^'\n]*'))?\)|\[[^\[\]\n]*\])(?!\w)"
)
#: A question whose answer may be where a link leads.
_ASKS_WHERE = re.compile(
    r"\b(?:web ?sites?|web|sites?|urls?|links?|addresse?s?|e-?mail|pages?|download\w*|online|contact|mailto|http\w*|"
    r"laman|tautan|pautan|alamat|situs|surel|e-?mel)\b",
    re.IGNORECASE,
)
_ROW = re.compile(r"[ \t]*\|(.*)\|[ \t]*")
_RULE = re.compile(r"[ \t]*\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)+\|?[ \t]*")


def plain(text: str, question: str = "") -> str:
    """A cut from a source without its marks; the text itself where nothing would be left.

    Of a link its words stay, and where it leads if the question may ask for that.
    """
    links = r"\1 (\2)" if _ASKS_WHERE.search(question) else r"\1"
    lines = [_row(line) for line in text.split("\n") if not _RULE.fullmatch(line)]
    # What stands between backticks is code, and keeps what would be marks elsewhere.
    parts: list[str] = []
    whole, at = "\n".join(lines), 0
    for code in _CODE.finditer(whole):
        parts += [whole[at : code.start()], code[2].strip() if len(code[1]) == 2 else code[2]]
        at = code.end()
    parts.append(whole[at:])
    return _joined(parts, links) or text


def _joined(parts: list[str], links: str) -> str:
    """Texts and codes by turns, the texts without marks, which may stand around a code: **`x`**."""
    held = {chr(0xE000 + at): code for at, code in enumerate(parts[1::2])} if len(parts) < 2 * 0x1900 else {}
    if len(parts) > 1 and (not held or any(0xE000 <= ord(char) < 0xF900 for part in parts for char in part)):
        return "".join(parts)
    text = parts[0] + "".join(stand + rest for stand, rest in zip(held, parts[2::2], strict=True))
    text = _LINK.sub(lambda link: link.expand(links) if link[1] and link[2] else link[1], text)
    for mark in (*_STARRED, *_UNDERLINED):
        text = mark.sub(r"\1", text)
    return "".join(held.get(char, char) for char in text).strip()


def _row(line: str) -> str:
    """A row of a table without the bars at its ends."""
    row = _ROW.fullmatch(line)
    if row is None or "|" not in row[1].replace("\\|", ""):
        return line
    return " | ".join(cell.strip() for cell in re.split(r"(?<!\\)\|", row[1]))
