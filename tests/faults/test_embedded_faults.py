"""The embedded server after kill -9, with stale and reused pids and damaged pid files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from rag_pgvector import embedded
from rag_pgvector.errors import ServerError
from tests.faults.servers import ROOT, eventually, kill, rows, starter


@pytest.fixture
def bystander(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """An unrelated process of the very user that the server runs as."""
    owner = (home / "server" / "data").stat()
    options = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "600"], cwd="/", **options) as process:  # type: ignore[call-overload]
        yield process
        assert process.poll() is None, "the bystander was signalled"
        process.kill()


def stale_pid_file(home: Path, pid: int) -> None:
    """What a killed server leaves, when its pid has come to name another process."""
    data = home / "server" / "data"
    port = json.loads((home / "state.json").read_text())["port"]
    lines = [pid, data, int(time.time()), port, home / "server" / "run", "127.0.0.1", "  1 2", "ready   "]
    (data / "postmaster.pid").write_text("".join(f"{line}\n" for line in lines))
    (home / "server" / "run" / f".s.PGSQL.{port}.lock").write_text(f"{pid}\n")


def test_the_postmaster_is_killed(home: Path) -> None:
    first = embedded.start(home)
    with psycopg.connect(first.url) as connection:
        connection.execute("INSERT INTO t VALUES (1001)")
        connection.commit()
        connection.execute("INSERT INTO t VALUES (1002)")  # never committed
        kill(first.pid)
        second = embedded.start(home)
        assert second.pid != first.pid
        assert second.url == first.url
        assert rows(second) == 1001
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


@pytest.mark.parametrize("verb", [embedded.start, embedded.stop])
def test_the_postmaster_is_killed_and_a_backend_does_not_notice(
    home: Path, verb: Callable[[Path], embedded.Server | bool]
) -> None:
    first = embedded.start(home)
    with contextlib.closing(psycopg.connect(first.url, autocommit=True)) as connection:
        orphan = psutil.Process(connection.info.backend_pid)
        # Bounded: where the test run is killed, nobody ends this backend.
        connection.pgconn.send_query(
            b"DO $$ DECLARE t timestamptz := clock_timestamp() + '60 s'; "
            b"BEGIN WHILE clock_timestamp() < t LOOP END LOOP; END $$"
        )
        eventually(lambda: orphan.cpu_times().user > 0.1)
        kill(first.pid)
        eventually(lambda: not _lives(first.pid))
        assert _lives(orphan.pid)
        assert verb(home)
        assert not _lives(orphan.pid)
        assert rows(embedded.start(home)) == 1000


def test_a_backend_is_killed(home: Path) -> None:
    server = embedded.start(home)
    with psycopg.connect(server.url) as connection:
        kill(connection.info.backend_pid)
        assert embedded.start(home) == server  # the postmaster lives, and start waits until it takes connections again
        assert rows(server) == 1000


def test_a_client_is_killed(home: Path) -> None:
    server = embedded.start(home)
    code = (
        "import sys, psycopg; c = psycopg.connect(sys.argv[1]); c.execute('INSERT INTO t VALUES (1001)'); "
        "print('in', flush=True); import time; time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, server.url], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"in\n"
        client.kill()
    assert rows(server) == 1000
    assert embedded.start(home) == server
    assert embedded.stop(home) is True


def test_the_starter_is_killed_in_the_middle_of_initdb(fresh: Path) -> None:
    with starter(fresh) as process:
        eventually(lambda: list(fresh.glob("server/data.new*/data/base")))
        process.kill()
    assert not (fresh / "server" / "data").exists()
    server = embedded.start(fresh)
    psycopg.connect(server.url).close()
    eventually(lambda: not _initdbs(fresh))
    embedded.stop(fresh)
    embedded.start(fresh)
    assert not list((fresh / "server").glob("data.new*"))


def _initdbs(home: Path) -> list[int]:
    processes = psutil.process_iter(["name", "cmdline"])
    return [p.pid for p in processes if p.info["name"] == "initdb" and str(home) in " ".join(p.info["cmdline"] or [])]


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2])
def test_the_starter_is_killed_while_it_starts(home: Path, delay: float) -> None:
    with starter(home) as process:
        eventually((home / "server" / "data" / "postmaster.pid").exists)
        time.sleep(delay)
        process.kill()
    server = embedded.start(home)
    assert rows(server) == 1000
    assert embedded.start(home) == server
    assert embedded.stop(home) is True


@pytest.mark.slow
def test_the_starter_is_killed_at_any_moment(fresh: Path) -> None:
    for step in range(16):
        with starter(fresh) as process:
            time.sleep(0.15 + step * 0.08)
            process.kill()
        server = embedded.start(fresh)
        psycopg.connect(server.url).close()
        if step % 2:
            assert embedded.stop(fresh) is True
            shutil.rmtree(fresh / "server")


def test_the_holder_of_the_lock_is_killed(home: Path) -> None:
    code = (
        "import sys, time, pathlib; from rag_pgvector.embedded.home import Home\n"
        "with Home(pathlib.Path(sys.argv[1])).locked(): print('in', flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"in\n"
        with starter(home) as waiting:
            time.sleep(1)
            assert waiting.poll() is None
            holder.kill()
            assert waiting.wait(60) == 0
    assert embedded.status(home) is not None


def test_a_stale_pid_that_is_used_again(home: Path, bystander: subprocess.Popen[bytes]) -> None:
    stale_pid_file(home, bystander.pid)
    assert embedded.status(home) is None
    assert embedded.stop(home) is False
    server = embedded.start(home)
    assert server.pid != bystander.pid
    assert rows(server) == 1000
    assert embedded.stop(home) is True


def test_a_stale_pid_of_another_postgres(home: Path) -> None:
    other_home = Path(tempfile.mkdtemp(prefix="rag_pgvector_faults_"))
    other_home.chmod(0o755)
    other = embedded.start(other_home)
    try:
        stale_pid_file(home, other.pid)
        assert embedded.status(home) is None
        assert embedded.stop(home) is False
        assert rows(embedded.start(home)) == 1000
        assert embedded.stop(home) is True
        assert embedded.status(other_home) == other
    finally:
        embedded.stop(other_home)
        shutil.rmtree(other_home)


def test_a_zombie_is_dead(home: Path) -> None:
    with subprocess.Popen(["true"]) as zombie:
        eventually(lambda: psutil.Process(zombie.pid).status() == psutil.STATUS_ZOMBIE)
        stale_pid_file(home, zombie.pid)
        assert embedded.status(home) is None
        assert embedded.stop(home) is False
        assert rows(embedded.start(home)) == 1000


@pytest.mark.parametrize("content", ["", "\n", "12", "garbage\n", "-5\n", "99999999999999999999\n", "1\n"])
def test_a_damaged_pid_file_of_a_stopped_server(home: Path, content: str) -> None:
    (home / "server" / "data" / "postmaster.pid").write_text(content)
    assert embedded.status(home) is None
    assert embedded.stop(home) is False
    assert rows(embedded.start(home)) == 1000


@pytest.mark.parametrize("content", [None, "", "garbage\n", "1\n"])
def test_a_damaged_pid_file_of_a_running_server(home: Path, content: str | None) -> None:
    for verb in (embedded.stop, embedded.start):
        first = embedded.start(home)
        path = home / "server" / "data" / "postmaster.pid"
        path.unlink() if content is None else path.write_text(content)
        assert verb(home)
        assert not _lives(first.pid)
        second = embedded.start(home)
        assert second.pid != first.pid
        assert rows(second) == 1000
        embedded.stop(home)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_home_is_removed_under_a_running_server(home: Path) -> None:
    first = embedded.start(home)
    for path in home.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert embedded.status(home) is None
    assert embedded.stop(home) is False
    second = embedded.start(home)
    assert second.pid != first.pid
    psycopg.connect(second.url).close()
    assert _lives(first.pid)  # Postgres looks for its pid file once a minute, and then ends
    os.kill(first.pid, signal.SIGQUIT)
    eventually(lambda: not _lives(first.pid))


def test_a_server_that_cannot_be_seen_keeps_its_data(home: Path) -> None:
    """As in another container: the lock is held, and no process is to be found."""
    from rag_pgvector.embedded.home import Home

    held = Home(home).try_lock_running()
    assert held is not None
    try:
        with pytest.raises(ServerError, match="cannot be seen from here"):
            embedded.start(home)
        assert embedded.stop(home) is False
    finally:
        os.close(held)
    assert rows(embedded.start(home)) == 1000


def test_it_is_stopped_at_any_moment_by_others(home: Path) -> None:
    """SIGTERM is a shutdown that waits for clients: start sees it through and starts anew."""
    first = embedded.start(home)
    os.kill(first.pid, signal.SIGTERM)
    second = embedded.start(home)
    assert rows(second) == 1000
    assert embedded.status(home) == second


def test_recovery_is_waited_for(home: Path) -> None:
    first = embedded.start(home)
    with psycopg.connect(first.url, autocommit=True) as connection:
        connection.execute("INSERT INTO t SELECT n FROM generate_series(1, 300000) AS n")
    kill(first.pid)
    with starter(home) as one, starter(home) as two:
        one.kill()
        assert two.wait(120) == 0
    assert rows(embedded.start(home)) == 301_000
