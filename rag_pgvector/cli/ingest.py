"""The verb ``ingest``."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Literal, cast
from uuid import UUID

import typer

from rag_pgvector.cli.options import (
    ApiKey,
    CollectionName,
    Identity,
    Json,
    ScopeName,
    TenantName,
    Url,
    identify,
    open_database,
)
from rag_pgvector.cli.output import complain, printable, progress, say, say_json
from rag_pgvector.errors import ConfigError

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection
    from rag_pgvector.database import Database
    from rag_pgvector.ingest import Engine, Failure, IngestReport, Mode
    from rag_pgvector.ingest.methods import Method

__all__ = ["ingested", "register"]


def register(app: typer.Typer) -> None:
    """Add the verb to the command line."""
    app.command(epilog="Example: rag-pgvector ingest data/ notes.md 'more/*.csv' --collection docs")(ingest)


def ingest(
    name: CollectionName,
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH", help="Files, folders (with their subfolders), globs, URLs.", show_default=False),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first file or row that cannot be read.")
    ] = False,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            help="append; sync: delete what is gone of the files that the paths cover; full: read everything again and "
            "delete all other documents.",
        ),
    ] = "append",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    size: Annotated[int | None, typer.Option(metavar="TOKENS", help="Most tokens of a chunk.  [default: 200]")] = None,
    by: Annotated[
        str,
        typer.Option(
            metavar="METHOD", help="How texts are divided: structure, paragraph, sentence, tokens, page, semantic."
        ),
    ] = "structure",
    rows: Annotated[int, typer.Option(metavar="COUNT", help="Rows of a table per chunk.")] = 1,
    content: Annotated[
        str | None, typer.Option(metavar="TEMPLATE", help="Text of a table's row, such as '{name}: {price}'.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column that names a table's rows.")
    ] = None,
    metadata_columns: Annotated[
        list[str] | None,
        typer.Option("--metadata-column", metavar="COLUMN", help="A column that becomes metadata (again for more)."),
    ] = None,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether a CSV's first row names the columns.", show_default=False),
    ] = None,
    delimiter: Annotated[str | None, typer.Option(metavar="CHARACTER", help="Of CSV files; else detected.")] = None,
    encoding: Annotated[str | None, typer.Option(metavar="NAME", help="Of CSV files; else detected.")] = None,
    decimal: Annotated[str | None, typer.Option(metavar="CHARACTER", help="Of CSV files: . or ,")] = None,
    engine: Annotated[
        str, typer.Option(metavar="NAME", help='local, or ray: on Ray Data (extra "ray"), several machines too.')
    ] = "local",
    show_failed: Annotated[
        bool, typer.Option("--show-failed", help="List what could not be ingested, with its reason; ingest nothing.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Read again the files that could not be ingested, as they were then.")
    ] = False,
    show_runs: Annotated[
        bool, typer.Option("--show-runs", help="List the last 20 ingestions; ingest nothing.")
    ] = False,
    tenancy: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Of a new collection: single, or multi, which keeps tenants apart.  [default: multi for a tenant]",
            show_default=False,
        ),
    ] = None,
    tenant: TenantName = None,
    scope: ScopeName = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Bring files into a collection; create it if absent.

    A second run does only what changed.
    A file that cannot be read is left out and named on stderr, one line per file. The exit code is 0 as long as
    anything could be ingested, and 1 if nothing could, or with --strict at the first file or row that cannot be read.
    What was left out is kept with its reason for --show-failed and --retry-failed.
    """
    from rag_pgvector.ingest import ChunkOptions, TableOptions, failures
    from rag_pgvector.ingest import ingest as run
    from rag_pgvector.ingest import retry_failed as run_again
    from rag_pgvector.ingest.sources import find_files

    paths = paths or []
    asked = show_failed + show_runs + retry_failed
    if asked > 1 or (asked and paths):
        raise ConfigError("--show-failed, --show-runs and --retry-failed stand alone, without paths")
    if not asked and not paths:
        raise ConfigError("name at least one PATH: a file, a folder or a glob")
    table = TableOptions(
        content=content,
        id_column=id_column,
        metadata_columns=tuple(metadata_columns) if metadata_columns else None,
        header=header,
        delimiter=delimiter,
        encoding=encoding,
        decimal=cast("Literal['.', ','] | None", decimal),  # it checks itself
    )
    tokens = 200 if size is None else size
    options = ChunkOptions(size=tokens, overlap=min(24, tokens // 2), by=cast("Method", by), rows=rows)
    if mode not in ("append", "sync", "full"):
        raise ConfigError(f"--mode {mode}: use append, sync or full")
    if engine not in ("local", "ray"):
        raise ConfigError(f"--engine {engine}: use local or ray")
    list(find_files(paths))  # a path that does not exist is told before a collection is made
    with open_database(url) as db:
        who = identify(db, tenant, scope, api_key, "data.ingest")
        if show_failed or show_runs:
            (_show_failed if show_failed else _show_runs)(who.bind(db.collection(name)), as_json)
            return
        if retry_failed:
            collection = who.bind(db.collection(name))
            with progress() as tell:
                report = run_again(collection, strict=strict, progress=tell)
            _tell(report, name, as_json)
            if not (as_json or report.documents or report.failed):
                left = len(failures(collection))
                why = f": what failed ({left}, see --show-failed) was no file or URL" if left else ""
                say(f"nothing to try again{why}")
            return
        collection = who.bind(db.collection(name)) if dry_run else _open_or_create(db, name, tenancy, who)
        with progress() as tell:
            report = run(
                collection,
                paths,
                options=options,
                table=table,
                mode=cast("Mode", mode),
                dry_run=dry_run,
                strict=strict,
                progress=tell,
                engine=cast("Engine", engine),
            )
    _tell(report, name, as_json)
    if not report.documents and not (mode != "append" and report.deleted):
        complain(f"nothing could be ingested into {name!r}")
        raise typer.Exit(1)


def _tell(report: IngestReport, name: str, as_json: bool) -> None:
    for line in _failures(report.failed):
        complain(line)
    if as_json:
        say_json(report.to_dict())
    elif report.documents:
        say(("would be: " if report.dry_run else "") + ingested(report, name))


def _show_failed(collection: Collection, as_json: bool) -> None:
    from rag_pgvector.ingest import failures

    found = failures(collection)
    if as_json:
        keys = ("file", "path", "source", "where", "reason", "failed_at")
        say_json([{key: _plain(getattr(each, key)) for key in keys} for each in found])
        return
    for each in found:
        say(printable(f"{each.source}{', ' if each.where else ''}{each.where}: {each.reason}"))
    if not found:
        say("nothing failed")


def _show_runs(collection: Collection, as_json: bool) -> None:
    from rag_pgvector.ingest import runs

    found = runs(collection)
    if as_json:
        say_json([{key: _plain(value) for key, value in asdict(run).items()} for run in found])
        return
    for run in found:
        what = ", ".join(f"{count:g} {name}" for name, count in run.counts.items() if count and name != "seconds")
        took = f" in {run.counts['seconds']:.1f} s" if "seconds" in run.counts else ""
        told = run.error or what or "nothing"
        say(printable(f"{run.started_at:%Y-%m-%d %H:%M:%S} {run.mode} {run.state}{took}: {told}"))


def _plain(value: object) -> object:
    """A value as JSON has it."""
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if isinstance(value, (datetime, UUID)) else value


def _open_or_create(db: Database, name: str, tenancy: str | None, who: Identity) -> Collection:
    """An existing collection with whatever configuration it has, or a new one with the embedder's dimensions."""
    from rag_pgvector.config import CollectionConfig
    from rag_pgvector.errors import CollectionMismatchError, CollectionNotFoundError, TenantError

    config = CollectionConfig(tenancy=tenancy or ("single" if who.tenant is None else "multi"))  # type: ignore[arg-type]
    if tenancy == "multi" and who.tenant is None:
        raise TenantError("--tenancy multi needs to know whose the files are: add --tenant")
    try:
        collection = db.collection(name)
    except CollectionNotFoundError:
        collection = db.collection(name, config=config)
    if tenancy is not None and collection.config.tenancy != tenancy:
        raise CollectionMismatchError(
            f"collection {name!r} exists with tenancy {collection.config.tenancy!r}: leave --tenancy out (db convert "
            "makes a single one multi)"
        )
    return who.bind(collection)


def ingested(report: IngestReport, name: str) -> str:
    """What was done, in one line."""
    changes = ", ".join(
        f"{count} {what}"
        for what in ("added", "updated", "unchanged", "deleted")
        if (count := getattr(report, what)) or what == "added"
    )
    text = (
        f"{report.documents} documents with {report.chunks} chunks in collection {name!r} ({changes}) "
        f"after {report.seconds:.1f} s"
    )
    if report.failed:
        text += f"; {len(report.failed)} files or rows left out"
    if report.index is not None and report.index.state == "wanted":
        text += f"; no vector index: {report.index.reason}"
    return text


def _failures(failed: tuple[Failure, ...]) -> list[str]:
    """One line per file: its first failure, and how many more there are."""
    by_source: dict[str, list[Failure]] = {}
    for failure in failed:
        by_source.setdefault(failure.source, []).append(failure)
    lines = []
    for source, failures in by_source.items():
        first, more = failures[0], len(failures) - 1
        where = f", {first.where}" if first.where else ""
        lines.append(f"{source}{where}: {first.reason}" + (f" (and {more} more in this file)" if more else ""))
    return lines
