"""What DICOM says of the series from which a volume node was loaded."""

from __future__ import annotations

import slicer

from TransformerSegLib.inference.origin import Origin

# The DICOM codes by which Slicer's DICOM import notes what the voxels measure.
_MODALITY_OF_QUANTITY = {("DCM", "112031"): "CT", ("DCM", "110852"): "MR"}

INSTANCES_ATTRIBUTE = "DICOM.instanceUIDs"
"""Of a volume node: the SOP Instance UIDs of its images, with spaces between."""

_DESCRIPTION_ATTRIBUTE = "DICOM.SeriesDescription"

_MODALITY_TAG = "0008,0060"
_DESCRIPTION_TAG = "0008,103e"
_PATIENT_ID_TAG = "0010,0020"
_FRAME_OF_REFERENCE_TAG = "0020,0052"

_MADE_UP_PATIENT = "Patient-"
"""So begins the Patient ID that Slicer makes of the study's UID where DICOM has none; it tells studies apart only."""


def modality_of(node: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """What DICOM calls it, "CT" or "MR", …; None where nothing tells.

    By the subject hierarchy, else Slicer's DICOM database, else what Slicer noted of the voxels.
    """
    value = _in_hierarchy(node, modality_attribute()) or _in_database(node, _MODALITY_TAG)
    return value or _modality_of_quantity(node)


def origin_of(node: slicer.vtkMRMLScalarVolumeNode) -> Origin:
    """Series, patient and frame of reference.

    Of a node under a transform the frame of reference is left open: a person moved it, to another image maybe.
    """
    moved = node.GetParentTransformNode() is not None
    return Origin(
        _in_hierarchy(node, _DESCRIPTION_ATTRIBUTE) or _in_database(node, _DESCRIPTION_TAG),
        _in_database(node, _PATIENT_ID_TAG) or _patient_in_hierarchy(node),
        "" if moved else _in_database(node, _FRAME_OF_REFERENCE_TAG),
    )


def modality_attribute() -> str:
    """Under which the subject hierarchy notes it."""
    return slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()


def _in_hierarchy(node: slicer.vtkMRMLScalarVolumeNode, attribute: str) -> str:
    """Of the node's own item; "" where there is none, as for a volume that was only just added."""
    if node.GetScene() is None:
        return ""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item = hierarchy.GetItemByDataNode(node)
    return hierarchy.GetItemAttribute(item, attribute) if item else ""


def _patient_in_hierarchy(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    """Of the patient under whom the node stands: all that is left of it in a scene that was opened elsewhere."""
    if node.GetScene() is None:
        return ""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    attribute = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMPatientIDAttributeName()
    item = hierarchy.GetItemByDataNode(node)
    while item and item != hierarchy.GetSceneItemID():
        patient = hierarchy.GetItemAttribute(item, attribute)
        if patient:
            return "" if patient.startswith(_MADE_UP_PATIENT) else patient
        item = hierarchy.GetItemParent(item)
    return ""


def _in_database(node: slicer.vtkMRMLScalarVolumeNode, tag: str) -> str:
    """Of the node's first slice, in Slicer's DICOM database; "" where nothing is. (Outside of the application there is
    no database.)"""
    instances = (node.GetAttribute(INSTANCES_ATTRIBUTE) or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    if not instances or database is None:
        return ""
    return (database.instanceValue(instances[0], tag) or "").strip()


def _modality_of_quantity(node: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    quantity = node.GetVoxelValueQuantity()
    if quantity is None:
        return None
    return _MODALITY_OF_QUANTITY.get((quantity.GetCodingSchemeDesignator(), quantity.GetCodeValue()))
