"""What the worker does for one volume, or for one frame of a sequence. Plain data goes in and comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from TransformerSegLib.inference.parts import Part
from TransformerSegLib.inference.progress import Stage

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.inference.progress import CancelToken, OnProgress, Progress
    from TransformerSegLib.inference.proposal import Proposal
    from TransformerSegLib.inference.segmentation import Segmentation
    from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
    from TransformerSegLib.inference.statistics import Statistics
    from TransformerSegLib.inference.volume import Volume
    from TransformerSegLib.interaction.doubt import Doubt
    from TransformerSegLib.interaction.run_scores import RunScores


@dataclass(frozen=True, eq=False)
class Finished:
    """What came of the work.

    Attributes:
        segmentation: of the wanted classes.
        proposal: the same, to be kept with the node.
        statistics: by label value.
        seconds_per_window: None where the speed changed on the way.
        scores: kept for clicks; None where there were none to keep.
        doubt: the places are of the wanted classes; None likewise.
    """

    segmentation: Segmentation
    proposal: Proposal
    statistics: dict[int, Statistics]
    seconds_per_window: float | None
    scores: RunScores | None = None
    doubt: Doubt | None = None


class Engine:
    """Keeps one model on one device loaded. Its methods are called by the worker."""

    def __init__(self) -> None:
        self._bundle: Bundle | None = None
        self._device = ""
        self._segmenter: Segmenter | None = None

    def segmenter(self, bundle: Bundle, device: str, options: SegmentOptions) -> Segmenter:
        """The kept one, or a new one in its place."""
        from TransformerSegLib.inference.segmenter import Segmenter

        if self._segmenter is None or self._bundle is not bundle or self._device != device:
            self._segmenter = None  # before the next one is loaded: both may not fit
            self._segmenter = Segmenter(bundle, device)
            self._bundle, self._device = bundle, device
        return self._segmenter.with_options(options)

    def close(self) -> None:
        """Let go of the model; called when no worker is left."""
        self._segmenter = self._bundle = None


def _threads() -> int:
    import torch

    return torch.get_num_threads()


@dataclass(frozen=True, eq=False)
class Work:
    """One job. Made on the main thread, when PyTorch is loaded.

    Attributes:
        engine: shared by all jobs of a session.
        volumes: copies, one per input of the card.
        threads: that torch computes with on the main thread. The worker's own number is not asked: it would be left at
            one if it first computed while a click does so in ``one_thread``.
    """

    engine: Engine
    bundle: Bundle
    device: str
    options: SegmentOptions
    volumes: Sequence[Volume]
    threads: int = field(default_factory=_threads)

    def __call__(self, on_progress: OnProgress, cancel: CancelToken) -> Finished:
        import torch

        from TransformerSegLib.inference.proposal import Proposal
        from TransformerSegLib.inference.statistics import segment_statistics
        from TransformerSegLib.interaction.doubt import doubt_of
        from TransformerSegLib.interaction.score_keeper import ScoreKeeper
        from TransformerSegLib.interaction.trained_refiner import refiner_at_hand

        torch.set_num_threads(self.threads)
        slowed: list[Progress] = []

        def on_step(progress: Progress) -> None:
            if progress.stage is Stage.SEGMENT and progress.note:
                slowed.append(progress)
            on_progress(progress)

        _ = self.bundle.weights_sha256  # computed here, and kept: the window asks for it where the run fails
        segmenter = self.engine.segmenter(self.bundle, self.device, self.options)
        keeper = ScoreKeeper(self.bundle.plan.output, self.bundle.card.classes)
        segmentation = segmenter.segment(self.volumes, on_step, cancel, keeper)
        scores = keeper.scores()
        cancel.raise_if_cancelled()
        doubt = doubt_of(scores, segmentation, self.volumes[0].array, self.bundle.card) if scores else None
        cancel.raise_if_cancelled()
        statistics = segment_statistics(segmentation, self.volumes[0])
        cancel.raise_if_cancelled()
        refiner_at_hand()  # read here, and kept: the first click need not wait for it
        pace = None if slowed else _seconds_per_window(segmentation, self.bundle)
        return Finished(segmentation, Proposal.of(segmentation), statistics, pace, scores, doubt)


def _seconds_per_window(segmentation: Segmentation, bundle: Bundle) -> float:
    """With what it takes to bring each window's scores to the input's grid."""
    provenance = segmentation.provenance
    windows = provenance[Part.of(bundle.plan.window).plural]
    return (provenance["stages"]["segment"] + provenance["stages"]["restore"]) / windows
