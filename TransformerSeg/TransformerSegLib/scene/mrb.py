"""A whole scene as one file: Slicer's ``.mrb``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import slicer

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import check_output, written_atomically
from TransformerSegLib.inference.quiet import run_quietly
from TransformerSegLib.inference.segmentation import Segmentation
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.scene.offscreen import offscreen_application
from TransformerSegLib.scene.segmentations import add_segmentation_node
from TransformerSegLib.scene.volumes import add_volume_node


def write_mrb(path: Path, volumes: Sequence[Volume], segmentation: Segmentation, overwrite: bool = False) -> None:
    """Write the inputs and their segmentation as a scene that Slicer opens.

    Args:
        volumes: the inputs; the segmentation lies on the grid of the first.

    Raises:
        OutputRejected: as ``check_output`` says, or the file could not be written.
    """
    check_output(path, overwrite)
    with offscreen_application() as application:
        scene = application.GetMRMLScene()
        nodes = [add_volume_node(scene, volume) for volume in volumes]
        add_segmentation_node(scene, segmentation, nodes[0])
        save_scene(scene, path)


def save_scene(scene: slicer.vtkMRMLScene, path: Path) -> None:
    """Write everything in a scene to a ``.mrb``, all of it or nothing.

    Raises:
        OutputRejected: the file could not be written.
    """
    with written_atomically(path) as temporary:
        written, _ = run_quietly(lambda: scene.WriteToMRB(str(temporary)))
        if not written:
            raise OutputRejected(
                f"“{path.name}” could not be written",
                why="Slicer's scene writer gave up",
                remedy="Free some space there, or save as .seg.nrrd",
            )
