"""Sentences keep their exact places, in prose, Markdown and reStructuredText."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rag_pgvector.answer.sentences import split


def pieces(text: str) -> list[tuple[str, str]]:
    return [(span.kind, text[span.start : span.end]) for span in split(text)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One is here. Two is there! Is three?", ["One is here.", "Two is there!", "Is three?"]),
        ("Dr. Smith met J. R. Tolkien at St. John's.", ["Dr. Smith met J. R. Tolkien at St. John's."]),
        ("It rose 3.14 percent. Then it fell.", ["It rose 3.14 percent.", "Then it fell."]),
        ("Tools, e.g. Docker, help. Use them.", ["Tools, e.g. Docker, help.", "Use them."]),
        ("See Fig. 2 and No. 5. Done.", ["See Fig. 2 and No. 5.", "Done."]),
        ("The U.S. Army left. He stayed.", ["The U.S. Army left.", "He stayed."]),
        ("It came from the U.S. The rest did not.", ["It came from the U.S.", "The rest did not."]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("Set ef_search. hnsw.ef_search is 40.", ["Set ef_search.", "hnsw.ef_search is 40."]),
        ("Write `COPY t FROM. Now` first. Then go.", ["Write `COPY t FROM. Now` first.", "Then go."]),
        ("Use COPY ... FROM STDIN. Good.", ["Use COPY ... FROM STDIN.", "Good."]),
        ("吾輩は猫である。名前はまだ無い。", ["吾輩は猫である。", "名前はまだ無い。"]),
        ("Ibu kota ialah Kuala Lumpur. Ia besar.", ["Ibu kota ialah Kuala Lumpur.", "Ia besar."]),
        ("A line\nthat is wrapped. Next.", ["A line\nthat is wrapped.", "Next."]),
        ("", []),
        ("...", ["..."]),
    ],
)
def test_prose(text: str, sentences: list[str]) -> None:
    assert [piece for _, piece in pieces(text)] == sentences


def test_markdown() -> None:
    text = """# Title

Install it. Then run:

```sh
make. Install
make test
```

- first item. It has two sentences.
- second

| a | b |
|---|---|
| 1 | 2 |
"""
    assert pieces(text) == [
        ("heading", "# Title"),
        ("sentence", "Install it."),
        ("sentence", "Then run:"),
        ("code", "```sh\nmake. Install\nmake test\n```"),
        ("item", "first item."),
        ("item", "It has two sentences."),
        ("item", "second"),
        ("row", "| a | b |"),
        ("row", "| 1 | 2 |"),
    ]


def test_restructuredtext() -> None:
    text = """.. _label:

Section
=======

Write rows like this::

    with cur.copy("COPY t FROM STDIN") as copy:
        copy.write_row(row)

.. code:: python

    x = 1

.. note::

    Remember it. Always.
"""
    assert pieces(text) == [
        ("markup", ".. _label:"),
        ("heading", "Section\n======="),
        ("sentence", "Write rows like this::"),
        ("code", '    with cur.copy("COPY t FROM STDIN") as copy:\n        copy.write_row(row)'),
        ("code", ".. code:: python\n\n    x = 1"),
        ("markup", ".. note::"),
        ("sentence", "Remember it."),
        ("sentence", "Always."),
    ]


@example("|😀|")
@given(st.text(alphabet=st.sampled_from(list("aB1 .!?:\n\t`~#-*|=\"'()。é😀\r_")), max_size=200))
def test_spans_are_in_order_and_lose_no_word(text: str) -> None:
    spans = split(text)
    at = 0
    left: list[str] = []
    for span in spans:
        assert at <= span.start < span.end <= len(text)
        left.append(text[at : span.start])
        at = span.end
    left.append(text[at:])
    # Between spans stand blanks, list markers and table rules.
    assert not any(char in "é😀。" for gap in left for char in gap)


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        (
            "NEXT MEETING\n\nOn Monday. At noon.",
            [("heading", "NEXT MEETING"), ("sentence", "On Monday."), ("sentence", "At noon.")],
        ),
        (
            "== History ==\nIt began. x = y\n= = Third = =\nb == c",
            [
                ("heading", "== History =="),
                ("sentence", "It began. x = y"),
                ("heading", "= = Third = ="),
                ("sentence", "b == c"),
            ],
        ),
        ("4. ROOF\nIt leaks.", [("heading", "4. ROOF"), ("sentence", "It leaks.")]),
        ("NO WARRANTY IS\nGIVEN AT ALL", [("sentence", "NO WARRANTY IS\nGIVEN AT ALL")]),
        (
            "Tea | 2\nMilk | 3\n\nA | b is one.",
            [("row", "Tea | 2"), ("row", "Milk | 3"), ("sentence", "A | b is one.")],
        ),
        ("D. Tan pays.\nA. First\nb) second", [("item", "D. Tan pays."), ("item", "A. First"), ("item", "second")]),
        ("**Tea.** It is hot. Good.", [("sentence", "**Tea.** It is hot."), ("sentence", "Good.")]),
    ],
)
def test_structure_without_markup(text: str, spans: list[tuple[str, str]]) -> None:
    """Capitals, MediaWiki's headings, bars, initials and bold words before their sentence."""
    assert pieces(text) == spans


@pytest.mark.parametrize(
    "text",
    [
        "#Item   Low   High\n#Tent   £14   £19\n#Hut    £58   £76",
        "       #Low   High\n#Tent   £14   £19",
        "Hours:\n#Monday    9-5\n#Tuesday   10-4\n#Friday    closed",
        "#Bookings ..... Ada Holm\n#Shop ......... Ben Ng",
        "#A\tB\tC\n#1\t\t2",
        "#R. Hale    Get a price    9 May\n#D. Tan     Ask Ben        10 May",
        "#Name    What\n------  ----\n#min     The least\n         there is\n#max     Most",
        "            #Low        High\n#Tent [1-2]  £14 [wet]  £19",
        " #| Low | High\n#Tent | 14 | 19\n#Hut |  | 76",
    ],
)
def test_rows_of_tables_that_are_laid_out_by_spaces(text: str) -> None:
    """Each row begins behind a #."""
    rows = [part.split("\n---")[0].strip() for part in text.split("#")[1:]]
    assert [piece for kind, piece in pieces(text.replace("#", "")) if kind == "row"] == rows


@pytest.mark.parametrize(
    "text",
    [
        "One ends here.  Two goes on and\nhas no end.  Then three\nbegins.  Four is it.",
        "1.  Boil it\n2.  Pour it\n3.  Drink it",
        "Run:\n\n    x = 1     # one\n    yy = 2    # two\n    zzz = 3   # three",
        "> let a    = 1\n> let bb   = 2\n> let ccc  = 3",
    ],
)
def test_gaps_that_make_no_table(text: str) -> None:
    assert all(kind != "row" for kind, _ in pieces(text))


def test_roman_numbers_mark_items() -> None:
    assert pieces("ii. Goggles are worn.\niv) No food.") == [("item", "Goggles are worn."), ("item", "No food.")]
    assert pieces("mix. Then stir.")[0][0] == "sentence"
