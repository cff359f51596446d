"""The verbs of vector indexes: index status, build, rebuild, drop."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_pgvector.cli.options import CollectionName, Json, Url, open_database
from rag_pgvector.cli.output import complain, progress, say, say_json

if TYPE_CHECKING:
    from rag_pgvector.types import IndexReport, IndexStatus

__all__ = ["memory_size", "register"]

_UNITS = {"kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


def memory_size(value: str) -> int:
    """The bytes of a size as Postgres writes it: ``512MB``, ``2GB``."""
    found = re.fullmatch(r"([1-9][0-9]{0,6})\s?(kB|MB|GB|TB)", str(value), re.IGNORECASE | re.ASCII)
    if found is None:
        raise typer.BadParameter(f"{value!r:.40}: use a size such as 512MB or 2GB")
    return int(found[1]) * next(size for unit, size in _UNITS.items() if unit.lower() == found[2].lower())


Memory = Annotated[
    int | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        parser=memory_size,
        help="For the build, e.g. 2GB.  [default: the server's maintenance_work_mem]",
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    verbs = typer.Typer(rich_markup_mode=None)
    for verb in (status, build, rebuild, drop):
        verbs.command(epilog=f"Example: rag-pgvector index {verb.__name__} --collection docs")(verb)
    app.add_typer(
        verbs,
        name="index",
        help="Look at, build, rebuild and drop a collection's vector index.",
        epilog="Example: rag-pgvector index status --collection docs",
    )


def status(name: CollectionName, url: Url = None, as_json: Json = False) -> None:
    """Print the state of a collection's vector index.

    Its kind and size, whether searches can use it, and the memory that building it takes. Changes nothing.
    """
    with open_database(url) as db:
        found = db.collection(name).index_status()
    if as_json:
        say_json({"collection": name} | asdict(found))
    else:
        say(_described(found))


def build(name: CollectionName, memory: Memory = None, url: Url = None, as_json: Json = False) -> None:
    """Build a collection's vector index.

    Builds it where there is none, and anew what an interrupted build left; rows that plain SQL wrote are taken into the
    keyword index. Searches and writes go on meanwhile. Several builds at the same moment: one works, the others wait.
    """
    with open_database(url) as db:
        collection = db.collection(name)
        with progress() as tell:
            report = collection.build_index(memory=memory, progress=_teller(tell))
        taken_in = collection.index_keywords()
    _say_report(report, name, as_json, taken_in)


def rebuild(name: CollectionName, memory: Memory = None, url: Url = None, as_json: Json = False) -> None:
    """Build a collection's vector index anew.

    The old one serves until the new one stands. Worth it after many deletes, and when the rows have outgrown the lists
    of an IVFFlat index.
    """
    with open_database(url) as db:
        collection = db.collection(name)
        with progress() as tell:
            report = collection.rebuild_index(memory=memory, progress=_teller(tell))
    _say_report(report, name, as_json)


def drop(name: CollectionName, url: Url = None, as_json: Json = False) -> None:
    """Drop a collection's vector index.

    Searches go on and are exact; they compare every row.
    """
    with open_database(url) as db:
        report = db.collection(name).drop_index()
    _say_report(report, name, as_json)


def _teller(tell: Any) -> Any:
    return None if tell is None else lambda found: tell(found.done, found.total, found.phase)


def _say_report(report: IndexReport, name: str, as_json: bool, taken_in: int = 0) -> None:
    if as_json:
        say_json({"collection": name} | asdict(report) | {"keyword_rows": taken_in})
    elif report.state != "wanted":
        say(f"collection {name!r}: vector index {report.state.replace('_', ' ')} ({report.reason})")
        if taken_in:
            say(f"{taken_in} rows taken into the keyword index")
    if report.state == "wanted":
        complain(f"the vector index of {name!r} is only wanted now: {report.reason}")
        raise typer.Exit(1)


def _described(found: IndexStatus) -> str:
    remedy = ": its building was interrupted; searches are exact until the next build, which makes it anew"
    lines = [f"state      {found.state.replace('_', ' ')}{remedy if found.state == 'invalid' else ''}"]
    if found.name:
        held = "" if found.holds == "vector" else f" of {found.holds}"
        parameters = f" ({', '.join(found.parameters)})" if found.parameters else ""
        lines.append(f"index      rag.{found.name}: {found.method}{held}{parameters}")
    if found.phase is not None:
        lines.append(f"building   {found.phase}")
    if found.index_bytes is not None:
        lines.append(f"size       {_megabytes(found.index_bytes)}, of the table {_megabytes(found.table_bytes)}")
    lines.append(f"rows       {'not analysed yet' if found.rows is None else f'about {found.rows}'}")
    if found.name:
        lines.append(
            f"memory     about {_megabytes(found.build_bytes)} to build, maintenance_work_mem is "
            f"{_megabytes(found.maintenance_work_mem)}"
        )
    if found.leftovers:
        lines.append(f"leftovers  {', '.join(found.leftovers)}: the next build removes them")
    return "\n".join(lines)


def _megabytes(value: int) -> str:
    return f"{value / (1 << 20):.1f} MB"
