"""Whether the inputs of one run belong together: other images of the same part of the same patient."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from TransformerSegLib.errors import FrameOfReferenceMismatch, OtherPatient, SameVolumeTwice
from TransformerSegLib.inference.checks import ACCEPT
from TransformerSegLib.inference.grids import check_grids
from TransformerSegLib.inference.volume import Volume

_SAMPLED_STEP = 7
"""Every so manieth voxel along each axis is compared before all are: most images differ there already."""


def check_together(volumes: Sequence[Volume]) -> None:
    """Refuse volumes that cannot be the inputs of one run, whatever the user accepts.

    Raises:
        OtherPatient, SameVolumeTwice: see ``check_identities``.
        GridMismatch: see ``check_grids``.
    """
    check_identities(volumes)
    check_grids(volumes)


def check_identities(volumes: Sequence[Volume]) -> None:
    """Compare who is shown, and whether it is shown by different images; where the volumes lie does not matter.

    A volume without a Patient ID (no DICOM, or one without names) is taken to be of the others' patient.

    Raises:
        OtherPatient: two volumes have different Patient IDs.
        SameVolumeTwice: see ``check_different``.
    """
    for one, other in combinations(volumes, 2):
        if _differ(one.origin.patient_id, other.origin.patient_id):
            raise OtherPatient(
                f"“{one.name}” and “{other.name}” are of different patients",
                why="their DICOM files have different Patient IDs, and all inputs have to show the same patient",
                remedy="Give images of one patient",
            )
    check_different(volumes)


def check_different(volumes: Sequence[Volume]) -> None:
    """Refuse one image that is given as several.

    A copy that was turned, cropped or padded is found once it is brought onto the grid of the others
    (``bring_together``).

    Raises:
        SameVolumeTwice: two volumes are equal, voxel by voxel, and lie at the same place.
    """
    for one, other in combinations(volumes, 2):
        if _are_the_same(one, other):
            raise given_twice(one.name)


def given_twice(name: str) -> SameVolumeTwice:
    """The error of a volume that is to serve as two inputs."""
    return SameVolumeTwice(
        f"“{name}” is given for more than one input",
        why="each input of the model is another image of the patient",
        remedy="Give another image for each input",
    )


def frame_of_reference_findings(volumes: Sequence[Volume]) -> list[FrameOfReferenceMismatch]:
    """At most one finding: two volumes whose coordinates are not the same, as DICOM has it.

    (Soft, unlike another patient: a registered image lies in the other's frame, and often keeps its old UID.)
    """
    for one, other in combinations(volumes, 2):
        if _differ(one.origin.frame_of_reference, other.origin.frame_of_reference):
            return [
                FrameOfReferenceMismatch(
                    f"“{one.name}” and “{other.name}” have different frames of reference",
                    why="the patient may have moved between them, and their coordinates need not agree",
                    remedy="Register one to the other in Slicer; if that was done (a registered image may keep its old "
                    f"frame of reference), {ACCEPT} to segment them",
                )
            ]
    return []


def _differ(one: str, other: str) -> bool:
    """Two texts of DICOM, of which an empty one says nothing."""
    return bool(one and other) and one != other


def _are_the_same(one: Volume, other: Volume) -> bool:
    if one.array.shape != other.array.shape or not np.allclose(one.affine, other.affine):
        return False
    sample = (slice(None, None, _SAMPLED_STEP),) * 3
    return np.array_equal(one.array[sample], other.array[sample]) and np.array_equal(one.array, other.array)
