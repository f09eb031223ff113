"""DICOM segmentations read back by highdicom, and judged by dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import highdicom
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, segread

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def faults(path: Path) -> list[str]:
    """What dciodvfy finds wrong; nothing where it is not installed, as on Windows."""
    if shutil.which("dciodvfy") is None:
        return []
    judged = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True)
    return [line for line in (judged.stdout + judged.stderr).splitlines() if line.startswith("Error")]


def read_back(path: Path) -> tuple[Segmentation, dict[str, int]]:
    """A file, and the numbers of its segments by their labels."""
    found = segread(path)
    labels = {str(item.SegmentLabel): int(item.SegmentNumber) for item in found.SegmentSequence}
    assert list(labels.values()) == found.segment_numbers
    return found, labels


def places(found: Segmentation, number: int) -> np.ndarray:
    """(n, 3): centres of a segment's voxels, RAS in mm, sorted."""
    volume = found.get_volume(segment_numbers=[number], combine_segments=True)
    return _sorted(_FLIP @ volume.affine, np.argwhere(volume.array))


def places_of(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Likewise, of a mask (I, J, K)."""
    return _sorted(affine, np.argwhere(mask))


def assert_same_places(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=2e-3)


def rgb(found: Segmentation, number: int) -> np.ndarray:
    """A segment's colour, each part 0…1."""
    value = found.get_segment_description(number).RecommendedDisplayCIELabValue
    return np.array(CIELabColor.from_dicom_value(value).to_rgb(clip=True)) / 255


def concept(item: highdicom.sr.CodedConcept) -> tuple[str, str, str]:
    return item.scheme_designator, item.value, item.meaning


def _sorted(affine: np.ndarray, indices: np.ndarray) -> np.ndarray:
    ras = (affine @ np.c_[indices, np.ones(len(indices))].T)[:3].T
    return ras[np.lexsort(ras.round(2).T)]
