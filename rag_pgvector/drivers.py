"""Runs a plan on a connection, in either colour: the only code that sends SQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.generators import fetch_many, send
from psycopg.rows import tuple_row

from rag_pgvector.plan import Batch, Compute, CopyIn, Execute, Plan, Row, Step, Together

__all__ = ["adrive", "drive"]

T = TypeVar("T")

#: Rows that asyncio makes Python's of the server's without letting anybody else on: about 10 ms for those of segments.
_AT_ONCE = 500
_NOT_BY_COPY = (psycopg.errors.UniqueViolation, psycopg.errors.FeatureNotSupported)


def drive(conn: psycopg.Connection[Any], plan: Plan[T]) -> T:
    rows: list[Row] | None = None
    while True:
        try:
            step = plan.send(rows)  # type: ignore[arg-type]  # the first send of a generator is None
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        rows = _perform(conn, step)


def _perform(conn: psycopg.Connection[Any], step: Step) -> list[Row]:
    if isinstance(step, Execute):
        return _rows(_execute(conn, step))
    if isinstance(step, Batch):
        with _at_once(conn):
            cursors = [_execute(conn, each) for each in step.steps]
        return _rows(cursors[-1])
    if isinstance(step, Together):
        return [tuple(rows) for rows in _together(conn, step)]
    if isinstance(step, Compute):
        return [(step.work(),)]
    if not step.or_undo:
        _copy(conn, step)
        return []
    try:
        with conn.transaction():
            _copy(conn, step)
    except _NOT_BY_COPY:
        return [(False,)]
    return [(True,)]


@contextmanager
def _at_once(conn: psycopg.Connection[Any]) -> Iterator[psycopg.Pipeline | None]:
    """A pipeline, or a transaction where the connection must not have one."""
    if _no_pipeline(conn):
        with conn.transaction():
            yield None
        return
    with conn.pipeline() as pipeline:
        try:
            yield pipeline
        except psycopg.Error:
            # The statements behind the one that failed were skipped: psycopg would log that it ignores this.
            with suppress(psycopg.Error):
                pipeline.sync()
            raise


def _together(conn: psycopg.Connection[Any], step: Together) -> list[list[Row]]:
    with _at_once(conn) as pipeline:
        cursors = [_last(conn, each) for each in step.steps[: step.early]]
        if pipeline is not None and cursors:
            conn.pgconn.send_flush_request()
        rest = [_last(conn, each) for each in step.steps[step.early :]]
        if step.meanwhile is not None:
            if pipeline is not None:
                conn.wait(_until(pipeline, cursors[-1]))
            step.meanwhile([_rows(cursor) for cursor in cursors])
    return [_rows(cursor) for cursor in rest]


def _last(conn: psycopg.Connection[Any], step: Execute | Batch) -> psycopg.Cursor[Row]:
    return [_execute(conn, each) for each in _parts(step)][-1]


def _copy(conn: psycopg.Connection[Any], step: CopyIn) -> None:
    with psycopg.Cursor(conn) as cursor, cursor.copy(step.query) as copy:
        for block in step.blocks:
            copy.write(block)


def _execute(conn: psycopg.Connection[Any], step: Execute) -> psycopg.Cursor[Row]:
    # Not conn.execute(): a caller's pool may give out dictionaries, or cursors that bind on the client.
    cursor = (psycopg.RawCursor if step.numbered else psycopg.Cursor)(conn, row_factory=tuple_row)
    return cursor.execute(step.query, step.params or None, prepare=step.prepare, binary=True)


def _rows(cursor: psycopg.Cursor[Row]) -> list[Row]:
    # rownumber is None where there are no rows to fetch; description would build an object per column.
    return cursor.fetchall() if cursor.rownumber is not None else []


async def adrive(conn: psycopg.AsyncConnection[Any], plan: Plan[T]) -> T:
    rows: list[Row] | None = None
    while True:
        try:
            step = plan.send(rows)  # type: ignore[arg-type]
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        rows = await _aperform(conn, step)


async def _aperform(conn: psycopg.AsyncConnection[Any], step: Step) -> list[Row]:
    if isinstance(step, Execute):
        return await _arows(await _aexecute(conn, step))
    if isinstance(step, Batch):
        async with _aat_once(conn):
            cursors = [await _aexecute(conn, each) for each in step.steps]
        return await _arows(cursors[-1])
    if isinstance(step, Together):
        return [tuple(rows) for rows in await _atogether(conn, step)]
    if isinstance(step, Compute):
        return [(await asyncio.to_thread(step.work),)]
    if not step.or_undo:
        await _acopy(conn, step)
        return []
    try:
        async with conn.transaction():
            await _acopy(conn, step)
    except _NOT_BY_COPY:
        return [(False,)]
    return [(True,)]


@asynccontextmanager
async def _aat_once(conn: psycopg.AsyncConnection[Any]) -> AsyncIterator[psycopg.AsyncPipeline | None]:
    if _no_pipeline(conn):
        async with conn.transaction():
            yield None
        return
    async with conn.pipeline() as pipeline:
        try:
            yield pipeline
        except psycopg.Error:
            with suppress(psycopg.Error):
                await pipeline.sync()
            raise


async def _atogether(conn: psycopg.AsyncConnection[Any], step: Together) -> list[list[Row]]:
    async with _aat_once(conn) as pipeline:
        cursors = [await _alast(conn, each) for each in step.steps[: step.early]]
        if pipeline is not None and cursors:
            conn.pgconn.send_flush_request()
        rest = [await _alast(conn, each) for each in step.steps[step.early :]]
        if step.meanwhile is not None:
            if pipeline is not None:
                await conn.wait(_until(pipeline, cursors[-1]))
            step.meanwhile([await _arows(cursor) for cursor in cursors])
    return [await _arows(cursor) for cursor in rest]


async def _alast(conn: psycopg.AsyncConnection[Any], step: Execute | Batch) -> psycopg.AsyncCursor[Row]:
    return [await _aexecute(conn, each) for each in _parts(step)][-1]


async def _acopy(conn: psycopg.AsyncConnection[Any], step: CopyIn) -> None:
    async with psycopg.AsyncCursor(conn) as cursor, cursor.copy(step.query) as copy:
        blocks = iter(step.blocks)
        while (block := await asyncio.to_thread(next, blocks, None)) is not None:
            await copy.write(block)


async def _aexecute(conn: psycopg.AsyncConnection[Any], step: Execute) -> psycopg.AsyncCursor[Row]:
    cursor = (psycopg.AsyncRawCursor if step.numbered else psycopg.AsyncCursor)(conn, row_factory=tuple_row)
    return await cursor.execute(step.query, step.params or None, prepare=step.prepare, binary=True)


async def _arows(cursor: psycopg.AsyncCursor[Row]) -> list[Row]:
    if cursor.rownumber is None:
        return []
    if cursor.rowcount <= _AT_ONCE:
        return await cursor.fetchall()
    rows: list[Row] = []
    while some := await cursor.fetchmany(_AT_ONCE):
        rows += some
        await asyncio.sleep(0)
    return rows


def _until(
    pipeline: psycopg.Pipeline | psycopg.AsyncPipeline, cursor: psycopg.Cursor[Any] | psycopg.AsyncCursor[Any]
) -> PQGen[None]:
    """Reads a pipeline's results until this cursor has its own.

    psycopg reads those of all statements at once, and waits for the last; this is its loop (``_fetch_gen``), which ends
    earlier. It goes on with what is left when the pipeline is closed.
    """
    yield from send(pipeline.pgconn)
    while cursor.pgresult is None and pipeline.result_queue:
        results = yield from fetch_many(pipeline.pgconn)
        pipeline._process_results(pipeline.result_queue.popleft(), results)


def _parts(step: Execute | Batch) -> Sequence[Execute]:
    return step.steps if isinstance(step, Batch) else [step]


def _no_pipeline(conn: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Whether the connection is made for PgBouncer in transaction mode.

    A pipeline ends in Sync and Flush. Where the Flush reaches PgBouncer after the server's answer, it links the
    server's connection to a client that asks nothing (its issue 759) and others wait for ever: 15 of 9,900
    pipelines with results of several KB, none of 31,000 transactions (PgBouncer 1.18).
    """
    return conn.prepare_threshold is None
