"""Where the windows lie that together cover an image, and how much each of their voxels counts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.plan import Weighting, WindowPlan
from TransformerSegLib.errors import VolumeTooSmall

if TYPE_CHECKING:
    import torch

SPARE_VOXELS = {"reflect": 1, "circular": 0}
"""By how many voxels an image has to be larger than its padding, on each axis, where that repeats the image."""

SMALLEST_IMPORTANCE = 1e-3
"""Of a voxel in the corner of a window: more than nothing."""


@dataclass(frozen=True)
class Windows:
    """The windows of MONAI's ``SlidingWindowInferer`` over one image.

    Attributes:
        roi_size: size of a window, voxels.
        image_size: size of the image, voxels, after padding to at least one window.
        margins: per axis, the voxels of padding before and after the image.
        starts: per axis, where windows start in the padded image, rising; the last window ends with the image.
    """

    roi_size: tuple[int, int, int]
    image_size: tuple[int, int, int]
    margins: tuple[tuple[int, int], ...]
    starts: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.starts[0]) * len(self.starts[1]) * len(self.starts[2])

    def corners(self) -> list[tuple[int, int, int]]:
        """The first voxel of each window, in the order in which they are run: along the last axis first."""
        return list(itertools.product(*self.starts))

    def until_next(self, axis: int, start: int) -> slice:
        """From the start of a window along an axis to the start of the next, or to the image's end."""
        return slice(start, next((other for other in self.starts[axis] if other > start), self.image_size[axis]))

    def inside(self, corner: tuple[int, int, int]) -> tuple[slice, slice, slice]:
        """The voxels of the image, without its padding, that a window covers."""
        return tuple(
            slice(max(start - before, 0), min(start - before + roi, size - before - after))
            for start, roi, size, (before, after) in zip(
                corner, self.roi_size, self.image_size, self.margins, strict=True
            )
        )

    def padding(self) -> tuple[int, ...]:
        """What every window is padded by, as ``torch.nn.functional.pad`` wants it: last axis first.

        (An axis is padded only where one window covers all of it.)
        """
        return tuple(itertools.chain.from_iterable(reversed(self.margins)))


def windows_over(shape: tuple[int, int, int], plan: WindowPlan) -> Windows:
    """The windows that cover an image of this shape.

    Raises:
        VolumeTooSmall: it is to be padded with more of its own voxels than it has.
    """
    missing = [max(roi - size, 0) for roi, size in zip(plan.roi_size, shape, strict=True)]
    margins = tuple((gap // 2, gap - gap // 2) for gap in missing)
    _check_padding(shape, margins, plan)
    image_size = tuple(size + gap for size, gap in zip(shape, missing, strict=True))
    starts = tuple(map(_starts, image_size, plan.roi_size, plan.overlap))
    return Windows(plan.roi_size, image_size, margins, starts)


def _check_padding(shape: tuple[int, int, int], margins: tuple[tuple[int, int], ...], plan: WindowPlan) -> None:
    if plan.padding_mode not in SPARE_VOXELS:
        return
    spare = SPARE_VOXELS[plan.padding_mode]
    if any(after + spare > size for size, (_, after) in zip(shape, margins, strict=True)):
        raise VolumeTooSmall(
            f"The volume, or the region of it, has only {_times(shape)} voxels at the model's spacing",
            why=f"the model fills up its windows of {_times(plan.roi_size)} with copies of them, which do not suffice",
            remedy=f"Give at least {_times(-(-(roi + 2 * spare) // 3) for roi in plan.roi_size)} voxels",
        )


def _times(numbers: Iterable[int]) -> str:
    return "×".join(map(str, numbers))


def _starts(size: int, roi: int, overlap: float) -> tuple[int, ...]:
    if roi == size:
        return (0,)
    step = max(int(roi * (1 - overlap)), 1)
    return (*range(0, size - roi, step), size - roi)


def importance(plan: WindowPlan, windows: Windows, device: torch.device | str) -> torch.Tensor | None:
    """How much each voxel of a window counts; None where all count alike.

    As MONAI's ``compute_importance_map``, to the last bit, without MONAI, which takes seconds to load.
    """
    if plan.weighting is Weighting.CONSTANT:
        return None
    curves = [_gaussian(size, size * plan.sigma_scale, device) for size in windows.roi_size]
    weights = curves[0][:, None, None] * curves[1][None, :, None] * curves[2][None, None, :]
    return weights.clamp_(min=max(weights.min().item(), SMALLEST_IMPORTANCE))


def _gaussian(size: int, deviation: float, device: torch.device | str) -> torch.Tensor:
    import torch

    half = (size - 1) / 2.0
    place = torch.arange(-half, half + 1, dtype=torch.float, device=device)
    return torch.exp(place**2 / (-2 * deviation**2))


def summed_importance(
    windows: Windows, weights: torch.Tensor | None, rows: slice, columns: slice, device: torch.device | str
) -> torch.Tensor:
    """What a voxel's scores have to be divided by: the importance that windows gave it, added up in their order.

    Args:
        weights: of one window, or None where all its voxels count 1.
        rows, columns: a part of the padded image along its first two axes; it is whole along the third.

    Returns:
        (rows, columns, depth), float32.
    """
    import torch

    size = (rows.stop - rows.start, columns.stop - columns.start, windows.image_size[2])
    total = torch.zeros(size, device=device)
    if weights is None:
        weights = torch.ones(1, device=device).expand(windows.roi_size)
    weights = weights.to(device)
    along_rows = _meeting(rows, windows.starts[0], windows.roi_size[0])
    along_columns = _meeting(columns, windows.starts[1], windows.roi_size[1])
    for (in_rows, of_rows), (in_columns, of_columns) in itertools.product(along_rows, along_columns):
        for z in windows.starts[2]:
            total[in_rows, in_columns, z : z + windows.roi_size[2]] += weights[of_rows, of_columns]
    return total


def _meeting(part: slice, starts: tuple[int, ...], length: int) -> list[tuple[slice, slice]]:
    return [shared for start in starts if (shared := overlap_of(part, start, length)) is not None]


def overlap_of(part: slice, start: int, length: int) -> tuple[slice, slice] | None:
    """Where a part of an axis and a window on it meet: counted from the part's start, and from the window's."""
    first, last = max(part.start, start), min(part.stop, start + length)
    if first >= last:
        return None
    return slice(first - part.start, last - part.start), slice(first - start, last - start)
