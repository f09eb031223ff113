"""Checkpoints of TransUNet, as github.com/Beckschen/TransUNet saves them, with a ResNet or without."""

from __future__ import annotations

from math import isqrt

from TransformerSegLib.networks.layouts.counting import blocks
from TransformerSegLib.networks.layouts.likely import heads, recognised_with, volumes
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes
from TransformerSegLib.networks.transunet import HALVINGS, WIDTH

POSITIONS = "transformer.embeddings.position_embeddings"
PATCHES = "transformer.embeddings.patch_embeddings.weight"
RESNET = "transformer.embeddings.hybrid_model."
ROOT = f"{RESNET}root.conv.weight"
HIDDEN = "transformer.encoder.layer.0.ffn.fc1.weight"
BEFORE = "decoder.conv_more.0.weight"
LAST = "segmentation_head.0.weight"


def recognised(shapes: Shapes) -> Recognised | None:
    """TransUNet, or None."""
    steps = range(blocks(shapes, r"decoder\.blocks\.(\d+)\."))
    first_convolutions = [f"decoder.blocks.{step}.conv1.0.weight" for step in steps]
    needed = {POSITIONS: 3, HIDDEN: 2, **dict.fromkeys([PATCHES, BEFORE, LAST, *first_convolutions], 4)}
    if not steps or any(len(shapes.get(name, ())) != axes for name, axes in needed.items()):
        return None
    hybrid = ROOT in shapes
    _, tokens, features = shapes[POSITIONS]
    patch_side, stem = shapes[PATCHES][2], shapes[ROOT if hybrid else PATCHES]
    decoder = [shapes[name][0] for name in first_convolutions]
    # What a block's first convolution takes beyond the block before it comes over a skip connection.
    before = [shapes[BEFORE][0], *decoder]
    skips = [shapes[name][1] - inputs for name, inputs in zip(first_convolutions, before, strict=False)]
    arguments: dict[str, object] = {
        "out_channels": shapes[LAST][0],
        "img_size": isqrt(tokens) * patch_side * (2**HALVINGS if hybrid else 1),
        "hybrid": hybrid,
        "hidden_size": features,
        "mlp_dim": shapes[HIDDEN][0],
        "num_layers": blocks(shapes, r"transformer\.encoder\.layer\.(\d+)\."),
        "patch_size": patch_side,
        "decoder_channels": tuple(decoder),
        "skip_channels": tuple(skip for skip in skips if skip),
        "n_skip": sum(skip > 0 for skip in skips),
        "stem_channels": stem[1],
        "multi_scale": any(name.startswith("scale_heads.") for name in shapes),
    }
    if hybrid:
        arguments["width_factor"] = stem[0] / WIDTH
        arguments["resnet_layers"] = tuple(
            blocks(shapes, rf"{RESNET}body\.block{block}\.unit(\d+)\.") for block in (1, 2, 3)
        )
    likely = {"in_channels": volumes(stem[1]), "num_heads": heads(features)}
    return recognised_with("TransUNet", "TransUNet, github.com/Beckschen/TransUNet", arguments, likely)
