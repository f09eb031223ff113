"""The networks that bundles may ask for. A new architecture is one more entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.architecture import Architecture
from TransformerSegLib.networks.file_text import quoted
from TransformerSegLib.networks.swin_unet import SwinUnet
from TransformerSegLib.networks.swin_unetr import SwinUNETR
from TransformerSegLib.networks.transunet import TransUNet
from TransformerSegLib.networks.unest import UNesT
from TransformerSegLib.networks.unetr import UNETR
from TransformerSegLib.networks.unetr_tamasino52 import UNETRTamasino52

if TYPE_CHECKING:
    import torch

ARCHITECTURES: dict[str, type[Architecture]] = {
    architecture.name: architecture for architecture in (SwinUNETR, UNETR, UNETRTamasino52, SwinUnet, TransUNet, UNesT)
}


def architecture_for(target: str) -> type[Architecture]:
    """The architecture that a bundle's ``_target_`` names, e.g. "monai.networks.nets.SwinUNETR".

    Raises:
        BundleRejected: it is none of ``ARCHITECTURES``.
    """
    for architecture in ARCHITECTURES.values():
        if target in architecture.targets:
            return architecture
    *first, last = ARCHITECTURES
    raise BundleRejected(
        f"The bundle's network {quoted(target)} is not supported yet",
        why=f"the networks known here are {', '.join(first)} and {last}, and code from a bundle is never run",
        remedy="Use a bundle with one of these",
    )


def configured(name: str, arguments: Mapping[str, object]) -> Architecture:
    """The architecture called ``name`` with these arguments, checked.

    Args:
        name: a key of ``ARCHITECTURES``.
        arguments: plain JSON values under the names of the architecture's fields.

    Raises:
        BundleRejected: the architecture, or one of the arguments, is not allowed.
    """
    return architecture_for(name).read(arguments, f"the network “{name}”")


def build(name: str, arguments: Mapping[str, object]) -> torch.nn.Module:
    """The network called ``name`` with random weights, float32, on the CPU, in training mode.

    Raises:
        BundleRejected: as ``configured``; also where it would not fit ``MAXIMUM_NETWORK_BYTES``.
    """
    architecture = configured(name, arguments)
    architecture.outline()
    return architecture.module()
