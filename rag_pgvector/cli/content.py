"""The verbs of the main job: demo, search, ask."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_pgvector.cli.ingest import ingested
from rag_pgvector.cli.options import (
    ApiKey,
    CollectionName,
    Filter,
    Json,
    ScopeName,
    TenantName,
    Url,
    identify,
    open_database,
    probability,
    read_filter,
    share,
    whole_number,
)
from rag_pgvector.cli.output import complain, place, printable, progress, say, say_json, working

if TYPE_CHECKING:
    from rag_pgvector.answer import Citation, GroundedAnswer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    app.command(epilog="Example: rag-pgvector demo")(demo)
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
        say(ingested(report, collection.name))
        for number, each in enumerate(QUESTIONS, 1):
            say()
            say(f"{number}. {each.text}   ({each.shows})", style="bold")
            _say_answer(predict(collection, each.text).prediction)
    say()
    say("Try next:", style="bold")
    for command in NEXT_COMMANDS:
        say(f"  {command}")


# ----------------------------------------------------------------------------------------------------------- search


def search(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to look for.")],
    name: CollectionName,
    k: Annotated[int, typer.Option("-k", metavar="N", parser=whole_number, help="How many chunks.")] = 4,
    mode: Annotated[str, typer.Option(help="hybrid, dense (by vectors) or keyword (BM25).")] = "hybrid",
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
    """Print the best chunks for a question.

    The best comes first; the score is higher-better. Rows are counted from 0, pages from 1.
    """
    from rag_pgvector.config import SearchOptions

    conditions = read_filter(filter)
    options = SearchOptions(mode=mode)  # type: ignore[arg-type]  # it checks itself
    with open_database(url) as db:
        who = identify(db, tenant, scope, api_key, "data.vector_search")
        collection = who.bind(db.collection(name))
        with working("searching"):
            found = collection.search(question, k=k, filter=conditions, options=options)
            lines = collection.explain_search(question, k=k, filter=conditions) if explain else []
    for warning in found.plan.warnings:
        complain(f"warning: {warning}")
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
    target_risk: Annotated[
        float | None,
        typer.Option(
            "--target-risk",
            metavar="R",
            parser=share,
            help="Instead of it: largest share of wrong answers from prose, which a calibration guarantees.  "
            "[default: TARGET_RISK, if set]",
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
            response = predict(
                collection, question, k=k, filter=conditions, threshold=threshold, target_risk=target_risk
            )
    if as_json:
        say_json(response.model_dump(mode="json"))
    else:
        _say_answer(response.prediction)


def _say_answer(answer: GroundedAnswer) -> None:
    if answer.answer is not None:
        if answer.span is not None:
            say(f"   {printable(answer.span)}", style="bold")
        say(textwrap.indent(printable(answer.answer), "   "))
        for citation in answer.citations:
            _say_citation(citation)
        say(f"   confidence {answer.confidence:.2f} ({answer.confidence_kind})", style="dim")
    else:
        from rag_pgvector.answer.shown import WHY_NO_ANSWER

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
