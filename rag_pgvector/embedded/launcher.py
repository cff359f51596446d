"""Starting, joining and stopping the embedded server."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs
import psutil
import psycopg

from rag_pgvector.embedded.binaries import Account, find_binaries, server_account
from rag_pgvector.embedded.process import find_postmaster
from rag_pgvector.errors import ServerError

__all__ = ["Server", "start", "status", "stop"]

_USER = "postgres"
_DATABASE = "rag"
_ROOT_HOME = Path("/var/lib/rag_pgvector")
#: How long to wait for a postmaster that lives: crash recovery of a large database may take minutes.
_START_SECONDS = 600.0
#: How long the backends of a killed postmaster may take to notice and let go of the shared memory.
_ORPHAN_SECONDS = 60.0
_STOP_SECONDS = 60.0
#: What Postgres says of obstacles that pass: orphans of a killed postmaster, a port that was taken a moment ago.
_PASSING = ("still in use", "is in use", "could not bind", "could not create any TCP/IP sockets")
_MAX_SOCKET_PATH = 100
_MAX_LOG_BYTES = 10 << 20


@dataclass(frozen=True, slots=True)
class Server:
    """A running embedded server. ``url`` holds its password and works with any Postgres client on this machine."""

    url: str = field(repr=False)
    port: int
    data_dir: Path
    socket_dir: Path | None
    pid: int


@dataclass(frozen=True, slots=True)
class _Home:
    """The folder of one server and what lies in it."""

    path: Path

    @property
    def server(self) -> Path:
        """Owned by the server's account, closed to others."""
        return self.path / "server"

    @property
    def data(self) -> Path:
        return self.server / "data"

    @property
    def log(self) -> Path:
        return self.server / "log"

    @property
    def socket_dir(self) -> Path | None:
        folder = self.server / "run"
        return folder if len(os.fsencode(folder)) + len("/.s.PGSQL.65535") <= _MAX_SOCKET_PATH else None

    @property
    def password(self) -> str:
        return (self.path / "password").read_text(encoding="ascii").strip()

    @property
    def port(self) -> int | None:
        try:
            port = json.loads((self.path / "state.json").read_text(encoding="utf-8"))["port"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return port if isinstance(port, int) and 0 < port < 65536 else None

    def remember_port(self, port: int) -> None:
        unfinished = self.path / "state.json.new"
        unfinished.write_text(json.dumps({"port": port}), encoding="utf-8")
        unfinished.replace(self.path / "state.json")


def start(home: Path | None = None) -> Server:
    """Start the server of a home folder, or join the one that runs.

    Args:
        home: Where it lives; ``None`` takes RAG_PGVECTOR_HOME, else the platform's folder for user data (as root
            /var/lib/rag_pgvector, since the server's account cannot enter root's home).

    Raises ServerError, MissingDependencyError.
    """
    place = _place(home)
    account = server_account()
    running = _running(place, account)
    if running is not None:
        return running
    try:
        place.path.mkdir(mode=0o755 if account.switch else 0o700, parents=True, exist_ok=True)
        with _locked(place):
            return _running(place, account) or _launch(place, account)
    except OSError as error:
        raise ServerError(f"the embedded server cannot use {place.path}: {error.strerror or error}") from error


def status(home: Path | None = None) -> Server | None:
    """The running server of a home folder, or None."""
    return _running(_place(home), server_account())


def stop(home: Path | None = None) -> bool:
    """Stop the server of a home folder; False if none runs. Clients are disconnected, nothing committed is lost."""
    place = _place(home)
    if not place.path.is_dir():
        return False
    account = server_account()
    try:
        with _locked(place):
            postmaster = find_postmaster(place.data, account.uid)
            if postmaster is None:
                return False
            for sign in (signal.SIGINT, signal.SIGQUIT):  # fast, then immediate
                postmaster.send_signal(sign)
                if _gone(postmaster, _STOP_SECONDS):
                    return True
    except psutil.NoSuchProcess:
        return True
    except (OSError, psutil.AccessDenied) as error:
        raise ServerError(f"the embedded server of {place.path} cannot be stopped: {error}") from error
    raise ServerError(f"the embedded server (pid {postmaster.pid}) does not stop: see {place.log}")


# ------------------------------------------------------------------------------------------------------------- steps


def _place(home: Path | None) -> _Home:
    if os.name != "posix":
        raise ServerError("the embedded server runs on Linux and macOS: set DATABASE_URL to a Postgres server")
    if home is None:
        given = os.environ.get("RAG_PGVECTOR_HOME")
        if given:
            home = Path(given)
        else:
            home = _ROOT_HOME if os.geteuid() == 0 else Path(platformdirs.user_data_dir("rag_pgvector"))
    return _Home(home.expanduser().absolute())


@contextlib.contextmanager
def _locked(place: _Home) -> Iterator[None]:
    """Only one process starts or stops at a time; the kernel frees the lock of one that dies."""
    descriptor = os.open(place.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _running(place: _Home, account: Account) -> Server | None:
    """The server, if it runs and takes connections."""
    port = place.port
    if port is None or not place.data.is_dir():
        return None
    try:
        postmaster = find_postmaster(place.data, account.uid)
        if postmaster is None or not _answers(port):
            return None
        return _server(place, port, postmaster.pid)
    except PermissionError as error:
        raise ServerError(f"{place.path} belongs to another user: set RAG_PGVECTOR_HOME to your own") from error


def _server(place: _Home, port: int, pid: int) -> Server:
    url = f"postgresql://{_USER}:{place.password}@127.0.0.1:{port}/{_DATABASE}"
    return Server(url=url, port=port, data_dir=place.data, socket_dir=place.socket_dir, pid=pid)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        return True
    return False


def _launch(place: _Home, account: Account) -> Server:
    binaries = find_binaries(place.path, account)
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while True:
        postmaster = find_postmaster(place.data, account.uid)
        begin = place.log.stat().st_size if place.log.is_file() else 0
        if postmaster is None:
            _prepare(place, account, binaries)
            postmaster = _start_postmaster(place, account, binaries)
        if postmaster is not None and _became_ready(place, postmaster):
            assert place.port is not None
            return _server(place, place.port, postmaster.pid)
        said = _log_since(place, begin)
        if not any(reason in said for reason in _PASSING) or time.monotonic() > deadline:
            reason = _last_line(said) or "it ended without a reason"
            raise ServerError(f"the embedded server did not start: {reason} (see {place.log})")
        time.sleep(0.2)


def _prepare(place: _Home, account: Account, binaries: Path) -> None:
    """Make the cluster, in a folder that gets its name only when it is whole."""
    if not place.server.is_dir():
        place.server.mkdir(mode=0o700)
        account.give(place.server)
    for folder in [place.socket_dir] if place.socket_dir else []:
        if not folder.is_dir():
            folder.mkdir(mode=0o700)
            account.give(folder)
    for leftover in place.server.glob("data.new*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if (place.data / "PG_VERSION").is_file():
        return
    if place.data.exists():
        raise ServerError(f"{place.data} is not a Postgres cluster: move it away, or set RAG_PGVECTOR_HOME")
    password_file = place.path / "password"
    if not password_file.is_file():
        unfinished = password_file.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(24))
        unfinished.replace(password_file)
    for_initdb = place.server / "password"
    for_initdb.unlink(missing_ok=True)
    with os.fdopen(os.open(for_initdb, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(place.password + "\n")
    account.give(for_initdb)
    new = place.server / "data.new"
    try:
        done = account.run(
            binaries / "initdb",
            *("-D", new, "-U", _USER, "--auth=scram-sha-256", f"--pwfile={for_initdb}"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        )
    finally:
        for_initdb.unlink(missing_ok=True)
    if done.returncode != 0:
        raise ServerError(f"initdb failed in {place.server}: {_last_line(done.stderr or done.stdout)}")
    with (new / "postgresql.conf").open("a", encoding="utf-8") as conf:
        conf.write("\ninclude 'rag_pgvector.conf'\n")
    (new / "rag_pgvector.conf").touch()
    account.give(new / "rag_pgvector.conf")
    new.rename(place.data)


def _start_postmaster(place: _Home, account: Account, binaries: Path) -> psutil.Process | None:
    # Nothing runs here (find_postmaster looked), but Postgres believes any living pid, even a zombie's, in these files.
    (place.data / "postmaster.pid").unlink(missing_ok=True)
    for stale in place.socket_dir.glob(".s.PGSQL.*") if place.socket_dir else ():
        stale.unlink(missing_ok=True)
    port = _free_port(place.port)
    place.remember_port(port)
    (place.data / "rag_pgvector.conf").write_text(_configuration(place, port), encoding="utf-8")
    if place.log.is_file() and place.log.stat().st_size > _MAX_LOG_BYTES:
        place.log.replace(place.log.with_suffix(".old"))
    # pg_ctl leaves the postmaster without a parent of ours: it neither dies with us nor becomes our zombie.
    account.run(binaries / "pg_ctl", "-D", place.data, "-l", place.log, "-W", "-s", "start", start_new_session=True)
    return _appeared(place, account)


def _appeared(place: _Home, account: Account) -> psutil.Process | None:
    """The new postmaster, once it has taken its lock file; None if it ended at once."""
    deadline = time.monotonic() + 10
    seen = None
    while time.monotonic() < deadline:
        found = find_postmaster(place.data, account.uid)
        if found is not None and (place.data / "postmaster.pid").is_file():
            return found
        if found is None and (seen is not None or time.monotonic() > deadline - 9):
            return None
        seen = found
        time.sleep(0.01)
    return seen


def _became_ready(place: _Home, postmaster: psutil.Process) -> bool:
    """Wait as long as the postmaster lives (it may be recovering), then make sure that our database is there."""
    deadline = time.monotonic() + _START_SECONDS
    url = f"postgresql://{_USER}:{place.password}@127.0.0.1:{place.port}/postgres"
    while True:
        try:
            with psycopg.connect(url, connect_timeout=5, autocommit=True) as conn:
                if conn.execute("SELECT FROM pg_database WHERE datname = 'rag'").fetchone() is None:
                    conn.execute("CREATE DATABASE rag")
                return True
        except psycopg.OperationalError as error:
            if "authentication" in str(error):
                raise ServerError(
                    f"the embedded server does not accept the password in {place.path / 'password'}: was it changed?"
                ) from None
            if _gone(postmaster, 0.0):
                return False
            if time.monotonic() > deadline:
                waited = f"{_START_SECONDS:.0f} s"
                raise ServerError(f"the embedded server is not ready after {waited}: see {place.log}") from None
        time.sleep(0.02)


def _configuration(place: _Home, port: int) -> str:
    memory = _memory()
    maintenance = _within(memory // 16, 64 << 20, 1 << 30)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": place.socket_dir or "",
        "max_connections": 100,
        "shared_buffers": f"{_within(memory // 8, 64 << 20, 1 << 30) >> 20}MB",
        "effective_cache_size": f"{memory // 2 >> 20}MB",
        "maintenance_work_mem": f"{maintenance >> 20}MB",
        "max_wal_size": "2GB",
        "jit": "off",  # the wheel has no LLVM
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "log_line_prefix": "%m [%p] ",
        "dynamic_shared_memory_type": "posix" if _shared_memory() > 2 * maintenance else "mmap",
    }
    return "".join(f"{name} = '{str(value).replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items())


def _memory() -> int:
    """Bytes of the machine, or of the container if it has less."""
    total = int(psutil.virtual_memory().total)
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return total


def _shared_memory() -> int:
    """Free bytes of /dev/shm, which parallel index builds use; containers often have 64 MB."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return 1 << 62  # no such file system: macOS
    return found.f_bavail * found.f_frsize


def _within(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))


def _free_port(wanted: int | None) -> int:
    for port in (wanted, 0):
        if port is not None:
            with contextlib.suppress(OSError), socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise ServerError("no free TCP port on 127.0.0.1")


def _log_since(place: _Home, begin: int) -> str:
    with contextlib.suppress(OSError), place.log.open("rb") as file:
        file.seek(begin)
        return file.read(20_000).decode(errors="replace")
    return ""


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if any(word in line for word in ("FATAL", "error", "ERROR", "PANIC"))]
    return (lines or text.strip().splitlines() or [""])[-1].strip()


def _gone(process: psutil.Process, seconds: float) -> bool:
    """Whether the process ends within so many seconds; a zombie has ended."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
