"""The golden cases in ``data/golden``: official answers to weights and inputs that are made from names."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).parent / "data" / "golden"
STRIDE = 8
"""Voxels between those of an output that are stored, along each axis."""

OFFSETS = {"normw": 1.0}
KEPT = "keep"
"""The rule of tensors that the network's constructor makes."""


@dataclass(frozen=True)
class GoldenCase:
    """One of the cases.

    Attributes:
        config: the official constructor's arguments.
        input: (B, C, I, J, K) float32.
        weights: those that are made by rule, by their official name.
        outputs: name → every ``STRIDE``-th voxel of the answer; and name + "_std" → its standard deviation.
    """

    config: dict[str, object]
    input: torch.Tensor
    weights: dict[str, torch.Tensor]
    outputs: dict[str, np.ndarray]

    def deviation(self, answer: torch.Tensor, output: str) -> float:
        """The largest difference between an answer and the official one, in standard deviations of the latter."""
        sample = answer.numpy()[..., ::STRIDE, ::STRIDE, ::STRIDE]
        return float(np.abs(sample - self.outputs[output]).max() / self.outputs[f"{output}_std"])


def golden_case(name: str) -> GoldenCase:
    """Read a case."""
    import torch

    case = json.loads((FOLDER / f"{name}.json").read_text())
    weights = {
        tensor: torch.from_numpy(
            np.float32(OFFSETS.get(rule, 0.0)) + np.float32(scale) * _noise(tensor, shape, case["seed"])
        )
        for tensor, shape, rule, scale in case["tensors"]
        if rule != KEPT
    }
    given = torch.from_numpy(2.0 * _noise("##input", case["input_shape"], case["seed"]))
    with np.load(FOLDER / f"{name}.npz") as outputs:
        return GoldenCase(case["config"], given, weights, dict(outputs))


def _noise(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """Float32 multiples of 1/16 between -15/16 and 15/16, from the name alone."""
    generator = np.random.RandomState((zlib.crc32(name.encode()) + 7919 * seed) % 2**32)
    return (generator.randint(-15, 16, size=math.prod(shape), dtype=np.int64).reshape(shape) / 16.0).astype(np.float32)
