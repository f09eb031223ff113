"""A run with all that the session needs to carry it out. Nodes are known by their ids: they may be deleted."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.panel.redaction import Redaction
from TransformerSegLib.panel.report import facts_of
from TransformerSegLib.panel.request import Request
from TransformerSegLib.panel.run import OnRun, Run

if TYPE_CHECKING:
    import slicer

    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.inference.region import Region
    from TransformerSegLib.inference.segmenter import SegmentOptions
    from TransformerSegLib.inference.volume import Volume
    from TransformerSegLib.jobs.job import Job
    from TransformerSegLib.scene.sequences import Frames

CONTEXT_MM = 64.0
"""What a model sees around a box that is segmented again: about half a window, so that it knows where it is."""

_logger = logging.getLogger(__name__)


class Undertaking:
    """What is known of one run until it is finished.

    Args:
        run: what others see of it.
        request: its nodes are in the scene.
        on_change: whom to tell.
        scene: the nodes'.

    Attributes:
        request: as given, with its nodes until they are taken over.
        volume_ids: of the inputs.
        target_id: of the segmentation to run into; "" for a new one.
        region: in the frame of the first volume; None: all of it.
        frames: of each input that is shown from the sequence whose frames are all wanted; None for the others.
        redaction: the names in the scene as it was when the run was asked for.
        facts: for the report.
        bundle: the model, once it is read.
        job: the one that is queued or runs.
        cancelled_because: a sentence, once the run is to end without a result; "" before.
    """

    def __init__(self, run: Run, request: Request, on_change: OnRun, scene: slicer.vtkMRMLScene) -> None:
        self.run = run
        self.request = request
        self.redaction = Redaction(scene)
        self.volume_ids = tuple(node.GetID() for node in request.volumes if node is not None)
        self.target_id = "" if request.target is None else request.target.GetID()
        self.region: Region | None = None
        self.frames: tuple[Frames | None, ...] = (None,) * len(request.volumes)
        self.facts = facts_of(request, None)
        self.bundle: Bundle | None = None
        self.job: Job | None = None
        self.cancelled_because = ""
        self._on_change = on_change

    def take_over(self) -> None:
        """Keep what the worker needs of the request, and let go of its nodes.

        Raises:
            RegionRejected: the region is no box.
        """
        from TransformerSegLib.scene.regions import region_from_node
        from TransformerSegLib.scene.sequences import frames_of

        request = self.request
        if request.region is not None:
            self.region = region_from_node(request.region, request.volumes[0])
        if request.all_frames and (first := frames_of(request.volumes[0])) is not None:
            self.frames = tuple(_along(first, frames_of(node)) for node in request.volumes)
            self.run.frames = first.count
        self.request = replace(request, volumes=(), region=None, target=None)

    def options(self) -> SegmentOptions:
        """Of the engine, for this request."""
        from TransformerSegLib.inference.segmenter import SegmentOptions

        request, region = self.request, self.region
        if request.again and region is not None:
            region = replace(region, size=region.size + 2 * CONTEXT_MM)
        return SegmentOptions(
            accept_mismatch=request.accept_mismatch,
            region=region,
            preset=request.preset,
            classes=request.classes,
        )

    def volumes(self, scene: slicer.vtkMRMLScene) -> tuple[Volume, ...]:
        """Copies of the inputs: of the frame that is due, where there are several.

        Raises:
            InputRejected: a volume has no voxels, or lies under a non-linear transform of its own.
        """
        from TransformerSegLib.scene.volumes import volumes_from_nodes

        nodes = [scene.GetNodeByID(node_id) for node_id in self.volume_ids]
        shown = volumes_from_nodes(nodes)
        return tuple(map(self._due, nodes, shown, self.frames))

    def _due(self, node: slicer.vtkMRMLScalarVolumeNode, shown: Volume, frames: Frames | None) -> Volume:
        """The frame that is due, where the node shows it; else what the node shows."""
        from TransformerSegLib.scene.inputs import glance
        from TransformerSegLib.scene.sequences import frame_volume

        if frames is None:
            return shown
        frame = frame_volume(frames, self.run.frame - 1)
        return replace(frame, affine=shown.affine @ np.linalg.inv(glance(node).affine) @ frame.affine)

    @property
    def needed_ids(self) -> tuple[str, ...]:
        """Of the nodes without which the run is pointless."""
        first = self.frames[0] if self.frames else None
        return self.volume_ids if first is None else (*self.volume_ids, first.browser.GetID(), first.sequence.GetID())

    def tell(self) -> None:
        """That something of the run changed. What the listener raises is its own fault, and no reason to stop."""
        try:
            self._on_change(self.run)
        except Exception:
            _logger.exception("What follows a change of a run failed")

    def let_go(self) -> None:
        """Of everything that may be large: whoever keeps the run keeps no voxels."""
        self.job = self.bundle = self.region = None
        self.frames = ()
        self._on_change = _nobody


def _along(first: Frames, other: Frames | None) -> Frames | None:
    """The frames of another input, if they are played together with the first one's."""
    return other if other is not None and other.browser is first.browser else None


def _nobody(run: Run) -> None:
    """Told of a run that is finished."""
