"""Golden cases: official answers to weights and inputs that are made from names.

Small configurations lie in ``data/golden``, and the full ones of the networks of slices; other full ones in a folder
that is not part of the repository (see ``golden_full``).
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).parent / "data" / "golden"

MARK = 1e-4
"""Largest difference to the official answer, in its standard deviations; float32 noise is at most 4e-5."""

OFFSETS = {"normw": 1.0, "var": 1.0}
KEPT = "keep"
"""The rule of tensors that the network's constructor makes."""

COUNTER, COUNTED = "nbt", 7
"""The rule of BatchNorm's counters, and what they all stand at."""


@dataclass(frozen=True)
class GoldenCase:
    """One of the cases.

    Attributes:
        name: of the case.
        network: the official implementation ("unetr_btcv").
        config: the official constructor's arguments.
        seed: of weights and inputs.
        tensors: name, shape, rule and scale of each in the official state dict.
        input_shapes: (B, C, *sides) of each input.
        samples: of each output, (B, C, *sides): every ``stride``-th voxel along each axis, from ``start`` on.
        deviations: standard deviation of each whole output.
        start, stride: of the samples, voxels.
    """

    name: str
    network: str
    config: Mapping[str, object]
    seed: int
    tensors: Sequence[tuple[str, Sequence[int], str, float]]
    input_shapes: Mapping[str, Sequence[int]]
    samples: Mapping[str, np.ndarray]
    deviations: Mapping[str, float]
    start: int
    stride: int

    @cached_property
    def weights(self) -> dict[str, torch.Tensor]:
        """Those that are made by rule, by their official name."""
        import torch

        return {
            name: torch.from_numpy(self._value(name, shape, rule, scale))
            for name, shape, rule, scale in self.tensors
            if rule != KEPT
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the official state dict's tensors."""
        return {name: tuple(shape) for name, shape, _, _ in self.tensors}

    @property
    def input(self) -> torch.Tensor:
        """(B, C, *sides) float32."""
        return self.input_for("output")

    def input_for(self, output: str) -> torch.Tensor:
        """What an output answers: ``input_gray`` for ``output_gray``, ``input`` for all that have none of their own."""
        import torch

        name = output.replace("output", "input")
        name = name if name in self.input_shapes else "input"
        return torch.from_numpy(2.0 * _noise(f"##{name}", self.input_shapes[name], self.seed))

    def deviation(self, answer: torch.Tensor, output: str) -> float:
        """The largest difference between an answer and the official one, in standard deviations of the latter."""
        every = slice(self.start, None, self.stride)
        sample = answer.numpy()[(..., *[every] * (answer.ndim - 2))]
        return float(np.abs(sample - self.samples[output]).max() / self.deviations[output])

    def _value(self, name: str, shape: Sequence[int], rule: str, scale: float) -> np.ndarray:
        if rule == COUNTER:
            return np.array(COUNTED, dtype=np.int64)
        return np.float32(OFFSETS.get(rule, 0.0)) + np.float32(scale) * _noise(name, shape, self.seed)


def golden_case(name: str) -> GoldenCase:
    """Read a small case."""
    case = json.loads((FOLDER / f"{name}.json").read_text())
    with np.load(FOLDER / f"{name}.npz") as stored:
        arrays = dict(stored)
    deviations = {output: float(arrays.pop(f"{output}_std")) for output in [n for n in arrays if f"{n}_std" in arrays]}
    return GoldenCase(name=name, samples=arrays, deviations=deviations, **{"start": 0, **case})


def _noise(name: str, shape: Sequence[int], seed: int) -> np.ndarray:
    """Float32 multiples of 1/16 between -15/16 and 15/16, from the name alone."""
    generator = np.random.RandomState((zlib.crc32(name.encode()) + 7919 * seed) % 2**32)
    return (generator.randint(-15, 16, size=math.prod(shape), dtype=np.int64).reshape(shape) / 16.0).astype(np.float32)
