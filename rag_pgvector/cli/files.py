"""The verbs for files of rows: export, and import parquet, json, nodes, faiss and chroma."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_pgvector.cli.options import CollectionName, Json, ScopeName, TenantName, Url, open_database
from rag_pgvector.cli.output import say, say_json, working
from rag_pgvector.errors import CollectionNotFoundError, ConfigError, LoadError

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection
    from rag_pgvector.database import Database
    from rag_pgvector.types import Chunk

__all__ = ["register"]

File = Annotated[Path, typer.Argument(metavar="FILE", help="The file to read.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to read.")]
Distance = Annotated[
    str, typer.Option("--distance", help="Of a new collection: cosine, l2 or inner_product.", metavar="NAME")
]
Column = Annotated[str | None, typer.Option(metavar="NAME", help="Where its usual names are not it.")]


def register(app: typer.Typer, group: typer.Typer) -> None:
    """Add ``export`` to the command line and the others to the group ``import``."""
    app.command(epilog="Example: rag-pgvector export docs.parquet --collection docs")(export)
    group.command(epilog="Example: rag-pgvector import parquet rows.parquet --collection docs")(parquet)
    group.command("json", epilog="Example: rag-pgvector import json rows.jsonl --collection docs")(json_lines)
    group.command(epilog="Example: rag-pgvector import nodes storage/ --collection docs")(nodes)
    group.command(epilog="Example: rag-pgvector import faiss exported/ --collection docs")(faiss)
    group.command(epilog="Example: rag-pgvector import chroma chroma/ --collection docs")(chroma)


def export(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="To write: .parquet, or JSON lines.")],
    name: CollectionName,
    tenant: TenantName = None,
    scope: ScopeName = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Write a collection to a file: documents and chunks, embeddings bit for bit.

    'import parquet' and 'import json' bring it into a collection again.
    """
    from rag_pgvector.ingest.exporting import export_file

    with open_database(url) as db, working("exporting"):
        counts = export_file(_bound(db.collection(name), tenant, scope), path)
    if as_json:
        say_json(counts)
    else:
        say(f"{counts['documents']} documents and {counts['chunks']} chunks of collection {name!r} in {path}")


def parquet(
    path: File,
    name: CollectionName,
    id_column: Column = None,
    content_column: Column = None,
    embedding_column: Column = None,
    metadata_column: Column = None,
    distance: Distance = "cosine",
    tenant: TenantName = None,
    scope: ScopeName = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Adopt the rows of a Parquet file: an export of ours, or any with an id, a text and an embedding per row."""
    from rag_pgvector.ingest.importers import parquet_chunks

    columns = _columns(id_column, content_column, embedding_column, metadata_column)
    _import(path, lambda: parquet_chunks(path, **columns), name, distance, tenant, scope, url, as_json)


def json_lines(
    path: File,
    name: CollectionName,
    id_column: Column = None,
    content_column: Column = None,
    embedding_column: Column = None,
    metadata_column: Column = None,
    distance: Distance = "cosine",
    tenant: TenantName = None,
    scope: ScopeName = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Adopt the objects of JSON lines or of a JSON list: an export of ours, or any with id, text and embedding."""
    from rag_pgvector.ingest.importers import json_chunks

    columns = _columns(id_column, content_column, embedding_column, metadata_column)
    _import(path, lambda: json_chunks(path, **columns), name, distance, tenant, scope, url, as_json)


def nodes(
    folder: Folder,
    name: CollectionName,
    distance: Distance = "cosine",
    tenant: TenantName = None,
    scope: ScopeName = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Adopt a folder of nodes.json with an .npy of vectors, or what LlamaIndex's simple store persists."""
    from rag_pgvector.ingest.importers import node_chunks

    _import(folder, lambda: node_chunks(folder), name, distance, tenant, scope, url, as_json)


def faiss(
    folder: Folder,
    name: CollectionName,
    distance: Distance = "cosine",
    tenant: TenantName = None,
    scope: ScopeName = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Adopt a FAISS store that was exported to nodes.json and an .npy; of another one, tell how to export it.

    Pickles are not read: they run what they like.
    """
    nodes(folder, name, distance, tenant, scope, url, as_json)


def chroma(
    folder: Folder,
    name: CollectionName,
    collection: Annotated[
        str | None, typer.Option("--from-collection", metavar="NAME", help="Chroma's, where it has several.")
    ] = None,
    distance: Distance = "cosine",
    tenant: TenantName = None,
    scope: ScopeName = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Adopt a collection of Chroma's persistent folder, through chromadb (extra "chroma")."""
    from rag_pgvector.ingest.importers import chroma_chunks

    _import(folder, lambda: chroma_chunks(folder, collection), name, distance, tenant, scope, url, as_json)


def _columns(
    id_: str | None, content: str | None, embedding: str | None, metadata: str | None
) -> dict[str, str | None]:
    return {"id_column": id_, "content_column": content, "embedding_column": embedding, "metadata_column": metadata}


def _bound(collection: Collection, tenant: str | None, scope: str | None) -> Collection:
    if tenant is None:
        if scope is not None:
            raise ConfigError("--scope needs --tenant")
        return collection
    return collection.for_tenant(tenant, scope=scope)


def _import(
    path: Path,
    read: Any,
    name: str,
    distance: str,
    tenant: str | None,
    scope: str | None,
    url: str | None,
    as_json: bool,
) -> None:
    from rag_pgvector.index import INDEX_PAYS_ROWS
    from rag_pgvector.ingest.exporting import header_of, import_file
    from rag_pgvector.ingest.importers import FileReport, import_chunks
    from rag_pgvector.ingest.importers.files import peeked

    if not path.exists():
        raise LoadError(str(path), "no such file or folder")
    header = header_of(path) if path.is_file() else None
    with open_database(url) as db, working("importing"):
        if header is not None:
            made = {key: header[key] for key in ("dimensions", "distance", "storage")}
            target = _bound(_target(db, name, made, tenant), tenant, scope)
            counts = import_file(target, path)
            rows = counts.added + counts.updated + counts.unchanged
            report = FileReport(collection=name, rows=rows, **_three(counts))
        else:
            dimensions, chunks = peeked(read())
            storage = "vector" if (dimensions or 0) <= 2000 else "halfvec"
            made = {"dimensions": dimensions, "distance": distance, "storage": storage}
            report = import_chunks(_bound(_target(db, name, made, tenant), tenant, scope), _iterated(chunks))
        if report.added + report.updated:
            db.collection(name).build_index(min_rows=INDEX_PAYS_ROWS)
    if as_json:
        say_json(asdict(report))
        return
    told = f"{report.rows} rows: {report.added} added to collection {name!r}, {report.updated} updated, "
    say(told + f"{report.unchanged} unchanged")
    if report.without_embedding:
        say(f"{report.without_embedding} had no embedding and were embedded here")


def _iterated(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    yield from chunks


def _three(counts: Any) -> dict[str, int]:
    return {key: getattr(counts, key) for key in ("added", "updated", "unchanged")}


def _target(db: Database, name: str, made: dict[str, Any], tenant: str | None) -> Collection:
    """The collection, made to fit what is read where there is none."""
    from rag_pgvector.config import CollectionConfig

    try:
        return db.collection(name)
    except CollectionNotFoundError:
        if made["dimensions"] is None:
            raise ConfigError("no row has an embedding: create the collection first, with its dimensions") from None
        return db.collection(name, config=CollectionConfig(**made, tenancy="single" if tenant is None else "multi"))
