"""Results of runs as a worker hands them over, put into a scene and looked at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import slicer

from TransformerSegLib.inference.proposal import Proposal
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.scene.labelmaps import segments_of
from TransformerSegLib.scene.merging import RunOutcome, put_run
from TransformerSegLib.scene.mrb import save_scene
from TransformerSegLib.scene.offscreen import offscreen_application

from example_segmentation import PROVENANCE, SHAPE, segment_class
from mrml_reading import mask_on_grid


def other_result(affine: np.ndarray, model: str = "another model") -> Segmentation:
    """Of the classes of ``example_segmentation``, other voxels, and other labels than there."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:6, 2:5, 0:7] = 1
    labels[8:10, 1:8, 2:6] = 2
    labels[11:13, 0:3, 0:2] = 3
    names = ("C", "Anterior Größe", "Nothing")
    segments = tuple(
        Segment(segment_class(label, name), 0, float((labels == label).sum() * abs(np.linalg.det(affine)) / 1000))
        for label, name in enumerate(names, start=1)
    )
    return Segmentation((labels,), affine, segments, "Kopf – other", {**PROVENANCE, "model": model})


def shifted(segmentation: Segmentation, by: int = 1) -> Segmentation:
    """The same classes, one voxel further along i."""
    layers = tuple(np.roll(layer, by, axis=0) for layer in segmentation.layers)
    return replace(segmentation, layers=layers)


def put(scene, segmentation: Segmentation, volume_node, target=None, region=None) -> RunOutcome:
    """As the panel does at the end of a run."""
    return put_run(scene, segmentation, Proposal.of(segmentation), volume_node, target, region)


def masks(node: slicer.vtkMRMLSegmentationNode, affine: np.ndarray, shape=SHAPE) -> dict[str, np.ndarray]:
    """Every segment's voxels on a grid, (I, J, K), by id."""
    return {name: mask_on_grid(node, name, shape, affine) for name in node.GetSegmentation().GetSegmentIDs()}


def proposed(segmentation: Segmentation, name: str) -> np.ndarray:
    """What a run found of a class, (I, J, K)."""
    return segmentation.mask(next(s for s in segmentation.segments if s.definition.name == name))


def names(node: slicer.vtkMRMLSegmentationNode) -> dict[str, str]:
    """Segment id → name."""
    return {name: segment.GetName() for name, segment in segments_of(node.GetSegmentation()).items()}


def assert_same_masks(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name], mask, name)


@contextmanager
def reopened(scene: slicer.vtkMRMLScene, folder: Path) -> Iterator[slicer.vtkMRMLScene]:
    """The scene, saved as .mrb and opened in another application."""
    folder.mkdir()
    save_scene(scene, folder / "scene.mrb")
    for name in ("unpacked", "cache"):
        (folder / name).mkdir()
    with offscreen_application() as application:
        # as in the application: sequences are scenes of their own within the file, and unpacked there
        remote_files = slicer.vtkMRMLRemoteIOLogic()
        remote_files.SetMRMLScene(application.GetMRMLScene())
        remote_files.GetCacheManager().SetRemoteCacheDirectory(str(folder / "cache"))
        remote_files.AddDataIOToScene()
        sequences = slicer.vtkSlicerSequencesLogic()
        sequences.SetMRMLApplicationLogic(application)
        sequences.SetMRMLScene(application.GetMRMLScene())
        assert application.OpenSlicerDataBundle(str(folder / "scene.mrb"), str(folder / "unpacked"))
        yield application.GetMRMLScene()
        sequences.SetMRMLScene(None)
