"""Sans-IO database operations.

A plan is a generator that yields steps and is sent their rows; ``Database.run`` and ``Database.arun`` are the only two
drivers, so that synchronous and asynchronous callers run the same SQL, and a unit test can drive a plan by hand. The
method is that of psycopg's own generators and of httpx's ``auth_flow``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias, TypeVar

from psycopg import sql

__all__ = [
    "Batch",
    "Compute",
    "CopyIn",
    "Execute",
    "Plan",
    "Row",
    "SetLocal",
    "Step",
    "Together",
    "computed",
    "numbered",
    "set_local",
    "together",
]

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Execute:
    """One statement. It is answered with its rows (``[]`` for a statement that returns none)."""

    query: sql.SQL | sql.Composed | bytes
    params: Sequence[Any] = ()
    #: True prepares at once, None after five uses, False never (statements that run once, such as DDL).
    prepare: bool | None = None
    #: The placeholders are $1, $2 ... as the server reads them; else %s, for which psycopg reads a query of more than
    #: 4096 bytes anew at every call.
    numbered: bool = False


def numbered(query: bytes) -> bytes:
    """A query with its placeholders ``%s`` as $1, $2 ...; it must hold no other %."""
    first, *rest = query.split(b"%s")
    return first + b"".join(b"$%d%s" % (i, part) for i, part in enumerate(rest, 1))


@dataclass(frozen=True, slots=True)
class SetLocal(Execute):
    """Settings for the rest of the transaction. ``calls`` is the query without its SELECT.

    The fence joins those of a pipeline's first step with its own, which saves a statement.
    """

    calls: bytes = b""


def set_local(settings: Mapping[str, str]) -> SetLocal:
    """``set_config(name, value, true)`` for each; values are bound, names are the program's own."""
    calls = _calls(tuple(settings))
    return SetLocal(b"SELECT " + calls, tuple(settings.values()), calls=calls)


@lru_cache(maxsize=64)
def _calls(names: tuple[str, ...]) -> bytes:
    call = sql.SQL("set_config({}, %s, true)")
    return sql.SQL(", ").join(call.format(sql.Literal(name)) for name in names).as_bytes(None)


@dataclass(frozen=True, slots=True)
class Batch:
    """Statements sent in one pipeline: one round trip, one implicit transaction. Answered with the last one's rows."""

    steps: Sequence[Execute]


@dataclass(frozen=True, slots=True)
class CopyIn:
    """COPY ... FROM STDIN (FORMAT BINARY). Answered with ``[]``. Only inside an atomic run.

    ``blocks`` are pieces of the binary format, header and trailer among them; making one may take long.
    """

    query: sql.Composed
    blocks: Iterable[bytes]
    #: Where a key is taken, or COPY cannot fill the table (row-level security), undo this step alone and answer
    #: ``[(False,)]``, else ``[(True,)]``.
    or_undo: bool = False


@dataclass(frozen=True, slots=True)
class Compute:
    """Work in Python that takes long: an event loop gives it to a thread. Answered with one row of its result."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Together:
    """Steps of several plans sent in one pipeline: one round trip, one implicit transaction.

    Answered with one "row" per step: the tuple of that step's rows.
    """

    steps: Sequence[Execute | Batch]
    #: The first ``early`` steps' rows are given to ``meanwhile`` and to nobody else (the answer begins after them):
    #: where the connection has pipelines, while the server is at work on the other steps.
    early: int = 0
    meanwhile: Callable[[list[list[Row]]], None] | None = None


Step: TypeAlias = Execute | Batch | Compute | CopyIn | Together
Plan: TypeAlias = Generator[Step, list[Row], T]


def computed(work: Callable[[], T]) -> Plan[T]:
    """What ``work`` returns, without holding up an event loop."""
    [(result,)] = yield Compute(work)
    return result  # type: ignore[no-any-return]


def together(plans: Sequence[Plan[T]], *, early: int = 0) -> Plan[list[T]]:
    """Plans that only read, side by side: all their first steps in one round trip, then all their second ones ...

    The settings of one step hold for those sent after it in the same round trip. The first ``early`` plans go on while
    the server is at work for the others.
    """
    results: dict[int, T] = {}
    waiting: dict[int, Execute | Batch] = {}

    def advance(i: int, reply: list[Row] | None) -> None:
        try:
            step = plans[i].send(reply)  # type: ignore[arg-type]  # the first send of a generator is None
        except StopIteration as stop:
            results[i] = stop.value
            return
        if not isinstance(step, (Execute, Batch)):
            raise AssertionError(f"{type(step).__name__} does not go together with other steps")
        waiting[i] = step

    def advance_all(asked: Sequence[int], replies: Iterable[Iterable[Row]]) -> None:
        for i, reply in zip(asked, replies, strict=True):
            advance(i, list(reply))

    for i in range(len(plans)):
        advance(i, None)
    while waiting:
        steps, waiting = dict(sorted(waiting.items())), {}
        first, rest = [i for i in steps if i < early], [i for i in steps if i >= early]
        if first and rest:
            replies = yield Together(list(steps.values()), len(first), partial(advance_all, first))
            advance_all(rest, replies)
        else:
            advance_all(list(steps), (yield Together(list(steps.values()))))
    return [results[i] for i in range(len(plans))]
