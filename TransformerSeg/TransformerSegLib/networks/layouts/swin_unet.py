"""Checkpoints of Swin-Unet, as github.com/HuCaoFighting/Swin-Unet saves them (there with "swin_unet." before names)."""

from __future__ import annotations

from math import isqrt

from TransformerSegLib.networks.layouts.counting import blocks, ratio
from TransformerSegLib.networks.layouts.likely import Likely, recognised_with, volumes
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes

STAGES = range(4)
PATCHES = "patch_embed.proj.weight"
POSITIONS = "absolute_pos_embed"
EXPANSION = "up.expand.weight"
LAST = "output.weight"
TABLE = "attn.relative_position_bias_table"


def recognised(shapes: Shapes) -> Recognised | None:
    """Swin-Unet, or None."""
    tables = [_first(stage, TABLE) for stage in STAGES]
    hidden = [_first(stage, "mlp.fc1.weight") for stage in STAGES]
    needed = {PATCHES: 4, EXPANSION: 2, LAST: 4, **dict.fromkeys([*tables, *hidden], 2)}
    if any(len(shapes.get(name, ())) != axes for name, axes in needed.items()):
        return None
    features, stem_channels, patch_side, _ = shapes[PATCHES]
    windows = [(isqrt(shapes[table][0]) + 1) // 2 for table in tables]
    arguments: dict[str, object] = {
        "out_channels": shapes[LAST][0],
        "patch_size": patch_side,
        "embed_dim": features,
        "depths": tuple(blocks(shapes, rf"layers\.{stage}\.blocks\.(\d+)\.") for stage in STAGES),
        "num_heads": tuple(shapes[table][1] for table in tables),
        "window_size": windows[0],
        "mlp_ratio": ratio((shapes[name][1], shapes[name][0]) for name in hidden),
        "qkv_bias": _first(0, "attn.qkv.bias") in shapes,
        "ape": POSITIONS in shapes,
        "patch_norm": "patch_embed.norm.weight" in shapes,
        "stem_channels": stem_channels,
    }
    likely = {"in_channels": volumes(stem_channels)}
    side = _patches_a_side(shapes, windows)
    if side is None:
        likely["img_size"] = Likely(f"pixels of a slice's side, a multiple of {patch_side * 2 ** STAGES[-1]}")
    else:
        arguments["img_size"] = side * patch_side
    return recognised_with("SwinUnet", "Swin-Unet, github.com/HuCaoFighting/Swin-Unet", arguments, likely)


def _patches_a_side(shapes: Shapes, windows: list[int]) -> int | None:
    """Told by the number of windows that a mask is for, by a window that was shortened to the map of its stage, or by
    the patches that have an embedding of their place; or by nothing.

    Args:
        shapes: of the checkpoint.
        windows: of each stage, patches along a side.
    """
    for stage, window in enumerate(windows):
        mask = shapes.get(f"layers.{stage}.blocks.1.attn_mask")
        if mask is not None:
            return isqrt(mask[0]) * window * 2**stage
        if window < windows[0]:
            return window * 2**stage
    return isqrt(shapes[POSITIONS][1]) if POSITIONS in shapes else None


def _first(stage: int, tensor: str) -> str:
    return f"layers.{stage}.blocks.0.{tensor}"
