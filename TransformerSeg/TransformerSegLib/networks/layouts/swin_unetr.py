"""Checkpoints of MONAI's Swin UNETR, version 1 and 2, and of its self-supervised encoder.

All sizes can be told. The order in which the patches are merged cannot: MONAI changed it in 1.5 under the same names
and shapes. Nor can ``normalize``, which no published network switches off.
"""

from __future__ import annotations

import itertools
import math
import re

from TransformerSegLib.networks.layouts.counting import blocks, ratio, unused_shortcuts
from TransformerSegLib.networks.layouts.monai_decoder import LAST, ends_in_volumes, norm_name
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes

STAGES = range(4)
ENCODER = "swinViT."
PATCH = "patch_embed.proj.weight"
TABLE = "attn.relative_position_bias_table"
INDEX = "attn.relative_position_index"

PRETRAINING_HEAD = "pretraining head"
FIRST_LAYER = re.compile(r"mlp\.fc([12])\.")
"""What the pretrained encoders call a perceptron's layers; MONAI calls them ``linear1`` and ``linear2``."""

NORMALISED = (
    "every published Swin UNETR has it, and it leaves no trace in a checkpoint; for one that was trained with "
    "normalize=False, write that in network_def of configs/inference.json"
)
"""Why the features that go from the encoder to the decoder are taken to be normalised: that has no weights."""

MAXIMUM_WINDOW = 16
"""Longest side of an attention window that is looked for, voxels."""


def recognised(shapes: Shapes) -> Recognised | None:
    """MONAI's Swin UNETR, or None.

    Raises:
        CheckpointRejected: it is one for slices, or its decoder normalises in a way that is not known here.
    """
    if any(name not in shapes for name in (ENCODER + PATCH, _first(0, TABLE))):
        return None
    if not ends_in_volumes(shapes, "Swin UNETR"):
        return None
    features, in_channels = shapes[ENCODER + PATCH][:2]
    heads = tuple(shapes.get(_first(stage, TABLE), (0, 0))[1] for stage in STAGES)
    perceptrons = [
        (features * 2**stage, shapes[_first(stage, "mlp.linear1.weight")][0])
        for stage in STAGES
        if _first(stage, "mlp.linear1.weight") in shapes
    ]
    version_2 = f"{ENCODER}layers1c.0.layer.conv1.conv.weight" in shapes
    arguments: dict[str, object] = {
        "in_channels": in_channels,
        "out_channels": shapes[LAST][0],
        "feature_size": features,
        "depths": tuple(blocks(shapes, rf"swinViT\.layers{stage + 1}\.0\.blocks\.(\d+)\.") for stage in STAGES),
        "num_heads": heads,
        "mlp_ratio": float(ratio(perceptrons)),
        "qkv_bias": _first(0, "attn.qkv.bias") in shapes,
        "patch_norm": f"{ENCODER}patch_embed.norm.weight" in shapes,
        "norm_name": norm_name(shapes),
        "normalize": True,
        "use_v2": version_2,
    }
    windows = _windows(shapes)
    hints = {}
    if len(windows) == 1:
        arguments["window_size"] = windows[0]
    else:
        given = " or ".join("×".join(map(str, window)) for window in windows)
        hints["window_size"] = f"{given}, in the order of the axes" if given else "three sides of at most 16"
    return Recognised(
        "SwinUNETR",
        f"Swin UNETR{' V2' if version_2 else ''}, MONAI",
        arguments,
        open=("downsample", *hints),
        assumed={"normalize": NORMALISED},
        ignored=unused_shortcuts(shapes),
        hints=hints,
    )


def encoder_names(shapes: Shapes) -> dict[str, str]:
    """The tensors of a self-supervised Swin encoder → their names in a Swin UNETR.

    The released ``model_swinvit.pt`` has the encoder's names without ``swinViT.``, and calls the perceptrons' layers
    ``fc1`` and ``fc2``; the trainer that made it saves today's names. Empty where there is no encoder, or a decoder
    too.
    """
    if LAST in shapes:
        return {}
    bare = not any(name.startswith(ENCODER) for name in shapes)
    beginnings = ("patch_embed.", "layers") if bare else (ENCODER,)
    if bare and not any(re.match(r"layers1\.0\.blocks\.0\.", name) for name in shapes):
        return {}
    return {
        name: (ENCODER if bare else "") + FIRST_LAYER.sub(r"mlp.linear\1.", name)
        for name in shapes
        if name.startswith(beginnings)
    }


def _first(stage: int, tensor: str) -> str:
    return f"{ENCODER}layers{stage + 1}.0.blocks.0.{tensor}"


def _windows(shapes: Shapes) -> list[tuple[int, int, int]]:
    """The windows a·b·c that fit the table of (2a−1)(2b−1)(2c−1) relative positions and the index of (a·b·c)² pairs.

    A cube goes before other boxes of the same numbers: all published networks have cubes.
    """
    positions = shapes[_first(0, TABLE)][0]
    places = shapes.get(_first(0, INDEX), (None,))[0]
    side = (round(positions ** (1 / 3)) + 1) // 2
    if (2 * side - 1) ** 3 == positions and places in (None, side**3):
        return [(side,) * 3]
    sides = range(1, MAXIMUM_WINDOW + 1)
    return [
        window
        for window in itertools.product(sides, repeat=3)
        if math.prod(2 * side - 1 for side in window) == positions and places in (None, math.prod(window))
    ]
