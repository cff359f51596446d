"""PgBouncer in transaction mode, with one connection to the server for all who come."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

__all__ = ["pgbouncer"]

_CONFIG = """[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 1
max_client_conn = 200
server_reset_query =
admin_users = {login}
logfile = {folder}/log
pidfile = {folder}/pid
"""


@contextmanager
def pgbouncer(database_url: str, login: str) -> Iterator[str]:
    """The URL of that database for ``login``, through a pooler that ends with the block."""
    binary = shutil.which("pgbouncer", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if binary is None:
        pytest.skip("pgbouncer is not installed (apt-get install pgbouncer)")
    server = conninfo_to_dict(database_url)
    password = str(server.get("password") or "unused")
    with tempfile.TemporaryDirectory(prefix="rag_pgvector_pooler_") as name, socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        listen = chosen.getsockname()[1]
        folder = Path(name)
        (folder / "users").write_text(f'"{login}" "{password}"\n')
        config = folder / "ini"
        config.write_text(
            _CONFIG.format(
                host=server.get("host") or "/var/run/postgresql",
                port=server.get("port") or 5432,
                listen=listen,
                folder=folder,
                login=login,
            )
        )
        nobody = pwd.getpwnam("nobody") if os.getuid() == 0 else None  # it refuses to run as root
        if nobody is not None:
            for path in (folder, *folder.iterdir()):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        chosen.close()
        process = subprocess.Popen(
            [binary, "-q", str(config)],
            user=None if nobody is None else nobody.pw_uid,
            group=None if nobody is None else nobody.pw_gid,
            extra_groups=None if nobody is None else [],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = make_url(database_url).set(username=login, password=password, host="127.0.0.1", port=listen)
        try:
            yield _answering(url.render_as_string(hide_password=False), process, folder)
        finally:
            process.terminate()
            process.wait(timeout=10)


def _answering(url: str, process: subprocess.Popen[bytes], folder: Path) -> str:
    """The URL, once somebody listens there; that the login exists is not asked."""
    host = conninfo_to_dict(url)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection((str(host["host"]), int(str(host["port"]))), timeout=1):
            return url
        time.sleep(0.05)
    log = folder / "log"
    raise psycopg.OperationalError(f"pgbouncer does not answer: {log.read_text() if log.exists() else 'no log'}")
