"""HTML: the main content of a page by trafilatura, without navigation, banners and footers.

Where that finds (almost) nothing, as in a page that is all table or all links, the whole body's text is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from rag_pgvector.errors import LoadError, MissingDependencyError
from rag_pgvector.ingest.loaders import LoadedDocument, SourceFile
from rag_pgvector.ingest.loaders.encoding import read_markup
from rag_pgvector.ingest.loaders.parts import TextBuilder

__all__ = ["HtmlLoader", "add_html"]

#: Deeper trees are an attack on the parser's recursion.
_MAX_DEPTH = 200
#: Less main content than this share of the body's text, and below that many characters, is no content that was found.
_LEAST_SHARE, _LEAST = 0.05, 200
_LEVELS = {f"h{level}": level for level in range(1, 7)}


class HtmlLoader:
    """Headings, paragraphs, lists, code and tables of a page's main content."""

    name = "html"
    version = 1

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


_SKIPPED = {
    *("script", "style", "noscript", "template", "title", "svg", "nav", "graphic", "img", "iframe", "form", "button")
}
#: trafilatura's own names (TEI) beside those of HTML.
_BLOCKS = {"p", "item", "li", "quote", "blockquote", "dd", "dt", "figcaption", "caption", "summary", "fw"}
_CODE = {"code", "pre"}


def _text(element: Any) -> str:
    parts: list[str] = []
    _collect(element, parts)
    return " ".join("".join(parts).split())


def _collect(element: Any, parts: list[str]) -> None:
    if not isinstance(element.tag, str) or element.tag in _SKIPPED:
        return
    if element.tag in ("lb", "br"):
        parts.append("\n")
    parts.append(element.text or "")
    for child in element:
        _collect(child, parts)
        parts.append(child.tail or "")


def _walk(builder: TextBuilder, element: Any) -> None:
    """Add what is inside an element: blocks as they come, loose text between them as paragraphs."""
    loose: list[str] = []

    def settle() -> None:
        builder.paragraph(" ".join("".join(loose).split()))
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
        elif tag in _BLOCKS and not _has_blocks(child):
            settle()
            marker = "- " if tag in ("item", "li") else ""
            text = _text(child)
            builder.paragraph(marker + text if text else "")
        elif tag in _INLINE:
            _collect(child, loose)
        else:
            settle()
            _walk(builder, child)
        loose.append(child.tail or "")
    settle()


_INLINE = {
    *("a", "abbr", "b", "bdi", "cite", "code", "del", "dfn", "em", "font", "hi", "i", "ins", "kbd", "lb", "br", "mark"),
    *("q", "ref", "s", "samp", "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "label"),
}


def _is_cell(element: Any) -> bool:
    return element.tag in ("cell", "td", "th")


def _has_blocks(element: Any) -> bool:
    inner = (*_BLOCKS, "table", "list", "ul", "ol", "div", "pre", *_LEVELS)
    return next((child for child in element.iter(*inner) if child is not element), None) is not None
