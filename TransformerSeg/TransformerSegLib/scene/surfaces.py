"""Surfaces of segments as files for 3D printing and other programs, by Slicer's own exporter."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from enum import Enum
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import slicer
from vtkmodules.vtkCommonCore import vtkStringArray
from vtkmodules.vtkCommonTransforms import vtkGeneralTransform

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import check_folder, written_atomically
from TransformerSegLib.inference.quiet import run_quietly
from TransformerSegLib.scene.labelmaps import CLOSED_SURFACE, segments_of

_UNFIT_FOR_FILES = re.compile(r"[^\w.-]+")
_LONGEST_NAME = 100


class SurfaceFormat(Enum):
    """What the files are: one for each segment (STL), or one for all, in their colours (OBJ, with a file .mtl)."""

    STL = "STL"
    OBJ = "OBJ"


def write_surfaces(
    node: slicer.vtkMRMLSegmentationNode,
    folder: Path,
    segment_ids: Sequence[str] | None = None,
    surface_format: SurfaceFormat = SurfaceFormat.STL,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Write smoothed surfaces, in LPS mm, as Slicer exports them: the header says “SPACE=LPS”.

    The node's transform is applied. Surfaces that are missing are made, with the smoothing that the segmentation is set
    to, on a copy: the node stays as it is.

    Args:
        folder: must exist.
        segment_ids: which; None: all. Empty segments are left out.

    Returns:
        the files, in the order of the segments.

    Raises:
        OutputRejected: all segments are empty, or a file is there already and ``overwrite`` is False: then nothing is
            written. Or a file could not be written: each file is whole, or not there.
    """
    check_folder(folder)
    there = segments_of(node.GetSegmentation())
    wanted = list(there) if segment_ids is None else [name for name in there if name in segment_ids]
    scene = slicer.vtkMRMLScene()
    copy = _copy_with_surfaces(node, wanted, scene)
    filled = [name for name in wanted if _has_surface(copy, name)]
    if not filled:
        raise OutputRejected(
            "There is no surface to be exported",
            why="the chosen segments are empty",
            remedy="Choose segments that have voxels",
        )
    with TemporaryDirectory(prefix="transformerseg-") as temporary:
        made = _exported(copy, filled, Path(temporary), surface_format)
        targets = {folder / name: source for name, source in made.items()}
        _refuse_existing(targets, overwrite)
        for target, source in targets.items():
            with written_atomically(target) as draft:
                shutil.copyfile(source, draft)
    return list(targets)


def _copy_with_surfaces(
    node: slicer.vtkMRMLSegmentationNode, wanted: Sequence[str], scene: slicer.vtkMRMLScene
) -> slicer.vtkMRMLSegmentationNode:
    """In a scene of its own, of which no view and no list of the application hears."""
    copy = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", _fit(node.GetName()) or "segments")
    to_world = vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(node.GetParentTransformNode(), None, to_world)
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformToParent(to_world)
    copy.SetAndObserveTransformNodeID(transform.GetID())
    copy.CreateDefaultDisplayNodes()  # by which the exporter finds colours
    source, target = node.GetSegmentation(), copy.GetSegmentation()
    target.SetSourceRepresentationName(source.GetSourceRepresentationName())
    target.CopyConversionParameters(source)
    for name in wanted:
        target.CopySegmentFromSegmentation(source, name)
    target.CreateRepresentation(CLOSED_SURFACE)
    return copy


def _has_surface(node: slicer.vtkMRMLSegmentationNode, segment_id: str) -> bool:
    surface = node.GetSegmentation().GetSegment(segment_id).GetRepresentation(CLOSED_SURFACE)
    return surface is not None and surface.GetNumberOfPoints() > 0


def _file_names(node: slicer.vtkMRMLSegmentationNode, segment_ids: Sequence[str]) -> dict[str, str]:
    """Segment id → the name of its file without its suffix; no two alike, on systems without capitals either."""
    names: dict[str, str] = {}
    taken = set()
    for segment_id in segment_ids:
        wanted = _fit(node.GetSegmentation().GetSegment(segment_id).GetName()) or _fit(segment_id) or "segment"
        name, number = wanted, 1
        while name.casefold() in taken:
            number += 1
            name = f"{wanted}_{number}"
        taken.add(name.casefold())
        names[segment_id] = name
    return names


def _fit(name: str) -> str:
    return _UNFIT_FOR_FILES.sub("_", name).strip("._")[:_LONGEST_NAME]


def _exported(
    node: slicer.vtkMRMLSegmentationNode,
    segment_ids: Sequence[str],
    folder: Path,
    surface_format: SurfaceFormat,
) -> dict[str, Path]:
    """File name → what Slicer's exporter wrote, in a folder of its own for each file."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    names, made = _file_names(node, segment_ids), {}
    groups = [[name] for name in segment_ids] if surface_format is SurfaceFormat.STL else [list(segment_ids)]
    for number, group in enumerate(groups):
        place = folder / str(number)
        place.mkdir()
        ids = vtkStringArray()
        for name in group:
            ids.InsertNextValue(name)
            node.GetSegmentation().GetSegment(name).SetName(names[name])  # the exporter makes a file name of it
        arguments = (str(place), node, ids, surface_format.value, True, 1.0, False)
        done, _ = run_quietly(partial(logic.ExportSegmentsClosedSurfaceRepresentationToFiles, *arguments))
        files = sorted(place.iterdir())
        if not done or not files:
            raise OutputRejected(
                f"The surface “{names[group[0]]}” could not be written",
                why="Slicer's exporter gave up",
                remedy="Free some space on the disk",
            )
        for file in files:
            stem = names[group[0]] if surface_format is SurfaceFormat.STL else file.stem
            made[f"{stem}{file.suffix.lower()}"] = file
    return made


def _refuse_existing(targets: dict[Path, Path], overwrite: bool) -> None:
    existing = [target for target in targets if target.exists()]
    if existing and not overwrite:
        raise OutputRejected(
            f"“{existing[0]}” is there already",
            why="what it holds would be lost",
            remedy="Choose another folder",
        )
