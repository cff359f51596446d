"""The verbs that fit rag_pgvector to this machine and to a corpus: tune, tune alpha."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from rag_pgvector.cli.eval_options import GoldenStore, golden_path
from rag_pgvector.cli.options import CollectionName, Json, ScopeName, TenantName, Url, open_database
from rag_pgvector.cli.output import progress, say, say_json, working
from rag_pgvector.errors import ConfigError

__all__ = ["register", "tune"]

tune = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help="Measure what searching costs on this machine.",
    epilog="Example: rag-pgvector tune",
)


def register(app: typer.Typer) -> None:
    """Add this verb, and the verbs below it, to the command line."""
    app.add_typer(tune, name="tune")


@tune.callback()
def costs(context: typer.Context, url: Url = None, as_json: Json = False) -> None:
    """Measure what searching costs on this machine, and keep it in the database.

    It takes about ten seconds, and a temporary table. The search planner decides by it from the next opening of a
    collection on; without it, by the costs of the machine that rag_pgvector was made on. Run it while nothing else
    works.
    """
    if context.invoked_subcommand is not None:
        return
    with open_database(url, prepare=True) as db:
        with working("measuring"):
            found = db.tune()
    if as_json:
        say_json({"search_costs": asdict(found)})
        return
    say(f"a search {found.search_us:.0f} µs, a row {found.row_us:.2f} µs (scattered {found.scattered_row_us:.2f})")
    say(f"a comparison {found.distance_us:.2f} µs per 1,000 dimensions")
    say(f"a candidate of an index walk {found.candidate_us:.2f} µs and {found.comparisons:.1f} comparisons")


@tune.command(epilog="Example: rag-pgvector tune alpha --golden data/scifact --split train --collection scifact")
def alpha(
    golden: Annotated[str, typer.Option("--golden", metavar="PATH", help="A BEIR folder, or NAME[:TAG] in the store.")],
    name: CollectionName,
    metric: Annotated[str, typer.Option(metavar="NAME@K", help="What is to be best.")] = "nDCG@10",
    by: Annotated[
        str, typer.Option(help="What the judgements call a document: a chunk's id, document_id or source.")
    ] = "id",
    split: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The file of qrels/.  [default: qrels.tsv, test]", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell; store nothing.")] = False,
    store: GoldenStore = None,
    tenant: TenantName = None,
    scope: ScopeName = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Fit the share of the vectors in a collection's hybrid searches on a golden set, and keep it.

    It is kept only if it is better than letting each question's own scores say, on questions that it was not chosen by
    (five-fold cross-validation; questions that share a document stay together); else the collection goes back to that.
    """
    if by not in ("id", "document_id", "source"):
        raise ConfigError(f"--by {by!r:.40}: use id, document_id or source")
    from rag_pgvector.evals.alpha import fit_alpha
    from rag_pgvector.evals.formats import read_beir

    asked = read_beir(golden_path(golden, store), split=split)
    with open_database(url, prepare=True) as db:
        collection = db.collection(name)
        searched = collection if tenant is None else collection.for_tenant(tenant, scope=scope)
        with progress() as tell:
            found = fit_alpha(searched, asked, measure=metric, by=by, progress=tell)  # type: ignore[arg-type]
        if not dry_run:
            collection.set_alpha(found.alpha)
    if as_json:
        say_json({"collection": name, "golden": asked.name, "stored": not dry_run, **asdict(found)})
        return
    kept = "each question's own share" if found.alpha is None else f"alpha={found.alpha}"
    say(
        f"{metric} of {found.questions} questions: {found.default:.4f} by default, "
        f"{found.cross_validated:.4f} fitted (cross-validated)"
    )
    low, high = found.gain_interval
    say(f"gain {found.gain:+.4f} ({low:+.4f} to {high:+.4f}); best on all of them: alpha={found.best}")
    say(f"{'would keep' if dry_run else 'kept'}: {kept}")
