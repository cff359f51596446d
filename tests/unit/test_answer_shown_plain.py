"""An answer as it is shown: without marks, rows under the names of their columns, items asked for by their number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pgvector.answer import GroundedAnswer
from rag_pgvector.answer.items import AskedItem, item_asked_for, number_at
from rag_pgvector.answer.labelled import labelled
from rag_pgvector.answer.lexical import read_query
from rag_pgvector.answer.plain import plain
from rag_pgvector.evals.in_memory import MemoryCollection, NoReader
from rag_pgvector.types import Chunk


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("It costs **£24 a year** (or *£12*).", "It costs £24 a year (or £12)."),
        ("See [the page](https://a.example/x_(y) 'T') and __not that one__.", "See the page and not that one."),
        ("A ***red tag***, **`x_y`** and ``a b``.", "A red tag, x_y and a b."),
        ("| [Sander](s.md) | **£8.00** |", "Sander | £8.00"),
        ("| a | b |\n|:--|--:|\n| 1 | 2 |", "a | b\n1 | 2"),
        ("![Plan](p.png) of [ref][r]", "Plan of ref"),
    ],
)
def test_marks_are_not_shown(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Call __init__ with *args and **kwargs.",
        "2 ** 3 ** 4 and 2*3*4, count(*) and sum(*)",
        "x*2* y",
        "Use *.md and *.txt, arr[0](1), [1] and [^2].",
        "Use :func:`x` and `text <u>`_.",
        "It was ~~£10~~; Price* is 5. *Conditions apply",
        r"\*no mark\*",
        "|x| is a size",
        "** **",
    ],
)
def test_what_only_looks_like_a_mark_stays(text: str) -> None:
    assert plain(text) == text


def test_code_keeps_its_stars() -> None:
    assert plain("Use `*x*` or **`a*b`**.") == "Use *x* or a*b."


def test_where_a_link_leads_stays_if_it_is_asked_for() -> None:
    text = "Write to [us](mailto:a@b.example)."
    assert plain(text, "What is the e-mail address?") == "Write to us (mailto:a@b.example)."
    assert plain(text, "Who is written to?") == "Write to us."


@given(st.text(alphabet="a1 *_`[](|)\n-~\\", max_size=60))
def test_nothing_is_added_and_no_two_figures_meet(text: str) -> None:
    left = iter(text)
    shown = plain(text)
    assert all(any(char == other for other in left) for char in shown if not char.isspace() and char != "|")
    for run in "".join(char if char.isdigit() else " " for char in shown).split():
        assert run in text


def test_a_row_is_shown_under_the_names_of_its_columns() -> None:
    row = ("| Item | Deposit | Late fee |", "| [Sander](s.md) | £50 | **£8** |")
    query = read_query("What is the late fee for the sander?")
    assert labelled(query, *row) == ("Item | Deposit | Late fee", "Sander | £50 | £8", (15, 17))
    # No column is named, or two are: none is meant.
    assert labelled(read_query("How much is the sander?"), *row) == (*labelled(query, *row)[:2], None)  # type: ignore[index]
    assert labelled(read_query("Which late fee and deposit has the sander?"), *row)[2] is None  # type: ignore[index]
    spaced = labelled(read_query("How much is a hut in high season?"), "Low season   High season", "Hut   £58   £76")
    seasons = labelled(read_query("How much is a hut in the season?"), "Low season   High season", "Hut   £58   £76")
    assert seasons is not None
    assert seasons[2] is None
    assert spaced == ("| Low season | High season", "Hut | £58 | £76", (12, 15))


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("Height | 84 | 60", "Depth | 60 | 59"),
        ("Code | Meaning", "E1 | Hot"),
        ("Item | Low | High | Deposit", "Hut | 58 | 76"),
        ("Item   Low   High", "Hut    58    76\n       only in May"),
    ],
)
def test_a_row_that_no_names_stand_above(head: str, row: str) -> None:
    assert labelled(read_query("What is it?"), head, row) is None


@pytest.mark.parametrize(
    ("question", "item"),
    [
        ("What is step 3 of using the pot?", AskedItem("step", "3")),
        ("What does clause 4.2 say?", AskedItem("clause", "4.2")),
        ("What's rule (b)?", AskedItem("rule", "b")),
        ("What should I do in the second step?", AskedItem("step", "2")),
        ("Apakah langkah ketiga?", AskedItem("langkah", "3")),
        ("Apa isi pasal 3?", AskedItem("pasal", "3")),
        ("What is the deadline in clause 4.2?", None),
        ("What is point of view?", None),
        ("Which step is the longest?", None),
    ],
)
def test_questions_for_an_item_by_its_number(question: str, item: AskedItem | None) -> None:
    assert item_asked_for(question) == item


def test_the_number_of_an_item_stands_before_it_or_begins_it() -> None:
    found = [
        number_at(line, len(line) - 3) or number_at(line, 0) for line in ("3. Tea", "(b) Tea", "**2.** Tea", "iv) Tea")
    ]
    assert found == ["3", "b", "2", "iv"]
    assert number_at("4.2 If tea is cold", 0) == "4.2"
    assert [number_at(line, 0) for line in ("12 cups of tea", "Tea. So", "2024. A year")] == ["", "", ""]


GUIDE = """# Tea

Make tea like this:

1. Boil water.
2. Warm the pot. Use hot water.
3. Pour it.

# Milk

Warm milk like this:

1. Take a pan.
2. Stir it.
"""


def asked(question: str, *texts: str, threshold: float = 0.6) -> GroundedAnswer:
    """The answer where each text is a document of one chunk, and neither vectors nor a reader say anything."""
    chunks = [
        Chunk(id=str(at), document_id=str(at), content=text, char_start=0, char_end=len(text))
        for at, text in enumerate(texts)
    ]
    stored = {str(at): text for at, text in enumerate(texts)}
    collection = MemoryCollection(chunks, lambda embedded: np.ones((len(embedded), 2)), texts=stored, reader=NoReader())
    return collection.ask(question, threshold=threshold)


def test_an_item_is_answered_by_its_number_and_whole() -> None:
    found = asked("What is step 2 for tea?", GUIDE)
    assert found.answer == "2. Warm the pot. Use hot water."
    assert found.citations[0].snippet == found.answer
    assert asked("What is the second step for milk?", GUIDE).answer == "2. Stir it."
    assert asked("What is step 7 for tea?", GUIDE).failure_mode == "insufficient_evidence"
    # Prose may tell of it.
    assert asked(
        "What did article 7 ban?", "Article 6 banned beer. Tea was banned by article 7.", threshold=0.0
    ).answer == ("Tea was banned by article 7.")
    # Two lists have a second step, one has a third.
    assert asked("What is step 2?", GUIDE).failure_mode == "low_confidence"
    assert asked("What is step 3?", GUIDE).answer == "3. Pour it."


def test_the_marks_of_an_answer_stay_in_its_citation() -> None:
    text = "| Item | Deposit | Late fee |\n|---|---|---|\n| Drill | £20 | £2 |\n| **Sander** | £50 | *£8* |\n"
    found = asked("What is the late fee of the sander?", text, threshold=0.0)
    assert found.answer == "Item | Deposit | Late fee\nSander | £50 | £8"
    assert found.span == "£8"
    row, head = found.citations
    assert (row.snippet, head.snippet) == ("| **Sander** | £50 | *£8* |", "| Item | Deposit | Late fee |")
    assert found.answer[row.answer_start : row.answer_end] == "Sander | £50 | £8"
    assert found.answer[head.answer_start : head.answer_end] == "Item | Deposit | Late fee"


def test_a_row_is_cited_with_its_head_where_that_says_what_is_asked() -> None:
    text = "| sign | distance | class |\n|---|---|---|\n| a | Euclidean | `l2` |\n| b | taxicab | `l1` |\n"
    found = asked("Which sign stands for the Euclidean distance?", text, threshold=0.0)
    assert found.answer == "sign | distance | class\na | Euclidean | l2"
    assert found.citations[0].snippet == text[: text.index("\n| b")]
    assert (found.citations[0].answer_start, found.citations[0].answer_end) == (0, len(found.answer))


def test_an_item_of_another_list_is_not_sure() -> None:
    assert asked("What is step 3 for iced coffee without any tea?", GUIDE).failure_mode == "low_confidence"
    twice = GUIDE + "\n# Green tea\n\n1. Take a cup.\n2. Rinse it.\n"
    assert asked("What is step 2 for tea?", twice).failure_mode == "low_confidence"
    assert asked("What is step 2 for green tea?", twice).answer == "2. Rinse it."


def test_sentences_are_shown_without_marks_and_code_as_it_stands() -> None:
    found = asked("How much does the tea cost?", "The tea costs **£2**.", threshold=0.0)
    assert (found.answer, found.citations[0].snippet) == ("The tea costs £2.", "The tea costs **£2**.")
    code = "Pour the **tea** like this:\n\n```sh\npour *tea* `cup`\n```"
    assert asked("How is the tea poured?", code, threshold=0.0).answer == code


def test_what_refers_back_goes_on_with_the_answer() -> None:
    text = (
        "The lease of the house runs on unless notice of six months is given to end it.\n\n"
        "The landlord may end the lease by twelve months of notice. The tenant may do so by nine months of notice.\n"
    )
    found = asked("How many months of notice must the landlord give to end the lease?", text, threshold=0.0)
    assert (
        found.answer
        == "The landlord may end the lease by twelve months of notice. The tenant may do so by nine months of notice."
    )


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("Who is the treasurer of the tea club?", "The tea club elected Ada Holm as its editor."),
        ("How long is the notice after probation?", "The notice during probation is a week."),
    ],
)
def test_what_tells_of_another_office_or_condition_answers_nothing(question: str, text: str) -> None:
    assert asked(question, text, threshold=0.0).failure_mode == "insufficient_evidence"
