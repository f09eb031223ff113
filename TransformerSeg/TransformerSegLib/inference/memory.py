"""How much memory a run will take, told before it starts, and where its work is put because of that."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.plan import (
    NormalizeIntensity,
    Orientation,
    PreparationStep,
    ScaleIntensity,
    ScaleIntensityRangePercentiles,
    SlicePlan,
    Spacing,
)
from TransformerSegLib.errors import OutOfMemory
from TransformerSegLib.inference.data_size import data_size
from TransformerSegLib.inference.devices import CPU, Device
from TransformerSegLib.inference.discretising import label_dtype
from TransformerSegLib.inference.model_grid import ModelGrid
from TransformerSegLib.inference.orientation import reorientation
from TransformerSegLib.inference.parts import Part
from TransformerSegLib.inference.placement import Placement
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.inference.sliding_window import LENGTH_OF_A_PIECE
from TransformerSegLib.inference.windows import Windows, windows_over
from TransformerSegLib.networks.registry import configured

FLOAT32_BYTES = 4
HALF_PRECISION_FACTOR = 2
"""Weights may lie on disk in half precision; in memory they are float32."""

USUAL_LAYERS = 4
"""Classes may overlap in as many layers as there are classes; anatomy rarely needs more than a few."""

LARGEST_BATCH, ROOMY_SHARE = 8, 0.5
"""Windows, or slices, that are enough for any GPU at a time; and how much of its free memory they may take."""


@dataclass(frozen=True)
class Estimate:
    """What a run will take, in bytes; beside the input volumes, which are there already.

    Attributes:
        windows: how many there are; slices, where the network sees these.
        weights: of the network, float32; at most.
        activations: of one window's forward pass.
        sums: scores of the part of the image that coming windows still touch; of one slice.
        image_and_labels: the resampled image, if there is one, and the labels.
        preparing: copies of the image while its intensities are measured, before any window is run.
        part: what was counted.
    """

    windows: int
    weights: int
    activations: int
    sums: int
    image_and_labels: int
    preparing: int = 0
    part: Part = Part.WINDOW

    def on_device(self, placement: Placement) -> int:
        """Bytes on the network's device."""
        network = self.weights + self.activations * min(placement.batch_size, self.windows)
        return network + (self.sums if placement.accumulate_on == placement.device else 0)

    def on_cpu(self, placement: Placement) -> int:
        """Bytes of the computer's memory, at the peak."""
        if placement.device == CPU:
            return max(self.preparing, self.image_and_labels + self.on_device(placement))
        return max(self.preparing, self.image_and_labels + (self.sums if placement.accumulate_on == CPU else 0))

    def in_words(self, placement: Placement) -> str:
        """A sentence for people, before the run."""
        where = "" if placement.device == CPU else f" and {data_size(self.on_device(placement))} on {placement.device}"
        return f"{self.part.counted(self.windows)}, about {data_size(self.on_cpu(placement))} of memory{where}."


def estimate(
    bundle: Bundle,
    shape: tuple[int, int, int],
    affine: np.ndarray,
    preset: Preset = Preset.STANDARD,
    whole_shape: tuple[int, int, int] | None = None,
) -> Estimate:
    """Estimate a run over a volume of this shape and place. Loads neither torch nor weights.

    Args:
        shape: (I, J, K) of the input, after it was cut to a region.
        affine: 4×4, index → RAS in mm.
        preset: how much the windows overlap.
        whole_shape: of the input that this is only a part of, whose labels are wanted all the same, and which is
            prepared beside it where intensities are measured on it; None: this is all.
    """
    plan, card = bundle.plan, bundle.card
    grid = _model_grid(plan.preparation, shape, affine)
    architecture = configured(plan.network.architecture, plan.network.arguments)
    if isinstance(plan.window, SlicePlan):
        parts, live = grid.shape[0], math.prod(grid.shape[1:])
    else:
        windows = windows_over(grid.shape, preset.window(plan.window))
        parts, live = len(windows), _live(windows)
    image = len(card.inputs) * math.prod(grid.shape) * FLOAT32_BYTES
    resampled = 0 if grid.resampled is None else image
    labelled = math.prod(whole_shape or shape)
    whole = grid if whole_shape is None else _model_grid(plan.preparation, whole_shape, affine)
    whole_image = len(card.inputs) * math.prod(whole.shape) * FLOAT32_BYTES
    layers = 1 if plan.output.threshold is None else -(-len(card.classes) // 8) + min(len(card.classes), USUAL_LAYERS)
    copies = max((_copies(step) for step in plan.preparation), default=0)
    return Estimate(
        windows=parts,
        weights=bundle.weights.stat().st_size * HALF_PRECISION_FACTOR,
        activations=architecture.activation_bytes(plan.window.size),
        sums=architecture.out_channels * live * FLOAT32_BYTES,
        image_and_labels=resampled + layers * labelled * label_dtype(card.classes).itemsize,
        preparing=_preparing(resampled, copies, whole_image, beside=whole_shape is not None),
        part=Part.of(plan.window),
    )


def _preparing(resampled: int, copies: float, whole_image: int, beside: bool) -> int:
    """Bytes, of the image while intensities are measured, on the whole, which may lie beside it."""
    measured_beside = whole_image if beside and copies and resampled else 0
    return resampled + measured_beside + round(copies * whole_image)


def _live(windows: Windows) -> int:
    """Voxels whose sums are held: those of the rows that the next row of windows touches again, over all columns;
    and those of the windows of one column, whole."""
    rows, columns, depth = windows.image_size
    height, width, _ = windows.roi_size
    step = windows.starts[0][1] - windows.starts[0][0] if len(windows.starts[0]) > 1 else 0
    return (min(height - step + LENGTH_OF_A_PIECE, rows) * columns + min(step, rows) * min(width, columns)) * depth


def fitting(needed: Estimate, placement: Placement, device: Device, computer: Device) -> list[Placement]:
    """The steps from ``placement`` down to the first that fits into the free memory of its device.

    A computer that is short of memory itself is no reason to leave its GPU: the CPU would need more.

    Args:
        device: that of the placement.
        computer: the CPU, with the computer's memory.

    Returns:
        Every step, from ``placement`` itself to the one to use, which is the last.

    Raises:
        OutOfMemory: even that step needs more than all the memory that the computer has.
    """
    steps = [placement]
    while not _fits(needed, steps[-1], device, computer) and (smaller := steps[-1].smaller()) is not None:
        steps.append(smaller)
    wanted = needed.on_cpu(steps[-1])
    if computer.total_bytes is not None and wanted > computer.total_bytes:
        raise OutOfMemory(
            f"This volume needs about {data_size(wanted)} of memory",
            why=f"the computer has {data_size(computer.total_bytes)}",
            remedy="Segment only a part of it (--roi)",
        )
    return steps


def roomy(needed: Estimate, placement: Placement, device: Device) -> Placement:
    """The placement with as many windows at a time as keep a GPU busy, and leave half of its free memory free.

    A CPU is as fast with one at a time, and a GPU whose free memory is not known is left alone.

    Args:
        placement: as the model's bundle has it; its batch is never made smaller.
        device: that of the placement.
    """
    if placement.device == CPU or device.free_bytes is None:
        return placement
    larger = replace(placement, batch_size=2 * placement.batch_size)
    enough = larger.batch_size <= min(LARGEST_BATCH, needed.windows)
    if not enough or needed.on_device(larger) > ROOMY_SHARE * device.free_bytes:
        return placement
    return roomy(needed, larger, device)


def _fits(needed: Estimate, placement: Placement, device: Device, computer: Device) -> bool:
    if placement.device == CPU:
        return computer.free_bytes is None or needed.on_cpu(placement) <= computer.free_bytes
    return device.free_bytes is None or needed.on_device(placement) <= device.free_bytes


def _copies(step: PreparationStep) -> float:
    """How many float32 copies of the image a step makes for a moment; measured."""
    match step:
        case NormalizeIntensity(nonzero=True):
            return 8.5
        case ScaleIntensityRangePercentiles():
            return 2.0
        case NormalizeIntensity() | ScaleIntensity():
            return 1.0
    return 0.0


def _model_grid(steps: tuple[PreparationStep, ...], shape: tuple[int, int, int], affine: np.ndarray) -> ModelGrid:
    grid = ModelGrid(affine, shape)
    for step in steps:
        match step:
            case Orientation():
                grid = grid.turned(reorientation(grid.affine, step.axcodes))
            case Spacing():
                grid = grid.spaced(step.pixdim)
    return grid
