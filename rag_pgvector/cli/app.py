"""The verbs put together, and what an error becomes: one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from rag_pgvector.cli import (
    calibrate,
    content,
    database,
    evaluate,
    golden,
    importing,
    index,
    ingest,
    keys,
    output,
    server,
    tenants,
    tune,
)
from rag_pgvector.errors import ConfigError, FilterError, RagPgvectorError, TenantError

__all__ = ["app", "run"]

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
#: What the shell reports of a program that SIGPIPE ended: whoever read our output has gone.
EXIT_BROKEN_PIPE = 141

# typer >= 0.26 brings its own copy of click, so the class is taken from where it is public in both.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="rag-pgvector",
    help="Cited answers from your CSV files and documents, on Postgres with pgvector.",
    epilog="Start with: rag-pgvector demo. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. The database "
    "is --url, else DATABASE_URL, else an embedded Postgres.",
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(asked: bool) -> None:
    if asked:
        output.say(f"rag-pgvector {output.version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


content.register(app)
ingest.register(app)
server.register(app)
database.register(app)
index.register(app)
tenants.register(app)
importing.register(app)
keys.register(app)
tune.register(app)
evaluate.register(app)
calibrate.register(app)
golden.register(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns its exit code. With RAG_PGVECTOR_DEBUG=1, errors are raised as they are."""
    output.prepare_streams()
    debug = os.environ.get("RAG_PGVECTOR_DEBUG", "") not in ("", "0")
    try:
        code = _run(arguments or ["--help"])
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        output.abandon_stdout()
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except UsageError as error:
        return _usage(error)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, RagPgvectorError):
            output.complain(str(error))
            return EXIT_USAGE if isinstance(error, (ConfigError, FilterError, TenantError)) else EXIT_FAILED
        if isinstance(error, OSError):  # stdout on a full disk, a temporary folder that is not there
            output.complain(f"{error}: make room, or check the path")
            output.abandon_stdout()
            return EXIT_FAILED
        if isinstance(error, MemoryError):
            output.complain("out of memory: ingest fewer or smaller files at a time")
            return EXIT_FAILED
        output.complain(
            f"unexpected {type(error).__name__}: {error} (RAG_PGVECTOR_DEBUG=1 shows where; please report it)"
        )
        return EXIT_FAILED


def _run(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("rag-pgvector", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    return 0


def _usage(error: Exception) -> int:
    context = getattr(error, "ctx", None)
    verb = context.command_path if context is not None else "rag-pgvector"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    output.complain(f"{message.rstrip('.')}: see '{verb} --help'")
    return EXIT_USAGE
