"""What the worker does for one volume, or for one frame of a sequence. Plain data goes in and comes out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from TransformerSegLib.inference.progress import Stage

if TYPE_CHECKING:
    from TransformerSegLib.bundles.bundle import Bundle
    from TransformerSegLib.inference.progress import CancelToken, OnProgress, Progress
    from TransformerSegLib.inference.proposal import Proposal
    from TransformerSegLib.inference.segmentation import Segmentation
    from TransformerSegLib.inference.segmenter import Segmenter, SegmentOptions
    from TransformerSegLib.inference.statistics import Statistics
    from TransformerSegLib.inference.volume import Volume


@dataclass(frozen=True, eq=False)
class Finished:
    """What came of the work.

    Attributes:
        segmentation: of the wanted classes.
        proposal: the same, to be kept with the node.
        statistics: by label value.
        seconds_per_window: None where the speed changed on the way.
    """

    segmentation: Segmentation
    proposal: Proposal
    statistics: dict[int, Statistics]
    seconds_per_window: float | None


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


@dataclass(frozen=True, eq=False)
class Work:
    """One job.

    Attributes:
        engine: shared by all jobs of a session.
        volumes: copies, one per input of the card.
        classes: names of those that are wanted; None: all.
    """

    engine: Engine
    bundle: Bundle
    device: str
    options: SegmentOptions
    volumes: Sequence[Volume]
    classes: tuple[str, ...] | None

    def __call__(self, on_progress: OnProgress, cancel: CancelToken) -> Finished:
        from TransformerSegLib.inference.proposal import Proposal
        from TransformerSegLib.inference.statistics import segment_statistics

        stopwatch = _Stopwatch(on_progress)
        _ = self.bundle.weights_sha256  # computed here, and kept: the window asks for it where the run fails
        segmenter = self.engine.segmenter(self.bundle, self.device, self.options)
        segmentation = segmenter.segment(self.volumes, stopwatch, cancel)
        if self.classes is not None:
            segmentation = segmentation.of_classes(self.classes)
        cancel.raise_if_cancelled()
        statistics = segment_statistics(segmentation, self.volumes[0])
        cancel.raise_if_cancelled()
        steady = not segmentation.provenance["notes"]
        return Finished(
            segmentation, Proposal.of(segmentation), statistics, stopwatch.seconds_per_window if steady else None
        )


class _Stopwatch:
    """Measures the windows on the way of the progress."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self._started: float | None = None
        self.seconds_per_window: float | None = None

    def __call__(self, progress: Progress) -> None:
        if progress.stage is Stage.SEGMENT:
            now = time.monotonic()
            if self._started is None:
                self._started = now
            if progress.done == progress.total > 0:
                self.seconds_per_window = (now - self._started) / progress.total
        self._on_progress(progress)
