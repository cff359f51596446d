"""Questions for a default value, which many settings have: what only says what a setting does is no answer to them.

A description and its default stand side by side ("`m` is the number of links. The default is 16."), share every other
word, and the description has more of the question's. So evidence must say that it tells of a default, or assign one,
and name whose default is asked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rag_pgvector.answer.lexical import Query, fold

__all__ = ["AskedDefault", "default_asked_for", "has_no_subject"]

_DEFAULT = r"(?:default|lalai|bawaan|predeterminad|defecto|defaut)"
_SAYS = re.compile(rf"\b{_DEFAULT}")
_ASKS = re.compile(
    rf"^\W*(?:by default\W+)?(?:what|which|apakah|apa|berapa(?:kah)?|cual|quel(?:le)?)\b.*\b{_DEFAULT}|^\W*by default\b"
    rf"|\bhow (?:many|much|long|large|big|high|often|far)\b.*\bby {_DEFAULT}"
)
#: Whose: "the default (value) of NAME", "nilai lalai bagi NAME", "NAME's default".
_WHOSE = re.compile(
    rf"\b{_DEFAULT}\w*(?: (?:value|setting|size|length|number|level|port))? (?:of|bagi|untuk) "
    r"(?:(?:a|an|the|parameter|option|setting|argument) )*[`\"']*([\w.\-]*\w)|([\w.\-]*\w)[`\"']*'s default"
)
_NO_SUBJECT = re.compile(
    r"[\"'“(*_]*(?:The default(?: value)? (?:is|are|was)|Defaults? to\b|Default(?: value)?(?: is\b|:)|"
    r"By default,? it\b|Nilai lalainya|Lalainya|Nilai bawaannya|Bawaannya)"
)


@dataclass(frozen=True, slots=True)
class AskedDefault:
    """A default that is asked for. ``names``: whose, folded; none where the question describes it in words."""

    names: frozenset[str]

    def told_by(self, text: str) -> bool:
        """Whether a text can tell it: it says a default, or assigns a value to what is named."""
        read = fold(text)
        if not self._named_in(read):
            return False
        assigned = (rf"(?<!\w){re.escape(name)}[`\"']*\s*(?::[^=\n]*)?=(?!=)" for name in self.names)
        return bool(_SAYS.search(read)) or any(re.search(each, read) for each in assigned)

    def only_described_by(self, text: str) -> bool:
        """Whether a text speaks of what is named, and tells no default."""
        return bool(self.names) and self._named_in(fold(text)) and not self.told_by(text)

    def _named_in(self, read: str) -> bool:
        return all(re.search(rf"(?<!\w){re.escape(name)}s?(?!\w)", read) for name in self.names)


def default_asked_for(query: Query) -> AskedDefault | None:
    """The default that a question asks for; None for other questions."""
    question = fold(query.text)
    if not _ASKS.search(question):
        return None
    found = _WHOSE.search(question)
    names = {name for name in (found.groups() if found else ()) if name} or set(query.literals)
    return AskedDefault(frozenset(names))


def has_no_subject(text: str, start: int) -> bool:
    """Whether a sentence says a default and not whose: that is named before it."""
    return _NO_SUBJECT.match(text, start) is not None
