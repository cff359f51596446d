"""The verbs that bring other stores' rows in: import langchain, import llamaindex."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rag_pgvector.cli import files
from rag_pgvector.cli.options import Json, ScopeName, TenantName, Url, open_database
from rag_pgvector.cli.output import say, say_json, working
from rag_pgvector.errors import CollectionNotFoundError, ConfigError

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection
    from rag_pgvector.database import Database
    from rag_pgvector.ingest.importers import AdoptReport, PeerRows
    from rag_pgvector.plan import Plan

__all__ = ["adopt_into", "register", "report_of"]

Source = Annotated[
    str | None,
    typer.Option("--from", metavar="URL", help="The database to read; without it, --url's.", show_default=False),
]
Into = Annotated[
    str | None,
    typer.Option("--into", metavar="NAME", help="Our collection; without it, of the same name.", show_default=False),
]
Schema = Annotated[
    str | None, typer.Option("--schema", metavar="NAME", help="The schema of the tables read.", show_default=False)
]
Distance = Annotated[
    str, typer.Option("--distance", help="Of a new collection: cosine, l2 or inner_product.", metavar="NAME")
]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    group = typer.Typer(rich_markup_mode=None)
    group.command(
        epilog="Example: rag-pgvector import langchain --from postgresql://me@old/db --collection docs --json"
    )(langchain)
    group.command(epilog="Example: rag-pgvector import llamaindex --from postgresql://me@old/db --table docs")(
        llamaindex
    )
    files.register(app, group)
    app.add_typer(
        group,
        name="import",
        help="Adopt the rows of other stores: LangChain's and LlamaIndex's on Postgres, Chroma's, files of vectors. "
        "Nothing is embedded again.",
        epilog="Example: rag-pgvector import langchain --collection docs",
    )


def langchain(
    source: Source = None,
    collection: Annotated[
        str | None,
        typer.Option("--collection", "-c", metavar="NAME", help="A collection of PGVector (v1).", show_default=False),
    ] = None,
    table: Annotated[
        str | None, typer.Option("--table", metavar="NAME", help="A table of PGVectorStore (v2).", show_default=False)
    ] = None,
    into: Into = None,
    schema: Schema = None,
    id_column: Annotated[str | None, typer.Option(metavar="NAME", help="With --table, where it is not clear.")] = None,
    content_column: Annotated[str | None, typer.Option(metavar="NAME", help="As --id-column.")] = None,
    embedding_column: Annotated[str | None, typer.Option(metavar="NAME", help="As --id-column.")] = None,
    metadata_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The JSON column; without it, langchain_metadata.")
    ] = None,
    distance: Distance = "cosine",
    tenant: TenantName = None,
    scope: ScopeName = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Adopt a collection of langchain-postgres: of PGVector by --collection, of PGVectorStore by --table.

    Rows that are here already are left as they are: run it again after an interruption, or to bring in what is new.
    """
    from rag_pgvector.ingest.importers import v1_rows, v2_rows

    if (collection is None) == (table is None):
        raise ConfigError("name either --collection (PGVector) or --table (PGVectorStore)")
    columns = {
        "id_column": id_column,
        "content_column": content_column,
        "embedding_column": embedding_column,
        "metadata_json_column": metadata_column,
    }
    if collection is not None and any(columns.values()):
        raise ConfigError("columns are named with --table only: PGVector's are known")

    def rows() -> Plan[PeerRows]:
        if table is not None:
            return v2_rows(table, schema=schema, **columns)
        assert collection is not None
        return v1_rows(collection, schema=schema)

    name = into or collection or table
    assert name is not None
    report = adopt_into(rows, name, source=source, url=url, distance=distance, tenant=tenant, scope=scope)
    report_of(report, as_json)


def llamaindex(
    table: Annotated[
        str, typer.Option("--table", metavar="NAME", help="The store's table_name, or the table data_NAME itself.")
    ],
    source: Source = None,
    into: Into = None,
    schema: Schema = None,
    distance: Distance = "cosine",
    tenant: TenantName = None,
    scope: ScopeName = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Adopt a table of LlamaIndex's PGVectorStore, its nodes included.

    Rows that are here already are left as they are: run it again after an interruption, or to bring in what is new.
    """
    from rag_pgvector.ingest.importers import llamaindex_rows

    report = adopt_into(
        lambda: llamaindex_rows(table, schema=schema),
        into or table,
        source=source,
        url=url,
        distance=distance,
        tenant=tenant,
        scope=scope,
    )
    report_of(report, as_json)


def adopt_into(
    rows: Callable[[], Plan[PeerRows]],
    name: str,
    *,
    source: str | None,
    url: str | None,
    distance: str,
    tenant: str | None,
    scope: str | None,
) -> AdoptReport:
    """Read ``rows`` from one database and adopt them into the collection ``name`` of another, or of the same."""
    from rag_pgvector.index import INDEX_PAYS_ROWS
    from rag_pgvector.ingest.importers import adopt

    with open_database(url) as db, open_database(source if source is not None else url) as origin:
        found = origin.run(rows, retry=True)
        target = _target(db, origin, found, name, distance, tenant)
        if tenant is not None:
            target = target.for_tenant(tenant, scope=scope)
        with working("importing"):
            report = adopt(origin, found, target)
            if report.added + report.updated:
                target.build_index(min_rows=INDEX_PAYS_ROWS)
    return report


def _target(db: Database, origin: Database, rows: PeerRows, name: str, distance: str, tenant: str | None) -> Collection:
    """The collection, made to fit the rows where there is none; multi-tenant, where they become a tenant's."""
    from rag_pgvector.config import CollectionConfig, Storage
    from rag_pgvector.ingest.importers import dimensions_of

    try:
        return db.collection(name)
    except CollectionNotFoundError:
        dimensions = origin.run(lambda: dimensions_of(rows), retry=True)
        if dimensions is None:
            raise ConfigError("no row has an embedding: create the collection first, with its dimensions") from None
        storage: Storage = "vector" if dimensions <= 2000 else "halfvec"
        config = CollectionConfig(
            dimensions=dimensions,
            distance=distance,  # type: ignore[arg-type]  # it checks itself
            storage=storage,
            tenancy="single" if tenant is None else "multi",
        )
        return db.collection(name, config=config)


def report_of(report: AdoptReport, as_json: bool) -> None:
    """Print what was done."""
    if as_json:
        say_json(asdict(report))
        return
    say(
        f"{report.rows} rows: {report.added} added to collection {report.collection!r}, {report.updated} updated, "
        f"{report.unchanged} unchanged"
    )
    for name, text in (
        ("without_embedding", "have no embedding yet"),
        ("other_dimensions", "had an embedding of another length and have none now"),
        ("zero_vectors", "had a vector of zeros and have none now"),
        ("without_content", "have no text and were left"),
        ("unusable_ids", "have an id that cannot be used and were left"),
        ("duplicate_ids", "have the id of a later row and were left"),
    ):
        if count := getattr(report, name):
            say(f"{count} {text}")
