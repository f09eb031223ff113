"""A ``.seg.nrrd`` file, as this project writes it and as Slicer does when a person has corrected it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from TransformerSegLib.errors import TrainingDataRejected
from TransformerSegLib.export.segment_metadata import REVIEW_TAG, TAG_PREFIX
from TransformerSegLib.inference.itk_geometry import affine_of
from TransformerSegLib.inference.names import clean_name, path_for_itk, shown
from TransformerSegLib.inference.quiet import run_quietly

SUFFIX = ".seg.nrrd"

STATUS_TAG = "Segmentation.Status"
COMPLETED = "completed"
"""What Slicer's Segment Editor calls a segment's status, and the one of its values that a person sets at the end."""

_INPUTS_TAG = f"{TAG_PREFIX}inputs"


@dataclass(frozen=True)
class FileSegment:
    """One segment of a file.

    Attributes:
        name: as a person sees and changes it in Slicer.
        color: red, green, blue, each 0…1.
        layer, label: its voxels are those of this layer that hold this value. (Slicer numbers them anew when it saves.)
        completed: whether a person gave it the status “completed”.
        inputs: names of the volumes that a run made it from; empty where nothing tells them.
        signed_off: whether it is part of a segmentation that a person signed off.
    """

    name: str
    color: tuple[float, float, float]
    layer: int
    label: int
    completed: bool
    inputs: tuple[str, ...]
    signed_off: bool = False


@dataclass(frozen=True, eq=False)
class SegmentLayers:
    """The voxels of a file.

    Attributes:
        layers: labels, (L, I, J, K), whole numbers from 0 up.
        affine: 4×4, index → RAS in mm. Slicer may save only a part of the image's grid.
    """

    layers: np.ndarray
    affine: np.ndarray


def read_segments(path: Path) -> tuple[FileSegment, ...]:
    """The segments of a file, in its order; its header alone is read.

    Raises:
        TrainingDataRejected: the file is missing, damaged, or holds no segments.
    """
    import SimpleITK

    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(path_for_itk(path))
    try:
        run_quietly(reader.ReadImageInformation)
        fields = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
        segments = []
        while f"Segment{len(segments)}_Name" in fields:
            segments.append(_segment(fields, f"Segment{len(segments)}_"))
    except (RuntimeError, ValueError, KeyError) as error:
        raise _unreadable(path) from error
    if not segments:
        raise TrainingDataRejected(
            f"“{shown(path)}” names no segment",
            why="without names nothing tells which class its voxels are",
            remedy="Save the segmentation from Slicer as .seg.nrrd",
        )
    return tuple(segments)


def read_layers(path: Path) -> SegmentLayers:
    """The voxels of a file.

    Raises:
        TrainingDataRejected: the file is missing or damaged.
    """
    import SimpleITK

    try:
        image, _ = run_quietly(lambda: SimpleITK.ReadImage(path_for_itk(path)))
    except RuntimeError as error:
        raise _unreadable(path) from error
    array = SimpleITK.GetArrayFromImage(image)
    if image.GetDimension() != 3 or array.dtype.kind not in "iu" or array.min(initial=0) < 0:
        raise _unreadable(path)
    layers = np.moveaxis(array, -1, 0) if array.ndim == 4 else array[None]
    return SegmentLayers(layers.transpose(0, 3, 2, 1), affine_of(image))


def _segment(fields: dict[str, str], begin: str) -> FileSegment:
    tags = dict(
        tag.partition(":")[::2] for tag in fields.get(f"{begin}Tags", "").split("|") if ":" in tag
    )  # values may hold further colons
    red, green, blue = (float(part) for part in fields[f"{begin}Color"].split())
    return FileSegment(
        name=clean_name(fields[f"{begin}Name"]),
        color=(red, green, blue),
        layer=int(fields.get(f"{begin}Layer", 0)),
        label=int(fields[f"{begin}LabelValue"]),
        completed=tags.get(STATUS_TAG) == COMPLETED,
        inputs=_names(tags.get(_INPUTS_TAG, "")),
        signed_off=REVIEW_TAG in tags,
    )


def _names(text: str) -> tuple[str, ...]:
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def _unreadable(path: Path) -> TrainingDataRejected:
    return TrainingDataRejected(
        f"“{shown(path)}” cannot be read",
        why="it is missing, damaged, or no segmentation of Slicer's",
        remedy="Save the segmentation from Slicer again, as .seg.nrrd",
    )
