"""Where the time of a window goes, in MONAI's network and in its fast form: measured, and drawn as a PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.networks.fast_form import fast_form, memory_kept

from network_rows import SIDE, SWIN_UNETR, SWIN_UNETR_WINDOW, network

if TYPE_CHECKING:
    import torch

KINDS = {
    "convolutions": ("conv", "slow_conv"),
    "matrix products": ("mm", "linear", "dot"),
    "attention": ("attention", "softmax"),
    "norms and activations": ("norm", "relu", "gelu", "addcmul", "mean", "var"),
    "moving data": ("copy", "cat", "index", "roll", "fill", "zero", "pad", "clone", "contiguous"),
}
"""What the operations of torch are counted as, by what is in their names, the first that fits; the rest is “other”."""

ORDER = ("attention", "norms and activations", "moving data", "convolutions", "matrix products")
"""In which names are looked at."""

COLOURS = ("#3b6ea8", "#6fa8dc", "#93c47d", "#e69138", "#cc4125", "#999999")
HEIGHT_IN, WIDTH_IN, DPI = 2.4, 9.0, 110


def draw_time(path: Path) -> None:
    """Measure one window of each, and draw both as bars of seconds by kind of work."""
    import torch

    plain = network("SwinUNETR", SWIN_UNETR)
    window = torch.rand(1, 1, *(SIDE,) * 3, generator=torch.Generator().manual_seed(0))
    form = fast_form(plain)
    with torch.inference_mode(), memory_kept(form):
        bars = {"stock MONAI": _spent(plain, window), "TransformerSeg": _spent(form, window)}
    _draw(bars, path)


def _spent(network: torch.nn.Module, window: torch.Tensor) -> dict[str, float]:
    """Seconds of the second of two windows, by kind of work."""
    from torch.profiler import ProfilerActivity, profile

    network(window)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        network(window)
    spent = dict.fromkeys((*KINDS, "other"), 0.0)
    for operation in profiled.key_averages():
        spent[_kind(operation.key)] += operation.self_cpu_time_total / 1e6
    return spent


def _kind(operation: str) -> str:
    name = operation.lower()
    return next((kind for kind in ORDER if any(part in name for part in KINDS[kind])), "other")


def _draw(bars: Mapping[str, Mapping[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    lefts = dict.fromkeys(bars, 0.0)
    for kind, colour in zip((*KINDS, "other"), COLOURS, strict=True):
        widths = [bars[who][kind] for who in bars]
        axes.barh(list(bars), widths, left=list(lefts.values()), color=colour, label=kind)
        lefts = {who: left + width for (who, left), width in zip(lefts.items(), widths, strict=True)}
    for who, total in lefts.items():
        axes.text(total, who, f" {total:.1f} s", va="center")
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    axes.set_title(f"Where the time of a window goes: {SWIN_UNETR_WINDOW}")
    axes.set_xlim(0, 1.1 * max(lefts.values()))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=len(COLOURS), frameon=False, fontsize="small")
    figure.savefig(path)
