"""Seconds and megabytes of a piece of work."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence

MB = 1e6
PRODUCT_SIDE, PRODUCTS = 2048, 8


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Median(float):
    """Of several measurements, which it keeps."""

    def __new__(cls, measured: Sequence[float]) -> Median:
        median = super().__new__(cls, statistics.median(measured))
        median._measured = tuple(measured)
        return median

    @property
    def spread(self) -> str:
        """ "4.91–5.10"."""
        return f"{min(self._measured):.2f}–{max(self._measured):.2f}"


def interleaved(works: dict[str, Callable[[], object]], repeats: int = 3) -> dict[str, Median]:
    """Median seconds of each, run in turns so that whatever else the machine does falls on all alike."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: Median(measured) for name, measured in times.items()}


def interleaved_with_memory(
    works: dict[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, Median], dict[str, float]]:
    """As ``interleaved``, of work that takes minutes: its memory is measured in the same runs. Seconds, and the most
    megabytes, of each."""
    times: dict[str, list[float]] = {name: [] for name in works}
    megabytes = dict.fromkeys(works, 0.0)
    for _ in range(repeats):
        for name, work in works.items():
            taken = times[name]
            peak = peak_megabytes(lambda taken=taken, work=work: taken.append(seconds(work)))
            megabytes[name] = max(megabytes[name], peak)
    return {name: Median(measured) for name, measured in times.items()}, megabytes


def product_speed() -> float:
    """Operations a second of torch's matrix product, the fastest of a few, as many threads as everything else has."""
    import torch

    factor = torch.rand(PRODUCT_SIDE, PRODUCT_SIDE)
    fastest = min(seconds(lambda: factor @ factor) for _ in range(PRODUCTS))
    return 2.0 * PRODUCT_SIDE**3 / fastest


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
