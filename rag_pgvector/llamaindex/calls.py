"""What a store asks of its collection, written once for both colours.

An operation is a generator that yields calls and is sent their results; ``run`` and ``arun`` are its two drivers, as
``Database.run`` and ``arun`` are those of plans.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from rag_pgvector.plan import Plan

if TYPE_CHECKING:
    from rag_pgvector.collection import Collection

__all__ = ["Asking", "Call", "RunPlan", "arun", "run"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A method of the collection: ``search``, or its twin ``asearch``."""

    method: str
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A plan of the store's own, run as the collection runs its own: in a transaction if ``atomic``."""

    make: Callable[[], Plan[Any]]
    atomic: bool = False


Asking: TypeAlias = Generator[Call | RunPlan, Any, T]


def run(collection: Collection, asking: Asking[T]) -> T:
    reply: Any = None
    while True:
        try:
            call = asking.send(reply)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if isinstance(call, RunPlan):
            reply = collection._run(call.make, atomic=call.atomic, retry=not call.atomic)
        else:
            reply = getattr(collection, call.method)(*call.args, **call.options)


async def arun(collection: Collection, asking: Asking[T]) -> T:
    reply: Any = None
    while True:
        try:
            call = asking.send(reply)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        if isinstance(call, RunPlan):
            reply = await collection._arun(call.make, atomic=call.atomic, retry=not call.atomic)
        else:
            reply = await getattr(collection, f"a{call.method}")(*call.args, **call.options)
