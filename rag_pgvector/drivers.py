"""Runs a plan on a connection, in either colour: the only code that sends SQL."""

from __future__ import annotations

from typing import Any, TypeVar

import psycopg

from rag_pgvector.plan import Batch, Execute, Plan, Row, Step

__all__ = ["adrive", "drive"]

T = TypeVar("T")


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
        cursor = conn.execute(step.query, step.params or None, prepare=step.prepare, binary=True)
        # rownumber is None where there are no rows to fetch; description would build an object per column.
        return cursor.fetchall() if cursor.rownumber is not None else []
    if isinstance(step, Batch):
        with conn.pipeline():
            cursors = [conn.execute(s.query, s.params or None, prepare=s.prepare, binary=True) for s in step.steps]
        return cursors[-1].fetchall() if cursors[-1].rownumber is not None else []
    with conn.cursor() as cursor, cursor.copy(step.query) as copy:
        for block in step.blocks:
            copy.write(block)
    return []


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
        cursor = await conn.execute(step.query, step.params or None, prepare=step.prepare, binary=True)
        return await cursor.fetchall() if cursor.rownumber is not None else []
    if isinstance(step, Batch):
        async with conn.pipeline():
            cursors = [
                await conn.execute(s.query, s.params or None, prepare=s.prepare, binary=True) for s in step.steps
            ]
        return await cursors[-1].fetchall() if cursors[-1].rownumber is not None else []
    async with conn.cursor() as cursor, cursor.copy(step.query) as copy:
        for block in step.blocks:
            await copy.write(block)
    return []
