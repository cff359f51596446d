"""The command line ``rag-pgvector``. See docs/cli.md."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

__all__ = ["main"]

#: What a shell reports of a program that SIGTERM ended.
EXIT_TERMINATED = 128 + signal.SIGTERM


def main() -> None:
    """Run the command line of this process and end it with the exit code."""
    try:
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)
        from rag_pgvector.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before run() could see to it
        code = 130
    sys.exit(code)


def _terminate(number: int, frame: object) -> NoReturn:
    """End as Ctrl-C does: the cursor is shown again, and a run is written down as ended."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whoever asks twice does not wait for a model
    sys.exit(EXIT_TERMINATED)
