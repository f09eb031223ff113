"""The engine's front: volumes in, a segmentation out."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib import __version__
from TransformerSegLib.bundles.bundle import Bundle
from TransformerSegLib.bundles.card import Card
from TransformerSegLib.bundles.plan import SlicePlan
from TransformerSegLib.errors import FieldOfViewMismatch, InputMismatch
from TransformerSegLib.inference.belonging import (
    check_different,
    check_together,
    frame_of_reference_findings,
)
from TransformerSegLib.inference.body import crop_to_body, looks_for_body, told_cut
from TransformerSegLib.inference.checks import (
    check_against_card,
    check_number_of_inputs,
    check_volume,
    raise_mismatches,
)
from TransformerSegLib.inference.devices import AUTO, CPU, choose_device
from TransformerSegLib.inference.discretising import Discretiser, discretiser, voxels_of_labels
from TransformerSegLib.inference.grids import bring_together, check_grids, gaps_in_words
from TransformerSegLib.inference.memory import Estimate, estimate, fitting, roomy
from TransformerSegLib.inference.network_run import ScoreBlock
from TransformerSegLib.inference.offering import check_offered
from TransformerSegLib.inference.parts import Part
from TransformerSegLib.inference.placement import Placement, is_out_of_memory, nothing_smaller
from TransformerSegLib.inference.preparation import PreparedImage, prepare
from TransformerSegLib.inference.presets import Preset
from TransformerSegLib.inference.progress import CancelToken, OnProgress, Pace, Progress, Stage
from TransformerSegLib.inference.region import Crop, Region
from TransformerSegLib.inference.restoring import ScoreObserver, not_observed, restore
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.inference.slices import SliceRun
from TransformerSegLib.inference.sliding_window import SlidingWindow
from TransformerSegLib.inference.statistics import MM3_PER_ML
from TransformerSegLib.inference.stopwatch import Stopwatch
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.networks.fast_form import fast_form, memory_kept
from TransformerSegLib.networks.forms import in_bfloat16, mirrored

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SegmentOptions:
    """What a user may choose for a run.

    Attributes:
        accept_mismatch: segment although the input is outside what the model's card allows.
        region: segment only inside it; None: the whole volume.
        batch_size: windows, or slices, a forward pass; None: what the bundle says.
        preset: how fast, and how thorough.
        classes: names of those that are wanted, as in the model's card; None: all.
        unchecked: let ``Preset.FASTER_CPU`` run although the model's card does not say that it may: to check that.

    Raises:
        ValueError: the batch size is less than 1.
    """

    accept_mismatch: bool = False
    region: Region | None = None
    batch_size: int | None = None
    preset: Preset = Preset.STANDARD
    classes: tuple[str, ...] | None = None
    unchecked: bool = False

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"a batch holds at least one window or slice, not {self.batch_size}")


class Segmenter:
    """A trained model on a device. The network is loaded at the first call and kept for the next.

    Args:
        bundle: the model.
        device: "auto", "cuda", "cuda:1", "mps" or "cpu".
        options: of every call.

    Example:
        >>> segmenter = Segmenter(find_bundle("hippocampus_swin_unetr"))  # doctest: +SKIP
        >>> segmentation = segmenter.segment([read_volume("crop.nii.gz")])  # doctest: +SKIP
    """

    def __init__(self, bundle: Bundle, device: str = AUTO, options: SegmentOptions | None = None) -> None:
        self.bundle = bundle
        self.options = options or SegmentOptions()
        self._wanted_device = device
        self._network = _SharedNetwork(bundle)

    def with_options(self, options: SegmentOptions) -> Segmenter:
        """The same model on the same device with other options. The network is one for both, so that they may not
        run at the same time."""
        other = Segmenter(self.bundle, self._wanted_device, options)
        other._network = self._network
        return other

    def segment(
        self,
        volumes: Sequence[Volume],
        on_progress: OnProgress = lambda progress: None,
        cancel: CancelToken | None = None,
        observer: ScoreObserver | None = None,
    ) -> Segmentation:
        """Segment one study.

        Args:
            volumes: one per input of the card, in its order. They are only read. Those on other grids than the first
                are resampled onto it.
            on_progress: called in this thread.
            cancel: takes effect at the next layer of the network, or the next step of other work.
            observer: shown the scores, where these are brought to the input's grid.

        Returns:
            Labels on the grid of the first volume, of the classes that are wanted.

        Raises:
            InputRejected: a volume cannot be segmented (one of its kinds).
            InputMismatch: the volumes are outside what the card allows, and that was not accepted.
            ValueError: a class is wanted that the card does not name.
            DeviceUnavailable: this machine has no such device.
            PresetUnavailable: the preset is not for this device, or not for this model.
            BundleRejected: the weights are damaged.
            OutOfMemory: after every fallback.
            Cancelled: on the token's demand.
        """
        try:
            run = _Run(self.bundle, self.options, on_progress, cancel or CancelToken(), observer)
            return self._segmented(volumes, run)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise nothing_smaller() from error
            raise

    def _segmented(self, volumes: Sequence[Volume], run: _Run) -> Segmentation:
        inputs, crop, mismatches = self._inputs(volumes, run.cancel)
        run.tell(Stage.LOAD, 0, 1)
        for gap in gaps_in_words((inputs[0], *volumes[1:])):
            run.note(Stage.LOAD, gap)
        body = self._body(inputs)
        seen = inputs if body is None else tuple(map(body.cut, inputs))
        placement = self._placement(seen[0], inputs[0], run)
        network = self._network.loaded(self.options.preset, placement.device)
        run.cancel.raise_if_cancelled()
        run.tell(Stage.PREPARE, 0, 1)
        image = prepare(seen, self.bundle.plan.preparation, run.cancel, measure_on=inputs)
        labels = run.labels(network, image, placement, volumes[0], body or crop)
        return run.segmentation(volumes, labels, mismatches, body)

    def _body(self, inputs: Sequence[Volume]) -> Crop | None:
        """What of the study is looked at; None: all of it."""
        modality = inputs[0].modality or self.bundle.card.requirements.modality
        if not looks_for_body(self.options.preset, self.bundle.plan.window, modality, self.options.region is not None):
            return None
        return crop_to_body(inputs)

    def _inputs(
        self, volumes: Sequence[Volume], cancel: CancelToken
    ) -> tuple[tuple[Volume, ...], Crop | None, list[InputMismatch]]:
        """Checked, on one grid, and cut to the region."""
        card = self.bundle.card
        check_number_of_inputs(volumes, card)
        for volume in volumes:
            cancel.raise_if_cancelled()
            check_volume(volume)
        cancel.raise_if_cancelled()
        check_together(volumes)
        together = bring_together(volumes)
        check_different(together)
        cancel.raise_if_cancelled()
        crop = self.options.region.crop(together[0]) if self.options.region else None
        if crop is not None:
            first = crop.cut(together[0])
            check_grids((first, *volumes[1:]))
            together = (first, *map(crop.cut, together[1:]))
        mismatches = _mismatches(volumes, together, card)
        if not self.options.accept_mismatch:
            raise_mismatches(mismatches)
        return together, crop, mismatches

    def _placement(self, seen: Volume, whole: Volume, run: _Run) -> Placement:
        """What was asked for, or less where the estimate says that it would not fit; then that is told.

        Args:
            seen: what is looked at of ``whole``.
        """
        device, computer = choose_device(self._wanted_device), choose_device(CPU)
        check_offered(self.options.preset, self.bundle, device.name, self.options.unchecked)
        chosen = self.options.batch_size
        batch_size = self.bundle.plan.window.batch_size if chosen is None else chosen
        whole_shape = None if seen is whole else whole.array.shape
        run.needed = estimate(self.bundle, seen.array.shape, seen.affine, self.options.preset, whole_shape)
        wanted = Placement(device.name, device.name, batch_size, may_leave=not self.options.preset.halves)
        wanted = roomy(run.needed, wanted, device) if chosen is None else wanted
        steps = fitting(run.needed, wanted, device, computer)
        for before, after in pairwise(steps):
            run.note(Stage.LOAD, after.told_from(before, run.part))
        run.tell(Stage.LOAD, 0, 1, note=run.needed.in_words(steps[-1]))
        return steps[-1]


class _SharedNetwork:
    """A bundle's network in the forms that were asked for, each loaded when it first is."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._plain: torch.nn.Module | None = None
        self._exact: torch.nn.Module | None = None
        self._halved: torch.nn.Module | None = None

    def loaded(self, preset: Preset = Preset.STANDARD, device_name: str = CPU) -> torch.nn.Module:
        form = self._in_bfloat16() if preset.halves else self._in_float32(device_name)
        return mirrored(form, preset.mirror_axes(self._bundle.card))

    def _in_float32(self, device_name: str) -> torch.nn.Module:
        """What was made for the CPU alone is of no use to a GPU."""
        if self._exact is None or (device_name != CPU and self._plain is None):
            without_monai = self._of_layers() if device_name == CPU and self._plain is None else None
            self._exact = without_monai or fast_form(self._loaded())
        return self._exact

    def _of_layers(self) -> torch.nn.Module | None:
        """The fast form made without MONAI, where there is one."""
        layers = self._bundle.layers()
        form = None if layers is None else fast_form(layers)
        return None if form is layers else form

    def _in_bfloat16(self) -> torch.nn.Module:
        """Made of the plain network, which is kept only where the exact form is one of it."""
        if self._halved is None:
            self._halved = in_bfloat16(self._bundle.network() if self._plain is None else self._plain)
        return self._halved

    def _loaded(self) -> torch.nn.Module:
        if self._plain is None:
            self._plain = self._bundle.network()
        return self._plain


def _mismatches(given: Sequence[Volume], cut: Sequence[Volume], card: Card) -> list[InputMismatch]:
    """What does not fit: the volumes each other; and the card, as they were given, but of their size as it was cut.

    (A region may hold neither air nor bone, and would not be known for CT; resampled inputs have another's spacing.)
    """
    of_given = [finding for finding in check_against_card(given, card) if not isinstance(finding, FieldOfViewMismatch)]
    of_cut = [finding for finding in check_against_card(cut, card) if isinstance(finding, FieldOfViewMismatch)]
    return frame_of_reference_findings(given) + of_given + of_cut


class _Run:
    """One call of ``segment``: what it tells, and what it leaves in the provenance."""

    def __init__(
        self,
        bundle: Bundle,
        options: SegmentOptions,
        on_progress: OnProgress,
        cancel: CancelToken,
        observer: ScoreObserver | None,
    ) -> None:
        self.cancel = cancel
        self._observer = observer
        self._bundle = bundle
        self._options = options
        self._window = options.preset.window(bundle.plan.window)
        self.part = Part.of(self._window)
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._stopwatch = Stopwatch()
        self._notes: list[str] = []
        self._placement: Placement | None = None
        self.needed: Estimate | None = None
        self._discretiser: Discretiser = discretiser(bundle.plan.output, bundle.card.classes)

    def tell(self, stage: Stage, done: int, total: int, seconds_left: float | None = None, note: str = "") -> None:
        self._stopwatch.switch(stage)
        self._on_progress(Progress(stage, done, total, seconds_left, note, self.part))

    def note(self, stage: Stage, sentence: str, done: int = 0, total: int = 0) -> None:
        self._notes.append(sentence)
        self.tell(stage, done, total, note=sentence)

    def labels(
        self, network: torch.nn.Module, image: PreparedImage, placement: Placement, volume: Volume, crop: Crop | None
    ) -> tuple[np.ndarray, ...]:
        """Label layers on the volume's grid; nothing outside of the region."""
        numbers = np.zeros((self._discretiser.planes, *volume.array.shape), self._discretiser.dtype)
        inside = numbers if crop is None else numbers[:, *crop.box]
        output = self._bundle.plan.output
        blocks = self._blocks(network, image, placement)
        on_scores = not_observed
        if self._observer is not None:
            whole = tuple(slice(0, size) for size in volume.array.shape)
            self._observer.begin(image.grid, volume.array.shape, whole if crop is None else crop.box)
            on_scores = self._observer.take
        with closing(blocks):
            restore(blocks, image.grid, output, self._discretiser, inside, self.cancel, on_scores)
        if crop is not None and crop.has_corners_outside:
            inside *= self._options.region.inside(volume.affine, crop.box)
        return self._discretiser.layers(numbers, self.cancel)

    def _blocks(self, network: torch.nn.Module, image: PreparedImage, placement: Placement) -> Iterator[ScoreBlock]:
        """The network run, and that told. When all scores are handed out, only restoring is left."""
        self._placement = placement

        def on_done(done: int) -> None:
            self.tell(Stage.SEGMENT, done, pace.total, pace.seconds_left(done))

        def on_smaller(before: Placement, after: Placement) -> None:
            self._placement = after
            pace.restart()
            self.note(Stage.SEGMENT, after.told_from(before, self.part), pace.done, pace.total)

        told = {"on_done": on_done, "on_smaller": on_smaller, "cancel": self.cancel}
        if isinstance(self._window, SlicePlan):
            output = self._bundle.plan.output
            parts = SliceRun(network, image, self._window, output, placement, **told)
        else:
            parts = SlidingWindow(network, image, self._window, placement, **told)
        pace = Pace(len(parts))
        self.tell(Stage.SEGMENT, 0, pace.total)
        with memory_kept(network) if placement.device == CPU else nullcontext():
            for block in parts.blocks():
                self._stopwatch.switch(Stage.RESTORE)
                yield block
                self._stopwatch.switch(Stage.SEGMENT)
        self.tell(Stage.RESTORE, 0, 1)

    def segmentation(
        self,
        volumes: Sequence[Volume],
        layers: tuple[np.ndarray, ...],
        mismatches: Sequence[InputMismatch],
        body: Crop | None,
    ) -> Segmentation:
        card = self._bundle.card
        voxel_ml = abs(float(np.linalg.det(volumes[0].affine[:3, :3]))) / MM3_PER_ML
        highest = max(definition.label for definition in card.classes)
        counts = []
        for layer in layers:
            self.cancel.raise_if_cancelled()
            counts.append(voxels_of_labels(layer, highest))
        segments = tuple(
            Segment(definition, layer, float(counts[layer][definition.label] * voxel_ml))
            for position, definition in enumerate(card.classes)
            for layer in [self._discretiser.layer_of(position)]
        )
        name = f"{volumes[0].name} {card.title}"
        segmentation = Segmentation(layers, volumes[0].affine, segments, name, {})
        if self._options.classes is not None:
            segmentation = segmentation.of_classes(self._options.classes)
        for sentence in () if body is None else told_cut(segmentation, body):
            self.note(Stage.RESTORE, sentence, 0, 1)
        self.tell(Stage.RESTORE, 1, 1, seconds_left=0.0)
        self.cancel.raise_if_cancelled()
        provenance = self._provenance(volumes, mismatches, body)
        if self._options.classes is not None:
            provenance["options"]["classes"] = [segment.definition.name for segment in segmentation.segments]
        return replace(segmentation, provenance=provenance)

    def _window_options(self) -> dict[str, object]:
        window = self._window
        if isinstance(window, SlicePlan):
            return {"slices": self._bundle.plan.slices, "size": list(window.size)}
        return {"window": list(window.size), "overlap": list(window.overlap), "weighting": window.weighting.value}

    def _provenance(
        self, volumes: Sequence[Volume], mismatches: Sequence[InputMismatch], body: Crop | None
    ) -> dict[str, object]:
        card, region = self._bundle.card, self._options.region
        placement = self._placement
        return {
            "model": card.name,
            "version": card.version,
            "weights_sha256": self._bundle.weights_sha256,
            "licence": card.licence,
            "inputs": [volume.name for volume in volumes],
            "device": placement.device,
            "options": {
                "preset": self._options.preset.value,
                "batch_size": placement.batch_size,
                **self._window_options(),
                "bits": 16 if self._options.preset.halves else 32,
                "mirrored_along": list(self._options.preset.mirror_axes(card)),
                "looked_at": None if body is None else [[extent.start, extent.stop] for extent in body.box],
                "accept_mismatch": self._options.accept_mismatch,
                "region": None if region is None else {name: value.tolist() for name, value in vars(region).items()},
            },
            "overlapping": self._bundle.plan.output.threshold is not None,
            "mismatches": [finding.what for finding in mismatches],
            "notes": list(self._notes),
            self.part.plural: self.needed.windows,
            "estimated_memory_bytes": self.needed.on_cpu(placement),
            "versions": {
                "transformerseg": __version__,
                "monai": version("monai"),
                "torch": version("torch"),
                "python": platform.python_version(),
            },
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._started, 3),
            "stages": self._stopwatch.seconds(),
        }
