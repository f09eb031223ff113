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
        architecture = configured(self.plan.network.architecture, self.plan.network.arguments)
        tensors = read_tensors(self.weights, architecture)
        network = architecture.module()
        fill(network, tensors, self.weights)
        return network.eval().requires_grad_(False)
