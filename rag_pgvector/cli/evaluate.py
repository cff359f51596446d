"""The verbs that measure: eval retrieval."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_pgvector.cli.options import (
    ApiKey,
    Json,
    ScopeName,
    TenantName,
    Url,
    identify,
    open_database,
    whole_number,
)
from rag_pgvector.cli.output import complain, progress, say, say_json, version
from rag_pgvector.errors import ConfigError

if TYPE_CHECKING:
    from rag_pgvector.evals.formats import RetrievalSet

__all__ = ["register"]

_MODES = ("dense", "keyword", "hybrid")
_KEYS = ("id", "document_id", "source")


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    verbs = typer.Typer(rich_markup_mode=None)
    verbs.command(epilog="Example: rag-pgvector eval retrieval data/scifact --mode hybrid --json")(retrieval)
    verbs.callback()(_evaluate)
    app.add_typer(
        verbs,
        name="eval",
        help="Measure search on a golden set.",
        epilog="Example: rag-pgvector eval retrieval data/scifact",
    )


def _evaluate() -> None:
    pass


def retrieval(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A BEIR folder: corpus.jsonl, queries.jsonl, qrels.tsv or qrels/."),
    ],
    mode: Annotated[str, typer.Option(help="dense, keyword or hybrid.")] = "hybrid",
    k: Annotated[int, typer.Option("-k", "--k", metavar="N", parser=whole_number, help="How deep to search.")] = 100,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME@K",
            help="nDCG, nDCG_exp, R, P, RR, AP or Success at a depth; may be repeated.  [default: all, at 10 and N]",
            show_default=False,
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The file of qrels/.  [default: qrels.tsv, test]", show_default=False),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--collection",
            "-c",
            metavar="NAME",
            help="Search this collection as it is, instead of a temporary one.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str, typer.Option(help="What the judgements call a document: a chunk's id, document_id or source.")
    ] = "id",
    tenant: TenantName = None,
    scope: ScopeName = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Measure retrieval on a BEIR folder.

    Its corpus goes into a temporary collection, one chunk per document, which is dropped at the end; or --collection is
    searched. Every judged question counts, those without results as 0.
    """
    for value, allowed, option in ((mode, _MODES, "--mode"), (by, _KEYS, "--by")):
        if value not in allowed:
            raise ConfigError(f"{option} {value!r:.40}: use {', '.join(allowed)}")
    from rag_pgvector.evals import metrics as measures
    from rag_pgvector.evals.formats import read_beir
    from rag_pgvector.evals.retrieval import default_metrics

    names = metrics or default_metrics(k)
    for each in names:
        measures.metric(each)
    golden = read_beir(folder, split=split)
    if golden.absent:
        complain(f"warning: {golden.absent} judged relevant documents are not in the corpus: nothing can find them")
    report = _measure(golden, names, mode, k, name, by, (tenant, scope, api_key), url)
    if as_json:
        say_json(report)
        return
    say(f"{golden.name}: {report['queries']} questions, {report['documents']} documents, {mode}")
    for each, value in report["metrics"].items():
        low, high = report["intervals"][each]
        say(f"{each:12} {value:.4f}  ({low:.4f} to {high:.4f})")
    say(f"p50 {report['latency_ms']['p50']:.1f} ms a question, p95 {report['latency_ms']['p95']:.1f} ms", style="dim")


def _measure(
    golden: RetrievalSet,
    names: list[str],
    mode: Any,
    k: int,
    name: str | None,
    by: Any,
    who: tuple[str | None, str | None, str | None],
    url: str | None,
) -> dict[str, Any]:
    from rag_pgvector.evals.retrieval import CollectionSearch, evaluate, temporary_collection

    start = time.perf_counter()
    with ExitStack() as stack:
        db = stack.enter_context(open_database(url))
        if name is not None:
            collection = identify(db, *who, "data.vector_search").bind(db.collection(name))
        else:
            if by != "id":
                raise ConfigError(f"--by {by}: only with --collection; a temporary one has the judgements' ids")
            tell = stack.enter_context(progress())
            collection = stack.enter_context(temporary_collection(db, golden.documents, mode=mode, progress=tell))
        ingested = time.perf_counter()
        search = CollectionSearch(collection, mode=mode, by=by)
        found = evaluate(search, golden, metrics=names, k=k)
        model = None if mode == "keyword" else collection.embedder.name
        documents = collection.count()
    for warning, count in search.warnings.items():
        complain(f"warning: {warning} ({count} of {len(golden.queries)} questions)")
    return {
        "dataset": golden.name,
        "qrels": golden.qrels_file,
        "mode": mode,
        "k": k,
        "metrics": {key: round(value, 6) for key, value in found.metrics.items()},
        "intervals": {key: [round(value, 6) for value in pair] for key, pair in found.intervals.items()},
        "queries": len(golden.queries),
        "queries_without_results": sum(not ranking for ranking in found.rankings.values()),
        "documents": documents,
        "judged_but_absent": golden.absent,
        "plans": dict(search.plans),
        "warnings": dict(search.warnings),
        "model": model,
        "collection": name,
        "latency_ms": {key: round(value, 3) for key, value in found.latency_ms.items()},
        "seconds": {
            "ingest": round(ingested - start, 3) if name is None else 0.0,
            "search": round(found.seconds, 3),
            "total": round(time.perf_counter() - start, 3),
        },
        "version": version(),
    }
