"""How a recipe scales intensities: what the exported bundle asks of the engine, and MONAI's transform of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from TransformerSegLib.bundles.plan import NormalizeIntensity, ScaleIntensityRange

if TYPE_CHECKING:
    from monai.transforms import MapTransform


class _Scaling(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MeanAndDeviation(_Scaling):
    """Mean 0 and standard deviation 1: for MR, whose intensities have no unit.

    Attributes:
        nonzero: of the voxels that are not 0, which alone are changed.
        channel_wise: each input volume by itself.
    """

    nonzero: bool = False
    channel_wise: bool = False

    @property
    def step(self) -> NormalizeIntensity:
        return NormalizeIntensity(nonzero=self.nonzero, channel_wise=self.channel_wise)

    def transform(self) -> MapTransform:
        """Of the key "image"."""
        from monai.transforms import NormalizeIntensityd

        return NormalizeIntensityd("image", nonzero=self.nonzero, channel_wise=self.channel_wise)


class Range(_Scaling):
    """From ``a_min``…``a_max`` to ``b_min``…``b_max``: for CT, whose intensities are Hounsfield units.

    Attributes:
        clip: whether what lies outside is brought to the nearer end.
    """

    a_min: float
    a_max: float
    b_min: float = 0.0
    b_max: float = 1.0
    clip: bool = True

    @property
    def step(self) -> ScaleIntensityRange:
        return ScaleIntensityRange(self.a_min, self.a_max, self.b_min, self.b_max, self.clip)

    def transform(self) -> MapTransform:
        """Of the key "image"."""
        from monai.transforms import ScaleIntensityRanged

        return ScaleIntensityRanged("image", self.a_min, self.a_max, self.b_min, self.b_max, clip=self.clip)
