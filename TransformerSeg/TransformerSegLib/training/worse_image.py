"""An image as a worse scanner might have taken it: what a network makes of it is wrong where networks go wrong.

A network's answers to the cases that it was trained on are better than those that it will give; what is to learn from
its errors would see too few, and others.
"""

from __future__ import annotations

import numpy as np

BLUR_VOXELS = (0.5, 1.0)
"""Standard deviation of a Gaussian."""

NOISE = (0.2, 0.7)
"""Standard deviation, in units of the image's own."""

UNEVENNESS = (0.2, 0.6)
"""Standard deviation of the logarithm of the brightness, which varies over thirds of the image."""

KNOTS = 3


def worse_image(image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Blurred, noisy or unevenly bright.

    Args:
        image: (I, J, K).
        random: draws what is done, and how much.

    Returns:
        float32, of the same shape.
    """
    from scipy.ndimage import gaussian_filter

    values = image.astype(np.float32)
    match int(random.integers(3)):
        case 0:
            return gaussian_filter(values, random.uniform(*BLUR_VOXELS))
        case 1:
            return values + (random.normal(0.0, random.uniform(*NOISE) * values.std(), values.shape)).astype(np.float32)
        case _:
            lowest = values.min()
            return lowest + (values - lowest) * np.exp(random.uniform(*UNEVENNESS) * _uneven(values.shape, random))


def _uneven(shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """(I, J, K), float32: normal at ``KNOTS`` places along each axis, and linear in between."""
    import torch
    from torch.nn.functional import interpolate

    knots = torch.from_numpy(random.normal(size=(1, 1, KNOTS, KNOTS, KNOTS)).astype(np.float32))
    return interpolate(knots, shape, mode="trilinear", align_corners=True)[0, 0].numpy()
