"""What this machine's processor computes models in, and how many batches at once."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["at_once", "compute_all", "cpu_multiplies_bf16", "half_precision"]

#: Batches that are computed at once on a CPU, each by its share of the threads; more would queue for Python's lock.
_AT_ONCE = 4

_Batch = TypeVar("_Batch")


def at_once(kind: str) -> int:
    """How many batches are computed at once on a kind of device."""
    return min(_torch_threads(), _AT_ONCE) if kind == "cpu" else 1


def compute_all(compute: Callable[[_Batch], None], batches: Sequence[_Batch], at_once: int) -> None:
    """Computes all batches, at most so many at once."""
    threads = _torch_threads()
    workers = min(threads, at_once, len(batches))
    if workers < 2:
        for batch in batches:
            compute(batch)
        return
    with _workers(workers, threads) as pool:
        for _ in pool.map(compute, batches):
            pass


#: Held while the number of threads that new threads begin with is another one.
_starting = threading.Lock()


def _torch_threads() -> int:
    import torch

    with _starting:
        return int(torch.get_num_threads())


def _compute_alone() -> None:
    """In a forked child: OpenMP's threads stayed with the parent, and whatever is divided among them waits for ever."""
    global _starting
    _starting = threading.Lock()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_compute_alone)


@contextmanager
def _workers(count: int, threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that each compute batches with their share of torch's threads.

    Threads that share a batch wait for each other after every operation, and so for whatever keeps one of them from its
    core: reading, writing, the server. How many there are is a setting of the calling thread, and also what new threads
    begin with, which is put back.
    """
    import torch

    begun = threading.Barrier(count + 1)

    def begin() -> None:
        torch.set_num_threads(max(1, threads // count))
        begun.wait()

    with ThreadPoolExecutor(count, "rag_pgvector embedding", begin) as pool:
        with _starting:
            try:
                for _ in range(count):  # no thread is idle before all have begun, so that each starts one
                    pool.submit(int)
                begun.wait()
            except BaseException:
                begun.abort()
                raise
            finally:
                torch.set_num_threads(threads)
        yield pool


def half_precision(kind: str) -> Any:
    """The torch dtype of 16 bits that a kind of device multiplies faster than 32, or None."""
    import torch

    if kind == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if kind == "cpu" and cpu_multiplies_bf16():
        return torch.bfloat16
    return None


def cpu_multiplies_bf16() -> bool:
    """Whether the CPU has bf16 instructions and the kernel lets us use them. torch emulates them elsewhere, slowly."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)
