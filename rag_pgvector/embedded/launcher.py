"""Starting, joining and stopping the embedded server."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from rag_pgvector.embedded.account import Account, server_account
from rag_pgvector.embedded.binaries import Binaries, find_binaries
from rag_pgvector.embedded.cluster import USER, prepare_cluster, prepare_folders, reset_password
from rag_pgvector.embedded.home import Home, find_home
from rag_pgvector.embedded.process import (
    PidFile,
    end_orphans,
    find_postmaster,
    find_unnamed_postmaster,
    is_gone,
    read_pid_file,
    spawn,
    terminate,
)
from rag_pgvector.embedded.tuning import configuration
from rag_pgvector.errors import ServerError

__all__ = ["Server", "start", "status", "stop"]

_DATABASE = "rag"
#: How long a postmaster that lives may take to be ready: crash recovery of a large database takes minutes.
_READY_SECONDS = 3600.0
#: How long the backends of a killed postmaster may take to notice, before they are ended.
_ORPHAN_SECONDS = 5.0
#: Below the ports that systems give to outgoing connections, so that the port is still free at the next start.
_PORTS = range(20_000, 32_000)
_PORT_TRIES = 20


@dataclass(frozen=True, slots=True)
class Server:
    """A running embedded server.

    Attributes:
        url: With its password, for any Postgres client on this machine. Not in the repr.
        socket_dir: The folder of its Unix socket, for the same user; None where the path is too long for one.
        data_dir: PGDATA.
        pid: Of the postmaster.
        port: On 127.0.0.1.
        version: Of Postgres, "18.4"; only "18" where it is not known exactly.
    """

    url: str = field(repr=False)
    socket_dir: Path | None
    data_dir: Path
    pid: int
    port: int
    version: str


def start(home: Path | None = None) -> Server:
    """Start the server of a home folder, or join the one that runs. It goes on when this process ends.

    Args:
        home: Where it lives; ``None`` takes RAG_PGVECTOR_HOME, else the platform's folder for user data (as root
            /var/lib/rag_pgvector, since the server's user cannot enter root's home).

    Raises ServerError, and MissingDependencyError where the extra "embedded" is not installed.
    """
    place = find_home(home)
    with _one_error(place):
        place.create()
        with place.locked():
            joined = _join(place)
            return joined if joined is not None else _launch(place)


def status(home: Path | None = None) -> Server | None:
    """The running server of a home folder (perhaps still in recovery), or None. Creates nothing, waits for nothing.

    Raises ServerError if the home is another user's.
    """
    place = find_home(home)
    with _one_error(place):
        if not place.exists() or find_postmaster(place.data) is None:
            return None
        record = read_pid_file(place.data)
        return _server(place, record) if record is not None and record.port else None


def stop(home: Path | None = None) -> bool:
    """Stop the server of a home folder; False if none runs. Clients are cut off, nothing that was committed is lost.

    Raises ServerError if the home is another user's, or the server does not end.
    """
    place = find_home(home)
    with _one_error(place):
        if not place.exists() or not place.server.exists():
            return False
        with place.locked():
            postmaster = find_postmaster(place.data)
            if postmaster is not None:
                terminate(postmaster)
                return True
            running = place.try_lock_running()
            if running is not None:
                os.close(running)
                return False
            return _end_the_rest(place)


@contextlib.contextmanager
def _one_error(place: Home) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        raise ServerError(
            f"the embedded server cannot use {place.path}: {what}{error.strerror or error}. Set RAG_PGVECTOR_HOME to a "
            "folder of your own with room, or DATABASE_URL to a server"
        ) from error


def _join(place: Home) -> Server | None:
    """The running server, once it is ready; None if there is none that can be used."""
    postmaster = find_postmaster(place.data)
    if postmaster is None:
        return None
    os.close(place.open_log())  # cuts it where it grew too long
    if place.password() is None or not _has_its_program(postmaster):
        terminate(postmaster)
        return None
    record = _wait(place, postmaster)
    return _server(place, record) if record is not None else None


def _has_its_program(postmaster: psutil.Process) -> bool:
    """False if the virtual environment was removed under the server, which then no longer finds pgvector."""
    try:
        return Path(postmaster.exe().removesuffix(" (deleted)")).exists()
    except psutil.Error:
        return True  # it has just ended, which is for others to find out


def _launch(place: Home) -> Server:
    running = _claim(place)
    try:
        account = server_account(place.data)
        prepare_folders(place, account)
        binaries = find_binaries(place.binaries, account)
        prepare_cluster(place, account, binaries)
        _forget_the_dead(place)
        place.write_conf(configuration(place.data))
        if place.password() is None:
            reset_password(place, account, binaries, running)
        wanted = place.port()
        for _ in range(_PORT_TRIES):
            port = _free_port(wanted)
            begin = place.log.stat().st_size if place.log.exists() else 0
            postmaster = _spawn(place, account, binaries, port, running)
            record = _wait(place, postmaster) if postmaster is not None else None
            if record is not None:
                place.remember(port, binaries.version)
                return _server(place, record)
            reason = place.reason_since(begin)
            if "could not create any TCP/IP sockets" not in reason:
                raise ServerError(f"the embedded server did not start: {reason or 'no reason given'} ({place.log})")
            wanted = None  # somebody took it a moment ago
        raise ServerError(f"the embedded server found no free port on 127.0.0.1 ({place.log})")
    finally:
        os.close(running)


def _claim(place: Home) -> int:
    """The lock that the new server will hold, once nothing of an earlier one lives."""
    running = place.try_lock_running()
    if running is None:
        _end_the_rest(place)
        running = place.try_lock_running()
    if running is None:
        raise ServerError(
            f"a process that cannot be seen from here, as in another container, runs the server of {place.path}: "
            "stop it there, or set RAG_PGVECTOR_HOME to another folder"
        )
    return running


def _end_the_rest(place: Home) -> bool:
    """End a server whose ``postmaster.pid`` is lost, or what a killed one has left; False if nothing is found."""
    postmaster = find_unnamed_postmaster(place.data)
    if postmaster is not None:
        terminate(postmaster)
    deadline = time.monotonic() + _ORPHAN_SECONDS
    while time.monotonic() < deadline:
        if (running := place.try_lock_running()) is not None:
            os.close(running)
            return postmaster is not None
        time.sleep(0.01)
    return end_orphans(place.data) or postmaster is not None


def _forget_the_dead(place: Home) -> None:
    """Remove the lock files of a server that is gone: Postgres believes any pid in them that lives, even a zombie's.

    Its own second check, on the shared memory of the data folder, stays.
    """
    (place.data / "postmaster.pid").unlink(missing_ok=True)
    if place.socket_dir is not None:
        for file in place.socket_dir.glob(".s.PGSQL.*"):
            file.unlink(missing_ok=True)


def _spawn(place: Home, account: Account, binaries: Binaries, port: int, running: int) -> psutil.Process | None:
    # A list, in which quotes protect commas; an empty one means no Unix socket.
    sockets = '"{}"'.format(str(place.socket_dir).replace('"', '""')) if place.socket_dir is not None else ""
    log = place.open_log()
    try:
        return spawn(
            binaries.folder / "postgres",
            [
                *("-D", place.data, "-c", f"config_file={place.conf}"),
                *("-c", "listen_addresses=127.0.0.1", "-p", str(port)),
                *("-c", f"unix_socket_directories={sockets}", "-c", "unix_socket_permissions=0700"),
            ],
            account,
            log,
            running,
        )
    finally:
        os.close(log)


def _wait(place: Home, postmaster: psutil.Process) -> PidFile | None:
    """Wait until the server lets us in, as long as its postmaster lives; None if that ended.

    Raises ServerError where waiting does not help.
    """
    deadline = time.monotonic() + _READY_SECONDS
    pause = 0.005
    while not is_gone(postmaster):
        record = read_pid_file(place.data)
        if record is not None and record.pid == postmaster.pid and record.is_ready and _lets_in(place, record.port):
            return record
        if time.monotonic() > deadline:
            raise ServerError(f"the embedded server (pid {postmaster.pid}) is not ready after an hour: see {place.log}")
        time.sleep(pause)
        pause = min(1.2 * pause, 0.2)  # each try that is let down during a crash recovery is a line in the log
    return None


def _lets_in(place: Home, port: int) -> bool:
    """Whether a client gets in, and finds its database (created at the first time); False if it should try again."""
    try:
        # What PGSSLMODE and PGGSSENCMODE say is meant for another server.
        with psycopg.connect(
            _url(place, port, "postgres"), connect_timeout=30, sslmode="disable", gssencmode="disable", autocommit=True
        ) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_DATABASE)))
        return True
    except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
        return True  # the backend of a starter that was killed made it in this moment
    except psycopg.Error as error:
        said = str(error).strip()
    if "password authentication failed" in said:
        raise ServerError(
            f"the embedded server refuses the password in {place.path / 'password'}: write the right one into that "
            "file, or stop the server and delete the file to get a new one"
        )
    if any(phrase in said for phrase in ("too many clients", "connection slots")):
        return True  # it runs, and tells the next client so
    if any(phrase in said for phrase in ("database system is", "refused", "closed the connection", "due to")):
        return False  # recovering, or shutting down
    raise ServerError(f"the embedded server on port {port} lets nobody in: {said}")


def _server(place: Home, record: PidFile) -> Server:
    return Server(
        url=_url(place, record.port, _DATABASE),
        socket_dir=place.socket_dir,
        data_dir=place.data,
        pid=record.pid,
        port=record.port,
        version=place.version() or (place.data / "PG_VERSION").read_text(encoding="ascii").strip(),
    )


def _url(place: Home, port: int, database: str) -> str:
    return f"postgresql://{USER}:{quote(place.password() or '', safe='')}@127.0.0.1:{port}/{database}"


def _free_port(wanted: int | None) -> int:
    for port in (wanted, *random.sample(_PORTS, 50), 0):
        if port is not None:
            with contextlib.suppress(OSError), socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Postgres does
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise ServerError("no free TCP port on 127.0.0.1")
