"""Checkpoints of UNesT, as the two bundles in MONAI's Model Zoo that its authors published hold them."""

from __future__ import annotations

from TransformerSegLib.networks.layouts.counting import blocks
from TransformerSegLib.networks.layouts.likely import Likely, recognised_with
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes

PATCHES = "nestViT.patch_embed.proj.weight"
POSITIONS = tuple(f"nestViT.levels.{level}.pos_embed" for level in range(3))
FIRST = "encoder1.layer.conv1.conv.weight"
LAST = "out.conv.conv.weight"

OFFICIAL_HEADS = {(128, 256, 512): (4, 8, 16)}
"""Features of the levels → their heads, in the published configurations."""


def recognised(shapes: Shapes) -> Recognised | None:
    """UNesT, or None."""
    needed = {PATCHES: 5, **dict.fromkeys(POSITIONS, 4), FIRST: 5, LAST: 5}
    if any(len(shapes.get(name, ())) != axes for name, axes in needed.items()):
        return None
    _, of_blocks, of_tokens, _ = shapes[POSITIONS[0]]
    patch_side = shapes[PATCHES][2]
    embed_dim = tuple(shapes[name][3] for name in POSITIONS)
    arguments = {
        "in_channels": shapes[FIRST][1],
        "out_channels": shapes[LAST][0],
        "img_size": round((of_blocks * of_tokens) ** (1 / 3)) * patch_side,
        "feature_size": shapes[FIRST][0] // 2,
        "patch_size": patch_side,
        "embed_dim": embed_dim,
        "depths": tuple(
            blocks(shapes, rf"nestViT\.levels\.{level}\.transformer_encoder\.(\d+)\.") for level in range(3)
        ),
    }
    return recognised_with("UNesT", "UNesT, MONAI Model Zoo", arguments, {"num_heads": _heads(embed_dim)})


def _heads(embed_dim: tuple[int, ...]) -> Likely:
    features = ", ".join(map(str, embed_dim))
    if embed_dim in OFFICIAL_HEADS:
        return Likely(f"the published networks of {features} features have as many", OFFICIAL_HEADS[embed_dim])
    return Likely(f"three numbers, divisors of {features}")
