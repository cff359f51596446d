"""Making a database cluster (PGDATA), and giving it a new password."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from pathlib import Path

from psycopg import sql

from rag_pgvector.embedded.account import Account
from rag_pgvector.embedded.binaries import Binaries
from rag_pgvector.embedded.home import Home, last_reason
from rag_pgvector.errors import ServerError

__all__ = ["USER", "prepare_cluster", "prepare_folders", "reset_password"]

#: The superuser of the cluster.
USER = "postgres"


def prepare_folders(home: Home, account: Account) -> None:
    """Make the folders of the server's user. Raises ServerError where that user cannot get there."""
    for folder in (home.server, home.socket_dir):
        if folder is not None and not folder.exists():
            _make(folder, account)
    if not account.can_enter(home.server):
        raise ServerError(
            f"user {account.name!r}, whom Postgres runs as, cannot enter {home.server}{_closed_folder(home.path)}: "
            "set RAG_PGVECTOR_HOME to a folder that this user can reach (no folder's permissions are changed for it)"
        )


def prepare_cluster(home: Home, account: Account, binaries: Binaries) -> None:
    """Make the cluster if it is missing. Called with the home locked.

    ``initdb`` works in a folder with another name, which becomes ``data`` when it is whole: a kill leaves nothing
    half-made. An ``initdb`` that outlived its killed caller never gets so far.

    Raises ServerError.
    """
    for leftover in home.server.glob("data.new*"):
        shutil.rmtree(leftover, ignore_errors=True)
    if not home.data.exists():
        _initdb(home, account, binaries)
    try:
        major = (home.data / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise ServerError(f"{home.data} is no Postgres cluster: move it away, or set RAG_PGVECTOR_HOME") from None
    if major != binaries.major:
        raise ServerError(
            f"{home.data} was made by PostgreSQL {major}, and the installed one is {binaries.version}: install the "
            "package that made it and move the data by pg_dump, or set RAG_PGVECTOR_HOME to a new folder"
        )


def _make(folder: Path, account: Account) -> None:
    folder.mkdir(mode=0o700)
    if account.switch:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)


def _initdb(home: Home, account: Account, binaries: Binaries) -> None:
    password = home.password()
    if password is None:
        password = secrets.token_urlsafe(24)
        home.set_password(password)
    new = home.server / f"data.new{secrets.token_hex(4)}"
    _make(new, account)
    data, password_file = new / "data", new / "password"
    try:
        with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password + "\n")
            if account.switch:
                os.fchown(file.fileno(), account.uid, account.gid)
        done = account.run(
            binaries.folder / "initdb",
            *("-D", data, "-U", USER, "--auth=scram-sha-256", f"--pwfile={password_file}"),
            # The same on every machine: no locale of the system's, comparison by code point, Unicode letters.
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            # One system call in place of a thousand: 0.7 s against 2.2 on a busy disk.
            *(["--sync-method=syncfs"] if sys.platform == "linux" else []),
        )
        if done.returncode != 0:
            raise ServerError(f"initdb failed in {home.server}: {last_reason(done.stderr or done.stdout)}")
        data.rename(home.data)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def reset_password(home: Home, account: Account, binaries: Binaries, running: int) -> None:
    """Give the superuser a new password, since the file that held it is lost. No server runs meanwhile.

    In single-user mode: a cluster that lets nobody in without a password offers no other way.
    """
    password = secrets.token_urlsafe(24)
    # Single-user mode reads a line, and binds nothing.
    alter = sql.SQL("ALTER ROLE {} PASSWORD {}\n").format(sql.Identifier(USER), sql.Literal(password))
    done = account.run(
        binaries.folder / "postgres",
        *("--single", "-D", home.data, "-c", f"config_file={home.conf}", "-c", "exit_on_error=on", "postgres"),
        stdin=alter.as_string(None),
        pass_fds=(running,),
    )
    if done.returncode != 0:
        raise ServerError(f"the server's lost password could not be replaced: {last_reason(done.stderr)}")
    home.set_password(password)


def _closed_folder(path: Path) -> str:
    """The first folder on the way that others may not enter, as far as its mode tells."""
    for folder in reversed((path, *path.parents)):
        if not folder.stat().st_mode & 0o001:
            return f" (because of {folder})"
    return ""
