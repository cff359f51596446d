"""What the fault tests do to an embedded server, and ask of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

import rag_pgvector
from rag_pgvector import embedded

__all__ = ["ROOT", "START", "eventually", "kill", "rows", "starter"]

ROOT = Path(rag_pgvector.__file__).parents[1]
START = "import sys, pathlib; from rag_pgvector import embedded; embedded.start(pathlib.Path(sys.argv[1]))"


def rows(server: embedded.Server) -> int:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT count(*) FROM t").fetchone()
    assert row is not None
    return int(row[0])


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)


def starter(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", START, str(home)], env={**os.environ, "PYTHONPATH": str(ROOT)})
