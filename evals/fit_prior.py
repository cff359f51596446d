"""Fits and measures the prior of extractive confidence on several public sets of questions.

    python -m rag_pgvector.evals.fit_prior --data DIR [--cache FOLDER] [--most N] [--sets NAME ...]
        [--reader with|without|both] [--trained]

Every question is asked through ``rag_pgvector.answer.answer`` itself, over a collection in memory: as it is; as a near
miss (the passages that answer it are taken away); and, for some, out of corpus (its whole source document is). SQuAD's
adversarial questions are reported apart and take no part in the fit. The mix of research notes: every answerable
question, 28 % of them also as out of corpus, 40 % as near misses.

Two priors are fitted: with the reader's signal, and without a reader, whose answers are others. The questions that the
reader was trained on are left out of both (``question_sets.READ_BY_THE_READER``); their passages are not.

Two figures are given for each set. ``within``: weights fitted on the set's other source documents. ``transfer``:
weights fitted on the other sets only, which is what the shipped weights do on a stranger's collection.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.answer.reader import Reads
from rag_pgvector.answer.signals import SIGNALS
from rag_pgvector.evals.confidence import measure
from rag_pgvector.evals.fitting import fit, logistic
from rag_pgvector.evals.in_memory import Embed, MemoryCollection, NoReader, ReadCache, VectorCache
from rag_pgvector.evals.question_sets import SETS, QuestionSet, is_right, read_questions

__all__ = ["Sample", "collect", "main", "report", "within"]

Floats: TypeAlias = NDArray[np.float64]

#: How often a question is asked in each way.
SHARES = {"answerable": 1.0, "out_of_corpus": 0.28, "near_miss": 0.40, "adversarial": 1.0}
#: What all samples of a set weigh together in the fit: else the largest sets would decide alone.
LEAST_WEIGHT, MOST_WEIGHT = 300.0, 900.0
#: A prior's prior: each sample's share of a pull of the weights to 0.
RIDGE = 2e-4
FOLDS = 8


@dataclass(frozen=True, slots=True)
class Sample:
    """One question as asked: its set, source document and kind, the signals of the answer and whether that was right.

    ``vetoed``: there was no candidate, whatever the confidence (a named failure other than a low one). ``elsewhere``: a
    near miss whose answer has a reference answer all the same, since that stands in another passage too. It counts as
    wrong.
    """

    set: str
    group: str
    kind: str
    signals: tuple[float, ...]
    vetoed: bool
    right: bool
    elsewhere: bool = False


def collect(
    data: QuestionSet, embed: Embed, *, most: int | None = None, seed: int = 0, reader: Reads | None = None
) -> Iterator[Sample]:
    """Asks a set's questions in all ways. ``most``: only so many questions, drawn by ``seed``."""
    collection = MemoryCollection(data.chunks, embed, language=data.language, texts=data.texts, reader=reader)
    place = {chunk.id: at for at, chunk in enumerate(data.chunks)}
    draw = np.random.default_rng(seed)
    questions = list(data.questions)
    if most is not None and most < len(questions):
        questions = [questions[at] for at in sorted(draw.choice(len(questions), most, replace=False))]
    embed([question.text for question in questions])
    for question in questions:
        kinds = ["answerable", "out_of_corpus", "near_miss"] if question.kind == "answerable" else ["adversarial"]
        for kind in kinds:
            if draw.random() >= SHARES[kind]:
                continue
            without: set[int] = set()
            if kind in ("near_miss", "out_of_corpus"):
                without = {place[id_] for id_ in question.passages}
            if kind == "out_of_corpus":
                without |= {at for at, group in enumerate(data.groups) if group == question.group}
            given = collection.ask(question.text, without=without)
            yield Sample(
                set=data.name,
                group=question.group,
                kind=kind,
                signals=tuple(given.signals.get(name, 0.0) for name in SIGNALS),
                vetoed=given.failure_mode is not None,
                right=kind == "answerable" and is_right(question, given),
                elsewhere=kind == "near_miss" and bool(question.answers) and is_right(question, given, lenient=True),
            )


def _design(samples: Sequence[Sample]) -> Floats:
    return np.array([sample.signals for sample in samples], dtype=np.float64)


def _right(samples: Sequence[Sample]) -> NDArray[np.bool_]:
    return np.array([sample.right for sample in samples], dtype=np.bool_)


def _usable(samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if not sample.vetoed and sample.kind != "adversarial"]


def fitted(samples: Sequence[Sample]) -> Floats:
    """Intercept and weights from the samples that may be fitted on; every set weighs 300 to 900 samples."""
    used = _usable(samples)
    counts = {name: sum(sample.set == name for sample in used) for name in {sample.set for sample in used}}
    each = {name: min(max(count, LEAST_WEIGHT), MOST_WEIGHT) / count for name, count in counts.items()}
    importance = np.array([each[sample.set] for sample in used])
    return fit(_design(used), _right(used), ridge=RIDGE * float(importance.sum()), importance=importance)


def confidence_of(samples: Sequence[Sample], weights: Floats) -> Floats:
    """The confidence of each sample; 0 for a vetoed one."""
    found = logistic(weights[0] + _design(samples) @ weights[1:])
    found[[sample.vetoed for sample in samples]] = 0.0
    return found


def within(samples: Sequence[Sample], *, seed: int = 0) -> Floats:
    """The confidence of every sample by weights fitted on the questions about other source documents."""
    groups = sorted({sample.group for sample in samples})
    order = np.random.default_rng(seed).permutation(len(groups))
    fold_of = {groups[at]: place % FOLDS for place, at in enumerate(order)}
    folds = np.array([fold_of[sample.group] for sample in samples])
    confidence = np.zeros(len(samples))
    for fold in sorted(set(fold_of.values())):
        weights = fitted([sample for sample, other in zip(samples, folds, strict=True) if other != fold])
        held = [sample for sample, other in zip(samples, folds, strict=True) if other == fold]
        confidence[folds == fold] = confidence_of(held, weights)
    return confidence


def _figures(samples: Sequence[Sample], confidence: Floats, *, intervals: bool, threshold: float) -> dict[str, Any]:
    right, kinds = _right(samples), np.array([sample.kind for sample in samples])
    mix, answered = kinds != "adversarial", confidence >= threshold
    groups = [sample.group for sample, kept in zip(samples, mix, strict=True) if kept]
    mine = kinds == "answerable"
    found: dict[str, Any] = {
        "mix": measure(confidence[mix], right[mix], groups=groups, intervals=intervals, resamples=200),
        "threshold": threshold,
        "answered_of_answerable": float(answered[mine].mean()),
        "right_of_answered": float(right[mine & answered].mean()) if (mine & answered).any() else None,
        "right_of_all_answered": float(right[mix & answered].mean()) if (mix & answered).any() else None,
        "right_at_any_confidence": float(right[mine].mean()),
    }
    for kind in ("out_of_corpus", "near_miss", "adversarial"):
        if (kinds == kind).any():
            found[f"abstained_{kind}"] = float(1.0 - answered[kinds == kind].mean())
    near = kinds == "near_miss"
    if near.any():
        elsewhere = np.array([sample.elsewhere for sample in samples])
        found["near_miss_answered_with_the_reference"] = float((answered & elsewhere)[near].mean())
    return found


def report(
    samples: Mapping[str, Sequence[Sample]], *, threshold: float = 0.6, intervals: bool = False
) -> dict[str, Any]:
    """Figures of every set, within and by transfer, and the weights fitted on all."""
    found: dict[str, Any] = {}
    for name, own in samples.items():
        others = [sample for other, many in samples.items() if other != name for sample in many]
        figures = {"within": _figures(own, within(own), intervals=intervals, threshold=threshold)}
        if others:
            moved = confidence_of(own, fitted(others))
            figures["transfer"] = _figures(own, moved, intervals=intervals, threshold=threshold)
        found[name] = figures
    every = [sample for many in samples.values() for sample in many]
    weights = fitted(every)
    # Without a reader no sample has what it says.
    seen = {name for name, column in zip(SIGNALS, _design(every).T, strict=True) if column.any()}
    named = zip(SIGNALS, weights[1:], strict=True)
    return {
        "sets": found,
        "intercept": round(float(weights[0]), 4),
        "weights": {name: round(float(weight), 4) for name, weight in named if name in seen},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Prints the report; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the public sets")
    parser.add_argument("--cache", type=Path, help="folder that keeps vectors for the next run")
    parser.add_argument("--most", type=int, help="ask only so many questions of a set, drawn at random (seed 0)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--intervals", action="store_true", help="also bootstrap intervals, by source document")
    parser.add_argument("--reader", choices=("with", "without", "both"), default="both", help="which prior is fitted")
    parser.add_argument("--trained", action="store_true", help="also ask the questions that the reader was trained on")
    options = parser.parse_args(arguments)
    from rag_pgvector.embedding import default_embedder
    from rag_pgvector.ingest import token_count
    from rag_pgvector.settings import load_settings

    embedder = default_embedder(load_settings())
    embed = VectorCache(embedder.embed_documents, options.cache)
    count, _ = token_count(embedder)
    sets = {name: read_questions(options.data, name, count=count, trained=options.trained) for name in options.sets}
    kept = ReadCache(folder=options.cache)
    found = {}
    for kind, reader in (("with", kept), ("without", NoReader())):
        if options.reader in (kind, "both"):
            samples = {}
            for name, data in sets.items():
                samples[name] = list(collect(data, embed, most=options.most, reader=reader))
                embed.save()
                kept.save()
            found[f"{kind}_reader"] = report(samples, intervals=options.intervals)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
