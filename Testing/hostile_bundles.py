"""Bundles and weights that were made to do harm, or are damaged: what is changed in a good one."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from TransformerSegLib.bundles.layout import CONFIGURATION, LICENCE, METADATA

from bundle_factory import change_json
from hostile_pickles import archive, call, name, saved, text, touch, under

SAFETENSORS = "models/model.safetensors"
OUT = "out.conv.conv.weight"

Change = Callable[[Path, Path], object]
"""The bundle's folder and the canary → the harm is done to the folder."""


def read(folder: Path, file: str) -> dict:
    return json.loads((folder / file).read_text(encoding="utf-8"))


def network(**arguments: object) -> Change:
    """With other arguments of the network."""
    return lambda folder, canary: change_json(
        folder / CONFIGURATION, network_def=read(folder, CONFIGURATION)["network_def"] | arguments
    )


def inferer(**arguments: object) -> Change:
    return lambda folder, canary: change_json(
        folder / CONFIGURATION, inferer=read(folder, CONFIGURATION)["inferer"] | arguments
    )


def parts(**given: object) -> Change:
    """With other parts of the configuration."""
    return lambda folder, canary: change_json(folder / CONFIGURATION, **given)


def first_transform(**given: object) -> Change:
    return parts(preprocessing={"_target_": "Compose", "transforms": [given]})


def with_code(part: str, write: Callable[[str], object]) -> Change:
    """With an expression that would make the canary."""
    return lambda folder, canary: change_json(
        folder / CONFIGURATION, **{part: write(f"$__import__('os').system({touch(canary)!r})")}
    )


def replaced(file: str, old: str, new: str) -> Change:
    """With another text in the place of the first ``old``."""

    def change(folder: Path, canary: Path) -> None:
        whole = (folder / file).read_text(encoding="utf-8")
        assert old in whole
        (folder / file).write_text(whole.replace(old, new, 1), encoding="utf-8")

    return change


def content(file: str, given: bytes) -> Change:
    return lambda folder, canary: (folder / file).write_bytes(given)


def card(**fields: object) -> Change:
    return lambda folder, canary: change_json(
        folder / METADATA, transformerseg=read(folder, METADATA)["transformerseg"] | fields
    )


def classes(change: Callable[[list[dict]], list[dict]]) -> Change:
    return lambda folder, canary: card(classes=change(read(folder, METADATA)["transformerseg"]["classes"]))(
        folder, canary
    )


def tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Change:
    return lambda folder, canary: save_file(change(load_file(folder / SAFETENSORS)), folder / SAFETENSORS)


def one_tensor(change: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    return tensors(lambda given: given | {OUT: change(given[OUT]).contiguous()})


def with_value(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """With one number replaced."""
    return lambda tensor: torch.where(torch.arange(tensor.numel()).reshape(tensor.shape) == 7, value, tensor)


def header(listed: object, stored: bytes = b"") -> Change:
    """With a safetensors file that lists this."""
    listing = listed.encode() if isinstance(listed, str) else json.dumps(listed).encode()
    return content(SAFETENSORS, struct.pack("<Q", len(listing)) + listing + stored)


def entry(shape: list[int], start: int, end: int, kind: str = "F32") -> dict[str, object]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


def cut_off(folder: Path, canary: Path) -> None:
    os.truncate(folder / SAFETENSORS, (folder / SAFETENSORS).stat().st_size // 2)


def linked(file: str) -> Change:
    """With a link out of the bundle in the place of a file."""

    def change(folder: Path, canary: Path) -> None:
        outside = folder.parent / f"{folder.name}-outside"
        (folder / file).rename(outside)
        (folder / file).symlink_to(outside)

    return change


def wrong_checksum(folder: Path, canary: Path) -> None:
    """With weights as torch writes them, and one number changed since."""
    whole = bytearray(saved(load_file(folder / SAFETENSORS)))
    whole[len(whole) // 2] ^= 1
    (folder / SAFETENSORS).unlink()
    (folder / "models" / "model.pt").write_bytes(whole)


def pipe(file: str) -> Change:
    """With a pipe in the place of a file: who opens it waits for ever."""
    return lambda folder, canary: ((folder / file).unlink(), os.mkfifo(folder / file))


def torchscript_only(folder: Path, canary: Path) -> None:
    (folder / SAFETENSORS).rename(folder / "models" / "model.ts")


def scripts_of_its_own(folder: Path, canary: Path) -> None:
    (folder / "scripts").mkdir()
    (folder / "scripts" / "__init__.py").write_text(f"open({str(canary)!r}, 'w')\n")
    network(_target_="scripts.Network")(folder, canary)


BUNDLES: dict[str, tuple[str, Change]] = {
    # code in the configuration
    "code-as-network": ("Python expression “$__import__", with_code("network_def", lambda code: code)),
    "code-as-argument": (
        "for the argument “hidden_size”",
        with_code("network_def", lambda code: {"_target_": "UNETR", "hidden_size": code}),
    ),
    "code-as-target": ("for the kind (_target_) of the inferer", with_code("inferer", lambda code: {"_target_": code})),
    "code-behind-a-reference": (
        "for the argument “roi_size” of the inferer",
        lambda folder, canary: (
            inferer(roi_size="@size")(folder, canary),
            with_code("size", lambda code: [32, 32, code])(folder, canary),
        ),
    ),
    "code-as-transform": (
        "for the preprocessing",
        with_code("preprocessing", lambda code: {"_target_": "Compose", "transforms": [code]}),
    ),
    "code-as-switch": (
        "for the switch (_disabled_) of the network",
        with_code("network_def", lambda code: {"_target_": "UNETR", "_disabled_": code}),
    ),
    "scripts-of-its-own": ("network “scripts.Network” is not supported", scripts_of_its_own),
    # what is to be built
    "target-os-system": ("network “os.system” is not supported", network(_target_="os.system", command="touch x")),
    "target-eval": ("network “builtins.eval” is not supported", network(_target_="builtins.eval")),
    "target-unknown-network": (
        "“monai.networks.nets.UNet” is not supported",
        network(_target_="monai.networks.nets.UNet"),
    ),
    "target-no-text": ("does not say what the network", network(_target_=["os.system"])),
    "target-popen": (
        "transform “subprocess.Popen”, which is not",
        first_transform(_target_="subprocess.Popen", args="touch x"),
    ),
    "target-lambda": ("transform “Lambdad”", first_transform(_target_="Lambdad", keys="image", func="$lambda x: x")),
    "target-inferer": ("inferer “shutil.rmtree” is not supported", inferer(_target_="shutil.rmtree")),
    "target-python-class": ("“__class__” is not known", network(__class__="os.system")),
    "imports-in-a-component": ("“_imports_” is not known", network(_imports_=["os"])),
    "mode-callable": ("builds “UNETR” in the network (network_def) in a way", network(_mode_="callable")),
    "other-file": ("takes “%/etc/passwd” from another file", parts(inferer="%/etc/passwd")),
    # text that is no configuration
    "circle": ("refers to itself without end", parts(inferer="@preprocessing", preprocessing="@inferer")),
    "laughs": (
        "grows to more than 20000 values",
        lambda folder, canary: change_json(
            folder / CONFIGURATION, **{f"l{i}": [f"@l{i + 1}"] * 10 for i in range(9)}, l9=0, inferer="@l0"
        ),
    ),
    "deep": ("is nested too deeply", content(CONFIGURATION, b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
    "name-twice": ("“inferer” is in it twice", replaced(CONFIGURATION, "{", '{"inferer": 1, ')),
    "not-a-number": ("holds the number NaN", replaced(CONFIGURATION, '"cval": 0.0', '"cval": NaN')),
    "infinity": ("holds the number -Infinity", replaced(CONFIGURATION, '"cval": 0.0', '"cval": -Infinity')),
    "beyond-floats": ("“cval” is “inf”", replaced(CONFIGURATION, '"cval": 0.0', '"cval": 1e999')),
    "long-number": ("holds a number of 5000 digits", replaced(CONFIGURATION, '"cval": 0.0', '"cval": ' + "9" * 5000)),
    "large-file": ("configs/inference.json ", content(CONFIGURATION, b" " * (17 << 20) + b"{}")),
    "no-text": ("is not text in UTF-8", content(CONFIGURATION, b'{"a": "\xff\xfe"}')),
    "no-object": ("does not hold an object", content(CONFIGURATION, b"[1]")),
    "cut-off": ("configs/inference.json cannot be read (Expecting", content(CONFIGURATION, b'{"network_def": ')),
    # sizes
    "terabyte": (
        "GB of memory",
        lambda folder, canary: (
            inferer(roi_size=[96, 96, 96])(folder, canary),
            network(hidden_size=4096, mlp_dim=16384, feature_size=128, num_heads=64, img_size=96)(folder, canary),
        ),
    ),
    "terabyte-mlp": ("“mlp_dim” is “1000000000”", network(mlp_dim=10**9)),
    "channels": ("“in_channels” is “1000000000000”", network(in_channels=10**12)),
    "image-size": ("“img_size", network(img_size=[10**6] * 3)),
    "window": ("roi_size", inferer(roi_size=[10**9] * 3)),
    "million-windows": ("into 78,643,200 windows", inferer(overlap=[0.99] * 3)),
    "batch": ("“sw_batch_size” is “1000000000”", inferer(sw_batch_size=10**9)),
    "thousand-steps": (
        "changes a volume in 1000 steps",
        parts(preprocessing=[{"_target_": "NormalizeIntensityd", "keys": "image"}] * 1000),
    ),
    "fine-spacing": ("is “1e-09”", first_transform(_target_="Spacingd", keys="image", pixdim=1e-9)),
    # the card
    "no-classes": ("at least 1 item", card(classes=[])),
    "million-classes": ("configs/metadata.json ", classes(lambda given: given * 12_000)),
    "thousand-classes": (
        "is on channel",
        classes(lambda given: [{**given[0], "label": i, "channel": i} for i in range(1, 999)]),
    ),
    "label-out-of-range": (
        "“classes.0.label”: Input should be less than or equal to 65535",
        classes(lambda given: [{**given[0], "label": 70_000}]),
    ),
    "label-twice": ("two classes have the same label", classes(lambda given: [{**one, "label": 1} for one in given])),
    "channel-out-of-range": ("is on channel 2000", classes(lambda given: [{**given[0], "channel": 2000}])),
    "class-missing-its-name": ("classes.0.name", classes(lambda given: [{"label": 1, "channel": 1}])),
    "other-inputs": ("names 3 inputs, and the network takes 1", card(inputs=[{"name": name} for name in "abc"])),
    # files
    "link-to-weights": ("models/model.safetensors of “", linked(SAFETENSORS)),
    "link-to-configuration": ("configs/inference.json of “", linked(CONFIGURATION)),
    "link-to-licence": ("LICENSE of “", linked(LICENCE)),
    "pipe-for-weights": ("“pipe-for-weights” has no weights", pipe(SAFETENSORS)),
    "pipe-for-configuration": ("“pipe-for-configuration” has no configs/inference.json", pipe(CONFIGURATION)),
    "torchscript-only": ("as TorchScript only", torchscript_only),
    "no-weights": ("has no weights", lambda folder, canary: (folder / SAFETENSORS).unlink()),
    "no-configuration": ("has no configs/inference.json", lambda folder, canary: (folder / CONFIGURATION).unlink()),
    # weights
    "weights-nan": ("holds NaN", one_tensor(with_value(math.nan))),
    "weights-of-integers": (
        "is of type torch.int8, not torch.float32",
        one_tensor(lambda tensor: tensor.to(torch.int8)),
    ),
    "weights-missing": (f"1 missing (“{OUT}”)", tensors(lambda given: {n: t for n, t in given.items() if n != OUT})),
    "weights-unknown": ("1 unknown (“extra”)", tensors(lambda given: {**given, "extra": torch.ones(3)})),
    "weights-of-another-shape": (f"1 of another shape (“{OUT}”)", one_tensor(lambda tensor: tensor[:1])),
    "weights-of-another-network": ("1 unknown (“a”)", tensors(lambda given: {"a": torch.ones(3)})),
    "weights-with-a-wrong-checksum": ("Bad CRC-32", wrong_checksum),
    "weights-eight-bit": ("of the unusual type F8_E4M3", one_tensor(lambda tensor: tensor.to(torch.float8_e4m3fn))),
    "safetensors-cut-off": ("damaged: Error while deserializing header: incomplete", cut_off),
    "safetensors-header-beyond-the-file": ("header is larger than", content(SAFETENSORS, struct.pack("<Q", 1 << 62))),
    "safetensors-large-header": (
        "damaged: Error while deserializing",
        content(SAFETENSORS, struct.pack("<Q", 10_000_000) + b"{"),
    ),
    "safetensors-overlapping": (
        "damaged: Error while deserializing header: invalid offset",
        header({"a": entry([4], 0, 16), "b": entry([4], 8, 24)}, bytes(24)),
    ),
    "safetensors-huge-shape": ("damaged: Error", header({"a": entry([1 << 31, 1 << 31, 1 << 31], 0, 16)}, bytes(16))),
    "safetensors-negative": ("invalid value: integer", header({"a": entry([-4], 0, 16)}, bytes(16))),
    "safetensors-unknown-type": ("unknown variant `OBJ`", header({"a": entry([4], 0, 16, "OBJ")}, bytes(16))),
    "safetensors-no-json": ("damaged: Error", header("{'a': __import__('os')}")),
    "safetensors-that-is-a-pickle": (
        "named as a safetensors file, and is a pickle",
        lambda folder, canary: (folder / SAFETENSORS).write_bytes(
            archive(under("w", call(name("os", "system"), text(touch(canary)))))
        ),
    ),
}
"""Name → what the refusal says, and the change to a good bundle."""

SPARED: dict[str, Change] = {
    "as-it-is": lambda folder, canary: None,
    "code-beside-what-is-needed": lambda folder, canary: (
        with_code("imports", lambda code: [code, "$import os"])(folder, canary),
        with_code("run", lambda code: [code])(folder, canary),
        with_code("initialize", lambda code: code)(folder, canary),
    ),
    "code-that-is-required-first": lambda folder, canary: network(_requires_=f"$open({str(canary)!r}, 'w')")(
        folder, canary
    ),
    "scripts-beside": lambda folder, canary: (folder / "scripts.py").write_text(f"open({str(canary)!r}, 'w')"),
    "byte-order-mark": lambda folder, canary: (folder / CONFIGURATION).write_bytes(
        b"\xef\xbb\xbf" + (folder / CONFIGURATION).read_bytes()
    ),
    "control-characters": classes(lambda given: [{**given[0], "name": "a\x1b[31m\x00b\nrm"}, given[1]]),
    "long-title": card(title="x" * 1_000_000),
}
"""Good bundles, with what is odd but does no harm: they are read, and the code in them stays data."""
