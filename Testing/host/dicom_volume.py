"""Volume nodes as Slicer's DICOM import leaves them: with a study around, and attributes of DICOM on both."""

from __future__ import annotations

from pathlib import Path

import slicer

_ATTRIBUTES = {"Modality": "DICOM.Modality", "SeriesNumber": "DICOM.SeriesNumber"}
"""Of the series' item in the subject hierarchy; others stand on the node, or in the DICOM database alone."""


def load(scene, path: Path, attributes: dict[str, str]):
    """Read a file by Slicer's own reader, or a folder of DICOM files by the library's, into a node.

    Args:
        scene: the MRML scene.
        path: what to read; of a folder the DICOM database learns its files, and the node their instance UIDs.
        attributes: ``Modality="CT"`` and the like.
    """
    node = _read_series(scene, path) if path.is_dir() else slicer.util.loadVolume(path, {})
    node.CreateDefaultDisplayNodes()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".dcm")
        node.SetAttribute("DICOM.instanceUIDs", " ".join(slicer.dicomDatabase.add(files)))
        attributes = {"Modality": slicer.dicomDatabase.fileValue(str(files[0]), "0008,0060"), **attributes}
    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    if attributes:
        study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
        hierarchy.SetItemParent(item, study)
    for name, value in attributes.items():
        hierarchy.SetItemAttribute(item, _ATTRIBUTES.get(name, f"DICOM.{name}"), value)
    return node


def _read_series(scene, folder: Path):
    from TransformerSegLib.inference.reading import read_volume
    from TransformerSegLib.scene.volumes import add_volume_node

    return add_volume_node(scene, read_volume(folder))
