"""A grounded answer as people see it: nothing in it is markup, nothing is loaded."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_pgvector.answer import Citation, GroundedAnswer, RejectedCitation

ATTACK = "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(1)>\"'&\u202eabc\u200b\x1b[31m"


def cited(snippet: str, **fields: Any) -> Citation:
    made: dict[str, Any] = {"source": "a.md", "char_start": 0, "char_end": len(snippet), "chunk_id": "1"}
    return Citation(snippet=snippet, content_sha256="0" * 64, **(made | fields))


class Seen(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.marked: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags[-1] == "mark" and len(self.marked) < self.tags.count("mark"):
            self.marked.append(data)
        if self.tags[-1] != "style":
            self.text += data


OWN = {"style", "div", "p", "bdi", "code", "span", "i", "blockquote", "mark", "details", "summary"}


@given(st.text(max_size=60), st.text(min_size=1, max_size=60), st.sampled_from(["answer", "miss"]))
@settings(max_examples=150, deadline=None)
def test_no_text_becomes_markup(text: str, snippet: str, kind: str) -> None:
    citation = cited(f"{snippet}{ATTACK}", source=text + ATTACK, before=text, after=ATTACK)
    fields: dict[str, Any] = {"confidence": 0.7, "warnings": (text, ATTACK), "asked_as": text}
    if kind == "answer":
        answer = GroundedAnswer(answer=f"{text}{ATTACK}", citations=(citation,), **fields)
    else:
        fields["rejected_citations"] = (RejectedCitation(reason=ATTACK, count=1),)
        answer = GroundedAnswer(answer=None, failure_mode="timeout", near_misses=(citation,), **fields)
    page = answer._repr_html_()
    seen = Seen(page)
    assert set(seen.tags) <= OWN
    assert {name for name, _ in seen.attributes} <= {"class", "style", "role", "aria-label"}
    assert "http" not in page.replace("http://evil.example", "")
    assert not set(page) & set("\u202e\u200b\x1b")
    assert 'class="rag-pgvector tex2jax_ignore mathjax_ignore"' in page, "dollars are no formula"


def test_a_citation_stands_out_in_its_context() -> None:
    citation = cited("boils in 4 minutes", before="The kettle ", after=" or so.", page_or_row=3)
    answer = GroundedAnswer(answer="In 4 minutes.", citations=(citation,), confidence=0.82, threshold=0.6)
    seen = Seen(answer._repr_html_())
    assert seen.marked == ["boils in 4 minutes"]
    assert "The kettle boils in 4 minutes or so." in seen.text
    assert "confidence 0.82 (prior), threshold 0.60" in seen.text
    assert ("style", "width:82%") in seen.attributes
    assert ("style", "left:60%") in seen.attributes
    assert answer.text() == (
        'In 4 minutes.\n\nSources, verbatim:\n[1] a.md, page or row 3: "boils in 4 minutes"\nConfidence: 0.82'
    )


@pytest.mark.parametrize("mode", ["low_confidence", "unverified_citation", "llm_error"])
def test_an_abstention_says_why(mode: Any) -> None:
    answer = GroundedAnswer(answer=None, failure_mode=mode, confidence=0.1, near_misses=(cited("x y"),))
    assert mode in answer._repr_html_()
    assert mode in answer.text()
    assert "what came closest" in answer._repr_html_()
