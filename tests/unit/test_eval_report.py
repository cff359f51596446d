"""The report: the same bytes for the same run, nothing from the network, and no markup from the data."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from rag_pgvector.evals import charts
from rag_pgvector.evals.answers import evaluate_answers
from rag_pgvector.evals.formats import CorpusDocument, RetrievalSet
from rag_pgvector.evals.gate import check_run
from rag_pgvector.evals.given import Given, GivenCitation
from rag_pgvector.evals.questions import GoldenQuestion
from rag_pgvector.evals.report import report_html
from rag_pgvector.evals.retrieval import evaluate_run
from rag_pgvector.evals.runs import answers_run, retrieval_run

HOSTILE = '<script>alert(1)</script> & "Kelantan" </div>'


def answers() -> dict[str, Any]:
    golden = [
        GoldenQuestion("1", f"Where from? {HOSTILE}", True, "Kelantan", (), "kites.md", 3, "document"),
        GoldenQuestion("2", "Which year?", True, "2020", (), "data.csv", 1, "table"),
        GoldenQuestion("3", "Who?", False, "", (), None, None, "absent_entity"),
    ]
    given = {
        golden[0].question: Given("Kedah <b>", (GivenCitation("kites.md", HOSTILE, 3, 0, 9),), confidence=0.9),
        golden[1].question: Given("In 2020.", (GivenCitation("data.csv", "year: 2020", 1),), confidence=0.8),
        golden[2].question: Given(None, confidence=0.1, failure_mode="low_confidence", withheld="Ali"),
    }
    found = evaluate_answers(lambda question: given[question], golden)
    return answers_run("kites", golden, found) | {"latency_ms": {"p50": 1.0, "p95": 2.0}}


def retrieval() -> dict[str, Any]:
    golden = RetrievalSet(
        name="kites",
        documents=(CorpusDocument(id="a", title="", text=HOSTILE), CorpusDocument(id="b", title="", text="Gasing")),
        queries={"1": "Kelantan 5?", "2": "tops?"},
        qrels={"1": {"a": 1}, "2": {"a": 1}},
        qrels_file="",
        absent=0,
    )
    found = evaluate_run({"1": ["a", "b"], "2": ["b"]}, golden, metrics=["nDCG@10", "R@10"])
    points = [{"name": "hnsw", "ms": 1.0, "recall": 0.9}, {"name": "hnsw", "ms": 2.0, "recall": 0.99}]
    return retrieval_run(golden, found, mode="hybrid", latency_ms={"p50": 1.0, "p95": 2.0}, recall_latency=points)


class Tags(HTMLParser):
    """Every tag is closed, and no attribute leads out of the file."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not {"src", "href", "onload", "onclick"} & {name for name, _ in attrs}
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("make", [answers, retrieval])
def test_the_report_is_whole_and_needs_nothing_else(make: Any) -> None:
    run = make()
    page = report_html(run, check_run(run, fail_under={next(iter(run["metrics"])): 0.9}))
    assert page == report_html(make(), check_run(make(), fail_under={next(iter(run["metrics"])): 0.9}))
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "script" not in tags.seen
    assert {"svg", "table", "details", "mark"} <= tags.seen
    assert not re.search(r"https?://|url\(|@import", page)
    assert "<script>" not in page
    assert "fail" in page


def test_the_worst_questions_come_with_what_was_cited() -> None:
    page = report_html(answers())
    assert page.index("Where from?") > page.index("The worst questions")
    assert "&quot;<mark>Kelantan</mark>&quot;" in page  # the expected answer, in the citation
    assert "Which year?" not in page  # it went well
    assert "Reliability" in page
    assert "Risk against coverage" in page


def test_what_search_missed_is_shown() -> None:
    page = report_html(retrieval())
    assert "relevant, not found" in page
    assert "Recall against latency" in page
    assert "with a number" in page  # the slices


def test_a_plot_as_a_file_is_an_image_of_its_own() -> None:
    svg = charts.standalone(charts.lines([("<a>", [(0.0, 0.5), (1.0, 0.6)]), ("b", [(0.0, 0.1)])], x="x", y="y"))
    root = ElementTree.fromstring(svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "stroke:#2463a6" in svg
    assert "&lt;a&gt;" in svg


@pytest.mark.parametrize(
    "range_", [(0.0, 1.0), (0.9968, 1.0), (0.41, 0.64), (-0.05, 1.05), (3.0, 97.0), (0.0, 12345.0)]
)
def test_ticks_tell_places_apart(range_: tuple[float, float]) -> None:
    svg = charts.lines([("", [(0.0, range_[0]), (1.0, range_[1])])], x="x", y="y", y_range=range_)
    told = re.findall(r'text-anchor="end">([^<]+)<', svg)
    assert len(set(told)) == 5
    assert [float(each) for each in told] == pytest.approx(np.linspace(*range_, 5), abs=(range_[1] - range_[0]) / 30)
