"""Proof that a process is the postmaster of a data folder. A pid in a file proves nothing: pids are used again."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

__all__ = ["find_postmaster"]


def find_postmaster(data: Path, uid: int) -> psutil.Process | None:
    """The running postmaster of ``data``, proven by its owner, its program and its ``-D`` argument; else None.

    ``postmaster.pid`` is only a hint: it may be stale, cut short, or name a process that has nothing to do with us.
    Then all processes are looked through. The object that is returned notices if its pid is used again.
    """
    hint = _pid_of(data)
    if hint is not None:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(hint)
            if _is_postmaster(process, data, uid):
                return process
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != hint and _is_postmaster(process, data, uid) and _listens(process):
                return process
    return None


def _pid_of(data: Path) -> int | None:
    try:
        return int((data / "postmaster.pid").read_text(errors="replace").split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _listens(process: psutil.Process) -> bool:
    """Tells the postmaster from a child that was forked a moment ago, or outlived it, and still shows its arguments."""
    return any(connection.status == psutil.CONN_LISTEN for connection in process.net_connections("tcp"))


def _is_postmaster(process: psutil.Process, data: Path, uid: int) -> bool:
    if process.name() != "postgres" or process.uids().effective != uid or process.status() == psutil.STATUS_ZOMBIE:
        return False
    command = process.cmdline()
    # Children retitle themselves ("postgres: checkpointer"), so only the postmaster still shows its arguments.
    return (
        "-D" in command[:-1]
        and os.path.basename(command[0]) == "postgres"
        and os.path.realpath(command[command.index("-D") + 1]) == os.path.realpath(data)
    )
