"""The rows of a table of volumes, from segments as they are now."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer

from TransformerSegLib.export.segment_metadata import codes_of
from TransformerSegLib.export.volume_table import BY_HAND, CLICKS, PROPOSAL, VolumeRow
from TransformerSegLib.scene.changed_voxels import ChangedVoxels, all_changed_voxels
from TransformerSegLib.scene.labelmaps import mask_of, segments_of
from TransformerSegLib.scene.segment_tags import CLASS_TAG, tag
from TransformerSegLib.scene.sign_off import status_of
from TransformerSegLib.scene.statistics import MM3_PER_ML


def volume_rows(node: slicer.vtkMRMLSegmentationNode, segment_ids: Sequence[str] | None = None) -> list[VolumeRow]:
    """One for each segment.

    Args:
        segment_ids: which; None: all.
    """
    names = segments_of(node.GetSegmentation()) if segment_ids is None else segment_ids
    changes = all_changed_voxels(node, names)
    return [_row(node, name, changes[name]) for name in names]


def _row(node: slicer.vtkMRMLSegmentationNode, segment_id: str, changes: ChangedVoxels) -> VolumeRow:
    segment = node.GetSegmentation().GetSegment(segment_id)
    mask = mask_of(segment)
    voxels = 0 if mask is None else int(np.count_nonzero(mask.array))
    voxel_ml = 0.0 if mask is None else abs(float(np.linalg.det(mask.affine))) / MM3_PER_ML
    code = codes_of(segment.GetTerminology() or "").type
    return VolumeRow(
        name=segment.GetName(),
        voxels=voxels,
        volume_ml=voxels * voxel_ml,
        made_by=_made_by(segment, changes),
        by_clicks=changes.by_clicks,
        by_hand=changes.by_hand,
        status=status_of(node, segment_id).name.lower().replace("_", " "),
        code=None if code is None else (code.scheme, code.value, code.meaning),
    )


def _made_by(segment: slicer.vtkSegment, changes: ChangedVoxels) -> str:
    of_model = [PROPOSAL] if tag(segment, CLASS_TAG) is not None else []
    if changes.by_clicks is None and changes.by_hand is None and of_model:
        return f"{PROPOSAL}, and maybe a person"
    clicks = [CLICKS] if changes.by_clicks else []
    hand = [BY_HAND] if changes.by_hand or not of_model else []
    return " + ".join((*of_model, *clicks, *hand))
