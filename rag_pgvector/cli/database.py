"""The verbs of a DBA: db and doctor."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_pgvector.cli import tenants
from rag_pgvector.cli.options import Json, Url, open_administered, without_password
from rag_pgvector.cli.output import say, say_json
from rag_pgvector.errors import ConfigError

if TYPE_CHECKING:
    from rag_pgvector.audit import Audit
    from rag_pgvector.database import Database
    from rag_pgvector.doctor import CollectionState, Survey

__all__ = ["register"]

_LEVEL_STYLES = {"error": "bold red", "warning": "yellow"}
_INDEX_WORDS = {
    "valid": "vector index",
    "invalid": "vector index invalid",
    "wanted": "vector index wanted",
    "missing": "searched exactly",
    "not_needed": "searched exactly",
}


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    db = typer.Typer(rich_markup_mode=None)
    db.command(epilog="Example: rag-pgvector db upgrade --url postgresql://owner@db.example.com/app")(upgrade)
    db.command(epilog="Example: rag-pgvector db status --json")(status)
    db.command(
        "sql",
        epilog="Example: rag-pgvector db sql --collection docs --grant-to app | psql -v ON_ERROR_STOP=1 -f - DBNAME",
    )(print_sql)
    db.command(epilog="Example: rag-pgvector db grant --role app --create --password-file app.password")(tenants.grant)
    db.command(epilog="Example: rag-pgvector db convert --collection docs --tenant acme")(tenants.convert)
    app.add_typer(
        db,
        name="db",
        help="Create, upgrade and look at rag_pgvector's tables.",
        epilog="Example: rag-pgvector db status",
    )
    app.command(epilog="Example: rag-pgvector doctor --json")(doctor)


# --------------------------------------------------------------------------------------------------------------- db


def upgrade(url: Url = None, as_json: Json = False) -> None:
    """Create or upgrade rag_pgvector's tables.

    Brings the tables and functions to the newest revision, as the role of ADMIN_DATABASE_URL where that is set. Several
    may run at once.
    """
    with open_administered(url) as db:
        revision = db.upgrade()
    if as_json:
        say_json({"revision": revision})
    else:
        say(f"the schema is at revision {revision}")


def status(url: Url = None, as_json: Json = False) -> None:
    """Print versions and collections.

    Where the database is (without its password), the versions of server, pgvector and schema, and the collections with
    their sizes. Changes nothing.
    """
    with open_administered(url) as db:
        found = _survey(db)
        address = without_password(db.url)
    if as_json:
        say_json(_status(found, address))
        return
    say(f"database    {address}")
    say(f"server      PostgreSQL {found.server_version}, as {found.role}")
    say(f"pgvector    {found.vector_version or 'not created'}")
    say(f"revision    {found.revision or 'none'} (needed: {_needed_revision()})")
    say(f"collections {len(found.collections)}")
    for state in found.collections:
        say(f"  {state.name}: {_counts(state)}")


def print_sql(
    name: Annotated[
        str | None,
        typer.Option("--collection", "-c", metavar="NAME", help="Also what makes this collection.", show_default=False),
    ] = None,
    dimensions: Annotated[int, typer.Option(metavar="N", help="Length of its embeddings.")] = 384,
    distance: Annotated[str, typer.Option(help="cosine, l2 or inner_product.")] = "cosine",
    storage: Annotated[str, typer.Option(help="vector or halfvec.")] = "vector",
    role: Annotated[
        str | None,
        typer.Option("--grant-to", metavar="ROLE", help="Also the grants for the application.", show_default=False),
    ] = None,
) -> None:
    """Print the schema as plain SQL.

    It is for a DBA to read, and to run on a database that has none of it. Printing needs no database.
    """
    from rag_pgvector import offline
    from rag_pgvector.config import CollectionConfig

    config = CollectionConfig(dimensions=dimensions, distance=distance, storage=storage)  # type: ignore[arg-type]
    if role is not None and not role.strip():
        raise ConfigError("--grant-to is empty: use the name of the application's role")
    say(offline.script(name, config, role))


# ----------------------------------------------------------------------------------------------------------- doctor


def doctor(url: Url = None, as_json: Json = False) -> None:
    """Check server, schema and collections.

    Every finding says what, why and what to do. The exit code is 1 if any of them is an error.
    """
    from rag_pgvector.doctor import diagnose

    with open_administered(url) as db:
        found = _survey(db)
        audit = _audit(db, found)
        address = without_password(db.url)
    findings = diagnose(found, needed_revision=_needed_revision(), audit=audit)
    errors = sum(finding.level == "error" for finding in findings)
    if as_json:
        say_json(_status(found, address) | {"findings": [asdict(f) for f in findings], "ok": not errors})
    else:
        say(f"{address}: PostgreSQL {found.server_version}, pgvector {found.vector_version or 'not created'}")
        for name, version in found.keyword_extensions.items():
            say(f"{name} {version} is there; keyword search does without it")
        for finding in findings:
            where = f"collection {finding.collection!r}: " if finding.collection is not None else ""
            say(f"{finding.level}: {where}{finding.what}", style=_LEVEL_STYLES[finding.level])
            say(f"  why: {finding.why}")
            say(f"  remedy: {finding.remedy}")
        say(f"{len(found.collections)} collections checked: {errors} errors, {len(findings) - errors} warnings")
    if errors:
        raise typer.Exit(1)


def _survey(db: Database) -> Survey:
    from rag_pgvector.doctor import survey

    found = db.run(survey, retry=True)
    if not db.admin_is_separate or all(state.reason != "row-level security" for state in found.collections):
        return found
    seen = {state.name: state for state in db.run_admin(survey, atomic=False).collections}
    counted = [
        seen.get(state.name, state) if state.reason == "row-level security" else state for state in found.collections
    ]
    return replace(found, collections=counted)


def _audit(db: Database, found: Survey) -> Audit | None:
    """The audit, as the role that multi-tenant collections are opened as where there are some."""
    from rag_pgvector.audit import audit

    if found.revision != _needed_revision() or found.read_only:
        return None
    multi = any(state.tenancy == "multi" for state in found.collections)
    return (db.as_application() if multi else db).run(audit, atomic=True, retry=True)


def _needed_revision() -> str:
    from rag_pgvector import migrations

    return migrations.HEAD


def _status(found: Survey, address: str) -> dict[str, Any]:
    return {
        "url": address,
        "server_version": found.server_version,
        "role": found.role,
        "vector_version": found.vector_version,
        "keyword_extensions": found.keyword_extensions,
        "revision": {"found": found.revision, "needed": _needed_revision()},
        "collections": [asdict(state) for state in found.collections],
    }


def _counts(state: CollectionState) -> str:
    if state.rows is None:
        return state.reason
    stored = f"{state.storage}({state.dimensions}) {state.distance}"
    return f"{state.rows} chunks of {state.documents} documents, {stored}, {_INDEX_WORDS[state.index]}"
