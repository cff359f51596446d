"""What the command line writes: results to stdout; warnings, errors and progress to stderr."""

from __future__ import annotations

import importlib.metadata
import io
import json
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rag_pgvector.ingest import Progress

__all__ = [
    "abandon_stdout",
    "complain",
    "place",
    "prepare_streams",
    "printable",
    "progress",
    "say",
    "say_json",
    "version",
    "working",
]

#: Passwords in a URL and in a key=value conninfo. Messages are made without them; this is the second fence.
_PASSWORDS = re.compile(r"(://[^\s:/@]*:)(?!password@)\S+(?=@)|(\b(?:ssl)?password=)('[^']*'|[^\s&]+)", re.IGNORECASE)

_STEERING = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u202a-\\u202e\\u2066-\\u2069]")


def version() -> str:
    """The version of the installed package."""
    return importlib.metadata.version("rag-pgvector")


# ---------------------------------------------------------------------------------------------------------- streams


def prepare_streams() -> None:
    """Any character can be written, our warnings become single lines, and third-party chatter is silenced."""
    # Python sets a stream that the shell closed (>&-) to None.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # What the terminal's encoding lacks becomes \uXXXX, which is what JSON calls it, too.
            stream.reconfigure(errors="backslashreplace")
    own = logging.getLogger("rag_pgvector")
    own.handlers = [_Lines()]
    own.propagate = False
    if not os.environ.get("RAG_PGVECTOR_DEBUG"):
        logging.lastResort = None
        warnings.simplefilter("ignore")
    for name, value in {
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }.items():
        os.environ.setdefault(name, value)


class _Lines(logging.Handler):
    """Each record is one line on what is stderr at that moment (a progress bar stands in for it)."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            complain(f"{record.levelname.lower()}: {record.getMessage()}")


def abandon_stdout() -> None:
    """Nobody reads stdout any more: keep the interpreter from saying so when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# ---------------------------------------------------------------------------------------------------------- writing


def say(text: str = "", *, style: str = "") -> None:
    """One piece of text on stdout, styled on a terminal only."""
    if style and sys.stdout.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(highlight=False).print(Text(text, style=style), soft_wrap=True)
    else:
        sys.stdout.write(text + "\n")


def say_json(document: Any) -> None:
    """The one JSON document of a verb with ``--json``."""
    unicode = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    say(json.dumps(document, ensure_ascii=not unicode, allow_nan=False, indent=2))


def complain(message: str) -> None:
    """One line on stderr, whatever the message holds; never a password."""
    line = " ".join(printable(_PASSWORDS.sub(r"\1\2***", message)).split())
    sys.stderr.write(f"rag-pgvector: {line}\n")


def printable(text: str) -> str:
    """Text of a document, without what would steer the terminal: control characters and changes of direction."""
    return _STEERING.sub("\N{REPLACEMENT CHARACTER}", text)


def place(source: str | None, page_or_row: int | str | None, *, row: bool) -> str:
    """Where something stands, as a person says it: "cpi.csv, row 13"."""
    name = printable(source or "(no source)")
    return name if page_or_row is None else f"{name}, {'row' if row else 'page'} {page_or_row}"


# --------------------------------------------------------------------------------------------------------- progress


@contextmanager
def progress() -> Iterator[Progress | None]:
    """A progress bar on stderr for ``ingest``; ``None`` where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)

        def tell(done: int, total: int, description: str) -> None:
            bars.update(task, completed=done, total=total or None, description=printable(description)[-48:])

        yield tell


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
