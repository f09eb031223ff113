"""A result of two balls that meet, large enough to be corrected by clicks."""

from __future__ import annotations

import numpy as np

from TransformerSegLib.inference.segmentation import Segment, Segmentation

from example_segmentation import PROVENANCE, segment_class

SHAPE = (40, 36, 30)
CLASSES = {"Segment_1": "Anterior", "Segment_2": "Posterior"}
"""Segment id → class."""

BALLS = {1: ((15, 18, 14), 7), 2: ((24, 18, 14), 6)}
"""Label → centre and radius, in voxels."""


def ball_result(affine: np.ndarray, overlapping: bool = False, by: tuple[int, int, int] = (0, 0, 0)) -> Segmentation:
    """Two classes that exclude each other, or that may overlap and do.

    Args:
        by: both are moved so far, in voxels.
    """
    masks = {label: _ball(np.add(centre, by), radius) for label, (centre, radius) in BALLS.items()}
    if overlapping:
        layers = tuple(mask.astype(np.uint8) * label for label, mask in masks.items())
    else:
        layers = (np.where(masks[2], 2, masks[1]).astype(np.uint8),)
    segments = tuple(
        Segment(segment_class(label, name), label - 1 if overlapping else 0, 1.0)
        for label, name in enumerate(CLASSES.values(), start=1)
    )
    return Segmentation(layers, affine, segments, "Kopf – balls", {**PROVENANCE, "overlapping": overlapping})


def place(affine: np.ndarray, voxel) -> np.ndarray:
    """The middle of a voxel, in mm."""
    return (affine @ (*voxel, 1.0))[:3]


def random_voxel(random: np.random.Generator, margin: int = 4) -> tuple[int, int, int]:
    return tuple(int(index) for index in random.integers(margin, np.array(SHAPE) - margin))


def _ball(centre: np.ndarray, radius: float) -> np.ndarray:
    return ((np.indices(SHAPE) - centre.reshape(3, 1, 1, 1)) ** 2).sum(axis=0) <= radius**2
