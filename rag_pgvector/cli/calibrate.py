"""The verb that fits a collection's confidence to its own questions: calibrate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from rag_pgvector.cli.eval_options import GoldenStore, golden_path
from rag_pgvector.cli.options import ApiKey, Json, ScopeName, TenantName, Url, identify, open_database
from rag_pgvector.cli.output import complain, progress, say, say_json
from rag_pgvector.errors import ConfigError, LoadError

__all__ = ["register"]

Golden = Annotated[
    str | None,
    typer.Argument(metavar="GOLDEN", help="The golden set: a path, or NAME[:TAG] in the store.", show_default=False),
]
Name = Annotated[str, typer.Option("--collection", "-c", metavar="NAME", help="The collection to calibrate.")]


def register(app: typer.Typer) -> None:
    """Add this verb to the command line."""
    app.command(epilog="Example: rag-pgvector calibrate evals/golden/mine.jsonl --collection docs")(calibrate)


def calibrate(
    golden: Golden = None,
    name: Name = "docs",
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the calibration as JSON, too.", show_default=False)
    ] = None,
    load: Annotated[
        Path | None,
        typer.Option("--load", metavar="FILE", help="Keep an exported calibration instead.", show_default=False),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Go back to the shipped prior.")] = False,
    store: GoldenStore = None,
    tenant: TenantName = None,
    scope: ScopeName = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Fit the confidence of answers from prose to questions whose answers are known (20 or more).

    It is kept in the database, for the tenant (and scope) that is named, and used by every answer from then on, until
    embedder, chunking or the collection's size change.
    """
    if sum([golden is not None, load is not None, forget]) != 1:
        raise ConfigError("give one of GOLDEN, --load FILE and --forget")
    with open_database(url) as db:
        collection = identify(db, tenant, scope, api_key, "data.ingest").bind(db.collection(name))
        if forget:
            collection.set_calibration(None)
            say(f"{name}: confidence by the shipped prior")
            return
        if load is not None:
            found = _loaded(load, collection.corpus_fingerprint())
            collection.set_calibration(found)
        else:
            from rag_pgvector.evals.calibrate import calibrate as fit
            from rag_pgvector.evals.question_formats import read_questions

            asked = read_questions(golden_path(str(golden), store))
            with progress() as tell:
                found = fit(collection, asked.questions, progress=tell)
    if export is not None:
        export.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if as_json:
        say_json(found)
        return
    figures = found["out_of_fold"]
    say(f"{name}: calibrated ({found['method']}) by {found['labels']} questions, {found['made']} made from them")
    say(f"out of fold: AUROC {figures['auroc']:.3f}, calibration error {figures['ece_debiased']:.3f} (debiased)")
    risks = found["thresholds"]
    say(f"least risk that can be guaranteed: {min(risks)}" if risks else "no risk up to .50 can be guaranteed")


def _loaded(file: Path, now: Any) -> dict[str, Any]:
    from rag_pgvector.answer.confidence import mismatch
    from rag_pgvector.answer.reader import default_reader

    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        assert isinstance(found, dict)
        reason = mismatch(found, now, reader=default_reader().is_here)
    except (OSError, ValueError, AssertionError, AttributeError) as error:
        raise LoadError(str(file), f"no exported calibration ({type(error).__name__})") from error
    if reason:
        complain(f"{file}: {reason}")
        raise ConfigError(f"{file} does not fit this collection: {reason}")
    return found
