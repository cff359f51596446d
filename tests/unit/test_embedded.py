"""The parts of the embedded server's launcher that need no server."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from rag_pgvector.embedded import Server, status, stop
from rag_pgvector.embedded.home import Home, find_home, last_reason
from rag_pgvector.embedded.process import PidFile, find_postmaster, read_pid_file
from rag_pgvector.embedded.tuning import server_settings, usable_memory
from rag_pgvector.errors import ServerError

GB = 1 << 30


@pytest.mark.parametrize(
    ("memory", "shared_buffers", "maintenance"),
    [
        (256 << 20, "32MB", "64MB"),
        (4 * GB, "512MB", "512MB"),
        (16 * GB, "2048MB", "2048MB"),
        (512 * GB, "2048MB", "2048MB"),
    ],
)
def test_buffers_follow_the_memory(memory: int, shared_buffers: str, maintenance: str) -> None:
    settings = server_settings(memory, free_disk=1000 * GB, free_shm=None)
    assert (settings["shared_buffers"], settings["maintenance_work_mem"]) == (shared_buffers, maintenance)
    assert "fsync" not in settings
    assert settings["max_wal_size"] == "4096MB"


def test_a_small_disk_gets_a_small_log_and_a_small_dev_shm_is_avoided() -> None:
    settings = server_settings(16 * GB, free_disk=4 * GB, free_shm=64 << 20)
    assert settings["max_wal_size"] == "512MB"
    assert settings["dynamic_shared_memory_type"] == "sysv"
    assert "dynamic_shared_memory_type" not in server_settings(16 * GB, free_disk=4 * GB, free_shm=8 * GB)


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8 * GB),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 8 * GB),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": f"{GB}\n"}, GB),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{2 * GB}\n"}, 2 * GB),
        ({"proc/self/cgroup": "4:memory:/c\n0::/\n", "sys/fs/cgroup/memory/c/memory.limit_in_bytes": f"{GB}"}, GB),
        (
            {"proc/self/cgroup": "4:memory:/c\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**63 - 4096)},
            8 * GB,
        ),
        ({"proc/self/cgroup": "nonsense\n", "sys/fs/cgroup/memory.max": "1\n"}, 8 * GB),
    ],
)
def test_the_memory_of_a_container_counts(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert usable_memory(8 * GB, _tree(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("\n", None),
        ("12x\n/d\n", None),
        ("\x00\x00\x00", None),
        ("-77\n/d\n1\n5432\n", None),
        ("77", PidFile(77, 0, is_ready=False)),
        ("77\n/d\n1\n5432\n", PidFile(77, 5432, is_ready=False)),
        ("77\n/d\n1\n5432\n/s\n127.0.0.1\n 1 2\nstarting\n", PidFile(77, 5432, is_ready=False)),
        ("77\n/d\n1\n5432\n/s\n127.0.0.1\n 1 2\nready   \n", PidFile(77, 5432, is_ready=True)),
    ],
)
def test_postmaster_pid_is_read_in_every_state(tmp_path: Path, text: str, expected: PidFile | None) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    assert read_pid_file(tmp_path) == expected


def test_a_living_process_is_not_a_postmaster_because_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}\n1\n5432\n/s\n127.0.0.1\n 1 2\nready   \n")
    assert find_postmaster(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"port": "x"}', '{"port": true}', '{"port": 70000}', "[" * 99_999]
)
def test_a_damaged_state_file_is_no_state(tmp_path: Path, text: str) -> None:
    home = Home(tmp_path)
    (tmp_path / "state.json").write_text(text)
    assert home.port() is None
    assert home.version() is None
    home.remember(5555, "18.4")
    assert (home.port(), home.version()) == (5555, "18.4")
    assert json.loads((tmp_path / "state.json").read_text()) == {"port": 5555, "version": "18.4"}


@pytest.mark.parametrize("content", [b"", b"  \n", b"\xff\xfe", b"a\x00b"])
def test_a_damaged_password_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "password").write_bytes(content)
    assert Home(tmp_path).password() is None


def test_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        home = Home(tmp_path / "home")
        home.create()
        home.set_password("secret")
        home.remember(5555, "18.4")
        os.close(home.open_log())
        with home.locked():
            pass
    finally:
        os.umask(before)
    assert {file.name: file.stat().st_mode & 0o077 for file in home.path.iterdir()} == dict.fromkeys(
        ("lock", "log", "password", "state.json"), 0
    )
    assert home.password() == "secret"


def test_a_long_log_keeps_its_end(tmp_path: Path) -> None:
    home = Home(tmp_path)
    writer = home.open_log()
    os.write(writer, b"x" * (9 << 20) + b"the end\n")
    os.close(home.open_log())
    os.write(writer, b"and on\n")
    os.close(writer)
    assert home.log.read_bytes() == b"and on\n"
    assert (tmp_path / "log.old").read_bytes().endswith(b"the end\n")


def test_the_lock_excludes_and_is_free_again_afterwards(tmp_path: Path) -> None:
    home = Home(tmp_path)
    first = home.try_lock_running()
    assert first is not None
    assert home.try_lock_running() is None
    os.close(first)
    second = home.try_lock_running()
    assert second is not None
    os.close(second)


def test_a_linked_file_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    home = Home(tmp_path / "home")
    home.create()
    home.log.symlink_to(target)
    with pytest.raises(OSError):
        home.open_log()
    assert target.read_text() == "precious"


def test_where_the_home_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAG_PGVECTOR_HOME", str(tmp_path / "a" / ".." / "b"))
    assert find_home(None).path == (tmp_path / "b").resolve()
    assert find_home(tmp_path).path == tmp_path.resolve()
    monkeypatch.setenv("RAG_PGVECTOR_HOME", "")
    default = find_home(None).path
    assert default.name == "rag_pgvector"
    if os.geteuid() == 0 and sys.platform == "linux":
        assert default == Path("/var/lib/rag_pgvector").resolve()


def test_a_home_with_a_line_break_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="control character"):
        status(tmp_path / "a\nb")


def test_asking_creates_nothing(tmp_path: Path) -> None:
    assert status(tmp_path / "home") is None
    assert stop(tmp_path / "home") is False
    assert stop(tmp_path) is False
    assert not list(tmp_path.iterdir())


def test_a_long_path_has_no_socket(tmp_path: Path) -> None:
    assert Home(Path("/h")).socket_dir == Path("/h/server/run")
    assert Home(Path("/", "h" * 90)).socket_dir is None


def test_the_reason_is_the_line_that_ended_it() -> None:
    assert last_reason("LOG: a\nFATAL:  no room\nLOG:  database system is shut down\n") == "FATAL:  no room"
    assert last_reason("one\ntwo\n\n") == "two"
    assert last_reason("") == ""
    full = 'FATAL:  could not extend file "base/1/2753": No space left on device'
    assert last_reason(f"{full}\nHINT:  Check free disk space.\nPANIC:  cannot abort transaction 1\n").startswith(
        f"{full}: make room"
    )


def test_the_password_is_not_in_the_repr() -> None:
    server = Server("postgresql://postgres:hidden@127.0.0.1:1/rag", None, Path("/d"), 1, 1, "18.4")
    assert "hidden" not in f"{server!r} {server}"
