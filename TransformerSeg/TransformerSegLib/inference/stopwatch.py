"""Where the time of a run goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from TransformerSegLib.inference.progress import Stage


class Stopwatch:
    """Seconds of each stage, of which one is on at any moment.

    Args:
        clock: seconds, from whenever.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: dict[Stage, float] = {}
        self._stage, self._since = Stage.LOAD, clock()

    def switch(self, stage: Stage) -> None:
        """From now on time is this stage's; stages may take turns."""
        now = self._clock()
        self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now

    def seconds(self) -> dict[str, float]:
        """Stage ("segment") → seconds so far, rounded to milliseconds; their sum is all the time that has passed."""
        self.switch(self._stage)
        return {stage.name.lower(): round(seconds, 3) for stage, seconds in self._seconds.items()}


def shares_told(seconds: Mapping[str, float]) -> str:
    """ "segment 3.20 s (80 %), restore 0.80 s (20 %)"."""
    total = sum(seconds.values())
    if total <= 0.0:
        return ""
    return ", ".join(
        f"{stage} {taken:.2f} s ({taken / total:.0%})".replace("%", " %") for stage, taken in seconds.items()
    )
