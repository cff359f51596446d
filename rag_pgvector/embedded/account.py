"""Who runs the server: the current user, and for root, whom Postgres refuses, an account of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag_pgvector.errors import ServerError

__all__ = ["Account", "server_account"]

#: The system account that root's server gets where ``useradd`` can make one.
_NAME = "rag_pgvector"
#: Nothing of the caller's environment: PG* variables would steer the server, and it outlives the caller's secrets.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


@dataclass(frozen=True, slots=True)
class Account:
    """An operating-system user. ``switch``: it is not the current one, which is root."""

    name: str
    uid: int
    gid: int
    switch: bool

    def popen_options(self) -> dict[str, Any]:
        """What makes ``subprocess`` run a program as this user, alone in its session, from a folder it may stand in."""
        options: dict[str, Any] = {"cwd": "/", "env": _ENVIRONMENT, "start_new_session": True, "umask": 0o077}
        if self.switch:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def run(
        self,
        *command: str | os.PathLike[str],
        stdin: str = "",
        pass_fds: Sequence[int] = (),
        timeout: float | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this user to its end.

        Raises OSError where this process may not change to the user, or the program cannot be executed.
        """
        try:
            return subprocess.run(
                [os.fspath(part) for part in command],
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=timeout,
                pass_fds=pass_fds,
                **self.popen_options(),
            )
        except subprocess.SubprocessError as error:
            raise OSError(f"{os.fspath(command[0])}: {error}") from error

    def can_enter(self, folder: Path) -> bool:
        """Whether this user can stand in the folder. Tried, not computed: access lists and mounts have their say."""
        return self.run("/bin/sh", "-c", 'cd -- "$1"', "sh", folder).returncode == 0


def server_account(data: Path) -> Account:
    """The owner of the data folder; before there is one, the current user, or for root a system account or ``nobody``.

    Raises ServerError where that user cannot run Postgres.
    """
    if os.geteuid() != 0:
        try:
            return Account(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid(), switch=False)
        except KeyError:
            raise ServerError(
                f"the current user (uid {os.geteuid()}) has no name in the password database, which Postgres needs: "
                "add one, or set DATABASE_URL to a server"
            ) from None
    try:
        owner = data.stat()
    except FileNotFoundError:
        pass
    else:
        if owner.st_uid == 0:
            raise ServerError(
                f"{data} belongs to root, as whom Postgres does not run: give it to another user by chown"
            )
        return Account(_name_of(owner.st_uid), owner.st_uid, owner.st_gid, switch=True)
    for entry in (_system_account(), _entry("nobody")):
        if entry is not None and entry.pw_uid != 0:
            return Account(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)
    raise ServerError("Postgres does not run as root, and no other account exists: run as another user")


def _system_account() -> pwd.struct_passwd | None:
    tool = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    for _ in range(10):
        if (entry := _entry(_NAME)) is not None or tool is None:
            return entry
        made = subprocess.run(
            [tool, "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", _NAME],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if made.returncode != 0:  # perhaps another process holds the lock of /etc/passwd
            time.sleep(0.1)
    return _entry(_NAME)


def _entry(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
