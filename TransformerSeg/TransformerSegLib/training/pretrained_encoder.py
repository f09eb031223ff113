"""A pretrained encoder as a file: the tensors ``swinViT.*`` of a Swin UNETR, and in the file's header how they came to
be. A training starts from it by the same names (``starting.py``) as from the published ``model_swinvit.pt``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.networks.file_text import quoted
from TransformerSegLib.networks.layouts.swin_unetr import ENCODER
from TransformerSegLib.networks.swin_unetr import MERGINGS_TOLD

if TYPE_CHECKING:
    import torch

SUFFIX = ".safetensors"
RECORD = "pretraining"
"""The one entry of the header's ``__metadata__`` that is ours: JSON."""


def check_encoder_output(path: Path) -> None:
    """Make sure, before a pretraining, that its result may take this name.

    Raises:
        OutputRejected: the name has another ending, or there is something of this name already.
    """
    if path.suffix != SUFFIX:
        raise OutputRejected(
            f"“{path.name}” has a format that is not written",
            why=f"an encoder is saved as {SUFFIX}",
            remedy=f"Let the output's name end in {SUFFIX}",
        )
    if path.exists():
        raise OutputRejected(
            f"“{path}” exists", why="a trained encoder is never overwritten", remedy="Name another file with --output"
        )


def write_encoder(path: Path, network: torch.nn.Module, record: Mapping[str, object]) -> None:
    """Write the encoder of a network, float32; its heads have done their work and are left out.

    Args:
        path: whole or not at all.
        network: a ``SwinUNETRPretraining``.
        record: plain JSON values on where the encoder comes from; its "network" are the arguments of the Swin UNETR.

    Raises:
        OutputRejected: the operating system refused.
    """
    from safetensors.torch import save

    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items() if name.startswith(ENCODER)}
    with written_atomically(path) as temporary:
        temporary.write_bytes(save(tensors, {RECORD: json.dumps(record, ensure_ascii=False)}))


def encoder_record(path: Path) -> dict[str, object]:
    """What an encoder's file says of itself; empty where it is no such file, or says nothing that is understood."""
    from safetensors import SafetensorError, safe_open

    if path.suffix != SUFFIX:
        return {}
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            record = json.loads((file.metadata() or {}).get(RECORD, "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def encoder_told(path: Path) -> str:
    """What an encoder learned from, as its file says: "200 images of “Task04”, without their labels; licence “CC-BY-SA
    4.0”"; empty where it does not say that."""
    record = encoder_record(path)
    cases, inputs = record.get("cases"), (encoder_network(path) or {}).get("in_channels")
    if not isinstance(cases, int):
        return ""
    images = f"{cases} cases of {inputs} images each" if isinstance(inputs, int) and inputs > 1 else f"{cases} images"
    data = quoted(name) if (name := _text(record, "data")) else "data without a name"
    return f"{images} of {data}, without their labels; licence {quoted(licence_of(path) or 'not stated')}"


def licence_of(path: Path) -> str:
    """The licence of the images that an encoder learned from, as its file says; empty where it does not."""
    return _text(encoder_record(path), "licence")


def _text(record: Mapping[str, object], field: str) -> str:
    value = record.get(field)
    return quoted(value)[1:-1] if isinstance(value, str) else ""


def encoder_network(path: Path) -> dict[str, object] | None:
    """The arguments of the Swin UNETR that an encoder was pretrained for, as its file says; None where it does not."""
    network = encoder_record(path).get("network")
    return network if isinstance(network, dict) and network.get("downsample") in MERGINGS_TOLD else None
