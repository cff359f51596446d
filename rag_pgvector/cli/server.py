"""The verbs of the embedded Postgres: server start, status, stop, url."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from rag_pgvector.cli.options import Json, without_password
from rag_pgvector.cli.output import say, say_json, working

if TYPE_CHECKING:
    from rag_pgvector.embedded import Server

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    server = typer.Typer(rich_markup_mode=None)
    server.command(epilog="Example: rag-pgvector server start")(start)
    server.command(epilog="Example: rag-pgvector server status --json")(status)
    server.command(epilog="Example: rag-pgvector server stop")(stop)
    server.command(epilog='Example: psql "$(rag-pgvector server url)"')(url)
    app.add_typer(
        server,
        name="server",
        help="Start, stop and find the embedded Postgres.",
        epilog="Its data lie in RAG_PGVECTOR_HOME, else in the user's data folder (as root in /var/lib/rag_pgvector). "
        "Example: rag-pgvector server start",
    )


def start(as_json: Json = False) -> None:
    """Start the embedded Postgres, or join the running one.

    It goes on until it is stopped. Every verb without --url and DATABASE_URL starts it, too.
    """
    _report(_start(), as_json)


def status(as_json: Json = False) -> None:
    """Say whether the embedded Postgres runs, and where."""
    from rag_pgvector import embedded

    _report(embedded.status(), as_json)


def stop(as_json: Json = False) -> None:
    """Stop the embedded Postgres; its data stay."""
    from rag_pgvector import embedded

    with working("stopping"):
        stopped = embedded.stop()
    if as_json:
        say_json({"stopped": stopped})
    else:
        say("the embedded server is stopped" if stopped else "no embedded server runs")


def url(as_json: Json = False) -> None:
    """Print the URL of the embedded Postgres, with its password.

    It is for other clients. Starts the server where it does not run.
    """
    found = _start()
    if as_json:
        say_json({"url": found.url})
    else:
        say(found.url)


def _start() -> Server:
    from rag_pgvector import embedded

    with working("starting"):
        return embedded.start()


def _report(server: Server | None, as_json: bool) -> None:
    if as_json:
        say_json({"running": server is not None} | (_facts(server) if server is not None else {}))
    elif server is None:
        say("no embedded server runs: rag-pgvector server start")
    else:
        say(f"the embedded server runs: {without_password(server.url)} (pid {server.pid}, data in {server.data_dir})")


def _facts(server: Server) -> dict[str, Any]:
    return {
        "url": without_password(server.url),
        "port": server.port,
        "pid": server.pid,
        "data_dir": str(server.data_dir),
        "socket_dir": str(server.socket_dir) if server.socket_dir else None,
    }
