"""How a result is shown."""

from __future__ import annotations

import pytest

from TransformerSegLib.scene.display import is_visible, set_visible, show_result
from TransformerSegLib.scene.labelmaps import CLOSED_SURFACE, segments_of
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.volumes import add_volume_node

from example_segmentation import AFFINES, example_segmentation, example_volume
from scene_runs import put

OBLIQUE = AFFINES["oblique"]


@pytest.fixture
def node():
    with offscreen_application() as application:
        scene = application.GetMRMLScene()
        yield put(scene, example_segmentation(OBLIQUE), add_volume_node(scene, example_volume(OBLIQUE))).node


def points(node) -> int:
    surface = node.GetSegmentation().GetSegment("Segment_2").GetRepresentation(CLOSED_SURFACE)
    return surface and surface.GetNumberOfPoints()


def area(node) -> float:
    from vtkmodules.vtkFiltersCore import vtkMassProperties, vtkTriangleFilter

    triangles = vtkTriangleFilter()
    triangles.SetInputData(node.GetSegmentation().GetSegment("Segment_2").GetRepresentation(CLOSED_SURFACE))
    measured = vtkMassProperties()
    measured.SetInputConnection(triangles.GetOutputPort())
    return measured.GetSurfaceArea()


def test_surfaces_are_made_and_removed_as_asked(node):
    show_result(node, 0.5, surfaces=True)
    assert points(node) > 0
    assert node.GetDisplayNode().GetVisibility3D()
    show_result(node, 0.5, surfaces=False)
    assert all(
        segment.GetRepresentation(CLOSED_SURFACE) is None for segment in segments_of(node.GetSegmentation()).values()
    )
    assert node.GetDisplayNode().GetVisibility2D()


def test_smoothing_changes_the_surfaces_that_are_there(node):
    show_result(node, 0.0, surfaces=True)
    rough = area(node)
    show_result(node, 1.0, surfaces=True)
    assert area(node) < 0.97 * rough


def test_segments_are_shown_and_hidden_one_by_one(node):
    assert is_visible(node, "Segment_2")
    set_visible(node, "Segment_2", False)
    assert not is_visible(node, "Segment_2")
    assert is_visible(node, "Segment_9")
    set_visible(node, "Segment_2", True)
    assert is_visible(node, "Segment_2")
