"""The verb that fits rag_pgvector to this machine: tune."""

from __future__ import annotations

from dataclasses import asdict

import typer

from rag_pgvector.cli.options import Json, Url, open_database
from rag_pgvector.cli.output import say, say_json, working

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
    with open_database(url) as db:
        with working("measuring"):
            found = db.tune()
    if as_json:
        say_json({"search_costs": asdict(found)})
        return
    say(f"a search {found.search_us:.0f} µs, a row {found.row_us:.2f} µs (scattered {found.scattered_row_us:.2f})")
    say(f"a comparison {found.distance_us:.2f} µs per 1,000 dimensions")
    say(f"a candidate of an index walk {found.candidate_us:.2f} µs and {found.comparisons:.1f} comparisons")
