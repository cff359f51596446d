"""A collection in memory that can be asked with passages taken away: what negatives for a confidence are made with.

It answers the steps of ``rag_pgvector.answer`` as a collection in Postgres does: exact vector search, BM25 with the
same analyser and formula, fused by the same functions. Passages that are taken away are not found; the statistics of
words still count them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_pgvector import fusion
from rag_pgvector.analysis import analyser
from rag_pgvector.answer import GroundedAnswer, answer
from rag_pgvector.answer.llm import answer_with_model
from rag_pgvector.answer.models import LanguageModel, Request
from rag_pgvector.answer.reader import Reads, default_reader
from rag_pgvector.answer.steps import (
    Answering,
    Calibrated,
    EmbedTexts,
    Find,
    Generate,
    Page,
    Read,
    Rows,
    Tables,
    Texts,
)
from rag_pgvector.config import SearchOptions
from rag_pgvector.types import Chunk, ScoredChunk, SearchPlan, SearchResult

__all__ = ["Embed", "MemoryCollection", "NoReader", "ReadCache", "VectorCache"]

Embed: TypeAlias = Callable[[Sequence[str]], NDArray[Any]]


class VectorCache:
    """An embedding function that remembers, in memory and (``folder``) in files for the next run."""

    def __init__(self, embed: Embed, folder: Path | None = None) -> None:
        self._embed = embed
        self._file = None if folder is None else folder / "vectors.npz"
        self._known: dict[str, NDArray[Any]] = {}
        self._kept = 0
        if self._file is not None and self._file.is_file():
            with np.load(self._file) as stored:
                texts = str(stored["texts"].tobytes().decode("utf-8", "surrogatepass")).split("\0")
                self._known = dict(zip(texts, stored["vectors"], strict=True))
                self._kept = len(self._known)

    def __call__(self, texts: Sequence[str]) -> NDArray[Any]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            vectors = np.asarray(self._embed(new), dtype=np.float32)
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            self._known.update(zip(new, (vectors / np.where(norms > 0, norms, 1)).astype(np.float16), strict=True))
        return np.stack([self._known[text] for text in texts]).astype(np.float32)

    def save(self) -> None:
        """Write what is new to the folder."""
        if self._file is None or len(self._known) == self._kept:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        joined = np.frombuffer("\0".join(self._known).encode("utf-8", "surrogatepass"), dtype=np.uint8)
        np.savez(self._file, texts=joined, vectors=np.stack(list(self._known.values())))
        self._kept = len(self._known)


class ReadCache:
    """A reader, by default the product's own, that remembers: in memory and (``folder``) in a file for the next run."""

    def __init__(self, reader: Reads | None = None, folder: Path | None = None) -> None:
        self._reader = reader or default_reader()
        # Another reader's log odds are other numbers.
        self._file = None if folder is None else folder / f"reads_{self.id}.npz"
        self._known: dict[bytes, NDArray[np.float32]] = {}
        self._kept = 0
        if self._file is not None and self._file.is_file():
            with np.load(self._file) as stored:
                places = np.cumsum(stored["lengths"])[:-1]
                keys = (row.tobytes() for row in stored["keys"])
                self._known = dict(zip(keys, np.split(stored["log_odds"], places), strict=True))
                self._kept = len(self._known)

    @property
    def id(self) -> str:
        return self._reader.id

    def read(self, question: str, pages: Sequence[Page], /) -> list[NDArray[np.float32]] | None:
        keys = [_key(question, page) for page in pages]
        new = {key: page for key, page in zip(keys, pages, strict=True) if key not in self._known}
        if new:
            found = self._reader.read(question, list(new.values()))
            if found is None:
                return None
            self._known.update(zip(new, found, strict=True))
        return [self._known[key] for key in keys]

    def save(self) -> None:
        """Write what is new to the folder."""
        if self._file is None or len(self._known) == self._kept:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            self._file,
            keys=np.frombuffer(b"".join(self._known), dtype=np.uint8).reshape(len(self._known), -1),
            lengths=np.array([len(found) for found in self._known.values()]),
            log_odds=np.concatenate(list(self._known.values())),
        )
        self._kept = len(self._known)


def _key(question: str, page: Page) -> bytes:
    return hashlib.sha256(repr((question, page.title, page.text, page.spans)).encode()).digest()


class NoReader:
    """In place of a reader: answers as they are without the extra ``local``."""

    id = ""

    def read(self, question: str, pages: Sequence[Page], /) -> None:
        """None, whatever the pages."""


class MemoryCollection:
    """Chunks that are searched exactly.

    Args:
        texts: The stored texts of their documents, where they have any.
        reader: By default the product's own, which remembers what it read.
    """

    def __init__(
        self,
        chunks: Sequence[Chunk],
        embed: Embed,
        *,
        language: str = "english",
        texts: Mapping[str, str] | None = None,
        options: SearchOptions | None = None,
        reader: Reads | None = None,
    ) -> None:
        self.chunks = list(chunks)
        self._embed = embed
        self._texts = dict(texts or {})
        self._reader = reader or ReadCache()
        self._options = options or SearchOptions()
        self._vectors = embed([chunk.embedded_text for chunk in self.chunks])
        self._analyser = analyser(language)
        postings: dict[str, list[tuple[int, int]]] = {}
        lengths = np.zeros(len(self.chunks))
        for at, chunk in enumerate(self.chunks):
            found = self._analyser.terms(chunk.content)
            lengths[at] = found.length
            for term, count in found.counts.items():
                postings.setdefault(term, []).append((at, count))
        self._postings = {term: np.array(places) for term, places in postings.items()}
        self._lengths = lengths

    def search(self, question: str, k: int, without: Collection[int] = ()) -> SearchResult:
        """Hybrid search, with the chunks at some places taken away."""
        allowed = np.ones(len(self.chunks), dtype=bool)
        allowed[list(without)] = False
        deep = max(k, fusion.CANDIDATES)
        cosines = np.where(allowed, self._vectors @ self._embed([question])[0], -2.0)
        words = np.where(allowed, self._bm25(question), 0.0)
        near = [int(at) for at in np.argsort(-cosines, kind="stable")[:deep] if allowed[at]]
        told = [int(at) for at in np.argsort(-words, kind="stable")[:deep] if words[at] > 0.0]
        dense = [ScoredChunk(self.chunks[at], float(cosines[at]), 1.0 - float(cosines[at])) for at in near]
        keyword = [ScoredChunk(self.chunks[at], float(words[at]), 1.0 - float(cosines[at])) for at in told]
        alpha = self._options.alpha if self._options.alpha is not None else fusion.share(dense, keyword)
        fused = fusion.convex(
            dense,
            keyword,
            key=lambda hit: hit.chunk.id,
            alpha=alpha,
            keyword_complete=len(keyword) < deep,
            similarity=lambda far: 1.0 - far,
        )
        hits = [ScoredChunk(each.hit.chunk, each.score, each.hit.distance, each.keyword_score) for each in fused]
        return SearchResult(hits[:k], SearchPlan("hybrid", "in memory", alpha=alpha))

    def ask(
        self,
        question: str,
        *,
        without: Collection[int] = (),
        k: int = 3,
        threshold: float = 0.0,
        llm: LanguageModel | None = None,
    ) -> GroundedAnswer:
        """The answer with the chunks at some places taken away; by default whatever its confidence."""
        if llm is not None:
            return self._drive(answer_with_model(question, k=k, threshold=threshold), without, llm)
        return self._drive(answer(question, k=k, threshold=threshold), without, llm)

    def _drive(self, steps: Answering, without: Collection[int], llm: LanguageModel | None) -> GroundedAnswer:
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if isinstance(step, Find):
                reply = self.search(step.question, step.k, without)
            elif isinstance(step, Texts):
                reply = {id_: self._texts[id_] for id_ in step.document_ids if id_ in self._texts}
            elif isinstance(step, EmbedTexts):
                reply = self._embed(step.texts)
            elif isinstance(step, Read):
                reply = self._reader.read(step.question, step.pages)
            elif isinstance(step, Calibrated):
                reply = None
            elif isinstance(step, Generate):
                assert llm is not None
                reply = llm.reply(Request(step.system, step.user, step.schema, 60.0))
            else:
                assert isinstance(step, (Tables, Rows))
                reply = []

    def _bm25(self, question: str) -> NDArray[np.float64]:
        k1, b = self._options.k1, self._options.b
        count, mean = len(self.chunks), self._lengths.mean()
        scores = np.zeros(count)
        for term, asked in self._analyser.question(question).terms.items():
            places = self._postings.get(term)
            if places is None:
                continue
            idf = asked * math.log(1 + (count - len(places) + 0.5) / (len(places) + 0.5))
            at, tf = places[:, 0], places[:, 1]
            scores[at] += idf / (1 + k1 * (1 - b + b * self._lengths[at] / mean) / tf)
        return scores
