"""The server's processes: proof that a process is one, starting the postmaster, ending it.

A pid in a file proves nothing, since pids are used again; ``postmaster.pid`` is only a hint. And a zombie is dead,
which matters where process 1 does not collect the dead.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from rag_pgvector.embedded.account import Account
from rag_pgvector.errors import ServerError

__all__ = [
    "PidFile",
    "end_orphans",
    "find_postmaster",
    "find_unnamed_postmaster",
    "is_gone",
    "read_pid_file",
    "spawn",
    "terminate",
]

_FAST_SECONDS = 60.0
_IMMEDIATE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class PidFile:
    """What a postmaster writes into ``postmaster.pid`` (src/include/utils/pidfile.h). ``port`` is 0 at its start."""

    pid: int
    port: int
    is_ready: bool


def read_pid_file(data: Path) -> PidFile | None:
    """The file's content; None if it is missing, empty or cut short before the pid."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, NotADirectoryError, IndexError, ValueError):
        return None
    port = int(lines[3]) if len(lines) > 3 and lines[3].isdecimal() else 0
    # A negative pid is that of a single-user backend.
    return PidFile(pid, port, is_ready=len(lines) > 7 and lines[7].strip() == "ready") if pid > 0 else None


def find_postmaster(data: Path) -> psutil.Process | None:
    """The postmaster that ``postmaster.pid`` names, if it is one of this data folder; else None."""
    record = read_pid_file(data)
    if record is not None:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(record.pid)
            if _belongs(process, data) and _is_parent(process):
                return process
    return None


def find_unnamed_postmaster(data: Path) -> psutil.Process | None:
    """The postmaster of this data folder whose ``postmaster.pid`` is lost. It shuts down by itself within a minute."""
    found = []
    for process in _relatives(data):
        with contextlib.suppress(psutil.Error):
            if _is_parent(process):
                found.append((process.create_time(), process))
    return min(found, key=lambda pair: pair[0])[1] if found else None


def _is_parent(process: psutil.Process) -> bool:
    """Children give themselves a title ("postgres: checkpointer"); only the postmaster still shows its arguments."""
    return "-D" in process.cmdline()


def _belongs(process: psutil.Process, data: Path) -> bool:
    """Whether the process lives, is a program named postgres, stands in the data folder, and is its owner's."""
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    try:
        folder, owner = data.stat(), process.uids()
        # A program whose file was removed, as by making the virtual environment anew, is "postgres (deleted)" on Linux.
        return (
            owner.real == owner.effective == folder.st_uid
            and os.path.basename(process.exe()).split(" ")[0] == "postgres"
            and os.path.samestat(os.stat(process.cwd()), folder)
        )
    except OSError:
        return False


def _relatives(data: Path) -> Iterator[psutil.Process]:
    """All processes of this data folder's server: postmaster, backends, orphans. Slow: looks at every process."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if _belongs(process, data):
                yield process


def spawn(
    binary: Path, arguments: Sequence[str | os.PathLike[str]], account: Account, log: int, running: int
) -> psutil.Process | None:
    """Start the postmaster, in a session of its own and without a parent of ours; None if it ended at once.

    A shell stands between, so that the postmaster neither ends with this process nor becomes its zombie. It inherits
    the log and the lock ``running``, both file descriptors, and nothing else.
    """
    shell = subprocess.run(
        ["/bin/sh", "-c", '"$@" </dev/null >&2 & echo $!', "sh", binary, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        pass_fds=(running,),
        check=True,
        **account.popen_options(),
    )
    try:
        return psutil.Process(int(shell.stdout))
    except psutil.NoSuchProcess:
        return None


def is_gone(process: psutil.Process, seconds: float = 0.0) -> bool:
    """Whether the process has ended, or ends within so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)


def terminate(postmaster: psutil.Process) -> None:
    """End a proven postmaster: fast shutdown (clients are cut off), and if that takes a minute, immediate shutdown.

    psutil refuses to signal a pid that has come to name another process. Raises ServerError if it does not end.
    """
    for sign, patience in ((signal.SIGINT, _FAST_SECONDS), (signal.SIGQUIT, _IMMEDIATE_SECONDS)):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                postmaster.send_signal(sign)
            except psutil.NoSuchProcess:
                return
            except psutil.AccessDenied:
                raise ServerError(f"the postmaster (pid {postmaster.pid}) may not be signalled by this user") from None
            if is_gone(postmaster, 5.0):  # one that starts at this moment may miss a signal: repeat it
                return
    raise ServerError(f"the postmaster (pid {postmaster.pid}) does not end")


def end_orphans(data: Path) -> bool:
    """End what a killed postmaster has left: processes that hold its shared memory, so that no new one can start.

    They notice its death by themselves, unless they are deep in a computation. To be called only when no postmaster
    runs any more. False if there are none.
    """
    found = list(_relatives(data))
    for sign in (signal.SIGQUIT, signal.SIGKILL):
        for process in found:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(sign)
        if all(is_gone(process, 5.0) for process in found):
            break
    return bool(found)
