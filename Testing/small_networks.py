"""Arguments of small networks that several tests build."""

from __future__ import annotations

TRANSUNET: dict[str, object] = {
    "in_channels": 1,
    "out_channels": 3,
    "img_size": 64,
    "resnet_layers": [1, 1, 1],
    "width_factor": 0.5,
    "hidden_size": 24,
    "mlp_dim": 40,
    "num_heads": 3,
    "num_layers": 2,
    "decoder_channels": [16, 12, 8, 6],
    "skip_channels": [256, 128, 32, 16],
}

UNETR: dict[str, object] = {
    "in_channels": 1,
    "out_channels": 3,
    "img_size": [32, 32, 32],
    "feature_size": 4,
    "hidden_size": 24,
    "mlp_dim": 48,
    "num_heads": 4,
}
