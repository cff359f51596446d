"""The folder of one embedded server, and the small files in it.

    <home>/                    ours alone; as root open for passing through, since the server's user must
        lock                   held while a process starts or stops the server
        running                held by the server's processes themselves, as long as one of them lives
        password, state.json   0600
        postgresql.conf, log   log.old is the end of the log before it was cut
        binaries/              copies of the programs, where the server's user cannot reach the originals
        server/                0700, the server's user's: data (PGDATA) and run (the Unix socket)

The kernel frees both locks when their holders die, so that no kill leaves a lock behind.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from rag_pgvector.errors import ServerError

__all__ = ["Home", "find_home"]

_ROOT_HOME = Path("/var/lib/rag_pgvector")
#: How long another process may be busy starting the server: crash recovery of a large database takes minutes.
_LOCK_SECONDS = 3600.0
#: Longest path of a Unix socket on macOS, the shortest of all, less the end.
_SOCKET_PATH_BYTES = 103
_LOG_BYTES = 8 << 20
_LOG_KEPT_BYTES = 1 << 20


def find_home(home: Path | None) -> Home:
    """The home that is meant: the argument, else RAG_PGVECTOR_HOME, else the platform's folder for user data.

    As root /var/lib/rag_pgvector: the server's user cannot enter root's home. Nothing is created.
    """
    if home is None:
        given = os.environ.get("RAG_PGVECTOR_HOME")
        if given:
            home = Path(given)
        else:
            home = _ROOT_HOME if os.geteuid() == 0 else platformdirs.user_data_path("rag_pgvector")
    path = Path(home).expanduser().resolve()
    if not str(path).isprintable():
        raise ServerError(f"{str(path)!r} holds a control character: choose another folder by RAG_PGVECTOR_HOME")
    return Home(path)


@dataclass(frozen=True, slots=True)
class Home:
    """The paths, and what is read from and written to the files."""

    path: Path

    @property
    def server(self) -> Path:
        return self.path / "server"

    @property
    def data(self) -> Path:
        return self.server / "data"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def conf(self) -> Path:
        return self.path / "postgresql.conf"

    @property
    def binaries(self) -> Path:
        return self.path / "binaries"

    @property
    def socket_dir(self) -> Path | None:
        """The folder of the Unix socket; None where the path would be too long for one."""
        folder = self.server / "run"
        return folder if len(os.fsencode(folder)) + len("/.s.PGSQL.65535") <= _SOCKET_PATH_BYTES else None

    def exists(self) -> bool:
        """Whether there is a home of ours. Raises ServerError if it is another user's."""
        try:
            owner = self.path.stat().st_uid
        except (FileNotFoundError, NotADirectoryError):
            return False
        if owner != os.geteuid():
            raise ServerError(
                f"{self.path} belongs to uid {owner}, not to uid {os.geteuid()}, the current user: "
                "set RAG_PGVECTOR_HOME to a folder of your own, or to a new one inside it"
            )
        return True

    def create(self) -> None:
        """Make the folder and what is missing above it. The mode of a folder that is there already is left alone."""
        is_root = os.geteuid() == 0
        missing: list[Path] = []
        for folder in (self.path, *self.path.parents):
            if folder.exists():
                break
            missing.append(folder)
        for folder in reversed(missing):
            mode = 0o700 if folder == self.path and not is_root else 0o755
            try:
                folder.mkdir(mode=mode)
            except FileExistsError:  # another process is as quick
                continue
            if is_root:  # whatever the umask: the server's user passes through
                folder.chmod(mode)
        self.exists()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Only one process starts or stops the server at a time."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            descriptor = self._try_lock("lock")
            if descriptor is not None:
                break
            if time.monotonic() > deadline:
                raise ServerError(f"another process has been starting the server for an hour: see {self.log}")
            time.sleep(0.01)
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def try_lock_running(self) -> int | None:
        """The lock that the server's processes inherit, as a file descriptor; None if one of them still lives.

        It is also seen from another container that has mounted this folder, where no pid tells anything.
        """
        return self._try_lock("running")

    def _try_lock(self, name: str) -> int | None:
        path = self.path / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except (BlockingIOError, FileNotFoundError):  # held, or somebody removed the file meanwhile
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def password(self) -> str | None:
        """The password, or None if its file is missing, empty or damaged."""
        try:
            text = (self.path / "password").read_text(encoding="utf-8").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return text if text and text.isprintable() else None

    def set_password(self, password: str) -> None:
        """Write the password, all or nothing, for our eyes only."""
        self._write("password", password + "\n", 0o600)

    def port(self) -> int | None:
        """The port of the last start; None if that is not known."""
        port = self._state().get("port")
        return port if type(port) is int and 0 < port < 65536 else None

    def version(self) -> str | None:
        """The version of Postgres at the last start; None if that is not known."""
        version = self._state().get("version")
        return version if isinstance(version, str) else None

    def remember(self, port: int, version: str) -> None:
        """Write what the next start and ``status`` are to know."""
        state = {"port": port, "version": version}
        if state != self._state():
            self._write("state.json", json.dumps(state) + "\n", 0o600)

    def _state(self) -> dict[str, object]:
        try:
            state = json.loads((self.path / "state.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        return state if isinstance(state, dict) else {}

    def write_conf(self, text: str) -> None:
        """Write the server's configuration file, which the server's user may read."""
        self._write("postgresql.conf", text, 0o644)

    def _write(self, name: str, text: str, mode: int) -> None:
        unfinished = self.path / f".{name}.{secrets.token_hex(4)}"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            unfinished.replace(self.path / name)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def open_log(self) -> int:
        """The log as a file descriptor that appends. Where it grew too long, only its end is kept, in log.old."""
        descriptor = os.open(self.log, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size > _LOG_BYTES:
                (self.path / "log.old").write_bytes(os.pread(descriptor, _LOG_KEPT_BYTES, size - _LOG_KEPT_BYTES))
                os.ftruncate(descriptor, 0)  # a running server appends, so it goes on at the new end
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def reason_since(self, begin: int) -> str:
        """The last reason in the log after byte ``begin``, in one line."""
        with contextlib.suppress(OSError), self.log.open("rb") as file:
            file.seek(begin)
            return last_reason(file.read(1 << 20).decode("utf-8", errors="replace"))
        return ""


def last_reason(text: str) -> str:
    """The line that says why: the last one of a level that ends a program, else the last one.

    A full disk goes before what follows from it ("PANIC:  cannot abort transaction").
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    severe = [line for line in lines if any(word in line for word in ("PANIC:", "FATAL:", "error:", "ERROR:"))]
    full = [line for line in severe if line.endswith(("No space left on device", "quota exceeded"))]
    if full:
        return f"{full[-1]}: make room, or set RAG_PGVECTOR_HOME to a folder with room"
    return (severe or lines or [""])[-1]
