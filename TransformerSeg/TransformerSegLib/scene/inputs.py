"""Which volumes of the scene serve as a model's inputs, and a first look at them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING

import slicer

from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.scene_nodes import nodes_of
from TransformerSegLib.scene.volumes import check_has_voxels, dicom_value, modality_of, volume_affine, voxels

if TYPE_CHECKING:
    from TransformerSegLib.bundles.card import Card, InputChannel

_DESCRIPTION_TAG = "0008,103e"
_DESCRIPTION_ATTRIBUTE = "DICOM.SeriesDescription"

_WHOLE_WORD, _WITHIN_A_WORD = 2, 1
"""How well a hint fits: "t1" fits "T1 axial" better than "T1c", of which it is only a part."""

_Rank = tuple[bool, int, int, int, bool]
"""Beside the shown volume; how well a hint fits; minus the other channels that fit, too; the hint's length; shown."""


def glance(node: slicer.vtkMRMLScalarVolumeNode) -> Volume:
    """A volume without a copy of its voxels: a live view, to be looked at in this thread, now, and not kept.

    Its array is not C-contiguous.

    Raises:
        EmptyVolume, VectorVoxels: as ``volume_from_node``.
    """
    check_has_voxels(node)
    array = voxels(node.GetImageData()).transpose(2, 1, 0)
    return Volume(array, volume_affine(node), node.GetName(), modality_of(node))


def propose_inputs(
    scene: slicer.vtkMRMLScene, card: Card, shown_volume_node: slicer.vtkMRMLScalarVolumeNode | None
) -> dict[str, slicer.vtkMRMLScalarVolumeNode | None]:
    """A volume for each input of a model, where one suggests itself; never the same one twice.

    A model with one input takes the volume that is shown, or the only one there is. For several, names of nodes and
    DICOM series descriptions are compared with the words by which the card knows its inputs.

    Returns:
        channel name → node, or None where a person has to choose.
    """
    volumes = _volumes(scene)
    if len(card.inputs) == 1:
        only = volumes[0] if len(volumes) == 1 else None
        return {card.inputs[0].name: shown_volume_node or only}
    chosen: dict[str, slicer.vtkMRMLScalarVolumeNode | None] = {channel.name: None for channel in card.inputs}
    taken: set[slicer.vtkMRMLScalarVolumeNode] = set()
    for _, name, node in _ranked(volumes, card, shown_volume_node):
        if chosen[name] is None and node not in taken:
            chosen[name] = node
            taken.add(node)
    return chosen


def _ranked(
    volumes: Sequence[slicer.vtkMRMLScalarVolumeNode],
    card: Card,
    shown: slicer.vtkMRMLScalarVolumeNode | None,
) -> list[tuple[_Rank, str, slicer.vtkMRMLScalarVolumeNode]]:
    """The pairs of volume and channel that fit, the best first."""
    ranked = []
    for node in volumes:
        words = _words(node)
        fits = {channel.name: _fit(channel, words) for channel in card.inputs}
        others = sum(fit > 0 for fit, _ in fits.values()) - 1
        beside = shown is not None and _place(node) == _place(shown)
        for name, (fit, length) in fits.items():
            if fit:
                ranked.append(((beside, fit, -others, length, node is shown), name, node))
    return sorted(ranked, key=itemgetter(0), reverse=True)


def _fit(channel: InputChannel, words: str) -> tuple[int, int]:
    """How well a channel fits a name, and how long the hint is that does; 0 and 0 where none does."""
    fits = [(0, 0)]
    for hint in (channel.name, *channel.hints):
        hint = _normal(hint)
        if hint and f" {hint} " in f" {words} ":
            fits.append((_WHOLE_WORD, len(hint)))
        elif hint and hint in words:
            fits.append((_WITHIN_A_WORD, len(hint)))
    return max(fits)


def _words(node: slicer.vtkMRMLScalarVolumeNode) -> str:
    description = dicom_value(node, _DESCRIPTION_ATTRIBUTE, _DESCRIPTION_TAG) or ""
    return _normal(f"{node.GetName()} {description}")


def _normal(text: str) -> str:
    """ "T1-weighted_ce" → "t1 weighted ce"."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


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
