"""A bundle's inferer → the plan of the sliding window, or of the slices."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from TransformerSegLib.bundles.component import read_component
from TransformerSegLib.bundles.plan import Orientation, Plan, SlicePlan, Weighting, WindowPlan
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.architecture import Architecture
from TransformerSegLib.networks.arguments import Arguments
from TransformerSegLib.networks.file_text import quoted

PLACE = "the inferer"

TARGETS = {
    f"{module}SlidingWindowInferer{variant}"
    for module in ("", "monai.inferers.", "monai.inferers.inferer.")
    for variant in ("", "Adapt")  # Adapt saves memory by itself; the result is the same
}

SLICE_TARGET = "transformerseg.SliceInferer"
"""Of our own: MONAI's ``SliceInferer`` is another thing, which cuts windows out of slices and zooms nothing."""

MAXIMUM_WINDOWS = 1_000_000
"""Most windows over ``COMMON_VOLUME``: with a second for each, eleven days."""

COMMON_VOLUME = (512, 512, 300)
"""Voxels of a CT of chest or abdomen."""

Side = Annotated[int, Field(ge=8, le=1024)]
Overlap = Annotated[float, Field(ge=0.0, lt=1.0)]
Sigma = Annotated[float, Field(gt=0.0, le=10.0)]


class _SlidingWindowInferer(Arguments):
    irrelevant: ClassVar[frozenset[str]] = frozenset(
        {"sw_device", "device", "progress", "cache_roi_weight_map", "cpu_thresh", "buffer_steps", "buffer_dim"}
    )
    roi_size: Side | tuple[Side, Side, Side]
    sw_batch_size: int = Field(default=1, ge=1, le=256)
    overlap: Overlap | tuple[Overlap, Overlap, Overlap] = 0.25
    mode: Literal["constant", "gaussian"] = "constant"
    sigma_scale: Sigma | tuple[Sigma, Sigma, Sigma] = 0.125
    padding_mode: Literal["constant", "reflect", "replicate", "circular"] = "constant"
    cval: float = 0.0
    with_coord: Literal[False] = False


class _SliceInferer(Arguments):
    size: Side | tuple[Side, Side]
    sw_batch_size: int = Field(default=8, ge=1, le=256)


def read_window(inferer: object) -> WindowPlan | SlicePlan:
    """The sliding window of a bundle, or its slices.

    Args:
        inferer: that part of the configuration, resolved.

    Raises:
        BundleRejected: it is neither MONAI's ``SlidingWindowInferer`` nor ``SLICE_TARGET``, or an argument of it is
            not supported.
    """
    component = read_component(inferer, PLACE)
    if component is not None and component.target == SLICE_TARGET:
        slices = _SliceInferer.read(component.arguments, f"the inferer “{SLICE_TARGET}”")
        size = slices.size if isinstance(slices.size, tuple) else (slices.size, slices.size)
        return SlicePlan(size, slices.sw_batch_size)
    if component is None or component.target not in TARGETS:
        raise BundleRejected(
            f"The bundle's inferer {quoted(component.target if component else 'none')} is not supported",
            why="volumes are segmented window by window, or slice by slice",
            remedy=f"Use a bundle with a SlidingWindowInferer, or with a {SLICE_TARGET}",
        )
    given = _SlidingWindowInferer.read(component.arguments, f"the inferer “{component.target}”")
    sigmas = set(_per_axis(given.sigma_scale))
    if len(sigmas) != 1:
        raise BundleRejected(
            "The bundle's inferer weights the three axes differently (sigma_scale)",
            why="that is not supported, and one weight for all would change the result",
            remedy="Use a bundle with one sigma_scale",
        )
    _refuse_endless(_per_axis(given.roi_size), _per_axis(given.overlap))
    return WindowPlan(
        roi_size=_per_axis(given.roi_size),
        batch_size=given.sw_batch_size,
        overlap=_per_axis(given.overlap),
        weighting=Weighting(given.mode),
        sigma_scale=sigmas.pop(),
        padding_mode=given.padding_mode,
        cval=given.cval,
    )


def _refuse_endless(roi_size: tuple[float, ...], overlap: tuple[float, ...]) -> None:
    steps = [max(int(side * (1 - share)), 1) for side, share in zip(roi_size, overlap, strict=True)]
    windows = math.prod(math.ceil(length / step) for length, step in zip(COMMON_VOLUME, steps, strict=True))
    if windows > MAXIMUM_WINDOWS:
        raise BundleRejected(
            f"The bundle cuts a volume of {'×'.join(map(str, COMMON_VOLUME))} voxels into {windows:,} windows",
            why="that would take days",
            remedy="Correct roi_size and overlap of the inferer in configs/inference.json",
        )


def check_dimensions(kind: type[Architecture], window: WindowPlan | SlicePlan) -> None:
    """A network of two dimensions sees slices, one of three sees windows.

    Raises:
        BundleRejected: it is the other way round.
    """
    if kind.axes == 2 and isinstance(window, WindowPlan):
        raise BundleRejected(
            f"The bundle's network {kind.name} sees slices, and its inferer gives it windows of a volume",
            why="the network has two dimensions, and a window has three",
            remedy=f"Make {SLICE_TARGET} the inferer in configs/inference.json",
        )
    if kind.axes == 3 and isinstance(window, SlicePlan):
        raise BundleRejected(
            f"The bundle's network {kind.name} sees windows of a volume, and its inferer gives it slices",
            why="the network has three dimensions, and a slice has two",
            remedy="Make SlidingWindowInferer the inferer in configs/inference.json",
        )


def check_slice_axis(plan: Plan) -> None:
    """What runs slice by slice says along which axis.

    Raises:
        BundleRejected: it does not.
    """
    if isinstance(plan.window, SlicePlan) and not any(isinstance(step, Orientation) for step in plan.preparation):
        raise BundleRejected(
            "The bundle runs its network slice by slice, and does not say along which axis",
            why="the first letter of its Orientation says it, S for axial slices, and its preprocessing has none",
            remedy="Add Orientationd with its axcodes to the preprocessing in configs/inference.json",
        )


def _per_axis(value: float | tuple[float, float, float]) -> tuple[float, float, float]:
    return value if isinstance(value, tuple) else (value, value, value)
