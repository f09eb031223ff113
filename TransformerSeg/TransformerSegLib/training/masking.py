"""The task of filling in what was cut out of a sub-volume: boxes at random places (Tang et al. 2022, section 3.2; what
the paper leaves open is as in the authors' published trainer).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

MOST_MASKED = 0.3
"""Of a sub-volume; how much is masked is drawn anew each time, from nothing to this share."""

SHORTEST, LONGEST = 0.05, 0.25
"""A box's sides, as shares of the sub-volume's."""

Box = tuple[slice, slice, slice]


def boxes(sides: tuple[int, int, int], random: np.random.RandomState) -> Iterator[Box]:
    """Boxes that together mask a share of a volume, drawn from 0…``MOST_MASKED``; what overlaps is counted twice.

    Args:
        sides: of the volume, voxels.
        random: where the numbers come from.
    """
    to_mask = random.uniform(0, MOST_MASKED) * np.prod(sides)
    masked = 0.0
    while masked < to_mask:
        box = tuple(_stretch(side, random) for side in sides)
        masked += np.prod([stretch.stop - stretch.start for stretch in box])
        yield box


def masked(volumes: torch.Tensor, random: np.random.RandomState) -> torch.Tensor:
    """Each volume with boxes of noise, and then boxes of what another volume of the batch has in the same place.

    The noise is normal, with the volume's own mean and standard deviation in each channel: no grey value gives it away,
    whatever the scale of the intensities. (Published is noise that fills 0…1, for images that do so too.) The other
    volume is drawn from the whole batch; where that is the volume itself, the noise remains alone.

    Args:
        volumes: (B, C, I, J, K).
        random: where the numbers come from.

    Returns:
        A new tensor of the same shape.
    """
    import torch

    result = volumes.clone()
    for index, volume in enumerate(volumes):
        sides = tuple(volume.shape[1:])
        mean, spread = (of(volume, dim=(1, 2, 3), keepdim=True) for of in (torch.mean, torch.std))
        for box in boxes(sides, random):
            part = (slice(None), *box)
            noise = random.standard_normal(volume[part].shape).astype(np.float32)
            result[index][part] = mean + spread * torch.from_numpy(noise).to(volume.device)
        other = random.randint(len(volumes))
        if other != index:
            for box in boxes(sides, random):
                part = (slice(None), *box)
                result[index][part] = volumes[other][part]
    return result


def _stretch(side: int, random: np.random.RandomState) -> slice:
    """Of one axis: anywhere, cut off at the end."""
    shortest = max(1, int(SHORTEST * side))
    start = random.randint(0, side - shortest + 1)
    return slice(start, min(start + random.randint(shortest, max(shortest + 1, int(LONGEST * side))), side))
