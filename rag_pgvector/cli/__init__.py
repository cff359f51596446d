"""The command line ``rag-pgvector``. See docs/cli.md."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line of this process and end it with the exit code."""
    try:
        from rag_pgvector.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before run() could see to it
        code = 130
    sys.exit(code)
