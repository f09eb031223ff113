"""One network architecture: the arguments it takes from a bundle, and the module built from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.arguments import Arguments

if TYPE_CHECKING:
    import torch

MAXIMUM_CHANNELS = 1024
"""Most input volumes, and most classes, of a network."""

MAXIMUM_NETWORK_BYTES = 4 * 1024**3
"""Largest network that is built: 10⁹ float32 parameters, six times the largest one that is published."""

FLOAT32_BYTES = 4

WORKSPACE_BYTES = 30_000_000
"""What a forward pass takes whatever the size of its window."""

Channels = Annotated[int, Field(ge=1, le=MAXIMUM_CHANNELS)]
Rate = Annotated[float, Field(ge=0.0, le=1.0)]


class Architecture(Arguments, ABC):
    """The checked arguments of one network; a subclass is one architecture.

    Attributes:
        name: what ``NetworkPlan.architecture`` calls it; also what MONAI's ``_target_`` calls it.
        targets: every spelling of ``_target_`` that names it.
        idle_weights: a regular expression for the names of tensors that take no part in the result. Versions of
            MONAI differ in them, so they may be missing from a weights file or be left over in it.
        axes: of its window: 3, or 2 where the network sees slices.
    """

    name: ClassVar[str]
    targets: ClassVar[frozenset[str]]
    idle_weights: ClassVar[str] = r"(?!)"
    axes: ClassVar[int] = 3

    in_channels: Channels
    out_channels: Channels

    @classmethod
    @abstractmethod
    def modern(cls, arguments: Mapping[str, object], trained_with_monai: str | None) -> dict[str, object]:
        """Arguments as they stand in a bundle of any age → arguments as the fields of this class.

        Args:
            arguments: as in the bundle's ``network_def``, without ``_target_``.
            trained_with_monai: the version of MONAI that the weights were trained with; None where it is not known.
        """

    @classmethod
    def depends_on_monai(cls, arguments: Mapping[str, object]) -> bool:
        """Whether these arguments of a bundle mean one thing or another by the version of MONAI that trained it."""
        return False

    @abstractmethod
    def window_fault(self, roi_size: tuple[int, ...]) -> str | None:
        """What is wrong with a window of this size in voxels ("its sides are not multiples of 32"), or None."""

    @abstractmethod
    def activation_bytes(self, roi_size: tuple[int, ...]) -> int:
        """Estimated peak of what one forward pass over one window takes beside the weights: bytes, float32.

        Fitted to peaks measured on a CPU (``make bench`` prints the estimate beside the measured figure); a GPU's
        libraries may take somewhat more or less.
        """

    @abstractmethod
    def operations(self, roi_size: tuple[int, ...]) -> float:
        """Floating-point operations of one forward pass over one window: those of its matrix products and
        convolutions, beside which all others are few."""

    @property
    def has_fast_form(self) -> bool:
        """Whether ``fast_form`` covers the network with these arguments."""
        return False

    @abstractmethod
    def module(self) -> torch.nn.Module:
        """The network with random weights. Input: (B, in_channels, *window) float32; output: (B, out_channels, …)."""

    @property
    def has_layers(self) -> bool:
        """Whether there are ``layers``."""
        return False

    def layers(self) -> torch.nn.Module:
        """The network's layers, named as in ``module`` and with its tensors, of which ``fast_form`` makes a network
        without MONAI, which takes seconds to load. Only where ``has_layers``."""
        raise NotImplementedError

    def outline(self) -> dict[str, torch.Tensor]:
        """Every tensor of the network by its name, with shape and type but without memory.

        Raises:
            BundleRejected: the network would be larger than ``MAXIMUM_NETWORK_BYTES``.
        """
        import torch

        with torch.device("meta"), _shapes_only():
            tensors = dict((self.layers() if self.has_layers else self.module()).state_dict())
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if size > MAXIMUM_NETWORK_BYTES:
            raise BundleRejected(
                f"The bundle's network would take {size / 1024**3:.0f} GB of memory",
                why=f"networks of more than {MAXIMUM_NETWORK_BYTES / 1024**3:.0f} GB are not built",
                remedy="Check the sizes in network_def of the bundle's configs/inference.json",
            )
        return tensors


def sides_of(size: int | tuple[int, ...], axes: int = 3) -> tuple[int, ...]:
    """One length a side: 96 → (96, 96, 96)."""
    return (size,) * axes if isinstance(size, int) else size


def fixed_window_fault(built_for: tuple[int, ...], roi_size: tuple[int, ...]) -> str | None:
    """``Architecture.window_fault`` of a network with a position embedding for each of its tokens."""
    if tuple(roi_size) != built_for:
        return f"the network takes windows of {'×'.join(map(str, built_for))} only"
    return None


def _shapes_only() -> torch.overrides.TorchFunctionMode:
    """What networks do with numbers while they are built, for tensors without memory.

    MONAI reads the values of a ``linspace``: these are kept. It stacks places and draws random weights by ``erfinv_``
    and ``clamp_``: of these only the shape is made, since for them torch would load its compiler, which takes more than
    a second.
    """
    import torch

    class ShapesOnly(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            kwargs = dict(kwargs or {})
            if function is torch.linspace:
                kwargs["device"] = "cpu"
            if function in (torch.Tensor.erfinv_, torch.Tensor.clamp_):
                return args[0]
            if function is torch.stack and len(args) == 1 and not kwargs and all(one.is_meta for one in args[0]):
                return args[0][0].new_empty((len(args[0]), *args[0][0].shape))
            return function(*args, **kwargs)

    return ShapesOnly()
