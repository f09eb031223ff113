"""Who collects garbage while a job runs: the main thread.

Python destroys what is left in cycles of references in whichever thread happens to allocate something. Objects of Qt,
VTK and MRML among it have to be destroyed on the main thread, so Python's own collector pauses while a worker works.
"""

from __future__ import annotations

import gc


class MainThreadCollector:
    """Does young generations' collections by hand, when they are due. To be called on the main thread alone."""

    _pausing = 0
    """How many pause Python's own collector, of all queues together."""

    def __init__(self) -> None:
        self._pauses = False

    def pause(self) -> None:
        """Python's own collector rests from now on."""
        if not self._pauses and (gc.isenabled() or MainThreadCollector._pausing):
            gc.disable()
            self._pauses = True
            MainThreadCollector._pausing += 1

    def resume(self) -> None:
        """It goes on, once nobody pauses it any longer."""
        if self._pauses:
            self._pauses = False
            MainThreadCollector._pausing -= 1
            if not MainThreadCollector._pausing:
                gc.enable()

    def collect_if_due(self) -> None:
        """Of the two younger generations, which takes no time worth mentioning; the oldest waits for the job's end."""
        if not self._pauses:
            return
        for generation in (1, 0):
            if gc.get_count()[generation] > gc.get_threshold()[generation] > 0:
                gc.collect(generation)
                return
