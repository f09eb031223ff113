"""Where in a volume the body is, from its voxels alone, so that the air around it need not be segmented."""

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

SHARE_OF_OTSU = 0.5
"""Of Otsu's threshold for other images: what is dark in them (bone, fluid) counts as body, too."""

BINS = 256
HIGHEST_PERCENTILE = 99.5
"""Single bright voxels would leave all others in the first bins."""

ALL_ALIKE = 1e-9
"""Between dark and bright there may be nothing: then all thresholds are as good, and the middle one is taken."""

WORTH_IT = 0.9
"""A crop that keeps a larger share of the voxels is left alone: there would be little to gain."""


PADDED_WITH_A_VALUE = "constant"
"""How images that are smaller than a window are filled up, if not with copies of themselves."""


def looks_for_body(preset: Preset, window: WindowPlan | SlicePlan, has_region: bool) -> bool:
    """Whether a run looks only at the body, if that is smaller. A region that a person drew is left as it is, and so
    are slices, which are zoomed, and images that the model fills up with copies of themselves."""
    if not preset.crops or has_region or isinstance(window, SlicePlan):
        return False
    return window.padding_mode == PADDED_WITH_A_VALUE


def crop_to_body(volumes: Sequence[Volume], modality: str | None) -> Crop | None:
    """The part of a study that holds the body; None where that is nearly all of it, or nothing stands out.

    Args:
        volumes: on one grid; the body is what is bright in any of them.
        modality: "CT", whose numbers mean something; any other, or None.
    """
    first = volumes[0]
    steps = [max(int(COARSE_MM / length), 1) for length in first.spacing]
    every = tuple(slice(None, None, step) for step in steps)
    bright = np.any([_bright(volume.array[every], modality) for volume in volumes], axis=0)
    body = _largest_part(bright)
    if not body.any():
        return None
    box = _around(body, steps, first)
    kept = [extent.stop - extent.start for extent in box]
    if min(kept) < FEWEST_VOXELS or np.prod(kept) > WORTH_IT * first.array.size:
        return None
    if any(volume.array[box].min() == volume.array[box].max() for volume in volumes):
        return None
    return Crop(box, has_corners_outside=False)


def told_cut(segmentation: Segmentation, crop: Crop) -> tuple[str, ...]:
    """Sentences on classes that the crop may have cut, or left out; none where there are none."""
    sentences = []
    if cut := [s.definition.name for s in segmentation.segments if not s.empty and _is_cut(segmentation.mask(s), crop)]:
        sentences.append(
            f"At the edge of the part that was looked at ends: {', '.join(cut)}. “Standard” looks farther."
        )
    if missing := [segment.definition.name for segment in segmentation.empty_segments]:
        sentences.append(
            f"Not found in the part that was looked at: {', '.join(missing)}. “Standard” looks everywhere."
        )
    return tuple(sentences)


def _bright(array: np.ndarray, modality: str | None) -> np.ndarray:
    if modality == "CT":
        return array > AIR_HU
    darkest = float(array.min())
    return array > darkest + SHARE_OF_OTSU * (_otsu(array) - darkest)


def _otsu(array: np.ndarray) -> float:
    """The threshold that parts dark from bright best (Otsu 1979, https://doi.org/10.1109/TSMC.1979.4310076)."""
    lowest, highest = float(array.min()), float(np.percentile(array, HIGHEST_PERCENTILE))
    if highest <= lowest:
        return float(array.max())
    counts, edges = np.histogram(np.minimum(array, highest), BINS, (lowest, highest))
    centres = (edges[:-1] + edges[1:]) / 2
    dark, darkness = np.cumsum(counts), np.cumsum(counts * centres)
    bright = dark[-1] - dark
    with np.errstate(divide="ignore", invalid="ignore"):
        between = dark * bright * (darkness / dark - (darkness[-1] - darkness) / bright) ** 2
    best = np.flatnonzero(between >= (1.0 - ALL_ALIKE) * np.nanmax(between))
    return float((centres[best[0]] + centres[best[-1]]) / 2)


def _largest_part(bright: np.ndarray) -> np.ndarray:
    """The largest connected part: cushions and cables beside the patient are smaller."""
    import SimpleITK

    parts = SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray(bright.astype(np.uint8)))
    numbers = SimpleITK.GetArrayViewFromImage(parts)
    sizes = np.bincount(numbers.ravel())
    sizes[0] = 0
    return numbers == sizes.argmax() if sizes.any() else np.zeros_like(bright)


def _around(body: np.ndarray, steps: Sequence[int], volume: Volume) -> Box:
    """The box of the volume's voxels around the coarse body, with the margin."""
    box = []
    for axis, (step, length, count) in enumerate(zip(steps, volume.spacing, volume.array.shape, strict=True)):
        held = np.flatnonzero(body.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = int(np.ceil(MARGIN_MM / length)) + step - 1
        box.append(slice(max(int(held[0]) * step - margin, 0), min(int(held[-1]) * step + margin + 1, count)))
    return tuple(box)


def _is_cut(mask: np.ndarray, crop: Crop) -> bool:
    """Whether a segment reaches a face of the crop that is not the volume's own."""
    for axis, (extent, count) in enumerate(zip(crop.box, mask.shape, strict=True)):
        for edge, own in ((extent.start, 0), (extent.stop - 1, count - 1)):
            if edge != own and mask.take(edge, axis=axis).any():
                return True
    return False
