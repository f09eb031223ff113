"""Checkpoints of UNETR as github.com/tamasino52/UNETR lays it out, in both variants of ``decoder9_upsampler``."""

from __future__ import annotations

from TransformerSegLib.networks.layouts.counting import blocks
from TransformerSegLib.networks.layouts.likely import heads, image_size, recognised_with
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes

POSITIONS = "transformer.embeddings.position_embeddings"
PATCHES = "transformer.embeddings.patch_embeddings.weight"
HIDDEN = "transformer.layer.0.mlp.w_1.weight"
EIGHTH = "decoder12_upsampler.block.weight"
QUARTER = "decoder6_upsampler.0.block.0.block.weight"
HALF = "decoder3_upsampler.0.block.0.block.weight"
FULL = "decoder0_header.0.block.0.block.weight"
FIRST = "decoder0.0.block.0.block.weight"
LAST = "decoder0_header.2.block.weight"

ONE_BLOCK = "decoder9_upsampler.2.block.weight"
TWO_BLOCKS = "decoder9_upsampler.3.block.weight"
"""The last layer of ``decoder9_upsampler``, by the number of 512→512 blocks before it."""

NEVER_APPLIED = "norm that is never applied"


def recognised(shapes: Shapes) -> Recognised | None:
    """This layout of UNETR, or None."""
    volumes = (PATCHES, EIGHTH, QUARTER, HALF, FULL, FIRST, LAST)
    needed = {POSITIONS: 3, HIDDEN: 2, **dict.fromkeys(volumes, 5)}
    if any(len(shapes.get(name, ())) != axes for name, axes in needed.items()):
        return None
    if (ONE_BLOCK in shapes) == (TWO_BLOCKS in shapes):
        return None
    _, tokens, features = shapes[POSITIONS]
    patch_side = shapes[PATCHES][2]
    arguments = {
        "in_channels": shapes[PATCHES][1],
        "out_channels": shapes[LAST][0],
        "hidden_size": features,
        "patch_size": patch_side,
        "mlp_dim": shapes[HIDDEN][0],
        "num_layers": blocks(shapes, r"transformer\.layer\.(\d+)\."),
        "decoder_channels": (shapes[EIGHTH][1], *(shapes[name][0] for name in (QUARTER, HALF, FULL, FIRST))),
        "two_blocks": TWO_BLOCKS in shapes,
    }
    likely = {"img_size": image_size(tokens, patch_side), "num_heads": heads(features)}
    ignored = {name: NEVER_APPLIED for name in shapes if name.startswith("transformer.encoder_norm.")}
    return recognised_with("UNETRTamasino52", "UNETR, github.com/tamasino52/UNETR", arguments, likely, ignored)
