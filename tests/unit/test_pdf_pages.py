"""What the lines of a PDF's pages are: running titles, headings, paragraphs, tables, code."""

from __future__ import annotations

from pathlib import Path

from rag_pgvector.ingest.loaders import load
from rag_pgvector.ingest.loaders.grids import Box
from rag_pgvector.ingest.loaders.pages import Block, Line, laid_out

WIDE = "The kettle stands on the stove of the kitchen, where it is"


def page(text: str, size: float = 10.0) -> list[Line]:
    return [Line(line, size) for line in text.split("\n")]


def texts(*pages: list[Line]) -> list[list[str]]:
    return [[block.text for block in blocks] for blocks in laid_out(pages)]


def test_running_titles_stand_once_and_sentences_go_on_across_the_pages() -> None:
    first = page(f"Tea Ltd\n{WIDE}\nhot and often\nPage 1 of 3")
    second = page(f"Tea Ltd\nfull. {WIDE}\nnever.\nPage 2 of 3")
    third = page("Tea Ltd\nMilk is cold.\nPage 3 of 3")
    pages = list(laid_out([first, second, third]))
    assert [[block.text for block in blocks] for blocks in pages] == [
        [f"{WIDE} hot and often"],
        [f"full. {WIDE} never."],
        ["Milk is cold.", "Tea Ltd"],
    ]
    assert [blocks[0].goes_on for blocks in pages] == [False, True, False]


def test_a_smaller_line_on_top_of_a_further_page_interrupts_no_sentence() -> None:
    second = [Line("Tea Ltd", 8.0), *page("hot.")]
    assert texts(page(f"{WIDE}\nhot and often"), second) == [[f"{WIDE} hot and often"], ["hot.", "Tea Ltd"]]


def test_what_only_looks_like_a_page_number_stays() -> None:
    assert texts(page("Tea\nRow 3"), page("Milk\nRow 7")) == [["Tea Row 3"], ["Milk Row 7"]]


def test_headings_by_their_font() -> None:
    lines = [Line("Kinds", 14.0), *page(f"{WIDE}\nhot."), Line("Of tea", 10.0, bold=True), *page("Green is one. Two.")]
    (blocks,) = laid_out([[*lines, *page(f"{WIDE}\nhot.")]])
    assert [(block.level, block.text[:6]) for block in blocks[:4]] == [
        (1, "Kinds"),
        (0, "The ke"),
        (2, "Of tea"),
        (0, "Green "),
    ]


def test_a_line_that_had_room_for_the_next_word_ends_a_paragraph() -> None:
    text = (
        f"{WIDE} kept\nwarm by Ada and a\nfire.\nWe like it.\n• Black\n• Green\n2.1 Milk is\ncold. {WIDE}\nlong-\nterm"
    )
    assert texts(page(text)) == [
        [
            f"{WIDE} kept warm by Ada and a fire.",
            "We like it.",
            "• Black",
            "• Green",
            f"2.1 Milk is cold. {WIDE} long-term",
        ]
    ]


def test_rows_of_a_table_and_lines_of_code() -> None:
    rows = [Line("Tea 2", cells=("Tea", "2")), Line("Milk 3", cells=("Milk", "3"))]
    code = [Line("tea {", fixed=True), Line("  hot", fixed=True), *page("Prose.\nMore of it.\nAnd more.")]
    (blocks,) = laid_out([[*rows, *code]])
    assert blocks[0].rows == (("Tea", "2"), ("Milk", "3"))
    assert blocks[1] == Block("tea {\n  hot", literal=True)


def test_a_real_page_with_a_table_and_sections(data_root: Path) -> None:
    (loaded,) = load(data_root / "docs_mixed" / "pdf" / "layout-parser-paper-with-table.pdf")
    assert "PubLayNet [38] | F / M | M | Layouts of modern scientific documents" in loaded.document.text
    assert loaded.pieces[-1].metadata["headings"][-1].startswith("3.")


def placed(*pieces: tuple[str, float, float, float]) -> Line:
    """A line of pieces: text, left and right side, and how far down it stands."""
    return Line(
        "   ".join(text for text, *_ in pieces),
        10.0,
        cells=tuple(text for text, *_ in pieces),
        boxes=tuple(Box(left, right, 500.0 - down, 490.0 - down) for _, left, right, down in pieces),
    )


def test_cells_of_several_lines_are_put_back_into_their_rows() -> None:
    lines = [
        placed(("Fault", 0, 30, 0), ("Cause", 100, 130, 0), ("Remedy", 200, 240, 0)),
        placed(("It does not", 0, 60, 20)),
        placed(("start", 0, 30, 32)),
        placed(("The plug is", 100, 160, 20)),
        placed(("out or well-", 100, 160, 32)),
        placed(("worn", 100, 120, 44)),
        placed(("Put it in", 200, 250, 20)),
        placed(("Fire", 0, 20, 70), ("Call", 200, 220, 70)),
        placed(("Afterwards write down all that you have seen and heard.", 0, 300, 90)),
    ]
    (blocks,) = laid_out([lines])
    assert [block.rows or block.text for block in blocks] == [
        (
            ("Fault", "Cause", "Remedy"),
            ("It does not start", "The plug is out or well-worn", "Put it in"),
            ("Fire", "", "Call"),
        ),
        "Afterwards write down all that you have seen and heard.",
    ]


def test_signs_of_currencies_belong_to_their_figures_and_titles_stand_alone() -> None:
    lines = [
        placed(("Year", 0, 30, 0), ("2022", 100, 130, 0), ("2023", 200, 230, 0)),
        placed(("Assets:", 0, 40, 14)),
        placed(("Cash", 0, 30, 28), ("$", 90, 94, 28), ("7 $", 110, 150, 28), ("9", 210, 230, 28)),
    ]
    (blocks,) = laid_out([lines])
    assert [block.rows for block in blocks] == [
        (("Year", "2022", "2023"), ("Assets:", "", ""), ("Cash", "$ 7", "$ 9")),
    ]


def test_two_columns_of_prose_are_no_table() -> None:
    lines = [
        placed((f"{side} {at}", left, left + 200, 150.0 * part + 12 * at))
        for part in (0, 1)
        for side, left in (("on", 0), ("to", 250))
        for at in range(12)
    ]
    (blocks,) = laid_out([lines])
    assert not any(block.rows for block in blocks)


def test_cells_that_share_a_column_are_put_into_none() -> None:
    lines = [
        placed(("Year", 0, 30, 0), ("2022", 100, 130, 0), ("2023", 200, 230, 0)),
        placed(("Cash", 0, 30, 14), ("7", 100, 105, 14), ("a", 120, 125, 14)),
    ]
    (blocks,) = laid_out([lines])
    assert [block.rows for block in blocks] == [(("Year", "2022", "2023"), ("Cash", "7", "a"))]
    lines.append(placed(("Debt", 0, 30, 28), ("9", 210, 230, 28)))
    (blocks,) = laid_out([lines])
    assert [block.rows[-1] for block in blocks] == [("Debt", "9")]
