"""Hybrid search against its arms and the peers' hybrids: ``python -m rag_pgvector.evals.bench.hybrid --data DIR``.

Every set in BEIR's layout under the folder is loaded once, one chunk per document, with the same vectors for all. Ours
is asked as it comes: no weight is set. The peers get 100 candidates of each arm, and of their methods of fusion and
weights whatever does best on the very set that is measured.

- langchain-postgres: ``HybridSearchConfig`` with ``weighted_sum_ranking`` (shares of the vectors .3, .5, .7, .9) and
  ``reciprocal_rank_fusion``; its keyword arm asks for all words of a question at once (``plainto_tsquery``).
- LlamaIndex: the store's hybrid mode (the vectors' results, then the words'), and ``QueryFusionRetriever`` over the
  store's dense and sparse modes, as core's documentation combines them.

``NAME:PREFIX`` takes those documents and questions whose ids begin so: one language of ir_xquad. It is long:
``--systems`` and ``--resume`` run it in pieces (give the same --queries each time).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import uuid
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_pgvector import Chunk, CollectionConfig, Database, SearchOptions
from rag_pgvector.embedding import default_embedder
from rag_pgvector.evals.bench.hybrid_peers import PEERS
from rag_pgvector.evals.bench.measure import machine, print_rankings, print_targets, target, tell, versions
from rag_pgvector.evals.bench.server import database, describe_server, embedded_server, say
from rag_pgvector.evals.formats import RetrievalSet, read_beir
from rag_pgvector.evals.retrieval import Evaluation, evaluate
from rag_pgvector.settings import Settings

__all__ = ["VectorSet", "load_set", "main", "measure", "some_questions"]

K = 100
METRICS = ["nDCG@10", "nDCG_exp@10", "R@100"]
OURS = "rag-pgvector"
SETS = ["ir_scifact", "ir_cranfield", "ir_cisi", "ir_xquad:en", "ir_xquad:zh", "rag_claude_docs"]


#: Metrics by method of one system, and those by set and system.
Rows = dict[str, dict[str, Any]]
Done = dict[str, dict[str, Rows]]


@dataclass(frozen=True, slots=True)
class VectorSet:
    """A golden set with vectors, in the order of ``golden.documents`` and of ``golden.queries``."""

    name: str
    golden: RetrievalSet
    documents: NDArray[np.float32]
    queries: NDArray[np.float32]


def load_set(data: Path, name: str, cache: Path) -> VectorSet:
    """Read a set and embed it with the bundled model; vectors made before are taken from ``cache``."""
    folder, _, prefix = name.partition(":")
    golden = read_beir(data / folder)
    golden = replace(
        golden,
        documents=tuple(each for each in golden.documents if each.id.startswith(prefix) and each.content.strip()),
        queries={id_: text for id_, text in golden.queries.items() if id_.startswith(prefix)},
        qrels={id_: judged for id_, judged in golden.qrels.items() if id_.startswith(prefix)},
    )
    texts = [each.content for each in golden.documents]
    questions = list(golden.queries.values())
    embedder = default_embedder(Settings())
    digest = hashlib.sha256(json.dumps([embedder.name, texts, questions]).encode()).hexdigest()[:16]
    file = cache / f"{name.replace(':', '_')}-{digest}.npz"
    if file.is_file():
        with np.load(file) as stored:
            return VectorSet(name, golden, stored["documents"], stored["queries"])
    say(f"{name}: embedding {len(texts)} documents and {len(questions)} questions")
    found = VectorSet(name, golden, embedder.embed_documents(texts), embedder.embed_documents(questions))
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(file, documents=found.documents, queries=found.queries)
    return found


def some_questions(data: VectorSet, most: int) -> VectorSet:
    """At most so many of the set's questions, drawn by a fixed seed."""
    if len(data.golden.queries) <= most:
        return data
    chosen = sorted(np.random.default_rng(0).permutation(len(data.golden.queries))[:most])
    ids = [list(data.golden.queries)[i] for i in chosen]
    golden = replace(
        data.golden,
        queries={id_: data.golden.queries[id_] for id_ in ids},
        qrels={id_: data.golden.qrels[id_] for id_ in ids},
    )
    return replace(data, golden=golden, queries=data.queries[chosen])


def _ours(url: str, data: VectorSet) -> dict[str, Evaluation]:
    """Each mode of ours, with its evaluation."""
    found = {}
    with Database(url) as db:
        docs = db.collection("bench", config=CollectionConfig(dimensions=data.documents.shape[1]))
        docs.add(
            Chunk(id=each.id, content=each.content, embedding=vector)
            for each, vector in zip(data.golden.documents, data.documents, strict=True)
        )
        vectors = dict(zip(data.golden.queries.values(), data.queries, strict=True))

        def ids(question: str | None, k: int, vector: Any, options: SearchOptions) -> list[str]:
            return [str(hit.chunk.id) for hit in docs.search(question, vector=vector, k=k, options=options)]

        modes: dict[str, Callable[[str, int], list[str]]] = {
            "dense": lambda question, k: ids(None, k, vectors[question], SearchOptions(mode="dense")),
            "keyword": lambda question, k: ids(question, k, None, SearchOptions(mode="keyword")),
            "hybrid": lambda question, k: ids(question, k, vectors[question], SearchOptions(mode="hybrid")),
            "hybrid, alpha .5": lambda question, k: ids(question, k, vectors[question], SearchOptions(alpha=0.5)),
            "hybrid, rrf": lambda question, k: ids(question, k, vectors[question], SearchOptions(fusion="rrf")),
        }
        for name, search in modes.items():
            found[name] = evaluate(search, data.golden, metrics=METRICS, k=K)
    return found


def measure(server: str, sets: Sequence[VectorSet], systems: Sequence[str], file: Path, done: Done) -> dict[str, Any]:
    """Evaluate ours and the peers on every set, and return the report.

    ``done``: what earlier runs measured, by set and system; each new one is written to ``file`` with it.
    """
    left_out: dict[str, str] = {}
    report: dict[str, Any] = {"machine": machine(), "server": describe_server(server)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peers' deprecations are not this benchmark's to show
        for data in sets:
            rows = done.setdefault(data.name, {})
            for system in systems:
                if system not in rows:
                    say(f"{data.name}: {system}")
                    try:
                        rows[system] = _measure(server, data, system)
                    except ImportError as error:
                        left_out[system] = f"not installed ({error})"
                    file.write_text(json.dumps(done, indent=2), encoding="utf-8")
    report["versions"] = versions(
        "rag-pgvector", "langchain-postgres", "llama-index-core", "llama-index-vector-stores-postgres", "pgvector"
    )
    report["left_out"] = left_out
    report["sets"] = {data.name: _together(data, done[data.name]) for data in sets}
    report["targets"] = _targets(report["sets"])
    return report


def _measure(server: str, data: VectorSet, system: str) -> Rows:
    """One system on one set: each of its methods with its metrics."""
    with database(server, f"rag_bench_{uuid.uuid4().hex[:8]}_{system[:5]}") as url:
        if system == OURS:
            found = _ours(url, data)
        else:
            found = PEERS[system](url, data.golden, data.documents, data.queries, METRICS, K)
    return {
        name: {
            **{metric: round(value, 4) for metric, value in row.metrics.items()},
            "nDCG@10_interval": [round(value, 4) for value in row.intervals["nDCG@10"]],
            "p50_ms": round(row.latency_ms["p50"], 2),
        }
        for name, row in found.items()
    }


def _together(data: VectorSet, systems: dict[str, Rows]) -> dict[str, Any]:
    hybrids = {
        peer: [row["nDCG@10"] for how, row in systems.get(peer, {}).items() if how.startswith("hybrid")]
        for peer in PEERS
    }
    return {
        "documents": len(data.golden.documents),
        "queries": len(data.golden.queries),
        "rows": {
            name if system == OURS else f"{system}: {name}": row
            for system, rows in systems.items()
            for name, row in rows.items()
        },
        "best_peer_hybrid": {peer: max(reached, default=None) for peer, reached in hybrids.items()},
    }


def _targets(sets: dict[str, Any]) -> dict[str, Any]:
    """What the project set itself: hybrid above the better arm and above both peers' best hybrid on each set."""
    found = {}
    for name, one in sets.items():
        rows = {key: row["nDCG@10"] for key, row in one["rows"].items()}
        if "hybrid" not in rows:
            continue
        better = max(rows["dense"], rows["keyword"])
        allowed = -0.01 if name.endswith(":zh") else 0.0
        found[f"{name}: hybrid - better arm"] = _difference(rows["hybrid"] - better, allowed)
        for peer, value in one["best_peer_hybrid"].items():
            if value is not None:
                found[f"{name}: hybrid - {peer}"] = _difference(rows["hybrid"] - value, 0.0)
    return found


def _difference(value: float, goal: float) -> dict[str, Any]:
    """``target`` with four digits: the third would hide on which side of the goal a difference is."""
    return {**target(value, goal), "value": round(value, 4), "met": round(value, 4) >= goal}


def plot(report: dict[str, Any], file: Path) -> None:
    """Bars of nDCG@10 by set, written as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name, one in report["sets"].items() if "hybrid" in one["rows"]]
    bars = ["dense", "keyword", "hybrid"]
    figure, axes = pyplot.subplots(figsize=(10, 4.5))
    width = 0.8 / (len(bars) + len(PEERS))
    for i, bar in enumerate(bars):
        heights = [report["sets"][name]["rows"][bar]["nDCG@10"] for name in names]
        axes.bar(np.arange(len(names)) + i * width, heights, width, label=bar)
    for i, peer in enumerate(PEERS, len(bars)):
        heights = [report["sets"][name]["best_peer_hybrid"][peer] or 0.0 for name in names]
        axes.bar(np.arange(len(names)) + i * width, heights, width, label=f"{peer}, best hybrid")
    axes.set_xticks(np.arange(len(names)) + 0.4, [name.removeprefix("ir_").removeprefix("rag_") for name in names])
    axes.set_ylabel("nDCG@10")
    axes.legend(fontsize="small")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    pyplot.close(figure)


def _print(report: dict[str, Any]) -> None:
    for name, one in report["sets"].items():
        print_rankings(name, one, {"nDCG@10": ".4f", "R@100": ".4f", "p50_ms": ".1f"})
    print_targets(report)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0 whether or not the targets are met."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.hybrid", description=__doc__)
    default = os.environ.get("RAG_PGVECTOR_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(default), help="the folder of the sets (RAG_PGVECTOR_DATA)")
    parser.add_argument("--sets", nargs="+", metavar="NAME[:PREFIX]", help=f"default: those of {', '.join(SETS)} there")
    parser.add_argument("--queries", type=int, metavar="N", help="at most so many questions of each set (default: all)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--url", help="a server where databases may be created (default: an embedded one)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where the plot goes, and the vectors' cache")
    parser.add_argument(
        "--systems", nargs="+", choices=[OURS, *PEERS], default=[OURS, *PEERS], help="whom to ask (default: all)"
    )
    parser.add_argument("--resume", action="store_true", help="leave out what --out has already, by set and system")
    options = parser.parse_args(arguments)
    if options.queries is not None and options.queries < 1:
        parser.error(f"--queries {options.queries}: use at least 1")
    names = options.sets or [name for name in SETS if (options.data / name.partition(":")[0]).is_dir()]
    if not names:
        parser.error(f"no sets in {options.data}: give --data or --sets")
    sets = [load_set(options.data, name, options.out / "vectors") for name in names]
    if options.queries is not None:
        sets = [some_questions(data, options.queries) for data in sets]
    file = options.out / "bench-hybrid.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    done: Done = json.loads(file.read_text(encoding="utf-8")) if options.resume and file.is_file() else {}
    with ExitStack() as stack:
        server = options.url or stack.enter_context(embedded_server())
        report = measure(server, sets, options.systems, file, done)
    plot(report, options.out / "bench-hybrid.png")
    tell(report, as_json=options.json, read=_print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
