"""A progress bar for whatever reports its progress: ``ingest(progress=)``, ``evaluate_answers(progress=)``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int, str], None]]:
    """A bar in a terminal or in Jupyter (with ipywidgets); what it gives is called as ``(done, total, what)``.

    with progress_bar() as tell:
        ingest(docs, ["data"], progress=tell)
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, transient=True) as bars:
        task = bars.add_task("", total=None)

        def tell(done: int, total: int, what: str) -> None:
            bars.update(task, completed=done, total=total or None, description=what[-48:])

        yield tell
