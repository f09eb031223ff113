"""Checkpoints of MONAI's UNETR, from its first one (0.7, whose weights are those released for BTCV) to today's.

The names of the transformer's and the decoder's tensors are the same in all of them. Versions differ in tensors that
take no part in the result: 0.7 has a class token and shortcuts that it does not use (174 tensors), 0.9 to 1.3 have
neither (170), 1.4 and 1.5 make attention of another kind (``cross_attn``, 254), 1.6 only its norm (194).
"""

from __future__ import annotations

from TransformerSegLib.networks.layouts.counting import blocks, unused_shortcuts
from TransformerSegLib.networks.layouts.likely import heads, image_size, recognised_with
from TransformerSegLib.networks.layouts.monai_decoder import LAST, ends_in_volumes, norm_name
from TransformerSegLib.networks.layouts.recognised import Recognised, Shapes

POSITIONS = "vit.patch_embedding.position_embeddings"
CONVOLUTION = "vit.patch_embedding.patch_embeddings.weight"
PERCEPTRON = "vit.patch_embedding.patch_embeddings.1.weight"
CLASS_TOKEN = "vit.patch_embedding.cls_token"  # noqa: S105

NEEDED = (POSITIONS, "vit.blocks.0.mlp.linear1.weight", "encoder1.layer.conv1.conv.weight")

PATCH_SIDE = 16
"""Voxels; fixed in every UNETR of MONAI."""


def recognised(shapes: Shapes) -> Recognised | None:
    """MONAI's UNETR, or None.

    Raises:
        CheckpointRejected: it is one for slices, or its decoder normalises in a way that is not known here.
    """
    embedding = next((name for name in (CONVOLUTION, PERCEPTRON) if name in shapes), None)
    if embedding is None or any(name not in shapes for name in NEEDED) or not ends_in_volumes(shapes, "UNETR"):
        return None
    _, tokens, hidden = shapes[POSITIONS]
    features, in_channels = shapes["encoder1.layer.conv1.conv.weight"][:2]
    arguments: dict[str, object] = {
        "in_channels": in_channels,
        "out_channels": shapes[LAST][0],
        "feature_size": features,
        "hidden_size": hidden,
        "mlp_dim": shapes["vit.blocks.0.mlp.linear1.weight"][0],
        "proj_type": "conv" if embedding == CONVOLUTION else "perceptron",
        "norm_name": norm_name(shapes),
        "conv_block": "encoder2.blocks.0.1.conv1.conv.weight" in shapes,
        "res_block": "decoder5.conv_block.conv3.conv.weight" in shapes,
        "qkv_bias": "vit.blocks.0.attn.qkv.bias" in shapes,
    }
    ignored = unused_shortcuts(shapes)
    if CLASS_TOKEN in shapes:
        ignored[CLASS_TOKEN] = "class token that no block reads"
    ignored |= {name: "cross-attention that is not used" for name in shapes if "cross_attn." in name}
    likely = {"img_size": image_size(tokens, PATCH_SIDE), "num_heads": heads(hidden)}
    return recognised_with("UNETR", _layout(shapes), arguments, likely, ignored)


def _layout(shapes: Shapes) -> str:
    if CLASS_TOKEN in shapes:
        version = "0.7 (the BTCV release)"
    elif blocks(shapes, r"vit\.blocks\.(\d+)\.cross_attn\."):
        version = "1.4 or 1.5"
    elif blocks(shapes, r"vit\.blocks\.(\d+)\.norm_cross_attn\."):
        version = "1.6"
    else:
        version = "0.8 to 1.3"
    return f"UNETR, MONAI {version}"
