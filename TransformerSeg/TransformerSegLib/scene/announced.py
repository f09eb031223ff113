"""Word of the box in which a labelmap was changed, for those who would else look through all of it.

Slicer's own word says that a labelmap changed, not where.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import slicer

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class _Change:
    """What is being told.

    Attributes:
        box: in the labelmap's own array, (I, J, K).
        before, after: on VTK's clock, the labelmap's last change before this one, and this one.
    """

    labelmap: slicer.vtkOrientedImageData
    box: Box
    before: int
    after: int


_told: list[_Change] = []


@contextmanager
def changing(labelmap: slicer.vtkOrientedImageData, box: Box) -> Iterator[None]:
    """Within this, voxels of a box are written, and no others; in the end, all who watch the labelmap are told.

    Args:
        box: in the labelmap's own array, (I, J, K).
    """
    before, scalars = labelmap.GetMTime(), labelmap.GetPointData().GetScalars()
    yield
    scalars.Modified()
    _told.append(_Change(labelmap, box, before, scalars.GetMTime() + 1))  # VTK's clock counts changes
    try:
        labelmap.Modified()
    finally:
        _told.pop()


def box_changed_since(labelmap: slicer.vtkOrientedImageData, time: int) -> Box | None:
    """The box outside of which nothing was changed since then; None: nobody knows.

    It is known only to those whom ``changing`` is telling, and only where that is all that happened: if somebody else
    who was told has answered by changing the labelmap himself, the clock is further on.

    Args:
        time: on VTK's clock, of the labelmap's last change that is known.
    """
    now = labelmap.GetMTime()
    fitting = (change for change in _told if change.labelmap is labelmap)
    return next((change.box for change in fitting if (change.before, change.after) == (time, now)), None)
