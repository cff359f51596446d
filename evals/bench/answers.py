"""Answers from prose and their confidence: ``python -m rag_pgvector.evals.bench.answers --json --data DIR``.

Every set of ``question_sets`` that is named: the shipped prior as it comes (``shipped``), weights from the set's other
documents (``within``) and from the other sets (``transfer``), with bootstrap intervals by source document; a
calibration by 50 questions drawn from a set and tried on its other documents; and the peers' retrieval on the same.

- langchain: the citation recipe's retrieval, ``similarity_search_with_score`` of its in-memory store, accepted by a
  threshold on the similarity.
- llamaindex: CitationQueryEngine's retrieval, its simple vector store, with a ``similarity_cutoff``.

Both only retrieve: their first chunk is taken as the answer, right where it is one that answers (a chunk is asked less
than a sentence is), so that what is measured is whether the similarity tells an answerable question from another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rag_pgvector.answer.confidence import PRIOR
from rag_pgvector.answer.signals import SIGNALS
from rag_pgvector.evals.bench.measure import machine, print_targets, target, tell, versions
from rag_pgvector.evals.calibrate import platt
from rag_pgvector.evals.confidence import at_threshold, measure
from rag_pgvector.evals.fit_prior import Sample, collect, confidence_of, fitted, report
from rag_pgvector.evals.fitting import logistic
from rag_pgvector.evals.in_memory import ReadCache, VectorCache
from rag_pgvector.evals.question_sets import SETS, read_questions

__all__ = ["calibrated", "main"]

Floats: TypeAlias = NDArray[np.float64]


def shipped() -> Floats:
    """The shipped intercept and weights, in the order of ``SIGNALS``."""
    return np.array([PRIOR.intercept, *(PRIOR.weights[name] for name in SIGNALS)])


def calibrated(samples: Sequence[Sample], prior: Floats, *, labels: int = 50, draws: int = 100) -> dict[str, Any]:
    """What ``calibrate`` makes of so many questions, tried on those about other documents; means over random draws.

    Near misses are drawn with their questions, as ``calibrate`` makes them; the samples hold .40 of them, which is what
    they weigh there, so here each counts in full. ``floor``: the error that perfect confidences would show on so many.

    Args:
        prior: Intercept and weights fitted on other sets, in the order of ``SIGNALS``.
    """
    rows = []
    used = [sample for sample in samples if not sample.vetoed and sample.kind in ("answerable", "near_miss")]
    groups = sorted({sample.group for sample in used})
    logits = prior[0] + np.array([sample.signals for sample in used]) @ prior[1:]
    right = np.array([sample.right for sample in used])
    asked = np.array([sample.kind == "answerable" for sample in used])
    for seed in range(draws):
        draw = np.random.default_rng(seed)
        mine = {groups[at] for at in draw.permutation(len(groups))[: len(groups) // 2]}
        own = np.array([sample.group in mine for sample in used])
        order = draw.permutation(np.flatnonzero(own))
        upto = int(np.searchsorted(np.cumsum(asked[order]), labels)) + 1
        taken, held = order[:upto], ~own
        if asked[taken].sum() < labels or len(set(right[taken])) < 2 or not held.any():
            continue
        intercept, slope = platt(logits[taken], right[taken], np.ones(len(taken)))
        confidence = logistic(intercept + slope * logits[held])
        row = measure(confidence, right[held])
        accuracy = at_threshold(confidence, right[held], threshold=0.6)["accuracy"]
        before = measure(logistic(logits[held]), right[held])["ece_debiased"]
        rows.append([row["ece"], row["ece_debiased"], accuracy, row["ece_noise_floor"], before])
    if not rows:
        return {"labels": labels, "draws": 0}
    names = ("ece", "ece_debiased", "accuracy_at_0.6", "floor", "prior_ece_debiased")
    columns = [np.array([row[at] for row in rows if row[at] is not None]) for at in range(len(names))]
    return {"labels": labels, "draws": len(rows)} | {
        name: {"mean": float(column.mean()), "interval": [float(x) for x in np.quantile(column, [0.025, 0.975])]}
        for name, column in zip(names, columns, strict=True)
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, help="folder that keeps vectors for the next run")
    parser.add_argument("--most", type=int, default=1000, help="questions of a set, drawn with seed 0")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["squad2", "idkmrc", "claude_docs"])
    parser.add_argument("--no-tables", action="store_true")
    options = parser.parse_args(arguments)
    from rag_pgvector.embedding import default_embedder
    from rag_pgvector.evals.bench import answers_peers
    from rag_pgvector.ingest import token_count
    from rag_pgvector.settings import load_settings

    embedder = default_embedder(load_settings())
    embed = VectorCache(embedder.embed_documents, options.cache)
    count, _ = token_count(embedder)
    reader = ReadCache(folder=options.cache)
    samples: dict[str, list[Sample]] = {}
    peers: dict[str, Any] = {}
    for name in options.sets:
        data = read_questions(options.data, name, count=count)
        samples[name] = list(collect(data, embed, most=options.most, reader=reader))
        peers[name] = answers_peers.similarity(data, embed, most=options.most)
        embed.save()
        reader.save()
    figures = report(samples, intervals=True)["sets"]
    for name, own in samples.items():
        mix = [sample for sample in own if sample.kind != "adversarial"]
        confidence, right = confidence_of(mix, shipped()), np.array([sample.right for sample in mix])
        figures[name]["shipped"] = {
            "mix": measure(confidence, right, groups=[s.group for s in mix], intervals=True, resamples=200),
            "at_0.6": at_threshold(confidence, right, threshold=0.6),
        }
        others = [sample for other, many in samples.items() if other != name for sample in many]
        figures[name]["calibrated"] = calibrated(own, fitted(others) if others else shipped())
        figures[name]["peers"] = peers[name]
    document: dict[str, Any] = {"machine": machine(), "versions": versions(), "most": options.most, "sets": figures}
    if "squad2" in figures:
        document["targets"] = _targets(figures["squad2"])
    if not options.no_tables:
        document["tables"] = _tables()
    tell(document, as_json=options.json, read=_print)
    return 0


def _print(report: dict[str, Any]) -> None:
    for name, one in report["sets"].items():
        mix = one["within"]["mix"]
        print(f"{name}: " + ", ".join(f"{figure} {mix[figure]}" for figure in ("auroc", "e_aurc", "ece_debiased")))
    if "targets" in report:
        print_targets(report)


def _targets(squad: dict[str, Any]) -> dict[str, Any]:
    own, mix = squad["within"], squad["within"]["mix"]
    wanted = [
        ("AUROC", mix["auroc"], 0.94, True),
        ("E-AURC", mix["e_aurc"], 0.035, False),
        ("ECE, debiased", mix["ece_debiased"], 0.02, False),
        ("coverage at 90 %", mix["coverage_at_90"], 0.45, True),
        ("abstained out of corpus", own["abstained_out_of_corpus"], 0.99, True),
        ("abstained near miss", own["abstained_near_miss"], 0.95, True),
        ("answered of answerable", own["answered_of_answerable"], 0.65, True),
        ("right of answered", own["right_of_answered"], 0.92, True),
    ]
    if squad["calibrated"].get("draws"):
        wanted.append(("ECE with 50 labels", squad["calibrated"]["ece"]["mean"], 0.07, False))
        wanted.append(("accuracy at 0.6 with 50 labels", squad["calibrated"]["accuracy_at_0.6"]["mean"], 0.75, True))
    return {what: target(value, goal, at_most=not more) for what, value, goal, more in wanted}


def _tables() -> Any:
    from rag_pgvector.evals.bench import answers_tables

    return answers_tables.run()


if __name__ == "__main__":
    sys.exit(main())
