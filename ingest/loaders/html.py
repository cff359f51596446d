"""HTML: the main content of a page by trafilatura, without navigation, banners and footers.

Where that finds (almost) nothing, as in a page that is all table or all links, the whole body's text is taken. The
numbers of ordered lists, which a browser makes, are written out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from rag_pgvector.errors import LoadError, MissingDependencyError
from rag_pgvector.ingest.loaders import LoadedDocument, SourceFile
from rag_pgvector.ingest.loaders.encoding import read_markup
from rag_pgvector.ingest.loaders.numbering import numeral
from rag_pgvector.ingest.loaders.parts import TextBuilder

__all__ = ["HtmlLoader", "add_html"]

#: Deeper trees are an attack on the parser's recursion.
_MAX_DEPTH = 200
#: Less main content than this share of the body's text, and below that many characters, is no content that was found.
_LEAST_SHARE, _LEAST = 0.05, 200
#: Of a term with its value.
_LONGEST_LINE = 120
#: Stands for a line break until white space is taken out.
_BREAK = "\u2028"
_LEVELS = {f"h{level}": level for level in range(1, 7)}


class HtmlLoader:
    """Headings, paragraphs, lists, code and tables of a page's main content."""

    name = "html"
    version = 2

    def load(self, file: SourceFile) -> Iterator[LoadedDocument]:
        """One document. Raises LoadError for a page without text."""
        text, codec = read_markup(file.path, file.source)
        builder = TextBuilder()
        metadata = add_html(builder, text, file.source)
        yield builder.loaded(file, self.name, metadata={"encoding": codec, **metadata})


def add_html(builder: TextBuilder, text: str, source: str) -> dict[str, Any]:
    """Add a page's main content; returns its title, author and date where it tells them. Raises LoadError."""
    try:
        import trafilatura
        from lxml import etree
        from lxml import html as lxml_html
    except ImportError as error:
        raise MissingDependencyError("trafilatura", "ingest") from error
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # it logs what we report
    try:
        tree = lxml_html.document_fromstring(text.encode(), parser=lxml_html.HTMLParser(encoding="utf-8"))
    except (etree.LxmlError, ValueError) as error:
        raise LoadError(source, f"it cannot be read as HTML ({error})") from error
    if _depth(tree) > _MAX_DEPTH:
        raise LoadError(source, f"tags nested deeper than {_MAX_DEPTH} levels")
    for ordered in tree.iter("ol"):
        _number(ordered)
    whole = _text(tree.find("body") if tree.find("body") is not None else tree)
    found = trafilatura.bare_extraction(
        lxml_html.tostring(tree, encoding="unicode"),
        favor_recall=True,
        include_comments=False,
        include_tables=True,
        include_formatting=False,
        with_metadata=True,
    )
    body: Any = getattr(found, "body", None)
    main = "" if body is None else _text(body)
    if (len(main) < _LEAST and len(main) < max(1, _LEAST_SHARE * len(whole))) or not main:
        _walk(builder, tree.find("body") if tree.find("body") is not None else tree)
    else:
        _walk(builder, body)
    if found is None:
        return {}
    return {key: value for key in ("title", "author", "date") if (value := getattr(found, key, None))}


def _depth(tree: Any) -> int:
    deepest, level = 0, [tree]
    while level:
        deepest += 1
        level = [child for element in level for child in element]
        if deepest > _MAX_DEPTH:
            break
    return deepest


#: What the ``type`` of an ordered list says of its numbers.
_FORMATS = {"a": "lowerLetter", "A": "upperLetter", "i": "lowerRoman", "I": "upperRoman"}


def _number(ordered: Any) -> None:
    """Write the numbers of a list before its items, by ``start``, ``reversed``, ``type`` and the items' ``value``."""
    items = ordered.findall("li")
    step = 1 if ordered.get("reversed") is None else -1
    number = _integer(ordered.get("start"), 1 if step > 0 else len(items))
    for item in items:
        number = _integer(item.get("value"), number)
        place = item
        while not (place.text or "").strip() and len(place) and place[0].tag in {*_BLOCKS, *_INLINE, "div"}:
            place = place[0]
        marker = f"{numeral(number, _FORMATS.get(ordered.get('type', ''), 'decimal'))}. "
        if (text := (place.text or "").lstrip()) and not text.startswith(marker):
            place.text = marker + text
        number += step


def _integer(value: str | None, otherwise: int) -> int:
    return int(value) if value and re.fullmatch(r"-?\d{1,6}", value.strip()) else otherwise


_SKIPPED = {
    *("script", "style", "noscript", "template", "title", "svg", "nav", "graphic", "img", "iframe", "form", "button")
}
#: trafilatura's own names (TEI) beside those of HTML.
_BLOCKS = {"p", "item", "li", "quote", "blockquote", "dd", "dt", "figcaption", "caption", "summary", "fw"}
_CODE = {"code", "pre"}


def _text(element: Any) -> str:
    parts: list[str] = []
    _collect(element, parts)
    return _lines(parts)


def _lines(parts: list[str]) -> str:
    """A text whose white space says nothing, but for where a line was broken on purpose."""
    lines = (" ".join(line.split()) for line in "".join(parts).split(_BREAK))
    return "\n".join(line for line in lines if line)


def _collect(element: Any, parts: list[str]) -> None:
    if not isinstance(element.tag, str) or element.tag in _SKIPPED:
        return
    if element.tag in ("lb", "br"):
        parts.append(_BREAK)
    parts.append(element.text or "")
    for child in element:
        _collect(child, parts)
        parts.append(child.tail or "")


def _walk(builder: TextBuilder, element: Any, marker: str = "") -> None:
    """Add what is inside an element: blocks as they come, loose text between them as paragraphs, the first of them
    behind the marker of the list's item that the element is."""
    loose: list[str] = []
    # The numbers of an ordered list stand in its text.
    own = "" if "ol" in (element.tag, element.get("rend")) else "- "

    def paragraph(text: str) -> None:
        nonlocal marker
        if text:
            builder.paragraph(marker + text)
            marker = ""

    def settle() -> None:
        paragraph(_lines(loose))
        loose.clear()

    loose.append(element.text or "")
    for child in element:
        tag = child.tag if isinstance(child.tag, str) else ""
        if not tag or tag in _SKIPPED:
            pass
        elif tag == "head" or tag in _LEVELS:
            settle()
            level = child.get("rend", "h2") if tag == "head" else tag
            builder.heading(_text(child), _LEVELS.get(level, 2))
        elif tag == "table":
            settle()
            builder.table([[_text(cell) for cell in row if _is_cell(cell)] for row in child.iter("row", "tr")])
        elif tag in _CODE and (tag == "pre" or "\n" in "".join(child.itertext())):
            settle()
            builder.literal("".join(child.itertext()))
        elif "dl" in (tag, child.get("rend")):
            settle()
            _definitions(builder, child)
        elif tag in _BLOCKS and not _has_blocks(child):
            settle()
            marker = own if tag in ("item", "li") else marker
            paragraph(_text(child))
        elif tag in _INLINE:
            _collect(child, loose)
        else:
            settle()
            _walk(builder, child, own if tag in ("item", "li") else marker)
            marker = ""
        loose.append(child.tail or "")
    settle()


def _definitions(builder: TextBuilder, entries: Any) -> None:
    """A list of definitions: "term: value" where that is a line, else the term above the text, which is indented."""
    terms: list[str] = []
    for entry in entries:
        text = _text(entry) if isinstance(entry.tag, str) else ""
        if entry.tag == "dt" or entry.get("rend", "").startswith("dt"):
            terms += [text] if text else []
            continue
        term = ", ".join(terms)
        if not term or _has_blocks(entry):
            builder.paragraph(term, keep_with_next=True)
            _walk(builder, entry)
        elif len(term) + len(text) <= _LONGEST_LINE:
            builder.paragraph(f"{term.rstrip(':')}: {text}" if text else term)
        else:
            builder.paragraph(f"{term}\n    {text}")
        terms = []
    builder.paragraph(", ".join(terms))


_INLINE = {
    *("a", "abbr", "b", "bdi", "cite", "code", "del", "dfn", "em", "font", "hi", "i", "ins", "kbd", "lb", "br", "mark"),
    *("q", "ref", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "label"),
}


def _is_cell(element: Any) -> bool:
    return element.tag in ("cell", "td", "th")


def _has_blocks(element: Any) -> bool:
    inner = (*_BLOCKS, "table", "list", "ul", "ol", "div", "pre", *_LEVELS)
    return next((child for child in element.iter(*inner) if child is not element), None) is not None
