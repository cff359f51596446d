"""The project's own golden sets, asked, compared with the baselines that are committed beside them, and reported.

    python -m rag_pgvector.evals.own --report build/eval [--update] [--json]

Every set is asked in a temporary collection of the demo's data; ``injection`` with a document that gives orders beside
it. Exit code 1: an answer's citation is not verbatim, or a set got worse by more than is allowed and chance explains.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rag_pgvector.demo
from rag_pgvector import Collection, Database
from rag_pgvector.evals.answers import CollectionAnswers, evaluate_answers, summary
from rag_pgvector.evals.counting import CountingEmbedder
from rag_pgvector.evals.gate import Gate, check_run, worse_lines
from rag_pgvector.evals.question_formats import read_questions
from rag_pgvector.evals.report import write_report
from rag_pgvector.evals.retrieval import temporary_collection
from rag_pgvector.evals.runs import answers_run, baseline_of, compact, model_of, read_run, write_run
from rag_pgvector.ingest import ingest

__all__ = ["SETS", "main"]

GOLDEN = Path(__file__).parent / "golden"
#: Each set, and what is ingested beside the demo's data.
SETS: dict[str, list[Path]] = {"demo": [], "demo_wide": [], "injection": [GOLDEN / "injection"]}
#: What may not be missed at all, and how far what may be missed may fall.
FLOORS = {"citation_verbatim": 1.0, "citation_id_valid": 1.0}
MAX_DROP = {"right": 0.02, "right_if_answered": 0.02, "abstention_recall": 0.02, "citation_source_recall": 0.02}


def ask(collection: Collection, name: str) -> dict[str, Any]:
    """The run of one set."""
    golden = read_questions(GOLDEN / f"{name}.jsonl")
    answers = CollectionAnswers(collection)
    found = evaluate_answers(answers, golden)
    about = {
        "chunks": collection.count(),
        "counts": summary(found.asked),
        "modes": dict(sorted(answers.modes.items())),
        **model_of(collection.embedder),
    }
    # Vectors are remembered across the sets: times would mean nothing.
    return answers_run(name, golden.questions, found, **about, latency_ms={})


def _checked(name: str, run: dict[str, Any]) -> Gate:
    path = GOLDEN / "baselines" / f"{name}.json"
    floors = {key: limit for key, limit in FLOORS.items() if run["metrics"][key] is not None}
    if not path.is_file():
        return check_run(run, fail_under=floors)
    known = {key: limit for key, limit in MAX_DROP.items() if run["metrics"][key] is not None}
    return check_run(run, fail_under=floors, baseline=read_run(path), max_drop=known)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rag_pgvector.evals.own", description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="else DATABASE_URL, else the embedded server")
    parser.add_argument("--report", type=Path, help="a folder for the runs (JSON) and reports (HTML)")
    parser.add_argument("--update", action="store_true", help="write the baselines instead of comparing with them")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    options = parser.parse_args(arguments)
    start, failed, documents = time.perf_counter(), False, {}
    embedder = CountingEmbedder(remember=True)
    with Database(options.url) as db:
        for name, more in SETS.items():
            with temporary_collection(db, (), mode="hybrid", embedder=embedder) as collection:
                ingest(collection, [*rag_pgvector.demo.data_files(), *more], strict=True)
                run = ask(collection, name)
            gate = _checked(name, run)
            failed = failed or gate.state == "fail"
            documents[name] = compact(run) | {"state": gate.state}
            if options.update:
                (GOLDEN / "baselines").mkdir(exist_ok=True)
                write_run(GOLDEN / "baselines" / f"{name}.json", baseline_of(run))
            if options.report is not None:
                options.report.mkdir(parents=True, exist_ok=True)
                write_run(options.report / f"{name}.json", run)
                write_report(options.report / f"{name}.html", run, gate)
            if not options.json:
                _say(name, run, gate)
    if options.json:
        from rag_pgvector.cli.output import say_json

        say_json({"sets": documents, "seconds": round(time.perf_counter() - start, 1)})
    else:
        where = "" if options.report is None else f"; reports in {options.report}"
        print(f"\n{time.perf_counter() - start:.0f} s{where}")
    return int(failed)


def _say(name: str, run: dict[str, Any], gate: Gate) -> None:
    counts = run["counts"]
    print(
        f"\n{name}: {counts['questions']} questions. Of {counts['answerable']} answerable {counts['right']} right "
        f"({counts['right_and_cited']} cited right), {counts['wrong']} wrong; of {counts['absent']} others "
        f"{counts['abstained_right']} not answered"
    )
    for kind, row in run["slices"].items():
        shown = [f"{key} {row[key]:.3f}" for key in ("right", "abstention_recall") if row.get(key) is not None]
        print(f"  {kind:16} {row['questions']:4}  {'  '.join(shown)}")
    confidence = run["confidence"]
    if confidence:
        keys = ("auroc", "e_aurc", "ece_debiased", "ece_noise_floor", "coverage_at_90")
        print("  confidence: " + "  ".join(f"{key} {confidence[key]}" for key in keys))
    for check in gate.checks:
        print(f"  {check.state:8} {check.message}")
        if check.state != "pass":
            print("".join(f"           {line}\n" for line in worse_lines(check)[:10]), end="")


if __name__ == "__main__":
    sys.exit(main())
