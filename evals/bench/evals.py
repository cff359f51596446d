"""Ours beside the peers through one harness: ``python -m rag_pgvector.evals.bench.evals --data DIR --json``.

*Retrieval* (folders in BEIR's layout): what ``rag-pgvector eval retrieval DIR`` does, beside both peers' retrievers as
they come and each of their hybrid searches (``bench.hybrid_peers``), of which the best on the very set is told.
``NAME:PREFIX`` takes the documents and questions whose ids begin so; ir_xquad is told by language.

*Answers*: what ``rag-pgvector eval answers FILE`` does, beside LangChain's recipe for citations and LlamaIndex'
``CitationQueryEngine`` with a threshold on similarity (``bench.answers_recipes``). All are given the same chunks and
vectors. Who needs a language model is given one that copies the sentence with most of the question's words
(``bench.scripted_reader``), over HTTP; with it our own language model mode is asked, too. So the numbers tell of
retrieval, citation and abstention, and not of how well a model writes.

csv_faq_covid's questions are the paraphrases of its pairs called similar; right is an answer that holds a sentence of
the row's. ``--write-faq FILE`` writes them for ``rag-pgvector eval answers FILE --ingest``.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import sys
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rag_pgvector import Database
from rag_pgvector.config import Mode
from rag_pgvector.evals.answer_metrics import statements
from rag_pgvector.evals.answers import CollectionAnswers, evaluate_answers, summary
from rag_pgvector.evals.bench.answers_recipes import RECIPES
from rag_pgvector.evals.bench.hybrid_peers import PEERS
from rag_pgvector.evals.bench.measure import machine, print_rankings, tell, versions
from rag_pgvector.evals.bench.scripted_reader import ScriptedReader
from rag_pgvector.evals.bench.server import database, describe_server, embedded_server, say
from rag_pgvector.evals.formats import RetrievalSet, read_beir
from rag_pgvector.evals.gate import randomisation_test
from rag_pgvector.evals.kept_vectors import KeptVectors
from rag_pgvector.evals.question_formats import read_questions
from rag_pgvector.evals.questions import AnswerSet, draw
from rag_pgvector.evals.retrieval import CollectionSearch, Evaluation, evaluate, temporary_collection
from rag_pgvector.frames import all_chunks
from rag_pgvector.ingest import ingest

__all__ = ["ANSWERS", "RETRIEVAL", "main"]

K = 100
METRICS = ["nDCG@10", "R@10", "R@100"]
RETRIEVAL = ["ir_scifact", "ir_cranfield", "ir_cisi", "ir_xquad", "rag_claude_docs"]
#: The golden set of each set, and the files that it asks about where it does not bring its own.
ANSWERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "qa_squad2": ("qa_squad2/squad2_dev.json", ()),
    "qa_idkmrc": ("qa_idkmrc/original/valid.json", ()),
    "rag_financebench": ("rag_financebench/pages", ()),
    "csv_faq_covid": ("", ("csv_faq_covid/faq_covidbert.csv",)),
}
TOLD = (
    "right",
    "answered",
    "right_if_answered",
    "abstention_recall",
    "token_f1",
    "citation_verbatim",
    "citation_source_precision",
    "citation_source_recall",
    "citation_place",
    "statement_coverage",
    "number_coverage",
)
_CONFIDENCE = ("auroc", "e_aurc", "ece_debiased", "coverage_at_90")
_SENTENCE = 25


# ----------------------------------------------------------------------------------------------------------- retrieval


def read_set(data: Path, name: str, limit: int | None) -> RetrievalSet:
    """A set, or those of its documents and questions whose ids have a prefix; ``limit`` questions of each slice."""
    folder, _, prefix = name.partition(":")
    golden = read_beir(data / folder, slice_by="lang" if folder == "ir_xquad" else None)
    kept = {id_: text for id_, text in golden.queries.items() if id_.startswith(prefix)}
    if limit is not None:
        slices: dict[str, list[str]] = {}
        for id_ in kept:
            slices.setdefault(golden.slices.get(id_, ""), []).append(id_)
        drawn = {id_ for ids in slices.values() for id_ in random.Random(0).sample(ids, min(limit, len(ids)))}
        kept = {id_: text for id_, text in kept.items() if id_ in drawn}
    return replace(
        golden,
        documents=tuple(each for each in golden.documents if each.id.startswith(prefix) and each.content.strip()),
        queries=kept,
    )


def retrieval(server: str, golden: RetrievalSet, embedder: KeptVectors) -> dict[str, Any]:
    """Every mode of ours and every method of the peers."""
    say(f"{golden.name}: {len(golden.documents)} documents, {len(golden.queries)} questions")
    documents = embedder.embed_documents([each.content for each in golden.documents])
    queries = np.stack([embedder.embed_query(text) for text in golden.queries.values()])
    rows: dict[str, Evaluation] = {}
    left_out: dict[str, str] = {}
    run = uuid.uuid4().hex[:8]
    with ExitStack() as stack:
        db = stack.enter_context(Database(stack.enter_context(database(server, f"rag_bench_{run}_ours"))))
        collection = stack.enter_context(temporary_collection(db, golden.documents, mode="hybrid", embedder=embedder))
        modes: tuple[Mode, ...] = ("hybrid", "dense", "keyword")
        for mode in modes:
            say(f"  ours, {mode}")
            rows[mode] = evaluate(CollectionSearch(collection, mode=mode), golden, metrics=METRICS, k=K)
    for name, evaluate_peer in PEERS.items():
        say(f"  {name}")
        with database(server, f"rag_bench_{run}_{name[:5]}") as url:
            try:
                found = evaluate_peer(url, golden, documents, queries, METRICS, K)
            except ImportError as error:
                left_out[name] = f"not installed ({error})"
                continue
        rows |= {f"{name}: {how}": result for how, result in found.items()}
    return {
        "documents": len(golden.documents),
        "queries": len(golden.queries),
        "rows": {name: _retrieval_row(row) for name, row in rows.items()},
        "against_best": {name: _against(rows, name) for name in PEERS if name not in left_out},
        "left_out": left_out,
    }


def _retrieval_row(found: Evaluation) -> dict[str, Any]:
    return {
        **{metric: round(value, 4) for metric, value in found.metrics.items()},
        "nDCG@10_interval": [round(value, 4) for value in found.intervals["nDCG@10"]],
        "slices": {
            key: {"questions": row["questions"], "nDCG@10": round(float(row["nDCG@10"] or 0.0), 4)}
            for key, row in found.slices.items()
        },
        "p50_ms": round(found.latency_ms["p50"], 2),
    }


def _against(rows: Mapping[str, Evaluation], peer: str) -> dict[str, Any]:
    """Our hybrid beside the peer's best method here: the mean difference, and how often chance makes one as large."""
    best = max((name for name in rows if name.startswith(f"{peer}:")), key=lambda name: rows[name].metrics["nDCG@10"])
    ours, theirs = rows["hybrid"].per_query, rows[best].per_query
    differences = [ours[id_]["nDCG@10"] - theirs[id_]["nDCG@10"] for id_ in ours]
    one_sided = min(randomisation_test(differences), randomisation_test([-each for each in differences]))
    return {
        "method": best.removeprefix(f"{peer}: "),
        "nDCG@10": round(rows[best].metrics["nDCG@10"], 4),
        "difference": round(float(np.mean(differences)), 4),
        "p_two_sided": round(min(1.0, 2 * one_sided), 4),
        "ours_better_on": sum(each > 0 for each in differences),
        "theirs_better_on": sum(each < 0 for each in differences),
    }


# ------------------------------------------------------------------------------------------------------------- answers


def answers(
    server: str,
    golden: AnswerSet,
    paths: Sequence[Path],
    embedder: KeptVectors,
    *,
    limit: int | None,
    threshold: float,
    k: int = 3,
) -> dict[str, Any]:
    """Ours, ours with the scripted model, and the peers' recipes, over the same chunks."""
    from langchain_openai import ChatOpenAI

    questions = golden.questions if limit is None else draw(golden.questions, limit)
    say(f"{golden.name}: {len(questions)} questions")
    rows, seconds = {}, {}
    run = uuid.uuid4().hex[:8]
    with ExitStack() as stack:
        reader = stack.enter_context(ScriptedReader())
        db = stack.enter_context(Database(stack.enter_context(database(server, f"rag_bench_{run}_ours"))))
        documents = () if paths else golden.documents
        start = time.perf_counter()
        collection = stack.enter_context(temporary_collection(db, documents, mode="hybrid", embedder=embedder))
        if paths:
            ingest(collection, paths, strict=True)
        seconds["ingest"] = round(time.perf_counter() - start, 1)
        chunks = all_chunks(collection, embeddings=True)
        model = ChatOpenAI(model="scripted", base_url=reader.url, api_key="none", max_retries=0)
        systems: dict[str, Any] = {
            "rag_pgvector": CollectionAnswers(collection, k=k),
            "rag_pgvector, llm": CollectionAnswers(collection, k=k, llm=model),
        }
        for name, recipe in RECIPES.items():
            url = stack.enter_context(database(server, f"rag_bench_{run}_{name[:5]}"))
            systems[name] = stack.enter_context(recipe(url, chunks, _one(embedder), reader.url, k, threshold))
        for name, system in systems.items():
            say(f"  {name}")
            found = evaluate_answers(system, questions)
            rows[name] = {
                **{key: _rounded(found.metrics[key]) for key in TOLD},
                "right_interval": [_rounded(each) for each in found.intervals["right"] or ()],
                "counts": summary(found.asked),
                "confidence": {key: _rounded(found.confidence.get(key)) for key in _CONFIDENCE},
                "confusion": found.confusion,
                "p50_ms": round(found.latency_ms["p50"], 1),
            }
            seconds[name] = round(found.seconds, 1)
    return {
        "chunks": len(chunks),
        "questions": len(questions),
        "questions_drawn_from": len(golden.questions),
        "threshold_of_similarity": threshold,
        "rows": rows,
        "seconds": seconds,
    }


def _one(embedder: KeptVectors) -> Callable[[str], list[float]]:
    return lambda text: [float(value) for value in embedder.embed_query(text)]


def _rounded(value: Any) -> float | None:
    return None if value is None else round(float(value), 4)


def write_faq(data: Path, file: Path) -> int:
    """The paraphrases of csv_faq_covid as a golden set in CSV; returns how many.

    Source: the pairs of eval_question_similarity_en.csv called similar whose first question stands in exactly one row.
    """
    folder = data / "csv_faq_covid"
    with (folder / "faq_covidbert.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    places: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        places.setdefault(row["question"].strip(), []).append(number)
    with (folder / "eval_question_similarity_en.csv").open(encoding="utf-8", newline="") as lines:
        pairs = [row for row in csv.DictReader(lines) if row["similar"] == "1"]
    written = 0
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["id", "question", "answer", "accept", "source", "page_or_row", "kind"])
        for number, pair in enumerate(pairs):
            where = places.get(pair["question_1"].strip(), [])
            if len(where) != 1:
                continue
            text = rows[where[0]]["answer"]
            said = [" ".join(text[start:end].split()) for start, end in statements(text)]
            said = [each for each in said if len(each) >= _SENTENCE] or [" ".join(text.split())]
            accept = "\n".join(said[1:])
            writer.writerow(
                [f"faq-{number}", pair["question_2"].strip(), said[0], accept, "faq_covidbert.csv", where[0], "faq"]
            )
            written += 1
    return written


def read_answers(data: Path, name: str, out: Path) -> tuple[AnswerSet, list[Path]]:
    """The golden set of one of ``ANSWERS``, and the files to ingest for it."""
    golden, files = ANSWERS[name]
    if name == "csv_faq_covid":
        path = out / "faq.csv"
        write_faq(data, path)
    else:
        path = data / golden
    return read_questions(path), [data / each for each in files]


# ---------------------------------------------------------------------------------------------------------------- main


def _print(report: Mapping[str, Any]) -> None:
    for name, one in report["retrieval"].items():
        print_rankings(name, one, dict.fromkeys(("nDCG@10", "R@10", "R@100"), ".4f"))
        for peer, found in one["against_best"].items():
            print(f"  ours - {peer}, {found['method']}: {found['difference']:+.4f} (p {found['p_two_sided']})")
    for name, one in report["answers"].items():
        print(f"\n{name}: {one['questions']} of {one['questions_drawn_from']} questions, {one['chunks']} chunks")
        for key, row in one["rows"].items():
            shown = [f"{metric} {row[metric]:.3f}" for metric in TOLD if row[metric] is not None]
            shown += [f"{metric} {value:.3f}" for metric, value in row["confidence"].items() if value is not None]
            print(f"  {key:20} " + "  ".join(shown))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; returns 0 whatever the numbers are."""
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.bench.evals", description=__doc__)
    default = os.environ.get("RAG_PGVECTOR_DATA", "../shared/data")
    parser.add_argument("--data", type=Path, default=Path(default), help="the folder of the sets (RAG_PGVECTOR_DATA)")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="default: all that are there")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="at most N questions of each set, or language, drawn at random"
    )
    parser.add_argument("--threshold", type=float, default=0.6, help="on the peers' similarity")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--url", help="a server where databases may be created (default: an embedded one)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="where embeddings are kept between runs")
    parser.add_argument("--write-faq", type=Path, metavar="FILE", help="write csv_faq_covid's golden set, and end")
    options = parser.parse_args(arguments)
    if options.write_faq is not None:
        print(f"{write_faq(options.data, options.write_faq)} questions in {options.write_faq}")
        return 0
    if options.limit is not None and options.limit < 1:
        parser.error(f"--limit {options.limit}: use at least 1")
    known = [*RETRIEVAL, *ANSWERS]
    names = options.sets or [name for name in known if (options.data / name).is_dir()]
    if not names:
        parser.error(f"no sets in {options.data}: give --data or --sets")
    options.out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"machine": machine(), "retrieval": {}, "answers": {}}
    with ExitStack() as stack:
        warnings.simplefilter("ignore")  # the peers' deprecations are not this benchmark's to show
        server = options.url or stack.enter_context(embedded_server())
        report["server"] = describe_server(server)
        embedder = KeptVectors(options.out / "vectors.sqlite")
        stack.callback(embedder.close)
        for name in names:
            if name in ANSWERS:
                golden, paths = read_answers(options.data, name, options.out)
                report["answers"][name] = answers(
                    server, golden, paths, embedder, limit=options.limit, threshold=options.threshold
                )
            else:
                report["retrieval"][name] = retrieval(server, read_set(options.data, name, options.limit), embedder)
    report["versions"] = versions(
        "rag-pgvector",
        "langchain-core",
        "langchain-postgres",
        "llama-index-core",
        "llama-index-vector-stores-postgres",
        "pgvector",
    )
    tell(report, as_json=options.json, read=_print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
