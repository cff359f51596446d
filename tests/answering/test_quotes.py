"""Quotations: honest ones are found however they are set, altered ones never; what is found is a slice."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rag_pgvector.answer.quotes import Located, locate, unseen
from tests.answering.quotations import CHANGES, SOURCES, honest, spoofed

HONEST = list(honest())
SPOOFED = list(spoofed())


def test_no_honest_quotation_is_lost() -> None:
    assert len(HONEST) >= 100
    lost = [(name, place) for name, source, quote in HONEST if isinstance(place := locate(quote, source), str)]
    assert lost == []


def test_no_spoofed_quotation_is_accepted() -> None:
    assert len(SPOOFED) >= 200
    accepted = [
        (name, source[place.start : place.end])
        for name, source, quote in SPOOFED
        if isinstance(place := locate(quote, source), Located)
    ]
    assert accepted == []


@pytest.mark.parametrize(
    ("source", "quote", "reason"),
    [
        ("It is not\ntrue that the bridge is safe.", "the bridge is safe.", "cuts_negation"),
        ("It isn't safe to cross.", "safe to cross", "cuts_negation"),
        ("Nobody found it. It is safe to cross.", "It is safe to cross.", None),
        ("It is not cheap, but the battery lasts 10 hours.", "the battery lasts 10 hours.", None),
        ("smoker: no\nage: 43", "age: 43", None),
        ("Das ist nicht erlaubt.", "erlaubt.", "cuts_negation"),
        ("non-refundable fares", "refundable fares", "cuts_word"),
        ("the fee is RM 40 a day", "40 a day", "cuts_number"),
        ("the fee is 40 million a year", "the fee is 40", "cuts_number"),
        ("at least 40 people came", "40 people came", "cuts_number"),
        ("from -40 to +5", "40 to +5", "cuts_number"),
        ("it rose by 1,234.5 tonnes", "it rose by 1,234", "cuts_number"),
        ("it rose by 1,234.5 tonnes", "it rose by 1", "cuts_number"),
        ("in 2010–2015 it rose", "in 2010", "cuts_word"),
        ("the examples are here", "example", "cuts_word"),
        ("they can't swim", "they can", "cuts_word"),
        ("café au lait", "cafe", "not_found"),
        ("cafe\u0301 au lait", "cafe", "cuts_word"),
        ("a dif\ufb01culty", "a dif\ufb01culty", None),
        ("di\ufb03culty", "diff", "not_found"),
        ("10² is 100", "102 is 100", "not_found"),
        ("a", "", "empty"),
        ("a b", "a", "empty"),
        ("x", "y" * 5_000, "too_long"),
    ],
)
def test_what_a_slice_must_not_leave_out(source: str, quote: str, reason: str | None) -> None:
    place = locate(quote, source)
    assert (None if isinstance(place, Located) else place) == reason


def test_an_honest_place_is_found_behind_a_refused_one() -> None:
    source = "It is not open today. It is open today."
    place = locate("open today.", source)
    assert isinstance(place, Located)
    assert place.start == source.rindex("open")


@given(st.text(max_size=400), st.integers(0, 400), st.integers(1, 200), st.sampled_from(sorted(CHANGES)))
@settings(max_examples=400, deadline=None)
def test_what_is_found_is_the_quotation(text: str, start: int, length: int, change: str) -> None:
    quote = CHANGES[change](text[start : start + length])
    place = locate(quote, text)
    if isinstance(place, str):
        return
    assert 0 <= place.start < place.end <= len(text)
    found = text[place.start : place.end]
    # Nothing but presentation: the letters, digits and signs are the same, in the same order.
    assert _marks(found) == _marks(quote) or _marks(found) == _marks(quote.strip("\"'“”„‟«»‘’‚‛‹›`.… "))


@given(st.lists(st.sampled_from([*'aé1-–\n \u00ad.,’"', "not ", "ﬁ", "e\u0301", "語", "\u200b"]), max_size=60))
@settings(max_examples=400, deadline=None)
def test_a_whole_text_is_found_in_itself(parts: list[str]) -> None:
    text = "".join(parts)
    assume(sum(char.isalnum() for char in text) >= 2)
    place = locate(text, text)
    assert isinstance(place, Located)
    assert _marks(text[place.start : place.end]) == _marks(text)


def _marks(text: str) -> str:
    """A text without presentation, by another road than the code's: NFKD of ligatures, dashes and hyphens dropped."""
    kept = unicodedata.normalize(
        "NFD",
        "".join("ff fi fl ffi ffl st st".split()[ord(c) - 0xFB00] if "\ufb00" <= c <= "\ufb06" else c for c in text),
    )
    return "".join(char for char in kept if char.isalnum() or char in "%$€£+<>=°")


@pytest.mark.parametrize(
    "text", ["-\n" * 50_000, "a-" * 50_000, "\u00ad" * 100_000, "not " * 25_000, " " * 100_000, "ﬁ" * 50_000]
)
def test_hostile_texts_take_linear_time(text: str) -> None:
    for quote in (text[:4_000], text[:1_999] + "x", "x" + text[:1_999]):
        locate(quote, text)  # pytest-timeout stops what is quadratic


def test_what_nobody_sees_is_taken_out_and_counted() -> None:
    assert unseen("a\u202eb\u200bc\x00d\U000e0041\ne\tf") == ("abcd\ne\tf", 4)
    assert unseen("می\u200cخواهم 👩\u200d🚀 é\r\n") == ("می\u200cخواهم 👩\u200d🚀 é\n", 0)


def test_every_source_holds_its_quotation() -> None:
    for source, quote in SOURCES:
        assert quote in source
