"""A MRML scene outside of Slicer, for the command line, pictures and tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer


@contextmanager
def offscreen_application() -> Iterator[slicer.vtkSlicerApplicationLogic]:
    """An application logic with an empty scene (``GetMRMLScene()``).

    It has the logics of the modules Colors (the tables that displays need), Segmentations (the rules by which
    labelmaps become surfaces) and Markups (which reads and writes clicks). At the end the scene is emptied while all
    that observes it still lives, so that nothing is left to the interpreter's exit, where objects are destroyed in any
    order.
    """
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    logics = {
        "Colors": application.GetColorLogic(),
        "Segmentations": slicer.vtkSlicerSegmentationsModuleLogic(),
        "Markups": slicer.vtkSlicerMarkupsLogic(),
    }
    for module, logic in logics.items():
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        application.SetModuleLogic(module, logic)
    try:
        yield application
    finally:
        _release_labelmaps(scene)
        scene.Clear(1)
        for module in logics:
            application.SetModuleLogic(module, None)
        application.SetMRMLScene(None)


def _release_labelmaps(scene: slicer.vtkMRMLScene) -> None:
    """Let segments go of the labelmaps that they share.

    Otherwise a segmentation's destructor copies the shared labelmap for each segment that it removes: 16 s for 104
    classes on 512×512×300 voxels.
    """
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
        segmentation = scene.GetNthNodeByClass(number, "vtkMRMLSegmentationNode").GetSegmentation()
        for segment_id in segmentation.GetSegmentIDs():
            segmentation.GetSegment(segment_id).RemoveAllRepresentations()
