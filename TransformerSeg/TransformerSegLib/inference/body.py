"""Where in a CT the body is, from its voxels alone, so that the air around it need not be segmented.

Other modalities have no number for air: what is dark in them may be air, or tissue far from the coil. They stay whole.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from TransformerSegLib.bundles.plan import SlicePlan, WindowPlan
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.inference.region import FEWEST_VOXELS, Box, Crop
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.inference.volume import Volume

COARSE_MM = 3.0
"""Distance of the voxels that are looked at: the body is larger than that."""

MARGIN_MM = 20.0
"""Kept around the body on all sides, for what it seems to end at may not be its end."""

AIR_HU = -500.0
"""Below it lie air and the lungs, which the body encloses; above it, all tissue."""

THIN_MM = 8.0
"""A part that lies beside the largest belongs to the body unless it is thinner than that all over: two legs, an arm, a
finger do; tables, covers and cables do not."""

WORTH_IT = 0.9
"""A crop that keeps a larger share of the voxels is left alone: there would be little to gain."""

PADDED_WITH_A_VALUE = "constant"
"""How images that are smaller than a window are filled up, if not with copies of themselves."""


def looks_for_body(preset: Preset, window: WindowPlan | SlicePlan, modality: str | None, has_region: bool) -> bool:
    """Whether a run looks only at the body, if that is smaller. A region that a person drew is left as it is, and so
    are slices, which are zoomed, and images that the model fills up with copies of themselves.

    Args:
        modality: as of ``Volume``.
    """
    if not preset.crops or modality != "CT" or has_region or isinstance(window, SlicePlan):
        return False
    return window.padding_mode == PADDED_WITH_A_VALUE


def crop_to_body(volumes: Sequence[Volume]) -> Crop | None:
    """The part of a study that holds the body; None where that is nearly all of it, or nothing stands out.

    Args:
        volumes: CT, on one grid; the body is what is no air in any of them.
    """
    first = volumes[0]
    steps = [max(int(COARSE_MM / length), 1) for length in first.spacing]
    every = tuple(slice(None, None, step) for step in steps)
    tissue = np.any([volume.array[every] > AIR_HU for volume in volumes], axis=0)
    body = _body(tissue, [step * length for step, length in zip(steps, first.spacing, strict=True)])
    if not body.any():
        return None
    box = _around(body, steps, first)
    if min(extent.stop - extent.start for extent in box) < FEWEST_VOXELS or _share(box, first.array) > WORTH_IT:
        return None
    if any(volume.array[box].min() == volume.array[box].max() for volume in volumes):
        return None
    return Crop(box, has_corners_outside=False)


def told_cut(segmentation: Segmentation, crop: Crop) -> tuple[str, ...]:
    """Sentences on what the crop left out: how much, and the classes that may be cut or missing because of it."""
    share = f"{_share(crop.box, segmentation.layers[0]):.0%}".replace("%", " %")
    sentences = [f"Looked only at the body: {share} of the volume. “Standard” looks at all of it."]
    ending = _ending_at(crop, segmentation)
    if cut := [s.definition.name for s in segmentation.segments if (s.layer, s.definition.label) in ending]:
        reach = "reaches" if len(cut) == 1 else "reach"
        sentences.append(f"{', '.join(cut)} {reach} the edge of what was looked at, and may be cut off there.")
    if missing := [segment.definition.name for segment in segmentation.empty_segments]:
        sentences.append(f"Not found in what was looked at: {', '.join(missing)}.")
    return tuple(sentences)


def _share(box: Box, array: np.ndarray) -> float:
    """Of the array's voxels."""
    return float(np.prod([extent.stop - extent.start for extent in box])) / array.size


def _body(tissue: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """The largest connected part, and all others that may be the body's; see ``THIN_MM``."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(tissue.astype(np.uint8))
    parts = SimpleITK.GetArrayFromImage(SimpleITK.ConnectedComponent(image))
    inner = SimpleITK.BinaryErode(image, [int(THIN_MM / 2 / length) for length in reversed(spacing)], SimpleITK.sitkBox)
    thick = np.unique(parts[SimpleITK.GetArrayViewFromImage(inner) > 0])
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.isin(parts, [sizes.argmax(), *thick]) & tissue


def _around(body: np.ndarray, steps: Sequence[int], volume: Volume) -> Box:
    """The box of the volume's voxels around the coarse body, with the margin."""
    box = []
    for axis, (step, length, count) in enumerate(zip(steps, volume.spacing, volume.array.shape, strict=True)):
        held = np.flatnonzero(body.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = int(np.ceil(MARGIN_MM / length)) + step - 1
        box.append(slice(max(int(held[0]) * step - margin, 0), min(int(held[-1]) * step + margin + 1, count)))
    return tuple(box)


def _ending_at(crop: Crop, segmentation: Segmentation) -> set[tuple[int, int]]:
    """Layer and label of all that reaches a face of the crop that is not the volume's own."""
    found = set()
    for number, layer in enumerate(segmentation.layers):
        for axis, (extent, count) in enumerate(zip(crop.box, layer.shape, strict=True)):
            for edge, own in ((extent.start, 0), (extent.stop - 1, count - 1)):
                if edge != own:
                    found.update((number, int(label)) for label in np.unique(layer.take(edge, axis=axis)))
    return found
