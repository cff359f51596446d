"""The embedded server from the outside: one start for many, permissions, passwords, users, places."""

from __future__ import annotations

import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from sqlalchemy import create_engine, make_url, text

from rag_pgvector import embedded
from rag_pgvector.embedded import launcher
from rag_pgvector.embedded.home import Home
from rag_pgvector.errors import ServerError
from tests.integration.servers import START, child, home_of, password_of


def test_any_client_gets_in(server: embedded.Server) -> None:
    with psycopg.connect(server.url) as connection:
        row = connection.execute("SELECT current_database(), current_setting('data_directory'), version()").fetchone()
    assert row is not None
    assert row[:2] == ("rag", str(server.data_dir))
    assert f"PostgreSQL {server.version} " in row[2]
    for url in (server.url, make_url(server.url).set(drivername="postgresql+psycopg")):
        engine = create_engine(url)
        with engine.connect() as sa:
            assert sa.execute(text("SELECT 6 * 7")).scalar() == 42
        engine.dispose()


def test_pgvector_is_there_and_durability_is_on(server: embedded.Server) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        for name, value in {"fsync": "on", "full_page_writes": "on", "data_checksums": "on", "jit": "off"}.items():
            assert connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,), name


def test_the_socket_is_an_alternative(server: embedded.Server) -> None:
    assert server.socket_dir is not None
    address = f"host={server.socket_dir} port={server.port} user=postgres dbname=rag"
    psycopg.connect(address, password=password_of(server)).close()
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(address, password="wrong")


def test_a_wrong_or_missing_password_is_refused(server: embedded.Server) -> None:
    url = make_url(server.url)
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url.set(password=password).render_as_string(hide_password=False))


def test_it_listens_on_loopback_alone(server: embedded.Server) -> None:
    listening = [c.laddr for c in psutil.Process(server.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert [(address.ip, address.port) for address in listening] == [("127.0.0.1", server.port)]


def test_the_password_is_nowhere_to_be_seen(server: embedded.Server) -> None:
    password = password_of(server)
    home = home_of(server)
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE other PASSWORD 'other-secret'")
        with pytest.raises(psycopg.Error):
            connection.execute("ALTER ROLE nobody_of_that_name PASSWORD 'other-secret'")
        connection.execute("DROP ROLE other")
    assert password not in repr(server)
    assert (home / "password").stat().st_mode & 0o077 == 0
    assert (home / "password").stat().st_uid == os.geteuid()
    for process in psutil.process_iter():
        try:
            seen = " ".join(process.cmdline())
            if process.uids().real == server.data_dir.stat().st_uid:
                seen += repr(process.environ())
        except psutil.Error:
            continue
        assert password not in seen
    files = [path for path in home.rglob("*") if path.is_file() and path != home / "password"]
    assert len(files) > 900
    for path in files:
        content = path.read_bytes()
        assert password.encode() not in content, path
        if path == home / "log":
            assert b"other-secret" not in content
            assert b"nobody_of_that_name" in content


def test_the_callers_environment_does_not_reach_it(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGSSLMODE", "require")
    started = embedded.start(parent)
    assert "OPENAI_API_KEY" not in psutil.Process(started.pid).environ()


def test_joining_is_quick_and_gives_the_same(server: embedded.Server) -> None:
    begin = time.perf_counter()
    assert embedded.start(home_of(server)) == server
    assert time.perf_counter() - begin < 1.0  # measured: 0.01 s
    assert embedded.status(home_of(server)) == server


def test_stopping_and_starting_keeps_rows_and_address(parent: Path) -> None:
    first = embedded.start(parent)
    with psycopg.connect(first.url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    assert embedded.stop(parent) is True
    assert not psutil.pid_exists(first.pid) or psutil.Process(first.pid).status() == psutil.STATUS_ZOMBIE
    assert embedded.stop(parent) is False
    assert embedded.status(parent) is None
    second = embedded.start(parent)
    assert (second.url, second.data_dir) == (first.url, first.data_dir)
    assert second.pid != first.pid
    with psycopg.connect(second.url) as connection:
        assert connection.execute("SELECT n FROM t").fetchall() == [(7,)]


def test_it_outlives_the_process_that_started_it_and_keeps_nothing_of_it(parent: Path) -> None:
    begin = time.monotonic()
    done = child(START, parent)  # returns only if the server holds neither of its pipes
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begin < 60
    postmaster = psutil.Process(int(done.stdout))
    joined = embedded.start(parent)
    assert joined.pid == postmaster.pid
    assert postmaster.ppid() != os.getpid()
    assert os.getsid(postmaster.pid) != os.getsid(0)
    if sys.platform == "linux":
        open_files = [os.readlink(link) for link in Path(f"/proc/{postmaster.pid}/fd").iterdir()]
        regular = {path for path in open_files if path.startswith("/") and not path.startswith("/dev/")}
        assert regular == {str(parent / "log"), str(parent / "running")} | {
            path for path in regular if path.startswith(str(joined.data_dir))
        }
        assert os.readlink(f"/proc/{postmaster.pid}/fd/0") == "/dev/null"


def test_it_leaves_no_child_behind(parent: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    embedded.start(parent)
    embedded.stop(parent)
    assert set(psutil.Process().children(recursive=True)) <= before


def test_six_processes_at_once_share_one_server(parent: Path) -> None:
    home = parent / "fresh" / "home"
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: child(START, home), range(6)))
    assert [process.returncode for process in done] == [0] * 6, [process.stderr for process in done]
    pids = {int(process.stdout) for process in done}
    assert len(pids) == 1
    running = embedded.status(home)
    assert running is not None
    assert running.pid in pids
    assert not list(running.data_dir.parent.glob("data.new*"))


def test_threads_share_one_server(parent: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert len({server.pid for server in pool.map(lambda _: embedded.start(parent), range(4))}) == 1


def test_two_homes_have_two_servers(parent: Path, server: embedded.Server) -> None:
    other = embedded.start(parent)
    assert other.port != server.port
    assert other.pid != server.pid
    assert embedded.stop(parent)
    assert embedded.status(home_of(server)) == server


def test_a_taken_port_is_replaced(parent: Path) -> None:
    first = embedded.start(parent)
    embedded.stop(parent)
    with socket.socket() as foreign:
        foreign.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        foreign.bind(("127.0.0.1", first.port))
        foreign.listen()
        second = embedded.start(parent)
        assert second.port != first.port
        psycopg.connect(second.url).close()
    assert embedded.start(parent) == second


def test_folders_that_were_there_keep_their_permissions(parent: Path) -> None:
    outer, home = parent / "outer", parent / "outer" / "home"
    outer.mkdir()
    home.mkdir()
    outer.chmod(0o711)
    home.chmod(0o751)
    begin = [
        (path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in (parent.parent, parent, outer, home)
    ]
    embedded.start(home)
    embedded.stop(home)
    end = [
        (path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in (parent.parent, parent, outer, home)
    ]
    assert begin == end


def test_a_strict_umask_is_no_obstacle(parent: Path) -> None:
    before = os.umask(0o077)
    try:
        psycopg.connect(embedded.start(parent / "a" / "b").url).close()
    finally:
        os.umask(before)


@pytest.mark.parametrize("name", ["with space, comma", "with 'quotes' and \"more\"", "mit Umlaut ä", "l" * 120])
def test_odd_and_long_paths_work(parent: Path, name: str) -> None:
    started = embedded.start(parent / name)
    psycopg.connect(started.url).close()
    assert (started.socket_dir is None) == (len(name) == 120)
    assert embedded.start(parent / name) == started
    assert embedded.stop(parent / name)


def test_own_settings_stay(parent: Path) -> None:
    with psycopg.connect(embedded.start(parent).url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET work_mem = '17MB'")
    embedded.stop(parent)
    with psycopg.connect(embedded.start(parent).url) as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("17MB",)


def test_a_home_that_is_a_file_is_one_clear_error(parent: Path) -> None:
    (parent / "file").write_text("")
    for home in (parent / "file", parent / "file" / "below"):
        with pytest.raises(ServerError, match="RAG_PGVECTOR_HOME") as caught:
            embedded.start(home)
        assert "\n" not in str(caught.value)


def test_data_of_another_version_are_left_alone(parent: Path) -> None:
    embedded.start(parent)
    embedded.stop(parent)
    version = parent / "server" / "data" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(ServerError, match="PostgreSQL 17"):
        embedded.start(parent)
    version.unlink()
    with pytest.raises(ServerError, match="no Postgres cluster"):
        embedded.start(parent)
    assert (parent / "server" / "data" / "base").is_dir()


def test_another_starter_makes_the_database_first(server: embedded.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was killed leaves a backend, which makes it between our look and our CREATE DATABASE."""

    class Late(psycopg.Connection[Any]):
        """Looks a moment too early."""

        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            looks = isinstance(query, str) and "FROM pg_database" in query
            return super().execute("SELECT WHERE false") if looks else super().execute(query, *arguments, **options)

    monkeypatch.setattr(psycopg, "connect", Late.connect)
    assert launcher._lets_in(Home(home_of(server)), server.port)
