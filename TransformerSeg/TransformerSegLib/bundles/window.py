"""A bundle's inferer → the plan of the sliding window."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from TransformerSegLib.bundles.component import read_component
from TransformerSegLib.bundles.plan import Weighting, WindowPlan
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.arguments import Arguments
from TransformerSegLib.networks.file_text import quoted

PLACE = "the inferer"

TARGETS = {
    f"{module}SlidingWindowInferer{variant}"
    for module in ("", "monai.inferers.", "monai.inferers.inferer.")
    for variant in ("", "Adapt")  # Adapt saves memory by itself; the result is the same
}

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


def read_window(inferer: object) -> WindowPlan:
    """The sliding window of a bundle.

    Args:
        inferer: that part of the configuration, resolved.

    Raises:
        BundleRejected: it is not MONAI's ``SlidingWindowInferer``, or an argument of it is not supported.
    """
    component = read_component(inferer, PLACE)
    if component is None or component.target not in TARGETS:
        raise BundleRejected(
            f"The bundle's inferer {quoted(component.target if component else 'none')} is not supported",
            why="volumes are segmented window by window",
            remedy="Use a bundle with a SlidingWindowInferer",
        )
    given = _SlidingWindowInferer.read(component.arguments, f"the inferer “{component.target}”")
    sigmas = set(_per_axis(given.sigma_scale))
    if len(sigmas) != 1:
        raise BundleRejected(
            "The bundle's inferer weights the three axes differently (sigma_scale)",
            why="that is not supported, and one weight for all would change the result",
            remedy="Use a bundle with one sigma_scale",
        )
    return WindowPlan(
        roi_size=_per_axis(given.roi_size),
        batch_size=given.sw_batch_size,
        overlap=_per_axis(given.overlap),
        weighting=Weighting(given.mode),
        sigma_scale=sigmas.pop(),
        padding_mode=given.padding_mode,
        cval=given.cval,
    )


def _per_axis(value: float | tuple[float, float, float]) -> tuple[float, float, float]:
    return value if isinstance(value, tuple) else (value, value, value)
