"""What the benchmarks share: the machine's description, fair turns, percentiles, targets, printing."""

from __future__ import annotations

import json
import os
import platform
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "latency",
    "machine",
    "print_parts",
    "print_rankings",
    "print_targets",
    "read_target",
    "seconds",
    "target",
    "tell",
    "turns",
    "versions",
]


def machine() -> dict[str, Any]:
    """The processor, how many of its cores this process may use, the load before the run, and the interpreter."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = (line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line)
        model = next(names, model)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": model,
        "cores": cores,
        "load_1_min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions(*distributions: str) -> dict[str, str | None]:
    """The installed version of each distribution, None where it is missing."""
    return {name: _version(name) for name in distributions}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def turns(names: Sequence[str], rounds: int, *, seed: int = 0) -> Iterator[tuple[int, str]]:
    """``(round, name)``: every name once a round in an order drawn anew, so that drift and neighbours hit all alike."""
    order, draw = list(names), random.Random(seed)
    for round_ in range(rounds):
        draw.shuffle(order)
        for name in order:
            yield round_, name


def seconds(call: Callable[[], Any]) -> float:
    """How long a call took by the wall clock."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def latency(samples: Sequence[float]) -> dict[str, float]:
    """Percentiles in milliseconds of samples in seconds."""
    p50, p95 = np.percentile(np.asarray(samples) * 1e3, [50, 95])
    return {"p50_ms": round(float(p50), 4), "p95_ms": round(float(p95), 4)}


def target(value: float | None, goal: float, *, at_most: bool = False) -> dict[str, Any]:
    """A ratio beside its goal; ``met`` is None where the ratio could not be measured."""
    value = None if value is None else round(value, 3)
    met = None if value is None else (value <= goal if at_most else value >= goal)
    return {"value": value, "target": goal, "at_most": at_most, "met": met}


def read_target(name: str, found: dict[str, Any]) -> str:
    """One line for a person of what ``target`` returned."""
    sign = "<=" if found["at_most"] else ">="
    met = {True: "met", False: "NOT met", None: "not measured"}[found["met"]]
    return f"{name}: {found['value']} ({sign} {found['target']}: {met})"


def tell(report: Mapping[str, Any], *, as_json: bool, read: Callable[[dict[str, Any]], None]) -> None:
    """Print a report: one JSON document, or what ``read`` prints of it for a person."""
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        read(dict(report))


def print_parts(report: Mapping[str, Any]) -> None:
    """A line for each part of a report, and one for each target."""
    for part, found in report.items():
        if part != "targets":
            print(f"{part}: {found}")
    if "targets" in report:
        print_targets(report)


def print_targets(report: Mapping[str, Any]) -> None:
    for name, found in report["targets"].items():
        print(read_target(name, found))


def print_rankings(name: str, one: Mapping[str, Any], measures: Mapping[str, str]) -> None:
    """A golden set's line, and one for each way it was searched, with these measures in these formats."""
    print(f"\n{name}: {one['documents']} documents, {one['queries']} questions")
    for key, row in one["rows"].items():
        print(f"  {key:46} " + "  ".join(f"{measure} {row[measure]:{form}}" for measure, form in measures.items()))
