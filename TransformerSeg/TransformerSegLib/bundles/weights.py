"""A bundle's weights: read without executing anything, and compared with the network before they are used.

Safetensors files hold tensors only. ``.pt`` files are pickles: torch's restricted reader (``weights_only=True``) takes
tensors and plain containers from them and refuses every other object.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from TransformerSegLib.errors import BundleRejected
from TransformerSegLib.networks.architecture import MAXIMUM_NETWORK_BYTES, Architecture
from TransformerSegLib.networks.file_text import quoted

if TYPE_CHECKING:
    import torch

WRAPPERS = ("state_dict", "model", "network")
"""Keys under which training scripts put the tensors, beside epochs and optimizers."""

PARALLEL_PREFIX = "module."
"""What training on several devices puts before every name."""

MAXIMUM_FILE_BYTES = 3 * MAXIMUM_NETWORK_BYTES
"""Largest weights file that is read: with an optimizer's state, a checkpoint is three times its network."""

COUNTERS = "num_batches_tracked"
"""Integer tensors of this name count training steps; all others are tables that follow from the network's arguments."""

NAMES_SHOWN = 3


def read_tensors(path: Path, architecture: Architecture) -> dict[str, torch.Tensor]:
    """The tensors of a weights file by their name in the network, as stored: all that it needs, in its shapes.

    Args:
        path: a ``.safetensors`` or ``.pt`` file.
        architecture: what they are for.

    Raises:
        BundleRejected: the file is damaged, holds something else than tensors, or does not fit the network.
    """
    outline = architecture.outline()
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _rejected(path, str(error.strerror)) from None
    if size > MAXIMUM_FILE_BYTES:
        raise _rejected(path, f"it has {size / 1024**3:.0f} GB")
    if path.suffix == ".safetensors":
        return _read_safetensors(path, outline, architecture.idle_weights)
    tensors = _state_dict(_read_pickle(path), path)
    _compare(_shapes(tensors), outline, architecture.idle_weights, path)
    return tensors


def fill(network: torch.nn.Module, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    """Copy ``tensors``, which ``read_tensors`` found to fit, into ``network`` as float32.

    Args:
        network: changed in place.
        tensors: by their name in the network.
        path: of the file that they are from, for the error.

    Raises:
        BundleRejected: a tensor holds NaN or infinite values, is of another kind than the network's, or is a table
            that does not follow from the network's arguments.
    """
    import torch

    own = network.state_dict()
    for name, given in tensors.items():
        if name not in own:  # takes no part in the result, see Architecture.idle_weights
            continue
        if given.is_floating_point() and own[name].is_floating_point():
            own[name].copy_(given)
            if not torch.isfinite(own[name]).all():
                raise _rejected(path, f"the tensor {quoted(name)} holds NaN or infinite values")
        elif given.dtype != own[name].dtype:
            raise _rejected(path, f"the tensor {quoted(name)} is of type {given.dtype}, not {own[name].dtype}")
        elif name.endswith(COUNTERS):
            own[name].copy_(given)
        elif not torch.equal(given, own[name]):
            raise _rejected(path, f"the table {quoted(name)} is not the one that the network uses")


def _read_safetensors(path: Path, outline: Mapping[str, torch.Tensor], idle: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            # before any tensor is read: the header alone tells whether they fit
            _compare(shapes, outline, idle, path)
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise _rejected(path, f"it is damaged: {error}") from None


def _read_pickle(path: Path) -> object:
    import torch

    if zipfile.is_zipfile(path):
        _check_archive(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise _rejected(path, "it holds more than tensors, and a pickle is never executed") from None
    except (RuntimeError, OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise _rejected(path, f"it is damaged: {str(error).splitlines()[0] if str(error) else error!r}") from None


def _check_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError) as error:
        raise _rejected(path, f"it is damaged: {error}") from None
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise _rejected(path, "it is a TorchScript program, not weights, and code from a bundle is never run")
    if sum(entry.file_size for entry in entries) > MAXIMUM_FILE_BYTES:
        raise _rejected(path, "it unpacks to more than any network here takes")


def _state_dict(content: object, path: Path) -> dict[str, torch.Tensor]:
    import torch

    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise _rejected(path, "it holds no tensors by name")
    tensors = {}
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
            raise _rejected(path, f"{quoted(name)} in it is not a plain tensor")
        tensors[name] = tensor
    if all(name.startswith(PARALLEL_PREFIX) for name in tensors):
        tensors = {name.removeprefix(PARALLEL_PREFIX): tensor for name, tensor in tensors.items()}
    return tensors


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _compare(shapes: Mapping[str, tuple[int, ...]], outline: Mapping[str, torch.Tensor], idle: str, path: Path) -> None:
    needed = _shapes(outline)
    counted = {name for name in needed.keys() | shapes.keys() if not re.fullmatch(idle, name)}
    faults = [
        _listed("missing", sorted(counted & (needed.keys() - shapes.keys()))),
        _listed("unknown", sorted(counted & (shapes.keys() - needed.keys()))),
        _listed("of another shape", [n for n in needed if n in shapes and shapes[n] != needed[n]]),
    ]
    if any(faults):
        raise _rejected(path, f"tensors do not fit the network: {'; '.join(filter(None, faults))}")


def _listed(fault: str, names: Iterable[str]) -> str:
    names = list(names)
    if not names:
        return ""
    shown = ", ".join(quoted(name) for name in names[:NAMES_SHOWN])
    return f"{len(names)} {fault} ({shown}{', …' if len(names) > NAMES_SHOWN else ''})"


def _rejected(path: Path, fault: str) -> BundleRejected:
    return BundleRejected(
        f"The weights “{path.name}” cannot be used ({fault})",
        why="the network can work with complete and matching weights only",
        remedy="Fetch the bundle again, or ask the model's makers for weights in safetensors format",
    )
