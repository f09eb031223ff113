"""DICOM files for tests: real ones, changed in one respect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

REAL = Path(__file__).parent / "data" / "dicom"


def changed(source: str, target: Path, change: Callable[[Dataset, int], None]) -> Path:
    """Copy a series of ``Testing/data/dicom``, each data set changed on the way.

    Args:
        source: the folder's name.
        target: where to, made if it is not there.
        change: called with each data set and its place in the order of the slices, 0, 1, …

    Returns:
        ``target``.
    """
    target.mkdir(parents=True, exist_ok=True)
    data_sets = [dcmread(path) for path in (REAL / source).iterdir()]
    for index, data_set in enumerate(sorted(data_sets, key=lambda one: int(one.InstanceNumber))):
        change(data_set, index)
        data_set.save_as(target / f"{index:03d}.dcm")
    return target
