"""Weights are tensors and nothing else; they fit the network, or are refused before they are used."""

from __future__ import annotations

import hashlib
import io
import json
import pathlib
import pickle
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.errors import BundleRejected

from bundle_factory import write_bundle

Tensors = dict[str, torch.Tensor]

TABLE = "swinViT.layers1.0.blocks.0.attn.relative_position_index"
OUT = "out.conv.conv.weight"
SPARSE_FILE_NUMBERS = 1 << 29
"""float32 numbers that a file claims to hold: 2 GB."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle", architecture="UNETR")


def weights_of(folder: Path) -> Path:
    return folder / "models" / "model.safetensors"


def as_pickle(folder: Path, content: object) -> None:
    weights_of(folder).unlink()
    torch.save(content, folder / "models" / "model.pt")


def network_state(folder: Path) -> Tensors:
    return read_bundle(folder).network().state_dict()


@pytest.mark.parametrize("architecture", ["UNETR", "SwinUNETR"])
def test_the_network_is_ready_for_inference(tmp_path: Path, architecture: str):
    bundle = read_bundle(write_bundle(tmp_path / "b", architecture=architecture, inputs=("t1", "t2")))
    network = bundle.network()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    with torch.inference_mode():
        assert network(torch.rand(1, 2, *bundle.plan.window.roi_size)).shape == (1, 3, *bundle.plan.window.roi_size)


def test_half_precision_on_disk_is_none_in_memory(tmp_path: Path):
    whole = network_state(write_bundle(tmp_path / "whole", architecture="SwinUNETR"))
    half = network_state(write_bundle(tmp_path / "half", architecture="SwinUNETR", half_precision=True))
    assert {tensor.dtype for tensor in half.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(half[name], whole[name].half().to(whole[name].dtype)) for name in whole if name != TABLE)


def test_the_hash_is_that_of_the_file(folder: Path):
    assert read_bundle(folder).weights_sha256 == hashlib.sha256(weights_of(folder).read_bytes()).hexdigest()


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda tensors: tensors,
        lambda tensors: {"epoch": 3, "state_dict": tensors, "optimizer": {"lr": 0.1, "betas": (0.9, 0.999)}},
        lambda tensors: {"model": {f"module.{name}": tensor for name, tensor in tensors.items()}},
    ],
)
def test_checkpoints_of_training_scripts_load(folder: Path, wrapped: Callable[[Tensors], object]):
    tensors = load_file(weights_of(folder))
    as_pickle(folder, wrapped(tensors))
    loaded = network_state(folder)
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_weights_of_another_monai_load_where_only_idle_tensors_differ(folder: Path):
    tensors = load_file(weights_of(folder))
    older = {name: tensor for name, tensor in tensors.items() if "cross_attn" not in name}
    assert len(older) < len(tensors)
    save_file(older | {"vit.blocks.0.cross_attn.out_proj.weight": torch.ones(24, 24)}, weights_of(folder))
    assert torch.equal(network_state(folder)[OUT], tensors[OUT])


class Payload:
    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, ...]:
        return pathlib.Path.touch, (self.canary,)


def legacy_zipless(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def plain_pickle(content: object) -> bytes:
    return pickle.dumps(content, protocol=2)


def zipped(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("written", [zipped, legacy_zipless, plain_pickle])
def test_a_pickle_with_a_payload_is_refused_and_not_executed(
    folder: Path, tmp_path: Path, written: Callable[[object], bytes]
):
    canary = tmp_path / "canary"
    weights_of(folder).unlink()
    (folder / "models" / "model.pt").write_bytes(written({"state_dict": {"weight": Payload(canary)}}))
    with pytest.raises(BundleRejected, match="a pickle is never executed"):
        read_bundle(folder).network()
    assert not canary.exists()


@pytest.mark.parametrize("number", [np.float64(0.8), np.float32(0.8), np.int64(3), np.bool_(True)])
def test_a_number_of_numpy_beside_the_tensors_is_read(folder: Path, number: np.generic):
    as_pickle(folder, {"state_dict": load_file(weights_of(folder)), "best_acc": number})
    assert read_bundle(folder).network()


@pytest.mark.parametrize("objects", [np.ones(3), np.array(["a", None], dtype=object), pathlib.Path("a"), 1 + 2j])
def test_a_checkpoint_with_other_objects_beside_its_tensors_is_refused(folder: Path, objects: object):
    as_pickle(folder, {"state_dict": load_file(weights_of(folder)), "best_acc": objects})
    with pytest.raises(BundleRejected, match=r"asks for .*, and a pickle is never executed"):
        read_bundle(folder).network()


def test_a_torchscript_program_is_refused(folder: Path):
    weights_of(folder).unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated; files written by it are not gone
        torch.jit.trace(torch.nn.Conv3d(1, 1, 1), torch.rand(1, 1, 2, 2, 2)).save(folder / "models" / "model.pt")
    with pytest.raises(BundleRejected, match="TorchScript program"):
        read_bundle(folder).network()


def changed(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {**tensors, name: change(tensors[name]).contiguous()}


def with_value(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tensor: torch.where(torch.arange(tensor.numel()).reshape(tensor.shape) == 1, value, tensor)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: {n: t for n, t in tensors.items() if n != OUT}, f"1 missing (“{OUT}”)"),
        (lambda tensors: {**tensors, "extra": torch.ones(3)}, "1 unknown (“extra”)"),
        (changed(OUT, lambda tensor: tensor[:1]), f"1 of another shape (“{OUT}”)"),
        (lambda tensors: {f"other.{n}": t for n, t in tensors.items()}, ", …); "),
        (changed(OUT, with_value(float("nan"))), "NaN or infinite"),
        (changed(OUT, with_value(float("inf"))), "NaN or infinite"),
        (changed(OUT, lambda tensor: tensor.double() + 1e300), "NaN or infinite"),
        (changed(OUT, lambda tensor: tensor.to(torch.int8)), "type torch.int8"),
        (changed(TABLE, lambda table: table * 0 + 10**12), "is not the one that the network uses"),
        (changed(TABLE, lambda table: table.half()), "type torch.float16"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(tmp_path: Path, change: Callable[[Tensors], Tensors], words: str):
    folder = write_bundle(tmp_path / "bundle", architecture="SwinUNETR")
    save_file(change(load_file(weights_of(folder))), weights_of(folder))
    with pytest.raises(BundleRejected) as refusal:
        read_bundle(folder).network()
    assert words in refusal.value.what


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.zeros(1).expand(1 << 38), "a tensor of 274877906944 numbers, for which it stores 1"),
        (torch.ones(3, 3).to_sparse(), "it holds sparse tensors"),
        ("a text", "is not a plain tensor"),
    ],
)
def test_a_pickle_whose_tensors_are_no_plain_ones_is_refused(folder: Path, tensor: object, words: str):
    as_pickle(folder, load_file(weights_of(folder)) | {OUT: tensor})
    with pytest.raises(BundleRejected, match=words):
        read_bundle(folder).network()


@pytest.mark.parametrize("content", [[1, 2], {}, 5])
def test_a_pickle_without_tensors_is_refused(folder: Path, content: object):
    as_pickle(folder, content)
    with pytest.raises(BundleRejected, match="holds no tensors by name"):
        read_bundle(folder).network()


def header(tensors: dict[str, object]) -> bytes:
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 8100000\n",
        struct.pack("<Q", 1 << 62),
        header({OUT: {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
        header({OUT: {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}) + bytes(16),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
def test_a_damaged_weights_file_is_refused(folder: Path, content: bytes, name: str):
    weights_of(folder).unlink()
    (folder / "models" / name).write_bytes(content)
    with pytest.raises(BundleRejected, match=r"damaged|it is empty|none that torch wrote"):
        read_bundle(folder).network()


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_a_weights_file_that_was_cut_off_is_refused(tmp_path: Path, name: str, share: float):
    folder = write_bundle(tmp_path / "bundle", weights=name)
    path = folder / "models" / name
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BundleRejected, match=r"damaged|it is empty|none that torch wrote"):
        read_bundle(folder).network()


def test_tensors_of_the_wrong_size_are_refused_before_they_are_read(folder: Path):
    size = 4 * SPARSE_FILE_NUMBERS
    with weights_of(folder).open("wb") as file:
        start = file.write(header({OUT: {"dtype": "F32", "shape": [SPARSE_FILE_NUMBERS], "data_offsets": [0, size]}}))
        file.truncate(start + size)
    with pytest.raises(BundleRejected, match="1 of another shape"):
        read_bundle(folder).network()


def test_a_header_may_have_any_length_even_one_that_begins_as_a_pickle_does(folder: Path):
    tensors, padding = load_file(weights_of(folder)), 0
    while weights_of(folder).read_bytes()[0] != 0x80:
        padding += 1
        save_file(tensors, weights_of(folder), {"padding": "x" * padding})
    read_bundle(folder).network()
