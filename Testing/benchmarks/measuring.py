"""Seconds and megabytes of a piece of work."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

MB = 1e6


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def interleaved(works: dict[str, Callable[[], object]], repeats: int = 3) -> dict[str, float]:
    """Median seconds of each, run in turns so that whatever else the machine does falls on all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: statistics.median(measured) for name, measured in times.items()}


def peak_megabytes(work: Callable[[], object]) -> float:
    """By how much the process's memory grew at its highest, over what it held before (Linux)."""
    gc.collect()
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # forget the highest so far
    before = _status("VmRSS")
    work()
    return (_status("VmHWM") - before) / MB


def _status(name: str) -> float:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))
