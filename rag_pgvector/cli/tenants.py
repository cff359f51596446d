"""The verbs about tenants: tenants list, export, import, delete, move; db grant and db convert."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rag_pgvector.cli.options import (
    CollectionName,
    Json,
    ScopeName,
    Url,
    open_administered,
    open_database,
    without_password,
)
from rag_pgvector.cli.output import say, say_json, working
from rag_pgvector.errors import ConfigError

__all__ = ["convert", "grant", "register"]

Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's name.")]
OfCollection = Annotated[
    str | None,
    typer.Option("--collection", "-c", metavar="NAME", help="Only in this collection.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    tenants = typer.Typer(rich_markup_mode=None)
    tenants.command("list", epilog="Example: rag-pgvector tenants list --json")(list_all)
    tenants.command(epilog="Example: rag-pgvector tenants export acme --collection docs > acme.jsonl")(export)
    tenants.command("import", epilog="Example: rag-pgvector tenants import acme acme.jsonl --collection docs")(
        import_file
    )
    tenants.command(epilog="Example: rag-pgvector tenants delete acme --yes")(delete)
    tenants.command(epilog="Example: rag-pgvector tenants move acme --to apex")(move)
    app.add_typer(
        tenants,
        name="tenants",
        help="List, export, import, delete and rename tenants.",
        epilog="Example: rag-pgvector tenants list",
    )


# ---------------------------------------------------------------------------------------------------------- tenants


def list_all(collection: OfCollection = None, url: Url = None, as_json: Json = False) -> None:
    """List the tenants and what each has in every collection.

    Needs an administrator who sees all rows: a superuser, or a role with BYPASSRLS, in ADMIN_DATABASE_URL.
    """
    from rag_pgvector.tenants import list_tenants

    with open_administered(url) as db:
        found = list_tenants(db, collection)
    if as_json:
        say_json({"tenants": [asdict(info) for info in found]})
        return
    for info in found:
        say(f"{info.tenant} ({info.keys} API keys)")
        for name, size in info.collections.items():
            say(f"  {name}: {size.chunks} chunks of {size.documents} documents")
    if not found:
        say("there are no tenants")


def export(tenant: Tenant, name: CollectionName, scope: ScopeName = None, url: Url = None) -> None:
    """Print what a tenant has in a collection as JSON lines.

    Documents and chunks, embeddings included, for 'tenants import'.
    """
    from rag_pgvector.transfer import export_tenant

    with open_database(url) as db:
        for line in export_tenant(db.collection(name).for_tenant(tenant, scope=scope)):
            sys.stdout.write(line)


def import_file(
    tenant: Tenant,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What 'tenants export' printed.")],
    name: CollectionName,
    scope: ScopeName = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Bring an exported tenant into a collection, under the name given here.

    Nothing is embedded again. Rows that exist are replaced.
    """
    from rag_pgvector.transfer import import_tenant

    try:
        file = path.open(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}: use the file that 'tenants export' printed") from None
    with file, open_database(url) as db, working("importing"):
        counts = import_tenant(db.collection(name).for_tenant(tenant, scope=scope), file, source=str(path))
    if as_json:
        say_json(asdict(counts))
    else:
        say(f"{counts.added} chunks added, {counts.updated} updated, {counts.unchanged} unchanged for {tenant!r}")


def delete(
    tenant: Tenant,
    collection: OfCollection = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, nothing happens.")] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Delete everything of a tenant, API keys included, and prove it.

    Every table with tenants' rows is counted again afterwards; anything left is exit code 1.
    """
    from rag_pgvector.tenants import delete_tenant

    if not yes:
        raise ConfigError(f"tenant {tenant!r} would be deleted for good: add --yes")
    with open_administered(url) as db:
        deleted = delete_tenant(db, tenant, collection=collection)
    if as_json:
        say_json({"deleted": deleted, "left": dict.fromkeys(deleted, 0)})
        return
    for table, rows in deleted.items():
        say(f"rag.{table}: {rows} rows deleted, 0 left")


def move(
    tenant: Tenant,
    to: Annotated[str, typer.Option("--to", metavar="NAME", help="Its new name.", show_default=False)],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Give a tenant another name, in one transaction.

    Refused where that name has rows. To bring it into another collection: tenants export, tenants import.
    """
    from rag_pgvector.tenants import move_tenant

    with open_administered(url) as db:
        moved = move_tenant(db, tenant, to)
    if as_json:
        say_json({"moved": moved})
        return
    for table, rows in moved.items():
        say(f"rag.{table}: {rows} rows of {tenant!r} are {to!r}'s")


# --------------------------------------------------------------------------------------------------------------- db


def grant(
    role: Annotated[str, typer.Option("--role", metavar="NAME", help="The login of the application.")],
    create: Annotated[bool, typer.Option("--create", help="Make the role where there is none.")] = False,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Holds the password that the role is to have.", show_default=False),
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a role one that multi-tenant collections can be opened as.

    Runs as the role of ADMIN_DATABASE_URL where that is set. Refused for a role that row-level security does not hold.
    """
    from rag_pgvector.roles import grant_login

    if not role.strip():
        raise ConfigError("--role is empty: use the name of the application's login")
    password = None if password_file is None else _read_password(password_file)
    with ExitStack() as stack:
        db = stack.enter_context(open_administered(url))
        if db.admin_is_separate:  # DATABASE_URL may be of the very role that is to be made
            db = stack.enter_context(open_database(db.admin_url))
        db.ensure_schema()
        db.run_admin(lambda: grant_login(role, create=create, password=password))
        address = without_password(db.url)
    if as_json:
        say_json({"role": role})
    else:
        say(f"{role} may open multi-tenant collections: set DATABASE_URL to it (the database is {address})")


def _read_password(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--password-file {path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    if not password or "\0" in password or "\n" in password:
        raise ConfigError(f"--password-file {path}: use one line with the password")
    return password


def convert(
    name: CollectionName,
    tenant: Annotated[
        str, typer.Option("--tenant", metavar="NAME", help="Whose all its rows become.", show_default=False)
    ],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a single-tenant collection a multi-tenant one.

    In one transaction, during which nobody else can use it; its vector index is built again afterwards.
    """
    from rag_pgvector.convert import convert_to_multi

    with open_administered(url) as db, working("converting"):
        report = convert_to_multi(db, name, tenant)
    if as_json:
        say_json({"collection": name, "tenant": tenant, "index": None if report is None else asdict(report)})
    else:
        say(f"collection {name!r} keeps tenants apart; what was in it is {tenant!r}'s")
