"""Nothing that a stranger's file holds is executed, written elsewhere, or allowed to fill memory.

Every hostile file goes through every door in one child process, which is watched: see ``gauntlet.py``.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import os
import struct
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load, load_file, save_file

from TransformerSegLib.bundles.labels import read_labels
from TransformerSegLib.bundles.layout import CONFIGURATION, METADATA
from TransformerSegLib.bundles.numpy_archive import read_arrays
from TransformerSegLib.bundles.reading import read_bundle
from TransformerSegLib.bundles.weights import misfits, read_checkpoint
from TransformerSegLib.errors import BundleRejected, CheckpointRejected
from TransformerSegLib.networks.registry import configured

from bundle_factory import write_bundle
from damage import mutated
from host import Host
from hostile import CANARY, Hostile, read_manifest, write_hostile
from hostile_archives import ARCHIVES
from hostile_bundles import BUNDLES, SPARED
from hostile_pickles import CHECKPOINTS, saved
from panel_user import PanelUser

TESTING = Path(__file__).parents[1]
GOLDEN = TESTING.parents[1] / "shared" / "data" / "golden"

PEAK_BYTES = 1024**3
"""Most memory that the process may take at any time, with torch and MONAI in it."""

HOSTILE_FILES = [
    f"{folder}/{name}" for folder, group in (("bundles", BUNDLES), ("checkpoints", CHECKPOINTS)) for name in group
]
HOSTILE_FILES += [f"archives/{name}.zip" for name in ARCHIVES]

DAMAGES = 16
"""Damaged copies of each file of a bundle."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    write_hostile(folder)
    return folder


@pytest.fixture(scope="module")
def before(hostile: Path) -> list[tuple[str, int]]:
    return contents(hostile)


@pytest.fixture(scope="module")
def run(hostile: Path, before: list[tuple[str, int]]) -> dict:
    """What the gauntlet found."""
    ended = subprocess.run(
        [sys.executable, TESTING / "gauntlet.py", hostile],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout)


def environment() -> dict[str, str]:
    paths = os.pathsep.join(map(str, (TESTING, TESTING.parent / "TransformerSeg")))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def contents(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(path), path.lstat().st_size) for path in folder.rglob("*"))


def answers(run: dict, path: str) -> dict[str, str]:
    """What was said at each door."""
    return {answer["door"]: answer["said"] for answer in run["answers"] if answer["path"] == path}


def entry(hostile: Path, path: str) -> Hostile:
    return next(one for one in read_manifest(hostile) if one.path == path)


@pytest.mark.parametrize("path", HOSTILE_FILES)
def test_it_is_refused_at_every_door_for_what_it_is(hostile: Path, run: dict, path: str):
    said, expected = answers(run, path), entry(hostile, path).says
    assert said
    assert all(expected in sentence for sentence in said.values()), said


@pytest.mark.parametrize("name", SPARED)
def test_what_only_looks_hostile_is_read(run: dict, name: str):
    said = answers(run, f"spared/{name}")
    assert said
    assert set(said.values()) == {"read"}


@pytest.mark.parametrize(
    "path", ["bundles/target-os-system", "checkpoints/payload-beside-good-tensors", "archives/escape.zip"]
)
def test_it_is_refused_in_the_panel_where_it_was_imported(hostile: Path, path: str):
    with Host() as host:
        user = PanelUser(host)
        models = user.models()
        (user.import_zip if path.endswith(".zip") else user.import_folder)(hostile / path)
        assert entry(hostile, path).says in user.reads("changeLabel")
        assert user.models() == models
    assert not (hostile / CANARY).exists()


def test_each_is_refused_with_a_sentence_of_its_own(run: dict):
    sentences = Counter(answer["said"] for answer in run["answers"] if answer["door"] == "through_the_library")
    del sentences["read"]
    assert [sentence for sentence, times in sentences.items() if times > 1] == []
    assert len(sentences) == len(HOSTILE_FILES)


def test_nothing_was_executed_and_nothing_was_written_elsewhere(
    hostile: Path, before: list[tuple[str, int]], run: dict
):
    assert run["seen"] == []
    assert not (hostile / CANARY).exists()
    assert contents(hostile) == before


def test_the_watch_sees_what_it_is_to_see(tmp_path: Path):
    program = (
        "import os, pickle, pathlib, sys; from gauntlet import Watch;"
        "watch = Watch(pathlib.Path(sys.argv[1]) / 'mine'); watch.on = True;"
        "os.system('true'); exec('1'); open(sys.argv[1] + '/other', 'w').close(); pickle.loads(b'cos\\ngetcwd\\n.');"
        "watch.on = False; print(*(seen.split()[0] for seen in watch.seen))"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path], env=environment(), capture_output=True, text=True)
    assert {"os.system", "exec", "open", "pickle.find_class"} <= set(ended.stdout.split()), ended.stderr


def test_memory_stays_small(run: dict):
    assert run["peak_bytes"] < PEAK_BYTES


@pytest.mark.parametrize("weights", ["model.safetensors", "model.pt", "old.pt"])
def test_no_damage_to_a_file_ends_in_another_error(tmp_path: Path, weights: str):
    random = np.random.default_rng(4)
    good = write_bundle(tmp_path / "good", weights=weights.replace("old", "model"))
    if weights == "old.pt":
        path = good / "models" / "model.pt"
        path.write_bytes(saved(torch.load(path, weights_only=True), _use_new_zipfile_serialization=False))
    (weights_file,) = (good / "models").iterdir()
    deadline = time.monotonic() + 60
    for path in (weights_file, good / CONFIGURATION, good / METADATA):
        whole = path.read_bytes()
        for _ in range(DAMAGES):
            path.write_bytes(damaged(whole, random))
            with contextlib.suppress(BundleRejected):
                read_bundle(good).network()
            assert time.monotonic() < deadline
        path.write_bytes(whole)
    assert read_bundle(good).network()


def damaged(whole: bytes, random: np.random.Generator) -> bytes:
    """At its beginning or, where an archive has its table of contents, at its end."""
    head = min(len(whole), 20_000)
    if random.integers(2):
        return mutated(whole, head, random)
    return mutated(whole[::-1], head, random)[::-1]


# Checkpoints of official trainers


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden checkpoints are not beside the checkout")
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("**/*.pth.xz")), ids=lambda path: path.name)
def test_official_checkpoints_are_read(path: Path, tmp_path: Path):
    checkpoint = tmp_path / path.stem
    checkpoint.write_bytes(lzma.decompress(path.read_bytes()))
    read = read_checkpoint(checkpoint)
    bare = path.with_name(path.name.replace(".pth", ".safetensors"))
    if bare.exists():
        expected = load(lzma.decompress(bare.read_bytes()))
        assert {read.prefix + name for name in read.tensors} == expected.keys()
        assert all(torch.equal(tensor, expected[read.prefix + name]) for name, tensor in read.tensors.items())
    assert read.tensors


@pytest.mark.parametrize(
    ("wrap", "wrapper", "prefix", "extras"),
    [
        (lambda tensors: tensors, "", "", ()),
        (lambda tensors: {"model": {"state_dict": tensors}, "epoch": 3}, "model.state_dict", "", ("epoch",)),
        (lambda tensors: {"net": prefixed(tensors, "module.swin_unet.")}, "net", "module.swin_unet.", ()),
        (lambda tensors: prefixed(tensors, "module.module.backbone."), "", "module.module.backbone.", ()),
        (lambda tensors: {"model_state": tensors, "best": np.float32(1)}, "model_state", "", ("best",)),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_found_under_wrappers_and_prefixes(tmp_path: Path, wrap, wrapper, prefix, extras, zipped):
    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2).half(), "c": torch.tensor(7)}
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(saved(wrap(tensors), _use_new_zipfile_serialization=zipped))
    read = read_checkpoint(path)
    assert (read.wrapper, read.prefix, read.extras) == (wrapper, prefix, extras)
    assert read.tensors.keys() == tensors.keys()
    assert all(torch.equal(read.tensors[name], tensors[name]) for name in tensors)


def prefixed(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def test_a_prefix_that_not_all_names_have_stays(tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(saved({"module.a": torch.ones(1), "b": torch.ones(1)}))
    assert read_checkpoint(path).tensors.keys() == {"module.a", "b"}


def test_an_archive_without_checksums_is_read(tmp_path: Path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(3)}, tmp_path / "checkpoint.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_checkpoint(tmp_path / "checkpoint.pt").tensors["a"], torch.ones(3))


def test_what_numpy_was_allowed_for_one_file_is_not_kept(tmp_path: Path):
    allowed = set(torch.serialization.get_safe_globals())
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(saved({"state_dict": {"a": torch.ones(1)}, "best_acc": np.float64(1)}))
    read_checkpoint(path)
    assert set(torch.serialization.get_safe_globals()) == allowed


@pytest.mark.parametrize("tensor", [torch.tensor([1.0, float("nan")]), torch.tensor([1e300], dtype=torch.float64)])
def test_numbers_that_no_network_can_hold_are_refused_in_a_checkpoint(tmp_path: Path, tensor: torch.Tensor):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(saved({"a": tensor}))
    with pytest.raises(CheckpointRejected, match=r"“checkpoint.pt”.*“a” holds NaN or infinite"):
        read_checkpoint(path)


def test_a_checkpoint_without_tensors_is_refused(tmp_path: Path):
    path = tmp_path / "checkpoint.safetensors"
    save_file({}, path)
    with pytest.raises(CheckpointRejected, match="holds no tensors"):
        read_checkpoint(path)


@pytest.mark.parametrize("read", [read_checkpoint, read_arrays, read_labels])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_not_opened(tmp_path: Path, read, make):
    make(tmp_path / "odd.npz")
    with pytest.raises(BundleRejected, match="it is not a file"):
        read(tmp_path / "odd.npz")


@pytest.mark.parametrize(
    "header",
    [
        "(" * 5000,
        "  x\n y",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '|S4', 'fortran_order': False, 'shape': (4,)}",
        "{'descr': '<f4', 'fortran_order': False, 1: (4,)}",
    ],
)
def test_arrays_that_are_none_are_refused(tmp_path: Path, header: str):
    with zipfile.ZipFile(tmp_path / "arrays.npz", "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + bytes(16))
    with pytest.raises(CheckpointRejected, match=r"The arrays of “arrays.npz” cannot be used"):
        read_arrays(tmp_path / "arrays.npz")


def test_names_from_a_checkpoint_do_nothing_to_the_terminal(tmp_path: Path):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(saved({"state_dict": {"a": torch.ones(1)}, "\x1b]0;title\x07": 1}))
    assert read_checkpoint(path).extras == ("]0;title",)


def test_settings_of_a_training_are_read_over(tmp_path: Path):
    path = tmp_path / "lightning.ckpt"
    settings = {"dtype": torch.bfloat16, "device": torch.device("cpu"), "betas": (0.9, 0.999), "names": ["a", None]}
    state = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3}]}
    path.write_bytes(
        saved(
            {
                "epoch": 3,
                "pytorch-lightning_version": "2.4.0",
                "state_dict": {"model.a": torch.ones(2)},
                "callbacks": {"ModelCheckpoint{'monitor': 'dice'}": {"best_model_score": torch.tensor(0.8)}},
                "optimizer_states": [state],
                "hyper_parameters": settings,
            }
        )
    )
    assert read_checkpoint(path).tensors.keys() == {"a"}


def test_misfits_are_listed_key_by_key(tmp_path: Path):
    folder = write_bundle(tmp_path / "bundle")
    plan = read_bundle(folder).plan.network
    outline = configured(plan.architecture, plan.arguments).outline()
    shapes = {name: tuple(tensor.shape) for name, tensor in load_file(folder / "models" / "model.safetensors").items()}
    assert misfits(shapes, outline, "") == []
    del shapes["out.conv.conv.bias"]
    shapes |= {"extra": (3, 4), "out.conv.conv.weight": (1, 2)}
    assert misfits(shapes, outline, "") == [
        "“out.conv.conv.bias” is missing (3)",
        "“extra” is unknown (3×4)",
        "“out.conv.conv.weight” has the shape 1×2, not 3×4×1×1×1",
    ]
