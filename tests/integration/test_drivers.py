"""How plans' steps go over the wire, in either colour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from rag_pgvector.drivers import adrive, drive
from rag_pgvector.plan import Batch, Execute, Plan, Row, Step, Together, together

Run = Callable[[Plan[Any]], Any]


@pytest.fixture(params=["sync", "async", "no pipelines", "async, no pipelines"])
def run(request: pytest.FixtureRequest, module_database_url: str) -> Run:
    """Runs a plan on a connection of its own, and one more plan to see that the connection is whole."""
    prepare = {"prepare_threshold": None} if "no pipelines" in request.param else {}

    def sync(plan: Plan[Any]) -> Any:
        with psycopg.connect(module_database_url, autocommit=True, **prepare) as conn:
            try:
                return drive(conn, plan)
            finally:
                assert drive(conn, ask("SELECT 3")) == [(3,)]

    async def both(plan: Plan[Any]) -> Any:
        async with await psycopg.AsyncConnection.connect(module_database_url, autocommit=True, **prepare) as conn:
            try:
                return await adrive(conn, plan)
            finally:
                assert await adrive(conn, ask("SELECT 3")) == [(3,)]

    return (lambda plan: asyncio.run(both(plan))) if request.param.startswith("async") else sync


def statement(text: str) -> Execute:
    return Execute(text.encode(), prepare=None)


def ask(*texts: str) -> Plan[list[Row]]:
    steps = [statement(text) for text in texts]
    return (yield steps[0] if len(steps) == 1 else Batch(steps))


def step(one: Step) -> Plan[list[Row]]:
    return (yield one)


def test_early_steps_are_answered_apart(run: Run) -> None:
    told: list[Any] = []
    steps: list[Execute | Batch] = [
        Batch([statement("SELECT 0"), statement("SELECT 1")]),
        statement("SELECT generate_series(2, 3)"),
        statement("SELECT 4 WHERE false"),
        statement("SELECT 5"),
    ]
    assert run(step(Together(steps, 2, told.append))) == [(), ((5,),)]
    assert told == [[[(1,)], [(2,), (3,)]]]
    assert run(step(Together(steps[:2], 2, told.append))) == []
    assert told[1] == told[0]
    assert run(step(Together(steps))) == [((1,),), ((2,), (3,)), (), ((5,),)]


@pytest.mark.timeout(60)  # without the Flush behind the first statement both wait for each other
def test_plans_go_on_while_the_server_works_for_others(module_database_url: str) -> None:
    """What the server does at the moment when the first plan goes on: the second one's statement."""
    seen = []

    def first() -> Plan[str]:
        [(pid,)] = yield statement("SELECT pg_backend_pid()")
        with psycopg.connect(module_database_url) as other:
            seen.extend(other.execute("SELECT state, query FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchall())
        return "first"

    def second() -> Plan[str]:
        yield statement("SELECT pg_sleep(1.5)")
        return "second"

    async def both() -> None:
        async with await psycopg.AsyncConnection.connect(module_database_url, autocommit=True) as conn:
            assert await adrive(conn, together([first(), second()], early=1)) == ["first", "second"]

    with psycopg.connect(module_database_url, autocommit=True) as conn:
        assert drive(conn, together([first(), second()], early=1)) == ["first", "second"]
    asyncio.run(both())
    assert seen == [("active", "SELECT pg_sleep(1.5)")] * 2


@pytest.mark.parametrize("bad", [0, 1, 2, 3])
def test_a_failing_step_is_told_as_it_is(run: Run, caplog: pytest.LogCaptureFixture, bad: int) -> None:
    texts = ["SELECT 4"] * 4
    texts[bad] = "SELECT 1 / 0"
    with caplog.at_level(logging.WARNING), pytest.raises(psycopg.errors.DivisionByZero):
        run(step(Together([statement(text) for text in texts], 2, lambda _: None)))
    with caplog.at_level(logging.WARNING), pytest.raises(psycopg.errors.DivisionByZero):
        run(ask(*texts))
    assert not caplog.records, "psycopg has nothing to log: the error is raised"


def test_an_error_in_between_leaves_the_connection_whole(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: object) -> None:
        raise ValueError("not of the server")

    with pytest.raises(ValueError, match="not of the server"):
        run(step(Together([statement("SELECT 1"), statement("SELECT 2")], 1, fail)))
    assert not caplog.records


def test_prepared_statements_are_found_again(module_database_url: str) -> None:
    """The loop that ends early keeps psycopg's account of what the server has prepared."""
    with psycopg.connect(module_database_url, autocommit=True, prepare_threshold=1) as conn:
        for i in range(8):
            told: list[Any] = []
            one, two = (
                Execute(sql.SQL("SELECT %s::int + {}").format(sql.Literal(n)), (i,), prepare=True) for n in (10, 20)
            )
            assert drive(conn, step(Together([one, two], 1, told.append))) == [((i + 20,),)]
            assert told == [[[(i + 10,)]]]
        [(count,)] = drive(conn, ask("SELECT count(*) FROM pg_prepared_statements"))
        assert count == 2
