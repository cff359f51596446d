"""Loaders of formats that are not text: what stands in the file comes out, with its place; what is bad is refused."""

from __future__ import annotations

import io
import json
import zipfile
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from rag_pgvector.errors import LoadError
from rag_pgvector.ingest import ChunkOptions, LoadedDocument, TableOptions, chunk_document, estimate_tokens, load
from rag_pgvector.ingest.loaders import archive


def chunks_of(loaded: LoadedDocument) -> list[Any]:
    """The chunks, each of which is its slice of the document's text."""
    found = list(chunk_document(loaded, options=ChunkOptions(), count=estimate_tokens))
    for chunk in found:
        assert loaded.document.text[chunk.char_start : chunk.char_end] == chunk.content
    return found


def only(path: Path, **options: Any) -> LoadedDocument:
    (document,) = load(path, **options)
    return document


# ------------------------------------------------------------------------------------------------------------- office


def test_docx_keeps_headings_lists_and_tables_in_order(tmp_path: Path) -> None:
    import docx

    document = docx.Document()
    document.core_properties.title = "Annual report"
    document.add_heading("Prices", level=1)
    document.add_paragraph("Bread costs two.")
    document.add_paragraph("first", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for row, cells in zip(table.rows, (("item", "price"), ("milk", "3.10")), strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text
    document.add_heading("Wages", level=2)
    document.add_paragraph("They rose.")
    document.save(str(tmp_path / "a.docx"))
    loaded = only(tmp_path / "a.docx")
    assert loaded.document.text == (
        "Prices\n\nBread costs two.\n\n- first\n\nitem | price\nmilk | 3.10\n\nWages\n\nThey rose."
    )
    assert loaded.document.metadata["title"] == "Annual report"
    first, second = chunks_of(loaded)
    assert first.metadata == {"headings": ["Prices"]}
    assert second.metadata == {"headings": ["Prices", "Wages"]}


def test_pptx_gives_the_slide_of_every_chunk(tmp_path: Path) -> None:
    import pptx

    presentation = pptx.Presentation()
    for title, body, notes in (("One", "alpha", ""), ("Two", "beta", "say it slowly")):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    presentation.save(str(tmp_path / "a.pptx"))
    chunks = chunks_of(only(tmp_path / "a.pptx"))
    assert [(chunk.page_or_row, chunk.content) for chunk in chunks] == [
        (1, "One\n\nalpha"),
        (2, "Two\n\nbeta\n\nsay it slowly"),
    ]


def test_an_excel_sheet_is_a_table(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "CPI"
    for row in (["Consumer prices"], ["year", "index", "code"], [2022, 127.2, "007"], [2023, 130, "008"]):
        sheet.append(row)
    book.create_sheet("Empty")
    other = book.create_sheet("Notes")
    other.append(["topic", "text"])
    other.append(["base", "2010 = 100"])
    book.save(tmp_path / "a.xlsx")
    prices, notes = load(tmp_path / "a.xlsx")
    assert prices.document.source == "a.xlsx#CPI"
    assert prices.document.text == "year: 2022\nindex: 127.2\ncode: 007\n\nyear: 2023\nindex: 130\ncode: 008"
    chunks = chunks_of(prices)
    assert [chunk.page_or_row for chunk in chunks] == [0, 1]
    assert chunks[1].metadata == {"year": 2023, "index": 130.0, "code": "008"}
    assert prices.document.profile is not None
    assert prices.document.profile["columns"][0]["type"] == "year"
    assert notes.document.text == "topic: base\ntext: 2010 = 100"


# ------------------------------------------------------------------------------------------------------------ records


def test_json_lines_are_rows_and_bad_ones_are_reported(tmp_path: Path) -> None:
    lines = ['{"a": 1, "b": {"c": "x"}, "tags": ["p", "q"]}', "nonsense", "", '{"a": null, "b": {"c": "y"}}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    loaded = only(tmp_path / "a.jsonl")
    assert loaded.document.text == "a: 1\nb.c: x\ntags: p, q\n\nb.c: y"
    first, second = chunks_of(loaded)
    assert first.metadata == {"a": 1, "b.c": "x", "tags": ["p", "q"]}
    assert second.page_or_row == 2
    assert [error.where for error in loaded.rejected] == ["line 2"]


def test_a_json_list_is_a_table_and_other_json_is_text(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(json.dumps({"data": [{"k": "v"}, {"k": "w"}]}))
    assert only(tmp_path / "list.json").document.text == "k: v\n\nk: w"
    (tmp_path / "other.json").write_text('{"k": "v"}')
    assert only(tmp_path / "other.json").document.text == '{"k": "v"}'
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(LoadError, match=r"JSON"):
        list(load(tmp_path / "deep.json"))


def test_parquet_keeps_types_and_leaves_vectors_out(tmp_path: Path) -> None:
    import datetime

    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(
        {
            "code": ["01", "02"],
            "value": [1.5, None],
            "day": [datetime.date(2023, 1, 2), None],
            "embedding": [[0.1, 0.2], [0.3, 0.4]],
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    loaded = only(tmp_path / "a.parquet")
    assert loaded.document.text == "code: 01\nvalue: 1.5\nday: 2023-01-02\n\ncode: 02"
    assert chunks_of(loaded)[0].metadata == {"code": "01", "value": 1.5, "day": "2023-01-02"}
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(LoadError, match="Parquet"):
        list(load(tmp_path / "bad.parquet"))


def test_table_options(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sku,name,price\nA-1,Tea,007\nA-2,Milk,2\nA-1,Twice,3\n,None,4\n")
    options = TableOptions(
        content="{name} costs {price} {{MYR}}", id_column="sku", metadata_columns=("price",), types={"price": "integer"}
    )
    loaded = only(tmp_path / "a.csv", table=options)
    assert loaded.document.text == "Tea costs 007 {MYR}\n\nMilk costs 2 {MYR}"
    chunks = chunks_of(loaded)
    assert [(chunk.id, chunk.metadata) for chunk in chunks] == [
        ("a.csv#A-1", {"price": 7}),
        ("a.csv#A-2", {"price": 2}),
    ]
    assert [error.where for error in loaded.rejected] == ["line 4", "line 5"]
    for wrong in (TableOptions(content="{nme}"), TableOptions(id_column="x"), TableOptions(content="a } b")):
        with pytest.raises(LoadError, match=r"no column|a lone"):
            list(load(tmp_path / "a.csv", table=wrong))


def test_a_template_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,other\n{other} {0.__class__},x\n")
    loaded = only(tmp_path / "a.csv", table=TableOptions(content="{name}"))
    assert loaded.document.text == "{other} {0.__class__}"


# ------------------------------------------------------------------------------------------------------- web and mail

PAGE = """<!doctype html><html><head><title>Soup</title><meta charset="utf-8"></head><body>
<nav><a href="/">Home</a> <a href="/shop">Shop</a> <a href="/about">About us and our partners</a></nav>
<article><h1>Onion soup</h1><p>{filler}</p><h2>Method</h2><p>Slice the onions thinly and cook them slowly.</p>
<pre><code>stir()
wait()</code></pre><table><tr><th>item</th><th>amount</th></tr><tr><td>onions</td><td>6</td></tr></table></article>
<footer>Copyright nobody, all rights reserved, cookie settings</footer><script>alert(1)</script></body></html>"""


def test_html_keeps_the_content_and_leaves_the_rest(tmp_path: Path) -> None:
    filler = "A good onion soup takes time, butter, patience and a heavy pot that holds the heat well. " * 5
    (tmp_path / "a.html").write_text(PAGE.format(filler=filler), encoding="utf-8")
    loaded = only(tmp_path / "a.html")
    text = loaded.document.text
    assert "Slice the onions" in text
    assert "onions | 6" in text
    assert "stir()\nwait()" in text
    for boilerplate in ("Shop", "cookie", "alert"):
        assert boilerplate not in text
    assert chunks_of(loaded)[-1].metadata["headings"][-1] == "Method"


def test_html_without_an_article_is_still_read_and_hostile_html_refused(tmp_path: Path) -> None:
    (tmp_path / "bare.html").write_text("<h3>Balance sheet of 2020</h3>")
    assert only(tmp_path / "bare.html").document.text == "Balance sheet of 2020"
    (tmp_path / "old.html").write_bytes('<meta charset="latin-1"><p>Grüße aus Köln</p>'.encode("cp1252"))
    assert only(tmp_path / "old.html").document.text == "Grüße aus Köln"
    (tmp_path / "deep.html").write_text("<div>" * 5_000 + "x")
    (tmp_path / "none.html").write_text("<script>x()</script>")
    for name in ("deep.html", "none.html"):
        with pytest.raises(LoadError):
            list(load(tmp_path / name))


def test_mail_with_an_attachment(tmp_path: Path) -> None:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Figures", "a@example.org", "b@example.org"
    message.set_content("See the table.\n")
    message.add_alternative("<p>See the <b>table</b>.</p>", subtype="html")
    message.add_attachment(b"year,value\n2023,5\n", maintype="text", subtype="csv", filename="f.csv")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="logo.png")
    (tmp_path / "a.eml").write_bytes(message.as_bytes())
    mail, table = load(tmp_path / "a.eml")
    assert mail.document.text == "Figures\n\nFrom: a@example.org\nTo: b@example.org\nSubject: Figures\n\nSee the table."
    assert mail.document.metadata["attachments"] == ["f.csv", "logo.png"]
    assert (table.document.source, table.document.text) == ("a.eml/f.csv", "year: 2023\nvalue: 5")
    (tmp_path / "no.eml").write_text("just words\n")
    with pytest.raises(LoadError, match="headers"):
        list(load(tmp_path / "no.eml"))


# ----------------------------------------------------------------------------------------------------------- archives


def packed(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


def test_zip_members_are_documents(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"t/x.csv": b"a,b\n1,2\n", "y.md": b"# T\n\nbody", ".hidden/z.md": b"no"})
    table, text = load(path)
    assert (table.document.source, table.document.id) == ("a.zip/t/x.csv", "a.zip/t/x.csv")
    assert chunks_of(table)[0].content == "a: 1\nb: 2"
    assert text.document.text == "# T\n\nbody"


def test_zip_members_that_are_bad_are_reported_after_the_good_ones(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as out:
        out.writestr("x.txt", "x")
    members = {
        "../../etc/x.md": b"out",
        "bomb.txt": b"\0" * (64 << 20),
        "nested.zip": inner.getvalue(),
        "empty.md": b"",
        "good.md": b"fine",
    }
    found, reasons = [], []
    from rag_pgvector.ingest import SourceFile, loader_for

    path = packed(tmp_path / "a.zip", members)
    for loaded in loader_for(path).load(SourceFile(path=path, source="a.zip", document_id="a.zip")):
        if isinstance(loaded, LoadError):
            reasons.append(f"{loaded.source}: {loaded.reason}")
        else:
            found.append(loaded.document.source)
    assert found == ["a.zip/good.md"]
    assert len(reasons) == 4
    assert "leads out" in reasons[0]
    assert "zip bomb" in reasons[1]
    assert "inside an archive" in reasons[2]


def test_an_office_bomb_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.docx", {"word/document.xml": b" " * (80 << 20), "[Content_Types].xml": b"<x/>"})
    with pytest.raises(LoadError, match="zip bomb"):
        list(load(path))


def test_xml_entities_are_not_expanded(tmp_path: Path) -> None:
    """Billion laughs and external entities in an Office file."""
    import docx

    docx.Document().save(str(tmp_path / "a.docx"))
    with zipfile.ZipFile(tmp_path / "a.docx") as source:
        members = {name: source.read(name) for name in source.namelist()}
    secret = tmp_path / "secret.txt"
    secret.write_text("TOP-SECRET")
    head = f'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file://{secret}"><!ENTITY a "{"ha" * 1000}">'
    head += "".join(f'<!ENTITY {b} "{f"&{a};" * 100}">' for a, b in zip("abcde", "bcdef", strict=True)) + "]>"
    body = members["word/document.xml"].decode()
    body = head + body[body.index("<w:document") :].replace(
        "<w:body>", "<w:body><w:p><w:r><w:t>&x; &f; seen</w:t></w:r></w:p>"
    )
    members["word/document.xml"] = body.encode()
    path = packed(tmp_path / "b.docx", members)
    try:
        text = only(path).document.text
    except LoadError:
        return
    assert "TOP-SECRET" not in text
    assert len(text) < 10_000


def test_names_of_limits() -> None:
    assert archive.MAX_RATIO >= 100  # text of real tables packs to a fiftieth


# -------------------------------------------------------------------------------------------------------- source code


def test_code_is_divided_between_definitions(tmp_path: Path) -> None:
    functions = [f"def f{i}(x):\n    y = x + {i}\n\n    return y * {i}" for i in range(40)]
    (tmp_path / "a.py").write_text("\n\n\n".join(functions) + "\n")
    chunks = chunks_of(only(tmp_path / "a.py"))
    assert len(chunks) > 2
    assert all(chunk.content.startswith("def f") for chunk in chunks)


# ------------------------------------------------------------------------------------------------------- all the data


def test_pages_of_real_filings(data_root: Path) -> None:
    """The words of each page that the set has evidence on (its pages count from 0) stand on that page of ours."""
    root = data_root / "rag_financebench"
    wanted: dict[str, list[tuple[int, set[str]]]] = {}
    for line in (root / "pages" / "corpus.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        name, _, page = record["_id"].partition("#p")
        wanted.setdefault(name, []).append((int(page) + 1, set(record["text"].split())))
    pages = found = 0
    for path in sorted((root / "pdfs").glob("*.pdf")):
        loaded = only(path)
        texts: dict[int, set[str]] = {}
        for piece in loaded.pieces:
            words = loaded.document.text[piece.char_start : piece.char_end].split()
            texts.setdefault(piece.page_or_row or 0, set()).update(words)
        for page, told in wanted.get(path.stem, ()):
            pages += 1
            found += len(told & texts.get(page, set())) >= 0.8 * len(told)
    assert pages > 15
    assert found >= 0.95 * pages
