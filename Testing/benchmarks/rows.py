"""The rows of the table: each a function that measures one thing, and is run in a process of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from TransformerSegLib.bundles.card import SegmentClass
from TransformerSegLib.bundles.plan import (
    Activation,
    NetworkPlan,
    NormalizeIntensity,
    Orientation,
    OutputPlan,
    Plan,
    SlicePlan,
    Spacing,
    Weighting,
    WindowPlan,
)
from TransformerSegLib.inference.discretising import HighestScore
from TransformerSegLib.inference.model_grid import ModelGrid
from TransformerSegLib.inference.network_run import ScoreBlock
from TransformerSegLib.inference.placement import Placement
from TransformerSegLib.inference.preparation import prepare
from TransformerSegLib.inference.restoring import restore
from TransformerSegLib.inference.slices import SliceRun
from TransformerSegLib.inference.sliding_window import SlidingWindow
from TransformerSegLib.inference.volume import Volume
from TransformerSegLib.networks.fast_form import fast_form, memory_kept

from measuring import MB, interleaved, peak_megabytes, seconds

WHOLE = (512, 512, 300)
THIN = (512, 512, 100)
SLICES = 8
HEAD = WindowPlan((96, 96, 96), 1, (0.5, 0.5, 0.5), Weighting.GAUSSIAN)
ON_CPU = Placement("cpu", "cpu", 1)


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: was measured, with its unit.
        ours, stock: the figures; stock is MONAI's own pipeline, None where there is nothing to compare.
        agreement: of the results, or of an estimate with what was measured; for people.
    """

    what: str
    ours: float
    stock: float | None = None
    agreement: str = ""

    def cells(self) -> list[str]:
        ratio = f"{self.stock / self.ours:.1f}×" if self.stock else ""
        return [self.what, _number(self.ours), _number(self.stock), ratio, self.agreement]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2f}"


def volume_of(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Volume:
    array = np.random.default_rng(0).random(shape, dtype=np.float32)
    return Volume(array, np.diag([*spacing, 1.0]), "noise")


def pointwise(classes: int):
    import torch

    torch.manual_seed(0)
    return torch.nn.Conv3d(1, classes, 1).eval()


def highest(classes: int) -> HighestScore:
    return HighestScore([SegmentClass(label=n, channel=n, name=str(n), color=(0, 0, 0)) for n in range(1, classes)])


def ours(volume: Volume, classes: int, labels: np.ndarray) -> None:
    image = prepare([volume], [])
    windows = SlidingWindow(pointwise(classes), image, HEAD, ON_CPU)
    restore(windows.blocks(), image.grid, OutputPlan(Activation.NONE), highest(classes), labels[np.newaxis])


def stock(volume: Volume, classes: int, labels: np.ndarray) -> None:
    import torch

    from stock_monai import inferer

    with torch.inference_mode():
        scores = inferer(HEAD)(torch.from_numpy(volume.array)[None, None], pointwise(classes))
        labels[:] = scores.argmax(dim=1)[0].numpy()


def warm_up(classes: int) -> None:
    small = volume_of((100, 100, 100))
    ours(small, classes, np.zeros(small.array.shape, np.uint8))


def whole_body(classes: int, with_stock: bool) -> Iterator[Row]:
    volume, what = volume_of(WHOLE), f"512×512×300, window 96³, overlap 0.5, {classes} classes, 1×1×1 convolution"
    warm_up(classes)
    labels, expected = np.zeros(WHOLE, np.uint8), np.zeros(WHOLE, np.uint8)
    taken = []
    megabytes = peak_megabytes(lambda: taken.append(seconds(lambda: ours(volume, classes, labels))))
    if not with_stock:
        yield Row(f"{what}: MB above the volume", megabytes)
        yield Row(f"{what}: s", taken[0])
        return
    stock_megabytes = peak_megabytes(lambda: taken.append(seconds(lambda: stock(volume, classes, expected))))
    same = share(labels, expected)
    yield Row(f"{what}: MB above the volume", megabytes, stock_megabytes, same)
    yield Row(f"{what}: s", taken[0], taken[1], same)


def fourteen_classes() -> Iterator[Row]:
    yield from whole_body(14, with_stock=True)


def hundred_and_four_classes() -> Iterator[Row]:
    yield from whole_body(104, with_stock=False)


def restoring() -> Iterator[Row]:
    """14 classes from 1.5 mm to 512×512×100 at 0.8×0.8×1.0 mm, as MONAI's inverse of Spacing with argmax does."""
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Spacing as StockSpacing

    spacing = (0.8, 0.8, 1.0)
    grid = ModelGrid(np.diag([*spacing, 1.0]), THIN).spaced((1.5, 1.5, 1.5))
    scores = torch.rand(14, *grid.shape, generator=torch.Generator().manual_seed(0))
    stock_spacing = StockSpacing((1.5, 1.5, 1.5))
    affine = torch.diag(torch.tensor([*spacing, 1.0], dtype=torch.float64))
    forward = stock_spacing(MetaTensor(torch.zeros(1, *THIN), affine=affine))
    labels, expected = np.zeros(THIN, np.uint8), np.zeros(THIN, np.uint8)

    def by_us() -> None:
        block = ScoreBlock(slice(0, grid.shape[0]), slice(0, grid.shape[1]), scores)
        restore([block], grid, OutputPlan(Activation.NONE), highest(14), labels[np.newaxis])

    def by_stock() -> None:
        operations = list(forward.applied_operations)
        tracked = MetaTensor(scores, meta=forward.meta, applied_operations=operations)
        expected[:] = stock_spacing.inverse(tracked).argmax(dim=0).numpy()

    what = "restore 14 classes, 1.5 mm → 512×512×100"
    warm_up(2)
    megabytes = peak_megabytes(by_us)
    stock_megabytes = peak_megabytes(by_stock)
    times = interleaved({"ours": by_us, "stock": by_stock}, repeats=2)
    same = share(labels, expected)
    yield Row(f"{what}: MB beside scores and labels", megabytes, stock_megabytes, same)
    yield Row(f"{what}: s", times["ours"], times["stock"], same)


def resampling() -> Iterator[Row]:
    """The way there: 512×512×300 at 0.8×0.8×1.0 mm to 1.5 mm, straight and oblique."""
    from stock_monai import as_metatensor, preprocessing

    for degrees in (0.0, 10.0):
        volume = volume_of(WHOLE, (0.8, 0.8, 1.0))
        angle = math.radians(degrees)
        turn = np.eye(4)
        turn[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
        volume = Volume(volume.array, turn @ volume.affine, volume.name)
        steps = [Orientation("RAS"), Spacing((1.5, 1.5, 1.5))]
        found, expected, taken = [], [], {}

        def by_us(volume=volume, steps=steps, found=found) -> None:
            found[:] = [prepare([volume], steps).channels[0]]

        def by_stock(volume=volume, steps=steps, expected=expected) -> None:
            expected[:] = [preprocessing(steps)({"image": as_metatensor([volume])})["image"].numpy()[0]]

        by_stock()
        megabytes = {"ours": peak_megabytes(by_us), "stock": peak_megabytes(by_stock)}
        taken = interleaved({"ours": by_us, "stock": by_stock}, repeats=1)
        same = f"largest difference {np.abs(found[0] - expected[0]).max():.1e}"
        what = f"512×512×300 to 1.5 mm{', oblique' if degrees else ''}"
        yield Row(f"{what}: MB above the volume", megabytes["ours"], megabytes["stock"], same)
        yield Row(f"{what}: s", taken["ours"], taken["stock"], same)


def whole_way() -> Iterator[Row]:
    """A small transformer on a real volume, from voxels to labels on its own grid."""
    import torch

    from TransformerSegLib.networks.registry import build

    from bundle_factory import SMALL_NETWORKS
    from real_volumes import CT, real_volume
    from stock_monai import as_metatensor, segment

    arguments = {"in_channels": 1, "out_channels": 3, **SMALL_NETWORKS["SwinUNETR"]}
    torch.manual_seed(0)
    network = build("SwinUNETR", arguments).eval()
    form = fast_form(network)
    volume = real_volume(CT)
    for pixdim in (None, (2.0, 2.0, 2.0)):
        spacing = [Spacing(pixdim)] if pixdim else []
        window = WindowPlan((32, 64, 32), 1, (0.25, 0.25, 0.25), Weighting.GAUSSIAN)
        steps = (Orientation("RAS"), *spacing, NormalizeIntensity())
        plan = Plan(NetworkPlan("SwinUNETR", arguments), steps, window, OutputPlan())
        labels, expected = np.zeros((1, *volume.array.shape), np.uint8), []

        def by_us(plan=plan, labels=labels) -> None:
            image = prepare([volume], plan.preparation)
            with torch.inference_mode(), memory_kept(form):
                blocks = SlidingWindow(form, image, plan.window, ON_CPU).blocks()
                restore(blocks, image.grid, plan.output, highest(3), labels)

        def by_stock(plan=plan, expected=expected) -> None:
            expected[:] = [segment(as_metatensor([volume]), plan, network)]

        times = interleaved({"ours": by_us, "stock": by_stock})
        what = f"CT 122×101×30, small Swin UNETR, {'resampled to 2 mm' if pixdim else 'not resampled'}: s"
        yield Row(what, times["ours"], times["stock"], share(labels[0], expected[0]))


def estimates() -> Iterator[Row]:
    """What the estimate before a run says of one window's forward pass, beside what it takes."""
    import torch

    from TransformerSegLib.networks.registry import configured

    networks = {
        "SwinUNETR": ("24 features, window 96³", {"feature_size": 24, "downsample": "mergingv2"}, (1, 1, 96, 96, 96)),
        "UNETR": ("16 features, window 96³", {"img_size": 96, "feature_size": 16}, (1, 1, 96, 96, 96)),
        "SwinUnet": ("tiny, 8 slices of 224²", {}, (8, 1, 224, 224)),
        "TransUNet": ("R50-ViT-B/16, 8 slices of 224²", {}, (8, 1, 224, 224)),
    }
    for name, (size, arguments, shape) in networks.items():
        architecture = configured(name, {"in_channels": 1, "out_channels": 14, **arguments})
        network = fast_form(architecture.module().eval())
        with torch.inference_mode():
            batch = torch.zeros(shape)
            network(batch)
            measured = peak_megabytes(lambda network=network, batch=batch: network(batch))
        estimated = shape[0] * architecture.activation_bytes(shape[2:]) / MB
        what = f"{name} {size}: MB of a forward pass"
        yield Row(what, measured, agreement=f"estimated before the run: {estimated:.0f}")


def slices() -> Iterator[Row]:
    """Slices of 512×512 through networks of 224×224 in their official sizes, as the official test code runs them."""
    import torch

    from TransformerSegLib.networks.registry import build

    from official_slices import segment_slices

    volume = volume_of((*WHOLE[:2], SLICES))
    for name in ("SwinUnet", "TransUNet"):
        arguments = {"in_channels": 1, "out_channels": 9, "img_size": 224}
        torch.manual_seed(0)
        network = build(name, arguments).eval()
        form = fast_form(network)
        steps = (Orientation("SPL"), NormalizeIntensity())
        plan = Plan(NetworkPlan(name, arguments), steps, SlicePlan((224, 224)), OutputPlan())
        labels, expected = np.zeros((1, *volume.array.shape), np.uint8), []

        def by_us(form=form, plan=plan, labels=labels) -> None:
            image = prepare([volume], plan.preparation)
            placement = Placement("cpu", "cpu", plan.window.batch_size)
            with torch.inference_mode(), memory_kept(form):
                blocks = SliceRun(form, image, plan.window, plan.output, placement).blocks()
                restore(blocks, image.grid, plan.output, highest(9), labels)

        def by_stock(network=network, plan=plan, expected=expected) -> None:
            expected[:] = [segment_slices([volume], plan, network)]

        megabytes, stock_megabytes = peak_megabytes(by_us), peak_megabytes(by_stock)
        times = interleaved({"ours": by_us, "stock": by_stock}, repeats=1)
        same = share(labels[0], expected[0])
        what = f"512×512 slices, {name}, beside the official test code"
        yield Row(f"{what}: MB above volume and network", megabytes, stock_megabytes, same)
        yield Row(f"{what}: s a slice", times["ours"] / SLICES, times["stock"] / SLICES, same)


def panel() -> Iterator[Row]:
    """A run in the panel: its speed, and the window's."""
    from panel_rows import figures

    yield from _rows(figures())


def forward_passes() -> Iterator[Row]:
    """One window of the networks with a fast form, beside MONAI's own modules with the same weights."""
    from network_rows import windows

    yield from _rows(windows())


def slice_networks() -> Iterator[Row]:
    """Slices through the networks of slices, beside a loop that gives the plain network one at a time."""
    from network_rows import slices_one_by_one

    yield from _rows(slices_one_by_one())


def whole_network() -> Iterator[Row]:
    """Swin UNETR over a volume of eight windows."""
    from network_rows import eight_windows

    yield from _rows(eight_windows())


def sixteen_bits() -> Iterator[Row]:
    """A window in bfloat16, beside MONAI's in float32."""
    from network_rows import window_in_bfloat16

    yield from _rows(window_in_bfloat16())


def real_ct() -> Iterator[Row]:
    """A whole-body CT from file to labels, resampled by the bundle; where the sample data lie beside the repository."""
    from ct_rows import figures

    yield from _rows(figures())


def _rows(figures: Iterable[tuple]) -> Iterator[Row]:
    for values in figures:
        yield Row(*values)


def command_line() -> Iterator[Row]:
    """The whole of a run from the command line, with all that is loaded for it; beside MONAI's for the same bundle."""
    from command_rows import figures

    yield from _rows(figures())


def clicks() -> Iterator[Row]:
    """What clicks make of the embedded model's answers."""
    from interaction_rows import rows

    yield from _rows(rows())


def share(labels: np.ndarray, expected: np.ndarray) -> str:
    return f"{np.mean(labels == expected):.5%} of labels equal"


ROWS: dict[str, Callable[[], Iterator[Row]]] = {
    measure.__name__: measure
    for measure in (
        fourteen_classes,
        hundred_and_four_classes,
        restoring,
        resampling,
        whole_way,
        estimates,
        forward_passes,
        whole_network,
        sixteen_bits,
        slice_networks,
        slices,
        real_ct,
        panel,
        command_line,
        clicks,
    )
}


def measured(name: str) -> list[tuple]:
    """The rows of that name, as plain values."""
    return [tuple(vars(row).values()) for row in ROWS[name]()]
