"""The server's settings, from the memory and the disk of the machine or of the container."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

__all__ = ["configuration", "server_settings", "usable_memory"]

_MB = 1 << 20
_GB = 1 << 30


def server_settings(memory: int, free_disk: int, free_shm: int | None) -> dict[str, str]:
    """Settings of postgresql.conf. All sizes in bytes; ``free_shm`` is that of /dev/shm, None where there is none.

    Shared buffers follow the memory at an eighth, not the usual quarter, since the machine is not the server's alone.
    """
    maintenance = _within(memory // 8, 64 * _MB, 2 * _GB)
    settings = {
        "max_connections": "100",
        "shared_buffers": _size(_within(memory // 8, 32 * _MB, 2 * _GB)),
        "effective_cache_size": _size(max(memory // 2, 64 * _MB)),
        "maintenance_work_mem": _size(maintenance),
        "max_wal_size": _size(_within(free_disk // 8, 256 * _MB, 4 * _GB)),
        "wal_level": "minimal",  # nothing replicates from it, and COPY into a new table skips the log
        "max_wal_senders": "0",
        "jit": "off",  # the wheel has no LLVM
        "random_page_cost": "1.1",
        "password_encryption": "scram-sha-256",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "default_text_search_config": "pg_catalog.english",
        "log_line_prefix": "%m [%p] ",
        # Neither statements nor rows in the log: they hold the users' texts, or a password in ALTER ROLE.
        "log_min_error_statement": "panic",
        "log_checkpoints": "off",
        "log_error_verbosity": "terse",
    }
    if sys.platform == "linux":
        # After a crash, before recovery: one system call in place of one for each file, 5 s less on a busy disk.
        settings["recovery_init_sync_method"] = "syncfs"
    if free_shm is not None and free_shm < maintenance + 64 * _MB:
        # A parallel index build takes all of maintenance_work_mem there, and containers have 64 MB. System V memory,
        # of which Postgres needs a little anyway, has no such limit on Linux.
        settings["dynamic_shared_memory_type"] = "sysv"
    return settings


def configuration(data: Path) -> str:
    """The text of the configuration file for this machine. ``data`` lies on the disk whose space counts."""
    settings = server_settings(usable_memory(), shutil.disk_usage(data).free, _free_shm())
    return _rendered(settings)


def usable_memory(total: int | None = None, root: Path = Path("/")) -> int:
    """Bytes of memory of the machine, or the lowest limit of the control groups (v1, v2) that this process is in.

    ``total`` and ``root`` stand in for the machine's memory and file system.
    """
    lowest = int(psutil.virtual_memory().total) if total is None else total
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return lowest
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" and not controllers:
            top, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            top, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        folder = top / group.lstrip("/")
        for place in (folder, *folder.parents):
            with contextlib.suppress(OSError, ValueError):  # "max", or no limit at this level
                lowest = min(lowest, int((place / name).read_text(encoding="ascii")))
            if place == top:
                break
    return lowest


def _free_shm() -> int | None:
    """Free bytes of /dev/shm; 0 where a Linux has none, None on systems that do not know it."""
    if not Path("/proc/self").exists():
        return None
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _rendered(settings: Mapping[str, str]) -> str:
    lines = ["# Written anew by rag_pgvector at every start. Your own settings: ALTER SYSTEM SET name = value."]
    lines += [f"{name} = '{value}'" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def _size(value: int) -> str:
    return f"{value // _MB}MB"


def _within(value: int, least: int, most: int) -> int:
    return max(least, min(most, value))
