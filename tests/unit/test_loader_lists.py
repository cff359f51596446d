"""Numbers of lists that stand in no text: those that a browser or a word processor shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rag_pgvector.ingest import LoadedDocument, load


def only(path: Path) -> LoadedDocument:
    (document,) = load(path)
    return document


LISTS = """<h1>Filter</h1><p>Change it every spring, as the label on the lid says:</p>
<ol start="3"><li>Close the tap.</li><li><p>Turn the <b>lid</b>.</p>
<ol type="a"><li>Lift it.</li><li value="4">Dry it.</li></ol></li><li></li><li>6. Open.</li></ol>
<ul><li>Wear gloves.<ul><li>Thin ones.</li></ul></li></ul><ol reversed type="i"><li>Go.</li><li>Stop.</li></ol>
<p>Height: 9 cm<br>Width:
8 cm</p><dl><dt>Maker</dt><dd>Ada Holm</dd><dt>Scale</dt><dt>Lime</dt><dd>{long}</dd></dl>"""


def test_html_lists_have_the_numbers_that_a_browser_shows(tmp_path: Path) -> None:
    long = "What hard water leaves behind. " * 6
    (tmp_path / "a.html").write_text(LISTS.format(long=long))
    assert only(tmp_path / "a.html").document.text.split("\n\n")[-12:] == [
        "3. Close the tap.",
        "4. Turn the lid.",
        "a. Lift it.",
        "d. Dry it.",
        "6. Open.",
        "- Wear gloves.",
        "- Thin ones.",
        "ii. Go.",
        "i. Stop.",
        "Height: 9 cm\nWidth: 8 cm",
        "Maker: Ada Holm",
        f"Scale, Lime\n    {long.strip()}",
    ]


LEVELS = (("decimal", "%1."), ("decimal", "%1.%2"), ("lowerLetter", "(%3)"))


def test_docx_numbers_are_those_that_word_shows(tmp_path: Path) -> None:
    import docx
    from docx.oxml import parse_xml
    from docx.oxml.ns import nsdecls

    document = docx.Document()
    levels = "".join(
        f'<w:lvl w:ilvl="{at}"><w:start w:val="1"/><w:numFmt w:val="{form}"/><w:lvlText w:val="{text}"/></w:lvl>'
        for at, (form, text) in enumerate(LEVELS)
    )
    numbering = document.part.numbering_part.element
    numbering.insert(0, parse_xml(f'<w:abstractNum {nsdecls("w")} w:abstractNumId="77">{levels}</w:abstractNum>'))
    again = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride>'
    for name, override in ((77, ""), (78, again)):
        own = f'<w:num {nsdecls("w")} w:numId="{name}"><w:abstractNumId w:val="77"/>{override}</w:num>'
        numbering.append(parse_xml(own))

    def numbered(paragraph: Any, level: int, name: int = 77) -> None:
        ids = f'<w:ilvl w:val="{level}"/><w:numId w:val="{name}"/>'
        paragraph._p.get_or_add_pPr().append(parse_xml(f"<w:numPr {nsdecls('w')}>{ids}</w:numPr>"))

    numbered(document.add_heading("Term", level=1), 0)
    for text, level in (("Three years.", 1), ("Notice:", 1), ("by post;", 2), ("by hand.", 2)):
        numbered(document.add_paragraph(text), level)
    numbered(document.add_heading("Price", level=1), 0)
    numbered(document.add_paragraph("Ten pounds."), 1)
    numbered(document.add_paragraph("Anew."), 0, 78)
    document.add_paragraph("Milk", style="List Bullet")
    document.add_paragraph("Boil.", style="List Number")
    document.save(str(tmp_path / "a.docx"))
    loaded = only(tmp_path / "a.docx")
    assert loaded.document.text.split("\n\n") == [
        *("1. Term", "1.1 Three years.", "1.2 Notice:", "(a) by post;", "(b) by hand.", "2. Price", "2.1 Ten pounds."),
        *("7. Anew.", "- Milk", "1. Boil."),
    ]
    assert loaded.pieces[0].metadata["headings"] == ["1. Term"]
