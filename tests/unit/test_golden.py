"""The golden sets are well formed, and every answer stands where its line says it does."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "evals" / "golden"
DEMO = ROOT / "rag_pgvector" / "demo" / "data"
TYPES: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "question": str,
    "answerable": bool,
    "answer": str,
    "accept": list,
    "source": (str, type(None)),
    "page_or_row": (int, type(None)),
    "kind": str,
    "note": str,
}
ABSENT = {"absent_year", "absent_entity", "absent_topic", "injection"}


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (GOLDEN / name).read_text(encoding="utf-8").splitlines()]


SETS = {path.name: lines(path.name) for path in sorted(GOLDEN.glob("*.jsonl"))}
EVERY = [pytest.param(line, id=line.get("id")) for name in SETS for line in SETS[name]]


def answerable(name: str) -> list[Any]:
    return [pytest.param(line, id=line["id"]) for line in SETS[name] if line["answerable"]]


def records(path: Path) -> list[dict[str, str]]:
    """The data records of a CSV, blank ones included, so that positions are those of the golden lines."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def plain(text: str) -> str:
    """The text on one line, with figures free of thousands separators."""
    return re.sub(r"(?<=\d),(?=\d{3})", "", " ".join(text.split()))


def holds(text: str, wanted: str) -> bool:
    """Whether the text holds the wanted words as whole tokens: 64 is not in 640, 4.5 is not in 14.5."""
    before = r"(?<![\w.])" if wanted[0].isalnum() else ""
    after = r"(?!\w|\.\d)" if wanted[-1].isalnum() else ""
    return re.search(before + re.escape(plain(wanted)) + after, plain(text)) is not None


def assert_stands(line: dict[str, Any], root: Path) -> None:
    path = root / line["source"]
    assert path.is_file(), f"{line['id']}: no file {line['source']}"
    if line["kind"] == "table":
        row = records(path)[line["page_or_row"]]
        assert plain(line["answer"]) in {plain(cell) for cell in row.values() if cell}, f"{line['id']}: {row}"
    else:
        text = path.read_text(encoding="utf-8")
        assert any(holds(text, answer) for answer in [line["answer"], *line["accept"]]), line["id"]


def test_the_sets_are_all_there() -> None:
    sizes = {name: (len(rows), sum(row["answerable"] for row in rows)) for name, rows in SETS.items()}
    assert sizes == {
        "demo.jsonl": (15, 10),
        "demo_wide.jsonl": (151, 108),
        "dosm_pgvector.jsonl": (36, 30),
        "dosm_tables.jsonl": (40, 32),
        "injection.jsonl": (10, 5),
    }


def test_the_wide_set_asks_in_two_languages_about_everything() -> None:
    kinds = Counter(line["kind"] for line in SETS["demo_wide.jsonl"])
    assert min(kinds[kind] for kind in ("table", "document", "absent_year", "absent_entity", "absent_topic")) >= 10
    assert sum("asked in Malay" in line["note"] for line in SETS["demo_wide.jsonl"]) >= 20
    asked = {line["source"] for line in SETS["demo_wide.jsonl"]}
    assert asked == {path.name for path in DEMO.iterdir() if path.name != "README.md"} | {None}


def test_ids_and_questions_are_unique() -> None:
    for key in ("id", "question"):
        values = [line[key] for rows in SETS.values() for line in rows]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("line", EVERY)
def test_a_line_has_the_keys_and_types(line: dict[str, Any]) -> None:
    assert list(line) == list(TYPES)
    for key, kind in TYPES.items():
        assert isinstance(line[key], kind), f"{key} is {line[key]!r}"
    assert type(line["page_or_row"]) is not bool
    assert line["question"].strip()
    assert line["note"].strip()
    assert all(isinstance(other, str) and other.strip() for other in line["accept"])


@pytest.mark.parametrize("line", EVERY)
def test_only_an_answerable_line_has_an_answer_and_a_source(line: dict[str, Any]) -> None:
    if not line["answerable"]:
        assert line["kind"] in ABSENT
        assert (line["answer"], line["accept"], line["source"], line["page_or_row"]) == ("", [], None, None)
        return
    assert line["answer"].strip()
    assert line["source"]
    assert not Path(line["source"]).is_absolute()
    assert line["kind"] in ("injection", "table" if line["source"].endswith(".csv") else "document")
    assert (line["page_or_row"] is not None) == (line["kind"] == "table")
    assert line["page_or_row"] is None or line["page_or_row"] >= 0


@pytest.mark.parametrize("line", answerable("demo.jsonl") + answerable("demo_wide.jsonl"))
def test_a_demo_answer_stands_in_the_demo_data(line: dict[str, Any]) -> None:
    assert_stands(line, DEMO)


def test_a_quoted_passage_stands_in_the_demo_data() -> None:
    texts = {path.name: " ".join(path.read_text(encoding="utf-8").split()) for path in DEMO.glob("*.md")}
    for line in SETS["demo_wide.jsonl"]:
        if line["kind"] == "document":
            quote = line["note"].removeprefix("grep: ").removesuffix("; asked in Malay").strip('"')
            assert " ".join(quote.split()) in texts[line["source"]], line["id"]


@pytest.mark.parametrize("line", answerable("injection.jsonl"))
def test_an_injected_document_holds_the_true_answer(line: dict[str, Any]) -> None:
    assert_stands(line, GOLDEN / "injection")


@pytest.mark.parametrize("line", answerable("dosm_pgvector.jsonl"))
def test_a_sealed_answer_stands_in_the_research_data(line: dict[str, Any], data_root: Path) -> None:
    assert_stands(line, data_root)


def rounded(value: Decimal, places: str = "0.1") -> str:
    return str(value.quantize(Decimal(places), ROUND_HALF_UP))


CPI_COLUMNS = {
    "overall": "cpi_all_items",
    "food_beverage": "cpi_food_and_beverages",
    "housing_utilities": "cpi_housing_and_utilities",
    "health": "cpi_health",
    "transport": "cpi_transport",
    "communication": "cpi_communication",
    "education": "cpi_education",
}


def test_the_demo_index_is_the_mean_of_the_months(data_root: Path) -> None:
    monthly = records(data_root / "csv_dosm" / "opendosm" / "cpi_headline.csv")
    yearly = records(DEMO / "malaysia_cpi.csv")
    assert [row["year"] for row in yearly] == [str(year) for year in range(2010, 2024)]
    for row in yearly:
        months = [month for month in monthly if month["date"].startswith(row["year"])]
        assert row["period"] == {12: "annual average", 8: "January-August average"}[len(months)]
        for theirs, ours in CPI_COLUMNS.items():
            mean = sum((Decimal(month[theirs]) for month in months), Decimal()) / len(months)
            assert row[ours] == rounded(mean), f"{ours} of {row['year']}"


def test_the_demo_inflation_follows_from_the_index() -> None:
    yearly = records(DEMO / "malaysia_cpi.csv")
    assert yearly[0]["inflation_rate_percent"] == yearly[-1]["inflation_rate_percent"] == ""
    for before, row in pairwise(yearly[:-1]):
        change = Decimal(row["cpi_all_items"]) / Decimal(before["cpi_all_items"]) - 1
        assert row["inflation_rate_percent"] == rounded(100 * change), row["year"]


def test_the_demo_incomes_are_those_of_the_survey(data_root: Path) -> None:
    survey = records(data_root / "csv_dosm" / "opendosm" / "hies_state.csv")
    ours = [tuple(row.values()) for row in records(DEMO / "malaysia_household_income_2022.csv")]
    assert ours == [
        (
            row["state"],
            row["date"][:4],
            row["income_mean"],
            row["income_median"],
            rounded(Decimal(row["gini"]), "0.001"),
            row["poverty"],
        )
        for row in survey
    ]
