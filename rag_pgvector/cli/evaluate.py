"""The verbs that measure: eval retrieval and eval answers."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_pgvector.cli import eval_history
from rag_pgvector.cli.eval_options import (
    After,
    Baseline,
    FailUnder,
    GoldenStore,
    Html,
    JudgeModel,
    JudgeUrl,
    Junit,
    Label,
    Limit,
    MaxDrop,
    Output,
    Save,
    Strict,
    conclude,
    golden_path,
    judge_of,
    say_judged,
    say_slices,
    say_table,
)
from rag_pgvector.cli.options import (
    ApiKey,
    Json,
    ScopeName,
    TenantName,
    Url,
    identify,
    open_database,
    probability,
    whole_number,
)
from rag_pgvector.cli.output import complain, progress, say, version
from rag_pgvector.errors import ConfigError

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection
    from rag_pgvector.database import Database
    from rag_pgvector.evals.counting import CountingEmbedder
    from rag_pgvector.evals.formats import CorpusDocument

__all__ = ["register"]

_MODES = ("dense", "keyword", "hybrid")
_KEYS = ("id", "document_id", "source")
#: Warnings about a golden set that are shown.
_WARNED = 10
#: Questions that a sweep asks at every setting, at most.
_SWEPT = 200

Golden = Annotated[str, typer.Argument(metavar="GOLDEN", help="The golden set: a path, or NAME[:TAG] in the store.")]
Name = Annotated[
    str | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="NAME",
        help="Use this collection as it is, instead of a temporary one.",
        show_default=False,
    ),
]
Ingest = Annotated[
    list[Path] | None,
    typer.Option(
        "--ingest",
        metavar="PATH",
        help="Ingest these files into the temporary collection, instead of the golden set's own documents.",
        show_default=False,
    ),
]
Who = tuple[str | None, str | None, str | None]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    verbs = typer.Typer(rich_markup_mode=None)
    verbs.command(epilog="Example: rag-pgvector eval retrieval data/scifact --mode hybrid --json")(retrieval)
    verbs.command(epilog="Example: rag-pgvector eval answers evals/golden/demo.jsonl --collection demo")(answers)
    eval_history.register(verbs)
    verbs.callback()(_evaluate)
    app.add_typer(
        verbs,
        name="eval",
        help="Measure search and answers on a golden set.",
        epilog="Example: rag-pgvector eval retrieval data/scifact",
    )


def _evaluate() -> None:
    pass


def retrieval(
    golden: Golden,
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
    slice_by: Annotated[
        str | None,
        typer.Option("--slice", metavar="KEY", help="Tell results apart by this key of the questions' metadata."),
    ] = None,
    name: Name = None,
    paths: Ingest = None,
    by: Annotated[
        str, typer.Option(help="What the judgements call a document: a chunk's id, document_id or source.")
    ] = "id",
    limit: Limit = None,
    with_sweep: Annotated[
        bool, typer.Option("--sweep", help="Measure recall against latency of the HNSW index, too.")
    ] = False,
    output: Output = None,
    html: Html = None,
    baseline: Baseline = None,
    fail_under: FailUnder = None,
    max_drop: MaxDrop = None,
    junit: Junit = None,
    strict: Strict = False,
    save: Save = False,
    label: Label = "",
    store: GoldenStore = None,
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
    if with_sweep and mode == "keyword":
        raise ConfigError("--sweep walks through the vector index: leave --mode keyword out")
    if by != "id" and name is None and not paths:
        raise ConfigError(f"--by {by}: only with --collection or --ingest; else it has the judgements' ids")
    from rag_pgvector.evals import history
    from rag_pgvector.evals import metrics as measures
    from rag_pgvector.evals.formats import read_beir
    from rag_pgvector.evals.retrieval import CollectionSearch, default_metrics, evaluate
    from rag_pgvector.evals.runs import model_of, retrieval_run

    names = metrics or default_metrics(k)
    for each in names:
        if measures.metric(each)[1] > k:
            raise ConfigError(f"--metric {each} looks {measures.metric(each)[1]} deep, and -k is {k}: search deeper")
    after = After(
        output=output, html=html, baseline=baseline, fail_under=fail_under or (), max_drop=max_drop or (), junit=junit,
        strict=strict, save=save, label=label,
    )  # fmt: skip
    after.check()
    asked = read_beir(golden_path(golden, store), split=split, slice_by=slice_by)
    questions = asked if limit is None else asked.first(limit)
    if asked.absent and name is None and not paths:
        complain(f"warning: {asked.absent} judged relevant documents are not in the corpus: nothing can find them")
    start = time.perf_counter()
    with ExitStack() as stack:
        db = stack.enter_context(open_database(url, prepare=True))
        collection, embedder = _collection(stack, db, name, paths, asked.documents, (tenant, scope, api_key), mode)
        ingested = time.perf_counter()
        before = (embedder.calls, embedder.texts)
        search = CollectionSearch(collection, mode=mode, by=by)  # type: ignore[arg-type]  # checked above
        tell = stack.enter_context(progress())
        found = evaluate(search, questions, metrics=names, k=k, progress=tell)
        about = {
            "embedding": {"calls": embedder.calls - before[0], "texts": embedder.texts - before[1]},
            "qrels": asked.qrels_file,
            "mode": mode,
            "k": k,
            "documents": collection.count(),
            "judged_but_absent": asked.absent,
            "questions_drawn_from": len(asked.queries),
            "plans": dict(search.plans),
            "warnings": dict(search.warnings),
            **({"model": None} if mode == "keyword" else model_of(collection.embedder)),
            "collection": name,
            "seconds": {
                "ingest": ingested - start if name is None else 0.0,
                "search": found.seconds,
                "total": time.perf_counter() - start,
            },
            "version": version(),
        }
        if with_sweep:
            from rag_pgvector.evals.sweep import sweep

            if name is None:
                collection.build_index()
            about["recall_latency"] = sweep(collection, list(questions.queries.values())[:_SWEPT], progress=tell)
        run = retrieval_run(questions, found, **about)
        keep = partial(history.save, db, collection=None if name is None else collection)
        for warning, count in search.warnings.items():
            complain(f"warning: {warning} ({count} of {len(questions.queries)} questions)")
        if not as_json:
            say(f"{asked.name}: {run['queries']} questions, {run['documents']} documents, {mode}")
            say_table(run)
            say_slices(run, names[:2])
            latency = run["latency_ms"]
            say(f"p50 {latency['p50']:.1f} ms a question, p95 {latency['p95']:.1f} ms", style="dim")
            for point in run.get("recall_latency", ()):
                setting = point["name"] if point["ef_search"] is None else f"hnsw, ef_search {point['ef_search']}"
                say(f"{setting:26} recall@10 {point['recall']:.4f}  p50 {point['ms']:.1f} ms")
        conclude(run, after, as_json=as_json, keep=keep)


def answers(
    golden: Golden,
    name: Name = None,
    paths: Ingest = None,
    k: Annotated[
        int | None,
        typer.Option("-k", "--k", metavar="N", parser=whole_number, help="Most citations.  [default: RAG_TOP_K, 3]"),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P", parser=probability, help="Least confidence of an answer.  [default: CONF_THRESHOLD, 0.6]"
        ),
    ] = None,
    limit: Limit = None,
    judge_model: JudgeModel = None,
    judge_url: JudgeUrl = None,
    output: Output = None,
    html: Html = None,
    baseline: Baseline = None,
    fail_under: FailUnder = None,
    max_drop: MaxDrop = None,
    junit: Junit = None,
    strict: Strict = False,
    save: Save = False,
    label: Label = "",
    store: GoldenStore = None,
    tenant: TenantName = None,
    scope: ScopeName = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Measure answers: right ones, their citations, abstentions and confidence.

    GOLDEN is our own JSONL, SQuAD, a LlamaIndex or RAGAS dataset, a CSV (question, answer, source, page_or_row), or a
    BEIR folder with answers. Its own documents, or --ingest, go into a temporary collection; or --collection is asked.
    """
    from rag_pgvector.evals import history
    from rag_pgvector.evals.answers import CollectionAnswers, evaluate_answers, summary
    from rag_pgvector.evals.judged import judge_answers
    from rag_pgvector.evals.question_formats import read_questions
    from rag_pgvector.evals.questions import draw
    from rag_pgvector.evals.runs import answers_run, model_of

    after = After(
        output=output, html=html, baseline=baseline, fail_under=fail_under or (), max_drop=max_drop or (), junit=junit,
        strict=strict, save=save, label=label,
    )  # fmt: skip
    after.check()
    judge = judge_of(judge_model, judge_url)
    asked = read_questions(golden_path(golden, store))
    for warning in asked.warnings[:_WARNED]:
        complain(f"warning: {warning}")
    questions = asked.questions if limit is None else draw(asked.questions, limit)
    if name is None and not paths and not asked.documents:
        raise ConfigError(f"{golden} brings no documents to ask: add --collection NAME or --ingest PATH")
    start = time.perf_counter()
    with ExitStack() as stack:
        db = stack.enter_context(open_database(url, prepare=True))
        collection, embedder = _collection(stack, db, name, paths, asked.documents, (tenant, scope, api_key), "hybrid")
        ingested = time.perf_counter()
        before = (embedder.calls, embedder.texts)
        system = CollectionAnswers(collection, k=k, threshold=threshold)
        tell = stack.enter_context(progress())
        found = evaluate_answers(system, questions, progress=tell)
        verdicts = None if judge is None else judge_answers(found.asked, questions, judge, progress=tell)
        about = {
            "embedding": {"calls": embedder.calls - before[0], "texts": embedder.texts - before[1]},
            "k": k,
            "threshold": threshold,
            "chunks": collection.count(),
            "questions_drawn_from": len(asked.questions),
            "golden_format": asked.format,
            "counts": summary(found.asked),
            "modes": dict(sorted(system.modes.items())),
            **model_of(collection.embedder),
            "collection": name,
            "seconds": {
                "ingest": ingested - start if name is None else 0.0,
                "ask": found.seconds,
                "total": time.perf_counter() - start,
            },
            "version": version(),
        }
        run = answers_run(asked.name, questions, found, verdicts=verdicts, **about)
        keep = partial(history.save, db, collection=None if name is None else collection)
        if not as_json:
            counts = run["counts"]
            say(
                f"{asked.name}: {counts['questions']} questions; of {counts['answerable']} answerable "
                f"{counts['right']} right, {counts['wrong']} wrong; of {counts['absent']} others "
                f"{counts['abstained_right']} not answered"
            )
            say_table(run)
            say_slices(run, ("right", "right_if_answered", "abstention_recall"))
            if run["confidence"]:
                shown = ("auroc", "e_aurc", "ece_debiased", "coverage_at_90")
                say("  ".join(f"{key} {run['confidence'][key]}" for key in shown))
            say_judged(run)
        conclude(run, after, as_json=as_json, keep=keep)


def _collection(
    stack: ExitStack,
    db: Database,
    name: str | None,
    paths: list[Path] | None,
    documents: tuple[CorpusDocument, ...],
    who: Who,
    mode: Any,
) -> tuple[Collection, CountingEmbedder]:
    """The collection to ask, and what counts its embeddings: an existing one, or one that goes when ``stack`` ends."""
    from rag_pgvector.evals.counting import CountingEmbedder
    from rag_pgvector.evals.retrieval import temporary_collection

    embedder = CountingEmbedder()
    if name is not None:
        if paths:
            raise ConfigError("--ingest makes a temporary collection: leave --collection out")
        collection = db.collection(name, embedder=embedder)
        return identify(db, *who, "data.vector_search").bind(collection), embedder
    with progress() as tell:
        made = temporary_collection(
            db,
            () if paths else documents,
            mode="hybrid" if paths else mode,
            embedder=embedder,
            progress=None if paths else tell,
        )
        collection = stack.enter_context(made)
        if paths:
            from rag_pgvector.ingest import ingest

            report = ingest(collection, paths, progress=tell)
            for failure in report.failed[:20]:
                complain(f"{failure.source}, {failure.where}: {failure.reason}")
            if not report.documents:
                raise ConfigError("--ingest: nothing could be ingested")
    return collection, embedder
