"""Golden sets of other makers: what is read, and the line of each mistake."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import ir_measures
import pytest

from rag_pgvector.errors import LoadError
from rag_pgvector.evals.question_formats import read_questions
from rag_pgvector.evals.questions import Span, read_golden, same_source, write_golden
from rag_pgvector.evals.trec import read_qrels, read_run, write_run

GOLDEN = Path(__file__).parents[2] / "evals" / "golden"

SQUAD = """\
{"version": "v2.0", "data": [
  {"title": "Kites", "paragraphs": [
    {"context": "The wau bulan is from Kelantan.", "qas": [
      {"id": "1", "question": "Where is it from?", "is_impossible": false,
       "answers": [{"text": "Kelantan", "answer_start": 22}, {"text": "from Kelantan", "answer_start": 17}]},
      {"id": "2", "question": "Who made it?", "is_impossible": true, "answers": [],
       "plausible_answers": [{"text": "wau", "answer_start": 4}]}]}]}]}
"""
LABELLED = """\
{"examples": [
  {"query": "Where from?", "query_by": {"model_name": "", "type": "human"},
   "reference_contexts": ["It is from Kelantan."],
   "reference_answer": "Kelantan", "reference_answer_by": null},
  {"query": "Who?", "reference_contexts": null, "reference_answer": ""}]}
"""
RAGAS = """\
{"user_input": "Where from?", "reference": "Kelantan", "reference_contexts": ["It is from Kelantan.", "b"]}

{"user_input": "Who?", "response": "Ali", "reference_context_ids": ["doc-7", 8], "reference": "Ali"}
"""
CSV = """\
\ufeffQuestion,Answer,Source,page_or_row,accept
Where from?,Kelantan,kites.md,,"Kota Bharu
in Kelantan"
"Which year,
really?",2020,data.csv,13,
Who?,,,,
"""


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_squad(tmp_path: Path) -> None:
    found = read_questions(written(tmp_path, "dev.json", SQUAD))
    one, two = found.questions
    assert (found.format, found.name, [each.id for each in found.documents]) == ("squad", "dev", ["Kites#0"])
    assert (one.answer, one.accept, one.source, one.answerable) == ("Kelantan", ("from Kelantan",), "Kites#0", True)
    assert one.span is not None
    assert found.documents[0].content[one.span.start : one.span.end] == "Kelantan"
    assert (two.answerable, two.kind, two.references, two.source) == (False, "adversarial", (), "Kites#0")


def test_squad_1_and_lists_of_paragraphs(tmp_path: Path) -> None:
    document = json.loads(SQUAD)
    paragraphs = document["data"][0]["paragraphs"]
    del paragraphs[0]["qas"][1], paragraphs[0]["qas"][0]["is_impossible"]
    (one,) = read_questions(written(tmp_path, "train-v1.1.json", json.dumps(document))).questions
    (same,) = read_questions(written(tmp_path, "idk.json", json.dumps(paragraphs))).questions
    assert (one.answer, one.source, same.answer, same.source) == ("Kelantan", "Kites#0", "Kelantan", "0")
    assert same.span == Span("0", 22, 30)


def test_labelled_rag(tmp_path: Path) -> None:
    found = read_questions(written(tmp_path, "rag_dataset.json", LABELLED))
    assert [(each.question, each.answer, each.answerable) for each in found.questions] == [
        ("Where from?", "Kelantan", True),
        ("Who?", "", False),
    ]
    assert found.questions[0].evidence == ("It is from Kelantan.",)
    assert [each.id for each in found.documents] == [found.questions[0].source]


def test_ragas(tmp_path: Path) -> None:
    found = read_questions(written(tmp_path, "samples.jsonl", RAGAS))
    one, two = found.questions
    assert (one.evidence, one.all_sources) == (("It is from Kelantan.", "b"), ("context-0", "context-1"))
    assert two.all_sources == ("doc-7", "8")


def test_csv(tmp_path: Path) -> None:
    one, two, three = read_questions(written(tmp_path, "faq.csv", CSV)).questions
    assert (one.references, one.source, one.page_or_row) == (
        ("Kelantan", "Kota Bharu", "in Kelantan"),
        "kites.md",
        None,
    )
    assert (two.question, two.page_or_row, two.id) == ("Which year,\nreally?", 13, "line-4")
    assert (three.answerable, three.kind, three.id) == (False, "unanswerable", "line-6")


def test_beir_with_answers(tmp_path: Path) -> None:
    written(tmp_path, "corpus.jsonl", '{"_id": "a", "text": "From Kelantan."}\n')
    about = [{"answers": ["Kelantan"], "answerable": True}, {"answers": [], "answerable": False}, {"answer": "x"}]
    rows = [{"_id": str(i), "text": f"q{i}", "metadata": each} for i, each in enumerate(about)]
    written(tmp_path, "queries.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    written(tmp_path, "qrels.tsv", "0\ta\t1\n")
    found = read_questions(tmp_path)
    assert [(each.answer, each.answerable, each.source) for each in found.questions] == [
        ("Kelantan", True, "a"),
        ("", False, None),
        ("x", True, None),
    ]
    assert len(found.documents) == 1


MISTAKES: list[tuple[str, str, tuple[str, str], int, str]] = [
    ("a.json", SQUAD, ('"text": "Kelantan"', '"text": "Kedah"'), 5, "'Kedah' does not stand at 22"),
    ("a.json", SQUAD, ('"question": "Who made it?", ', ""), 6, "no 'question'"),
    ("a.json", SQUAD, ('"id": "2"', '"id": "1"'), 6, "'1' comes twice"),
    ("a.json", SQUAD, ('"is_impossible": true', '"is_impossible": "no"'), 6, "is not true or false"),
    ("a.json", SQUAD, ('"context": "The', '"context": 3, "x": "The'), 3, "context: 3 is not a text"),
    ("a.json", SQUAD, ('"answers": [],', '"answers": [}'), 6, "not JSON"),
    ("a.json", LABELLED, ('"reference_contexts": null', '"reference_contexts": ["a", 5]'), 5, "not a text"),
    ("a.json", LABELLED, ('"query": "Who?", ', ""), 5, "no 'query'"),
    ("a.jsonl", RAGAS, ('"Who?"', '""'), 3, "user_input"),
    ("a.jsonl", RAGAS, ('"doc-7"', "null"), 3, "reference_context_ids"),
    ("a.csv", CSV, ("2020,data.csv,13,", "2020,data.csv,13"), 4, "4 cells for 5 columns"),
    ("a.csv", CSV, ("Who?,,,,", ",x,,,"), 6, "the question is empty"),
    ("a.csv", CSV, ("Answer", "Reply"), 1, "'answer' is needed"),
]


@pytest.mark.parametrize(("name", "text", "change", "line", "part"), MISTAKES)
def test_a_mistake_has_its_line(
    tmp_path: Path, name: str, text: str, change: tuple[str, str], line: int, part: str
) -> None:
    assert change[0] in text
    path = written(tmp_path, name, text.replace(*change, 1))
    with pytest.raises(LoadError, match=f"line {line}: ") as caught:
        read_questions(path)
    assert part in str(caught.value)


def test_an_answer_beside_its_place_is_found_and_told_of(tmp_path: Path) -> None:
    path = written(tmp_path, "a.json", SQUAD.replace('"answer_start": 22', '"answer_start": 20'))
    found = read_questions(path)
    assert (found.questions[0].answer, found.questions[0].span) == (
        "Kelantan",
        read_questions(written(tmp_path, "b.json", SQUAD)).questions[0].span,
    )
    assert len(found.warnings) == 1
    assert "line 5: " in found.warnings[0]
    assert found.warnings[0].endswith("'Kelantan' does not stand at 20 of its context: taken from 22")


def golden_line(**change: Any) -> str:
    line = json.loads((GOLDEN / "demo.jsonl").read_text(encoding="utf-8").splitlines()[0])
    return json.dumps({key: value for key, value in {**line, **change}.items() if value is not ...}) + "\n"


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"answer": ""}, "has no answer"),
        ({"answerable": False}, "is not answerable and has the answer"),
        ({"answerable": "yes"}, "answerable is 'yes'"),
        ({"kind": ...}, "no 'kind'"),
        ({"accept": "x"}, "accept is 'x'"),
        ({"page_or_row": True}, "page_or_row is True"),
        ({"pages": 1}, "unknown key 'pages'"),
        ({"char_start": 3}, "char_end None"),
        ({}, "is the one of line 1, too"),
    ],
)
def test_a_mistake_in_our_own_format_has_its_line(tmp_path: Path, change: dict[str, Any], part: str) -> None:
    first = golden_line() if not change else golden_line(id="first")
    path = written(tmp_path, "own.jsonl", first + golden_line(**change))
    with pytest.raises(LoadError, match="line 2") as caught:
        read_questions(path)
    assert part in str(caught.value)


def test_our_own_format_is_written_as_it_is_read(tmp_path: Path) -> None:
    questions = read_golden(GOLDEN / "demo.jsonl") + list(read_questions(written(tmp_path, "a.json", SQUAD)).questions)
    path = tmp_path / "again.jsonl"
    write_golden(path, questions)
    assert read_golden(path) == questions


def test_sources_match_by_the_end_of_their_path() -> None:
    assert same_source("data/malaysia_cpi.csv", "malaysia_cpi.csv")
    assert same_source("C:\\data\\malaysia_cpi.csv", "malaysia_cpi.csv")
    assert not same_source("data/old_malaysia_cpi.csv", "malaysia_cpi.csv")
    assert not same_source(None, "malaysia_cpi.csv")


# ---------------------------------------------------------------------------------------------------------------- TREC


def test_trec_files_are_read_as_ir_measures_reads_them(tmp_path: Path) -> None:
    qrels = written(tmp_path, "a.qrels", "1 0 a 2\n1 0 b 0\n2 0 c 1\n")
    run = written(tmp_path, "a.run", "1 Q0 b 9 0.5 x\n1 Q0 a 1 1.5e0 x\n1 Q0 c 2 0.5 x\n2 Q0 a 1 -3 x\n")
    theirs: dict[str, dict[str, int]] = {}
    for each in ir_measures.read_trec_qrels(str(qrels)):
        theirs.setdefault(each.query_id, {})[each.doc_id] = each.relevance
    assert read_qrels(qrels) == theirs
    assert read_run(run) == {"1": ["a", "c", "b"], "2": ["a"]}  # of equals the later id first, as trec_eval
    again = tmp_path / "again.run"
    write_run(again, read_run(run))
    assert read_run(again) == read_run(run)


@pytest.mark.parametrize(
    ("reader", "text", "line", "part"),
    [
        (read_qrels, "1 0 a 1\n1 a 1\n", 2, "3 columns"),
        (read_qrels, "1 0 a high\n", 1, "'high'"),
        (read_qrels, "1 0 a 1\n\n1 0 a 0\n", 3, "another before"),
        (read_run, "1 Q0 a 1 nan x\n", 1, "'nan'"),
        (read_run, "1 Q0 a 1 2 x\n1 Q0 a 2 1 x\n", 2, "twice"),
        (read_run, "1 Q0 a 1 2\n", 1, "5 columns"),
    ],
)
def test_a_mistake_in_a_trec_file_has_its_line(tmp_path: Path, reader: Any, text: str, line: int, part: str) -> None:
    with pytest.raises(LoadError, match=textwrap.shorten(part, 40)) as caught:
        reader(written(tmp_path, "bad", text))
    assert caught.value.where == f"line {line}"
