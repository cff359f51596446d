"""What the reader is trained on, and that training it does what it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_pgvector.answer.reader import WEIGHTS, Reader, default_reader
from rag_pgvector.answer.reader_network import _dequantised, _quantised, network_of, save_network, untrained_network
from rag_pgvector.answer.steps import Page
from rag_pgvector.embedding.bundled import bundled_folder
from rag_pgvector.errors import ConfigError
from rag_pgvector.evals import fit_reader
from rag_pgvector.evals.question_sets import read_paragraphs
from rag_pgvector.evals.reader_data import Row, examples, nearest, read_generated, read_human, without_answer

TEXT = "The granary of {0} was built in {1}. It was sold in {2}.\nA road leads there. The town of {0} has a fair."
PLACES = {"Orrin": (1871, 1904), "Velm": (1902, 1911), "Brae": (1788, 1799)}


def page(place: str) -> Page:
    text = TEXT.format(place, *PLACES[place])
    starts = [text.index(word) for word in ("The granary", "It was", "A road", "The town")]
    return Page(place, text, tuple((start, text.index(".", start) + 1) for start in starts))


def rows() -> list[Row]:
    found = []
    for place, years in PLACES.items():
        for at, asked in enumerate(("When was the granary of {} built?", "In which year was the granary in {} sold?")):
            targets = tuple(float(at == span) for span in range(4))
            found.append(Row(asked.format(place), page(place), targets, answers=(str(years[at]),)))
    return found


def embed(texts: Sequence[str]) -> NDArray[Any]:
    """Counts of letters: enough to tell texts apart."""
    return np.array([[1.0 + text.casefold().count(letter) for letter in "abcdefghijklmnop"] for text in texts])


def words(row: Row) -> list[str]:
    return [row.page.text[slice(*span)] for span in row.page.spans]


def write(folder: Path, passages: Sequence[tuple[str, str, str]], asked: Sequence[dict[str, Any]]) -> None:
    folder.mkdir()
    lines = [json.dumps({"_id": id_, "title": title, "text": text}) for id_, title, text in passages]
    (folder / "corpus.jsonl").write_text("\n".join(lines), "utf-8")
    lines = [
        json.dumps({"_id": f"{each['paragraph'][:3]}{at}", "text": each["text"], "metadata": each})
        for at, each in enumerate(asked)
    ]
    (folder / "queries.jsonl").write_text("\n".join(lines), "utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Sets as public ones are. The reader was trained on SQuAD's article "Normans" and on XQuAD's "Warsaw"."""
    texts = {place: page(place).text for place in PLACES}
    squad = [("n0", "Normans", texts["Orrin"]), ("n1", "Normans", texts["Velm"]), ("f0", "Force", texts["Brae"])]
    built: dict[str, Any] = {"text": "When was the  granary built? ", "answerable": True}
    sold: dict[str, Any] = {"text": "Who sold it?", "answers": [], "answerable": False}
    asked = [
        built | {"paragraph": "n0", "answers": ["1871", "in 1871"]},
        built | {"paragraph": "n1", "answers": ["1903"]},  # stands nowhere
        built | {"paragraph": "f0", "answers": ["1788"]},
        built | {"paragraph": "f0", "answers": ["Brae"]},  # stands twice
        *(sold | {"paragraph": id_} for id_ in ("n0", "f0")),
    ]
    write(tmp_path / "qa_squad2", squad, asked)
    xquad = [(f"{tongue}-{id_}", title, texts[place]) for tongue in ("en", "es", "de", "ro")
             for id_, title, place in (("p0", "Warsaw", "Velm"), ("p1", "Normans", "Orrin"))]  # fmt: skip
    write(tmp_path / "ir_xquad", xquad, [
        {"text": "Wann?", "paragraph": id_, "answers": ["1902", "1871"]} for id_, _, _ in xquad
    ])  # fmt: skip
    idkmrc = [("id-0", "", texts["Brae"])]
    write(tmp_path / "qa_idkmrc", idkmrc, [built | {"paragraph": "id-0", "answers": ["1788"]}])
    return tmp_path


def test_what_people_wrote_is_read_by_its_articles(data: Path) -> None:
    trained, held = read_human(data)
    assert [(row.language, row.page.title, row.right) for row in trained] == [
        ("english", "Normans", (0,)),
        ("english", "Normans", ()),
        *((language, "Warsaw", (0,)) for language in ("english", "spanish", "german")),
    ]
    assert trained[0].question == "When was the granary built?"
    assert [(row.page.title, row.right) for row in held] == [("Force", (0,)), ("Force", (0,)), ("Force", ())]
    assert [row.targets for row in held] == [(1.0, 0.0, 0.0, 0.0)] * 2 + [(0.0,) * 4]


def test_the_passages_outside_of_a_sample_are_the_other_ones(data: Path) -> None:
    def ids(**options: Any) -> set[str | None]:
        return {chunk.id for chunk in read_paragraphs("squad2", data, "qa_squad2", **options).chunks}

    inside, outside = ids(passages=1), ids(passages=1, outside=True)
    assert len(inside) == 1
    assert not inside & outside
    assert inside | outside == ids() == {"n0", "n1", "f0"}
    assert ids(outside=True) == ids(passages=9, outside=True) == set()


def test_near_pages_lack_the_answer() -> None:
    own = rows()
    found = nearest([*own, replace(own[0], human=False), replace(own[0], language="german")], embed)
    assert {each.title for each in found[0].near} == {"Velm", "Brae"}
    assert found[6].near == found[7].near == ()
    told = nearest([replace(own[0], answers=("1902",)), *own[1:]], embed)
    assert [each.title for each in told[0].near] == ["Brae"]


def test_what_answers_is_taken_out_of_a_page() -> None:
    row = rows()[1]
    less = without_answer(row)
    assert less is not None
    assert "sold" not in less.page.text
    assert words(less) == [words(row)[at] for at in (0, 2, 3)]
    assert less.targets == (0.0, 0.0, 0.0)
    soft = without_answer(replace(row, targets=(0.5, 1.0, 0.25, 0.0)))
    assert soft is not None
    assert soft.targets == (0.15, 0.0)
    assert without_answer(replace(row, targets=(1.0,) * 4)) is None


def test_an_epoch_has_whole_pages_crops_near_ones_and_ones_without_the_answer() -> None:
    text = " ".join(f"Sentence number {at} stands here." for at in range(60))
    starts = [at for at in range(len(text)) if text.startswith("Sentence", at)]
    long = Page("Long", text, tuple((start, text.index(".", start) + 1) for start in starts))
    near = rows()[0].page
    row = Row("Which one?", long, tuple(float(at == 40) for at in range(60)), language="spanish", near=(near,))
    found = list(examples([row] * 400, np.random.default_rng(0), lambda text: len(text.split())))
    whole = [each for each in found if each.page == long]
    nears = [each for each in found if each.page is near]
    less = [each for each in found if len(each.targets) == 59]
    crops = [each for each in found if each not in whole and each not in nears and each not in less]
    assert len(whole) + len(crops) == 400
    assert (len(crops), len(nears), len(less)) == pytest.approx((120, 240, 120), abs=40)
    assert all(any(each.targets) == (each in whole or each in crops) for each in found)
    assert {words(each)[each.targets.index(1.0)] for each in crops} == {"Sentence number 40 stands here."}
    assert all(120 < len(each.page.text.split()) <= 150 for each in crops)
    assert len({each.page.text for each in crops}) > 10
    english = list(examples([replace(row, language="english", near=(), targets=(0.0,) * 60)], *_draw()))
    assert len(english) == 3


def _draw() -> tuple[np.random.Generator, Any]:
    return np.random.default_rng(0), len


def test_generated_rows_are_read_and_wrong_ones_told_of(tmp_path: Path) -> None:
    file = tmp_path / "made.jsonl"
    good = {"question": "Who?", "title": "", "text": "Ada. Holm.", "spans": [[0, 4], [5, 10]], "targets": [0.9, 0]}
    file.write_text(json.dumps(good) + "\n", "utf-8")
    (row,) = read_generated(file)
    assert (row.human, row.right, words(row)) == (False, (0,), ["Ada.", "Holm."])
    for wrong in ({"targets": [1]}, {"targets": [2, 0]}, {"spans": [[0, 4], [5, 11]]}, {"spans": [[5, 10], [0, 4]]}):
        file.write_text(json.dumps(good) + "\n" + json.dumps(good | wrong) + "\n", "utf-8")
        with pytest.raises(ConfigError, match="line 2"):
            read_generated(file)
    file.write_text('{"question": "Who?"}\n', "utf-8")
    with pytest.raises(ConfigError, match="line 1: KeyError"):
        read_generated(file)


def test_int8_is_near_what_it_was_made_of() -> None:
    draw = np.random.default_rng(0)
    array = draw.normal(size=(5, 192)).astype(np.float32) * 10.0 ** draw.integers(-9, 2, (5, 1)).astype(np.float32)
    whole, scale = _quantised(array)
    assert (str(whole.dtype), str(scale.dtype), scale.shape) == ("int8", "float16", (5, 3))
    scales = np.repeat(scale.astype(np.float32), 64, axis=1)
    assert (np.abs(whole * scales - array) <= 0.51 * scales).all()


def test_what_is_loaded_is_written_the_same(tmp_path: Path) -> None:
    save_network(network_of(bundled_folder(), WEIGHTS), tmp_path / "again.npz")
    ours, theirs = np.load(tmp_path / "again.npz"), np.load(WEIGHTS)
    assert set(ours.files) == set(theirs.files)
    assert all(ours[name].dtype == theirs[name].dtype for name in ours.files)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours.files)


def test_training_lowers_the_loss_and_its_file_is_read(tmp_path: Path) -> None:
    import torch

    own = nearest(rows(), embed)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = untrained_network(bundled_folder())
        losses = fit_reader.train(network, default_reader()._open().tokenizer, own, epochs=6, batch_tokens=1_024)  # type: ignore[union-attr]
    assert losses[0] == pytest.approx(0.69, abs=0.1)
    assert np.mean(losses[-3:]) < 0.8 * losses[0]

    file = tmp_path / "reader.npz"
    save_network(network, file)
    assert "m.embeddings.word_embeddings.weight" not in _dequantised(file)
    reader = Reader(file)
    found = reader.read(own[0].question, [own[0].page])
    assert found is not None
    assert found[0].shape == (4,)
    figures = fit_reader.judged(reader, [*own, Row("Who?", own[0].page, (0.0,) * 4)])
    counts = {name: count for name, count in figures.items() if name.startswith("n_")}
    assert counts == {"n_sentence": 6, "n_without": 6, "n_near": 6, "n_adversarial": 1}


def test_the_command_trains_and_reports(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps: list[list[Row]] = []

    def train(network: Any, tokenizer: Any, read: Sequence[Row], **options: Any) -> list[float]:
        assert options == {"epochs": 2, "minutes": None}
        steps.append(list(read))
        return [0.7, 0.5]

    monkeypatch.setattr(fit_reader, "train", train)
    made = {"question": "Who?", "title": "", "text": "Ada.", "spans": [[0, 4]], "targets": [1.0]}
    (tmp_path / "made.jsonl").write_text(json.dumps(made), "utf-8")
    options = ["--data", str(data), "--generated", str(tmp_path / "made.jsonl"), "--epochs", "2"]
    assert fit_reader.main([*options, "--most", "4", "--out", str(tmp_path / "reader.npz")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["rows"] == {"human": 4, "generated": 1, "held": 3}
    assert (report["steps"], report["first_loss"], report["loss"]) == (2, 0.7, 0.5)
    assert (report["held"]["n_sentence"], report["held"]["n_adversarial"]) == (2, 1)
    assert [row.human for row in steps[0]] == [True] * 4 + [False]
    # The same file again, and nothing trained.
    assert fit_reader.main(["--data", str(data), "--most", "4", "--judge", str(tmp_path / "reader.npz")]) == 0
    assert json.loads(capsys.readouterr().out) == {"rows": {"held": 3}, "held": report["held"]}
    assert len(steps) == 1
