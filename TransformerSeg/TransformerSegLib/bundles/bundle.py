"""One trained model on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.plan import Plan
from TransformerSegLib.bundles.weights import fill, read_tensors
from TransformerSegLib.networks.registry import configured

if TYPE_CHECKING:
    import torch

    from TransformerSegLib.networks.architecture import Architecture


@dataclass(frozen=True)
class Bundle:
    """A MONAI bundle that was read and found good. Made by ``read_bundle``; opening one loads no weights.

    Attributes:
        folder: where it lies.
        card: what it says of itself.
        plan: what it asks the engine to do.
        weights: its weights file, ``.safetensors`` or ``.pt``.
    """

    folder: Path
    card: Card
    plan: Plan
    weights: Path

    @cached_property
    def weights_sha256(self) -> str:
        """SHA-256 of the weights file, hexadecimal."""
        with self.weights.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def known_sha256(self) -> str:
        """``weights_sha256`` where it was computed before, else "": a large file takes seconds to read."""
        return self.__dict__.get("weights_sha256", "")

    def network(self) -> torch.nn.Module:
        """The network in evaluation mode, float32, on the CPU, with its weights.

        Input: (B, C, *roi) float32; output: (B, classes, *roi) logits.

        Raises:
            BundleRejected: the weights are damaged or do not fit the network.
        """
        # Before the network is built: a network that is too large is refused by its outline.
        tensors = self._tensors()
        return self._filled(self._architecture.module(), tensors)

    def layers(self) -> torch.nn.Module | None:
        """The network's layers with its weights, without MONAI; see ``Architecture.layers``.

        Raises:
            BundleRejected: as ``network``.
        """
        if not self._architecture.has_layers:
            return None
        tensors = self._tensors()
        return self._filled(self._architecture.layers(), tensors)

    @property
    def _architecture(self) -> Architecture:
        return configured(self.plan.network.architecture, self.plan.network.arguments)

    def _tensors(self) -> dict[str, torch.Tensor]:
        return read_tensors(self.weights, self._architecture)

    def _filled(self, network: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
        fill(network, tensors, self.weights)
        return network.eval().requires_grad_(False)
