"""Intensity steps of a bundle: what is measured once on the whole image, and what is then done to any part of it.

The definitions, and the order of operations in float32, are those of MONAI's transforms of the same names, so that
the values are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.plan import (
    IntensityStep,
    NormalizeIntensity,
    ScaleIntensity,
    ScaleIntensityRange,
    ScaleIntensityRangePercentiles,
)

if TYPE_CHECKING:
    import torch

Pointwise = Callable[["torch.Tensor"], "torch.Tensor"]
"""Takes any part of an image, (C, …) float32, and gives it with new values; may change what it is given."""


def measures_image(step: IntensityStep) -> bool:
    """Whether the step depends on the whole image, and not on its own arguments alone."""
    match step:
        case ScaleIntensityRange():
            return False
        case NormalizeIntensity():
            return step.subtrahend is None or step.divisor is None
        case ScaleIntensity():
            return step.minv is not None or step.maxv is not None
    return True


def measured(step: IntensityStep, image: torch.Tensor) -> Pointwise:
    """The step, its numbers measured on an image, as something that can be done to any part of it.

    Args:
        image: (C, X, Y, Z), float32; only its number of channels counts where ``measures_image`` says no.
            The sums of ``NormalizeIntensity`` are taken in the order in which it lies in memory.
    """
    match step:
        case ScaleIntensityRange():
            return lambda part: _scale_range(part, step.a_min, step.a_max, step.b_min, step.b_max, step.clip)
        case NormalizeIntensity():
            return _normalize(step, image)
        case ScaleIntensity():
            measure = _scale
        case ScaleIntensityRangePercentiles():
            measure = _scale_percentiles
    return _stacked([measure(step, channel) for channel in image]) if step.channel_wise else measure(step, image)


def _stacked(steps: list[Pointwise]) -> Pointwise:
    """One step a channel, stacked as MONAI does: the result lies in memory otherwise than what it is made from."""
    import torch

    return lambda part: torch.stack([step(channel) for step, channel in zip(steps, part, strict=True)])


def _normalize(step: NormalizeIntensity, image: torch.Tensor) -> Pointwise:
    if not step.channel_wise:
        return _normalized(step.nonzero, *_mean_and_deviation(step, image, 0))
    steps = [_normalized(step.nonzero, *_mean_and_deviation(step, part, n)) for n, part in enumerate(image)]

    def each_in_its_place(part: torch.Tensor) -> torch.Tensor:
        for normalize, channel in zip(steps, part, strict=True):
            channel.copy_(normalize(channel))
        return part

    return each_in_its_place


def _normalized(nonzero: bool, mean: float, deviation: float) -> Pointwise:
    import torch

    if nonzero:
        return lambda part: torch.where(part != 0, (part - mean) / deviation, part)
    return lambda part: part.sub_(mean).div_(deviation)


def _mean_and_deviation(step: NormalizeIntensity, image: torch.Tensor, channel: int) -> tuple[float, float]:
    values = image
    if measures_image(step) and step.nonzero:
        values = image[image != 0]
        if values.numel() == 0:
            return 0.0, 1.0
    mean = values.mean().item() if step.subtrahend is None else step.subtrahend[channel]
    deviation = values.std(unbiased=False).item() if step.divisor is None else step.divisor[channel]
    return mean, deviation or 1.0


def _scale(step: ScaleIntensity, image: torch.Tensor) -> Pointwise:
    if step.minv is None and step.maxv is None:
        factor = 1.0 if step.factor is None else 1 + step.factor
        return lambda part: part.mul_(factor)
    smallest, largest = image.min(), image.max()
    if smallest == largest:
        constant = 1.0 if step.minv is None else step.minv
        return lambda part: part.mul_(constant)
    if step.minv is None or step.maxv is None:
        return lambda part: part.sub_(smallest).div_(largest - smallest)
    return lambda part: part.sub_(smallest).div_(largest - smallest).mul_(step.maxv - step.minv).add_(step.minv)


def _scale_percentiles(step: ScaleIntensityRangePercentiles, image: torch.Tensor) -> Pointwise:
    from monai.transforms.utils_pytorch_numpy_unification import percentile

    a_min, a_max = percentile(image, step.lower), percentile(image, step.upper)
    b_min, b_max = step.b_min, step.b_max
    if step.relative and b_min is not None and b_max is not None:
        b_min, b_max = ((step.b_max - step.b_min) * (share / 100.0) + step.b_min for share in (step.lower, step.upper))
    return lambda part: _scale_range(part, a_min, a_max, b_min, b_max, step.clip)


def _scale_range(
    part: torch.Tensor,
    a_min: float | torch.Tensor,
    a_max: float | torch.Tensor,
    b_min: float | None,
    b_max: float | None,
    clip: bool,
) -> torch.Tensor:
    part = part.sub_(a_min)
    if a_max - a_min == 0.0:
        return part if b_min is None else part.add_(b_min)
    part = part.div_(a_max - a_min)
    if b_min is not None and b_max is not None:
        part = part.mul_(b_max - b_min).add_(b_min)
    if clip and (b_min is not None or b_max is not None):
        part = part.clamp_(b_min, b_max)
    return part
