"""The verbs of the main job: demo, ingest, search, ask."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_pgvector.cli.options import (
    ApiKey,
    CollectionName,
    Filter,
    Identity,
    Json,
    ScopeName,
    TenantName,
    Url,
    identify,
    open_database,
    probability,
    read_filter,
    whole_number,
)
from rag_pgvector.cli.output import complain, place, printable, progress, say, say_json, working

if TYPE_CHECKING:
    from rag_pgvector.answer import Citation, GroundedAnswer
    from rag_pgvector.collection import Collection
    from rag_pgvector.database import Database
    from rag_pgvector.ingest import Failure, IngestReport

__all__ = ["register"]

WHY_NO_ANSWER = {
    "no_results": "nothing was found to read",
    "low_confidence": "the best candidate stays below the threshold",
    "insufficient_evidence": "something that the question names stands nowhere in the evidence",
    "conflicting_evidence": "the sources contradict each other",
    "unverified_citation": "a quotation stands nowhere in the sources",
    "ungrounded_answer": "the sources do not support the answer",
    "invalid_query": "the question holds no words",
    "filter_empty": "no chunk satisfies the filter",
    "llm_error": "the language model failed",
    "timeout": "there was not enough time",
    "retrieval_error": "the search failed",
}


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    app.command(epilog="Example: rag-pgvector demo")(demo)
    app.command(epilog="Example: rag-pgvector ingest data/ notes.md 'more/*.csv' --collection docs")(ingest)
    app.command(epilog="Example: rag-pgvector search 'inflation in 2023' --collection docs -k 10")(search)
    app.command(epilog="Example: rag-pgvector ask 'what is CPI for 2023?' --collection docs --json")(ask)


# ------------------------------------------------------------------------------------------------------------- demo


def demo(url: Url = None, as_json: Json = False) -> None:
    """Load bundled data and answer questions about it.

    The data goes into the collection "demo". Run it as often as you like: the second run embeds nothing again.
    """
    from rag_pgvector.answer.predict import predict
    from rag_pgvector.demo import NEXT_COMMANDS, QUESTIONS, load

    with open_database(url) as db:
        with progress() as tell:
            collection, report = load(db, progress=tell)
        if as_json:
            answers = [
                {"shows": each.shows, "question": each.text} | predict(collection, each.text).model_dump(mode="json")
                for each in QUESTIONS
            ]
            say_json({"ingest": report.to_dict(), "answers": answers, "next": list(NEXT_COMMANDS)})
            return
        say(_ingested(report, collection.name))
        for number, each in enumerate(QUESTIONS, 1):
            say()
            say(f"{number}. {each.text}   ({each.shows})", style="bold")
            _say_answer(predict(collection, each.text).prediction)
    say()
    say("Try next:", style="bold")
    for command in NEXT_COMMANDS:
        say(f"  {command}")


# ----------------------------------------------------------------------------------------------------------- ingest


def ingest(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Files, folders (with their subfolders) and globs.")
    ],
    name: CollectionName,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first file or row that cannot be read.")
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
    """
    from rag_pgvector.ingest import ingest as run
    from rag_pgvector.ingest.sources import find_files

    list(find_files(paths))  # a path that does not exist is told before a collection is made
    with open_database(url) as db:
        who = identify(db, tenant, scope, api_key, "data.ingest")
        collection = _open_or_create(db, name, tenancy, who)
        with progress() as tell:
            report = run(collection, paths, strict=strict, progress=tell)
    for line in _failures(report.failed):
        complain(line)
    if as_json:
        say_json(report.to_dict())
    elif report.documents:
        say(_ingested(report, name))
    if not report.documents:
        complain(f"nothing could be ingested into {name!r}")
        raise typer.Exit(1)


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


def _ingested(report: IngestReport, name: str) -> str:
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


# ----------------------------------------------------------------------------------------------------------- search


def search(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to look for.")],
    name: CollectionName,
    k: Annotated[int, typer.Option("-k", metavar="N", parser=whole_number, help="How many chunks.")] = 4,
    filter: Filter = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Add what the planner knew, and how Postgres runs the vector search.")
    ] = False,
    tenant: TenantName = None,
    scope: ScopeName = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Print the chunks nearest to a question.

    The best comes first; the score is higher-better. Rows are counted from 0, pages from 1.
    """
    conditions = read_filter(filter)
    with open_database(url) as db:
        who = identify(db, tenant, scope, api_key, "data.vector_search")
        collection = who.bind(db.collection(name))
        with working("searching"):
            found = collection.search(question, k=k, filter=conditions)
            lines = collection.explain_search(question, k=k, filter=conditions) if explain else []
    if as_json:
        results = [
            {
                "id": hit.chunk.id,
                "document_id": hit.chunk.document_id,
                "source": hit.chunk.source,
                "page_or_row": hit.chunk.page_or_row,
                "score": hit.score,
                "content": hit.chunk.content,
                "metadata": dict(hit.chunk.metadata),
            }
            for hit in found
        ]
        say_json({"results": results, "plan": asdict(found.plan)} | ({"explain": lines} if explain else {}))
        return
    for number, hit in enumerate(found, 1):
        where = place(hit.chunk.source, hit.chunk.page_or_row, row=_is_table(hit.chunk.source))
        say(f"{number}. {hit.score:.3f}  {where}", style="bold")
        say(_quoted(hit.chunk.content))
    if not found:
        say("nothing found")
    say(f"{found.plan.kind} search: {found.plan.reason}", style="dim")
    if explain:
        if found.plan.ef_search is not None:
            say(f"hnsw.ef_search = {found.plan.ef_search}")
        for line in lines:
            say(f"  {printable(line)}")


# -------------------------------------------------------------------------------------------------------------- ask


def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to answer.")],
    name: CollectionName,
    k: Annotated[
        int | None,
        typer.Option(
            "-k",
            metavar="N",
            parser=whole_number,
            help="Most citations.  [default: RAG_TOP_K, 3]",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            parser=probability,
            help="Least confidence of an answer.  [default: CONF_THRESHOLD, 0.6]",
            show_default=False,
        ),
    ] = None,
    filter: Filter = None,
    tenant: TenantName = None,
    scope: ScopeName = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Answer a question with verbatim citations.

    Or say why there is no answer, which is exit code 0, too: read failure_mode.
    """
    from rag_pgvector.answer.predict import predict

    conditions = read_filter(filter)
    with open_database(url) as db:
        who = identify(db, tenant, scope, api_key, "data.vector_search")
        collection = who.bind(db.collection(name))
        with working("reading"):
            response = predict(collection, question, k=k, filter=conditions, threshold=threshold)
    if as_json:
        say_json(response.model_dump(mode="json"))
    else:
        _say_answer(response.prediction)


def _say_answer(answer: GroundedAnswer) -> None:
    if answer.answer is not None:
        say(textwrap.indent(printable(answer.answer), "   "))
        for citation in answer.citations:
            _say_citation(citation)
        say(f"   confidence {answer.confidence:.2f} ({answer.confidence_kind})", style="dim")
    else:
        mode = str(answer.failure_mode)
        say(f"   No answer ({mode}): {WHY_NO_ANSWER[mode]}")
        say(f"   confidence {answer.confidence:.2f}, threshold {answer.threshold:.2f}", style="dim")
        if answer.near_misses:
            say("   closest:", style="dim")
            _say_citation(answer.near_misses[0])
    for warning in answer.warnings:
        say(f"   note: {printable(warning)}")


def _say_citation(citation: Citation) -> None:
    row = citation.columns is not None or _is_table(citation.source)
    say(f"   [{place(citation.source, citation.page_or_row, row=row)}]", style="cyan")
    say(_quoted(citation.snippet))


def _quoted(text: str) -> str:
    """The beginning of a text on at most three lines."""
    lines = textwrap.wrap(printable(text), width=100, max_lines=3, placeholder=" ...")
    return textwrap.indent("\n".join(lines), "   | ")


def _is_table(source: Any) -> bool:
    return PurePath(source or "").suffix.lower() in (".csv", ".tsv")
