"""What the tests of the embedded server share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

import rag_pgvector
from rag_pgvector import embedded

__all__ = ["ROOT", "START", "as_root", "child", "home_of", "password_of"]

ROOT = Path(rag_pgvector.__file__).parents[1]
START = "import sys, pathlib; from rag_pgvector import embedded; print(embedded.start(pathlib.Path(sys.argv[1])).pid)"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other users")


def home_of(server: embedded.Server) -> Path:
    return server.data_dir.parents[1]


def password_of(server: embedded.Server) -> str:
    password = make_url(server.url).password
    assert isinstance(password, str)
    return password


def child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code in another process, with this checkout's rag_pgvector."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], text=True, capture_output=True, env=environment, check=False
    )
