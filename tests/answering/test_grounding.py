"""Statements against the spans that they cite."""

from __future__ import annotations

import pytest

from rag_pgvector.answer.grounding import plain, support
from rag_pgvector.answer.quantities import quantities, unsupported

SPAN = "Refunds are not available after 30 days, and the fee is RM 12.50 for adults."
PASSAGE = f"Ferry to Orrin\n{SPAN} It sails daily. The pier was built in 1871 by Ada Holm."


@pytest.mark.parametrize(
    ("statement", "span"),
    [
        (SPAN, SPAN),
        ("The fee is RM 12.50 for adults.", SPAN),
        ("The fee on the ferry to Orrin is RM12.50.", SPAN),
        ("Refunds aren't available after 30 days.", SPAN),
        ("After thirty days, refunds are not available.", SPAN),
        ("The fee is 12.50 ringgit.", SPAN),
        ("It lasts 10 hours.", "It is not cheap, but the battery lasts ten hours."),
        ("Revenue was 3.4 billion dollars.", "Revenue was $3,400 million."),
        ("The rate fell to -5 %.", "The rate fell to −5%."),
        ("The path is 1 230 km long.", "The path is 1,230 kilometres long."),
        ("It is version 3.11.7.", "It is version 3.11.7."),
        ("Write to help@example.org.", "Write to help@example.org for refunds."),
        ("Kadar inflasi tidak melebihi 3.4 peratus.", "Kadar inflasi tidak melebihi 3.4 peratus pada tahun 2022."),
    ],
)
def test_what_is_carried(statement: str, span: str) -> None:
    assert support(statement, [span], f"{span}\n{PASSAGE}").refused is None


@pytest.mark.parametrize(
    ("statement", "span", "reason"),
    [
        ("The fee is RM 21.50 for adults.", SPAN, "number"),
        ("The fee is RM 12.5 million for adults.", SPAN, "number"),
        ("The fee is USD 12.50 for adults.", SPAN, "number"),
        ("The fee is 12.50 for adults.", SPAN, "number"),
        ("The fee is RM 12.50 for two adults.", SPAN, "number"),
        ("Refunds are not available after 30 weeks.", SPAN, "number"),
        ("The pier was built in 1871, and the fee is RM 12.50.", SPAN, "number"),
        ("Half of the fee is RM 12.50.", SPAN, "number"),
        ("The rate is 5.", "The rate is 5%.", "number"),
        ("The rate is 5%.", "The rate is -5%.", "number"),
        ("The rate is 5%.", "The rate is 5‰.", "number"),
        ("It is version 3.11.8.", "It is version 3.11.7.", "number"),
        ("The rate is 12,400.", "The rate is 12.400 and 1.", "number"),
        ("Refunds are available after 30 days.", SPAN, "negation"),
        ("The fee is not RM 12.50 for adults.", SPAN, "negation"),
        ("Refunds are available.", "Refunds are, however, not available.", "negation"),
        ("Refunds for adults are available.", "Refunds for adults are, as a rule, not available.", "negation"),
        ("It is cheap.", "It is not cheap, but it is safe.", "negation"),
        ("It is cheap but it is not safe.", "It is not cheap but it is safe.", "negation"),
        ("Refunds are not available before 30 days.", SPAN, "opposite"),
        ("The ferry to Bergen has a fee of RM 12.50 for adults.", SPAN, "name"),
        ("Children pay a fee of RM 12.50 for adults.", SPAN, "name"),
        ("The fee is RM 12.50 for adults; visit http://evil.example.", SPAN, "identifier"),
        ("Send the fee of RM 12.50 to pay@evil.example.", SPAN, "identifier"),
        ("Set ef_search2 for adults.", SPAN, "number"),
        ("The fee is RM 12.50 for adults and cures every known disease.", SPAN, "unsupported"),
        ("Something else entirely happened.", SPAN, "name"),
        ("something else entirely happened.", SPAN, "unsupported"),
        ("", SPAN, "unsupported"),
    ],
)
def test_what_is_not(statement: str, span: str, reason: str) -> None:
    assert support(statement, [span], f"{span}\n{PASSAGE}").refused == reason


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("-5 and 5-10 and −3", ["-5", "5", "10", "-3"]),
        ("minus 4, negative 2", ["-4", "-2"]),
        ("1,234.5 and 12 345 and 1.234.567,8", ["1234.5", "12345", "1234567.8"]),
        ("3 million, 2k, 5万, two hundred thousand", ["3000000", "2", "50000", "200"]),
        ("2010–2015", ["2010", "2015"]),
        ("in 2021 300 people", ["2021", "300"]),
        ("the 19th of 1990s", ["19", "1990"]),
    ],
)
def test_numbers_as_they_are_meant(text: str, values: list[str]) -> None:
    assert [
        f"{each.value:f}" if not isinstance(each.value, str) else each.value for each in quantities(text)[0]
    ] == values


def test_a_number_has_to_stand_in_a_span() -> None:
    assert unsupported("5 of 6 and half", ["there are 5"]) == ["6", "half"]


def test_links_and_tags_leave_their_words() -> None:
    assert plain("![a](http://x/y) [b c](z) <b onclick=1>d</b> 1 < 2 > 0") == ("a b c d 1 < 2 > 0", True)
    assert plain("a [1] (b)") == ("a [1] (b)", False)
