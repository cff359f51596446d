"""The half of a collection that looks after its vector index."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TypeAlias

from rag_pgvector import index, schema
from rag_pgvector.compound import CompoundSearches
from rag_pgvector.errors import ConfigError, DatabaseError, PermissionDeniedError, RagPgvectorError, TenantError
from rag_pgvector.intake import take_in
from rag_pgvector.types import IndexProgress, IndexReport, IndexStatus

__all__ = ["Indexed"]

Tell: TypeAlias = Callable[[IndexProgress], None]

_LEAST_MEMORY = 1 << 20
_POLL_SECONDS = 0.5
#: SQLSTATEs of shared memory that could not be had: disk_full, out_of_memory.
_NO_SHARED_MEMORY = ("53100", "53200")


class Indexed(CompoundSearches):
    """What ``Collection`` does about its index. Searches are exact, and right, while there is none that is valid."""

    def build_index(self, *, min_rows: int = 0, memory: int | None = None, progress: Tell | None = None) -> IndexReport:
        """Build the vector index, or rebuild one that was left invalid; searches and writes go on meanwhile.

        Of several builders at the same moment one works and the others wait for it. A role that may not create indexes
        (and no ADMIN_DATABASE_URL): the wish is recorded and the report says ``wanted``.

        Args:
            min_rows: Leave a smaller collection without, as ``ingest`` does: it is searched exactly.
            memory: Bytes for the build (``maintenance_work_mem``); ``None`` leaves the server's setting. A graph that
                does not fit takes several times as long, of which a warning tells.
            progress: Called about twice a second, from another thread.
        """
        return self._build(index.BuildOptions(min_rows=min_rows, memory=_checked(memory)), progress)

    async def abuild_index(
        self, *, min_rows: int = 0, memory: int | None = None, progress: Tell | None = None
    ) -> IndexReport:
        return await asyncio.to_thread(self.build_index, min_rows=min_rows, memory=memory, progress=progress)

    def rebuild_index(self, *, memory: int | None = None, progress: Tell | None = None) -> IndexReport:
        """Build the index anew, as ``build_index`` does; a valid one serves until the new one stands.

        After many deletes, or when the rows have outgrown the lists of an IVFFlat index.
        """
        return self._build(index.BuildOptions(rebuild=True, memory=_checked(memory)), progress)

    async def arebuild_index(self, *, memory: int | None = None, progress: Tell | None = None) -> IndexReport:
        return await asyncio.to_thread(self.rebuild_index, memory=memory, progress=progress)

    def drop_index(self) -> IndexReport:
        """Drop the index, and what interrupted builds left; searches go on, exactly.

        Raises TenantError on an object that is bound to a tenant: the index is everybody's.
        """
        if self._table.tenant:
            raise TenantError(
                f"drop_index() slows every tenant's searches, and this object is bound to {self._table.tenant!r}: use "
                "the unbound collection"
            )
        report = self._db.run_admin(lambda: index.drop(self._table), atomic=False)
        self._estimates.forget()
        return report

    async def adrop_index(self) -> IndexReport:
        return await asyncio.to_thread(self.drop_index)

    def index_keywords(self) -> int:
        """List the rows that plain SQL wrote in the keyword index, and merge its segments; returns how many they were.

        Of the tenant that the object is bound to, else of all: then the administrator's role has to see them. Raises
        PermissionDeniedError.
        """
        return take_in(self._db, self._table) if self._table.layout.native else 0

    async def aindex_keywords(self) -> int:
        return await asyncio.to_thread(self.index_keywords)

    def index_status(self) -> IndexStatus:
        """How the index is now: its state, kind and size, and the memory that building it takes."""
        return self._db.run(lambda: index.status(self._table), retry=True)

    async def aindex_status(self) -> IndexStatus:
        return await self._db.arun(lambda: index.status(self._table), retry=True)

    # -------------------------------------------------------------------------------------------------- building

    def _build(self, options: index.BuildOptions, tell: Tell | None) -> IndexReport:
        db = self._db
        pooled = db.admin_is_pooled()
        options = replace(options, session=not pooled, shared_free=_shared_free() if db.is_local else None)
        if pooled and options.memory is not None:
            raise ConfigError(
                "memory= is a setting of one connection, and this is a pooler's: set ADMIN_DATABASE_URL to the "
                "server's own address"
            )
        try:
            with self._told(tell):
                try:
                    report = db.run_admin(lambda: index.build(self._table, options), atomic=False)
                except DatabaseError as error:
                    if error.sqlstate not in _NO_SHARED_MEMORY or pooled:
                        raise
                    self._give_up()
                    serial = replace(options, parallel=False)
                    report = db.run_admin(lambda: index.build(self._table, serial), atomic=False)
        except DatabaseError as error:
            self._give_up()
            if db.run(lambda: schema.is_gone(self._table), retry=True):
                raise schema.dropped(self._table) from error
            if not isinstance(error, PermissionDeniedError):
                raise
            db.run(lambda: index.set_wanted(self._table, True), atomic=True)
            report = IndexReport(
                state="wanted",
                name=self._table.index_name,
                reason=f"{error}. Search stays exact until a role that may builds it",
            )
        except BaseException:
            self._give_up()
            raise
        self._estimates.forget()
        return report

    def _give_up(self) -> None:
        """Let others build at once; else they wait some seconds."""
        with suppress(RagPgvectorError):
            self._db.run_admin(lambda: index.release(self._table), atomic=False)

    @contextmanager
    def _told(self, tell: Tell | None) -> Iterator[None]:
        """Report progress from a thread, on connections of its own."""
        if tell is None:
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while not over.wait(_POLL_SECONDS):
                with suppress(RagPgvectorError):  # the builder will say what is wrong
                    found = self._db.run_admin(lambda: index.progress(self._table), atomic=False)
                    if found is not None:
                        tell(found)

        thread = threading.Thread(target=watch, name="rag_pgvector index progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _checked(memory: int | None) -> int | None:
    if memory is not None and not (type(memory) is int and memory >= _LEAST_MEMORY):
        raise ConfigError(f"memory={memory!r}: use a number of bytes, at least {_LEAST_MEMORY:,}, or None")
    return memory


def _shared_free() -> int | None:
    """Free bytes of this machine's /dev/shm; None where it has none."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
