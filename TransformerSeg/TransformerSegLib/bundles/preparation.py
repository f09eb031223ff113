"""A bundle's preprocessing → the steps of preparation: an allow-list of MONAI's transforms."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from TransformerSegLib.bundles.component import Component, keys_of, read_transforms
from TransformerSegLib.bundles.plan import (
    NormalizeIntensity,
    Orientation,
    PreparationStep,
    ScaleIntensity,
    ScaleIntensityRange,
    ScaleIntensityRangePercentiles,
    Spacing,
)
from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.arguments import Arguments, Flag
from TransformerSegLib.networks.file_text import quoted

PLACE = "the preprocessing"

MAXIMUM_STEPS = 20

TRANSFORM_NAME = re.compile(r"(?:monai\.transforms\.(?:\w+\.)*)?(?P<name>\w+?)(?:d|D|Dict)?")
"""Array and dictionary transforms, by their short or their full name."""

BOOKKEEPING = frozenset({"keys", "allow_missing_keys", "lazy"})
"""Arguments of every dictionary transform that do not change what it computes; ``keys`` are followed apart."""

META_KEYS = frozenset({"meta_keys", "meta_key_postfix"})
"""Where MONAI keeps, or before version 0.9 kept, what it knows of a file."""

FloatType = Literal["float32", "float64"] | None
Percentile = Annotated[float, Field(ge=0.0, le=100.0)]
Millimetres = Annotated[float, Field(ge=0.01, le=1000.0)]
"""A head at a hundredth of a millimetre would have ten million million voxels."""

FORMER_LABELS = [["L", "R"], ["P", "A"], ["I", "S"]]
"""MONAI's default for ``Orientation(labels=…)`` until it became None, with the same meaning."""


def transform_name(target: str) -> str:
    """MONAI's name of a transform without module and suffix: "monai.transforms.Spacingd" → "Spacing"."""
    match = TRANSFORM_NAME.fullmatch(target)
    return match["name"] if match else target


class _Transform(Arguments):
    irrelevant: ClassVar[frozenset[str]] = BOOKKEEPING

    @abstractmethod
    def step(self) -> PreparationStep | None:
        """The step that it stands for; None where it only handles files and types."""


class _Housekeeping(_Transform):
    def step(self) -> None:
        return None


class _LoadImage(_Housekeeping):
    # The reader decides how a file is opened, not what is in it; here volumes come in opened.
    irrelevant: ClassVar[frozenset[str]] = (
        BOOKKEEPING
        | META_KEYS
        | {"reader", "overwriting", "image_only", "ensure_channel_first", "simple_keys", "expanduser"}
        | {"prune_meta_pattern", "prune_meta_sep"}
    )
    dtype: FloatType = "float32"


class _ChannelFirst(_Housekeeping):
    irrelevant: ClassVar[frozenset[str]] = BOOKKEEPING | META_KEYS | {"strict_check", "channel_dim"}


class _EnsureType(_Housekeeping):
    irrelevant: ClassVar[frozenset[str]] = BOOKKEEPING | {"device", "wrap_sequence", "track_meta", "data_type"}
    dtype: FloatType = None


class _CastToType(_Housekeeping):
    dtype: Literal["float32"] = "float32"


class _ToDevice(_Housekeeping):
    irrelevant: ClassVar[frozenset[str]] = BOOKKEEPING | {"device", "non_blocking"}


class _ConcatItems(_Housekeeping):
    name: str
    dim: Literal[0] = 0


class _Orientation(_Transform):
    axcodes: Annotated[str, Field(pattern=r"^[RLAPSI]{3}$")] | None = None
    as_closest_canonical: Flag = False
    labels: list[list[str]] | None = None

    def step(self) -> Orientation:
        axcodes = "RAS" if self.as_closest_canonical else self.axcodes
        if axcodes is None or sorted(axcodes.translate(str.maketrans("LPI", "RAS"))) != sorted("RAS"):
            raise _not_supported("Orientation", f"the axes {quoted(axcodes)}")
        if self.labels not in (None, FORMER_LABELS):
            raise _not_supported("Orientation", f"the labels {quoted(self.labels)}")
        return Orientation(axcodes)


class _Spacing(_Transform):
    irrelevant: ClassVar[frozenset[str]] = BOOKKEEPING | META_KEYS | {"ensure_same_shape"}
    pixdim: Millimetres | Annotated[tuple[Millimetres, ...], Field(min_length=1)]
    mode: Literal["bilinear", "nearest", 0, 1] | tuple[Literal["bilinear", "nearest"], ...] = "bilinear"
    diagonal: Literal[False] = False
    padding_mode: Literal["border"] = "border"
    align_corners: Literal[False] | None = False
    dtype: FloatType = "float64"
    scale_extent: Literal[False] = False
    recompute_affine: Literal[False] = False
    min_pixdim: None = None
    max_pixdim: None = None

    def step(self) -> Spacing:
        given = self.pixdim if isinstance(self.pixdim, tuple) else (self.pixdim,)
        modes = set(self.mode) if isinstance(self.mode, tuple) else {self.mode}
        if len(modes) != 1:
            raise _not_supported("Spacing", f"the modes {quoted(list(modes))}")
        mode = {0: "nearest", 1: "bilinear"}.get(*modes, *modes)
        # as MONAI: too few numbers are filled up with the last one, and what is beyond three axes is not used
        return Spacing((*given, given[-1], given[-1])[:3], mode)


class _NormalizeIntensity(_Transform):
    subtrahend: float | tuple[float, ...] | None = None
    divisor: float | tuple[float, ...] | None = None
    nonzero: Flag = False
    channel_wise: Flag = False
    dtype: FloatType = "float32"

    def step(self) -> NormalizeIntensity:
        return NormalizeIntensity(
            nonzero=self.nonzero,
            channel_wise=self.channel_wise,
            subtrahend=self._numbers("subtrahend"),
            divisor=self._numbers("divisor"),
        )

    def _numbers(self, which: str) -> tuple[float, ...] | None:
        value = getattr(self, which)
        if value is None:
            return None
        if isinstance(value, tuple) is not self.channel_wise:
            raise _not_supported("NormalizeIntensity", f"{which} = {quoted(value)}, which does not fit channel_wise")
        return value if isinstance(value, tuple) else (value,)


class _ScaleIntensity(_Transform):
    minv: float | None = 0.0
    maxv: float | None = 1.0
    factor: float | None = None
    channel_wise: Flag = False
    dtype: FloatType = "float32"

    def step(self) -> ScaleIntensity:
        return ScaleIntensity(self.minv, self.maxv, self.factor, self.channel_wise)


class _ScaleIntensityRange(_Transform):
    a_min: float
    a_max: float
    b_min: float | None = None
    b_max: float | None = None
    clip: Flag = False
    dtype: FloatType = "float32"

    def step(self) -> ScaleIntensityRange:
        return ScaleIntensityRange(self.a_min, self.a_max, self.b_min, self.b_max, self.clip)


class _ScaleIntensityRangePercentiles(_Transform):
    lower: Percentile
    upper: Percentile
    b_min: float | None
    b_max: float | None
    clip: Flag = False
    relative: Flag = False
    channel_wise: Flag = False
    dtype: FloatType = "float32"

    def step(self) -> ScaleIntensityRangePercentiles:
        return ScaleIntensityRangePercentiles(
            self.lower, self.upper, self.b_min, self.b_max, self.clip, self.relative, self.channel_wise
        )


TRANSFORMS: dict[str, type[_Transform]] = {
    "LoadImage": _LoadImage,
    "EnsureChannelFirst": _ChannelFirst,
    "AddChannel": _ChannelFirst,
    "AsChannelFirst": _ChannelFirst,
    "EnsureType": _EnsureType,
    "ToTensor": _EnsureType,
    "CastToType": _CastToType,
    "ToDevice": _ToDevice,
    "ConcatItems": _ConcatItems,
    "Orientation": _Orientation,
    "Spacing": _Spacing,
    "NormalizeIntensity": _NormalizeIntensity,
    "ScaleIntensity": _ScaleIntensity,
    "ScaleIntensityRange": _ScaleIntensityRange,
    "ScaleIntensityRangePercentiles": _ScaleIntensityRangePercentiles,
}
"""Every transform of a preprocessing that is understood, by its name without suffix."""


def read_preparation(preprocessing: object) -> tuple[PreparationStep, ...]:
    """The steps of a bundle's preprocessing, in its order.

    Args:
        preprocessing: that part of the configuration, resolved.

    Raises:
        BundleRejected: a transform, or an argument of one, is not on the allow-list.
    """
    steps = []
    images: list[str] = []
    for component in read_transforms(preprocessing, PLACE):
        name = transform_name(component.target)
        if name not in TRANSFORMS:
            raise BundleRejected(
                f"The bundle's preprocessing asks for the transform {quoted(component.target)}, which is not supported",
                why="leaving it out would change the result",
                remedy="Use a bundle without it",
            )
        transform = TRANSFORMS[name].read(component.arguments, f"the transform {quoted(component.target)}")
        images = _followed(images, transform, component)
        if (step := transform.step()) is not None:
            steps.append(_for_each(step) if len(images) > 1 else step)
    if len(steps) > MAXIMUM_STEPS:
        raise BundleRejected(
            f"The bundle's preprocessing changes a volume in {len(steps)} steps",
            why=f"more than {MAXIMUM_STEPS} would take hours, and published ones have four",
            remedy="Correct the preprocessing in configs/inference.json",
        )
    if len(images) > 1:
        raise _not_supported("LoadImage", f"the images {quoted(', '.join(images))} without joining them by ConcatItems")
    return tuple(steps)


def _followed(images: list[str], transform: _Transform, component: Component) -> list[str]:
    """The keys of the images that are on their way to the network, after this transform."""
    keys = keys_of(component)
    joins = isinstance(transform, _ConcatItems)
    if keys and images and (keys != images if joins else sorted(keys) != sorted(images)):
        raise _not_supported(component.target, f"the keys {quoted(', '.join(keys))} for {quoted(', '.join(images))}")
    return [transform.name] if joins else images or keys


def _for_each(step: PreparationStep) -> PreparationStep:
    """A step on images that are joined later takes each by itself: to the joined image, channel-wise."""
    if isinstance(step, NormalizeIntensity) and (step.subtrahend or step.divisor):
        raise _not_supported("NormalizeIntensity", "fixed numbers for several images")
    return replace(step, channel_wise=True) if hasattr(step, "channel_wise") else step


def _not_supported(name: str, what: str) -> BundleRejected:
    return BundleRejected(
        f"The bundle's preprocessing gives {name} {what}",
        why="that is not supported, and leaving it out would change the result",
        remedy="Use a bundle without it",
    )
