"""How far a download or a copy has come, how fast it is, and how long it takes still."""

from __future__ import annotations

from collections import deque

from slicer.i18n import tr as _

from TransformerSegLib.inference.data_size import data_size
from TransformerSegLib.panel.phrases import duration

MEASURED_SECONDS = 5.0
"""The speed is that of so many seconds before now: a wireless network's ups and downs are evened out, a change of
network is seen."""

SILENT_SECONDS = 3.0
"""After which it is said that nothing comes."""

LEAST_SECONDS = 0.5
"""Of a measurement; before that it tells more of the computer's buffers than of the network."""


class Transfer:
    """Bytes of bytes.

    Attributes:
        done: bytes that are there; None before the first were told.
        total: bytes that there will be; None where that is not known.
    """

    def __init__(self) -> None:
        self.done: int | None = None
        self.total: int | None = None
        self._samples: deque[tuple[float, int]] = deque()
        self._moved_at = 0.0

    def add(self, done: int, total: int | None, at: float) -> None:
        """What was told last.

        Args:
            at: when, in seconds, on any clock that never goes back.
        """
        if self.done is not None and done < self.done:  # it began anew
            self._samples.clear()
        if done != self.done:
            self._moved_at = at
        self.done, self.total = done, total
        self._samples.append((at, done))
        while at - self._samples[0][0] > MEASURED_SECONDS and len(self._samples) > 2:
            self._samples.popleft()

    @property
    def bytes_per_second(self) -> float | None:
        """None while that cannot be told."""
        if not self._samples:
            return None
        (first_at, first), (last_at, last) = self._samples[0], self._samples[-1]
        return (last - first) / (last_at - first_at) if last_at - first_at >= LEAST_SECONDS else None

    @property
    def seconds_left(self) -> float | None:
        """None while that cannot be told."""
        speed = self.bytes_per_second
        return (self.total - self.done) / speed if speed and self.total else None

    def words(self, now: float) -> str:
        """ "12 MB of 256 MB, 3.4 MB/s, about 1 min left"; "" before the first bytes.

        Args:
            now: on the clock of ``add``.
        """
        if self.done is None:
            return ""
        parts = [data_size(self.done)]
        if self.total:
            parts = [_("{done} of {total}").format(done=data_size(self.done), total=data_size(self.total))]
        silent = now - self._moved_at
        if silent >= SILENT_SECONDS and self.done != self.total:
            parts.append(_("nothing came for {time}").format(time=duration(silent)))
        elif self.bytes_per_second:
            parts.append(_("{speed} MB/s").format(speed=f"{self.bytes_per_second / 1e6:.1f}"))
        if self.seconds_left and silent < SILENT_SECONDS:
            parts.append(_("about {time} left").format(time=duration(self.seconds_left)))
        return ", ".join(parts)
