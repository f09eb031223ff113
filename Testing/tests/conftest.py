"""What the tests of the scene begin with: a volume in a scene, and what a run put there."""

from __future__ import annotations

import pytest

from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.volumes import add_volume_node

from example_segmentation import AFFINES, example_segmentation, example_volume
from scene_runs import put
from segment_edits import Pencil


@pytest.fixture
def scene():
    with offscreen_application() as application:
        yield application.GetMRMLScene()


@pytest.fixture
def volume_node(scene):
    return add_volume_node(scene, example_volume(AFFINES["oblique"]))


@pytest.fixture
def result():
    return example_segmentation(AFFINES["oblique"], layers=2)


@pytest.fixture
def node(scene, volume_node, result):
    return put(scene, result, volume_node).node


@pytest.fixture
def pencil(scene, node, volume_node):
    return Pencil(scene, node, volume_node)
