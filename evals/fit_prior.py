"""Fits and measures the prior of extractive confidence on SQuAD 2 (BEIR layout, as in qa_squad2), split by article.

    python -m rag_pgvector.evals.fit_prior --data DIR [--questions N] [--json]

Four kinds of questions are asked of the paragraphs, through ``rag_pgvector.answer.answer`` itself: answerable ones;
out of corpus (their whole article is taken away); near misses (only their own paragraph is); and SQuAD's adversarial
ones, which are reported apart and take no part in the fit. An answer is right if it is cut from the right paragraph and
holds the reference answer. Every figure is out of fold: each article's questions are judged by weights fitted on the
others. The mix: every answerable question, 28 % of them also as out of corpus, 40 % as near misses.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.answer import GroundedAnswer, answer
from rag_pgvector.answer.steps import EmbedTexts, Find, Tables, Texts
from rag_pgvector.types import Chunk, ScoredChunk, SearchPlan, SearchResult

__all__ = ["SIGNALS", "Sample", "collect", "fit", "main", "measure"]

Floats: TypeAlias = NDArray[np.float64]
Embed: TypeAlias = Callable[[Sequence[str]], NDArray[Any]]

#: The signals in the order of the weights, with the sign that each weight must have.
SIGNALS: dict[str, int] = {
    "margin": 1,
    "first_passage": 1,
    "passage_typed": 1,
    "sentence_terms": 1,
    "sentence_pairs": 1,
    "sentence_cosine": 1,
}
SHARES = {"answerable": 1.0, "out_of_corpus": 0.28, "near_miss": 0.40, "adversarial": 1.0}
RIDGE = 1e-5
FOLDS = 8
BINS = 15


@dataclass(frozen=True, slots=True)
class Sample:
    """One question as asked: its article, its kind, what the answer was made of and whether it was right."""

    article: str
    kind: str
    signals: tuple[float, ...]
    vetoed: bool
    right: bool


class _Corpus:
    """The paragraphs, searched exactly in memory; some can be taken away."""

    def __init__(self, folder: Path, embed: Embed) -> None:
        rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text("utf-8").splitlines()]
        self.articles = [str(row["title"]) for row in rows]
        self.chunks = [
            Chunk(
                id=row["_id"],
                document_id=row["_id"],
                source=row["title"],
                content=row["text"],
                char_start=0,
                char_end=len(row["text"]),
            )
            for row in rows
        ]
        self.place = {str(row["_id"]): at for at, row in enumerate(rows)}
        self._known: dict[str, NDArray[Any]] = {}
        self._embed = embed
        self.vectors = self.embed([chunk.content for chunk in self.chunks])

    def embed(self, texts: Sequence[str]) -> NDArray[Any]:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            vectors = np.asarray(self._embed(new))
            self._known.update(zip(new, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), strict=True))
        return np.stack([self._known[text] for text in texts])

    def ask(self, question: str, without: set[int]) -> GroundedAnswer:
        """The answer with some paragraphs taken away; answers whatever the confidence is."""
        steps = answer(question, threshold=0.0)
        reply: Any = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            if isinstance(step, Find):
                scores = self.vectors @ self.embed([question])[0]
                best = (int(at) for at in np.argsort(-scores, kind="stable") if int(at) not in without)
                hits = [ScoredChunk(self.chunks[at], float(scores[at])) for at in islice(best, step.k)]
                reply = SearchResult(hits, SearchPlan("exact", "in memory"))
            elif isinstance(step, Texts):
                reply = {id_: self.chunks[self.place[id_]].content for id_ in step.document_ids}
            elif isinstance(step, EmbedTexts):
                reply = self.embed(step.texts)
            else:
                assert isinstance(step, Tables)
                reply = []


def collect(folder: Path, embed: Embed, *, questions: int | None = None, seed: int = 0) -> Iterator[Sample]:
    """Asks the questions of ``folder`` in all four ways."""
    corpus = _Corpus(folder, embed)
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").splitlines()]
    draw = np.random.default_rng(seed)
    if questions is not None and questions < len(rows):
        rows = [rows[at] for at in sorted(draw.choice(len(rows), questions, replace=False))]
    corpus.embed([row["text"] for row in rows])
    for row in rows:
        about = row["metadata"]
        home = corpus.place[about["paragraph"]]
        article = corpus.articles[home]
        kinds = ["answerable", "out_of_corpus", "near_miss"] if about["answerable"] else ["adversarial"]
        for kind in kinds:
            if draw.random() >= SHARES[kind]:
                continue
            without: set[int] = set()
            if kind == "near_miss":
                without = {home}
            elif kind == "out_of_corpus":
                without = {at for at, title in enumerate(corpus.articles) if title == article}
            given = corpus.ask(row["text"], without)
            yield Sample(
                article=article,
                kind=kind,
                signals=tuple(given.signals.get(name, 0.0) for name in SIGNALS),
                vetoed=given.failure_mode is not None,
                right=kind == "answerable" and _right(given, about["paragraph"], about["answers"]),
            )


def _right(given: GroundedAnswer, paragraph: str, references: Sequence[str]) -> bool:
    if given.answer is None or given.citations[0].doc_id != paragraph:
        return False
    text = " ".join(given.answer.casefold().split())
    return any(" ".join(reference.casefold().split()) in text for reference in references)


def fit(signals: Floats, right: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Intercept and weights of a logistic regression whose weights keep the signs of ``SIGNALS``.

    Newton steps on the ridge-regularised log likelihood; a weight that takes the wrong sign is held at 0 (backward
    elimination, one at a time).
    """
    signs = np.array([*SIGNALS.values()], dtype=np.float64)
    design = np.hstack([np.ones((len(signals), 1)), signals * signs])
    target = right.astype(np.float64)
    ridge = np.full(design.shape[1], RIDGE * len(signals))
    ridge[0] = 0.0
    free = np.ones(design.shape[1], dtype=np.bool_)
    while True:
        weights = _newton(design[:, free], target, ridge[free])
        wrong = np.flatnonzero(free)[1:][weights[1:] < 0]
        if not len(wrong):
            break
        free[wrong[np.argmin(weights[1:][weights[1:] < 0])]] = False
    held = np.zeros(design.shape[1])
    held[free] = weights
    return float(held[0]), held[1:] * signs


def _newton(design: Floats, target: Floats, ridge: Floats) -> Floats:
    weights = np.zeros(design.shape[1])
    for _ in range(50):
        probability = _logistic(design @ weights)
        gradient = design.T @ (target - probability) - ridge * weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if np.abs(step).max() < 1e-9:
            break
    return weights


def _logistic(logits: Floats) -> Floats:
    return 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))


def out_of_fold(samples: Sequence[Sample], *, seed: int = 0) -> Floats:
    """Confidence of every sample by weights fitted on other articles' questions (adversarial ones never fitted on)."""
    signals = np.array([sample.signals for sample in samples])
    right = np.array([sample.right for sample in samples])
    usable = np.array([not sample.vetoed and sample.kind != "adversarial" for sample in samples])
    articles = sorted({sample.article for sample in samples})
    order = np.random.default_rng(seed).permutation(len(articles))
    fold_of = {articles[at]: place % FOLDS for place, at in enumerate(order)}
    folds = np.array([fold_of[sample.article] for sample in samples])
    confidence = np.zeros(len(samples))
    for fold in sorted(set(fold_of.values())):
        train = usable & (folds != fold)
        intercept, weights = fit(signals[train], right[train])
        confidence[folds == fold] = _logistic(intercept + signals[folds == fold] @ weights)
    confidence[[sample.vetoed for sample in samples]] = 0.0
    return confidence


def measure(confidence: Floats, right: NDArray[np.bool_]) -> dict[str, float | None]:
    """AUROC, AURC, E-AURC, Brier score, ECE (equal-mass bins), coverage at 80 and 90 % accuracy."""
    order = np.argsort(-confidence, kind="stable")
    sorted_right = right[order]
    count = np.arange(1, len(right) + 1)
    risk = 1.0 - np.cumsum(sorted_right) / count
    error = 1.0 - right.mean()
    best = error + (1.0 - error) * float(np.log(1.0 - error)) if error < 1.0 else 1.0
    positive, negative = int(right.sum()), int((~right).sum())
    auroc = None
    if positive and negative:
        auroc = float((_ranks(confidence)[right].sum() - positive * (positive + 1) / 2) / (positive * negative))
    bins = np.array_split(order, BINS)
    ece = sum(abs(confidence[part].mean() - right[part].mean()) * len(part) for part in bins if len(part)) / len(right)
    found: dict[str, float | None] = {
        "n": len(right),
        "base_rate": float(right.mean()),
        "auroc": auroc,
        "aurc": float(risk.mean()),
        "e_aurc": float(risk.mean() - best),
        "brier": float(np.mean((confidence - right) ** 2)),
        "ece": float(ece),
    }
    for accuracy in (0.8, 0.9):
        enough = np.flatnonzero(1.0 - risk >= accuracy)
        found[f"coverage_at_{accuracy:.0%}"] = float((enough[-1] + 1) / len(right)) if len(enough) else 0.0
    return found


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, ties at their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray(last - (counts - 1) / 2.0)[inverse]


def report(samples: Sequence[Sample]) -> dict[str, Any]:
    """Everything that is printed: figures out of fold, behaviour at thresholds, weights fitted on all articles."""
    confidence = out_of_fold(samples)
    right = np.array([sample.right for sample in samples])
    kinds = np.array([sample.kind for sample in samples])
    mix = kinds != "adversarial"
    at_threshold: dict[str, Any] = {}
    for threshold in (0.5, 0.6, 0.7, 0.8):
        answered = confidence >= threshold
        row: dict[str, Any] = {
            "answered": float(answered[mix].mean()),
            "right_of_answered": float(right[mix & answered].mean()) if (mix & answered).any() else None,
        }
        mine = kinds == "answerable"
        row["answerable_answered"] = float(answered[mine].mean())
        row["answerable_right_of_answered"] = float(right[mine & answered].mean()) if (mine & answered).any() else None
        for kind in ("out_of_corpus", "near_miss", "adversarial"):
            if (kinds == kind).any():
                row[f"abstained_{kind}"] = float(1.0 - answered[kinds == kind].mean())
        at_threshold[f"{threshold}"] = row
    signals = np.array([sample.signals for sample in samples])
    vetoed = np.array([sample.vetoed for sample in samples])
    intercept, weights = fit(signals[mix & ~vetoed], right[mix & ~vetoed])
    return {
        "mix": measure(confidence[mix], right[mix]),
        "at_threshold": at_threshold,
        "answerable_right": float(right[kinds == "answerable"].mean()),
        "vetoed": {kind: float(vetoed[kinds == kind].mean()) for kind in sorted(set(kinds.tolist()))},
        "articles": len({sample.article for sample in samples}),
        "intercept": round(intercept, 4),
        "weights": {name: round(float(weight), 4) for name, weight in zip(SIGNALS, weights, strict=True)},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Prints the report; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with corpus.jsonl and queries.jsonl")
    parser.add_argument("--questions", type=int, help="ask only so many, drawn at random")
    parser.add_argument("--json", action="store_true", help="print JSON on one line")
    options = parser.parse_args(arguments)
    from rag_pgvector.embedding import default_embedder
    from rag_pgvector.settings import load_settings

    embedder = default_embedder(load_settings())
    samples = list(collect(options.data, embedder.embed_documents, questions=options.questions))
    print(json.dumps(report(samples), indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
