"""The verbs eval history and eval canary: runs that were kept, and two configurations side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from rag_pgvector.cli.eval_options import FailUnder, GoldenStore, Label, Limit, MaxDrop, golden_path
from rag_pgvector.cli.options import (
    ApiKey,
    CollectionName,
    Json,
    ScopeName,
    TenantName,
    Url,
    identify,
    open_database,
    whole_number,
)
from rag_pgvector.cli.output import say, say_json
from rag_pgvector.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rag_pgvector.collection import Collection
    from rag_pgvector.config import Mode

__all__ = ["register"]

_SHOWN = ("nDCG@10", "R@10", "right", "right_if_answered", "abstention_recall")


def register(verbs: typer.Typer) -> None:
    """Add these verbs to ``eval``."""
    verbs.command(epilog="Example: rag-pgvector eval history --dataset scifact --svg history.svg")(history)
    verbs.command(
        epilog="Example: rag-pgvector eval canary data/scifact --collection docs --candidate docs_v2 --max-drop "
        "nDCG@10=.01"
    )(canary)


def history(
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Only runs over this golden set.")] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--collection", "-c", metavar="NAME", help="Whose tenant's runs to list, in a multi-tenant collection."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", parser=whole_number, help="How many.")] = 20,
    svg: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the metrics over the runs.")] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar="NAME", help="What to draw; may be repeated.  [default: those that are there]"
        ),
    ] = None,
    tenant: TenantName = None,
    scope: ScopeName = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List the runs that were kept with --save, the newest first."""
    from rag_pgvector.evals import history as kept

    with open_database(url) as db:
        who = identify(db, tenant, scope, api_key, "data.vector_search")
        if who.tenant is not None and name is None:
            raise ConfigError("--tenant is a part of a collection: add --collection")
        collection = None if name is None else who.bind(db.collection(name))
        found = kept.history(db, collection=collection, dataset=dataset, limit=limit)
    known = [each for each in _SHOWN if any(run.run.get("metrics", {}).get(each) is not None for run in found)]
    if svg is not None:
        svg.write_text(kept.history_svg(found, metrics or known[:3]), encoding="utf-8")
    if as_json:
        say_json(
            [
                {
                    "id": str(each.id),
                    "created_at": each.created_at.isoformat(),
                    "collection": each.collection,
                    "dataset": each.dataset,
                    "kind": each.kind,
                    "label": each.label,
                    "verdict": each.verdict,
                    "reasons": list(each.reasons),
                    "metrics": each.run.get("metrics", {}),
                }
                for each in found
            ]
        )
        return
    for each in found:
        values = "  ".join(
            f"{key} {value:.4f}" for key in known if (value := each.run.get("metrics", {}).get(key)) is not None
        )
        say(f"{each.created_at:%Y-%m-%d %H:%M}  {each.verdict or '':8}  {each.dataset:20}  {values}  {each.label}")
        for reason in each.reasons:
            say(f"    {reason}", style="dim")
    if not found:
        say("no runs were kept: add --save to 'eval retrieval' or 'eval answers'")


def canary(
    golden: Annotated[
        str, typer.Argument(metavar="GOLDEN", help="The golden set: a path, or NAME[:TAG] in the store.")
    ],
    name: CollectionName,
    candidate: Annotated[
        str | None, typer.Option(metavar="NAME", help="The other collection.  [default: the same, another mode]")
    ] = None,
    mode: Annotated[str, typer.Option(help="dense, keyword or hybrid.")] = "hybrid",
    candidate_mode: Annotated[str | None, typer.Option(help="The candidate's.  [default: the same]")] = None,
    answers: Annotated[bool, typer.Option("--answers", help="Compare answers instead of retrieval.")] = False,
    k: Annotated[int, typer.Option("-k", "--k", metavar="N", parser=whole_number, help="How deep to search.")] = 10,
    by: Annotated[str, typer.Option(help="What the judgements call a document: id, document_id or source.")] = "id",
    max_drop: MaxDrop = None,
    fail_under: FailUnder = None,
    limit: Limit = None,
    label: Label = "",
    store: GoldenStore = None,
    tenant: TenantName = None,
    scope: ScopeName = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Ask two configurations the same questions at the same time, and keep the verdict.

    Exit code 1 if the candidate is worse beyond chance.
    """
    from rag_pgvector.evals import history as kept
    from rag_pgvector.evals.gate import check_run, read_limits
    from rag_pgvector.evals.runs import compact

    floors = read_limits(fail_under or (), "--fail-under")
    drops = read_limits(max_drop or (), "--max-drop") or ({"right": 0.0} if answers else {f"nDCG@{min(10, k)}": 0.0})
    for each in (mode, candidate_mode or mode):
        if each not in ("dense", "keyword", "hybrid"):
            raise ConfigError(f"--mode {each!r:.40}: use dense, keyword or hybrid")
    path = golden_path(golden, store)
    with open_database(url) as db:
        who = identify(db, tenant, scope, api_key, "data.vector_search")
        current = who.bind(db.collection(name))
        other = current if candidate is None else who.bind(db.collection(candidate))
        if answers:
            makers = [_answers(path, each, limit) for each in (current, other)]
        else:
            modes = (mode, candidate_mode or mode)
            makers = [
                _retrieval(path, each, cast("Mode", how), k, by, limit)
                for each, how in zip((current, other), modes, strict=True)
            ]
        verdict = kept.canary(*makers, max_drop=drops)
        state, reasons = verdict.state, list(verdict.reasons)
        floor = check_run(verdict.candidate, fail_under=floors)
        if floor.state == "fail":
            state = "fail"
        reasons += [check.message for check in floor.checks]
        kept.save(db, verdict.candidate, collection=other, label=label, verdict=state, reasons=reasons)
    if as_json:
        runs = {"current": compact(verdict.current), "candidate": compact(verdict.candidate)}
        say_json({"verdict": state, "reasons": reasons} | runs)
    else:
        say(state, style="bold")
        for reason in reasons:
            say(f"  {reason}")
    if state == "fail":
        raise typer.Exit(1)


def _retrieval(
    path: Path, collection: Collection, mode: Mode, k: int, by: Any, limit: int | None
) -> Callable[[], dict[str, Any]]:
    from rag_pgvector.evals.formats import read_beir
    from rag_pgvector.evals.retrieval import CollectionSearch, default_metrics, evaluate
    from rag_pgvector.evals.runs import retrieval_run

    golden = read_beir(path)
    questions = golden if limit is None else golden.first(limit)

    def run() -> dict[str, Any]:
        search = CollectionSearch(collection, mode=mode, by=by)
        found = evaluate(search, questions, metrics=default_metrics(k), k=k)
        return retrieval_run(questions, found, mode=mode, k=k, collection=collection.name, plans=dict(search.plans))

    return run


def _answers(path: Path, collection: Collection, limit: int | None) -> Callable[[], dict[str, Any]]:
    from rag_pgvector.evals.answers import evaluate_answers
    from rag_pgvector.evals.question_formats import read_questions
    from rag_pgvector.evals.questions import draw
    from rag_pgvector.evals.runs import answers_run

    asked = read_questions(path)
    questions = asked.questions if limit is None else draw(asked.questions, limit)

    def run() -> dict[str, Any]:
        found = evaluate_answers(collection, questions)
        return answers_run(asked.name, questions, found, collection=collection.name)

    return run
