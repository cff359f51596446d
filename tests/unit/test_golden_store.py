"""The golden store: versions that never change, tags that move, damage that is found; and sides that share nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_pgvector.errors import ConfigError, LoadError
from rag_pgvector.evals.candidates import Candidate, write_candidates
from rag_pgvector.evals.golden_store import GoldenStore, is_reference
from rag_pgvector.evals.question_formats import read_csv
from rag_pgvector.evals.splitting import overlap, split_by_source

CSV = "question,answer,source\nWhere from?,Kelantan,kites.md\n"


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    path = tmp_path / "faq.csv"
    path.write_text(CSV)
    return path


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoldenStore:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        return GoldenStore.open("memory://golden")
    return GoldenStore.open(str(tmp_path / "store"))


def test_the_same_files_are_the_same_version(store: GoldenStore, golden: Path) -> None:
    first = store.add(golden, "faq", tag="v1", note="the first")
    again = store.add(golden, "faq")
    assert (first.sha256, first.questions, first.tags) == (again.sha256, 1, ("latest", "v1"))
    assert [each.sha256 for each in store.versions()] == [first.sha256]
    golden.write_text(CSV + "Who?,,\n")
    second = store.add(golden, "faq")
    assert second.sha256 != first.sha256
    assert (store.show("faq").sha256, store.show("faq:v1").sha256) == (second.sha256, first.sha256)
    assert store.show(f"faq@{first.sha256[:8]}").note == "the first"
    assert store.local("faq:v1").read_text() == CSV
    assert store.local("faq").read_text() == CSV + "Who?,,\n"
    store.tag("faq:v1", "latest")
    assert store.show("faq").sha256 == first.sha256
    assert store.verify() == []


def test_a_folder_is_a_set(store: GoldenStore, tmp_path: Path) -> None:
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "a", "text": "x"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "1", "text": "x?"}\n')
    (folder / "qrels" / "test.tsv").write_text("1\ta\t1\n")
    version = store.add(folder, "beir")
    assert [path for path, _, _ in version.files] == ["corpus.jsonl", "qrels/test.tsv", "queries.jsonl"]
    assert (store.local("beir") / "qrels" / "test.tsv").read_text() == "1\ta\t1\n"


def test_damage_is_found(golden: Path, tmp_path: Path) -> None:
    store = GoldenStore.open(str(tmp_path / "store"))
    version = store.add(golden, "faq")
    stored = tmp_path / "store" / "objects" / version.files[0][1]
    stored.write_text(CSV.replace("Kelantan", "Kedah"))
    assert store.verify("faq") == [f"faq@{version.sha256[:12]} faq.csv: the bytes have changed"]
    stored.unlink()
    assert "is missing" in store.verify()[0]
    manifest = tmp_path / "store" / "manifests" / f"{version.sha256}.json"
    manifest.write_text(manifest.read_text().replace("faq.csv", "../faq.csv"))
    with pytest.raises(LoadError, match="has changed"):
        store.show("faq")


def test_wrong_names(store: GoldenStore, golden: Path, tmp_path: Path) -> None:
    for name in ("", "a/b", "..", "-x", "x" * 64):
        with pytest.raises(ConfigError, match="name"):
            store.add(golden, name)
    with pytest.raises(LoadError, match="no golden set 'faq'"):
        store.show("faq")
    (tmp_path / "bad.csv").write_text("question,answer\nx\n")
    with pytest.raises(LoadError, match="line 2"):
        store.add(tmp_path / "bad.csv", "bad")
    store.add(golden, "faq")
    with pytest.raises(LoadError, match="no tag 'v9'"):
        store.show("faq:v9")
    with pytest.raises(ConfigError, match="NAME:TAG"):
        store.show("faq::v9")
    assert is_reference("faq:v1")
    assert not is_reference("data/faq.csv")


# ----------------------------------------------------------------------------------------------------------- splitting

sources = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.frozensets(st.sampled_from([f"doc{i}" for i in range(9)]), max_size=2),
    min_size=2,
    max_size=30,
)


@given(sources=sources, share=st.floats(0.1, 0.9))
def test_two_sides_share_no_source(sources: dict[str, frozenset[str]], share: float) -> None:
    try:
        first, second, _ = split_by_source(sources, share=share)
    except ConfigError:
        return
    assert sorted([*first, *second]) == sorted(sources)
    documents = [frozenset().union(*(sources[id_] for id_ in side)) for side in (first, second)]
    assert not documents[0] & documents[1]
    assert split_by_source(sources, share=share)[:2] == (first, second)


def test_an_uneven_split_is_told() -> None:
    hanging = {str(i): frozenset({"one"}) for i in range(9)} | {"x": frozenset({"two"})}
    first, second, warnings = split_by_source(hanging)
    assert {len(first), len(second)} == {1, 9}
    assert "hang together" in warnings[0]
    with pytest.raises(ConfigError, match="hang together"):
        split_by_source({str(i): frozenset({"one"}) for i in range(9)})


def test_shared_sources_and_nearly_identical_questions_are_told() -> None:
    one = [("1", "What was the rate of inflation in Johor in 2022?", frozenset({"a"})), ("2", "Who?", frozenset({"b"}))]
    other = [("3", "what was the inflation rate in Johor in 2022", frozenset({"c"})), ("4", "Where?", frozenset({"b"}))]
    found = overlap(one, other)
    assert (found.sources, found.questions) == (("b",), (("1", "3"),))
    assert len(found.warnings()) == 2
    assert overlap(one[:1], other[1:]).warnings() == []


# ---------------------------------------------------------------------------------------------------------- candidates


def test_only_reviewed_candidates_count(tmp_path: Path) -> None:
    path = tmp_path / "review.csv"
    rows = [("yes", "q1?", "=1+1"), ("", "q2?", "a"), ("Y", "q3?", "b\nc"), ("no", "q4?", "d")]
    write_candidates(path, [Candidate(r, q, a, "a.md", "3", "document", "", "", "passage") for r, q, a in rows])
    assert [each.question for each in read_csv(path).questions] == ["q1?", "q3?"]
    with path.open(newline="") as file:
        assert next(csv.DictReader(file))["answer"] == "'=1+1"  # no spreadsheet runs it
    with pytest.raises(FileExistsError):
        write_candidates(path, [])


def test_a_model_proposes_and_is_checked() -> None:
    from rag_pgvector import Chunk
    from rag_pgvector.evals.candidates import propose

    class Docs:
        def tables(self) -> list[Any]:
            return []

        def list(self, **_: Any) -> Any:
            texts = ["The wau bulan is from Kelantan.", "Gasing are tops.", "Nasi lemak is rice."]
            return [Chunk(id=str(i), content=text, document_id="d", source="kites.md") for i, text in enumerate(texts)]

    def model(prompt: str) -> str:
        if "wau" in prompt:
            return 'Sure! {"question": "Where is the wau bulan from?", "answer": "Kelantan"}'
        return json.dumps({"question": "What?", "answer": "wooden tops"}) if "tops" in prompt else "no"

    found = {each.passage[:3]: each for each in propose(Docs(), 3, llm=model)}  # type: ignore[arg-type]
    assert (found["The"].question, found["The"].answer) == ("Where is the wau bulan from?", "Kelantan")
    assert (found["Gas"].question, found["Gas"].note) == ("", "the model's answer does not stand in the passage")
    assert found["Nas"].note == "the model's reply could not be read"
    assert all(not each.reviewed for each in found.values())
