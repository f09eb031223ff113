"""A bundle's weights: read without executing anything, and compared with the network before they are used.

Safetensors files hold tensors only. Checkpoints of torch's are pickles: they are looked through first
(``checkpoint_file``), and then read by torch's restricted reader (``weights_only=True``), which takes tensors and plain
containers from them and refuses every other object.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from TransformerSegLib.bundles.checkpoint_file import ARCHIVE_START, checked_content, refuse_wrong_checksums
from TransformerSegLib.bundles.pickled import NUMPY_SCALAR, Refused, TensorClaim
from TransformerSegLib.errors import BundleRejected, CheckpointRejected
from TransformerSegLib.networks.architecture import MAXIMUM_NETWORK_BYTES, Architecture
from TransformerSegLib.networks.file_text import quoted

if TYPE_CHECKING:
    import torch

Shapes = Mapping[str, tuple[int, ...]]

WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "network", "net", "module")
"""Keys under which training scripts put the tensors, beside epochs and optimizers; the first that is there is taken."""

PREFIXES = ("module.", "_orig_mod.", "backbone.", "swin_unet.", "model.", "network.", "net.")
"""What training on several devices, compiling, and classes around the network, put before every name."""

MAXIMUM_WRAPPERS = 3
"""Most wrappers around each other."""

MAXIMUM_FILE_BYTES = 3 * MAXIMUM_NETWORK_BYTES
"""Largest weights file that is read: with an optimizer's state, a checkpoint is three times its network."""

MAXIMUM_SURPLUS, ALWAYS_ALLOWED_BYTES = 10, 64 * 1024**2
"""How many times its network's tensors a checkpoint may take; those of a training take two to five times."""

MAXIMUM_HEADER_BYTES = 16 * 1024**2
"""Largest header of a safetensors file that is read; published ones have a few kilobytes."""

MAXIMUM_TENSORS = 20_000
"""Most tensors that are read; the largest published networks have a tenth of it."""

MAXIMUM_NAME_CHARACTERS = 300
"""Longest name of a tensor."""

SAFETENSORS_TYPES = frozenset({"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"})
"""Types of plain numbers, as safetensors calls them."""

COUNTERS = "num_batches_tracked"
"""Integer tensors of this name count training steps; all others are tables that follow from the network's arguments."""

NAMES_SHOWN = 3

_safe_globals_lock = threading.Lock()


@dataclass(frozen=True)
class Checkpoint:
    """The tensors of a checkpoint, and where in it they lay.

    Attributes:
        tensors: by their names, without ``prefix``; as stored.
        wrapper: the keys around them, e.g. "state_dict"; empty where they lay at the top.
        prefix: what stood before every name, e.g. "module.swin_unet."; may be empty.
        extras: names of what else lay there ("epoch", "optimizer").
    """

    tensors: dict[str, torch.Tensor]
    wrapper: str = ""
    prefix: str = ""
    extras: tuple[str, ...] = ()


def read_checkpoint(path: Path, look: Callable[[Shapes], None] = lambda shapes: None) -> Checkpoint:
    """The tensors of a file that somebody's training wrote.

    Args:
        path: a safetensors file, or a checkpoint of torch's in either of its formats, under whatever name.
        look: is given the tensors' shapes before any of them is read, and may raise.

    Raises:
        CheckpointRejected: there is no such file, or it is damaged, or holds something else than tensors, plain
            containers and numbers, or NaN or infinite numbers in a tensor.
    """
    if not path.exists():
        raise CheckpointRejected(
            f"The checkpoint {quoted(path.name)} does not exist",
            why="there is nothing to read",
            remedy="Check how the path is spelt",
        )
    try:
        checkpoint = _read(path, look)
        for name, tensor in checkpoint.tensors.items():
            _refuse_not_finite(name, tensor)
    except Refused as refused:
        raise CheckpointRejected(
            f"The checkpoint {quoted(path.name)} cannot be used ({refused})",
            why="only complete files of plain tensors are read",
            remedy="Fetch the file again, or ask its makers for its state_dict alone, or in safetensors format",
        ) from None
    return checkpoint


def read_tensors(path: Path, architecture: Architecture) -> dict[str, torch.Tensor]:
    """The tensors of a weights file by their name in the network, as stored: all that it needs, in its shapes.

    Args:
        path: a ``.safetensors`` or ``.pt`` file.
        architecture: what they are for.

    Raises:
        BundleRejected: the file is damaged, holds something else than tensors, or does not fit the network.
    """
    outline = architecture.outline()

    def compare(shapes: Shapes) -> None:
        if faults := _misfits_by_kind(shapes, outline, architecture.idle_weights):
            raise Refused(f"tensors do not fit the network: {'; '.join(_counted(*fault) for fault in faults.items())}")

    try:
        return _read(path, compare).tensors
    except Refused as refused:
        raise _rejected(path, str(refused)) from None


def misfits(shapes: Shapes, outline: Mapping[str, torch.Tensor], idle: str) -> list[str]:
    """What does not fit, key by key, one line each: "“out.weight” is missing (2×16×1)".

    Args:
        shapes: of the checkpoint's tensors.
        outline: the network's own, see ``Architecture.outline``.
        idle: see ``Architecture.idle_weights``.
    """
    return [line for lines in _misfits_by_kind(shapes, outline, idle).values() for line in lines.values()]


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
            try:
                _refuse_not_finite(name, own[name])
            except Refused as refused:
                raise _rejected(path, str(refused)) from None
        elif given.dtype != own[name].dtype:
            raise _rejected(path, f"the tensor {quoted(name)} is of type {given.dtype}, not {own[name].dtype}")
        elif name.endswith(COUNTERS):
            own[name].copy_(given)
        elif not torch.equal(given, own[name]):
            raise _rejected(path, f"the table {quoted(name)} is not the one that the network uses")


def _read(path: Path, look: Callable[[Shapes], None]) -> Checkpoint:
    """As ``read_checkpoint``, but whatever the numbers.

    Raises:
        Refused: it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise Refused("it is not a file")
        with path.open("rb") as file:
            start, size = file.read(9), file.seek(0, 2)
        if size > MAXIMUM_FILE_BYTES:
            raise Refused(f"it has {size / 1024**3:.0f} GB")
        if start[8:] == b"{" or path.suffix == ".safetensors":
            return _read_safetensors(path, start, look)
        return _read_torch(path, look)
    except OSError as error:
        raise Refused(error.strerror or str(error)) from None


def _refuse_not_finite(name: str, tensor: torch.Tensor) -> None:
    import torch

    if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
        raise Refused(f"the tensor {quoted(name)} holds NaN or infinite values")


def _read_safetensors(path: Path, start: bytes, look: Callable[[Shapes], None]) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    # The header's length, which comes first, may begin with any byte: only what follows it tells.
    if start[8:] != b"{" and start.startswith((ARCHIVE_START, b"\x80")):
        raise Refused("it is named as a safetensors file, and is a pickle")
    if int.from_bytes(start[:8], "little") > MAXIMUM_HEADER_BYTES:
        raise Refused("it is damaged: its header is larger than that of any network")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = file.keys()
            _refuse_many(len(names))
            slices = {name: file.get_slice(name) for name in names}
            for name, part in slices.items():
                if part.get_dtype() not in SAFETENSORS_TYPES:
                    raise Refused(f"{quoted(name)} in it holds numbers of the unusual type {part.get_dtype()}")
            found = _found({name: tuple(part.get_shape()) for name, part in slices.items()})
            look(found.shapes)
            return found.checkpoint({name: file.get_tensor(name) for name in found.content})
    except SafetensorError as error:
        raise Refused(f"it is damaged: {quoted(str(error))[1:-1]}") from None


def _read_torch(path: Path, look: Callable[[Shapes], None]) -> Checkpoint:
    before = path.stat()
    claims = checked_content(path)
    content, wrapper, extras = _unwrapped(claims.content)
    shapes = {}
    for name, claim in content.items():
        if not isinstance(name, str) or not isinstance(claim, TensorClaim):
            raise Refused(f"{quoted(name)} in it is not a plain tensor")
        shapes[name] = claim.shape
    found = _found(shapes, ".".join(wrapper), extras)
    needed = sum(claim.bytes for claim in content.values())
    if needed > 2 * before.st_size:
        raise Refused("its tensors are the same numbers many times over")
    if before.st_size > max(MAXIMUM_SURPLUS * needed, ALWAYS_ALLOWED_BYTES):
        raise Refused(f"it has {before.st_size / 1024**2:.0f} MB, of which its tensors are {needed / 1024**2:.1f} MB")
    look(found.shapes)
    refuse_wrong_checksums(path)
    loaded = _load(path)
    after = path.stat()
    if (after.st_ino, after.st_size, after.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
        raise Refused("it was changed while it was read")
    for key in wrapper:
        loaded = loaded[key]
    if {name: tuple(tensor.shape) for name, tensor in loaded.items()} != shapes:
        raise Refused("it is damaged: torch finds other tensors in it than are listed")
    return found.checkpoint(loaded)


def _load(path: Path) -> Any:
    import torch

    with path.open("rb") as file:
        archive = file.read(len(ARCHIVE_START)) == ARCHIVE_START
    try:
        with _numpy_numbers_allowed():
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # what a file can bring torch to raise is not listed anywhere
        raise Refused(f"it is damaged: {quoted(str(error).partition(chr(10))[0] or repr(error))[1:-1]}") from None


@contextmanager
def _numpy_numbers_allowed() -> Iterator[None]:
    """torch keeps the list of what its restricted reader takes for the whole process: one at a time changes it."""
    import numpy as np
    import torch

    make = np.float64(0).__reduce__()[0]
    types = {
        type(np.dtype(code))
        for code in ("f2", "f4", "f8", "b1", *(f"{sign}{n}" for sign in "iu" for n in (1, 2, 4, 8)))
    }
    wanted = {*((make, name) for name in NUMPY_SCALAR), np.dtype, *types}
    with _safe_globals_lock:
        missing = wanted - set(torch.serialization.get_safe_globals())
        with torch.serialization.safe_globals(list(missing)):
            yield


def _unwrapped(content: object) -> tuple[Mapping[object, object], tuple[str, ...], tuple[str, ...]]:
    """The innermost of the wrappers, the keys that lead there, and the names of what lies beside."""
    wrappers: list[str] = []
    extras: list[str] = []
    while isinstance(content, Mapping) and len(wrappers) < MAXIMUM_WRAPPERS:
        wrapper = next((name for name in WRAPPERS if isinstance(content.get(name), Mapping)), None)
        if wrapper is None:
            break
        extras += [quoted(name)[1:-1] for name in content if name != wrapper]
        wrappers.append(wrapper)
        content = content[wrapper]
    if not isinstance(content, Mapping):
        raise Refused("it holds no tensors by name")
    return content, tuple(wrappers), tuple(extras)


@dataclass(frozen=True)
class _Found:
    """The tensors of a file by their shapes, as long as none of them was read."""

    content: Shapes
    wrapper: str = ""
    extras: tuple[str, ...] = ()

    @cached_property
    def prefix(self) -> str:
        """What all names have in front."""
        prefix = ""
        while common := next((p for p in PREFIXES if all(n.startswith(prefix + p) for n in self.content)), None):
            prefix += common
        return prefix

    @cached_property
    def shapes(self) -> Shapes:
        """By their names without the prefix."""
        return {name.removeprefix(self.prefix): shape for name, shape in self.content.items()}

    def checkpoint(self, tensors: Mapping[str, torch.Tensor]) -> Checkpoint:
        """With the tensors themselves."""
        by_name = {name.removeprefix(self.prefix): tensor for name, tensor in tensors.items()}
        return Checkpoint(by_name, self.wrapper, self.prefix, self.extras)


def _found(content: Shapes, wrapper: str = "", extras: tuple[str, ...] = ()) -> _Found:
    if not content:
        raise Refused("it holds no tensors by name")
    _refuse_many(len(content))
    longest = max(map(len, content))
    if longest > MAXIMUM_NAME_CHARACTERS:
        raise Refused(f"the name of a tensor in it has {longest} characters")
    return _Found(content, wrapper, extras)


def _refuse_many(tensors: int) -> None:
    if tensors > MAXIMUM_TENSORS:
        raise Refused(f"it holds {tensors} tensors, and no network has so many")


def _misfits_by_kind(shapes: Shapes, outline: Mapping[str, torch.Tensor], idle: str) -> dict[str, dict[str, str]]:
    """Kind of fault → name → the line about it."""
    needed = {name: tuple(tensor.shape) for name, tensor in outline.items()}
    counted = {name for name in needed.keys() | shapes.keys() if not re.fullmatch(idle, name)}
    faults = {
        "missing": {
            name: f"{quoted(name)} is missing ({_sides(needed[name])})"
            for name in needed
            if name in counted - shapes.keys()
        },
        "unknown": {
            name: f"{quoted(name)} is unknown ({_sides(shapes[name])})"
            for name in shapes
            if name in counted - needed.keys()
        },
        "of another shape": {
            name: f"{quoted(name)} has the shape {_sides(shapes[name])}, not {_sides(needed[name])}"
            for name in needed
            if name in shapes and shapes[name] != needed[name]
        },
    }
    return {kind: lines for kind, lines in faults.items() if lines}


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"


def _counted(fault: str, lines: Mapping[str, str]) -> str:
    shown = ", ".join(quoted(name) for name in list(lines)[:NAMES_SHOWN])
    return f"{len(lines)} {fault} ({shown}{', …' if len(lines) > NAMES_SHOWN else ''})"


def _rejected(path: Path, fault: str) -> BundleRejected:
    return BundleRejected(
        f"The weights {quoted(path.name)} cannot be used ({fault})",
        why="the network can work with complete and matching weights only",
        remedy="Fetch the file again, or ask the model's makers for its state_dict alone, or in safetensors format",
    )
