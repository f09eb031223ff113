"""What networks of slices have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import Field, model_validator

from TransformerSegLib.networks.architecture import Architecture, fixed_window_fault

MAXIMUM_SIDE = 2048
"""Pixels, along each side of a slice."""


class SliceArchitecture(Architecture, ABC):
    """A network that sees square slices of one size, each by itself.

    Attributes:
        img_size: pixels, along both sides of a slice.
        stem_channels: of the network's first convolution. A single input volume is repeated to as many; otherwise
            there are as many input volumes.
    """

    axes: ClassVar[int] = 2

    img_size: int = Field(default=224, ge=1, le=MAXIMUM_SIDE)
    stem_channels: int = Field(default=3, ge=1, le=64)

    @model_validator(mode="after")
    def _stem_takes_the_volumes(self) -> Self:
        if self.in_channels not in (1, self.stem_channels):
            raise ValueError(f"in_channels must be 1 or the {self.stem_channels} of stem_channels")
        return self

    @classmethod
    def modern(cls, arguments: Mapping[str, object], trained_with_monai: str | None) -> dict[str, object]:
        """No version of MONAI has these networks: their arguments have not changed."""
        return dict(arguments)

    def window_fault(self, roi_size: tuple[int, ...]) -> str | None:
        return fixed_window_fault((self.img_size,) * self.axes, roi_size)
