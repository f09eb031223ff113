"""One request on its way: waiting, running, finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import slicer

    from TransformerSegLib.errors import TransformerSegError
    from TransformerSegLib.inference.progress import Progress
    from TransformerSegLib.inference.statistics import Statistics
    from TransformerSegLib.scene.merging import RunOutcome


class RunState(Enum):
    """The states of a run, in their order."""

    PREPARING = "preparing"  # before it is queued: packages, PyTorch, copies of the voxels; blocks the main thread
    WAITING = "waiting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        return self in (RunState.DONE, RunState.FAILED, RunState.CANCELLED)


@dataclass(eq=False)
class Run:
    """What became of a request. Read it on the main thread; only the session changes it.

    Attributes:
        title: for a list of runs: "MR head, Hippocampus".
        state: see ``RunState``.
        words: one sentence on what is going on or what came of it, fit to be shown as it is.
        progress: of the job that is running; None before, and between two frames.
        frame, frames: which frame of a sequence is worked on, counted from 1, and how many there are; 1 of 1 where it
            is no sequence.
        notes: sentences that should be read once: less memory than wished for, another segmentation than asked for.
        outcome: what was put into the scene; None unless DONE.
        node_id: of the segmentation that holds the result; "" where there is none.
        seconds: stage → how long it took, over all frames so far.
        statistics: per segment's label value: mL, mean intensity; of the last frame.
        error: why it FAILED: always fit to be shown (what, why, remedy).
        report: what "Copy report" copies for a FAILED run, the traceback in it; no names of patients, nodes or files.
    """

    title: str
    state: RunState = RunState.PREPARING
    words: str = ""
    progress: Progress | None = None
    frame: int = 1
    frames: int = 1
    notes: tuple[str, ...] = ()
    outcome: RunOutcome | None = None
    node_id: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    statistics: dict[int, Statistics] = field(default_factory=dict)
    error: TransformerSegError | None = None
    report: str = ""
    scene: slicer.vtkMRMLScene | None = field(default=None, repr=False)

    @property
    def finished(self) -> bool:
        return self.state.finished

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Of one more frame, stage by stage."""
        for stage, taken in seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + taken

    @property
    def node(self) -> slicer.vtkMRMLSegmentationNode | None:
        """The segmentation that holds the result; None where there is none, or it was deleted since."""
        return self.scene.GetNodeByID(self.node_id) if self.scene is not None and self.node_id else None


OnRun = Callable[[Run], None]
