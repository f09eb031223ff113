"""Clicks as a person sees them: points of a markups node beside a segmentation.

Where the segmentation shows the frames of a sequence, each point belongs to the frame in which it was placed: in others
it is neither seen nor obeyed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import slicer
from slicer.util import NodeModify

from TransformerSegLib.export.segment_metadata import TAG_PREFIX
from TransformerSegLib.scene.scene_nodes import nodes_of
from TransformerSegLib.scene.sequences import shown_frame

REFERENCE_ROLE = f"{TAG_PREFIX}clicks"

BELONGS_COLOR = (0.18, 0.77, 0.35)
BELONGS_NOT_COLOR = (0.93, 0.22, 0.2)
GLYPH_PERCENT, TEXT_PERCENT = 1.6, 2.4
"""Of the view: small enough to leave what is below it to be seen."""

_BELONGS, _BELONGS_NOT = "belongs to ", "does not belong to "
_IN_FRAME = " in frame "


@dataclass(frozen=True)
class Said:
    """What a click says.

    Attributes:
        segment_id: of the segment that it is about.
        belongs: False: the voxel does not belong to it.
    """

    segment_id: str
    belongs: bool

    @property
    def description(self) -> str:
        return (_BELONGS if self.belongs else _BELONGS_NOT) + self.segment_id

    @classmethod
    def of(cls, description: str) -> Said | None:
        """None where it is something else: of a point that was just placed."""
        for start, belongs in ((_BELONGS, True), (_BELONGS_NOT, False)):
            if description.startswith(start) and len(description) > len(start):
                return cls(description[len(start) :], belongs)
        return None


@dataclass(frozen=True)
class Point:
    """One point that was placed.

    Attributes:
        identifier: which stays its own when others are removed.
        said: None where nobody wrote it yet.
        place: in mm, in the frame of the segmentation node.
    """

    identifier: str
    said: Said | None
    place: tuple[float, float, float]


def points_node(node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLMarkupsFiducialNode | None:
    """The node with the clicks on a segmentation; None where there is none yet, or it was deleted."""
    return node.GetNodeReference(REFERENCE_ROLE)


def ensured_points_node(node: slicer.vtkMRMLSegmentationNode) -> slicer.vtkMRMLMarkupsFiducialNode:
    """The same; made where it is missing."""
    points = points_node(node)
    if points is None:
        scene = node.GetScene()
        name = scene.GenerateUniqueName(f"{node.GetName()} clicks")
        points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        points.CreateDefaultDisplayNodes()
        _show(points)
        node.SetNodeReferenceID(REFERENCE_ROLE, points.GetID())
    follow_transform(node, points)
    return points


def follow_transform(node: slicer.vtkMRMLSegmentationNode, points: slicer.vtkMRMLMarkupsFiducialNode) -> None:
    """Clicks go where the segmentation goes, and show what belongs to the frame that it shows."""
    if points.GetTransformNodeID() != node.GetTransformNodeID():
        points.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    frame = shown_frame(node)
    for number in range(points.GetNumberOfControlPoints()):
        here = _in_frame(points, number, frame)
        if bool(points.GetNthControlPointVisibility(number)) != here:
            points.SetNthControlPointVisibility(number, here)


def placed_points(points: slicer.vtkMRMLMarkupsFiducialNode) -> list[Point]:
    """Those of the frame that is shown which have a place; one that still follows the mouse has none."""
    frame = _frame_of(points)
    return [
        Point(
            points.GetNthControlPointID(number),
            Said.of(points.GetNthControlPointDescription(number).removesuffix(_suffix(frame))),
            tuple(points.GetNthControlPointPosition(number)),
        )
        for number in range(points.GetNumberOfControlPoints())
        if points.GetNthControlPointPositionStatus(number) == points.PositionDefined
        and _in_frame(points, number, frame)
    ]


def _in_frame(points: slicer.vtkMRMLMarkupsFiducialNode, number: int, frame: str) -> bool:
    """A point that was just placed is where the person is."""
    description = points.GetNthControlPointDescription(number)
    return not frame or description.endswith(_suffix(frame)) or _IN_FRAME not in description


def _suffix(frame: str) -> str:
    return f"{_IN_FRAME}{frame}" if frame else ""


def _frame_of(points: slicer.vtkMRMLMarkupsFiducialNode) -> str:
    """That the segmentation of these points shows; "" where it shows none of several."""
    nodes = nodes_of(points.GetScene(), "vtkMRMLSegmentationNode") if points.GetScene() is not None else ()
    return next((shown_frame(node) for node in nodes if points_node(node) is points), "")


def add_point(points: slicer.vtkMRMLMarkupsFiducialNode, said: Said, place: np.ndarray) -> None:
    """Add one where nobody clicked with the mouse."""
    number = points.AddControlPoint(*(float(each) for each in place))
    _write(points, number, said)


def write_said(points: slicer.vtkMRMLMarkupsFiducialNode, identifier: str, said: Said) -> None:
    """On a point that was just placed."""
    _write(points, points.GetNthControlPointIndexByID(identifier), said)


def move_point(points: slicer.vtkMRMLMarkupsFiducialNode, identifier: str, place: np.ndarray) -> None:
    points.SetNthControlPointPosition(points.GetNthControlPointIndexByID(identifier), *map(float, place))


def remove_point(points: slicer.vtkMRMLMarkupsFiducialNode, identifier: str) -> None:
    number = points.GetNthControlPointIndexByID(identifier)
    if number >= 0:
        points.RemoveNthControlPoint(number)


@contextmanager
def changed_at_once(points: slicer.vtkMRMLMarkupsFiducialNode) -> Iterator[None]:
    """Views are told in the end."""
    with NodeModify(points):
        yield


def _write(points: slicer.vtkMRMLMarkupsFiducialNode, number: int, said: Said) -> None:
    points.SetNthControlPointDescription(number, said.description + _suffix(_frame_of(points)))
    points.SetNthControlPointLabel(number, "+" if said.belongs else "\N{MINUS SIGN}")
    points.SetNthControlPointSelected(number, said.belongs)  # selected ones have a colour of their own


def _show(points: slicer.vtkMRMLMarkupsFiducialNode) -> None:
    display = points.GetDisplayNode()
    display.SetSelectedColor(BELONGS_COLOR)
    display.SetColor(BELONGS_NOT_COLOR)
    display.SetGlyphScale(GLYPH_PERCENT)
    display.SetTextScale(TEXT_PERCENT)
    display.SetVisibility3D(False)
