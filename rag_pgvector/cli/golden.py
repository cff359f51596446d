"""The verbs for golden sets: golden add, list, show, verify, tag, split, candidates."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_pgvector.cli.eval_options import GoldenStore, golden_path, model_at
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
from rag_pgvector.cli.output import complain, say, say_json
from rag_pgvector.errors import ConfigError

if TYPE_CHECKING:
    from rag_pgvector.evals.golden_store import Version

__all__ = ["register"]

Reference = Annotated[str, typer.Argument(metavar="REFERENCE", help="NAME (its latest), NAME:TAG or NAME@SHA.")]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    verbs = typer.Typer(rich_markup_mode=None)
    for verb, example in (
        (add, "golden add questions.jsonl faq --tag v1"),
        (list_, "golden list"),
        (show, "golden show faq:v1"),
        (verify, "golden verify"),
        (tag, "golden tag faq@3f2a91 released"),
        (split, "golden split questions.jsonl sides/ --share 0.5"),
        (candidates, "golden candidates review.csv --collection docs -n 50"),
    ):
        verbs.command(name=verb.__name__.rstrip("_"), epilog=f"Example: rag-pgvector {example}")(verb)
    app.add_typer(verbs, name="golden", help="Keep golden sets: versions that never change, tags that move.")


def add(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A golden set: a file, or a BEIR folder.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the set is called.")],
    tag: Annotated[str | None, typer.Option(metavar="TAG", help="Point this tag at it, beside 'latest'.")] = None,
    note: Annotated[str, typer.Option(metavar="TEXT", help="Something about this version.", show_default=False)] = "",
    store: GoldenStore = None,
    as_json: Json = False,
) -> None:
    """Check a golden set and store it as a version.

    The same files again are the same version.
    """
    from rag_pgvector.evals.golden_store import GoldenStore as Stored

    _say(Stored.open(store).add(path, name, tag=tag, note=note), as_json)


def list_(store: GoldenStore = None, as_json: Json = False) -> None:
    """List every version of every set, the newest first."""
    from rag_pgvector.evals.golden_store import GoldenStore as Stored

    versions = Stored.open(store).versions()
    if as_json:
        say_json([_as_dict(each) for each in versions])
        return
    for each in versions:
        say(f"{each.name:24} {each.sha256[:12]}  {each.added_at}  {each.questions:6} questions  {', '.join(each.tags)}")
    if not versions:
        say("the store is empty")


def show(reference: Reference, store: GoldenStore = None, as_json: Json = False) -> None:
    """Tell what a version holds."""
    from rag_pgvector.evals.golden_store import GoldenStore as Stored

    _say(Stored.open(store).show(reference), as_json)


def verify(
    reference: Annotated[
        str | None, typer.Argument(metavar="REFERENCE", help="NAME, NAME:TAG or NAME@SHA.  [default: everything]")
    ] = None,
    store: GoldenStore = None,
    as_json: Json = False,
) -> None:
    """Compare every stored file with its SHA-256; exit code 1 if one has changed or is missing."""
    from rag_pgvector.evals.golden_store import GoldenStore as Stored

    problems = Stored.open(store).verify(reference)
    if as_json:
        say_json({"problems": problems})
    else:
        for line in problems or ["every file is as it was added"]:
            say(line)
    if problems:
        raise typer.Exit(1)


def tag(
    reference: Reference,
    name: Annotated[str, typer.Argument(metavar="TAG", help="The tag; it may point elsewhere now.")],
    store: GoldenStore = None,
    as_json: Json = False,
) -> None:
    """Point a tag at a version."""
    from rag_pgvector.evals.golden_store import GoldenStore as Stored

    _say(Stored.open(store).tag(reference, name), as_json)


def split(
    golden: Annotated[
        str, typer.Argument(metavar="GOLDEN", help="The golden set: a path, or NAME[:TAG] in the store.")
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the two sides go; it must not exist.")],
    share: Annotated[float, typer.Option(metavar="P", help="Of the questions, for the first side.")] = 0.5,
    seed: Annotated[int, typer.Option(metavar="N", help="Another number parts it another way.")] = 0,
    store: GoldenStore = None,
    as_json: Json = False,
) -> None:
    """Part a golden set in two sides that share no source document.

    Writes DIR/first and DIR/second, as .jsonl or as BEIR folders. Nearly identical questions on both sides are told of.
    """
    from rag_pgvector.evals.splitting import overlap, sources_of, split_by_source

    path = golden_path(golden, store)
    if folder.exists():
        raise ConfigError(f"{folder} exists: choose a new folder")
    texts: dict[str, str]
    if path.is_dir() and list(path.glob("qrels*")):
        from rag_pgvector.evals.formats import read_beir

        judged = read_beir(path)
        texts = dict(judged.queries)
        sources = {
            id_: frozenset(key for key, grade in judged.qrels[id_].items() if grade > 0) for id_ in judged.queries
        }
    else:
        from rag_pgvector.evals.question_formats import read_questions

        questions = {each.id: each for each in read_questions(path).questions}
        texts = {id_: each.question for id_, each in questions.items()}
        sources = {id_: sources_of(each) for id_, each in questions.items()}
    first, second, warnings = split_by_source(sources, share=share, seed=seed)
    sides = {"first": first, "second": second}
    shared = overlap(*([(id_, texts[id_], sources[id_]) for id_ in side] for side in (first, second)))
    folder.mkdir(parents=True)
    for side, ids in sides.items():
        if path.is_dir():
            _write_beir(path, folder / side, judged.qrels, set(ids))
        else:
            from rag_pgvector.evals.questions import write_golden

            write_golden(folder / f"{side}.jsonl", [questions[id_] for id_ in ids])
    warnings += shared.warnings()
    for line in warnings:
        complain(f"warning: {line}")
    if as_json:
        say_json({side: len(ids) for side, ids in sides.items()} | {"warnings": warnings})
    else:
        say(f"{len(first)} questions in {folder / 'first'}, {len(second)} in {folder / 'second'}")


def _write_beir(source: Path, target: Path, qrels: Any, ids: set[str]) -> None:
    """A side of a BEIR folder: the whole corpus, its questions and their judgements."""
    target.mkdir(parents=True)
    shutil.copyfile(source / "corpus.jsonl", target / "corpus.jsonl")
    with (source / "queries.jsonl").open(encoding="utf-8-sig") as lines:
        kept = [line for line in lines if line.strip() and str(json.loads(line)["_id"]) in ids]
    (target / "queries.jsonl").write_text("".join(kept), encoding="utf-8", newline="\n")
    rows = [f"{id_}\t{key}\t{grade}\n" for id_ in qrels if id_ in ids for key, grade in qrels[id_].items()]
    (target / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(rows), encoding="utf-8", newline="\n")


def candidates(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="The CSV to write; it must not exist.")],
    name: CollectionName,
    n: Annotated[int, typer.Option("-n", metavar="N", parser=whole_number, help="How many.")] = 50,
    seed: Annotated[int, typer.Option(metavar="N", help="Another number draws other passages.")] = 0,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="A language model that proposes questions for prose, too."),
    ] = None,
    model_url: Annotated[
        str | None,
        typer.Option(
            "--model-url",
            metavar="URL",
            help="Where it is: the base of an API of OpenAI's kind, http://localhost:8000/v1. Its key: OPENAI_API_KEY.",
        ),
    ] = None,
    tenant: TenantName = None,
    scope: ScopeName = None,
    api_key: ApiKey = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Draw passages of a collection into a CSV, for a person to write and review questions.

    Rows of tables come with a question and its answer; for prose, write them, or have a model write them. Only rows
    whose column 'reviewed' says yes count as golden.
    """
    from rag_pgvector.evals.candidates import propose, write_candidates

    if path.exists():
        raise ConfigError(f"{path} exists: choose a new file, lest a review is lost")
    llm = model_at(model, model_url, "--model NAME and --model-url URL")
    with open_database(url) as db:
        collection = identify(db, tenant, scope, api_key, "data.vector_search").bind(db.collection(name))
        found = propose(collection, n, llm=llm, seed=seed)
    write_candidates(path, found)
    if as_json:
        say_json({"candidates": len(found), "with_question": sum(bool(each.question) for each in found)})
    else:
        say(f"{len(found)} candidates in {path}: write 'yes' into the column 'reviewed' of those that are good")


def _as_dict(version: Version) -> dict[str, Any]:
    return {
        "name": version.name,
        "sha256": version.sha256,
        "tags": list(version.tags),
        "questions": version.questions,
        "added_at": version.added_at,
        "note": version.note,
        "files": [{"path": path, "sha256": sha, "bytes": size} for path, sha, size in version.files],
    }


def _say(version: Version, as_json: bool) -> None:
    if as_json:
        say_json(_as_dict(version))
        return
    say(f"{version.name}@{version.sha256[:12]}  {version.questions} questions  {', '.join(version.tags)}")
    say(f"added {version.added_at}" + (f": {version.note}" if version.note else ""))
    for path, sha, size in version.files:
        say(f"  {sha[:12]}  {size:10}  {path}")
