"""Our networks for the golden cases: the official constructors' arguments → those of our architectures."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from TransformerSegLib.networks.registry import ARCHITECTURES, architecture_for, build

from golden_case import GoldenCase

if TYPE_CHECKING:
    import torch

Ours = tuple[str, dict[str, object]]
"""The name of an architecture, and its arguments."""


PREFIX = "swin_unet."
"""Before the names of Swin-Unet's tensors alone."""


def ours(case: GoldenCase, output: str) -> Ours:
    """What gives an output of a case."""
    return _NETWORKS[case.network](case, output)


def answer(case: GoldenCase, output: str) -> torch.Tensor:
    """What our network gives for an output of a case, in evaluation mode.

    Its tensors are those of the case, one for one, but for those that take no part in the result.
    """
    import torch

    name, arguments = ours(case, output)
    network = build(name, arguments).eval()
    tensors = dict(network.state_dict())
    official = {tensor.removeprefix(PREFIX) for tensor in case.shapes}
    odd = [tensor for tensor in tensors.keys() ^ official if not is_idle(tensor, name)]
    assert not odd, odd
    weights = {tensor.removeprefix(PREFIX): value for tensor, value in case.weights.items()}
    made = {tensor: value for tensor, value in weights.items() if tensor in tensors}
    network.load_state_dict({**tensors, **made})
    with torch.inference_mode():
        return network(case.input_for(output))


def is_idle(tensor: str, architecture: str) -> bool:
    """Whether a tensor of this name takes no part in the architecture's result."""
    return re.fullmatch(ARCHITECTURES[architecture].idle_weights, tensor) is not None


def _with_the_same_arguments(name: str) -> Callable[[GoldenCase, str], Ours]:
    return lambda case, output: (name, architecture_for(name).modern(case.config, trained_with_monai="1.6.1"))


def _swin_unetr(case: GoldenCase, output: str) -> Ours:
    order = next((order for order in ("legacy", "mergingv2") if output.endswith(order)), "merging")
    arguments = {name: value for name, value in case.config.items() if name != "img_size"}
    return "SwinUNETR", {**arguments, "downsample": order}


def _unetr_tamasino52(case: GoldenCase, output: str) -> Ours:
    config = case.config
    scale, parts = config.get("width_num", 1), config.get("width_den", 1)
    return "UNETRTamasino52", {
        "in_channels": config["input_dim"],
        "out_channels": config["output_dim"],
        "img_size": config["img_shape"],
        "hidden_size": config["embed_dim"],
        "patch_size": config["patch_size"],
        "num_heads": config["num_heads"],
        "mlp_dim": config.get("d_ff", 2048),
        "decoder_channels": [width * scale // parts for width in (512, 256, 128, 64, 32)],
        "two_blocks": not config.get("two_conv", False),
        "dropout_rate": config["dropout"],
    }


def _swin_unet(case: GoldenCase, output: str) -> Ours:
    sizes = case.config.get("SWIN", {})
    return "SwinUnet", {
        "in_channels": case.input_for(output).shape[1],
        "out_channels": case.config["num_classes"],
        "img_size": case.config["IMG_SIZE"],
        **{name.lower(): value for name, value in sizes.items()},
    }


def _transunet(case: GoldenCase, output: str) -> Ours:
    config = {name.removeprefix("transformer."): value for name, value in case.config.items()}
    same = ("img_size", "hidden_size", "mlp_dim", "num_heads", "num_layers", "decoder_channels", "skip_channels")
    arguments = {name: config[name] for name in (*same, "n_skip") if name in config}
    renamed = {"resnet.num_layers": "resnet_layers", "resnet.width_factor": "width_factor"}
    arguments |= {field: config[name] for name, field in renamed.items() if name in config}
    return "TransUNet", {
        "in_channels": case.input_for(output).shape[1],
        "out_channels": config["n_classes"],
        "hybrid": config["base"].startswith("R50"),
        **arguments,
    }


_NETWORKS: dict[str, Callable[[GoldenCase, str], Ours]] = {
    "unetr_monai": _with_the_same_arguments("UNETR"),
    "unetr_btcv": _with_the_same_arguments("UNETR"),
    "unetr_tamasino52": _unetr_tamasino52,
    "swin_unetr": _swin_unetr,
    "swinunet": _swin_unet,
    "transunet": _transunet,
    "unest_brain": _with_the_same_arguments("UNesT"),
    "unest_renal": _with_the_same_arguments("UNesT"),
}
