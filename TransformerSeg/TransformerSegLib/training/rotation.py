"""The task of telling how a sub-volume was turned: quarter turns in one plane (Tang et al. 2022, section 3.2)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.errors import TrainingDataRejected

if TYPE_CHECKING:
    import torch

QUARTERS = 4
LONGITUDINAL = frozenset("SI")
"""Codes of the axis that lies across axial slices."""

Plane = tuple[int, int]


def rotation_plane(patch: tuple[int, int, int], spacing_mm: tuple[float, float, float], axcodes: str) -> Plane:
    """The two axes in whose plane patches are turned: their sides must be equal, for a turned patch keeps its shape.

    Published is the axial plane. Where its sides differ, another one is taken; a plane whose spacing is equal goes
    first, for in any other a turn could be told by the texture alone.

    Args:
        patch: sides, voxels.
        spacing_mm: along each axis, mm.
        axcodes: of the axes, e.g. "RAS".

    Returns:
        Two axes, 0…2, in rising order.

    Raises:
        TrainingDataRejected: all three sides differ.

    Example:
        >>> rotation_plane((32, 64, 32), (1.0, 1.0, 1.0), "RAS")
        (0, 2)
    """
    planes = [(a, b) for a, b in itertools.combinations(range(3), 2) if patch[a] == patch[b]]
    if not planes:
        raise TrainingDataRejected(
            f"A patch of {'×'.join(map(str, patch))} voxels cannot be turned",
            why="a quarter turn swaps two sides, and of this patch no two are equal",
            remedy="Name a patch with two equal sides, such as --patch {0},{0},{2}".format(*patch),
        )
    return min(
        planes,
        key=lambda plane: (
            not np.isclose(spacing_mm[plane[0]], spacing_mm[plane[1]], rtol=1e-3),
            any(axcodes[axis] in LONGITUDINAL for axis in plane),
        ),
    )


def draw_turns(count: int, random: np.random.RandomState) -> np.ndarray:
    """``count`` numbers of quarter turns, 0…3, each as likely."""
    return random.randint(0, QUARTERS, count)


def turned(volumes: torch.Tensor, turns: np.ndarray, plane: Plane) -> torch.Tensor:
    """Each volume turned by its own number of quarter turns.

    Args:
        volumes: (B, C, I, J, K); the sides of ``plane`` are equal.
        turns: (B,), quarter turns from the plane's first axis towards its second.
        plane: two of the axes I, J, K as 0…2.

    Returns:
        A new tensor of the same shape.
    """
    import torch

    axes = (1 + plane[0], 1 + plane[1])  # behind the channel
    return torch.stack([volume.rot90(int(turn), axes) for volume, turn in zip(volumes, turns, strict=True)])
