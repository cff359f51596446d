"""Questions for an item by its number: "what is step 3", "what does clause 4.2 say", "apakah langkah kedua".

The item says nothing of its number but in its marker, and shares no word with such a question. So the marker decides:
an item with another number is no answer, however near its words are, and nor is what has none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

__all__ = ["AskedItem", "item_asked_for", "number_at"]

_KINDS = (
    r"steps?|stages?|clauses?|sub-?clauses?|sections?|sub-?sections?|articles?|paragraphs?|rules?|items?|points?|"
    r"provisions?|instructions?|langkah|klausa|fasal|pasal|seksyen|perkara|ayat|perenggan|butir|poin|peraturan|tahap"
)
_ORDINALS = (
    ("first", "pertama"),
    ("second", "kedua"),
    ("third", "ketiga"),
    ("fourth", "keempat"),
    ("fifth", "kelima"),
    ("sixth", "keenam"),
    ("seventh", "ketujuh"),
    ("eighth", "kelapan", "kedelapan"),
    ("ninth", "kesembilan"),
    ("tenth", "kesepuluh"),
)
_VALUES = {word: str(at) for at, words in enumerate(_ORDINALS, start=1) for word in words}
_ORDINAL = "|".join(_VALUES)
_NUMBER = r"\d{1,3}(?:\.\d{1,3}){0,4}(?:\([a-z]\))?|\([a-z]{1,4}\)|[ivx]{1,5}|[a-h]"
#: What stands between the word that asks and the item, where the item itself is asked for and not something in it.
_BETWEEN = (
    r"(?:(?:'s|is|are|was|does|do|did|says?|happens?|comes?|in|at|the|i|we|you|one|should|must|to|for|under|as|exactly|"
    r"isi|bunyi|kandungan|dalam|pada|kata)\b ?)*"
)
_ASKS = re.compile(
    rf"^\W*(?:(?:so|and|please|then) )?(?:what|which|apa(?:kah)?|bagaimana(?:kah)? (?:isi|bunyi)|quote|recite|explain|"
    rf"describe|show(?: me)?|tell me)\b ?{_BETWEEN}"
    rf"(?:(?P<kind>{_KINDS})\.? (?:no\.? ?|number |nombor |nomor |ke-? ?)?"
    rf"(?:(?P<number>{_NUMBER})(?![\w.]*\w|\))|(?P<after>{_ORDINAL})\b)"
    rf"|(?P<ordinal>{_ORDINAL}) (?P<of>{_KINDS})\b)",
    re.IGNORECASE,
)
#: The marker of an item, or the number that a clause begins with.
_MARKER = re.compile(
    r"[ \t>]*(?:\*\*|__)?(?:[^\W\d_]{3,12} )?"
    r"\(?(\d{1,3}(?:\.\d{1,3}){0,4}|[a-zA-Z]|[ivxIVX]{1,5})(?:[.):]|(?<=\.\d)|(?<=\.\d\d))"
    r"(?:\*\*|__)?[ \t]+(?=\S)"
)


@dataclass(frozen=True, slots=True)
class AskedItem:
    """An item that is asked for. ``kind`` is what the question calls it, ``number`` is as its marker has it, and
    ``phrase`` says both in the question."""

    kind: str
    number: str
    phrase: str = field(default="", compare=False)

    @property
    def words(self) -> str:
        return f"{self.kind} {self.number}"

    def names(self, text: str, start: int) -> bool:
        """Whether what begins at a place of a text is that item: by its marker, or by its first words."""
        if number_at(text, start) == self.number:
            return True
        return self.mentioned_in(text[start : start + 80].lstrip("*_#>( \t"), at_start=True)

    def mentioned_in(self, text: str, *, at_start: bool = False) -> bool:
        """Whether a text names it in the question's words, as prose does that tells of an article of a treaty."""
        written = re.compile(rf"\b{re.escape(self.kind)}s?\W{{1,3}}{re.escape(self.number)}(?![\w.]*\w)", re.IGNORECASE)
        return (written.match(text) if at_start else written.search(text)) is not None


def item_asked_for(question: str) -> AskedItem | None:
    """The item that a question asks for; None for other questions."""
    found = _ASKS.match(question)
    if found is None:
        return None
    ordinal = found["ordinal"] or found["after"]
    number = _VALUES[ordinal.lower()] if ordinal else found["number"].strip("()").lower()
    return AskedItem((found["kind"] or found["of"]).lower().removesuffix("s"), number, found.group())


def number_at(text: str, start: int) -> str:
    """The number in the marker of what begins at a place, whether that is before or behind the marker; "" for none."""
    line = text.rfind("\n", 0, start) + 1
    marker = _MARKER.match(text, line)
    return marker[1].lower() if marker and marker.end() >= start else ""
