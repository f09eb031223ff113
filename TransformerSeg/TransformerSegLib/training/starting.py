"""The weights that a training starts from, where it does not start from random ones."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.bundles.import_network import names_taken
from TransformerSegLib.bundles.known_weights import trained_with_monai
from TransformerSegLib.bundles.numpy_archive import SUFFIX, read_arrays
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.bundles.weights import read_checkpoint
from TransformerSegLib.errors import CheckpointRejected
from TransformerSegLib.networks.architecture import Architecture
from TransformerSegLib.networks.file_text import quoted
from TransformerSegLib.networks.layouts.recognised import Shapes
from TransformerSegLib.networks.layouts.registry import recognise
from TransformerSegLib.networks.layouts.swin_unetr import PRETRAINING_HEAD, encoder_names
from TransformerSegLib.networks.swin_unetr import LEGACY_MERGING, SwinUNETR, merging_told
from TransformerSegLib.networks.transunet import TransUNet
from TransformerSegLib.networks.transunet_jax import from_jax, is_jax
from TransformerSegLib.training.pretrained_encoder import encoder_network

if TYPE_CHECKING:
    import torch

SMALLEST_SHARE = 0.5
"""Of a start's tensors, how many the network must take: a few have the same shape in networks of every width."""


@dataclass(frozen=True)
class Start:
    """Where a training starts.

    Attributes:
        path: of the weights file.
        name: of what the user named: the file, or the bundle.
        tensors: by their names in the network, in its shapes; the network keeps its own for all others.
        report: lines that say what was taken, left behind, and begun at random.
    """

    path: Path
    name: str
    tensors: Mapping[str, torch.Tensor]
    report: tuple[str, ...]

    @property
    def record(self) -> dict[str, str]:
        """What a run keeps of it."""
        with self.path.open("rb") as file:
            return {"name": self.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def starting_weights(path: Path, architecture: Architecture) -> Start:
    """What a network can start from.

    Args:
        path: the encoder of a self-supervised Swin (``model_swinvit.pt``), a checkpoint or bundle of the same network,
            whose classes may be others, or for a TransUNet Google's ``R50+ViT-B_16.npz``.
        architecture: of the network.

    Raises:
        CheckpointRejected: it holds another network, or one of other sizes.
        BundleRejected: it is damaged, or holds more than tensors.
    """
    if path.suffix == SUFFIX:
        return _from_photographs(path, architecture)
    file, said = path, None
    if path.is_dir():
        bundle = read_bundle(path)
        file, said = bundle.weights, bundle.plan.network.arguments
    loaded = read_checkpoint(file)
    shapes = {name: tuple(tensor.shape) for name, tensor in loaded.tensors.items()}
    names, ignored = _names(shapes, architecture)
    own = {name: tensor for name, tensor in architecture.outline().items() if tensor.is_floating_point()}
    candidates = {new: loaded.tensors[old] for old, new in names.items() if new in own}
    taken = {name: tensor for name, tensor in candidates.items() if tensor.shape == own[name].shape}
    differing = [
        f"{name} has the shape {_sides(tensor.shape)}, not {_sides(own[name].shape)}"
        for name, tensor in candidates.items()
        if name not in taken
    ]
    _refuse_too_little(path, len(taken), len(candidates), differing)
    report = [f"Start: {len(taken)} of the network's {len(own)} tensors are those of “{path.name}”"]
    report += _on_merging(file, said, architecture)
    report += [f"Begun at random: {line}" for line in differing]
    if missing := len(own) - len(taken) - len(differing):
        report.append(f"Begun at random: {missing} tensors that the start does not have")
    if ignored:
        report.append(f"Left behind: {', '.join(_beginnings(ignored))} ({PRETRAINING_HEAD}s)")
    return Start(file, path.name, taken, tuple(report))


def _from_photographs(path: Path, architecture: Architecture) -> Start:
    """From what Google trained on photographs, for TransUNet."""
    arrays = read_arrays(path)
    if not is_jax(arrays):
        raise CheckpointRejected(
            f"“{path.name}” holds no vision transformer",
            why="of NumPy's files those are a start that Google published, such as R50+ViT-B_16.npz",
            remedy="Name such a file, a checkpoint or a bundle",
        )
    _refuse_other(TransUNet.name, architecture)
    outline = architecture.outline()
    found = from_jax(arrays, outline)
    _refuse_too_little(
        path,
        len(found.tensors),
        len(found.tensors) + len(found.missing),
        [f"{name} is not in it" for name in found.missing],
    )
    report = [f"Start: {len(found.tensors)} of the network's {len(outline)} tensors are those of “{path.name}”"]
    report += [f"Begun at random: {name}" for name in found.missing]
    report.append("Begun at random: the decoder, which a network for photographs does not have")
    if found.unused:
        report.append(f"Left behind: {', '.join(found.unused)} (of the classifier)")
    return Start(path, path.name, found.tensors, tuple(report))


def _refuse_too_little(path: Path, taken: int, offered: int, differing: Sequence[str]) -> None:
    if taken < max(1, SMALLEST_SHARE * offered):
        raise CheckpointRejected(
            f"“{path.name}” offers {offered} tensors, of which {taken} fit the network",
            why="a training would start from random weights all the same",
            remedy="Set the sizes in recipe.json to those of the start, such as feature_size, depths and num_heads",
            details=differing,
        )


def _names(shapes: Shapes, architecture: Architecture) -> tuple[dict[str, str], list[str]]:
    """Tensors of the start → their names in the network; and those that belong to tasks of a pretraining."""
    if encoder := encoder_names(shapes):
        _refuse_other("SwinUNETR", architecture)
        return encoder, [name for name in shapes if name not in encoder]
    found = recognise(shapes)
    _refuse_other(found.architecture, architecture)
    return names_taken(shapes, found), []


def _refuse_other(held: str, architecture: Architecture) -> None:
    if held != architecture.name:
        raise CheckpointRejected(
            f"The start holds a {held}, and the recipe trains a {architecture.name}",
            why="the weights of one mean nothing to the other",
            remedy=f"Set “architecture” in recipe.json to {held}, or name another start",
        )


def _on_merging(weights: Path, said: Mapping[str, object] | None, architecture: Architecture) -> list[str]:
    """Weights that merge patches in another order load without a word, and are a worse start than they look.

    Args:
        weights: the file of the start.
        said: the arguments of its network, where it is a bundle.
        architecture: of the network that is trained.
    """
    if not isinstance(architecture, SwinUNETR):
        return []
    ours = merging_told(architecture.model_dump())
    if said is None and (version := trained_with_monai(weights)) is not None:
        said = SwinUNETR.modern({}, version)
    if said is None:
        said = encoder_network(weights)
    if said is None:
        return [
            f"Take care: the start does not tell in which order it merges patches; the recipe merges them {ours}. "
            f"Weights that MONAI 0.9 to 1.4 trained want “downsample”: “{LEGACY_MERGING}” in recipe.json"
        ]
    theirs = merging_told(said)
    return [] if theirs == ours else [f"Take care: the start merges patches {theirs}, and the recipe {ours}"]


def _beginnings(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(quoted(name.partition(".")[0])[1:-1] for name in names))


def _sides(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "one number"
