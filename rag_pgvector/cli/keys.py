"""The verbs of API keys: keys create, list, revoke."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rag_pgvector.cli.options import Json, ScopeName, Url, open_administered
from rag_pgvector.cli.output import say, say_json

if TYPE_CHECKING:
    from rag_pgvector.keys import KeyInfo

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    keys = typer.Typer(rich_markup_mode=None)
    keys.command(epilog="Example: rag-pgvector keys create nightly --tenant acme --permission data.ingest --days 90")(
        create
    )
    keys.command("list", epilog="Example: rag-pgvector keys list --tenant acme")(list_all)
    keys.command(epilog="Example: rag-pgvector keys revoke 3")(revoke)
    app.add_typer(
        keys,
        name="keys",
        help="Make, list and revoke API keys, each for one tenant.",
        epilog="Example: rag-pgvector keys list",
    )


def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call the key.")],
    tenant: Annotated[str, typer.Option("--tenant", metavar="NAME", help="Whose it is.", show_default=False)],
    permission: Annotated[
        list[str],
        typer.Option(
            "--permission",
            "-p",
            metavar="NAME",
            help="data.vector_search (search and ask), data.ingest, data.delete or data.admin; give it several times.",
            show_default=False,
        ),
    ],
    scope: ScopeName = None,
    days: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=36_500, help="How long it is valid.  [default: for ever]")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a key and print its secret, this once.

    What is not permitted is refused. Only a hash of the secret is stored.
    """
    from rag_pgvector.keys import create_key

    expires = None if days is None else datetime.now(timezone.utc) + timedelta(days=days)
    with open_administered(url) as db:
        made = create_key(db, name, tenant, scope=scope, permissions=permission, expires_at=expires)
    if as_json:
        say_json({"id": made.id, "secret": made.secret})
    else:
        say(made.secret)


def list_all(
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="NAME", help="Only this tenant's.", show_default=False)
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List the keys, without their secrets."""
    from rag_pgvector.keys import list_keys

    with open_administered(url) as db:
        found = list_keys(db, tenant)
    if as_json:
        say_json({"keys": [_facts(info) for info in found]})
        return
    for info in found:
        whose = info.tenant if info.scope is None else f"{info.tenant}, scope {info.scope}"
        say(f"{info.id}  {info.name}  ({whose})  {' '.join(info.permissions)}  {info.state}")
    if not found:
        say("there are no keys")


def revoke(
    id: Annotated[int, typer.Argument(metavar="ID", help="As 'keys list' shows it.")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a key worthless from now on."""
    from rag_pgvector.keys import revoke_key

    with open_administered(url) as db:
        info = revoke_key(db, id)
    if as_json:
        say_json(_facts(info))
    else:
        say(f"the key {info.name!r} of tenant {info.tenant!r} is revoked")


def _facts(info: KeyInfo) -> dict[str, Any]:
    return {
        "id": info.id,
        "name": info.name,
        "tenant": info.tenant,
        "scope": info.scope,
        "permissions": list(info.permissions),
        "state": info.state,
        "created_at": info.created_at.isoformat(),
        "expires_at": info.expires_at and info.expires_at.isoformat(),
        "revoked_at": info.revoked_at and info.revoked_at.isoformat(),
    }
