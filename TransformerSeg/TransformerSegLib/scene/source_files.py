"""The DICOM files from which a volume node was loaded, as Slicer's DICOM database has them."""

from __future__ import annotations

from pathlib import Path

import slicer

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.scene.dicom_values import INSTANCES_ATTRIBUTE


def came_from_dicom(node: slicer.vtkMRMLVolumeNode) -> bool:
    """Whether Slicer noted from which DICOM images the volume was loaded."""
    return bool((node.GetAttribute(INSTANCES_ATTRIBUTE) or "").split())


def source_files(node: slicer.vtkMRMLVolumeNode) -> list[Path]:
    """One for each image; of an enhanced file one for all.

    Raises:
        OutputRejected: the volume did not come from DICOM, or its files are no longer where the database says.
    """
    instances = (node.GetAttribute(INSTANCES_ATTRIBUTE) or "").split()
    if not instances:
        raise OutputRejected(
            f"“{node.GetName()}” was not loaded from DICOM",
            why="a DICOM segmentation refers to the images that it was made from",
            remedy="Save the segmentation as .seg.nrrd",
        )
    database = getattr(slicer, "dicomDatabase", None)
    paths = [database.fileForInstance(uid) if database is not None else "" for uid in instances]
    lost = sum(1 for path in paths if not path or not Path(path).is_file())
    if lost:
        raise OutputRejected(
            f"{lost} of the {len(paths)} images of “{node.GetName()}” are not in Slicer's DICOM database any more",
            why="a DICOM segmentation takes over who the patient is, and where the images lie, from them",
            remedy="Import the series again in the module DICOM",
        )
    return [Path(path) for path in dict.fromkeys(paths)]
