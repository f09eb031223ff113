"""The panel's rows: what the window costs a run, and what a run costs the window.

Slicer's event loop holds Python's global lock while it waits; so does the loop of the stand-in that is used here. The
module's file and the MRML scene are the real ones. Runs without a window are those of a process of its own, which rests
meanwhile: where two threads of one process compute, torch has twice as many threads as there are cores, and is slower.
"""

from __future__ import annotations

import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache

from TransformerSegLib.bundles.catalogue import find_bundle
from TransformerSegLib.inference.reading import read_volume
from TransformerSegLib.inference.segmenter import Segmenter

from host import Host
from measuring import seconds
from panel_user import MODULE, SAMPLE

REPEATS = 11
TICK_S = 0.010


@dataclass
class Lateness:
    """How late a timer of the main thread is; it is a user's click or key that waits as long."""

    seconds: list[float] = field(default_factory=list)
    _due: float | None = None

    def tick(self) -> None:
        now = time.perf_counter()
        if self._due is not None:
            self.seconds.append(max(0.0, now - self._due))
        self._due = now + TICK_S

    def pause(self) -> None:
        self._due = None

    def percentile(self, share: float) -> float:
        """The smallest lateness that this share of all ticks does not exceed, s."""
        return sorted(self.seconds)[math.ceil(share * len(self.seconds)) - 1]


@cache
def _plain_run() -> Callable[[], object]:
    volume, segmenter = read_volume(SAMPLE), Segmenter(find_bundle())
    return lambda: segmenter.segment([volume])


def plain_seconds() -> float:
    """Of a run without a window; the first call loads torch and the model, too."""
    return seconds(_plain_run())


def measure_panel() -> tuple[list[float], list[float], Lateness]:
    """Seconds of plain runs, seconds from the click to the segments' appearing, lateness of a 10 ms timer meanwhile.

    The first click, which loads torch and the model, is not counted.
    """
    plain, clicked, lateness = [], [], Lateness()
    elsewhere = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
    with elsewhere, Host() as host:
        import qt

        opened = host.open_module(MODULE)
        host.load_volume_node(SAMPLE)
        segment_button = opened.panel.findChild(qt.QPushButton, "segmentButton")
        session = opened.logic.session
        appeared: list[float] = []

        def tick() -> None:
            lateness.tick()
            if not session.runs and not appeared:
                appeared.append(time.perf_counter())

        timer = qt.QTimer()
        timer.setInterval(round(TICK_S * 1000))
        timer.connect("timeout()", tick)

        def click() -> float:
            appeared.clear()
            start = time.perf_counter()
            segment_button.click()
            host.wait_until(lambda: appeared)
            return appeared[0] - start

        for number in range(REPEATS + 1):
            host.wait_until(lambda: segment_button.enabled)
            lateness.pause()
            timer.start()
            taken = click()
            host.process_events(0.2)
            timer.stop()
            alone = elsewhere.submit(plain_seconds).result()
            if number == 0:  # PyTorch and the model were loaded
                lateness.seconds.clear()
                continue
            clicked.append(taken)
            plain.append(alone)
        made = host.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
        assert made == REPEATS + 1, f"{made} results of {REPEATS + 1} runs"
    return plain, clicked, lateness


def figures() -> Iterator[tuple[str, float, None, str]]:
    """The rows, as the fields of ``rows.Row``."""
    plain, clicked, lateness = measure_panel()
    alone, in_panel = statistics.median(plain), statistics.median(clicked)
    yield (
        "hippocampus sample, Segment in the panel: s from the click to the segments",
        in_panel,
        None,
        f"{alone:.2f} s without a window: {alone / in_panel:.0%} of its speed",
    )
    yield (
        "a 10 ms timer of the window meanwhile: ms late (99th percentile)",
        lateness.percentile(0.99) * 1000,
        None,
        f"median {lateness.percentile(0.5) * 1000:.1f}, worst {max(lateness.seconds) * 1000:.0f}",
    )
