"""What a bundle asks the engine to do, as plain records that were read from its configuration.

The records' fields carry MONAI's names and meanings; nothing in them is executable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal


@dataclass(frozen=True)
class Orientation:
    """MONAI ``Orientation``: flip and permute to the axis codes, e.g. "RAS"."""

    axcodes: str


@dataclass(frozen=True)
class Spacing:
    """MONAI ``Spacing``: resample to ``pixdim`` mm along each axis, border voxels repeated.

    Attributes:
        mode: "bilinear" (linear on three axes) or "nearest".
    """

    pixdim: tuple[float, float, float]
    mode: str = "bilinear"


@dataclass(frozen=True)
class NormalizeIntensity:
    """MONAI ``NormalizeIntensity``: (x - subtrahend) / divisor, by default mean and standard deviation."""

    nonzero: bool = False
    channel_wise: bool = False
    subtrahend: tuple[float, ...] | None = None
    divisor: tuple[float, ...] | None = None


@dataclass(frozen=True)
class ScaleIntensityRange:
    """MONAI ``ScaleIntensityRange``: a_min…a_max to b_min…b_max, clipped if ``clip``."""

    a_min: float
    a_max: float
    b_min: float | None = None
    b_max: float | None = None
    clip: bool = False


@dataclass(frozen=True)
class ScaleIntensity:
    """MONAI ``ScaleIntensity``: minimum…maximum to minv…maxv, over all channels or channel-wise."""

    minv: float | None = 0.0
    maxv: float | None = 1.0
    factor: float | None = None
    channel_wise: bool = False


@dataclass(frozen=True)
class ScaleIntensityRangePercentiles:
    """MONAI ``ScaleIntensityRangePercentiles``: percentiles lower…upper (0…100) to b_min…b_max."""

    lower: float
    upper: float
    b_min: float | None
    b_max: float | None
    clip: bool = False
    relative: bool = False
    channel_wise: bool = False


IntensityStep = NormalizeIntensity | ScaleIntensityRange | ScaleIntensity | ScaleIntensityRangePercentiles
PreparationStep = Orientation | Spacing | IntensityStep


class Weighting(Enum):
    """How a window's voxels count where windows overlap (MONAI's ``BlendMode``)."""

    CONSTANT = "constant"
    GAUSSIAN = "gaussian"


@dataclass(frozen=True)
class WindowPlan:
    """MONAI ``SlidingWindowInferer``: its arguments, under its names.

    Attributes:
        roi_size: size of a window, voxels.
        batch_size: windows a forward pass (``sw_batch_size``).
        overlap: share of a window that its neighbour covers, 0 ≤ overlap < 1, one per axis.
        weighting: ``mode``.
        sigma_scale: standard deviation of the Gaussian, in window sizes.
        padding_mode, cval: how a volume smaller than a window is padded.
    """

    roi_size: tuple[int, int, int]
    batch_size: int = 1
    overlap: tuple[float, float, float] = (0.25, 0.25, 0.25)
    weighting: Weighting = Weighting.CONSTANT
    sigma_scale: float = 0.125
    padding_mode: str = "constant"
    cval: float = 0.0

    @property
    def size(self) -> tuple[int, int, int]:
        """Of what the network sees at once, voxels."""
        return self.roi_size


@dataclass(frozen=True)
class SlicePlan:
    """A two-dimensional network, run slice by slice over a volume.

    Slices lie across the first axis of the model's grid, which the plan's ``Orientation`` names: "S…" or "I…" for
    axial slices, "A…" or "P…" for coronal, "R…" or "L…" for sagittal ones.

    Attributes:
        size: of the image that the network sees, voxels; every slice is zoomed to it, and its labels zoomed back.
        batch_size: slices a forward pass.
    """

    size: tuple[int, int]
    batch_size: int = 8


SliceAxis = Literal["axial", "coronal", "sagittal"]

SLICE_AXES: dict[str, SliceAxis] = {
    "S": "axial",
    "I": "axial",
    "A": "coronal",
    "P": "coronal",
    "R": "sagittal",
    "L": "sagittal",
}
"""First code of an ``Orientation`` → how the slices lie across that axis."""


class Activation(Enum):
    """What is applied to the logits before they are restored to the input's grid."""

    NONE = "none"
    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"


@dataclass(frozen=True)
class OutputPlan:
    """How scores become labels.

    Attributes:
        activation: applied on the model's grid, before interpolation, as the bundle's postprocessing orders it.
        threshold: None: a voxel takes the class of the highest score (``argmax``). A number: each channel by
            itself, where its score is at least the threshold; classes may overlap.
        restore_labels: True where the bundle discretises before ``Invertd`` (labels are then restored by nearest
            neighbour); False where scores are interpolated.
        nearest: True where ``Invertd`` asks for nearest-neighbour interpolation of what it inverts.
    """

    activation: Activation = Activation.SOFTMAX
    threshold: float | None = None
    restore_labels: bool = False
    nearest: bool = False


@dataclass(frozen=True)
class NetworkPlan:
    """Which network, and its arguments: plain JSON values, checked against the registry's allow-list."""

    architecture: str
    arguments: Mapping[str, object]


@dataclass(frozen=True)
class Plan:
    """Everything a bundle asks for."""

    network: NetworkPlan
    preparation: tuple[PreparationStep, ...]
    window: WindowPlan | SlicePlan
    output: OutputPlan

    @property
    def slices(self) -> SliceAxis | None:
        """How the slices lie that the network sees; None where it sees windows.

        Raises:
            StopIteration: no ``Orientation`` says it.
        """
        if not isinstance(self.window, SlicePlan):
            return None
        turns = (step.axcodes for step in reversed(self.preparation) if isinstance(step, Orientation))
        return SLICE_AXES[next(turns)[0]]
