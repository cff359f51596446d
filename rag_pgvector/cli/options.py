"""Arguments and options that several verbs share, and how their values are read."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from rag_pgvector.errors import AccessDeniedError, ConfigError, FilterError, TenantError

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection
    from rag_pgvector.database import Database
    from rag_pgvector.keys import Permission

__all__ = [
    "ApiKey",
    "CollectionName",
    "Filter",
    "Identity",
    "Json",
    "ScopeName",
    "TenantName",
    "Url",
    "identify",
    "open_database",
    "probability",
    "read_filter",
    "share",
    "whole_number",
    "without_password",
]

#: Above it, a search is an export.
MOST_RESULTS = 10_000

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="postgresql://user:password@host:5432/name. Without it: DATABASE_URL, else the embedded server.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else on stdout.")]
CollectionName = Annotated[
    str, typer.Option("--collection", "-c", metavar="NAME", help="The collection, 1 to 63 bytes.", show_default=False)
]
Filter = Annotated[
    str | None,
    typer.Option(
        "--filter",
        metavar="JSON",
        help="""Only chunks whose metadata satisfy this, e.g. '{"year": {"$gte": 2020}}'.""",
        show_default=False,
    ),
]


TenantName = Annotated[
    str | None,
    typer.Option("--tenant", metavar="NAME", help="The tenant, in a multi-tenant collection.", show_default=False),
]
ScopeName = Annotated[
    str | None,
    typer.Option("--scope", metavar="NAME", help="Only this scope of the tenant.", show_default=False),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        metavar="KEY",
        help="Gives tenant and scope, and is checked. Better in RAG_API_KEY, or in the file of RAG_API_KEY_FILE.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Identity:
    """For whom a verb works: a tenant, perhaps one scope of it; or nobody in particular."""

    tenant: str | None
    scope: str | None

    def bind(self, collection: Collection) -> Collection:
        """The collection for this tenant. Raises TenantError where it needs one, or has none."""
        if self.tenant is not None:
            return collection.for_tenant(self.tenant, scope=self.scope)
        if collection.config.tenancy == "multi":
            raise TenantError(f"collection {collection.name!r} keeps tenants apart: add --tenant, or set RAG_API_KEY")
        return collection


def identify(
    db: Database, tenant: str | None, scope: str | None, api_key: str | None, permission: Permission
) -> Identity:
    """What ``--tenant``, ``--scope`` and ``--api-key`` say together; without the last, RAG_API_KEY (or its file) does.

    Raises AccessDeniedError for a key that is not valid, lacks the permission, or stands for somebody else.
    """
    if api_key is None:
        from rag_pgvector.settings import from_environment

        api_key = from_environment("RAG_API_KEY")
    if api_key is None:
        if scope is not None and tenant is None:
            raise ConfigError("--scope is a part of a tenant: add --tenant")
        return Identity(tenant, scope)
    from rag_pgvector.keys import authenticate

    holder = authenticate(db, api_key)
    holder.require(permission)
    if tenant not in (None, holder.tenant):
        raise AccessDeniedError(f"--tenant {tenant!r:.80} is not the API key's: leave --tenant out")
    if holder.scope is not None and scope not in (None, holder.scope):
        raise AccessDeniedError(f"--scope {scope!r:.80} is not the API key's: leave --scope out")
    return Identity(holder.tenant, holder.scope or scope)


def whole_number(value: str | int) -> int:
    """The value of ``-k``, or its default."""
    text = str(value)
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MOST_RESULTS):
        raise typer.BadParameter(f"{text!r}: use a whole number from 1 to {MOST_RESULTS}")
    return int(text)


def probability(value: str | float) -> float:
    """The value of ``--threshold``."""
    with contextlib.suppress(ValueError):
        if 0.0 <= float(value) <= 1.0:
            return float(value)
    raise typer.BadParameter(f"{value!r}: use a number from 0 to 1")


def share(value: str | float) -> float:
    """The value of ``--target-risk``."""
    with contextlib.suppress(ValueError):
        if 0.0 < float(value) < 1.0:
            return float(value)
    raise typer.BadParameter(f"{value!r}: use a share between 0 and 1")


def open_database(url: str | None, *, prepare: bool = False) -> Database:
    """The database that ``--url`` names, or the one of the settings. Nothing is connected yet.

    Most verbs send a statement once, and the address may be that of PgBouncer: only those that measure prepare any.
    """
    from rag_pgvector.database import Database

    if url is not None and not url.strip():
        raise ConfigError("--url is empty: leave it out, or use postgresql://user:password@host:5432/name")
    return Database(url, prepare=prepare)


def open_administered(url: str | None) -> Database:
    """The database of a verb that an administrator runs: where neither ``--url`` nor the settings say which it is, that
    of ADMIN_DATABASE_URL, and not the embedded one."""
    from rag_pgvector.settings import load_settings

    if url is None:
        settings = load_settings()
        if settings.database_url is None and settings.admin_database_url is not None:
            url = settings.admin_database_url.get_secret_value()
    return open_database(url)


def without_password(url: str) -> str:
    """A database URL that may be shown."""
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from rag_pgvector.connect import normalise_url

    secrets = ("password", "sslpassword")
    shown = {key: value for key, value in conninfo_to_dict(url).items() if key not in secrets}
    return normalise_url(make_conninfo("", **shown))


def read_filter(text: str | None) -> dict[str, Any] | None:
    """The value of ``--filter``. Raises FilterError, before anything is connected or loaded."""
    if text is None:
        return None
    from rag_pgvector.filters import parse_filter

    example = """use e.g. '{"year": {"$gte": 2020}}'"""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FilterError(f"--filter {_short(text)} is not JSON ({error}): {example}") from None
    if not isinstance(found, dict):
        raise FilterError(f"--filter {_short(text)} is not a JSON object: {example}")
    parse_filter(found)
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number")


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
