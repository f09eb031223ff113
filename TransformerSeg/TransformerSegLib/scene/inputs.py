"""Which volumes of the scene serve as a model's inputs, and a first look at them."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

import slicer

from TransformerSegLib.inference.assigning import Candidate, propose
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.dicom_values import modality_of, origin_of
from TransformerSegLib.scene.scene_nodes import nodes_of
from TransformerSegLib.scene.volumes import check_has_voxels, volume_affine, voxels

if TYPE_CHECKING:
    from TransformerSegLib.bundles.card import Card


def glance(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """A volume without a copy of its voxels: a live view, to be looked at in this thread, now, and not kept.

    Its array is not C-contiguous.

    Raises:
        EmptyVolume, VectorVoxels: as ``volume_from_node``.
    """
    check_has_voxels(node)
    array = voxels(node.GetImageData()).transpose(2, 1, 0)
    return Volume(array, volume_affine(node), node.GetName(), modality_of(node), origin_of(node))


def propose_inputs(
    scene: slicer.vtkMRMLScene, card: Card, shown_volume_node: slicer.vtkMRMLScalarVolumeNode | None
) -> dict[str, slicer.vtkMRMLScalarVolumeNode | None]:
    """A volume for each input of a model, where one suggests itself; never the same one twice.

    A model with one input takes the volume that is shown, or the only one there is. For several, names of nodes and
    DICOM series descriptions are compared with the words by which the card knows its inputs (``assigning.propose``).

    Returns:
        channel name → node, or None where a person has to choose.
    """
    volumes = _volumes(scene)
    if len(card.inputs) == 1:
        only = volumes[0] if len(volumes) == 1 else None
        return {card.inputs[0].name: shown_volume_node or only}
    chosen = propose([_candidate(node, shown_volume_node) for node in volumes], card.inputs)
    return {name: None if number is None else volumes[number] for name, number in chosen.items()}


def _candidate(node: slicer.vtkMRMLScalarVolumeNode, shown: slicer.vtkMRMLScalarVolumeNode | None) -> Candidate:
    name = f"{node.GetName()} {origin_of(node).description}"
    if shown is None:
        return Candidate(name)
    pairs = zip(node.GetName(), shown.GetName(), strict=False)
    alike = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return Candidate(name, _place(node) == _place(shown), alike, node is shown)


def _volumes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Those that a person sees, without label maps and colour images."""
    return [
        node
        for node in nodes_of(scene, "vtkMRMLScalarVolumeNode")
        if not node.GetHideFromEditors()
        and not node.IsA("vtkMRMLLabelMapVolumeNode")
        and not node.IsA("vtkMRMLTensorVolumeNode")
        and not node.IsA("vtkMRMLVectorVolumeNode")
    ]


def _place(node: slicer.vtkMRMLScalarVolumeNode) -> int:
    """The folder or study in which it stands."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    return hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
