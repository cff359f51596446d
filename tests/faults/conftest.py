"""Homes of embedded servers that a test may break."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from rag_pgvector import embedded


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A stopped home with a table of committed rows, to be copied: quicker than initdb for each test."""
    home = Path(tempfile.mkdtemp(prefix="rag_pgvector_faults_"))
    home.chmod(0o755)
    with psycopg.connect(embedded.start(home).url) as connection:
        connection.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 1000) AS n")
    embedded.stop(home)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A home with nothing in it."""
    home = Path(tempfile.mkdtemp(prefix="rag_pgvector_faults_"))
    home.chmod(0o755)
    yield home
    embedded.stop(home)
    shutil.rmtree(home)


@pytest.fixture
def home(cluster: Path, fresh: Path) -> Path:
    """A stopped home with the table."""
    subprocess.run(["cp", "-a", f"{cluster}/.", fresh], check=True)
    return fresh
