"""Writes small bundles with random weights: real MONAI bundles, which stock MONAI runs too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.card import Card, InputChannel, Requirements, SegmentClass
from TransformerSegLib.bundles.metadata import color
from TransformerSegLib.bundles.plan import (
    NetworkPlan,
    NormalizeIntensity,
    Orientation,
    OutputPlan,
    Plan,
    PreparationStep,
    SlicePlan,
    WindowPlan,
)
from TransformerSegLib.bundles.template import WEIGHTS_FILE, bundle_metadata, inference_configuration
from TransformerSegLib.networks.registry import build

if TYPE_CHECKING:
    import torch

SMALL_NETWORKS = {
    "SwinUNETR": {
        "feature_size": 12,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 2, 4, 8],
        "window_size": 4,
        "downsample": "mergingv2",
    },
    "UNETR": {"img_size": [32, 32, 32], "feature_size": 4, "hidden_size": 24, "mlp_dim": 48, "num_heads": 4},
    "UNETRTamasino52": {
        "img_size": [32, 32, 32],
        "hidden_size": 24,
        "mlp_dim": 48,
        "num_heads": 4,
        "decoder_channels": [32, 16, 8, 8, 4],
    },
    "UNesT": {
        "img_size": 64,
        "feature_size": 1,
        "embed_dim": [8, 16, 32],
        "num_heads": [2, 4, 4],
        "depths": [1, 1, 1],
    },
    "SwinUnet": {"img_size": 32, "embed_dim": 12, "num_heads": [1, 2, 4, 8], "window_size": 4},
    "TransUNet": {
        "img_size": 32,
        "resnet_layers": [1, 1, 1],
        "width_factor": 0.5,
        "hidden_size": 24,
        "mlp_dim": 48,
        "num_heads": 4,
        "num_layers": 2,
        "decoder_channels": [32, 16, 8, 8],
        "skip_channels": [256, 128, 32, 16],
    },
}
"""Arguments of the smallest useful networks: 3.7, 0.3, 0.4, 0.3, 0.4 and 0.9 million parameters."""

SMALL_WINDOWS = {
    "SwinUNETR": WindowPlan((32, 64, 32)),
    "UNETR": WindowPlan((32, 32, 32)),
    "UNETRTamasino52": WindowPlan((32, 32, 32)),
    "UNesT": WindowPlan((64, 64, 64)),
    "SwinUnet": SlicePlan((32, 32)),
    "TransUNet": SlicePlan((32, 32)),
}

LAST_BIASES = {"TransUNet": "segmentation_head.0.bias", "UNETRTamasino52": "decoder0_header.2.block.bias"}
"""Left at random, beside which the rest is small, they would make one class win in every voxel."""


def write_bundle(
    folder: Path,
    *,
    architecture: str = "UNETR",
    network: Mapping[str, object] | None = None,
    preparation: Sequence[PreparationStep] | None = None,
    window: WindowPlan | SlicePlan | None = None,
    output: OutputPlan | None = None,
    inputs: Sequence[str] = ("image",),
    classes: Sequence[str] = ("first", "second"),
    requirements: Requirements | None = None,
    weights: str = WEIGHTS_FILE,
    half_precision: bool = False,
    seed: int = 0,
) -> Path:
    """Write a bundle, and return its folder.

    Args:
        folder: is made; may exist.
        architecture: a key of ``SMALL_NETWORKS``.
        network: its arguments without channels; by default those in ``SMALL_NETWORKS``.
        preparation: what comes before the network; by default z-scores, and axial slices for a network of slices.
        window: by default the one in ``SMALL_WINDOWS``.
        output: softmax, argmax by default. With a threshold, each class has a channel and there is no background.
        inputs: names of the input volumes.
        classes: names of the classes.
        requirements: what the card demands of inputs; by default nothing.
        weights: "model.safetensors" or "model.pt".
        half_precision: store the weights as float16.
        seed: of the random weights.
    """
    output = output or OutputPlan()
    first_channel = 1 if output.threshold is None else 0
    channels = {"in_channels": len(inputs), "out_channels": len(classes) + first_channel}
    window = window or SMALL_WINDOWS[architecture]
    if preparation is None:
        turned = [Orientation("SPL")] if isinstance(window, SlicePlan) else []
        preparation = [*turned, NormalizeIntensity()]
    plan = Plan(
        network=NetworkPlan(architecture, {**channels, **(network or SMALL_NETWORKS[architecture])}),
        preparation=tuple(preparation),
        window=window,
        output=output,
    )
    card = Card(
        name=folder.name,
        title=f"Random {architecture}",
        version="0.1.0",
        description="Random weights, for tests.",
        inputs=tuple(InputChannel(name=name, hints=(name.lower(),)) for name in inputs),
        classes=tuple(
            SegmentClass(label=label, channel=first_channel + label - 1, name=name, color=color(label - 1))
            for label, name in enumerate(classes, start=1)
        ),
        requirements=requirements or Requirements(),
        licence="Apache-2.0",
        slices=plan.slices,
    )
    configuration = inference_configuration(plan, tuple(inputs))
    state = _random_weights(plan.network, seed)
    if half_precision:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    (folder / "models").mkdir(parents=True, exist_ok=True)
    if weights == WEIGHTS_FILE:
        from safetensors.torch import save_file

        save_file(state, folder / "models" / weights)
    else:
        import torch

        torch.save(state, folder / "models" / weights)
        _load_by_handler(configuration, weights)
    write_json(folder / "configs" / "inference.json", configuration)
    write_json(folder / "configs" / "metadata.json", bundle_metadata(card, plan))
    (folder / "LICENSE").write_text("Apache-2.0\n", encoding="utf-8")
    return folder


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


def _random_weights(network: NetworkPlan, seed: int) -> dict[str, torch.Tensor]:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        state = build(network.architecture, network.arguments).state_dict()
    if network.architecture in LAST_BIASES:
        state[LAST_BIASES[network.architecture]].zero_()
    return {name: tensor.contiguous() for name, tensor in state.items()}


def _load_by_handler(configuration: dict, weights: str) -> None:
    """As published bundles do with a ``.pt`` file."""
    configuration["initialize"].pop()
    configuration["handlers"] = [
        {
            "_target_": "CheckpointLoader",
            "load_path": f"$@bundle_root + '/models/{weights}'",
            "load_dict": {"model": "@network"},
        }
    ]
    configuration["evaluator"]["val_handlers"] = "@handlers"


def change_json(path: Path, **parts: object) -> None:
    """Set top-level parts of a JSON file; a part set to None goes."""
    content = json.loads(path.read_text(encoding="utf-8")) | parts
    write_json(path, {name: value for name, value in content.items() if value is not None})
